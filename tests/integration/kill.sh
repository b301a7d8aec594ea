#!/usr/bin/env bash
# Promise: agent, gate and vault killed (SIGKILL) at 200 moments of archiving, each right after a durable step, at least 40 different ones
# counted by name alone: after the restarts nothing that was acknowledged is missing, nothing is twice, and the agent finishes.
# A name counts when it stands at one place of the programs (agent.*, gate.*, vault.*, index.*); steps inside the shared file and database
# helpers are moments to die at too, but no names to count.  The sweep goes past what a plain pass shows: a time authority that is away
# (packages without a time-stamp, stamped later), parts that die again while they recover, a fresh session, a fork; and, counted apart, enrolment.
# Four homes at a time; each is judged by itself, the kills are added up.
# KLUIS_KILLS, KLUIS_KILL_NAMES, KLUIS_KILL_SECONDS: fewer, for a quick look.
. "$(dirname "$0")/lib.sh"
begin kill
kills_wanted=${KLUIS_KILLS:-200} names_wanted=${KLUIS_KILL_NAMES:-40} others_wanted=12 workers=4
limit=${KLUIS_KILL_SECONDS:-$((780 * (patience > 4 ? 4 : patience)))} # a test has an hour at most

if [ "${1:-}" != worker ]; then
  for i in $(seq $workers); do
    KLUIS_KILLS=$(((kills_wanted + workers - 1) / workers)) "$0" worker "$work/hits$i" "$i" >"$work/worker$i.out" 2>&1 & pids[i]=$!
  done
  for i in $(seq $workers); do
    ok; wait "${pids[i]}" || { fail "home $i"; grep -v ' info ' "$work/worker$i.out" | tail -n 30 >&2; }
    grep '^kill: ' "$work/worker$i.out" || true
  done
  cat "$work"/hits*.archive >"$work/all"
  cat "$work"/hits*.other >"$work/other"
  named() { cut -d : -f 1 "$1" | grep -E '^(agent|gate|vault|index|register)[.]' | sort -u | wc -l; }
  n=$(wc -l <"$work/all") names=$(named "$work/all") others=$(named "$work/other")
  for part in agent gate vault; do
    k=$(grep -c "^$part\." "$work/all" || true)
    echo "kill: $k at steps of the $part"
    ok; [ "$k" -ge $((kills_wanted / 10)) ] || fail "only $k kills at steps of the $part"
  done
  echo "kill: $n kills while archiving, at $names different steps by name ($(sort -u "$work/all" | wc -l) moments)"
  echo "kill: $(wc -l <"$work/other") more at $others steps of enrolment"
  sort "$work/all" "$work/other" | uniq -c | awk '{print $1, $2}' | paste -sd ' ' | fold -s -w 150
  ok; [ "$n" -ge "$kills_wanted" ] || fail "only $n kills"
  ok; [ "$names" -ge "$names_wanted" ] || fail "only $names different names"
  ok; [ "$others" -ge "$others_wanted" ] || fail "only $others different names of enrolment"
  end 10
  exit
fi
hits_file=$2.archive other_file=$2.other me=$3
: >"$hits_file"; : >"$other_file"
orders=$work/orders log=$work/steps
head -c 192 /dev/zero >"$orders"; : >"$log"
chmod 666 "$orders" "$log"
twins=("KLUIS_KILL_FILE=$orders" "KLUIS_STEP_LOG=$log")

put_at() { dd of="$orders" bs=1 seek="$1" conv=notrunc status=none; }
disarm() { printf '\0\0\0\0' | put_at 0; }
arm() { # NAME N
  disarm
  { printf '%s\0' "$1"; } | put_at 4
  printf '\0' | put_at 128
  printf "\\x$(printf %02x "$2")\\0\\0\\0" | put_at 0
}
struck() { grep -qa K "$orders"; } # names have no capitals
await_strike() { # TENTHS of a second
  local i
  for i in $(seq $(($1 * 2))); do struck && return 0; sleep 0.05; done
  return 1
}

agents=0 tokens=0 chats=3 lines=0 starts=1
server_init
server_start "${twins[@]}"
new_start() { # a part that dies of an order before it is ready ends its supervisor: that is a kill too, and it is started again
  starts=$((starts + 1))
  server_try "${twins[@]}" || { disarm; server_start "${twins[@]}"; }
}
alive() { # the supervisor gives up when a part dies six times within a minute: that is its right
  kill -0 "$server_pid" 2>/dev/null && return 0
  wait "$server_pid" 2>/dev/null || true
  new_start
}
kill_part() { local p; alive; p=$(part_pid "$1") && kill -KILL "$p" || true; }
authority() { # away | back: serve starts none when there is no key
  server_stop
  if [ "$1" = away ]; then mv "$work/server/tsa/tsa.key" "$work/tsa.key"; else mv "$work/tsa.key" "$work/server/tsa/tsa.key"; fi
  new_start
}
twin_agent() { env "${twins[@]}" "$twin/chatkluis-agent" "$@"; }
chat() { # FILE N: a new chat
  say "$1" '11-03-2026 08:00' 'Kim Begin' "gesprek $2"
  say "$1" '11-03-2026 08:00' 'Lou Begin' "gesprek $2"
  lines=$((lines + 2))
}
add_chats() {
  local c
  for c in $(seq $chats); do
    chat "$work/chat$agents-$c.txt" "$c"
    source_add "$a" whatsapp-text "$work/chat$agents-$c.txt"
  done
}
new_agent() { agents=$((agents + 1)); a=$work/agent$agents; agent_enrol "$a"; add_chats; }
more() { # FILE: one message more, with a word of its own
  local m
  tokens=$((tokens + 1)); lines=$((lines + 1)); m=$((tokens % 1200))
  say "$1" "$(printf '%02d-03-2026 %02d:%02d' $((12 + tokens / 1200)) $((m / 60)) $((m % 60)))" 'Kim Begin' "telwoord merk$(printf %05d $tokens)x"
}
grow() { local c; for c in $(seq $chats); do more "$work/chat$agents-$c.txt"; done; }
status_of() { "$bin/chatkluis-agent" status --home "$1" --json 2>/dev/null || true; } # of a suspended device: exit 1
pass() { twin_agent archive --home "$a" --wait "${1:-4}" >"$work/pass.out" 2>"$work/pass.err"; }
settle() { # until everything of this agent is acknowledged
  local i
  disarm
  for i in $(seq 40); do
    alive
    if pass 10 && [ "$(status_of "$a" | jq .waiting)" = 0 ]; then return 0; fi
    sleep 0.5
  done
  cat "$work/pass.err" >&2
  die "agent $agents does not finish"
}
attempt() { # NAME N: a pass with more to archive, and somebody dies at that step
  alive
  grow
  arm "$1" "$2"
  pass 3 || true
  await_strike 8
}

# ---- enrolment: whoever dies, the same code or a new one enrols, and the device archives ----
enrolment_steps=(agent.enrol.announced agent.enrol.device-key agent.enrol.login-key agent.enrol.done agent.key.home agent.keys.tidied
  gate.enrol.commit gate.enrolled.commit gate.device.commit register.enrol vault.enrolled agent.source.added)
enrol_again() { # the code may be spent by whom did not live to see the reply
  local i
  for i in $(seq 20); do
    alive
    [ "$(status_of "$a" | jq .enrolled)" = true ] && return 0
    twin_agent enrol --home "$a" --server "https://$gate" --code "@$work/code$officials" >/dev/null 2>"$work/pass.err" && return 0
    if grep -q "code" "$work/pass.err"; then code_for "ambtenaar$officials" "$work/code$officials"; fi
    sleep 0.3
  done
  cat "$work/pass.err" >&2
  die "agent $agents does not enrol"
}
for i in "${!enrolment_steps[@]}"; do
  [ $((i % workers + 1)) = "$me" ] || continue
  s=${enrolment_steps[i]}
  alive
  agents=$((agents + 1)) officials=$((officials + 1)) a=$work/agent$agents
  official "ambtenaar$officials" "Ambtenaar $officials"
  code_for "ambtenaar$officials" "$work/code$officials"
  arm "$s" 1
  if [ "$s" != agent.source.added ]; then
    twin_agent enrol --home "$a" --server "https://$gate" --code "@$work/code$officials" >/dev/null 2>&1 || true
  else
    enrol_again
    chat "$work/chat$agents-9.txt" 9
    twin_agent source add --home "$a" whatsapp-text "$work/chat$agents-9.txt" >/dev/null 2>&1 || true
  fi
  ok
  if await_strike 10; then echo "$s" >>"$other_file"; else fail "$s was not reached"; fi
  disarm
  enrol_again
  add_chats
  settle
done

# ---- a fork: a home that went back in time, and the vault dies as it suspends the device ----
forked=0
if [ "$me" -le 2 ]; then
  alive
  agents=$((agents + 1)) a=$work/agent$agents
  agent_enrol "$a"
  chat "$work/chat$agents-1.txt" fork
  source_add "$a" whatsapp-text "$work/chat$agents-1.txt"
  settle
  cp -a "$a" "$work/past"
  more "$work/chat$agents-1.txt"
  settle
  rm -rf "$a"; mv "$work/past" "$a"
  printf '%s - %s: %s\n' '20-03-2026 09:00' 'Kim Begin' 'dit komt nooit aan' >>"$work/chat$agents-1.txt"
  arm "$([ "$me" = 1 ] && echo vault.suspended || echo register.suspend)" 1
  pass 3 || true
  ok
  if await_strike 30; then [ "$me" = 1 ] && echo vault.suspended >>"$hits_file" || echo register.suspend >>"$hits_file"; else fail "no suspension"; fi
  disarm
  for _ in $(seq 40); do
    alive
    pass 3 || true
    [ "$(status_of "$a" | jq -r .suspended)" = true ] && break
    sleep 0.3
  done
  equal "the forked device knows that it is suspended" "$(status_of "$a" | jq -r .suspended)" true
  forked=$agents
fi

# ---- archiving ----
# Steps that a plain pass does not show, and what brings the machine there.
declare -A often hit tried named
for s in agent.stock.tidied vault.bundle gate.bundle.commit gate.expire.commit gate.upload.swept vault.checkpoint.sealed vault.receipt.stamped; do often[$s:1]=1; done
reach() { # NAME N.  0: somebody died there
  local first running
  case "$1" in
    agent.session.started|gate.prekey.handout) settle; new_agent; attempt "$1" "$2" ;;
    agent.stock.tidied) attempt agent.pack.published 1 && attempt "$1" 1 ;; # the next pass removes the package without a row
    vault.bundle|gate.bundle.commit) alive; arm "$1" 1; kill_part vault; await_strike 30 ;; # a vault that starts publishes one
    gate.expire.commit) alive; arm "$1" 1; kill_part gate; await_strike 30 ;;
    gate.upload.swept) # dies, and dies again while it makes good: the second order stands before the part is back
      first=gate.upload.create
      alive; grow; arm "$first" 1
      pass 4 & running=$!
      if await_strike 60; then arm "$1" 1; fi
      wait "$running" || true
      ! grep -qa "$first" "$orders" && await_strike 20 ;;
    vault.checkpoint.sealed) settle; authority away; attempt "$1" 1 || true; disarm; authority back; struck ;;
    vault.receipt.stamped) settle; authority away; grow; settle; arm "$1" 1; authority back; await_strike 60 ;;
    *) attempt "$1" "$2" ;;
  esac
}
learn() { # the steps that a pass shows; the others are above, or belong to a start
  local n s k
  while read -r n s; do
    case "$s" in register.*|*enrol*|gate.device.*|db.schema|index.create|agent.source.added|agent.key*|vault.suspended) continue ;; esac
    n=$(((n + $1 - 1) / $1))
    for k in $(seq $((n < 3 ? n : 3))); do often[$s:$k]=1; done
  done < <(sort "$log" | uniq -c)
  : >"$log"
}
disarm
new_agent; : >"$log"; grow; pass 20; sleep 1.2; grow; pass 20; sleep 1.2
learn 2

kills=0 misses=0 rounds=0
SECONDS=0
while [ "$kills" -lt "$kills_wanted" ]; do
  [ "$SECONDS" -lt "$limit" ] || { echo "kill: out of time after $rounds rounds"; break; }
  rounds=$((rounds + 1))
  # The name that was struck or missed least, then its occurrence; ties by chance.
  target=$(for s in "${!often[@]}"; do
    echo "$((${named[${s%:*}]:-0} + 2 * ${tried[$s]:-0})) ${hit[$s]:-0} $RANDOM $s"
  done | sort -n -k1,1 -k2,2 -k3,3 | sed -n '1s/.* //p')
  if reach "${target%:*}" "${target##*:}"; then
    kills=$((kills + 1)); hit[$target]=$((${hit[$target]:-0} + 1)); named[${target%:*}]=$((${named[${target%:*}]:-0} + 1))
    echo "$target" >>"$hits_file"
  else
    misses=$((misses + 1)); tried[$target]=$((${tried[$target]:-0} + 1))
    echo "missed: $target"
  fi
  disarm
  learn 1
done
ok; [ "$kills" -ge "$kills_wanted" ] || fail "only $kills kills"
echo "kill: $kills kills in $rounds rounds, $misses not reached, $starts starts, $agents agents, ${SECONDS} s"

# The agent finishes; then everything is there once.
settle
acknowledged=$((forked > 0 ? 1 : 0)) # the package that the forked home does not know it sent
for i in $(seq "$agents"); do
  st=$(status_of "$work/agent$i")
  acknowledged=$((acknowledged + $(jq .acknowledged <<<"$st")))
  [ "$i" = "$forked" ] || equal "agent $i waits for nothing" "$(jq .waiting <<<"$st")" 0
done
for _ in $(seq 200); do
  st=$(status_of_server)
  [ "$(jq '.index.watermark == .packages and .waiting == 0' <<<"$st")" = true ] && break
  sleep 0.1
done
equal "packages of the server" "$(jq .packages <<<"$st")" "$acknowledged"
equal "records of the server" "$(jq .records <<<"$st")" "$lines"
equal "leaves of the ledger" "$(jq .ledger.size <<<"$st")" "$acknowledged"
equal "refused" "$(jq .refused <<<"$st")" 0
hits telwoord >"$work/hits"
equal "hits of the common word" "$(wc -l <"$work/hits")" "$tokens"
equal "different words among them" "$(jq -r '.text' "$work/hits" | sort -u | wc -l)" "$tokens"
equal "hits with one sighting" "$(jq -c 'select((.sightings | length) == 1 and (.conflict | not))' "$work/hits" | wc -l)" "$tokens"
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
"$bin/chatkluis-agent" packages --home "$a" --export "$work/export" >/dev/null
one=$(ls "$work"/export/*.asice | sed -n 1p)
check "a package and its receipt verify" "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${one%.asice}.receipt.json" "$one"
equal "exported with a receipt" "$(ls "$work"/export/*.receipt.json | wc -l)" "$(status_of "$a" | jq .acknowledged)"
end 12
