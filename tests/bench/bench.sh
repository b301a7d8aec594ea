#!/usr/bin/env bash
# bench.sh [NAME] - speed as ratios to named yardsticks, one JSON object a line.  Called by ./run bench.
#
#   pack     the agent: read, pack, seal, time-stamp, encrypt; against zip -6.  With it the size of what it makes (size)
#   ingest   the vault: from packages at the gate to an index that answers; against bare SQLite+FTS5 and notmuch
#   search   the page's requests over HTTP
#   fresh    from a receipt to the first search that finds the record; steady (BENCH_SECONDS, 60) and at full speed
#   sources  reading each kind of source, records only counted (sources.sh)
#   peers    ingest and search beside PostgreSQL, Xapian, Sphinx and ripgrep (peers.sh; not part of all: Xapian alone takes a minute for a million)
#   verify   chatkluis-verify; against openssl dgst -sha256
#   growth   ingest, search, memory, disk and rebuilding at 1, 3 and 10 million messages of three phones (growth.sh; not part of all)
#   load     1,000 agents, 200 uploading at once, bad ones among them (load.sh)
#
# BENCH_MESSAGES (1000000), BENCH_ROUNDS (5).  Figures are medians of alternating runs.  Exit 1: a goal was missed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
. tests/bench/lib.sh
. tests/bench/fresh.sh
. tests/bench/sources.sh
. tests/bench/peers.sh
. tests/bench/growth.sh
. tests/bench/load.sh
mkdir -p "${data%/*}"
exec 9>"$data.lock"
flock -n 9 || die "another bench runs in this checkout: two would take each other's files and time"
load_dir=
trap 'peers_down; sphinx_down; stop_all; rm -rf "$work" ${load_dir:+"$load_dir"}' EXIT
trap 'exit 130' INT TERM

# ---- pack and size ----

# A gate that takes no packages: what is measured ends with the encrypted package on the agent's disk.
closed_gate() { # HOME
  jq '.limits = {queue: 1, uploads_per_device: 1}' "$1/gate/gate.json" >"$work/gate.json" && cat "$work/gate.json" >"$1/gate/gate.json"
  start_gate "$1" "$address"
}
stock() { sqlite3 -separator ' ' "$1/agent/agent.db" "SELECT $2 FROM package"; } # DIR COLUMNS

pack_once() { # m500|m12|large/0000: sets $timed, $stock: packages, records, bytes, with a time stamp
  fresh "$work/pack"
  closed_gate "$work/pack/server"
  "$bin/chatkluis-agent" source add --home "$work/pack/agent" whatsapp-text "$data/$1" --option zone=UTC >/dev/null
  timed "$bin/chatkluis-agent" archive --home "$work/pack/agent" --wait 0
  [ "$status" = 75 ] || { cat "$work/err" >&2; die "the agent ended with $status"; }
  stop_all
  stock=$(stock "$work/pack" 'count(*), sum(records), sum(length), sum(timed)')
}

bench_pack() {
  local i cpus=() zips=() mems=() total part
  total=$(cat "$data"/m500/*/*.txt | wc -l)
  for i in $(seq "$rounds"); do
    pack_once m500
    cpus+=("${timed%% *}"); mems+=("${timed##* }")
    rm -f "$work/yard.zip"
    timed zip -q -6 -r "$work/yard.zip" "$data/m500"
    zips+=("${timed%% *}")
    say "pack $i/$rounds: agent ${cpus[-1]} s, zip -6 ${zips[-1]} s, ${mems[-1]} KiB, packages records bytes stamped: $stock"
  done
  local cpu zip mem
  cpu=$(printf '%s\n' "${cpus[@]}" | median); zip=$(printf '%s\n' "${zips[@]}" | median); mem=$(printf '%s\n' "${mems[@]}" | sort -g | tail -n 1)
  set -- $stock
  [ "$2" = "$messages" ] && [ "$4" = "$1" ] || die "$2 of $messages messages packed in $1 packages, $4 with a time stamp ($total lines)"
  figure pack.cpu "$cpu" "s CPU" "zip -6: $zip s CPU" "$(calc "$cpu / $zip")" "<= 2.5" "$cpu <= 2.5 * $zip"
  figure pack.memory "$(calc "$mem / 1024")" MiB "" null "<= 64" "$mem <= 65536"
  figure "size.$(calc "int($2 / $1 + .5)")" "$(calc "$3 / $2")" "bytes a message, everything included" "WhatsApp .txt: $(calc "$(cat "$data"/m500/*/*.txt | wc -c) / $2")" \
    "$(calc "$3 / $(cat "$data"/m500/*/*.txt | wc -c)")" "<= 150" "$3 <= 150 * $2"
  pack_once m12
  part=$timed
  set -- $stock
  figure "size.$(calc "int($2 / $1 + .5)")" "$(calc "$3 / $2")" "bytes a message, everything included" "" null "" ""
  figure "pack.cpu.small" "$(calc "1000 * ${part%% *} / $1")" "ms CPU a package of $(calc "int($2 / $1 + .5)") messages" "" null "" ""
  pack_large
  rm -rf "$work/pack"
}

# Memory does not grow with the export: one chat of 300 MB and more, made of the workload's one chat as often as needed.
pack_large() {
  local large=$data/large/0000 size=0 chat
  chat=$(ls "$data"/one/*/*.txt | head -n 1)
  if [ ! -f "$data/large/done" ]; then
    rm -rf "$data/large"; mkdir -p "$large"
    while [ "$size" -lt 300000000 ]; do
      cat "$chat" >>"$large/WhatsApp-chat met Groot.txt"
      size=$(stat -c %s "$large/WhatsApp-chat met Groot.txt")
    done
    touch "$data/large/done"
  fi
  size=$(stat -c %s "$large/WhatsApp-chat met Groot.txt")
  pack_once large/0000
  set -- $stock $timed
  say "large: $size bytes, packages records bytes stamped: $stock; CPU wall KiB: $timed"
  [ "$2" -ge 1000000 ] || die "only $2 messages of the large chat were packed"
  figure pack.memory.large "$(calc "$7 / 1024")" "MiB for an export of $(calc "int($size / 1e6)") MB ($2 messages, $5 s CPU)" "" null "<= 64" "$7 <= 65536"
}

# ---- ingest ----

# Packages at the gate, nothing taken yet: $data/at-gate-{m500,back}, made once and copied for every run.
at_gate() { # m500|back
  [ -d "$work/at-gate-$1" ] && return 0
  say "archiving $1 to the gate"
  local d=$work/at-gate.new
  fresh "$d"
  start_gate "$d/server" "$address"
  if [ "$1" = back ]; then
    local m
    for m in "$data"/back/*; do "$bin/chatkluis-agent" source add --home "$d/agent" whatsapp-text "$m" --option zone=UTC >/dev/null; done
  else
    "$bin/chatkluis-agent" source add --home "$d/agent" whatsapp-text "$data/$1" --option zone=UTC >/dev/null
  fi
  timed "$bin/chatkluis-agent" archive --home "$d/agent" --wait 0
  [ "$status" = 75 ] || { cat "$work/err" >&2; die "the agent ended with $status"; }
  stop_all
  [ "$(stock "$d" 'sum(records)')" = "$messages" ] || die "not every message was packed"
  rm -rf "$d/agent/packages"
  mv "$d" "$work/at-gate-$1"
}

watermark() { "$bin/chatkluis-server" status --home "$1" --json | jq -r '"\(.index.watermark) \(.waiting) \(.refused) \(.index.records)"'; }

# take_all HOME PACKAGES RECORDS [HALFWAY]: a vault takes what stands at HOME's gate; RECORDS are there afterwards, doubles as one.  Sets $wall, $cpu (seconds of gate, authority, vault and all its
# children), $peak (KiB of the vault) and $gate_peak; all parts run on.  HALFWAY is called once when half of the packages are in.
take_all() {
  local now from pause halfway=${4:-}
  pause=$(calc "($2 < 2000 ? 0.1 : $2 > 20000 ? 1 : $2 / 20000)") # asking costs time too
  start_gate "$1" ${address:+"$address"}
  from=$(date +%s%N)
  start_vault "$1"
  while :; do
    now=$(date +%s%N)
    set -- "$1" "$2" "$3" $(watermark "$1")
    [ "$4" = "$2" ] && [ "$5" = 0 ] && break
    [ "$6" = 0 ] || die "$6 packages were refused"
    [ $(((now - from) / 1000000000)) -lt $((1800 + $3 / 2000)) ] || die "ingest stands at package $4 of $2"
    if [ -n "$halfway" ] && [ "$4" -ge $(($2 / 2)) ]; then "$halfway"; halfway=; fi
    sleep "$pause"
  done
  wall=$(calc "($now - $from) / 1e9")
  cpu=$(cpu_of "${pids[@]}") peak=$(peak_of "$vault_pid") gate_peak=$(peak_of "$gate_pid")
  [ "$7" = "$3" ] || die "$7 of $3 records are in the index"
  [ -z "$halfway" ] || die "all was taken before anybody looked: too few messages for this"
}

# ingest_once m500|back: sets what take_all sets; the home stays at $work/run, its parts run on when KEEP is set.
ingest_once() {
  rm -rf "$work/run"; cp -a "$work/at-gate-$1" "$work/run"
  sync -f "$work"
  take_all "$work/run/server" "$(stock "$work/run" 'count(*)')" "$messages"
  [ -n "${KEEP:-}" ] || stop_all
}

mails() { # N: maildir of the first N messages
  [ -d "$data/mail" ] && return 0
  mkdir -p "$data/mail.new/cur"
  head -n "$1" "$data/texts.tsv" | TZ=UTC awk -F'\t' -v dir="$data/mail.new/cur" '{
    f = sprintf("%s/%d.%07d.meting:2,S", dir, $1, NR)
    printf "From: Afzender %04d <a%d@voorbeeld.nl>\nTo: chat-%d <c%d@voorbeeld.nl>\nSubject: %s\nDate: %s\nMessage-ID: <%d@voorbeeld.nl>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s\n",
      $3, $3, $2, $2, "chat-" $2, strftime("%a, %d %b %Y %H:%M:%S +0000", $1), NR, $4 >f
    close(f) }'
  mv "$data/mail.new" "$data/mail"
}

bench_ingest() {
  local i order walls=() backs=() yards=() nots=() cpus=() peaks=() wall yard n_mail=100000
  at_gate m500; at_gate back
  for i in $(seq "$rounds"); do
    ingest_once m500; walls+=("$wall") cpus+=("$cpu") peaks+=("$peak")
    rm -f "$work"/yard.db*
    yards+=("$("$tools/bench_fts5_yardstick" "$data/texts.tsv" "$work/yard.db" | cut -d' ' -f1)")
    ingest_once back; backs+=("$wall") peaks+=("$peak")
    say "ingest $i/$rounds: vault ${walls[-1]} s (CPU ${cpus[-1]} s), newest first ${backs[-1]} s, bare FTS5 ${yards[-1]} s"
  done
  rm -rf "$work"/yard.db* "$work/run"
  yard=$(printf '%s\n' "${yards[@]}" | median)
  wall=$(printf '%s\n' "${walls[@]}" | median)
  figure ingest.by_conversation "$(calc "$messages / $wall")" "messages a second" "bare SQLite+FTS5 without encryption: $(calc "$messages / $yard")" "$(calc "$yard / $wall")" ">= 0.5" "$yard >= 0.5 * $wall"
  order=$(printf '%s\n' "${backs[@]}" | median)
  figure ingest.newest_first "$(calc "$messages / $order")" "messages a second" "bare SQLite+FTS5 without encryption, oldest first: $(calc "$messages / $yard")" "$(calc "$yard / $order")" ">= 0.5" "$yard >= 0.5 * $order"
  cpu=$(printf '%s\n' "${cpus[@]}" | median)
  figure ingest.cpu "$(calc "1e6 * $cpu / $messages")" "us CPU a message: gate, time authority, vault and its children" "" null "" ""
  peak=$(printf '%s\n' "${peaks[@]}" | sort -g | tail -n 1)
  figure ingest.memory "$(calc "$peak / 1024")" "MiB peak of the vault" "" null "<= 512" "$peak <= 512 * 1024"
  [ "$n_mail" -le "$messages" ] || n_mail=$messages
  mails "$n_mail"
  for i in $(seq "$rounds"); do
    rm -rf "$data/mail/.notmuch"
    printf '[database]\npath=%s\n[user]\nname=Meting\nprimary_email=meting@voorbeeld.nl\n[new]\ntags=\n[search]\nexclude_tags=\n[maildir]\nsynchronize_flags=false\n' "$data/mail" >"$work/notmuch"
    NOTMUCH_CONFIG=$work/notmuch timed notmuch new --quiet
    [ "$status" = 0 ] || die "notmuch ended with $status"
    set -- $timed
    nots+=("$2")
    say "notmuch $i/$rounds: $2 s for $n_mail"
  done
  yard=$(printf '%s\n' "${nots[@]}" | median)
  figure ingest.notmuch "$(calc "$messages / $wall")" "messages a second" "notmuch new of $n_mail of them: $(calc "$n_mail / $yard")" "$(calc "($messages / $wall) / ($n_mail / $yard)")" ">= 10" "($messages / $wall) >= 10 * ($n_mail / $yard)"
}

# ---- search ----

# How often each word occurs; classes by share of the messages, as many as asked, evenly drawn.
words() {
  [ -f "$data/df" ] && return 0
  say "counting words"
  cut -f4 "$data/texts.tsv" | awk '{ $0 = tolower($0); split("", seen); for (i = 1; i <= NF; i++) { w = $i; sub(/[.,?]$/, "", w); if (w ~ /^[a-z]+$/ && length(w) > 1 && !(w in seen)) { seen[w]; n[w]++ } } }
    END { for (w in n) print n[w], w }' | sort -k1,1nr -k2 >"$data/df.new"
  mv "$data/df.new" "$data/df"
}
draw() { awk -v lo="$1" -v hi="$2" '$1 >= lo && $1 <= hi { print $2 }' "$data/df" | awk -v want="$3" '{ w[NR] = $1 } END { step = NR / want; if (step < 1) step = 1; for (i = 1; i <= NR; i += step) print w[int(i)] }'; }

# No time counts before the hits do: bare FTS5 over the same texts finds exactly as many.
same_counts() { # WORDS on stdin
  local word ours theirs n=0
  while read -r word; do
    ours=$(curl -sf -H "Cookie: kluis=$key" "http://$where/api/search?purpose=meting&limit=1&count=exact&q=$word" | jq .count)
    theirs=$(sqlite3 "$work/yard.db" "SELECT count(*) FROM fts WHERE fts MATCH '\"$word\"'")
    [ "$ours" = "$theirs" ] && [ "$ours" -gt 0 ] || die "'$word' is found $ours times, by bare FTS5 $theirs times"
    n=$((n + 1))
  done
  [ "$n" -gt 0 ] || die "no word was counted"
  say "$n words are found as often as bare FTS5 finds them"
}
pairs() { awk '{ w[NR] = $1 } END { for (i = 1; i < NR; i++) if (w[i] != w[NR + 1 - i]) print w[i] " " w[NR + 1 - i] }' "$1"; } # FILE of words
# Phrases that were written: two words that follow one another in messages of the middle.
phrases() { sed -n "$((messages / 3)),$((messages / 3 + 400))p" "$1" | cut -f4 | grep -oE '\b[a-z]{4,} [a-z]{4,}\b' | awk '!seen[$0]++ && ++n <= 30'; } # TSV
counts_of() { # FILE of words: requests that count
  awk -v api="/api/search?purpose=meting&limit=1&count=" '{ print "count.capped\t" api "1&q=" $0 "\ncount.exact\t" api "exact&q=" $0 }' "$1"
}
search_goal() { # CLASS
  case $1 in
    rare|mid|common|two) echo "p50 <= 0.5, p99 <= 5" ;;
    filtered|conversation|official) echo "p50 <= 2, p99 <= 5" ;;
    prefix) echo "p99 <= 15" ;;
    phrase) echo "p99 <= 10" ;;
    relevance|relevance.common) echo "p99 <= 120" ;;
    count.capped) echo "p50 <= 1" ;;
    count.exact) echo "p99 <= 40" ;;
  esac
}
goal_holds() { sed "s/p50/$2/; s/p99/$3/; s/,/ \&\&/" <<<"$1"; } # GOAL P50 P99: as a condition of awk

bench_search() {
  at_gate back
  words
  KEEP=1 ingest_once back
  local where key api="/api/search?purpose=meting&limit=50&q=" common i class
  where_and_key
  at_rest
  ask() { awk -v class="$1" -v api="$api" -v more="${2:-}" '{ print class "\t" api $0 more }'; } # CLASS [FILTER]: words become requests
  draw 2 10 40 | ask rare >"$work/queries"
  draw $((messages * 8 / 10000)) $((messages * 12 / 10000)) 30 | ask mid >>"$work/queries"
  common=$(draw $((messages * 4 / 100)) $((messages * 15 / 100)) 30)
  ask common <<<"$common" >>"$work/queries"
  awk -v api="$api" '{ w[NR] = $1 } END { for (i = 1; i < NR; i++) printf "two\t%s%s%%20%s\n", api, w[i], w[NR + 1 - i] }' <<<"$common" >>"$work/queries"
  rm -f "$work"/yard.db*
  "$tools/bench_fts5_yardstick" "$data/texts.tsv" "$work/yard.db" >/dev/null
  { draw 2 10 20; draw $((messages * 8 / 10000)) $((messages * 12 / 10000)) 10; head -n 10 <<<"$common"; } | same_counts
  rm -f "$work"/yard.db*
  # conversations of the newest, middle and oldest months
  for i in 20240101 20221115 20210305; do
    curl -sf -H "Cookie: kluis=$key" "http://$where${api}de&to=${i:0:4}-${i:4:2}-${i:6:2}&limit=4" | jq -r '.hits[].conversation.id | @uri'
  done | sort -u >"$work/conversations"
  [ -s "$work/conversations" ] || die "no conversation was found"
  while read -r i; do ask filtered "&conversation=$i" <<<"$(head -n 10 <<<"$common")"; done <"$work/conversations" >>"$work/queries"
  ask view <<<"$common" >>"$work/queries"
  shuf --random-source=<(yes) "$work/queries" -o "$work/queries"
  "$tools/bench_search_client" "$where" "$key" 20 <"$work/queries" >"$work/searched"
  cat "$work/searched" >&2
  while read -r class i p50 p95 p99 worst hits empty; do
    case $class in
      view) figure search.view "$p95" "ms p95 (p50 $p50, p99 $p99, worst $worst, $i requests, $hits messages each)" "" null "p95 <= 5" "$p95 <= 5 && $empty == 0" ;;
      filtered) figure search.filtered "$p50" "ms p50 (p99 $p99, worst $worst, $i requests, $hits hits each)" "" null "p50 <= 1, p99 <= 5" "$p50 <= 1 && $p99 <= 5 && $hits >= 1" ;;
      *) figure "search.$class" "$p50" "ms p50 (p99 $p99, worst $worst, $i requests, $hits hits each)" "" null "p50 <= 1, p99 <= 5" "$p50 <= 1 && $p99 <= 5 && $empty == 0" ;;
    esac
  done <"$work/searched"
  stop_all
  rm -rf "$work/run"
}

# ---- verify ----

packed() { # DIR SOURCE: archives and exports packages of a source into DIR
  rm -rf "$1"
  fresh "$work/pack"
  closed_gate "$work/pack/server"
  "$bin/chatkluis-agent" source add --home "$work/pack/agent" whatsapp-text "$2" --option zone=UTC >/dev/null
  timed "$bin/chatkluis-agent" archive --home "$work/pack/agent" --wait 0
  [ "$status" = 75 ] || { cat "$work/err" >&2; die "the agent ended with $status"; }
  stop_all
  "$bin/chatkluis-agent" packages --home "$work/pack/agent" --export "$1" >/dev/null
  cp "$work/pack/server/trust.json" "$1/"
  rm -rf "$work/pack"
}

verify_all() { # DIR: every package there, a process for each; fails unless all are valid.  Sets $seconds and $middle (milliseconds).
  local took
  took=$("$tools/bench_each" "$work/verdicts" "$bin/chatkluis-verify" --trust "$1/trust.json" -- "$1"/*.asice) || { cat "$work/verdicts" >&2; die "a package is not valid"; }
  read -r seconds middle <<<"$took"
}

bench_verify() {
  local i ours=() yards=() texts=() each=() batches=() size unpacked=0 v y p seconds middle
  if [ ! -f "$data/../attachments/done" ]; then
    say "making 1 GiB of attachments that do not compress"
    mkdir -p "$data/../attachments"
    for i in 1 2 3 4 5 6 7 8; do
      openssl enc -aes-128-ctr -K "0000000000000000000000000000000$i" -iv 0 </dev/zero 2>/dev/null | head -c $((128 << 20)) >"$data/../attachments/IMG-20240105-WA000$i.jpg" || true
      printf '05-01-2024 10:0%d - Afzender 0001: IMG-20240105-WA000%d.jpg (bestand bijgevoegd)\n' "$i" "$i"
    done >"$data/../attachments/WhatsApp-chat met Bijlagen.txt"
    touch "$data/../attachments/done"
  fi
  packed "$work/large" "$data/../attachments"
  set -- "$work"/large/*.asice
  [ $# = 1 ] || die "the attachments became $# packages"
  size=$(stat -c %s "$1")
  [ "$size" -ge $((1 << 30)) ] || die "the package has only $size bytes"
  packed "$work/text" "$data/one"
  for p in "$work"/text/*.asice; do unpacked=$((unpacked + $(unzip -l "$p" | tail -n 1 | awk '{ print $1 }'))); done
  for i in $(seq "$rounds"); do
    : >"$work/verdicts"
    verify_all "$work/large"; ours+=("$seconds")
    timed openssl dgst -sha256 "$work"/large/*.asice
    set -- $timed; yards+=("$2")
    verify_all "$work/text"; texts+=("$seconds"); each+=("$middle")
    timed "$bin/chatkluis-verify" --trust "$work/text/trust.json" "$work"/text/*.asice
    [ "$status" = 0 ] || die "a text package is not valid"
    set -- $timed; batches+=("$2")
    say "verify $i/$rounds: ${ours[-1]} s, openssl ${yards[-1]} s for $size bytes; text ${texts[-1]} s for $unpacked bytes unpacked"
  done
  v=$(printf '%s\n' "${ours[@]}" | median); y=$(printf '%s\n' "${yards[@]}" | median)
  figure verify.attachments "$(calc "$size / $v / 1e6")" "MB/s" "openssl dgst -sha256: $(calc "$size / $y / 1e6") MB/s" "$(calc "$y / $v")" ">= 0.33" "$y >= 0.33 * $v"
  v=$(printf '%s\n' "${texts[@]}" | median)
  figure verify.text "$(calc "$unpacked / $v / 1e6")" "MB/s of unpacked content, a process for each of $(ls "$work"/text/*.asice | wc -l) packages, $(printf '%s\n' "${each[@]}" | median) ms each" "" null ">= 150" "$unpacked / $v >= 150e6"
  v=$(printf '%s\n' "${batches[@]}" | median)
  figure verify.text.batch "$(calc "$unpacked / $v / 1e6")" "MB/s of unpacked content, one process for all of them" "" null "" ""
  rm -rf "$work/large" "$work/text"
}

[ "$rounds" -ge 1 ] || die "BENCH_ROUNDS must be 1 or more"
case "${1:-all}" in load|growth|peers) ;; *) workload ;; esac
rm -rf "$work"; mkdir -p "$work"
case "${1:-all}" in sources|load|growth|peers) ;; *) template ;; esac
case "${1:-all}" in
  all) bench_pack; bench_ingest; bench_search; bench_fresh; bench_verify; bench_sources; bench_load ;;
  pack|size) bench_pack ;;
  ingest|search|fresh|verify|sources|load|peers|growth) "bench_$1" ;;
  *) die "unknown name '$1': pack, size, ingest, search, fresh, verify, sources, load, peers or growth" ;;
esac
exit "$failed"
