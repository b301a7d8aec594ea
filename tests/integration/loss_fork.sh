#!/usr/bin/env bash
# Promises about a log that shows two histories (docs/PROTOCOL.md §8): a whole machine, vault and gate, is put back to a snapshot, so that nothing on it can
# notice. Its devices notice: they do not believe a tree that does not continue the one they know, keep both signed checkpoints whatever comes after, say
# so, and what they hold stays. A device that such a vault cannot read any more starts anew by itself. And a log that goes on as it should is believed.
. "$(dirname "$0")/lib.sh"
begin loss_fork
a=$work/a b=$work/b
agent_db() { sqlite3 "$1/agent.db" "$2"; }
write() { chat_more "$1" vorkbericht; }
archive() { run_agent archive --home "$1" --wait 60; equal "$2: the pass: $(head -c 200 "$work/err")" "$rc" 0; }
a_day_later() { agent_db "$1" "UPDATE config SET value = 1000000 WHERE key = 'log-checked'"; }

server_init
server_start
agent_enrol "$a"; agent_enrol "$b"
write "$a"; archive "$a" a; write "$b"; archive "$b" b
# ---- as it should be: once a day each device has the log shown to it ----
write "$b"; archive "$b" b
equal "a knows an older tree" "$(of "$a" .log.size)" 1
a_day_later "$a"
archive "$a" "a asks"
equal "a was shown that the log goes on from there" "$(of "$a" '[.log.size,.log.conflict,(.not_believed|length)]')" "[3,null,0]"
ok; [ "$(agent_db "$a" "SELECT value > 1000000 FROM config WHERE key = 'log-checked'")" = 1 ] || fail "it was not noted that the log was shown"

# ---- the machine is put back to a snapshot after more was acknowledged ----
server_stop
cp -a "$work/server" "$work/snapshot"
server_start
write "$a"; archive "$a" "the first history"
"$bin/chatkluis-agent" packages --home "$a" --export "$work/first" >/dev/null
equal "a's tree" "$(of "$a" .log.size)" 4
server_stop
rm -rf "$work/server"; cp -a "$work/snapshot" "$work/server"
server_start
write "$b"; write "$b"; archive "$b" "the second history"
equal "b's tree: nothing to say" "$(of "$b" '[.log.size,.log.conflict]')" "[5,null]"
# The vault cannot read what a sends: its ratchet is behind.
write "$a"
run_agent archive --home "$a" --wait 2; equal "not answered" "$rc" 75
equal "a holds what it sent" "$(of "$a" '[.sent,.acknowledged,.suspended]')" "[3,2,false]"
# An hour later, and the vault has published since: a starts a session anew.
server_stop; sleep 1; server_start
agent_db "$a" "UPDATE config SET value = value - 7200000000 WHERE key = 'bundle-asked'; UPDATE package SET handed = handed - 7200000000 WHERE state = 2"
for _ in $(seq 20); do
  run_agent archive --home "$a" --wait 20
  [ "$(of "$a" .acknowledged)" = 3 ] && break
  agent_db "$a" "UPDATE config SET value = value - 7200000000 WHERE key = 'bundle-asked'; UPDATE package SET handed = handed - 7200000000 WHERE state = 2"
  sleep 0.3
done
equal "a is heard again, and what the second history lacked is there: $(head -c 200 "$work/err")" "$(of "$a" .acknowledged) $(server .packages)" "3 7"
equal "the log is not believed: exit" "$rc" 1
ok; [[ $(of "$a" .log.conflict.reason) == *"does not continue the one that was signed before"* ]] || fail "status says $(of "$a" .log)"
run_agent status --home "$a"; equal "status ends with" "$rc" 1
ok; grep -q "^THE ARCHIVE'S LOG IS NOT BELIEVED since 20.*packages --export" "$work/out" || fail "status says: $(cat "$work/out")"
at=$(of "$a" .log.conflict.at)

# ---- what anybody can do with the evidence ----
"$bin/chatkluis-agent" packages --home "$a" --export "$work/evidence" >/dev/null
for n in known shown; do
  ok; [ -s "$work/evidence/log-$n.checkpoint" ] || fail "log-$n.checkpoint is not there"
  check "openssl reads the seal of log-$n" openssl cms -verify -binary -inform DER -in "$work/evidence/log-$n.p7s" -content "$work/evidence/log-$n.checkpoint" -noverify -out /dev/null
done
equal "one origin" "$(head -n 1 "$work/evidence/log-known.checkpoint")" "$(head -n 1 "$work/evidence/log-shown.checkpoint")"
equal "the tree that a knew" "$(sed -n 2p "$work/evidence/log-known.checkpoint")" 4
# Receipts of the first history stay what they are, for the verifier too: each was signed.
n=0
for p in "$work"/first/*.asice; do
  check "a receipt of the first history" "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p%.asice}.receipt.json" "$p"
  n=$((n + 1))
done
equal "packages of the first history" "$n" 2

# ---- nothing that comes after takes it away ----
write "$a"; run_agent archive --home "$a" --wait 30
equal "the first evidence stays" "$(of "$a" .log.conflict.at)" "$at"
"$bin/chatkluis-agent" packages --home "$a" --export "$work/later" >/dev/null
ok; cmp -s "$work/evidence/log-known.checkpoint" "$work/later/log-known.checkpoint" && cmp -s "$work/evidence/log-shown.checkpoint" "$work/later/log-shown.checkpoint" || fail "the evidence changed"
equal "b has nothing to say" "$(of "$b" .log.conflict)" null

# ---- backwards: the machine is put back once more, and b is told of a smaller tree ----
server_stop
rm -rf "$work/server"; cp -a "$work/snapshot" "$work/server"
server_start
# b's session is ahead of this vault's too; it starts anew at once when told to.
agent_db "$b" "DELETE FROM session; UPDATE config SET value = 0 WHERE key = 'bundle-asked'"
run_agent archive --home "$b" --wait 20
ok; [ "$rc" != 0 ] || fail "backwards, and the pass says that all is well"
ok; [[ $(of "$b" .log.conflict.reason) == *"it went backwards, from 5 leaves to 3"* ]] || fail "b says $(of "$b" .log)"
"$bin/chatkluis-agent" packages --home "$b" --export "$work/backwards" >/dev/null
equal "both checkpoints" "$(sed -n 2p "$work/backwards/log-known.checkpoint") $(sed -n 2p "$work/backwards/log-shown.checkpoint")" "5 3"
equal "b's packages are there again" "$(await is .packages 5; server .packages)" 5
end 34
