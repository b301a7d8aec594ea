#!/usr/bin/env bash
# T9: whoever takes a device with all its keys finds, of what was archived, nothing older than the window: 30 days after its receipt, once it stands
# in a completed backup, neither a package's bytes nor its key are there; not even ciphertext that was kept from the network opens with what is left.
# Before that the agent keeps it: without a backup nothing goes, however old, nor by a clock that the gate does not agree with.
. "$(dirname "$0")/../integration/lib.sh"
begin T9
export CHATKLUIS_KEYSTORE=file # the worst case: who has the folder has the keys
server_init
server_start
a=$work/a chat="$work/WhatsApp-chat met Bram.txt"
agent_enrol "$a"
say "$chat" "05-03-2026 09:00" Anna "kanariewoord een"
source_add "$a" whatsapp-text "$chat"
check "archived" agent "$a" archive
old=$(sqlite3 "$a/agent.db" "SELECT lower(hex(id)) FROM package")
key=$(sqlite3 "$a/agent.db" "SELECT hex(key) FROM package")
cp "$a/packages/$old.ckc" "$work/intercepted.ckc"
of() { sqlite3 "$a/agent.db" "SELECT $1 FROM package WHERE id = x'$old'"; }
pass() { # DAYS [OPTION…]: a pass so many days on, by this computer's clock
  local days=$1; shift
  env KLUIS_CLOCK_SHIFT=$((days * 86400)) "$twin/chatkluis-agent" archive --home "$a" --wait 0 "$@" >/dev/null 2>&1 || true
}
later() { # DAYS [OPTION…]: the same, and the gate agrees
  server_stop; server_start KLUIS_CLOCK_SHIFT=$(($1 * 86400))
  pass "$@"
  server_stop; server_start
}
seized() { # a stranger has the folder and reads what he can: words of the chat
  rm -rf "$work/seized" "$work/out"; cp -a "$a" "$work/seized"
  "$bin/chatkluis-agent" packages --home "$work/seized" --export "$work/out" >/dev/null 2>&1 || true
  { for f in "$work"/out/*.asice; do [ -e "$f" ] && unzip -p "$f" data/\*; done; cat "$work/seized"/packages/* 2>/dev/null; } | grep -ac kanariewoord || true
}
# The key in all its spellings on the disk: database, its log, anything beside it.
key_seen() { # in hexadecimal, since a key may hold a line's end, at which grep would cut it
  local f n=0
  while read -r f; do [ "$(xxd -p "$f" | tr -d '\n' | grep -ci -- "$key" || true)" = 0 ] || n=$((n + 1)); done < <(find "$a" -type f)
  echo "$n"
}

ok; [ "$(seized)" -ge 1 ] || fail "control: a fresh package can be read with the keys of its home"
ok; [ "$(key_seen)" -ge 1 ] || fail "control: the key is not found where it is"
later 400
equal "400 days old and in no backup: the copy is kept" "$(of 'removed IS NULL') $([ -s "$a/packages/$old.ckc" ] && echo file)" "1 file"
check "backup" "$bin/chatkluis-server" backup --home "$work/server" --to "$work/backup"
for _ in $(seq $((100 * patience))); do
  agent "$a" archive --wait 1 >/dev/null
  [ "$(of 'backed_up IS NOT NULL')" = 1 ] && break
  sleep 0.1
done
equal "the agent was told" "$(of 'backed_up IS NOT NULL')" 1
later 29
equal "29 days old: kept" "$(of 'removed IS NULL')" 1
later 31 --keep-days 90
equal "31 days old, and its owner keeps 90" "$(of 'removed IS NULL')" 1
pass 400
equal "400 days old by a clock that the gate does not agree with: kept" "$(of 'removed IS NULL')" 1
refuse "a shorter time than 30 days" agent "$a" archive --keep-days 29
later 31
equal "31 days old: gone" "$(of 'removed IS NOT NULL')" 1
ok; [ ! -e "$a/packages/$old.ckc" ] || fail "the ciphertext is still there"
equal "files that hold its key" "$(key_seen)" 0
equal "words of the chat that a stranger reads" "$(seized)" 0
# Ciphertext that somebody kept, put back: nothing on the device opens it.
cp "$work/intercepted.ckc" "$a/packages/$old.ckc"
sqlite3 "$a/agent.db" "UPDATE package SET removed = NULL"
equal "words in intercepted ciphertext" "$(seized)" 0
rm "$a/packages/$old.ckc"; sqlite3 "$a/agent.db" "UPDATE package SET removed = 1"
# And the device goes on as before, without taking anything for new.
say "$chat" "06-03-2026 09:00" Anna "kanariewoord twee"
check "the next pass" agent "$a" archive
equal "records at the vault" "$(status_of_server | jq .records)" 2
end 17
