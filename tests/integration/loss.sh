#!/usr/bin/env bash
# Promises about loss and return (docs/PROTOCOL.md §8): a vault restored from an old backup takes the leaves that it lacks from the gate's mirror before
# it appends one, so that its log stays the same tree; agents are asked for what is missing and send it again from their copies; nothing that was
# acknowledged is missing, nothing is twice, and every receipt stays valid. With the mirror lost as well the log begins anew, and every agent shows it.
. "$(dirname "$0")/lib.sh"
begin loss
a=$work/a b=$work/b
db() { sqlite3 "$work/server/vault/custody.db" "$1"; }
backup() { "$bin/chatkluis-server" backup --home "$work/server" --to "$work/backup" >"$work/out" 2>"$work/err"; }
newest() { ls -d "$work"/backup/2* | tail -n 1; }
restore() { "$bin/chatkluis-server" restore --from "$1" --home "$work/server" >"$work/out" 2>"$work/err"; }
write() { chat_more "$1" verliesbericht; }
both() { # both agents make a pass, and are through with it
  run_agent archive --home "$a" --wait 60; equal "$1: the pass of a ($(tail -n 1 "$work/err"))" "$rc" 0
  run_agent archive --home "$b" --wait 60; equal "$1: the pass of b ($(tail -n 1 "$work/err"))" "$rc" 0
}
# A vault needs a moment after its start until devices can hear of it: passes, as `run` makes them, until it has everything.
passes() { # WHAT PACKAGES
  local _
  for _ in $(seq $((100 * patience))); do # a gate that lost its register says so until the vault has told it
    run_agent archive --home "$a" --wait 60
    [ "$rc" = 75 ] && grep -q 'answered 503' "$work/err" || break
    sleep 0.05
  done
  for _ in $(seq 20); do
    both "$1"
    [ "$(server '[.packages,.missing]')" = "[$2,0]" ] && [ "$(of "$a" .log.since)" = "$(server .ledger.since)" ] &&
      [ "$(of "$b" .log.since)" = "$(server .ledger.since)" ] && return 0
    sleep 0.2
  done
}
receipts() { # DIR: everything that the agents hold, with its receipts
  mkdir -p "$1"
  "$bin/chatkluis-agent" packages --home "$a" --export "$1/a" >/dev/null; "$bin/chatkluis-agent" packages --home "$b" --export "$1/b" >/dev/null
}
valid() { # WHAT DIR: every package there verifies with its receipt; N of them
  local p n=0
  for p in "$2"/*/*.asice; do
    "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p%.asice}.receipt.json" "$p" >"$work/.verify" 2>&1 || { fail "$1: $(tail -n 3 "$work/.verify")"; break; }
    n=$((n + 1))
  done
  equal "$1: valid receipts" "$n" "$3"
}
whole() { # WHAT PACKAGES
  await is .missing 0 || true
  await is .packages "$2" || true
  equal "$1: packages, missing, records" "$(server '[.packages,.missing,.records]')" "[$2,0,$2]"
  equal "$1: different messages found" "$(await_hits "$2" verliesbericht; hits verliesbericht | jq -r .text | sort -u | wc -l)" "$2"
  equal "$1: every message once" "$(hits verliesbericht | wc -l)" "$2"
  check "$1: check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
}

server_init
server_start
agent_enrol "$a"; agent_enrol "$b"
write "$a"; write "$a"; write "$b"
both "before the backup"
check "backup" backup
first=$(newest)
both "after the backup"
equal "in a backup" "$(of "$a" .backed_up) $(of "$b" .backed_up) $(server .backup.packages)" "2 1 3"
check "the backup is what sha256sum reads" bash -c "cd '$first' && sha256sum --quiet --strict -c SHA256SUMS"
equal "secrets of sessions in the backup" "$(sqlite3 "$first/custody.db" 'SELECT (SELECT count(*) FROM session) + (SELECT count(*) FROM outbox WHERE state <> 0)')" 0
ok; [ -z "$(find "$work/backup" -name '*.key' -o -name '*.seed' -o -name '*.identity')" ] || fail "a key is in the backup"

# ---- what a backup refuses ----
refuse "a restore over a vault that is there" "$bin/chatkluis-server" restore --from "$first" --home "$work/server"
one=$(find "$work/server/vault/storage" -name '*.ckc' | head -n 1)
cp "$one" "$work/kept.ckc"; turn_bit "$one" 100
rc=0; "$bin/chatkluis-server" backup --home "$work/server" --to "$work/other" >"$work/out" 2>"$work/err" || rc=$?
equal "a damaged store is not backed up" "$rc $(find "$work/other" -maxdepth 1 -name "2*Z" | wc -l)" "74 0"
ok; grep -q 'other bytes than were noted' "$work/err" || fail "it says: $(cat "$work/err")"
cp "$work/kept.ckc" "$one"
check "once it is mended it is" "$bin/chatkluis-server" backup --home "$work/server" --to "$work/other"

# ---- after the backup: more, all of it acknowledged ----
write "$a"; write "$a"; write "$b"
both "later"
await is .ledger.checkpoint 6 || true
root6=$(server .ledger.root)
equal "six packages" "$(server '[.packages,.ledger.size]')" "[6,6]"
receipts "$work/before"
valid "before the loss" "$work/before" 6
# One more lies at the gate, which has not heard from its vault since.
server_stop
cp -a "$work/server" "$work/good"
gate_alone
write "$a"
run_agent archive --home "$a" --wait 1; equal "handed to the gate alone" "$rc" 75
server_stop

# ---- 1: restored from the backup, the mirror is there; killed again and again while it takes the mirror's leaves ----
lose
cp "$first/SHA256SUMS" "$work/sums"; sed -i '1s/^./g/' "$first/SHA256SUMS"
refuse "a backup whose list is damaged" restore "$first"
cp "$work/sums" "$first/SHA256SUMS"
check "restore" restore "$first"
once=$work/server/vault/once # where the vault's walls let it remove a file
touch "$once"
lines=$(($(wc -l <"$work/serve.log") + 1))
server_start KLUIS_KILL_STEP=vault.mirror.taken:1 "KLUIS_KILL_ONCE=$once"
ok; await test ! -e "$once" || fail "it was not killed while it took the mirror's leaves"
revived() { [ "$(tail -n +"$lines" "$work/serve.log" | grep -c 'serve.started part=vault')" -ge 2 ]; }
await revived || die "the vault was not started again" # a command that finds no vault would take its lock
await is .ledger.size 6 || true
equal "the same tree as before" "$(server '[.ledger.size,.ledger.root]')" "[6,$root6]"
equal "missing until the agents come" "$(server '[.packages,.missing]')" "[3,3]"
rc=0; "$bin/chatkluis-server" check --home "$work/server" >"$work/out" 2>"$work/err" || rc=$?
ok; [ "$rc" != 0 ] && grep -q '3 packages of the ledger are missing' "$work/err" || fail "check does not say so: $rc $(cat "$work/err")"
passes "with the mirror" 7
whole "with the mirror" 7
equal "one leaf more: the package that lay at the gate" "$(server .ledger.size)" 7
equal "leaves that no package has, packages in two leaves" "$(db "SELECT count(*) - (SELECT count(DISTINCT leaf) FROM package) FROM leaf")" 0
equal "arrival as the ledger has it" "$(db "SELECT count(*) FROM package p JOIN inbox i ON i.number = p.delivery JOIN leaf l ON l.idx = p.leaf
  WHERE instr(l.data, strftime('time %Y-%m-%dT%H:%M:%SZ', i.received_us / 1000000, 'unixepoch')) = 0")" 0
equal "acknowledged" "$(of "$a" .acknowledged) $(of "$b" .acknowledged)" "5 2"
valid "receipts from before" "$work/before" 6
receipts "$work/after"
valid "receipts now" "$work/after" 7
equal "nothing was not believed" "$(of "$a" '.not_believed|length') $(of "$b" '.not_believed|length')" "0 0"
equal "the log never began anew" "$(server .ledger.since) $(of "$a" .log.since)" "null null"
# Agents go on as if nothing had been.
write "$b"; both "afterwards"; whole "afterwards" 8
server_stop

# ---- the same loss without a mark: somebody put an older copy of the whole folder back ----
rm -rf "$work/server/vault"; cp -a "$work/good/vault" "$work/server/vault"
server_start
passes "an older copy" 8
whole "an older copy" 8
equal "an older copy: the same log" "$(server '[.ledger.size,.ledger.since]')" "[8,null]"
receipts "$work/again"
valid "an older copy: receipts" "$work/again" 8

# ---- 2: the mirror is lost too ----
server_stop
lose; rm -f "$work"/server/gate/gate.db*
check "restore again" restore "$first"
server_start
passes "without the mirror" 8
whole "without the mirror" 8
since=$(server .ledger.since)
ok; [ "$since" != null ] || fail "the log went on under its name although nobody knows what it had signed"
equal "every agent shows it" "$(of "$a" .log.since) $(of "$b" .log.since)" "$since $since"
ok; "$bin/chatkluis-agent" status --home "$b" | grep -q 'log began anew' || fail "b's status does not say it in words"
equal "nothing is asked of the user" "$(of "$a" '[.suspended,(.not_believed|length)]') $(of "$b" '[.suspended,(.not_believed|length)]')" "[false,0] [false,0]"
valid "receipts of the log before" "$work/again" 8
receipts "$work/anew"
valid "receipts of the log begun anew" "$work/anew" 8
ok; jq -r .proof "$work"/anew/*/*.receipt.json | grep -q '/since-' || fail "no receipt is of the log begun anew"
server_stop

# ---- two histories of one log are never joined: here the mirror is of one and the vault of another ----
cp -a "$work/server" "$work/left"
server_start
write "$a"; both "one history"
await is .packages 9 || true
server_stop
cp -a "$work/server/gate/gate.db" "$work/gate.db"
rm -rf "$work/server"; cp -a "$work/left" "$work/server"
sqlite3 "$work/server/gate/gate.db" "DELETE FROM leaf; DELETE FROM node; DELETE FROM mirror"
server_start
write "$b"; write "$b"
run_agent archive --home "$b" --wait 60
await is .packages 10 || true
size=$(server .ledger.size)
server_stop
cp "$work/gate.db" "$work/server/gate/gate.db"
server_start
await is '.halted != null' true || true
ok; [[ $(server .halted) == *"another tree than this ledger"* ]] || fail "a foreign mirror is taken for ours: $(server .halted)"
equal "and nothing was appended" "$(server .ledger.size)" "$size"
end 66
