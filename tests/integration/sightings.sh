#!/usr/bin/env bash
# sightings.sh - one conversation by two ways (Signal's backup and its plaintext export): the vault shows it once, seen twice.
. "$(dirname "$0")/lib.sh"
export CHATKLUIS_KEYSTORE=file
command -v python3 >/dev/null || { echo "skipped: python3 is not installed"; exit 77; }
begin sightings
server_init
server_start
agent_enrol "$work/a"
records() { status_of_server | jq .records; }

# The same chats in both forms; what only JSON can hold is left out.
export EIGEN_KEY=eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0 EIGEN_ACI=e1e1e1e1-0000-4000-8000-000000000001
cp -a "$root/tests/fixtures/eigen-signal" "$work/export"
grep -vE '"99"|[tT]oekomst|nieuwVeld' "$root/tests/fixtures/eigen-signal/main.jsonl" >"$work/export/main.jsonl"
python3 "$root/tests/support/eigen/signal_backup.py" archive "$work/export/main.jsonl" "$work/phone" "$work/export/files"
printf '%s\n' "$EIGEN_KEY" >"$work/key"

source_add "$work/a" signal-export "$work/export"
agent "$work/a" archive >/dev/null
n=$(records)
ok; [ "$n" -ge 25 ] || fail "only $n records"
await_hits 1 nota || fail "nothing is found"
hits nota >"$work/once"
ok; [ "$(jq -s 'map(select((.sightings | if type == "array" then length else . end) != 1)) | length' "$work/once")" = 0 ] || fail "seen more than once: $(head -c 600 "$work/once")"

agent_source_key() { "$bin/chatkluis-agent" source add --home "$work/a" signal-archive "$work/phone" --option key=@"$work/key" >/dev/null; }
check "the backup as a second source" agent_source_key
agent "$work/a" archive >/dev/null
equal "every record came a second time" "$(records)" $((2 * n))
for _ in $(seq 100); do
  hits nota >"$work/twice"
  [ "$(jq -s 'map(.sightings | if type == "array" then length else . end) | add' "$work/twice")" -ge $((2 * $(wc -l <"$work/once"))) ] && break
  sleep 0.05
done
equal "as many messages as before" "$(wc -l <"$work/twice")" "$(wc -l <"$work/once")"
equal "each seen twice" "$(jq -s 'map(.sightings | if type == "array" then length else . end) | unique' -c "$work/twice")" "[2]"
equal "one conversation" "$(jq -r '.conversation.id // .conversation' "$work/twice" | sort -u)" "$(jq -r '.conversation.id // .conversation' "$work/once" | sort -u)"
before=$(find "$work/phone" -type f -exec sha256sum {} + | sort; find "$work/phone" | sort)
agent "$work/a" archive >/dev/null
equal "a second pass adds nothing" "$(records)" $((2 * n))
equal "the backup is as it was" "$(find "$work/phone" -type f -exec sha256sum {} + | sort; find "$work/phone" | sort)" "$before"
check "check is content" "$bin/chatkluis-server" check --home "$work/server"
end 9
