#!/usr/bin/env bash
# Promise: `backup`, the vault that it asks, and `restore` killed (SIGKILL) right after each durable step that they pass: a backup that has its name is
# whole, what was interrupted is done by giving the command again, and a home that was put back in part is no vault until then.
# The steps are those that an undisturbed run writes down, each time it passes one; fewer than 25 of the commands are a failure.
. "$(dirname "$0")/lib.sh"
begin backup_kill
orders=$work/orders steps=$work/steps vault_steps=$work/vault.steps
head -c 192 /dev/zero >"$orders"; : >"$vault_steps"
chmod 666 "$orders" "$vault_steps"
put_at() { dd of="$orders" bs=1 seek="$1" conv=notrunc status=none; }
arm() { # NAME: the vault dies the next time it passes this step
  printf '\0\0\0\0' | put_at 0
  { printf '%s\0' "$1"; } | put_at 4
  printf '\0' | put_at 128
  printf '\1\0\0\0' | put_at 0
}
struck() { grep -qa K "$orders"; }
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
  ok; ! find "$2" -name '*.part' | grep -q . || fail "$1: leftovers"
}

server_init
server_start "KLUIS_KILL_FILE=$orders" "KLUIS_STEP_LOG=$vault_steps"
agent_enrol "$work/a"
for i in 1 2 3; do
  say "$work/chat$i.txt" "05-03-2026 09:00" Anna "reservebericht $i"
  source_add "$work/a" whatsapp-text "$work/chat$i.txt"
done
check "archive" "$bin/chatkluis-agent" archive --home "$work/a" --wait 60
await_hits 3 reservebericht || fail "not all is found"

# ---- the command ----
: >"$vault_steps"
run "KLUIS_STEP_LOG=$steps" "$twin/chatkluis-server" backup --home "$work/server" --to "$work/to"
equal "an undisturbed backup" "$rc" 0
complete "undisturbed" "$work/to"
cp "$vault_steps" "$work/vault.names"
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

# ---- the vault that it asks: serve starts it again ----
v=0
for s in $(grep -E '^(backup|register|vault[.](copy|backup[.]noted)|file)' "$work/vault.names" | sort -u); do # the gate writes there too, and what tells devices
  [ $((v % 4)) = 3 ] && { server_stop; server_start "KLUIS_KILL_FILE=$orders" "KLUIS_STEP_LOG=$vault_steps"; } # six within a minute are too many for serve
  v=$((v + 1))
  arm "$s"
  run "$bin/chatkluis-server" backup --home "$work/server" --to "$work/vault$v"
  ok; struck || fail "the vault did not pass $s"
  ok; [ "$rc" != 0 ] || fail "the vault died at $s, and the backup says that all is well"
  complete "the vault killed at $s" "$work/vault$v"
  for _ in $(seq 200); do status_of_server >/dev/null 2>&1 && break; sleep 0.05; done
  again "the vault killed at $s" "$work/vault$v"
  equal "killed at $s: packages in a backup" "$(status_of_server | jq .backup.packages)" 3
done
echo "backup_kill: $v kills of the vault"
ok; [ "$v" -ge 3 ] || fail "only $v steps of the vault"

# ---- restore ----
backup=$(ls -d "$work"/to/2*Z)
bare() { mkdir -p "$1/vault"; cp -a "$work/server/vault/keys" "$1/vault/"; cp -a "$work/server/trust.json" "$1/"; }
server_stop
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
    if [ -e "$h/vault/restore.begun" ]; then refuse "killed at $m: what stands there in part is served" timeout 20 "$bin/chatkluis-server" vault --home "$h" --gate https://127.0.0.1:9; fi
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
