#!/usr/bin/env bash
# Promise: where a session has a secret service, the agent's keys are in it and in no file; without its bus the agent says so and makes no second
# key; and back in that session it archives on.  A source's secret is looked up there at each pass, put there when it was typed, and in no file;
# Signal Desktop's own is found there.  A real gnome-keyring on a bus of its own.
. "$(dirname "$0")/lib.sh"
begin keyring
for t in dbus-run-session gnome-keyring-daemon secret-tool python3; do
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

# ---- secrets of sources: an item that somebody put there, one that was typed, and the one of Signal Desktop ----
mkdir "$work/ios"
python3 "$root/tests/support/eigen/whatsapp_ios.py" "$work/ios"
python3 - "$root" "$work/signal" <<'P'
import json, os, sys
root, folder = sys.argv[1:]
sys.path.insert(0, os.path.join(root, "tests/support/eigen"))
import signal_desktop as made
fixture = os.path.join(root, "tests/fixtures/eigen-signal")
with open(os.path.join(fixture, "main.jsonl"), encoding="utf-8") as f:
    frames = [json.loads(l) for l in f if not any(u in l for u in ('"99"', "oekomst", "nieuwVeld"))]
made.make(frames, folder, 1360, bytes(range(7, 39)), os.path.join(fixture, "files"))
with open(os.path.join(folder, "config.json"), "w") as f:
    json.dump(made.sealed_config(bytes(range(7, 39)), "gnome_libsecret", "geheim van de sleutelbos"), f)
P
backup=$work/ios/versleuteld password='geheim wachtwoord é'
printf '%s' "$password" >"$work/password"
n=$("$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option "password=@$work/password" | tail -n 1 | jq -c '.counts | add')
ok; [ "$n" -ge 20 ] || fail "only $n records in the backup"
put_secret() { printf "secret-tool store --label=Proef chatkluis ios-proef <'%s'\n" "$1"; }
in_session "$(put_secret "$work/password")
printf 'geheim van de sleutelbos' | secret-tool store --label=Signal application Signal
'$bin/chatkluis-agent' read whatsapp-ios '$backup' --json --option password=keyring:ios-proef >'$work/read'
'$bin/chatkluis-agent' read signal-desktop '$work/signal' --json >'$work/desktop'
'$bin/chatkluis-agent' source add --home '$a' whatsapp-ios '$backup' --option password=keyring:ios-proef
'$bin/chatkluis-agent' archive --home '$a'"
equal "read and archived with what the keyring holds" "$rc $(tail -n 1 "$work/read" | jq -c '.counts | add') $(status_of_server | jq .records)" "0 $n $((3 + n))"
[ "$rc" = 0 ] || cat "$work/err" >&2
ok; [ "$(tail -n 1 "$work/desktop" | jq -c '.counts.message')" -ge 5 ] || fail "Signal Desktop was not opened with its own secret: $(tail -n 1 "$work/desktop")"
equal "files with the password in the home" "$({ grep -rla wachtwoord "$a" || true; } | wc -l)" 0
# Looked up at each pass: another one there is another one here.
printf 'iets anders' >"$work/other"
in_session "$(put_secret "$work/other")
'$bin/chatkluis-agent' archive --home '$a'"
equal "another secret in the keyring" "$rc" 1
in_session "secret-tool clear chatkluis ios-proef
'$bin/chatkluis-agent' archive --home '$a'"
equal "none in the keyring" "$rc $(grep -c "secret-tool store" "$work/err")" "1 1"
# Keys of the home in files, and no session: the option alone waits for the keyring.
rc=0; CHATKLUIS_KEYSTORE=file "$bin/chatkluis-agent" source add --home "$work/b" whatsapp-ios "$backup" --option password=keyring:ios-proef >"$work/out" 2>"$work/err" || rc=$?
equal "no session to ask" "$rc $(wc -l <"$work/err")" "75 1"
# Typed: asked once, kept there, used by a pass that nobody sits at, gone with its source.
in_session "python3 '$root/tests/support/typed.py' '$work/tty' '$password' '$bin/chatkluis-agent' source add --home '$a' whatsapp-ios '$backup' --option 'password=?'
setsid '$bin/chatkluis-agent' archive --home '$a' </dev/null
secret-tool search --all home '$a' >'$work/items' 2>&1"
equal "typed and archived" "$rc" 0
[ "$rc" = 0 ] || cat "$work/err" >&2
equal "items of sources in the keyring" "$(grep -c 'Chatkluis source-' "$work/items")" 1
equal "files with what was typed in the home" "$({ grep -rla wachtwoord "$a" || true; } | wc -l) $(find "$a/keys" -name 'source-*' | wc -l)" "0 0"
in_session "'$bin/chatkluis-agent' source remove --home '$a' 2
secret-tool search --all home '$a' >'$work/items' 2>&1"
equal "removed with its source" "$rc $(grep -c 'Chatkluis source-' "$work/items" || true)" "0 0"
end 23
