#!/usr/bin/env bash
# Promise: where a session has a secret service, the agent's keys are in it and in no file; without its bus the agent says so and makes no second
# key; and back in that session it archives on.  A real gnome-keyring on a bus of its own.
. "$(dirname "$0")/lib.sh"
begin keyring
for t in dbus-run-session gnome-keyring-daemon; do
  command -v "$t" >/dev/null || { echo "keyring: skipped: $t is not installed"; exit 77; }
done
program=$bin/chatkluis-agent
[ ! -e "$program.watched" ] || program=$program.watched # a script stands in for it (tests/support/memcheck.sh)
[[ $(ldd "$program") == *libsecret* ]] || { echo "keyring: skipped: this agent was built without libsecret"; exit 77; }
unset CHATKLUIS_KEYSTORE DBUS_SESSION_BUS_ADDRESS
export HOME="$work/home" XDG_DATA_HOME="$work/home/data" XDG_RUNTIME_DIR="$work/run"
mkdir -m 700 "$HOME" "$work/run"
server_init
server_start
official jansen "A. Jansen"
code_for jansen "$work/code"
a=$work/a
say "$work/chat.txt" "05-03-2026 09:00" Anna "eerste kanarie"
say "$work/chat.txt" "05-03-2026 09:01" Bram "tweede kanarie"
# in_session COMMANDS: a bus and an unlocked keyring around them, gone afterwards; what the keyring holds stays in $XDG_DATA_HOME.
in_session() {
  cat >"$work/session.sh" <<S
set -e
printf 'geheim' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
$1
S
  rc=0; dbus-run-session -- bash "$work/session.sh" >"$work/out" 2>"$work/err" || rc=$?
}
in_session "'$bin/chatkluis-agent' enrol --home '$a' --server 'https://$gate' --code '@$work/code'
'$bin/chatkluis-agent' source add --home '$a' whatsapp-text '$work/chat.txt'
'$bin/chatkluis-agent' archive --home '$a'
'$bin/chatkluis-agent' status --home '$a' --json >'$work/status'"
equal "enrolled and archived in the session" "$rc" 0
[ "$rc" = 0 ] || cat "$work/err" >&2
equal "where the keys are" "$(jq -r .keystore "$work/status")" secret-service
equal "acknowledged" "$(jq .acknowledged "$work/status")" 1
equal "key files" "$(find "$a" -name '*.key' | wc -l)" 0
ok; ! grep -rqa 'BEGIN.*PRIVATE KEY' "$a" || fail "a key stands in the home folder"
# The control: the same searcher finds a key where one is.
rc=0; CHATKLUIS_KEYSTORE=file "$bin/chatkluis-agent" source add --home "$work/b" whatsapp-text "$work/chat.txt" >/dev/null 2>&1 || rc=$?
equal "another home, keys in files" "$rc $(find "$work/b" -name '*.key' | wc -l)" "0 1"

# Without the bus: one line, nothing made anew.
say "$work/chat.txt" "06-03-2026 09:00" Anna "derde kanarie"
rc=0; "$bin/chatkluis-agent" archive --home "$a" >"$work/out" 2>"$work/err" || rc=$?
equal "it does not archive without its keys" "$rc" 75
equal "lines" "$(wc -l <"$work/err")" 1
ok; grep -q 'keyring' "$work/err" || fail "it does not say what to do: $(cat "$work/err")"
equal "key files made without the bus" "$(find "$a" -name '*.key' | wc -l)" 0

in_session "'$bin/chatkluis-agent' archive --home '$a'; '$bin/chatkluis-agent' status --home '$a' --json >'$work/status'"
equal "the next session archives on" "$rc $(jq .acknowledged "$work/status")" "0 2"
equal "records at the vault" "$(status_of_server | jq .records)" 3
end 12
