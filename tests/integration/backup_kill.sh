#!/usr/bin/env bash
# Promise: `backup` and `restore` killed (SIGKILL) right after each durable step that they pass: a backup that has its name is
# whole, what was interrupted is done by giving the command again, and a home that was put back in part is no vault until then.
# The steps are those that an undisturbed run writes down, each time it passes one; fewer than 25 of the commands are a failure.
. "$(dirname "$0")/lib.sh"
begin backup_kill
steps=$work/steps
run() { rc=0; (env "$@" >"$work/out" 2>"$work/err"; exit $?) 2>/dev/null || rc=$?; } # without the shell's own line about who was killed
moments() { awk '{ print $1 ":" ++n[$1] }' "$1"; } # FILE of names: NAME:N, as KLUIS_KILL_STEP wants it
complete() { # WHAT DIR: every backup with a name is whole
  local d
  for d in "$2"/2*Z; do
    [ -d "$d" ] || continue
    check "$1: $(basename "$d") is whole" bash -c "cd '$d' && sha256sum --quiet --strict -c SHA256SUMS"
  done
}
again() { # WHAT DIR: the next attempt makes one, and nothing is left of the one before
  run "$bin/chatkluis-server" backup --home "$work/server" --to "$2"
  if [ "$rc" = 75 ]; then sleep 1.1; run "$bin/chatkluis-server" backup --home "$work/server" --to "$2"; fi # names have a second
  equal "$1: the next backup ($(head -n 1 "$work/err"))" "$rc" 0
  complete "$1, then" "$2"
  ok; [ -z "$(find "$2" -name '*.part')" ] || fail "$1: leftovers"
}

server_init
server_start
agent_enrol "$work/a"
for i in 1 2 3; do
  say "$work/chat$i.txt" "05-03-2026 09:00" Anna "reservebericht $i"
  source_add "$work/a" whatsapp-text "$work/chat$i.txt"
done
check "archive" "$bin/chatkluis-agent" archive --home "$work/a" --wait 60
await_hits 3 reservebericht || fail "not all is found"

# ---- the command ----
run "KLUIS_STEP_LOG=$steps" "$twin/chatkluis-server" backup --home "$work/server" --to "$work/to"
equal "an undisturbed backup" "$rc" 0
complete "undisturbed" "$work/to"
n=0
for m in $(moments "$steps"); do
  n=$((n + 1))
  run "KLUIS_KILL_STEP=$m" "$twin/chatkluis-server" backup --home "$work/server" --to "$work/to$n"
  equal "backup dies at $m" "$rc" 137
  complete "killed at $m" "$work/to$n"
  again "killed at $m" "$work/to$n"
  rm -rf "$work/to$n"
done
echo "backup_kill: $n kills of backup"
commands=$n

# ---- restore ----
backup=$(ls -d "$work"/to/2*Z)
bare() { mkdir -p "$1/vault"; cp -a "$work/server/vault/keys" "$1/vault/"; cp -a "$work/server/trust.json" "$1/"; }
server_stop
# Nobody serves: the command opens the vault itself, behind whose walls no backup could be written.
run "$bin/chatkluis-server" backup --home "$work/server" --to "$work/alone" --read-data
equal "a backup while nobody serves ($(head -n 1 "$work/err"))" "$rc" 0
complete "while nobody serves" "$work/alone"
ok; [ -n "$(ls -d "$work"/alone/2*Z 2>/dev/null)" ] || fail "no backup was made while nobody serves"
bare "$work/good"
run "KLUIS_STEP_LOG=$work/restore.steps" "$twin/chatkluis-server" restore --from "$backup" --home "$work/good"
equal "an undisturbed restore" "$rc" 0
n=0
for m in $(moments "$work/restore.steps"); do
  n=$((n + 1)) h=$work/home$n
  bare "$h"
  run "KLUIS_KILL_STEP=$m" "$twin/chatkluis-server" restore --from "$backup" --home "$h"
  equal "restore dies at $m" "$rc" 137
  if [ ! -e "$h/vault/custody.db" ]; then
    if [ -e "$h/vault/restore.begun" ]; then refuse "killed at $m: what stands there in part is served" timeout $((20 * patience)) "$bin/chatkluis-server" vault --home "$h" --gate https://127.0.0.1:9; fi
    run "$bin/chatkluis-server" restore --from "$backup" --home "$h"
    equal "killed at $m: the next restore" "$rc" 0
  fi
  rm -f "$h"/vault/restore.begun* "$h/vault/vault.lock" "$work/good/vault/vault.lock"
  check "killed at $m: the same as undisturbed" diff -r "$work/good/vault" "$h/vault"
  rm -rf "$h"
done
echo "backup_kill: $n kills of restore"
ok; [ $((commands + n)) -ge 25 ] || fail "only $((commands + n)) kills of the commands"
end 120
