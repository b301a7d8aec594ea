# tests/bench/sources.sh - what reading each kind of source costs, on one core.  Sourced by bench.sh.
#
# The first BENCH_SOURCE_MESSAGES (400000) of the workload's texts, as every kind writes them (sources.py); records are only counted
# (source_read.c), so no other stage is in the figure.  CPU seconds of the whole process; yardsticks likewise, of the same file in the same run.

source_messages=${BENCH_SOURCE_MESSAGES:-400000}
[ "$source_messages" -le "$messages" ] || source_messages=$messages

source_read() { # KIND PATH [OPTION]: appends to $cpus and $peaks, sets $opened; fails unless every message came
  local out
  out=$("$tools/bench_source_read" "$@") || die "$1 was not read"
  set -- "$1" $out
  [ "$2" = "${expect:-$source_messages}" ] || die "$1: $2 of ${expect:-$source_messages} messages"
  cpus+=("$4"); peaks+=("$5"); opened=$6
}

# source_figure KIND PATH OPTION UNIT GOAL [YARDSTICK-NAME COMMAND…]: UNIT is MB/s or messages/s.
source_figure() {
  local kind=$1 path=$2 option=$3 unit=$4 goal=$5 name=${6:-} i cpus=() peaks=() yards=() size amount cpu peak yard ratio=null
  shift 6 || shift $#
  size=$(find "$path" -type f -printf '%s\n' | awk '{ s += $1 } END { print s }') # of files: a folder has a size too
  for i in $(seq "$rounds"); do
    source_read "$kind" "$path" ${option:+"$option"}
    [ $# -eq 0 ] || { timed "$@"; [ "$status" = 0 ] || die "the yardstick of $kind failed"; yards+=("${timed%% *}"); }
  done
  cpu=$(printf '%s\n' "${cpus[@]}" | median); peak=$(printf '%s\n' "${peaks[@]}" | sort -g | tail -n 1)
  amount=$([ "$unit" = MB/s ] && calc "$size / 1e6" || echo "${expect:-$source_messages}")
  if [ $# -gt 0 ]; then
    yard=$(printf '%s\n' "${yards[@]}" | median)
    name="$name: $(calc "$amount / ($yard + 1e-9)") $unit"; ratio=$(calc "$yard / $cpu")
  fi
  figure "sources.$kind" "$(calc "$amount / $cpu")" "$unit of CPU ($(calc "int($size / 1e6)") MB)" "$name" "$ratio" ">= $goal" "$amount >= $goal * $cpu"
  figure "sources.$kind.memory" "$(calc "$peak / 1024")" MiB "" null "<= 64" "$peak <= 65536"
}

# Opening .crypt15: what it costs beyond opening the same database in the clear, round by round in alternation, against libgcrypt and zlib alone.
source_decryption() { # DIR
  local d=$1 i cpus=() peaks=() more=() raws=() plain opened cost raw
  for i in $(seq "$rounds"); do
    source_read whatsapp-android "$d/android"; plain=$opened
    source_read whatsapp-android "$d/msgstore.db.crypt15" "key=$(cat "$d/key")"
    more+=("$(calc "$opened - $plain")")
    raws+=("$("$tools/bench_crypt15" raw "$d/msgstore.db.crypt15")")
  done
  cost=$(printf '%s\n' "${more[@]}" | median); raw=$(printf '%s\n' "${raws[@]}" | median)
  figure sources.decryption "$cost" "s CPU to open it more than in the clear, $plain s (rounds: ${more[*]})" "libgcrypt AES-256-GCM and zlib alone: $raw s" \
    "$(calc "$cost / $raw")" "<= 1.3" "$cost <= 1.3 * $raw"
}

# What deciphering costs beyond reading the same in the clear (another kind of path, its own option), against libgcrypt and zlib alone.
source_sealed() { # NAME KIND SEALED OPTION CLEAR OPTION OPENING FILE SECRET
  local i cpus=() peaks=() opened sealed clear more=() raws=() cost raw
  for i in $(seq "$rounds"); do
    source_read "$2" "$3" "$4"; sealed=${cpus[-1]}
    source_read "$2" "$5" ${6:+"$6"}; clear=${cpus[-1]}
    more+=("$(calc "$sealed - $clear")")
    raws+=("$("$tools/bench_opening" "$7" "$8" "$9" | cut -d' ' -f2)")
  done
  source_ratio "$1" "$(printf '%s\n' "${more[@]}" | median)" "s CPU to read it more than in the clear (rounds: ${more[*]})" "$(printf '%s\n' "${raws[@]}" | median)"
}
source_opening() { # NAME OPENING FILE SECRET: both in one process
  local i o ours=() raws=()
  for i in $(seq "$rounds"); do
    o=$("$tools/bench_opening" "$2" "$3" "$4") || die "$1 was not opened"
    ours+=("${o% *}"); raws+=("${o#* }")
  done
  source_ratio "$1" "$(printf '%s\n' "${ours[@]}" | median)" "s CPU to decipher it (rounds: ${ours[*]})" "$(printf '%s\n' "${raws[@]}" | median)"
}
source_ratio() { # NAME COST UNIT RAW
  figure "sources.decryption.$1" "$2" "$3" "libgcrypt and zlib alone: $4 s" "$(calc "$2 / ($4 + 1e-9)")" "<= 1.3" "$2 <= 1.3 * $4"
}

bench_sources() {
  local d=$data/sources-$source_messages json='import json,sys; json.loads(open(sys.argv[1],encoding="utf-8").read().split("= ",1)[-1] if sys.argv[1].endswith(".js") else open(sys.argv[1],encoding="utf-8").read())'
  if [ ! "$d/done" -nt tests/bench/sources.py ]; then
    say "writing $source_messages messages as every kind of source"
    rm -rf "$d"; mkdir -p "$d"
    python3 tests/bench/sources.py "$data/texts.tsv" "$source_messages" "$d"
    "$tools/bench_crypt15" seal "$d/android/msgstore.db" "$d/msgstore.db.crypt15" >"$d/key"
    touch "$d/done"
  fi
  expect=$messages source_figure whatsapp-text "$data/one" zone=UTC MB/s 100
  source_figure telegram "$d/telegram" "" MB/s 100 "Python json" python3 -c "$json" "$d/telegram/result.json"
  source_figure signal-export "$d/signal" "" MB/s 100
  source_figure sms "$d/sms" "" MB/s 100 "xmllint --stream" xmllint --huge --stream --noout "$d/sms/sms.xml"
  source_figure meta "$d/meta" "" MB/s 100
  source_figure x "$d/x" "" MB/s 100 "Python json" python3 -c "$json" "$d/x/data/direct-messages.js"
  source_figure linkedin "$d/linkedin" "" MB/s 100 "Python csv" python3 -c 'import csv,sys; sum(1 for _ in csv.reader(open(sys.argv[1],newline="",encoding="utf-8")))' "$d/linkedin/messages.csv"
  source_figure snapchat "$d/snapchat" "" MB/s 100 "Python json" python3 -c "$json" "$d/snapchat/json/chat_history.json"
  source_figure slack "$d/slack" "" MB/s 100
  source_figure matrix-export "$d/matrix/export.json" "" MB/s 100 "Python json" python3 -c "$json" "$d/matrix/export.json"
  source_figure teams "$d/teams" "" MB/s 100
  source_figure whatsapp-android "$d/android" "" messages/s 150000 "sqlite3, every column of message" sqlite3 "$d/android/msgstore.db" 'SELECT * FROM message'
  source_figure whatsapp-ios "$d/ios" "" messages/s 150000 "sqlite3, every column of ZWAMESSAGE" sqlite3 "$d/ios/ChatStorage.sqlite" 'SELECT * FROM ZWAMESSAGE'
  source_figure imessage "$d/imessage/sms.db" "" messages/s 150000 "sqlite3, every column of message" sqlite3 "$d/imessage/sms.db" 'SELECT * FROM message'
  source_decryption "$d"
  local quarter=$((source_messages / 4)) recovery=eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0eigen7w0 digits=123456789012345678901234567890
  local snapshot=$d/archive/SignalBackups/signal-backup-2025-10-09-12-00-00 zip=$d/threema/threema-backup_MYSELF00_1773309600000_1.zip storage=7c/7c7fba66680ef796b916b067077cc246adacf01d
  local page_key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f android=$d/backup/signal-2026-01-01-00-00-00.backup
  expect=$quarter source_figure signal-desktop "$d/desktop" "" messages/s 150000
  expect=$quarter source_figure signal-android "$android" "passphrase=$digits" messages/s 150000
  expect=$quarter source_figure signal-archive "$d/archive/plain.binproto" account=e1e1e1e1-0000-4000-8000-000000000001 messages/s 150000
  expect=$quarter source_figure threema "$d/threema/open" "" MB/s 100
  source_opening signal-desktop desktop "$d/desktop/sql/db.sqlite" "$page_key"
  source_opening signal-android android "$android" "$digits"
  expect=$quarter source_sealed signal-archive signal-archive "$d/archive" "key=$recovery" "$d/archive/plain.binproto" account=e1e1e1e1-0000-4000-8000-000000000001 archive "$snapshot/main" -
  expect=$quarter source_sealed threema threema "$zip" "password=een lang wachtwoord" "$d/threema/open" "" threema "$zip" "een lang wachtwoord"
  expect=$source_messages source_sealed apple-backup whatsapp-ios "$d/phone/sealed" password=wachtwoord "$d/phone/open" "" apple "$d/phone/sealed/$storage" -
}
