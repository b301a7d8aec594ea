#!/usr/bin/env bash
# Promises about a vault that is not what it was: an expired prekey bundle is not used; a vault that lost its sessions publishes a higher epoch, and
# the agent starts anew and sends again what was not acknowledged; a receipt that does not verify frees nothing of the agent's.
. "$(dirname "$0")/lib.sh"
export CHATKLUIS_KEYSTORE=file
begin vault_lost
told() { equal "$1: exit" "$rc" "$2"; ok; grep -q -- "$3" "$work/err" || fail "$1: says $(head -c 300 "$work/err")"; }
a=$work/a chat="$work/WhatsApp-chat met Bram.txt"

# ---- a bundle of a vault that has been away for forty days: its gate still hands it out ----
late="KLUIS_CLOCK_SHIFT=-3456000"
env "$late" "$twin/chatkluis-server" init --home "$work/server" --organisation "Provincie Voorbeeld" >/dev/null
server_start "$late"
official ambtenaar "Ambtenaar"
(umask 077; env "$late" "$twin/chatkluis-server" enrol --home "$work/server" --official ambtenaar >"$work/code")
env "$late" "$twin/chatkluis-agent" enrol --home "$a" --server "https://$gate" --code "@$work/code" >/dev/null
for _ in $(seq $((200 * patience))); do [ "$(sqlite3 "$work/server/gate/gate.db" 'SELECT count(*) FROM bundle')" = 1 ] && break; sleep 0.05; done
equal "the gate has a bundle" "$(sqlite3 "$work/server/gate/gate.db" 'SELECT count(*) FROM bundle')" 1
server_stop
gate_alone
say "$chat" "05-03-2026 09:00" Anna "eerste kanarie"
say "$chat" "05-03-2026 09:01" Bram "tweede kanarie"
source_add "$a" whatsapp-text "$chat"
run_agent archive --home "$a" --wait 5; told "an expired bundle" 1 'bundle has expired'
equal "nothing was handed over" "$(of "$a" .sent)" 0
equal "nothing lies at the gate" "$(sqlite3 "$work/server/gate/gate.db" 'SELECT (SELECT count(*) FROM upload) + (SELECT count(*) FROM queue WHERE kind = 2)')" 0
server_stop
server_start
run_agent archive --home "$a" --wait 60; equal "with a fresh bundle all is delivered" "$rc $(of "$a" .acknowledged)" "0 1"

# ---- the vault comes back without its sessions ----
epoch=$(of "$a" .epoch)
server_stop
sleep 1 # an epoch is a second
sqlite3 "$work/server/vault/custody.db" "DELETE FROM session; DELETE FROM meta WHERE key IN ('epoch','next-prekey','signed-prekey','signed-prekey-made')"
server_start
say "$chat" "06-03-2026 09:00" Anna "derde kanarie"
# The gate says that there is a newer bundle: no waiting, no user.
run_agent archive --home "$a" --wait 60; equal "the agent starts anew and sends again" "$rc $(of "$a" .acknowledged)" "0 2"
ok; [ "$(of "$a" .epoch)" -gt "$epoch" ] || fail "the epoch did not grow: $epoch, $(of "$a" .epoch)"
equal "packages at the vault" "$(status_of_server | jq .packages)" 2
equal "records at the vault, none twice" "$(status_of_server | jq .records)" 3
check "check is content" "$bin/chatkluis-server" check --home "$work/server" --read-data
# A lower epoch than the one it has seen would be a vault of the past: refused, nothing is sent.
sqlite3 "$a/agent.db" "UPDATE config SET value = value + 1000 WHERE key = 'epoch'; UPDATE config SET value = 0 WHERE key = 'bundle-asked'; DELETE FROM session"
say "$chat" "07-03-2026 09:00" Anna "vierde kanarie"
run_agent archive --home "$a" --wait 3; told "a bundle of an earlier epoch" 1 'older prekey bundle'
equal "nothing was handed over for it" "$(of "$a" .acknowledged)" 2
sqlite3 "$a/agent.db" "UPDATE config SET value = value - 1000 WHERE key = 'epoch'"
run_agent archive --home "$a" --wait 60; equal "the right epoch again" "$rc $(of "$a" .acknowledged)" "0 3"

# ---- a vault that seals with a key that nobody trusts: its receipts free nothing ----
"$bin/chatkluis-server" init --home "$work/other" --organisation "Ander" >/dev/null
server_stop
for f in seal.key seal.crt seal.pem seal.der; do
  for d in vault vault/keys .; do
    [ ! -e "$work/server/$d/$f" ] || { cp "$work/server/$d/$f" "$work/kept-${d//\//_}-$f"; cat "$work/other/$d/$f" >"$work/server/$d/$f"; }
  done
done
ok; ls "$work"/kept-* >/dev/null 2>&1 || fail "the seal's key was not found"
server_start
say "$chat" "08-03-2026 09:00" Anna "vijfde kanarie"
run_agent archive --home "$a" --wait 5
ok; [ "$rc" != 0 ] || fail "a receipt under a foreign seal counts as delivered"
equal "acknowledged" "$(of "$a" .acknowledged)" 3
id=$(sqlite3 "$a/agent.db" "SELECT lower(hex(id)) FROM package ORDER BY sequence DESC LIMIT 1")
ok; [ -s "$a/packages/$id.ckc" ] || fail "the agent's copy is gone"
equal "the copy is not free to go" "$(sqlite3 "$a/agent.db" "SELECT acknowledged IS NULL AND removed IS NULL FROM package ORDER BY sequence DESC LIMIT 1")" 1
ok; [ "$(sqlite3 "$a/agent.db" "SELECT count(*) FROM answer WHERE accepted = 0 AND reason LIKE 'receipt refused%'")" -ge 1 ] || fail "the refused receipt is not noted"
agent "$a" packages --export "$work/export" >/dev/null
equal "exported packages" "$(ls "$work"/export/*.asice | wc -l)" 4
equal "exported receipts" "$(ls "$work"/export/*.receipt.json | wc -l)" 3
end 18
