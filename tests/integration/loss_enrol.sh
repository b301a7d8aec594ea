#!/usr/bin/env bash
# Promises about what was acknowledged under an earlier enrolment (docs/PROTOCOL.md §8): after a new code a home still holds it, says so, and a vault that was
# set back asks for it and takes it back as it was, whether its log was kept by the gate or lost with it, and whether it still knows that device
# or not. It takes back only what it took before, and only from the same official. And without any loss the home still hears that a backup has it.
. "$(dirname "$0")/lib.sh"
begin loss_enrol
a=$work/a b=$work/b
write() { chat_more "$1" hercodebericht; }
archive() { run_agent archive --home "$1" --wait 60; equal "$2: the pass: $(head -c 200 "$work/err")" "$rc" 0; }
agent_db() { sqlite3 "$1/agent.db" "$2"; }
anew() { # HOME OFFICIAL: another code for a home that was enrolled
  code_for "$2" "$work/anew"
  check "$2 enrols anew" "$bin/chatkluis-agent" enrol --home "$1" --server "https://$gate" --code "@$work/anew"
}
a_day_later() { agent_db "$1" "UPDATE config SET value = 1000000 WHERE key = 'log-checked'"; }
passes() { # HOME PACKAGES MISSING
  local _
  for _ in $(seq 20); do
    run_agent archive --home "$1" --wait 30
    [ "$(server '[.packages,.missing]')" = "[$2,$3]" ] && [ "$(of "$1" '.waiting')" = 0 ] && [ "$(of "$1" '.packages == .acknowledged')" = true ] && return 0
    sleep 0.2
  done
}
export_all() { mkdir -p "$2"; "$bin/chatkluis-agent" packages --home "$1" --export "$2" >/dev/null; }
valid() { # WHAT DIR N: N packages there verify with their receipts
  local p n=0
  for p in "$2"/*.asice; do
    "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p%.asice}.receipt.json" "$p" >"$work/.verify" 2>&1 || { fail "$1: $(tail -n 3 "$work/.verify")"; break; }
    n=$((n + 1))
  done
  equal "$1: valid receipts" "$n" "$3"
}
whole() { # WHAT PACKAGES
  equal "$1: packages, missing, refused" "$(server '[.packages,.missing,.refused]')" "[$2,0,${3:-0}]"
  equal "$1: every message once" "$(await_hits "$2" hercodebericht; hits hercodebericht | jq -r .text | sort | uniq -c | awk '$1 == 1' | wc -l)" "$2"
  check "$1: check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
}
backup() { check "backup" "$bin/chatkluis-server" backup --home "$work/server" --to "$work/backup"; newest=$(ls -d "$work"/backup/2* | tail -n 1); }
restore() { check "restore" "$bin/chatkluis-server" restore --from "$1" --home "$work/server"; }
device_of() { agent_db "$1" "SELECT value FROM config WHERE key = 'device'"; }

server_init
server_start
official ander "Ander"
backup; bare=$newest # older than every enrolment
sleep 1.1 # a backup is named by its second

# ---- nothing is lost: a home that enrolled anew hears that a backup has what it delivered before ----
agent_enrol "$a"
write "$a"; write "$a"; write "$a"; archive "$a" "the first enrolment"
export_all "$a" "$work/before"; valid "the first enrolment" "$work/before" 3
first=$(device_of "$a")
anew "$a" ambtenaar1
write "$a"; archive "$a" "the second enrolment"
ok; [ "$(device_of "$a")" != "$first" ] || fail "control: it is the same device"
equal "acknowledged under both" "$(of "$a" '[.packages,.acknowledged,.backed_up]')" "[4,4,0]"
backup; kept=$newest
for _ in $(seq 20); do
  a_day_later "$a"; run_agent archive --home "$a" --wait 10
  [ "$(of "$a" .backed_up)" = 4 ] && break
  sleep 0.2
done
equal "a backup has all four, and the home knows" "$(of "$a" .backed_up)" 4
equal "nothing was sent twice for it" "$(server '[.packages,.ledger.size]')" "[4,4]"
write "$a"; archive "$a" "one more" # what the next backup would have had
server_stop
cp -a "$work/server" "$work/good"; cp -a "$a" "$work/good-a"

# ---- vault and gate are lost; the backup knows neither enrolment, so the device needs a third code ----
lose; rm -f "$work"/server/gate/gate.db*
restore "$bare"
server_start
run_agent archive --home "$a" --wait 2
ok; [ "$rc" != 0 ] || fail "control: a vault that does not know the device serves it"
official ambtenaar1 "Ambtenaar 1"
anew "$a" ambtenaar1
write "$a"
passes "$a" 6 0
whole "both lost" 6
equal "both lost: acknowledged, nothing unbelieved, nothing refused" "$(of "$a" '[.packages,.acknowledged,.refused,.suspended]')" "[6,6,0,false]"
equal "packages of three enrolments" "$(sqlite3 "$work/server/vault/custody.db" "SELECT count(DISTINCT device) FROM inbox")" 3
equal "five came back through the third" "$(sqlite3 "$work/server/vault/custody.db" "SELECT count(*), count(DISTINCT via) FROM inbox WHERE via <> ''")" "5|1"
equal "they are the official's" "$(sqlite3 "$work/server/vault/custody.db" "SELECT DISTINCT official FROM package")" ambtenaar1
check "receipts from before" valid "before" "$work/before" 3
export_all "$a" "$work/after"; valid "receipts now" "$work/after" 6
# The same bytes: whoever kept a package has the one that the archive has.
for p in "$work"/before/*.asice; do ok; cmp -s "$p" "$work/after/${p##*/}" || fail "${p##*/} is another file now"; done
backup
for _ in $(seq 20); do archive "$a" "hears of the backup"; [ "$(of "$a" .backed_up)" = 6 ] && break; sleep 0.2; done
equal "and a backup has what came back" "$(of "$a" .backed_up)" 6
equal "the index is built anew from them" "$("$bin/chatkluis-server" rebuild-index --home "$work/server" >/dev/null 2>&1; hits hercodebericht | wc -l)" 6
server_stop

# ---- the gate's mirror is there: the same leaves, the same tree; the vault knows the first device, and suspended it meanwhile or not ----
rm -rf "$work/server" "$a"; cp -a "$work/good" "$work/server"; cp -a "$work/good-a" "$a"
server_start
write "$a"; archive "$a" "before the second loss"
anew "$a" ambtenaar1
root6=$(server .ledger.root)
server_stop
lose; restore "$kept"
server_start
await is .missing 2 || true
equal "missing: made under the second enrolment, which the backup knows" "$(server '[.packages,.missing,.ledger.size]')" "[4,2,6]"
equal "the same tree" "$(server .ledger.root)" "$root6"

# ---- what comes back from somebody else, or was never taken, is refused by name ----
cp -a "$a" "$b"; anew "$b" ander
run_agent archive --home "$b" --wait 30
await is .refused 2 || true
equal "another official cannot return them" "$(server '[.packages,.missing,.refused]')" "[4,2,2]"
run_agent archive --home "$b" --wait 10
equal "it is told why" "$(of "$b" '[.refusals[].reason] | unique')" '["delivery: the package that comes back was another official'"'"'s"]'
passes "$a" 6 0
whole "the mirror kept" 6 2
equal "the same leaves" "$(server '[.ledger.size,.ledger.root,.ledger.since]')" "[6,$root6,null]"
equal "arrival as the ledger has it" "$(sqlite3 "$work/server/vault/custody.db" "SELECT count(*) FROM package p JOIN inbox i ON i.number = p.delivery JOIN leaf l ON l.idx = p.leaf
  WHERE instr(l.data, strftime('time %Y-%m-%dT%H:%M:%SZ', i.received_us / 1000000, 'unixepoch')) = 0")" 0
check "receipts from before" valid "before" "$work/before" 3
# A package that nobody acknowledged: packed anew after a new code, and its older form is no return.
server_stop; gate_alone
write "$a"; run_agent archive --home "$a" --wait 1; equal "handed to the gate alone" "$rc" 75
server_stop
sqlite3 "$work/server/gate/gate.db" "DELETE FROM queue; DELETE FROM upload" # the vault never hears of it
server_start
anew "$a" ambtenaar1
equal "one is packed anew" "$(agent_db "$a" "SELECT count(*) FROM package WHERE state = 5")" 1
agent_db "$a" "UPDATE package SET state = 1, acknowledged = 1 WHERE state = 5"
run_agent archive --home "$a" --wait 30
await is .refused 3 || true
equal "never taken: refused; packed anew: taken" "$(server '[.packages,.missing,.refused]')" "[7,0,3]"
equal "it is told why" "$(of "$a" '[.refusals[].reason] | unique')" '["delivery: this archive never took the package that comes back"]'
equal "nobody is suspended for it" "$(sqlite3 "$work/server/vault/register.db" "SELECT count(*) FROM device WHERE state = 2")" 0
end 52
