#!/usr/bin/env bash
# Promise: words planted in a message, a conversation's name, an author's name and an attachment are nowhere on the gate (files, database,
# log, memory), nor readable on the agent's or the vault's disk; the same searcher finds each where it must be.
. "$(dirname "$0")/lib.sh"
begin canary
find="$bin/../tests/find_bytes"
word=kanariezwavelgeel name=kanariegespreknaam author=Kanarievoornaam file=kanariebijlagetekst other=regenboogpad
words=("$word" "$name" "$author" "$file")

server_init
server_start
agent_enrol "$work/agent"
mkdir "$work/chat"
chat="$work/chat/WhatsApp-chat met $name.txt"
for i in $(seq 60); do say "$chat" "$(printf '11-03-2026 09:%02d' $((i % 60)))" "$author" "Bericht $i met $word en $other"; done
say "$chat" '11-03-2026 10:01' "$author" "DOC-20260311-WA0001.txt (bestand bijgevoegd)"
for i in $(seq 200); do echo "regel $i $file"; done >"$work/chat/DOC-20260311-WA0001.txt"
source_add "$work/agent" whatsapp-text "$work/chat"

clean() { # WHEN PLACE…: none of the words; a place that cannot be read proves nothing
  local when=$1 rc=0; shift
  ok
  "$find" "${words[@]}" -- "$@" >"$work/found" 2>"$work/found.err" || rc=$?
  [ "$rc" = 1 ] || { fail "$when: exit $rc"; head -n 5 "$work/found" "$work/found.err" >&2; }
}
contains() { # WHAT WORD PLACE…
  local what=$1 w=$2; shift 2
  ok; "$find" "$w" -- "$@" >"$work/found" 2>&1 || fail "control: $w is not found in $what"
}

# Controls of the searcher itself: the export, another process' memory.
for w in "${words[@]}"; do contains "the export" "$w" "$work/chat"; done
memory=1
bash -c 'v=$(cat "$1"); while :; do sleep 0.1; done' hold "$chat" & holder=$!
sleep 0.3
if "$find" "$word" -- "pid:$holder" >/dev/null 2>&1; then ok; else
  memory=; echo "canary: skipping the gate's memory: this user may not read the memory of processes"
fi
kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null || true

gate_pid=$(part_pid gate) || die "there is no gate process"
agent "$work/agent" archive & archiving=$!
looks=0
while kill -0 "$archiving" 2>/dev/null; do # while packages pass through it
  if [ -n "$memory" ]; then clean "the gate's memory while packages pass" "pid:$gate_pid"; fi
  clean "the gate's files while packages pass" "$work/server/gate" "$work/serve.log" 2>/dev/null || true
  looks=$((looks + 1))
done
wait "$archiving" || die "archive failed"
[ "$looks" -ge 1 ] || die "not looked at while packages passed"
await_hits 1 "$other" || die "nothing is found by $other"

gate_clean() {
  if [ -n "$memory" ]; then clean "the gate's memory ($1)" "pid:$gate_pid"; fi
  clean "the gate's files ($1)" "$work/server/gate"
  clean "the log ($1)" "$work/serve.log" "$work/serve.out"
}
gate_clean "after archiving"
clean "the vault's files" "$work/server/vault" "$work/server/tsa" "$work/server/root"
clean "the agent's home" "$work/agent/packages" "$work/agent/keys"
ok; if "$find" "$word" "$author" "$file" -- "$work/agent" >/dev/null 2>&1; then fail "a word stands in the agent's home"; fi
# What the gate's own searcher would find if it were there: ciphertext and ids do pass.
ok; [ "$(grep -c ' upload.chunk ' "$work/serve.log")" -ge 1 ] || fail "no upload passed the gate"

# Controls: each word is where it must be.
"$bin/chatkluis-agent" packages --home "$work/agent" --export "$work/export" >/dev/null
mkdir "$work/open"; for p in "$work"/export/*.asice; do (cd "$work/open" && unzip -qqo "$p"); done
for w in "${words[@]}"; do contains "the opened package" "$w" "$work/open"; done
equal "hits of the word" "$(hits "$word" | wc -l)" 60
ok; hits "$word" | sed -n 1p | jq -e --arg n "$name" --arg a "$author" '.conversation.name == $n and .author.name == $a' >/dev/null || fail "the hit does not name conversation and author"
gate_clean "after a search for the word"
server_stop
clean "the gate's files after the end" "$work/server/gate" "$work/serve.log"
ok; [ ! -e core ] && [ -z "$(find "$work" -name 'core*' -type f)" ] || fail "a core was left"
end 20
