#!/usr/bin/env bash
# eigen_databases.sh - WhatsApp's databases, made by our own generator, all the way: an encrypted backup with its media, a database that grows, the
# same group from two officials' phones.  Counts are taken at the vault.
. "$(dirname "$0")/lib.sh"
begin eigen_databases
command -v python3 >/dev/null || { echo "eigen_databases: skipped: python3 is not installed"; exit 77; }
made=$root/tests/support/eigen
mkdir "$work/ios" "$work/android"
python3 "$made/whatsapp_ios.py" "$work/ios"
python3 "$made/whatsapp_android.py" "$work/android"
printf 'geheim wachtwoord \303\251\n' >"$work/password"
server_init
server_start
agent_enrol "$work/a"
records() { status_of_server | jq .records; }
counted() { "$bin/chatkluis-agent" read "$@" --json | tail -n 1 | jq '[.counts[]] | add'; }

# ---- an encrypted backup of an iPhone: its records, its photo; nothing of it again ----
n=$(counted whatsapp-ios "$work/ios/versleuteld" --option "password=@$work/password")
ok; [ "$n" -ge 20 ] || fail "only $n records in the backup"
agent "$work/a" source add whatsapp-ios "$work/ios/versleuteld" --option "password=@$work/password" >/dev/null
agent "$work/a" archive >/dev/null 2>&1
equal "all records of the backup" "$(records)" "$n"
agent "$work/a" archive >/dev/null 2>&1
equal "the same backup again" "$(records)" "$n"
agent "$work/a" packages --export "$work/export" >/dev/null
photo=$(sha256sum "$work"/ios/group.net.whatsapp.WhatsApp.shared/Message/Media/*/a/b/foto.jpg | cut -c 1-64)
found=0
for p in "$work"/export/*.asice; do
  unzip -qo "$p" -d "$work/x"
  if find "$work/x" -type f -exec sha256sum {} + | grep "^$photo" >/dev/null; then found=$((found + 1)); fi
  rm -rf "$work/x"
done
equal "packages that hold the photo" "$found" 1

# ---- a database of Android that grows: what was there is not sent again ----
early=$(counted whatsapp-android "$work/android/eerder")
all=$(counted whatsapp-android "$work/android/WhatsApp")
ok; [ "$early" -gt 5 ] && [ "$all" -gt "$early" ] || fail "readings of $early and $all records"
agent "$work/a" source add whatsapp-android "$work/android/eerder" >/dev/null
agent "$work/a" archive >/dev/null 2>&1
equal "the earlier database" "$(records)" $((n + early))
cp "$work/android/WhatsApp/Databases/msgstore.db" "$work/android/eerder/Databases/msgstore.db"
agent "$work/a" archive >/dev/null 2>&1
equal "the later one adds what is new" "$(records)" $((n + all))
agent "$work/a" archive >/dev/null 2>&1
equal "nothing more" "$(records)" $((n + all))

# ---- what is no longer in the database is said once; a folder that is not there says nothing ----
db=$work/android/eerder/Databases/msgstore.db
cp "$db" "$work/msgstore.whole"
said() { # EVENT: how many records of this event the packages hold, and how many of them name a record of a package before
  rm -rf "$work/export" "$work/x"
  agent "$work/a" packages --export "$work/export" >/dev/null
  for p in "$work"/export/*.asice; do unzip -qp "$p" "*records.jsonl"; done |
    jq -s --arg e "$1" '[.[] | select(.event == $e)] | "\(length) \(map(select(.target and .fields.package and .fields.record)) | length)"' -r
}
python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("DELETE FROM message WHERE key_id=?", ("D18",))
db.commit()' "$db"
agent "$work/a" archive >"$work/out" 2>&1
equal "one message is gone: one record says so" "$(records)" $((n + all + 1))
equal "and the pass" "$(grep -c '1 archived record is no longer in it' "$work/out")" 1
agent "$work/a" archive >"$work/out" 2>&1
equal "it is said once" "$(records)" $((n + all + 1))
mv "$work/android/eerder" "$work/android/niet aangekoppeld"
refuse "a source that is not there" agent "$work/a" archive
mkdir "$work/android/eerder"
refuse "an empty folder in its place" agent "$work/a" archive
rmdir "$work/android/eerder"
mv "$work/android/niet aangekoppeld" "$work/android/eerder"
equal "neither is an absence" "$(records)" $((n + all + 1))
python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for chat, in db.execute("SELECT c._id FROM chat c JOIN jid j ON j._id=c.jid_row_id WHERE j.server=?", ("g.us",)).fetchall():
    db.execute("DELETE FROM message WHERE chat_row_id=?", (chat,))
    db.execute("DELETE FROM chat WHERE _id=?", (chat,))
db.commit()' "$db"
left=$(counted whatsapp-android "$work/android/eerder")
agent "$work/a" archive >/dev/null 2>&1
gone=$(($(records) - n - all - 1))
ok; [ "$gone" -ge 5 ] && [ "$gone" -le $((all - 1 - left)) ] || fail "$gone events for a group of $((all - 1 - left)) records"
equal "its events" "$(said no-longer-in-source)" "$((gone + 1)) $((gone + 1))"
agent "$work/a" archive >/dev/null 2>&1
equal "nor is a group gone twice" "$(records)" $((n + all + 1 + gone))
cp "$work/msgstore.whole" "$db"
agent "$work/a" archive >/dev/null 2>&1
equal "what is back is said to be back, and not archived again" "$(records)" $((n + all + 2 * (1 + gone)))
equal "its events" "$(said in-source-again)" "$((gone + 1)) $((gone + 1))"
agent "$work/a" archive >/dev/null 2>&1
told=$((2 * (1 + gone)))
equal "once" "$(records)" $((n + all + told))

# ---- the same database in another official's hands: one message, two sightings ----
agent_enrol "$work/b"
agent "$work/b" source add whatsapp-android "$work/android/WhatsApp" >/dev/null
agent "$work/b" archive >/dev/null 2>&1
equal "both officials' records" "$(records)" $((n + 2 * all + told))
await_hits 1 "allen let op" || true
equal "sightings of one message of the group" "$(hits '"de nieuwe woorden"' | jq -s '[.[] | .sightings | length] | max')" 2
check "check is content" "$bin/chatkluis-server" check --home "$work/server"
end 23
