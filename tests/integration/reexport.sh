#!/usr/bin/env bash
# reexport.sh - the same chats exported again: only what is new goes to the vault.  Counts are taken there, not at the agent.
. "$(dirname "$0")/lib.sh"
export CHATKLUIS_KEYSTORE=file
begin reexport
server_init
server_start
agent_enrol "$work/a"
records() { status_of_server | jq .records; }

# ---- Signal: attachment included; then a message edited, a reaction and a message more ----
cp -a "$root/tests/fixtures/demo/signal" "$work/signal"
read_counts() { "$bin/chatkluis-agent" read signal-export "$work/signal" --json | tail -n 1 | jq '[.counts[]] | add'; }
source_add "$work/a" signal-export "$work/signal"
n=$(read_counts)
ok; [ "$n" -ge 5 ] || fail "only $n records in the fixture"
agent "$work/a" archive >/dev/null
equal "all records of the first export" "$(records)" "$n"
agent "$work/a" archive >/dev/null
equal "the same export again" "$(records)" "$n"
agent "$work/a" packages --export "$work/export" >/dev/null
sum=$(basename "$work"/signal/files/83/*.pdf)
pdf=$(sha256sum "$work"/signal/files/83/"$sum" | cut -c 1-64)
found=0
for p in "$work"/export/*.asice; do
  unzip -qo "$p" -d "$work/x"
  if find "$work/x" -type f -exec sha256sum {} + | grep "^$pdf" >/dev/null; then found=$((found + 1)); fi
  rm -rf "$work/x"
done
equal "packages that hold the attachment" "$found" 1
# The last text message once more under a later time, as another message of the same author and chat.
jq -c 'select(.chatItem.standardMessage.text.body != null)' "$work/signal/main.jsonl" | tail -n 1 |
  jq -c '.chatItem.dateSent = ((.chatItem.dateSent | tonumber) + 60000 | tostring) | .chatItem.standardMessage.text.body = "nagekomen kanarievogel" | del(.chatItem.standardMessage.reactions) | del(.chatItem.revisions)' >>"$work/signal/main.jsonl"
m=$(read_counts)
ok; [ "$m" -gt "$n" ] || fail "the longer export reads $m records"
agent "$work/a" archive >/dev/null
equal "the longer export adds what is new" "$(records)" "$m"
await_hits 1 kanarievogel || fail "the new message is not found"
equal "hits of the new message" "$(hits kanarievogel | wc -l)" 1

# ---- WhatsApp: a message edited since the last export is a new record, its neighbours are not ----
chat="$work/WhatsApp-chat met Bram.txt"
say "$chat" "05-03-2026 09:00" Anna "ongewijzigd roodborstje"
say "$chat" "05-03-2026 09:01" Bram "oude tekst"
say "$chat" "05-03-2026 09:02" Anna "ook ongewijzigd"
source_add "$work/a" whatsapp-text "$chat"
agent "$work/a" archive >/dev/null
equal "three messages" "$(records)" $((m + 3))
: >"$chat"
say "$chat" "05-03-2026 09:00" Anna "ongewijzigd roodborstje"
say "$chat" "05-03-2026 09:01" Bram "nieuwe tekst winterkoning <Dit bericht is bewerkt>"
say "$chat" "05-03-2026 09:02" Anna "ook ongewijzigd"
say "$chat" "05-03-2026 09:08" Anna "en een erbij"
agent "$work/a" archive >/dev/null
equal "an edited message and a new one" "$(records)" $((m + 5))
await_hits 1 winterkoning || true
equal "the edited message" "$(hits winterkoning | wc -l)" 1
equal "its unchanged neighbour" "$(hits roodborstje | wc -l)" 1
first=$(hits '"oude tekst"' | jq -r .id)
equal "the edit points at what it was" "$(hits winterkoning | jq -r '"\(.kind) \(.target)"')" "edit $first"
equal "and has lost nothing by it" "$(hits winterkoning | jq -c '(.loss // []) | index("original-unknown")')" null

# ---- a message taken out of the middle of the export is said once to be gone; the head that an export leaves out is not ----
sed -i '/ook ongewijzigd/d' "$chat"
agent "$work/a" archive >/dev/null
equal "a message is gone from the export" "$(records)" $((m + 6))
agent "$work/a" archive >/dev/null
sed -i 1d "$chat"
agent "$work/a" archive >/dev/null
equal "said once, and not of the head" "$(records)" $((m + 6))
check "check is content" "$bin/chatkluis-server" check --home "$work/server"
end 16
