# growth.sh - the same figures at several sizes, from what three phones hold of the same chats (phones.c).  Sourced by bench.sh.
#
# BENCH_SIZES ("1000000 3000000 10000000"): messages as the phones hold them, three of ten doubles.  BENCH_ROUNDS (1 here) of ingest a size, bare FTS5
# before each and after the last.  Every figure is printed as soon as it is known.  Packages made once stand in build/bench-data/growth-N/stock until the size
# has come to its end, so that a run that was stopped goes on there; BENCH_KEEP=1 keeps them.  Disk: about 2 GB a million.  Destroying under load is not
# here: there is no command that destroys yet.

growth_minutes() { echo $((2 + $1 * 4 / 1000000)); } # MESSAGES: on two quiet cores

# What stands at the gate before the vault sees anything: $data/stock/{server,agent-1,agent-2,agent-3}, one official and one agent a phone.
growth_stock() {
  [ ! -f "$data/stock/done" ] || return 0
  local t=$data/stock.new p from now jobs=() rc=0
  rm -rf "$t" "$data/stock"; mkdir -p "$t"
  "$bin/chatkluis-server" init --home "$t/server" --organisation "Provincie Voorbeeld" >/dev/null
  start_gate "$t/server"
  address=$gate
  start_vault "$t/server"
  for p in 1 2 3; do
    "$bin/chatkluis-server" official add --home "$t/server" --id "meting-$p" --name "Meting $p" --function bench --from 2020-01-01 >/dev/null
    (umask 077; "$bin/chatkluis-server" enrol --home "$t/server" --official "meting-$p" >"$t/code")
    "$bin/chatkluis-agent" enrol --home "$t/agent-$p" --server "https://$address" --code "@$t/code" >/dev/null
    "$bin/chatkluis-agent" source add --home "$t/agent-$p" whatsapp-text "$data/phone-$p/whatsapp" --option zone=UTC >/dev/null
    [ ! -d "$data/phone-$p/signal" ] || "$bin/chatkluis-agent" source add --home "$t/agent-$p" signal-export "$data/phone-$p/signal" >/dev/null
  done
  stop_all
  start_gate "$t/server" "$address"
  say "three agents pack side by side"
  from=$(date +%s%N)
  for p in 1 2 3; do
    /usr/bin/time -q -f '%U %S %e %M' -o "$work/time.$p" "$bin/chatkluis-agent" archive --home "$t/agent-$p" --wait 0 >"$work/agent.$p" 2>&1 & jobs+=($!)
  done
  for p in 1 2 3; do
    rc=0; wait "${jobs[$((p - 1))]}" || rc=$?
    [ "$rc" = 75 ] || { cat "$work/agent.$p" >&2; die "agent $p ended with $rc"; }
  done
  now=$(date +%s%N)
  echo "$from $now $(peak_of "$gate_pid") $(sort -k4,4nr "$work"/time.[123] | awk 'NR == 1 { m = $4 } { c += $1 + $2 } END { print m, c }')" >"$t/packing"
  stop_all
  for p in 1 2 3; do sqlite3 -separator ' ' "$t/agent-$p/agent.db" "SELECT count(*), sum(records), sum(length), sum(timed), sum(state = 2) FROM package"; done |
    awk '{ for (i = 1; i <= 5; i++) s[i] += $i } END { printf "%d %d %d %d\n", s[1], s[2], s[3], s[4]; exit s[5] != s[1] }' >"$t/stock" || die "not every package stands at the gate"
  rm -rf "$t"/agent-?
  touch "$t/done"
  mv "$t" "$data/stock"
}

# The vault's own requests while it takes the second half of all; what is asked are words only.  take_all calls it once.
growth_asking() {
  where_and_key
  "$tools/bench_search_client" "$where" "$key" "@$work/taken" <"$work/queries.plain" >"$work/during" 2>"$work/during.err" & asking=$!
}

growth_ask() { # writes $work/queries (all classes) and $work/queries.plain (words only) and $work/relevance (words in about 12 %)
  local api="/api/search?purpose=meting&limit=50&q=" c
  draw 2 10 40 | sed 's/^/rare\t/' >"$work/ask"
  draw $((texts * 8 / 10000)) $((texts * 12 / 10000)) 30 | sed 's/^/mid\t/' >>"$work/ask"
  draw $((texts * 4 / 100)) $((texts * 15 / 100)) 30 >"$work/common"
  draw $((texts * 8 / 100)) $((texts * 15 / 100)) 10 >"$work/relevance"
  [ -s "$work/common" ] && [ -s "$work/relevance" ] || die "no word is common enough"
  sed 's/^/common\t/' "$work/common" >>"$work/ask"
  pairs "$work/common" | sed 's/^/two\t/' >>"$work/ask"
  awk -v api="$api" -F'\t' '{ gsub(/ /, "%20", $2); print $1 "\t" api $2 }' "$work/ask" >"$work/queries.plain"
  {
    cat "$work/queries.plain"
    phrases "$data/texts.tsv" | awk -v api="$api" '{ print "phrase\t" api "%22" $1 "%20" $2 "%22" }'
    awk '/^mid/ && length($2) >= 5 { print substr($2, 1, 3) }' "$work/ask" | sort -u | awk -v api="$api" '{ print "prefix\t" api $0 "*" }'
    awk -v api="$api" '{ print "relevance\t" api $0 "&order=relevance" }' "$work/relevance"
    for c in $(curl -sf -H "Cookie: kluis=$key" "http://$where${api}de&limit=200" | jq -r '.hits[].conversation.id | @uri' | sort -u | sed -n 1,3p); do head -n 10 "$work/common" | awk -v api="$api" -v c="$c" '{ print "conversation\t" api $0 "&conversation=" c }'; done
    for c in 1 2 3; do head -n 10 "$work/common" | awk -v api="$api" -v c="$c" '{ print "official\t" api $0 "&official=meting-" c }'; done
    counts_of "$work/common"
  } >"$work/queries"
  [ "$(cut -f1 "$work/queries" | sort -u | wc -l)" = 11 ] || die "a class of queries is empty"
  shuf --random-source=<(yes) "$work/queries" -o "$work/queries"
}

growth_searched() { # NAME FILE [GOAL]: figures of what the client printed.  GOAL instead of each class's own: half of all may lack a rare word
  local class n p50 p95 p99 worst hits empty goal
  while read -r class n p50 p95 p99 worst hits empty; do
    goal=${3:-$(search_goal "$class")}
    [ -z "${3:-}" ] || empty=0
    figure "$1.$class" "$p50" "ms p50 (p95 $p95, p99 $p99, worst $worst, $n requests, $hits hits each)" "" null "$goal" "$(goal_holds "$goal" "$p50" "$p99") && $empty == 0"
  done < <(sort "$2")
}

# The workload and its packages.  Sets $messages, $data and $work, and what the workload and the stock count; the caller declares these ($phones_counts).
phones_counts="distinct held attachments edits reactions texts attached apart notices packages records bytes stamped"
growth_packed() { # MESSAGES
  messages=$1 data=$PWD/build/bench-data/growth-$1 work=$PWD/build/bench-data/growth-$1/work
  mkdir -p "$data"; rm -rf "$work"; mkdir -p "$work"
  if [ ! -f "$data/done" ]; then
    "$tools/bench_phones" "$messages" "$data"
    touch "$data/done"
  fi
  read -r distinct held attachments edits reactions texts attached apart notices <"$data/counts"
  growth_stock
  read -r packages records bytes stamped <"$data/stock/stock"
  [ "$records" = $((held + edits + reactions + notices)) ] && [ "$stamped" = "$packages" ] || die "$records records in $packages packages ($stamped stamped); the phones hold $held messages, $edits edits, $reactions reactions"
}
growth_taken() { # [HALFWAY]: a vault takes all of it, in $work/run
  rm -rf "$work/run"; cp -a "$data/stock" "$work/run"; sync -f "$work"
  take_all "$work/run/server" "$packages" "$apart" "$@"
}

growth_size() { # MESSAGES: sets $rate
  local $phones_counts i times=${BENCH_ROUNDS:-1} yards=() walls=() cpus=() peaks=() gates=() yard wall from now gate_peak agent_peak cpu where key asking
  say "$1 messages: about $(growth_minutes "$1") minutes on two quiet cores"
  growth_packed "$1"
  read -r from now gate_peak agent_peak cpu <"$data/stock/packing"
  gates=("$gate_peak")
  figure growth.workload "$held" "messages as three phones hold them, $distinct distinct, $attachments with an attachment, $edits edits, $reactions reactions, $packages packages of $(calc "int($records / $packages + .5)")" "" null "" ""
  figure growth.pack "$(calc "$records / ($now - $from) * 1e9")" "records a second, three agents side by side ($(calc "1e6 * $cpu / $records") us CPU each)" "" null "" ""
  figure growth.pack.memory "$(calc "$agent_peak / 1024")" "MiB peak of an agent" "" null "<= 64" "$agent_peak <= 65536"
  figure growth.bytes.packages "$(calc "($bytes - $attached) / $held")" "bytes a message in packages, without the attachments' own bytes ($(calc "$bytes / $held") with them)" "" null "<= 130" "$bytes - $attached <= 130 * $held"
  words
  for i in $(seq "$times"); do
    growth_yard; yards+=("$yard")
    growth_taken
    walls+=("$wall") cpus+=("$cpu") peaks+=("$peak") gates+=("$gate_peak")
    say "ingest $i/$times: $wall s (CPU $cpu s), bare FTS5 $yard s for $texts texts"
    [ "$i" = "$times" ] || stop_all
  done
  at_rest
  growth_yard; yards+=("$yard")
  yard=$(printf '%s\n' "${yards[@]}" | median); wall=$(printf '%s\n' "${walls[@]}" | median); cpu=$(printf '%s\n' "${cpus[@]}" | median)
  rate=$(calc "$records / $wall")
  figure growth.ingest "$rate" "records a second ($wall s)" "bare SQLite+FTS5 without encryption: $(calc "$texts / $yard")" "$(calc "$rate / ($texts / $yard)")" ">= 0.75" "$rate >= 0.75 * $texts / $yard"
  figure growth.ingest.distinct "$(calc "$texts / $wall")" "distinct texts a second, doubles found and not counted" "bare SQLite+FTS5 fed with these alone: $(calc "$texts / $yard")" "$(calc "$yard / $wall")" "" ""
  figure growth.ingest.cpu "$(calc "1e6 * $cpu / $records")" "us CPU a record: gate, time authority, vault and its children" "" null "" ""
  i=$(printf '%s\n' "${peaks[@]}" | sort -g | tail -n 1)
  figure growth.memory.vault "$(calc "$i / 1024")" "MiB peak of the vault while it takes all" "" null "<= 512" "$i <= 512 * 1024"
  i=$(printf '%s\n' "${gates[@]}" | sort -g | tail -n 1)
  figure growth.memory.gate "$(calc "$i / 1024")" "MiB peak of the gate, while agents upload and while the vault takes" "" null "<= 64" "$i <= 64 * 1024"
  i=$(du -sb "$work/run/server/vault/index" | cut -f1)
  figure growth.bytes.index "$(calc "$i / $held")" "bytes a message in the index, at rest ($(calc "$i / $distinct") a distinct one)" "bare FTS5: $(calc "$(stat -c %s "$work/yard.db") / $texts")" null "<= 200" "$i <= 200 * $held"
  i=$(stat -c %s "$work"/run/server/vault/*.db "$work"/run/server/vault/*.db-wal 2>/dev/null | awk '{ s += $1 } END { print s + 0 }')
  figure growth.bytes.custody "$(calc "$i / $held")" "bytes a message in the other databases" "" null "" ""

  where_and_key
  growth_ask
  { awk '$1 ~ /^(rare|mid)$/ && ++n[$1] <= 15 { print $2 }' "$work/ask"; cat "$work/common"; } | same_counts
  "$tools/bench_search_client" "$where" "$key" 20 <"$work/queries" >"$work/searched"
  growth_searched growth.search "$work/searched"
  while read -r i; do
    printf '%s\t' "$i"
    curl -sf -H "Cookie: kluis=$key" "http://$where/api/search?purpose=meting&limit=50&order=relevance&q=$i" | jq -c '[.hits[].text]'
  done <"$work/relevance" >"$work/best"
  figure growth.memory.searching "$(calc "$(peak_of "$vault_pid") / 1024")" "MiB peak of the vault until now" "" null "<= 512" "$(peak_of "$vault_pid") <= 512 * 1024"

  say "rebuilding the index"
  timed "$bin/chatkluis-server" rebuild-index --home "$work/run/server"
  [ "$status" = 0 ] || { cat "$work/err" >&2; die "rebuild-index ended with $status"; }
  set -- $timed
  figure growth.rebuild "$(calc "$records / $2")" "records a second ($2 s)" "taking them: $rate" "$(calc "$records / $2 / $rate")" ">= 0.9" "$records / $2 >= 0.9 * $rate"
  at_rest
  { awk '$1 ~ /^(rare|mid)$/ && ++n[$1] <= 5 { print $2 }' "$work/ask"; head -n 5 "$work/common"; } | same_counts
  stop_all

  say "searching while all is taken again"
  rm -f "$work/taken"
  growth_taken growth_asking
  touch "$work/taken"
  wait "$asking" || { cat "$work/during.err" >&2; die "the searching client ended"; }
  stop_all
  growth_searched growth.during "$work/during" "p99 <= 5"
  figure growth.ingest.searched "$(calc "$records / $wall")" "records a second while somebody searches without a pause through the second half" "nobody searching: $rate" "$(calc "$records / $wall / $rate")" "" ""
  rm -rf "$work/run"

  say "Xapian reads the same texts, for the order by relevance"
  mkdir -p "$work/xapian"
  set -- $("$python" tests/bench/peers.py load xapian "$work/xapian" "$data/texts.tsv")
  figure growth.xapian "$(calc "$texts / $1")" "texts a second into Xapian, $(calc "$2 / $texts") bytes each" "" null "" ""
  set -- $("$python" tests/bench/peers.py agree xapian "$work/xapian" "$work/yard.db" <"$work/best")
  figure growth.relevance.agreement "$1" "of our 50 best are as good as Xapian's fiftieth ($3 words)" "bm25 of bare FTS5: $2" "$(calc "($2 > 0 ? $1 / $2 : 1)")" ">= bm25's" "$1 >= $2"
  say "disk at the end: $(du -sm "$data" | cut -f1) MB"
  rm -rf "$work"
  [ -n "${BENCH_KEEP:-}" ] || rm -rf "$data"
}

growth_yard() { # sets $yard: seconds of bare FTS5; the database stays
  rm -f "$work"/yard.db*
  yard=$("$tools/bench_fts5_yardstick" "$data/texts.tsv" "$work/yard.db" | cut -d' ' -f1)
}

bench_growth() {
  local n rate sizes=${BENCH_SIZES:-1000000 3000000 10000000} first="" first_n=""
  for n in $sizes; do [[ $n =~ ^[1-9][0-9]{4,8}$ ]] || die "BENCH_SIZES: numbers of 10,000 to 999,999,999"; done
  for n in $sizes; do
    growth_size "$n"
    [ -n "$first" ] || { first=$rate first_n=$n; continue; }
    figure growth.ingest.kept "$rate" "records a second" "at $first_n: $first" "$(calc "$rate / $first")" ">= 0.75" "$rate >= 0.75 * $first"
  done
}
