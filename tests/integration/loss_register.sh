#!/usr/bin/env bash
# Promises about the register after a loss (docs/PROTOCOL.md §8): what people decided after the backup stands, sealed, in the gate's journal; a vault
# that was restored does it again from there. A device that enrolled after the backup is known as before, sends what is missing without a new code, and a
# code works once whatever was restored; a device that was suspended stays suspended. A journal that is not this vault's is not believed. A server
# whose vault died waits while a command has the vault, and says so.
. "$(dirname "$0")/lib.sh"
begin loss_register
a=$work/a b=$work/b c=$work/c d=$work/d
reg() { sqlite3 "$work/server/vault/register.db" "$1"; }
gate_db() { sqlite3 "$work/server/gate/gate.db" "$1"; }
write() { chat_more "$1" registerbericht; }
archive() { run_agent archive --home "$1" --wait 60; equal "$2: the pass" "$rc" 0; }

server_init
server_start
agent_enrol "$a"
write "$a"; archive "$a" "before the backup"
official zonder "Zonder Apparaat"
code_for zonder "$work/late.code"
check "backup" "$bin/chatkluis-server" backup --home "$work/server" --to "$work/backup"
before=$(server .register.entries)
equal "two officials and a device" "$before" 3
ok; await is .register.mirrored 3 || fail "the gate has $(server .register.mirrored) of $before entries"

# ---- after the backup: two devices more, one of them with a code that the backup knows as unused; one is suspended ----
agent_enrol "$b"
"$bin/chatkluis-agent" enrol --home "$c" --server "https://$gate" --code "@$work/late.code" >/dev/null
write "$b"; write "$b"; archive "$b" "b"
write "$c"; archive "$c" "c"
cp -a "$c" "$d" # a clone: one event, a fork
write "$c"; archive "$c" "c goes on"
write "$d"; run_agent archive --home "$d" --wait 20
await is .register.entries 7 || true
equal "an official, two devices, a suspension" "$(server '.register|[.entries,.mirrored]')" "[7,7]"
equal "suspended" "$(reg "SELECT count(*) FROM device WHERE state = 2")" 1
packages=$(server .packages)
equal "packages" "$packages" 5
# Nobody reads the gate's copy: no name, no id, no function.
gate_db "SELECT hex(entry) FROM journal" | xxd -r -p >"$work/journal.bin"
ok; [ "$(gate_db "SELECT count(*) FROM journal")" = 7 ] && [ "$(stat -c %s "$work/journal.bin")" -gt 5000 ] || fail "control: there is no journal to look at"
for w in Ambtenaar ambtenaar2 zonder beleid chatkluis-register-entry "$(reg 'SELECT id FROM device LIMIT 1')"; do
  ok; ! grep -qaF "$w" "$work/journal.bin" || fail "'$w' stands in the gate's journal"
done
equal "sealed entries differ in length by blocks of a kibibyte" "$(gate_db "SELECT count(DISTINCT length(entry) % 1024) <= 8 FROM journal")" 1
server_stop

# ---- restored from the backup ----
lose
check "restore" "$bin/chatkluis-server" restore --from "$(ls -d "$work"/backup/2* | tail -n 1)" --home "$work/server"
equal "the backup knows one device" "$(reg "SELECT count(*) FROM device")" 1
# Decided before the vault has seen its gate: kept, behind what was decided before.
official tussendoor "Tussen Door"
server_start
await is .register.entries 8 || true
equal "known again" "$(server '.register|[.entries,.mirrored]')" "[8,8]"
equal "devices, suspended ones, officials" "$(reg "SELECT (SELECT count(*) FROM device), (SELECT count(*) FROM device WHERE state = 2), (SELECT count(*) FROM official)")" "3|1|4"
equal "the code was used" "$(reg "SELECT count(*) FROM code WHERE used = 0")" 0
run_agent enrol --home "$work/e" --server "https://$gate" --code "@$work/late.code"
equal "and works no more" "$rc" 1
equal "what was done again stands in the audit trail" "$("$bin/chatkluis-server" audit --home "$work/server" --json | jq -r 'select(.action == "register.replayed").detail' | cut -d' ' -f1 | sort | uniq -c | xargs)" "2 device 1 official 1 suspension"
for _ in $(seq 20); do
  archive "$a" "a afterwards"; archive "$b" "b afterwards"
  [ "$(server .missing)" -le 2 ] && break
  sleep 0.2
done
equal "b sent again what it had, without a new code" "$(server '[.packages,.missing]')" "[3,2]"
equal "nothing asked of b" "$(of "$b" '[.suspended,(.not_believed|length),.acknowledged]')" "[false,0,2]"
run_agent archive --home "$c" --wait 5; equal "who was suspended is" "$rc $(of "$c" .suspended)" "1 true"
# With a new code c gives what it still has: it was acknowledged, so it is in nobody else's hands.
write "$b"; archive "$b" "b goes on"
server_stop

# ---- a journal of somebody else at the gate ----
cp "$work/server/gate/gate.db" "$work/gate.db"
gate_db "UPDATE journal SET entry = (SELECT entry FROM journal WHERE number = 2) WHERE number = 8"
server_start
await is '.halted != null' true || true
ok; [[ $(server .halted) == *"entry 8 of the register's journal at the gate is not this vault's"* ]] || fail "a foreign entry is believed: $(server .halted)"
server_stop
cp "$work/gate.db" "$work/server/gate/gate.db"; rm -f "$work"/server/gate/gate.db-*

# ---- the gate's copy was lost: it gets all of it again ----
gate_db "DELETE FROM journal"
server_start
await is '.register|[.entries,.mirrored]' '[8,8]' || true
equal "the gate has it again" "$(gate_db "SELECT count(*) FROM journal")" 8

# ---- a command has the vault when it is started again: it waits, and says so ----
exec 9>>"$work/server/vault/vault.lock"
vault=$(part_pid vault)
( # as a command does: takes the vault as soon as it is free, says so, and keeps it until it was looked at
  for _ in $(seq $((400 * patience))); do flock -n 9 && break; sleep 0.01; done
  printf c | dd of="$work/server/vault/vault.lock" conv=notrunc status=none
  touch "$work/taken"
  await test -e "$work/looked"
) &
taker=$!
exec 9>&-
kill -KILL "$vault"
ok; await grep -q 'vault.waits' "$work/serve.log" || fail "the server does not say that it waits"
await test -e "$work/taken" || die "nobody took the vault"
run=$("$bin/chatkluis-server" status --home "$work/server" --json 2>&1) && rc=0 || rc=$?
equal "status meanwhile" "$rc" 75
ok; [[ $run == *"a command has the vault"*"the server waits until it is done"* ]] || fail "status says: $run"
ok; kill -0 "$server_pid" || fail "the server ended"
touch "$work/looked"
wait "$taker" || die "the vault was not kept"
ok; await is .halted null || fail "the vault did not go on"
write "$b"; archive "$b" "after the wait"
equal "nothing lost" "$(server '[.packages,.missing]')" "[5,2]"
# ... and whoever stops the server does not wait for that command.
exec 9>>"$work/server/vault/vault.lock"
server_stop
flock 9; printf c | dd of="$work/server/vault/vault.lock" conv=notrunc status=none
"$bin/chatkluis-server" serve --home "$work/server" --listen "$gate" >"$work/serve.out" 2>>"$work/serve.log" & server_pid=$!
waits() { [ "$(grep -c 'vault.waits' "$work/serve.log")" -ge 2 ]; }
ok; await waits || fail "at its first start the server does not wait"
began=$(date +%s)
kill "$server_pid"; rc=0; wait "$server_pid" || rc=$?
server_pid=
equal "it ends in order" "$rc" 0
ok; [ $(($(date +%s) - began)) -lt 20 ] || fail "it took $(($(date +%s) - began)) s to stop a server that waits"
end 43
