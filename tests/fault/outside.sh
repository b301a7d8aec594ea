#!/usr/bin/env bash
# Promise: one system call after another of the release programs fails (EIO, ENOSPC, ENOMEM; put in from outside by strace, with their walls up,
# libc's and the libraries' own calls included): each run ends with an exit code that is true and a line that says what happened, the next run
# without faults ends well, and nothing acknowledged is missing or there twice.
# Of every kind of call some places are taken, spread over all that a run without faults makes after it was loaded; KLUIS_OUTSIDE=N takes N places.
# Each process and thread counts its own calls: strace makes the Nth of each of them fail, once.  Only faults that strace says it put in are counted.
# libgcrypt aborts when it cannot read whether the machine is in FIPS mode: that is a crash; what follows is judged, the number printed.
# Where strace is missing or this user may not trace a process, it says so and is skipped.
. "$(dirname "$0")/../integration/lib.sh"
begin outside
places=${KLUIS_OUTSIDE:-2}
command -v strace >/dev/null || { echo "outside: skipped: strace is missing: apt-get install strace"; exit 77; }
strace -f -qq -o /dev/null -e inject=fsync:error=EIO:when=100 true 2>/dev/null ||
  { echo "outside: skipped: this user may not trace a process"; exit 77; }

declare -A error=([openat]=EIO [read]=EIO [pread64]=EIO [write]=ENOSPC [pwrite64]=ENOSPC [fsync]=EIO [fdatasync]=EIO [close]=EIO
  [rename]=EIO [renameat]=EIO [renameat2]=EIO [ftruncate]=ENOSPC [fallocate]=ENOSPC [mkdir]=ENOSPC [mkdirat]=ENOSPC [unlink]=EIO [unlinkat]=EIO
  [newfstatat]=EIO [getdents64]=EIO [mmap]=ENOMEM [memfd_create]=ENOMEM [flock]=EIO [fcntl]=EIO [socket]=ENOBUFS [connect]=EIO
  [sendto]=EIO [recvfrom]=EIO [sendmsg]=EIO [recvmsg]=EIO [accept]=EIO [accept4]=EIO
  [access]=EIO [faccessat]=EIO [faccessat2]=EIO [link]=EIO [linkat]=EIO [chmod]=EIO [fchmod]=EIO [mlock]=ENOMEM [clone]=EAGAIN [clone3]=EAGAIN
  [pipe2]=EMFILE [socketpair]=EMFILE)
calls=$(printf ',?%s' "${!error[@]}") # ?: where a machine has them
traced=(strace -f -qq --seccomp-bpf)
looked=(-e "trace=munmap,set_tid_address$calls")

# listed FILE PLACES: of a trace `CALL N` for all that a program does once it is loaded: N of its process or thread, the places that are taken.
# (Loaded: the loader gives ld.so.cache back after it has set up the thread; what it gave back before was the rim of a library.)
listed() {
  awk -v places="$2" '
    { pid = $1; call = $2; sub(/\(.*/, "", call); if (call !~ /^[a-z0-9_]+$/) next
      if (first == "") first = pid
      n[pid, call]++
      if (pid == first && !loaded) { if (call == "set_tid_address") thread = 1; if (thread && call == "munmap") loaded = 1; skipped[call] = n[pid, call]; next }
      if (n[pid, call] > most[call]) most[call] = n[pid, call] }
    END { for (c in most) { if (c == "munmap" || c == "set_tid_address") continue
            from = skipped[c] + 1; span = most[c] - from; if (span < 0) continue
            for (i = 0; i < places; i++) { at = from + int(places == 1 ? span * 0.6 : span * i / (places - 1)); if (!((c, at) in told)) print c, at; told[c, at] = 1 } } }' \
    "$1" | sort
}
# points NAME COMMAND…: runs the command traced, without a fault; its places go to $work/points, its code to $rc.
points() {
  local name=$1; shift
  rc=0
  "${traced[@]}" -o "$work/calls" "${looked[@]}" "$@" >"$work/out" 2>"$work/err" || rc=$?
  listed "$work/calls" "$places" >"$work/points"
  ok; [ "$(wc -l <"$work/points")" -ge 10 ] || fail "$name: only $(wc -l <"$work/points") places"
}
counted() { # CALL: one more fault, if strace put it in
  grep -q '(INJECTED)' "$work/struck" || return 0
  injections=$((injections + 1))
  kinds+=" $1"
}
# struck CALL N COMMAND…: the Nth such call of each process and thread fails once; the code is $rc, what was said is in $work/err.
struck() {
  local call=$1 n=$2; shift 2
  rc=0
  (timeout -k 5 120 "${traced[@]}" -o "$work/struck" -e trace="$call" -e inject="$call:error=${error[$call]}:when=$n" "$@" >"$work/out" 2>"$work/err"
    exit $?) 2>/dev/null || rc=$? # without the shell's own line about who was aborted
  where="$call number $n (${error[$call]})"
  counted "$call"
}
# The code is one of those, and one who failed said what: not nothing, not a wall of text.
truly() { # WHAT CODE…
  local what=$1 c; shift
  ok
  if [ "$rc" = 134 ] && grep -q '"/proc/sys/crypto/fips_enabled".*(INJECTED)' "$work/struck"; then aborts=$((aborts + 1)); return 0; fi
  for c in "$@"; do [ "$rc" = "$c" ] && break; done
  [ "$rc" = "$c" ] || { fail "$what, $where: exit $rc: $(head -c 300 "$work/err")"; return 0; }
  grep -q ' write(2,.*(INJECTED)' "$work/struck" && return 0 # it was about to say so
  local lines; lines=$(grep -vcE '^[0-9T:.-]+Z (info|warn|error) ' "$work/err" || true)
  ok; [ "$rc" = 0 ] || { [ "$lines" -ge 1 ] && [ "$lines" -le 4 ]; } || fail "$what, $where: exit $rc with $lines lines: $(head -c 300 "$work/err")"
}
# unseen PATH COMMAND…: what cannot be looked at is not told as absent.
unseen() {
  local looks='?access,?faccessat,?faccessat2,?newfstatat'
  rc=0 where="a look at ${1#"$work"} (EIO)"
  "${traced[@]}" -o "$work/struck" -P "$1" -e trace="$looks" -e inject="$looks:error=EIO" "${@:2}" >"$work/out" 2>"$work/err" || rc=$?
  ok; grep -q '(INJECTED)' "$work/struck" || fail "nobody took $where"
  counted access
  truly "$(basename "$2") $3" 74
}
fresh() { rm -rf "$2"; cp -a "$1" "$2"; } # FROM TO
packages() { "$bin/chatkluis-agent" status --home "$1" --json | jq "$2"; }
more() { n=$((n + 1)); say "$chat" "11-03-2026 10:$(printf %02d $((n % 60)))" Anna "buitenbericht $n"; }
goes_on() { # the pass without a fault, until nothing waits
  local i
  for i in 1 2 3 4 5; do
    rc=0; agent "$a" archive --wait 20 >/dev/null 2>"$work/err" || rc=$?
    [ "$rc" = 0 ] && [ "$(packages "$a" .waiting)" = 0 ] && break
  done
  equal "the pass after $where: $(head -c 200 "$work/err")" "$rc" 0
}

# What works on a state of its own.  No close for the server's programs: strace puts the failure in place of the call, so the descriptor stays open, and a
# process that waits for its end waits for ever; a close that fails closes all the same (the sweeps inside do it so).
on_copy() { # agent | server, NAME [PLACES]: NAME_before makes the state and $words, NAME_after judges
  local program=$bin/chatkluis-$1 name=$2 places=${3:-$places} call at
  "${name}_before"
  points "$name" "$program" "${words[@]}"
  equal "the traced $name: $(head -c 200 "$work/err")" "$rc" 0
  while read -r call at; do
    [ "$1 $call" != "server close" ] || continue
    "${name}_before"
    struck "$call" "$at" "$program" "${words[@]}"
    truly "$name" 0 74 75
    "${name}_after"
  done <"$work/points"
}

# ---- the lanes: each has a server with something in it and an agent with something to do, and goes beside the others ----
lane_begin() {
  a=$work/agent chat=$work/chat.txt n=0 others=0 where="the beginning"
  server_init
  server_start
  agent_enrol "$a"
  more; more; more
  source_add "$a" whatsapp-text "$chat"
  goes_on
  await_hits 3 buitenbericht || die "the first pass is not found"
}
lane_end() { # everything is there, once
  where="all of it"; goes_on
  await_hits "$n" buitenbericht || true
  equal "messages at the end" "$(hits buitenbericht | wc -l)" "$n"
  equal "acknowledged" "$(packages "$a" '.packages == .acknowledged')" true
  equal "packages of the server" "$(status_of_server | jq .packages)" $((others + $(packages "$a" .acknowledged)))
  server_stop
  check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
}
lane() { # NAME COMMAND…
  local name=$1; shift
  work=$work/$name test_name=outside.$name
  mkdir "$work"
  injections=0 aborts=0 kinds= checks=0 failures=0
  trap '[ -z "$server_pid" ] || kill "$server_pid" $(pgrep -P "$server_pid") 2>/dev/null || true' EXIT # also one under strace, which lets it go
  lane_begin
  "$@"
  [ "$failures" = 0 ] || tail -n 30 "$work/serve.log" >&2
  printf '%s\n' "$checks $failures $injections $aborts" "$kinds" >"$work/counts"
}

# ---- the agent: its gate away, then there ----
pass_struck() {
  server_stop
  more; more
  cp -a "$a" "$work/a0"
  fresh "$work/a0" "$work/a1"
  local want untraced call at
  rc=0; agent "$work/a1" archive --wait 0 >/dev/null 2>&1 || rc=$?
  untraced=$rc
  fresh "$work/a0" "$work/a1"
  points pass "$bin/chatkluis-agent" archive --home "$work/a1" --wait 0
  equal "the traced pass ends as the untraced one" "$rc" "$untraced"
  want=$(packages "$work/a1" .packages)
  while read -r call at; do
    fresh "$work/a0" "$work/a1"
    struck "$call" "$at" "$bin/chatkluis-agent" archive --home "$work/a1" --wait 0
    truly "the agent's pass" 0 74 75
    rc=0; agent "$work/a1" archive --wait 0 >/dev/null 2>"$work/err" || rc=$?
    equal "the pass after $where: $(head -c 200 "$work/err")" "$rc $(packages "$work/a1" .packages)" "75 $want"
  done <"$work/points"
  server_start
  where="nothing"; goes_on
}
delivery_struck() {
  local call at
  more
  points delivery "$bin/chatkluis-agent" archive --home "$a" --wait 20
  equal "the traced delivery: $(head -c 200 "$work/err")" "$rc" 0
  while read -r call at; do
    more
    struck "$call" "$at" "$bin/chatkluis-agent" archive --home "$a" --wait 2
    truly "the delivery" 0 74 75
    goes_on
  done < <(grep -E '^(sendto|recvfrom|sendmsg|recvmsg|socket|connect|fdatasync|pwrite64|rename|write|read|close) ' "$work/points")
}

# ---- the agent's commands ----
listed_sources() { agent "$work/a2" source list --json 2>/dev/null | jq -s length; }
again() { [ "$rc" = 0 ] || "$bin/chatkluis-agent" "${words[@]}" >/dev/null 2>"$work/err" || true; } # refused, where only what came last had failed
add_before() { fresh "$a" "$work/a2"; words=(source add --home "$work/a2" signal-export "$root/tests/fixtures/demo/signal"); }
add_after() { again; equal "sources, one added after $where: $(head -c 200 "$work/err")" "$(listed_sources)" 2; }
remove_before() { fresh "$a" "$work/a2"; words=(source remove --home "$work/a2" 1); }
remove_after() { again; equal "sources, one removed after $where: $(head -c 200 "$work/err")" "$(listed_sources)" 0; }
export_before() { fresh "$a" "$work/a2"; rm -rf "$work/exported"; words=(packages --home "$work/a2" --export "$work/exported"); }
export_after() {
  check "the export after $where" "$bin/chatkluis-agent" "${words[@]}"
  check "exported as without $where" diff -r "$work/whole" "$work/exported"
}
enrol_before() { code_for ambtenaar1 "$work/code"; rm -rf "$work/e"; words=(enrol --home "$work/e" --server "https://$gate" --code "@$work/code"); }
enrol_after() {
  [ "$rc" = 0 ] || code_for ambtenaar1 "$work/code" # the other may be used up
  again
  source_add "$work/e" whatsapp-text "$work/other.txt"
  check "the pass of who enrolled after $where" "$bin/chatkluis-agent" archive --home "$work/e" --wait 20
  equal "acknowledged of who enrolled after $where" "$(packages "$work/e" .acknowledged)" 1
  others=$((others + 1))
}
commands_struck() {
  check "an export" "$bin/chatkluis-agent" packages --home "$a" --export "$work/whole"
  say "$work/other.txt" "11-03-2026 11:00" Bram "van een ander"
  on_copy agent add
  on_copy agent remove
  on_copy agent export
  on_copy agent enrol $(((places + 1) / 2))
}

# ---- gate and vault: from their start to their stop, a package between them ----
traced_stop() { # strace is who was started; the server is its child, and its code strace's
  rc=0
  kill "$(pgrep -o -P "$server_pid")" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || rc=$?
  server_pid=
}
serve_struck() { # K OF: every OFth kind of call from the Kth on
  local call at said
  server_stop
  more
  server_start_as "${traced[@]}" -o "$work/calls" "${looked[@]}" || die "the traced server ended at its start"
  where="the traced server"; goes_on
  traced_stop
  equal "the traced server" "$rc" 0
  listed "$work/calls" $(((places + 1) / 2)) >"$work/points"
  printf '%s\n' "${!error[@]}" | sort | awk -v k="$1" -v of="$2" 'NR % of == k' >"$work/mine"
  while read -r call at; do
    [ "$call" != close ] && grep -qx "$call" "$work/mine" || continue
    more
    where="$call number $at (${error[$call]})"
    said=$(stat -c %s "$work/serve.log")
    if server_start_as "${traced[@]}" -o "$work/struck" -e trace="$call" -e inject="$call:error=${error[$call]}:when=$at"; then
      rc=0; timeout 60 "$bin/chatkluis-agent" archive --home "$a" --wait 3 >"$work/out" 2>"$work/err" || rc=$?
      truly "the pass while the server is struck" 0 74 75
      traced_stop
      equal "the struck server's end, $where" "$rc" 0
    else
      rc=$server_code
      tail -c +$((said + 1)) "$work/serve.log" >"$work/err"
      truly "the server's start" 74 75
    fi
    counted "$call"
    server_start
    goes_on
    server_stop
  done <"$work/points"
  server_start
  lane_end
}

# ---- what works on the store while the server is away ----
rebuild_before() { fresh "$work/server" "$work/h1"; words=(rebuild-index --home "$work/h1"); }
rebuild_after() {
  check "rebuild-index after $where" "$bin/chatkluis-server" rebuild-index --home "$work/h1"
  equal "hits after a rebuild and $where" "$("$bin/chatkluis-server" search --home "$work/h1" --purpose test --json buitenbericht | wc -l)" "$n"
}
whole_backup() { # WHAT.  A name has a second: whoever comes within it is told to come again.
  check "$1" bash -c '"$@" || { [ $? = 75 ] && sleep 1.1 && "$@"; }' _ "$bin/chatkluis-server" backup --home "$work/server" --to "$work/backups" --read-data
}
backup_before() { rm -rf "$work/backups"; mkdir "$work/backups"; words=(backup --home "$work/server" --to "$work/backups"); }
backup_after() {
  local d
  whole_backup "the backup after $where"
  for d in "$work"/backups/2*Z; do check "${d##*/} is whole after $where" bash -c "cd '$d' && sha256sum --quiet --strict -c SHA256SUMS"; done
  ok; [ -z "$(find "$work/backups" -name '*.part')" ] || fail "leftovers after $where and another backup"
}
bare() { rm -rf "$1"; mkdir -p "$1/vault"; cp -a "$work/server/vault/keys" "$1/vault/"; cp -a "$work/server/trust.json" "$1/"; }
restore_before() { bare "$work/h2"; words=(restore --from "$one" --home "$work/h2"); }
restore_after() {
  [ -e "$work/h2/vault/custody.db" ] || check "restore after $where" "$bin/chatkluis-server" "${words[@]}"
  rm -f "$work/h2"/vault/restore.begun # where only its removal failed, the next start does it
  check "restored as without $where" diff -r -x vault.lock "$work/good/vault" "$work/h2/vault"
}
stored_struck() {
  server_stop
  on_copy server rebuild
  on_copy server backup
  backup_before
  whole_backup "a backup to put back"
  one=$(echo "$work"/backups/2*Z)
  bare "$work/good"
  check "a restore" "$bin/chatkluis-server" restore --from "$one" --home "$work/good"
  on_copy server restore
  restore_before
  unseen "$work/h2/vault/keys/wrapping.key" "$bin/chatkluis-server" "${words[@]}"
  unseen "$work/server/vault" "$bin/chatkluis-server" search --home "$work/server" --purpose test --json buitenbericht
  unseen "$work/server/vault/index/keys" "$bin/chatkluis-server" search --home "$work/server" --purpose test --json buitenbericht
  unseen "$work/server/vault/keys" "$bin/chatkluis-server" init --home "$work/server" --organisation "Provincie Voorbeeld"
  equal "hits afterwards" "$(hits buitenbericht | wc -l)" "$n"
  server_start
  lane_end
}
agent_struck() { pass_struck; delivery_struck; commands_struck; lane_end; }

# ---- all of it, and the minima ----
declare -A at_least=([agent]=120 [serve0]=9 [serve1]=9 [stored]=75)
(lane agent agent_struck) &
(lane serve0 serve_struck 0 2) &
(lane serve1 serve_struck 1 2) &
(lane stored stored_struck) &
wait
total=0 crashes=0 all= said=
for name in agent serve0 serve1 stored; do
  [ -s "$work/$name/counts" ] || { fail "$name did not come to its end"; continue; }
  { read -r c f i x; read -r k || true; } <"$work/$name/counts"
  checks=$((checks + c)) failures=$((failures + f)) total=$((total + i)) crashes=$((crashes + x)) all+=" $k" said+=", $name $i"
  ok; [ "$i" -ge "${at_least[$name]}" ] || fail "$name: only $i of at least ${at_least[$name]} faults"
done
kinds=$(tr ' ' '\n' <<<"$all" | sort -u | grep -c .)
echo "fault: outside: $total system calls made to fail, of $kinds kinds${said}; $crashes aborts of libraries, $failures failures"
ok; [ "$total" -ge 220 ] || fail "only $total of at least 220 faults"
ok; [ "$kinds" -ge 20 ] || fail "only $kinds of at least 20 kinds of calls"
end 900
