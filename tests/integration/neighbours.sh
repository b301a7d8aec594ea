#!/usr/bin/env bash
# Promise: a package holds its own records and no byte of others: not of the next slice, not of a conversation that was left out, not of the
# contact list, not of a file nobody names; nor an unsalted digest of the whole source.
. "$(dirname "$0")/lib.sh"
begin neighbours
find="$bin/../tests/find_bytes"
server_init
server_start
agent_enrol "$work/agent"

mkdir "$work/chat"
chat="$work/chat/WhatsApp-chat met Werkgroep buren.txt"
say "$chat" '30-03-2026 09:00' 'Anna Maart' 'eersteberichtmaart'
say "$chat" '31-03-2026 23:58' 'Anna Maart' 'laatsteberichtmaart'
say "$chat" '01-04-2026 00:01' 'Bob April' 'eersteberichtapril'
printf '%s - %s\n' '01-04-2026 00:02' 'Bob April heeft Dirk Aprilgenoemd toegevoegd' >>"$chat"
say "$chat" '02-04-2026 09:00' 'Bob April' 'FOTO-WA0001.txt (bestand bijgevoegd)'
say "$chat" '03-05-2026 09:00' 'Carla Mei' 'eersteberichtmei'
say "$chat" '03-05-2026 09:01' 'Dirk Aprilgenoemd' 'schrijftookinmei'
echo 'inhoudbijlageapril' >"$work/chat/FOTO-WA0001.txt"
echo 'inhoudvanniemand' >"$work/chat/FOTO-WA0002.txt"
source_add "$work/agent" whatsapp-text "$work/chat"

# A Signal export with two conversations, one left out; names and numbers of people who are in neither.
cp -r "$root/tests/fixtures/demo/signal" "$work/signal"
main=$work/signal/main.jsonl
id() { jq -r "$1" "$main" | sed -n 1p; }
next=$(( $(jq -r '(.recipient.id // .chat.id // empty)' "$main" | sort -n | tail -n 1) + 1 ))
me=$(id 'select(.recipient.self) | .recipient.id')
{
  cat "$main"
  jq -nc --arg i "$next" '{recipient:{id:$i,contact:{aci:"ERERESIiMzNERFVVVVVVVQ==",e164:"31699999991",profileGivenName:"Priveviktor",profileFamilyName:"Buitengesloten"}}}'
  jq -nc --arg i "$((next + 1))" '{recipient:{id:$i,contact:{aci:"ERERESIiMzNERFVVVVVVVg==",e164:"31699999992",profileGivenName:"Adresboekanna",profileFamilyName:"Nergensbij"}}}'
  jq -nc --arg i "$((next + 2))" --arg r "$next" '{chat:{id:$i,recipientId:$r}}'
  jq -nc --arg i "$((next + 2))" --arg me "$me" '{chatItem:{chatId:$i,authorId:$me,dateSent:"1773390000000",outgoing:{},standardMessage:{text:{body:"priveberichtbuiten"}}}}'
} >"$work/main.new"
mv "$work/main.new" "$main"
"$bin/chatkluis-agent" read signal-export "$work/signal" --json >"$work/read.jsonl"
ok; grep -q priveberichtbuiten "$work/read.jsonl" || fail "control: the planted conversation is not read at all"
source_add "$work/agent" signal-export "$work/signal" --option 'exclude=Priveviktor*'
agent "$work/agent" archive
"$bin/chatkluis-agent" packages --home "$work/agent" --export "$work/export" >/dev/null

n=0
declare -A seen
for p in "$work"/export/*.asice; do
  n=$((n + 1)); mkdir "$work/open$n"; (cd "$work/open$n" && unzip -qq "$p"); cp "$p" "$work/open$n/whole.asice"
  has() { "$find" "$1" -- "$work/open$n" >/dev/null 2>&1; }
  only() { # MARK FOREIGN…: a package with MARK has none of FOREIGN
    local mark=$1 w; shift
    has "$mark" || return 0
    seen[$mark]=1
    for w in "$@"; do ok; if has "$w"; then fail "the package with $mark holds $w"; fi; done
  }
  only laatsteberichtmaart eersteberichtapril inhoudbijlageapril FOTO-WA0001 31699999991 'Bob April' 'Dirk Aprilgenoemd'
  only eersteberichtapril laatsteberichtmaart eersteberichtmaart 31699999991 'Anna Maart' 'Carla Mei'
  only eersteberichtmei eersteberichtapril eersteberichtmaart 'Anna Maart' 'Bob April'
  for w in inhoudvanniemand FOTO-WA0002 priveberichtbuiten Priveviktor Buitengesloten Adresboekanna Nergensbij 31699999991 31699999992 \
      "0x$(sha256sum <"$chat" | cut -d ' ' -f 1)" "0x$(sha256sum <"$main" | cut -d ' ' -f 1)" \
      "0x$(printf '%s' priveberichtbuiten | sha256sum | cut -d ' ' -f 1)" "0x$(tail -n 1 "$main" | sha256sum | cut -d ' ' -f 1)"; do
    ok; if has "$w"; then fail "a package holds $w"; head -n 3 < <("$find" "$w" -- "$work/open$n" 2>/dev/null) >&2; fi
  done
done
equal "the slices were seen" "${#seen[@]}" 3
# People: a text export's package lists who writes or is named in it, nobody else; a member of a Signal group stays one.
people() { unzip -p "$1" '*/records.jsonl' | head -n 1 | jq -c '[[.parties[].name], [.participants[] as $i | .parties[$i].name]]'; }
for p in "$work"/export/*.asice; do
  unzip -p "$p" '*/records.jsonl' >"$work/records"
  case "$(head -n 1 "$work/records" | jq -r .provenance.source) $(grep -o 'eerstebericht[a-z]*' "$work/records" | head -n 1)" in
    'whatsapp-text eersteberichtmaart') equal "people of March" "$(people "$p")" '[["Anna Maart"],["Anna Maart"]]' ;;
    'whatsapp-text eersteberichtapril') equal "people of April, one of them named in a system line" "$(people "$p")" '[["Bob April","Dirk Aprilgenoemd"],["Bob April","Dirk Aprilgenoemd"]]' ;;
    'whatsapp-text eersteberichtmei') equal "people of May" "$(people "$p")" '[["Carla Mei","Dirk Aprilgenoemd"],["Carla Mei","Dirk Aprilgenoemd"]]' ;;
  esac
done
# Controls: what belongs is found by the same searcher, also as a digest.
for w in eersteberichtmaart laatsteberichtmaart eersteberichtapril inhoudbijlageapril "Bob April" "0x$(sha256sum <"$work/chat/FOTO-WA0001.txt" | cut -d ' ' -f 1)"; do
  ok; "$find" "$w" -- "$work"/open* >/dev/null 2>&1 || fail "control: $w is in no package"
done
# The vault and its index hold nothing of what was left out either.
sleep 1
equal "hits of what was left out" "$(hits priveberichtbuiten | wc -l)" 0
equal "hits of what was archived" "$(hits laatsteberichtmaart | wc -l)" 1
end 40
