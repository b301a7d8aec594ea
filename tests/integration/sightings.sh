#!/usr/bin/env bash
# sightings.sh - one conversation by two ways (Signal's backup and its plaintext export; an iPhone's database and a text export of WhatsApp): the vault
# shows it once, seen twice.
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

# WhatsApp, the group of our own iPhone, and what an export of that chat as text says of it: no ids, minutes, names.  In both orders of arrival.
mkdir "$work/ios"
python3 "$root/tests/support/eigen/whatsapp_ios.py" "$work/ios"
txt="$work/WhatsApp Chat with Projectgroep Dijken.txt"
cat >"$txt" <<'T'
01-01-2025 01:10 - Anna de Vries created group "Projectgroep Dijken"
01-01-2025 01:14 - Anna de Vries: Allen, let op
01-01-2025 01:15 - Bram: van een verborgen deelnemer
01-01-2025 01:15 - Anna de Vries: van een verborgen deelnemer
01-01-2025 01:20 - Carla: alleen in de export
T
ways() { # WORDS: each hit's conversation, author and sightings
  hits "$1" | jq -c '[.conversation.name // .conversation, .author.name // .author, (.sightings | if type == "array" then length else . end)]' | sort
}
await_ways() { # WORDS LINES
  for _ in $(seq $((100 * patience))); do [ "$(ways "$1")" = "$2" ] && break; sleep 0.05; done
  equal "$1" "$(ways "$1")" "$2"
}
agent_enrol "$work/b"
source_add "$work/b" whatsapp-ios "$work/ios/group.net.whatsapp.WhatsApp.shared"
agent "$work/b" archive >/dev/null 2>&1
source_add "$work/b" whatsapp-text "$txt"
agent "$work/b" archive >/dev/null 2>&1
await_ways '"alleen in de export"' '["Projectgroep Dijken","Carla",1]'
await_ways '"allen let op"' '["Projectgroep Dijken","Anna de Vries",2]'
await_ways '"verborgen deelnemer"' '["Projectgroep Dijken","Anna de Vries",1]
["Projectgroep Dijken","Bram",2]'
agent_enrol "$work/c"
source_add "$work/c" whatsapp-text "$txt"
agent "$work/c" archive >/dev/null 2>&1
await_ways '"allen let op"' '["Projectgroep Dijken","Anna de Vries",3]'
check "check is content" "$bin/chatkluis-server" check --home "$work/server"
server_stop
"$bin/chatkluis-server" rebuild-index --home "$work/server" >/dev/null 2>&1
server_start
await_ways '"allen let op"' '["Projectgroep Dijken","Anna de Vries",3]'
end 14
