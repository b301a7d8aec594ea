#!/usr/bin/env bash
# Promise: a secret of a source is no argument and stands in no file unless one was asked for: it is typed at a terminal that does not show it, or read from
# a file.  With a real terminal (a pty).  What the keyring holds: keyring.sh.
. "$(dirname "$0")/lib.sh"
begin secrets
command -v python3 >/dev/null || { echo "secrets: skipped: python3 is not installed"; exit 77; }
unset DBUS_SESSION_BUS_ADDRESS
mkdir "$work/ios"
python3 "$root/tests/support/eigen/whatsapp_ios.py" "$work/ios"
backup=$work/ios/versleuteld password='geheim wachtwoord é'
printf '%s\n' "$password" >"$work/password"
typed() { rc=0; python3 "$root/tests/support/typed.py" "$work/tty" "$@" >"$work/out" 2>"$work/err" || rc=$?; }
count() { tail -n 1 "$work/out" | jq -c '.counts | add' 2>/dev/null || true; }
one_line() { equal "$1" "$(wc -l <"$work/err")" 1; ok; grep -q -- "$2" "$work/err" || fail "$1: it says $(cat "$work/err")"; }

run_agent read whatsapp-ios "$backup" --json --option "password=@$work/password"
n=$(count)
ok; [ "$n" -ge 20 ] || fail "only $n records in the backup"
typed "$password" "$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option 'password=?'
equal "typed, and read as from the file" "$rc $(count)" "0 $n"
ok; grep -q 'password of versleuteld: ' "$work/tty" || fail "it asks: $(cat "$work/tty")"
ok; ! grep -q 'geheim' "$work/tty" || fail "the terminal showed it"
typed "iets anders" "$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option 'password=?'
equal "another password" "$rc $(wc -c <"$work/out")" "1 0"
one_line "another password" password
typed "" "$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option 'password=?'
equal "nothing" "$rc" 64
one_line "nothing" "nothing was typed"
typed '^C' "$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option 'password=?'
equal "the interrupt key ends it, and the echo is back" "$rc" 130
rc=0; setsid "$bin/chatkluis-agent" read whatsapp-ios "$backup" --json --option 'password=?' >"$work/out" 2>"$work/err" </dev/null || rc=$?
equal "without a terminal" "$rc $(wc -c <"$work/out")" "64 0"
one_line "without a terminal" "no terminal.*password=@FILE"
run_agent read whatsapp-ios "$backup" --json --option 'password=geheim wachtwoord'
equal "as an argument" "$rc" 64
one_line "as an argument" 'password=?'
ok; ! grep -q geheim "$work/err" || fail "an argument that is a secret is repeated"
run_agent read whatsapp-ios "$backup" --json --option 'password=keyring:'
equal "no item named" "$rc" 64
# A pattern stays a pattern: nobody is asked.
rc=0; setsid "$bin/chatkluis-agent" read whatsapp-ios "$backup" --option "password=@$work/password" --option 'include=?' >"$work/out" 2>"$work/err" </dev/null || rc=$?
equal "include=? is a pattern" "$rc $(head -n 1 "$work/out")" "0 0 conversations"

# ---- enrolment asks in the same way ----
typed "geen code" "$bin/chatkluis-agent" enrol --home "$work/c" --server https://127.0.0.1:9
ok; grep -q 'code: ' "$work/tty" && [ "$rc" -ne 0 ] && [ "$rc" -lt 90 ] || fail "enrolment did not ask: $rc $(cat "$work/tty")"

# ---- typed once for a source: kept beside the home's own keys, used at each pass, gone with the source ----
server_init
server_start
agent_enrol "$work/a"
typed "$password" "$bin/chatkluis-agent" source add --home "$work/a" whatsapp-ios "$backup" --option 'password=?'
equal "added" "$rc" 0
equal "its key file is its owner's alone" "$(stat -c %a "$work"/a/keys/source-*.key)" 600
equal "files of the home with the password" "$(grep -rla "wachtwoord" "$work/a" | sed 's|.*/||;s|source-.*|source|')" source
rc=0; setsid "$bin/chatkluis-agent" archive --home "$work/a" >"$work/out" 2>"$work/err" </dev/null || rc=$?
equal "archived without a terminal" "$rc $(status_of_server | jq .records)" "0 $n"
ok; ! grep -qa "wachtwoord" "$work/out" "$work/err" || fail "the password is shown"
typed "iets anders" "$bin/chatkluis-agent" source add --home "$work/a" whatsapp-ios "$backup" --option 'password=?'
run_agent archive --home "$work/a"
equal "added again with another one" "$rc" 1
"$bin/chatkluis-agent" source add --home "$work/a" whatsapp-ios "$backup" --option "password=@$work/password" >/dev/null
equal "in a file now: what was typed is gone" "$(find "$work/a/keys" -name 'source-*' | wc -l)" 0
typed "$password" "$bin/chatkluis-agent" source add --home "$work/a" whatsapp-ios "$backup" --option 'password=?'
rm "$work"/a/keys/source-*
run_agent archive --home "$work/a"
equal "what was typed cannot be reached" "$rc" 75
one_line "what was typed cannot be reached" "add the source again"
typed "$password" "$bin/chatkluis-agent" source add --home "$work/a" whatsapp-ios "$backup" --option 'password=?'
"$bin/chatkluis-agent" source remove --home "$work/a" 1 >/dev/null
equal "removed with its source" "$(find "$work/a/keys" -name 'source-*' | wc -l)" 0
end 32
