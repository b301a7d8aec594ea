#!/usr/bin/env bash
# Promise: agent, gate and vault killed (SIGKILL) at 200 moments of archiving, each right after a durable step, at least 40 different ones
# (a step's name, and for which package of the pass it came): after the restarts nothing that was acknowledged is missing, nothing is
# twice, and the agent finishes.  Four homes at a time; each is judged by itself, the kills are added up.
# KLUIS_KILLS, KLUIS_KILL_STEPS, KLUIS_KILL_NAMES: fewer, for a quick look.
. "$(dirname "$0")/lib.sh"
begin kill
kills_wanted=${KLUIS_KILLS:-200} steps_wanted=${KLUIS_KILL_STEPS:-40} names_wanted=${KLUIS_KILL_NAMES:-24} workers=4
limit=${KLUIS_KILL_SECONDS:-780}

if [ "${1:-}" != worker ]; then
  for i in $(seq $workers); do
    KLUIS_KILLS=$(((kills_wanted + workers - 1) / workers)) "$0" worker "$work/hits$i" >"$work/worker$i.out" 2>&1 & pids[i]=$!
  done
  for i in $(seq $workers); do
    ok; wait "${pids[i]}" || { fail "home $i"; grep -v ' info ' "$work/worker$i.out" | tail -n 30 >&2; }
    grep '^kill: ' "$work/worker$i.out" || true
  done
  cat "$work"/hits* >"$work/all"
  n=$(wc -l <"$work/all") steps=$(sort -u "$work/all" | wc -l) names=$(cut -d : -f 1 "$work/all" | sort -u | wc -l)
  for part in agent gate vault; do
    k=$(grep -c "^$part\." "$work/all" || true)
    echo "kill: $k at steps of the $part"
    ok; [ "$k" -ge $((kills_wanted / 10)) ] || fail "only $k kills at steps of the $part"
  done
  echo "kill: $n kills at $steps different steps of $names names"
  sort "$work/all" | uniq -c | awk '{print $1, $2}' | paste -sd ' ' | fold -s -w 150
  ok; [ "$n" -ge "$kills_wanted" ] || fail "only $n kills"
  ok; [ "$steps" -ge "$steps_wanted" ] || fail "only $steps different steps"
  ok; [ "$names" -ge "$names_wanted" ] || fail "only $names different names"
  end 10
  exit
fi
hits_file=$2
: >"$hits_file"
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

server_init
server_start "${twins[@]}"
agents=0 tokens=0 chats=3
new_agent() {
  agents=$((agents + 1)); a=$work/agent$agents
  agent_enrol "$a"
  local c
  for c in $(seq $chats); do
    say "$work/chat$agents-$c.txt" '11-03-2026 08:00' 'Kim Begin' "gesprek $c"
    say "$work/chat$agents-$c.txt" '11-03-2026 08:00' 'Lou Begin' "gesprek $c"
    lines=$((lines + 2))
    source_add "$a" whatsapp-text "$work/chat$agents-$c.txt"
  done
}
lines=0
grow() { # one message more in each chat, with a word of its own
  local c m
  for c in $(seq $chats); do
    tokens=$((tokens + 1)); lines=$((lines + 1)); m=$((tokens % 1200))
    say "$work/chat$agents-$c.txt" "$(printf '%02d-03-2026 %02d:%02d' $((12 + tokens / 1200)) $((m / 60)) $((m % 60)))" 'Kim Begin' "telwoord merk$(printf %05d $tokens)x"
  done
}
pass() { { env "${twins[@]}" "$twin/chatkluis-agent" archive --home "$a" --wait "${1:-4}"; } >"$work/pass.out" 2>"$work/pass.err"; }
alive() { # the supervisor gives up when a part dies six times within a minute: that is its right
  kill -0 "$server_pid" 2>/dev/null && return 0
  wait "$server_pid" 2>/dev/null || true
  server_start "${twins[@]}"
  starts=$((starts + 1))
}
settle() { # until everything of this agent is acknowledged
  local i
  disarm
  for i in $(seq 40); do
    alive
    if pass 10 && [ "$("$bin/chatkluis-agent" status --home "$a" --json | jq .waiting)" = 0 ]; then return 0; fi
    sleep 0.5
  done
  cat "$work/pass.err" >&2
  die "agent $agents does not finish"
}

# What steps there are: a pass of a fresh agent, then one that goes on.
starts=1
new_agent; : >"$log"; grow; pass 20; sleep 1.2; grow; pass 20; sleep 1.2
declare -A often hit tried
learn() { # steps that belong to archiving; the others happen at a start or an enrolment
  local n s k
  while read -r n s; do
    case "$s" in register.*|*enrol*|gate.device.*|gate.expire.*|db.schema|vault.device|index.create) continue ;; esac
    n=$(((n + $1 - 1) / $1))
    for k in $(seq $((n < 3 ? n : 3))); do often[$s:$k]=1; done
  done < <(sort "$log" | uniq -c)
  : >"$log"
}
learn 2

kills=0 misses=0 rounds=0
SECONDS=0
while [ "$kills" -lt "$kills_wanted" ]; do
  [ "$SECONDS" -lt "$limit" ] || { echo "kill: out of time after $rounds rounds"; break; }
  rounds=$((rounds + 1))
  # The step that was struck or missed least; ties by chance.
  target=$(for s in "${!often[@]}"; do echo "$((${hit[$s]:-0} + 2 * ${tried[$s]:-0})) $RANDOM $s"; done | sort -n | sed -n '1s/.* //p')
  case "$target" in
    agent.session.*|gate.prekey.*) settle; new_agent ;;
  esac
  alive
  grow
  arm "${target%:*}" "${target##*:}"
  pass 3 || true
  for _ in $(seq 15); do struck && break; kill -0 "$server_pid" 2>/dev/null || break; sleep 0.05; done
  if struck; then
    kills=$((kills + 1)); hit[$target]=$((${hit[$target]:-0} + 1))
    echo "$target" >>"$hits_file"
  else
    misses=$((misses + 1)); tried[$target]=$((${tried[$target]:-0} + 1))
  fi
  disarm
  learn 1
done
ok; [ "$kills" -ge "$kills_wanted" ] || fail "only $kills kills"
echo "kill: $kills kills in $rounds rounds, $misses not reached, $starts starts, $agents agents, ${SECONDS} s"

# The agent finishes; then everything is there once.
settle
acknowledged=0
for i in $(seq "$agents"); do
  st=$("$bin/chatkluis-agent" status --home "$work/agent$i" --json)
  acknowledged=$((acknowledged + $(jq .acknowledged <<<"$st")))
  equal "agent $i waits for nothing" "$(jq .waiting <<<"$st")" 0
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
equal "exported with a receipt" "$(ls "$work"/export/*.receipt.json | wc -l)" "$(jq .acknowledged < <("$bin/chatkluis-agent" status --home "$a" --json))"
end 12
