#!/usr/bin/env bash
# courier.sh - an agent before a gate that misbehaves: every fault is one clear line, loses nothing, and delivery goes on afterwards.
# The gate, the vault and the agent are the real ones; between them stands tests/support/gate_proxy.py.
. "$(dirname "$0")/lib.sh"
export CHATKLUIS_KEYSTORE=file
begin courier
proxy=
trap '[ -z "$proxy" ] || kill "$proxy" 2>/dev/null; finish_all' EXIT

# ---- a gate that has a name: the proxy's address ----
: >"$work/faults" ; : >"$work/log"
"$bin/chatkluis-server" init --home "$work/server" --organisation "Provincie Voorbeeld" --name "127.0.0.1:1" >/dev/null
python3 "$root/tests/support/gate_proxy.py" "$work/server/gate/tls.crt" "$work/server/gate/tls.key" "$work/port" "$work/upstream" "$work/faults" "$work/log" 2>"$work/proxy.err" &
proxy=$!
for _ in $(seq $((200 * patience))); do [ -s "$work/port" ] && break; sleep 0.05; done
name=$(cat "$work/port")
equal "init notes the name" "$(jq -r .name "$work/server/gate/gate.json")" "127.0.0.1:1"
jq --arg n "$name" '.name = $n' "$work/server/gate/gate.json" >"$work/gate.json"
cat "$work/gate.json" >"$work/server/gate/gate.json"

# A wildcard address without a name would refuse every login: it is refused at once.
jq 'del(.name)' "$work/gate.json" >"$work/server/gate/gate.json"
rc=0; "$bin/chatkluis-server" serve --home "$work/server" --listen 0.0.0.0:0 >"$work/out" 2>"$work/err" || rc=$?
equal "serve on every address without a name" "$rc" 64
equal "its lines" "$(wc -l <"$work/err")" 1
ok; grep -q -- --name "$work/err" || fail "it does not say what to do: $(cat "$work/err")"
cat "$work/gate.json" >"$work/server/gate/gate.json"
server_start
printf '%s\n' "$gate" >"$work/upstream"

# says WHAT EXIT WORDS: exit code and one line on stderr with these words.
says() {
  equal "$1: exit" "$rc" "$2"
  ok; [ "$(wc -l <"$work/err")" = 1 ] && grep -q -- "$3" "$work/err" || fail "$1: says $(cat "$work/err")"
}
fault() { printf '%s\n' "$@" >"$work/faults"; }
waiting() { agent "$1" status --json | jq "$2"; }

official jansen "A. Jansen"
code_for jansen "$work/code"
"$bin/chatkluis-agent" enrol --home "$work/a" --server "https://$name" --code "@$work/code" >/dev/null
mkdir "$work/chats"
chat="$work/chats/WhatsApp-chat met Bram.txt"
say "$chat" "05-03-2026 09:00" Anna "eerste kanarie"
say "$chat" "05-03-2026 09:01" Bram "tweede kanarie"
source_add "$work/a" whatsapp-text "$work/chats"

# ---- faults before anything is delivered ----
fault 'GET~/v1/bundle status=503,7'
run_agent archive --home "$work/a" --wait 5; says "503 for the bundle" 75 503
fault 'GET~/v1/bundle garbage'
run_agent archive --home "$work/a" --wait 5; says "garbage for the bundle" 75 'cannot reach'
fault 'GET~/v1/bundle big=30000000'
run_agent archive --home "$work/a" --wait 5; says "30 MB for the bundle" 1 'larger'
fault 'GET~/v1/bundle flip=60'
run_agent archive --home "$work/a" --wait 5; says "a bundle with a changed byte" 1 'bundle\|vault'
equal "nothing was handed over" "$(waiting "$work/a" .sent)" 0
# A nonce that is one complete DER SEQUENCE is never signed: 30 1e and 30 bytes.
der=$({ printf '\x30\x1e'; head -c 30 /dev/zero; } | base64 -w 0 | tr '+/' '-_' | tr -d =)
fault "GET~/v1/nonce nonce=$der 9"
: >"$work/log"
run_agent archive --home "$work/a" --wait 5; says "a nonce that is DER" 1 nonce
equal "requests signed over it" "$(awk '$2 != "/v1/nonce"' "$work/log" | wc -l)" 0
fault 'PUT~/v1/upload status=507,9'
run_agent archive --home "$work/a" --wait 5; says "a full gate" 75 507
fault 'PUT~/v1/upload status=429,1'
run_agent archive --home "$work/a" --wait 5; says "too many requests" 75 429

# ---- cut at arbitrary bytes, an answer lost, the same bytes again ----
: >"$work/log"
for n in 0 1 37 500 1000; do
  fault "PUT~/v1/upload cut=$n"
  run_agent archive --home "$work/a" --wait 5; equal "upload cut at $n: exit" "$rc" 75
done
fault 'POST~/v1/message status=409 9'
run_agent archive --home "$work/a" --wait 5; says "a gate that never has the upload whole" 1 409
equal "how often it was told so" "$(grep -c '^POST /v1/message' "$work/log")" 3
fault 'POST~/v1/message lost'
run_agent archive --home "$work/a" --wait 5; equal "answer to the message lost: exit" "$rc" 75
# The vault takes what the agent never heard of, just when it sends the message again: both go once more.
fault 'POST~/v1/message status=409'
run_agent archive --home "$work/a" --wait 60; equal "afterwards all is delivered ($(cat "$work/err"))" "$rc" 0
equal "acknowledged" "$(waiting "$work/a" .acknowledged)" 1
equal "uploads differ" "$(grep '^PUT /v1/upload' "$work/log" | awk '{print $3}' | sort -u | wc -l)" 1
equal "message posted six times, the same bytes and id" "$(grep '^POST /v1/message' "$work/log" | awk '{print $2, $3}' | sort | uniq -c | awk '{print $1}' | paste -sd,)" 6
equal "packages at the vault" "$(status_of_server | jq .packages)" 1

# ---- answers: replayed, garbage ----
say "$chat" "06-03-2026 09:00" Anna "derde kanarie"
fault "GET~/v1/inbox save=$work/inbox 9"
run_agent archive --home "$work/a" --wait 60; equal "a second package" "$rc" 0
ok; [ -s "$work/inbox" ] || fail "no answer was kept"
say "$chat" "07-03-2026 09:00" Anna "vierde kanarie"
fault "GET~/v1/inbox replay=$work/inbox"
run_agent archive --home "$work/a" --wait 60
equal "a replayed answer harms nothing" "$rc" 0
equal "acknowledged by their own answers alone" "$(waiting "$work/a" .acknowledged)" 3
printf 'x%.0s' $(seq 500) >"$work/junk"
fault "GET~/v1/inbox replay=$work/junk"
run_agent archive --home "$work/a" --wait 5
ok; [ "$rc" = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] || fail "a junk inbox: exit $rc, $(cat "$work/err")"

# ---- a vault that was stopped meanwhile: the session and its epoch go on ----
say "$chat" "08-03-2026 09:00" Anna "vijfde kanarie"
server_stop
: >"$work/faults"
epoch=$(waiting "$work/a" .epoch)
server_start
printf '%s\n' "$gate" >"$work/upstream"
run_agent archive --home "$work/a" --wait 60; equal "after a restart: exit" "$rc" 0
equal "the epoch stays while the sessions do" "$(waiting "$work/a" .epoch)" "$epoch"
equal "packages at the vault" "$(status_of_server | jq .packages)" 4

# ---- another organisation's certificate under the same address ----
"$bin/chatkluis-server" init --home "$work/other" --organisation "Ander" >/dev/null
kill "$proxy"; wait "$proxy" 2>/dev/null || true
port=${name##*:}
sed "s/(\"127.0.0.1\", 0)/(\"127.0.0.1\", $port)/" "$root/tests/support/gate_proxy.py" >"$work/proxy.py"
python3 "$work/proxy.py" "$work/other/gate/tls.crt" "$work/other/gate/tls.key" "$work/port2" "$work/upstream" "$work/faults" "$work/log" 2>>"$work/proxy.err" &
proxy=$!
for _ in $(seq $((200 * patience))); do [ -s "$work/port2" ] && break; sleep 0.05; done
: >"$work/log"
run_agent archive --home "$work/a" --wait 5; says "a gate of another root" 1 'does not prove'
equal "requests it saw" "$(wc -l <"$work/log")" 0
kill "$proxy"; wait "$proxy" 2>/dev/null || true
python3 "$work/proxy.py" "$work/server/gate/tls.crt" "$work/server/gate/tls.key" "$work/port2" "$work/upstream" "$work/faults" "$work/log" 2>>"$work/proxy.err" &
proxy=$!
sleep 0.5

# ---- a new enrolment, killed at each of its steps ----
device=$(waiting "$work/a" .device)
for step in agent.enrol.announced agent.enrol.device-key agent.enrol.login-key; do
  code_for jansen "$work/code"
  rc=0; env KLUIS_KILL_STEP="$step:1" "$twin/chatkluis-agent" enrol --home "$work/a" --server "https://$name" --code "@$work/code" >"$work/out" 2>&1 || rc=$?
  equal "killed at $step" "$rc" 137
  equal "the device before stays ($step)" "$(waiting "$work/a" .device)" "$device"
  say "$chat" "09-03-2026 09:00" Anna "bij $step"
  run_agent archive --home "$work/a" --wait 60; equal "and goes on delivering ($step)" "$rc" 0
  equal "leftover keys ($step)" "$(ls "$work/a/keys" | grep -c '^\(device\|login\)-')" 2
done
code_for jansen "$work/code"
rc=0; env KLUIS_KILL_STEP="agent.enrol.done:1" "$twin/chatkluis-agent" enrol --home "$work/a" --server "https://$name" --code "@$work/code" >"$work/out" 2>&1 || rc=$?
equal "killed after the commit" "$rc" 137
ok; [ "$(waiting "$work/a" .device)" != "$device" ] || fail "the new device does not count after its commit"
say "$chat" "10-03-2026 09:00" Anna "als nieuw apparaat"
run_agent archive --home "$work/a" --wait 60; equal "the new device delivers" "$rc" 0
equal "keys of the old device are gone" "$(ls "$work/a/keys" | grep -c '^\(device\|login\)-')" 2
equal "records at the vault, none twice" "$(status_of_server | jq .records)" 9
equal "enrolments in the audit trail" "$("$bin/chatkluis-server" audit --home "$work/server" --json | jq -s 'map(select(.action == "enrol")) | length')" 5
check "check is content" "$bin/chatkluis-server" check --home "$work/server"

# ---- a device set back to an older state forks: suspended, one line, exit 1, also in status ----
cp -a "$work/a" "$work/older"
say "$chat" "11-03-2026 09:00" Anna "voor de splitsing"
run_agent archive --home "$work/a" --wait 60; equal "before the fork" "$rc" 0
say "$chat" "12-03-2026 09:00" Anna "na de splitsing"
run_agent archive --home "$work/older" --wait 60
equal "a fork: exit" "$rc" 1
ok; grep -q 'suspended' "$work/err" || fail "a fork: says $(cat "$work/err")"
run_agent archive --home "$work/older" --wait 5; says "a suspended device" 1 'suspended this device: ask your administrator'
run_agent status --home "$work/older"; equal "status of a suspended device: exit" "$rc" 1
ok; grep -q '^SUSPENDED' "$work/out" || fail "status does not say suspended"
equal "suspensions in the audit trail" "$("$bin/chatkluis-server" audit --home "$work/server" --json | jq -s 'map(select(.action == "suspend")) | length')" 1
end 60
