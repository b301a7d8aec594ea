#!/usr/bin/env bash
# Promise: bad files, bad codes and a forked device are refused with one clear line; nothing stored changes, other sources of the same run are
# archived, and the log says so without content.
. "$(dirname "$0")/lib.sh"
begin hostile
server_init
server_start
agent_enrol "$work/agent"
a=$work/agent
good=$work/goed.txt
line() { printf '11-03-2026 09:%02d - Anna Goed: %s\n' "$1" "$2"; }
line 0 'goedbericht nul' >"$good"; line 1 'goedbericht een' >>"$good"
source_add "$a" whatsapp-text "$good"
agent "$a" archive >/dev/null
await_hits 2 goedbericht || die "the first pass is not found"

# ---- bad files ----
mkdir "$work/bad"; cd "$work/bad"
echo 'Dit is geen gesprek maar een brief over canarischwoord.' >geen-chat.txt
: >leeg.txt
line 1 canarischwoord >_chat.txt
mkdir AA Xtmp; cp _chat.txt AA/evil.txt; cp _chat.txt Xtmp/evil.txt
zip -q dots.zip _chat.txt AA/evil.txt; sed -i 's/AA\/evil/..\/evil/g' dots.zip
zip -q absoluut.zip _chat.txt Xtmp/evil.txt; sed -i 's/Xtmp/\/tmp/g' absoluut.zip
{ line 1 canarischwoord; head -c 400M /dev/zero; } | zip -1 -q bom.zip -
{ printf '11-03-2026 09:00 - Anna: '; head -c 100000000 /dev/zero | tr '\0' x; echo; } >lange-regel.txt
printf '31-02-2026 09:00 - Anna: canarischwoord\n31-02-2026 09:01 - Bob: echt niet\n' >onmogelijke-datum.txt
{ line 1 canarischwoord; line 2 canarischwoord; } | iconv -f UTF-8 -t UTF-16LE | { printf '\xff\xfe'; cat; } >utf16.txt
{ line 1 canarischwoord; head -c 20000 /dev/urandom; } >ongeldige-utf8.txt
head -c 300 dots.zip >afgekapt.zip
head -c 100000 /dev/urandom >ruis.zip
mkdir signal-leeg; : >signal-leeg/main.jsonl; echo '{"version":"1"}' >signal-leeg/metadata.json
mkdir signal-utf8; cp "$root/tests/fixtures/demo/signal/metadata.json" signal-utf8/; sed '3,$s/"/"\xff\xc0/7' "$root/tests/fixtures/demo/signal/main.jsonl" >signal-utf8/main.jsonl
grep -q $'^\x50\x4b' dots.zip absoluut.zip || die "the zip files were not made"
cd "$root"

said() { # WHAT: one clear line on stderr, exit 1
  ok; [ "$rc" = 1 ] || fail "$1: exit $rc, not 1: $(head -c 300 "$work/err")"
  ok; [ "$(grep -c '^chatkluis-agent: ' "$work/err")" = 1 ] && [ "$(wc -l <"$work/err")" = 1 ] || fail "$1: not one line: $(head -c 600 "$work/err")"
  ok; ! grep -q canarischwoord "$work/err" || fail "$1: the error tells content"
}
bad=0
for f in "$work"/bad/*; do
  n=${f##*/} kind=whatsapp-text
  case "$n" in _chat.txt|AA|Xtmp) continue ;; signal-*) kind=signal-export ;; esac
  bad=$((bad + 1)) rc=0
  "$bin/chatkluis-agent" read "$kind" "$f" --json >"$work/out" 2>"$work/err" || rc=$?
  said "read of $n"
  # Now beside a good source that has grown: the good one is archived, the bad one changes nothing.
  line $((1 + bad)) "goedbericht naast $n" >>"$good"
  before=$(status_of_server | jq '.packages')
  rc=0; "$bin/chatkluis-agent" source add --home "$a" "$kind" "$f" >"$work/out" 2>"$work/err" || rc=$?
  added=; [ "$rc" = 0 ] && added=$("$bin/chatkluis-agent" source list --home "$a" --json | jq -r '.id // .[].id // .sources[].id' | tail -n 1)
  [ -n "$added" ] || said "source add of $n"
  rc=0; agent "$a" archive >"$work/out" 2>"$work/err" || rc=$?
  if [ -n "$added" ]; then said "archive with $n"; else equal "archive without $n" "$rc" 0; fi
  equal "packages after $n" "$(status_of_server | jq .packages)" $((before + 1))
  [ -z "$added" ] || "$bin/chatkluis-agent" source remove --home "$a" "$added" >/dev/null
done
[ "$bad" -ge 13 ] || die "only $bad bad files"
await_hits $((2 + bad)) goedbericht || true
equal "good records found" "$(hits goedbericht | wc -l)" $((2 + bad))
equal "records of bad files found" "$(hits canarischwoord | wc -l)" 0
ok; [ ! -e /tmp/evil.txt ] && [ ! -e "$work/evil.txt" ] || fail "a zip wrote outside"
# Bytes that are no UTF-8 in a text export are evidence: kept as they are, shown with a mark.
printf '11-03-2026 09:00 - Anna: kapot \xff\xfe\xc0 tekst\n' >"$work/utf8.txt"
equal "invalid UTF-8 is kept" "$("$bin/chatkluis-agent" read whatsapp-text "$work/utf8.txt" --json | sed -n 1p | jq -r .text_raw | base64 -d | xxd -p)" "$(printf 'kapot \xff\xfe\xc0 tekst' | xxd -p)"

# ---- bad codes ----
refused_enrol() { # WHAT CODEFILE WORDS
  local new=$work/new$checks
  rc=0; "$bin/chatkluis-agent" enrol --home "$new" --server "https://$gate" --code "@$2" >"$work/out" 2>"$work/err" || rc=$?
  ok; [ "$rc" = 1 ] || [ "$rc" = 64 ] || fail "$1: exit $rc: $(cat "$work/err")"
  ok; [ "$(wc -l <"$work/err")" = 1 ] && grep -qi -- "$3" "$work/err" || fail "$1: says $(cat "$work/err")"
  ok; ! grep -qiF -f <(tr -d '\n' <"$2" | cut -c 1-20) "$work/err" "$work/serve.log" || fail "$1: the code is told"
  equal "$1: enrolled" "$("$bin/chatkluis-agent" status --home "$new" --json | jq -r .enrolled)" false
  ok; ! compgen -G "$new/keys/device-*" >/dev/null || fail "$1: a device key was written"
}
secret_and_print() { tr -d -- '- \n' <"$1" | tr a-z A-Z | base32 -d | xxd -p -c 99; }
make_code() { # SECRET FINGERPRINT (hexadecimal)
  local sum
  sum=$({ printf 'chatkluis-code-v1\0'; xxd -r -p <<<"$1$2"; } | sha256sum | cut -c 1-6)
  xxd -r -p <<<"$1$2$sum" | base32 -w 0 | tr A-Z a-z | fold -w 7 | paste -sd -
}
official proef "Proef Persoon"
code_for proef "$work/right"
raw=$(secret_and_print "$work/right")
equal "a code made by hand is the code" "$(make_code "${raw:0:32}" "${raw:32:32}")" "$(tr -d '\n' <"$work/right")"
(umask 077
  sed 's/./b/3;s/./c/4' "$work/right" >"$work/typo"
  make_code "00112233445566778899aabbccddeeff" "${raw:32:32}" >"$work/wrong"
  make_code "${raw:0:32}" "000102030405060708090a0b0c0d0e0f" >"$work/stranger")
refused_enrol "a code with a typing error" "$work/typo" "code"
refused_enrol "a code the vault never gave" "$work/wrong" "does not know\|code"
refused_enrol "a code whose fingerprint half does not match" "$work/stranger" "certificate\|fingerprint\|root\|TLS\|server"
check "the right code still enrols after these" "$bin/chatkluis-agent" enrol --home "$work/right.home" --server "https://$gate" --code "@$work/right"
refused_enrol "a code used before" "$work/right" "used"
code_for proef "$work/old"
server_stop
sqlite3 "$work/server/vault/register.db" "UPDATE code SET expires_us=expires_us-90000000000" || die "the code could not be made older"
server_start
refused_enrol "a code of yesterday" "$work/old" "expired\|does not know"
equal "refusals in the log" "$([ "$(grep -c ' enrol.refused ' "$work/serve.log")" -ge 3 ] && echo some)" some

# ---- a device that forks ----
agent_enrol "$work/fork"
f=$work/vork.txt; line 1 'vorkbericht begin' >"$f"
source_add "$work/fork" whatsapp-text "$f"
agent "$work/fork" archive >/dev/null
cp -a "$work/fork" "$work/copy"
line 2 'vorkbericht echt' >>"$f"; agent "$work/fork" archive >/dev/null
line 3 'vorkbericht kopie' >>"$f"
rc=0; agent "$work/copy" archive --wait 10 >"$work/out" 2>"$work/err" || rc=$?
ok; [ "$rc" != 0 ] || fail "the restored copy archived under a used number"
ok; grep -q ' device.suspended ' "$work/serve.log" || fail "the fork was not noticed: $(cat "$work/err")"
rc=0; agent "$work/fork" archive --wait 5 >"$work/out" 2>"$work/err" || rc=$?
equal "a suspended device" "$rc" 1
ok; grep -qi 'suspended' "$work/err" || fail "the agent does not say that it is suspended: $(cat "$work/err")"
code_for "ambtenaar$officials" "$work/again"
crl=$work/server/vault/device-ca.crl
equal "suspended devices on the list of their authority" "$(openssl crl -inform DER -in "$crl" -noout -text | grep -c 'Serial Number:')" 1
check "a new code ends the suspension" "$bin/chatkluis-agent" enrol --home "$work/fork" --server "https://$gate" --code "@$work/again"
check "and everything is archived" "$bin/chatkluis-agent" archive --home "$work/fork"
await_hits 3 vorkbericht || true
equal "messages of the forked device" "$(hits vorkbericht | wc -l)" 3

# ---- the process that opens packages is killed, as a machine without memory does ----
vault=$(part_pid vault); opener=$(pgrep -P "$vault" -x zygote) || die "no opener's parent below the vault"
kill -KILL "$opener"
line 40 'goedbericht na de dood' >>"$good"
rc=0; agent "$a" archive --wait 30 >"$work/out" 2>"$work/err" || rc=$?
equal "archiving when the opener was killed" "$rc" 0
ok; [ "$(part_pid vault)" != "$vault" ] || fail "the vault was not started anew"
equal "what stands still" "$(status_of_server | jq -r .halted)" null

ok; ! grep -q 'canarischwoord\|goedbericht\|vorkbericht\|Anna' "$work/serve.log" || fail "the log holds content"
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
end 100
