# peers.sh - what a user would pick instead, fed with the distinct texts of what three phones hold (phones.c) and asked the same questions in the same run.  Sourced by bench.sh.
#
# notmuch and bare FTS5 stand in bench_ingest.  Here: PostgreSQL 15 (GIN, configuration 'dutch'), Xapian, Sphinx and ripgrep.  None of them verifies,
# encrypts, finds doubles or shows a conversation; PEERS names some of them only.

peers_all="postgresql xapian sphinx"
pg=/usr/lib/postgresql/15/bin
as_postgres() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; } # PostgreSQL refuses root
python=/usr/bin/python3 # Debian's own: the modules are packages

peers_up() { # DIR: an empty cluster with room for the whole of it
  rm -rf "$1"; mkdir -p "$1/socket"
  [ "$(id -u)" != 0 ] || chown -R postgres "$1"
  as_postgres "$pg/initdb" -D "$1/cluster" -U postgres -A trust --no-locale -E UTF8 >"$work/pg.log" 2>&1 || die "initdb: $(tail -n 1 "$work/pg.log")"
  as_postgres "$pg/pg_ctl" -D "$1/cluster" -w -l "$1/log" -o "-k $1/socket -c listen_addresses= -c shared_buffers=2GB -c maintenance_work_mem=1GB \
    -c work_mem=64MB -c max_wal_size=16GB -c checkpoint_timeout=30min -c wal_level=minimal -c max_wal_senders=0 -c jit=off -c gin_pending_list_limit=65536 \
    -c effective_cache_size=8GB -c random_page_cost=1.1" start >"$work/pg.log" 2>&1 || die "PostgreSQL does not start: $(tail -n 1 "$work/pg.log")"
}
peers_down() { [ ! -d "$work/pg/cluster" ] || as_postgres "$pg/pg_ctl" -D "$work/pg/cluster" -m immediate stop >/dev/null 2>&1 || true; }

sphinx_load() { # DIR TSV: prints seconds of the clock and bytes; searchd listens afterwards
  mkdir -p "$1/data"
  cat >"$1/conf" <<C
source msg {
  type = tsvpipe
  tsvpipe_command = cat $2
  tsvpipe_attr_bigint = ts
  tsvpipe_attr_uint = conv
  tsvpipe_attr_uint = sender
  tsvpipe_field = text
}
index msg {
  source = msg
  path = $1/data/msg
  min_prefix_len = 3
  dict = keywords
}
indexer
{
  mem_limit = 1024M
}
searchd
{
  listen = $1/sphinx.sock:mysql41
  pid_file = $1/pid
  log = $1/log
  binlog_path =
}
C
  local from now
  from=$(date +%s%N)
  indexer --config "$1/conf" --all >"$1/out" 2>&1 || die "sphinx: $(tail -n 1 "$1/out")"
  now=$(date +%s%N)
  searchd --config "$1/conf" >>"$1/out" 2>&1 || die "searchd: $(tail -n 1 "$1/out")"
  echo "$(calc "($now - $from) / 1e9") $(du -sb "$1/data" | cut -f1)"
}
sphinx_down() { [ ! -f "$work/sphinx/pid" ] || kill "$(cat "$work/sphinx/pid")" 2>/dev/null || true; }

# Words of a class that every peer finds as often as bare FTS5 does; PostgreSQL stems, so many fall out.  Fewer than WANT left: no figure.
agreed() { # WANT <words: prints those left
  local word n p said all
  all=$(cat)
  for p in $peers; do "$python" tests/bench/peers.py count "$p" "$(peer_dir "$p")" <<<"$all" >"$work/count.$p"; done
  said=0
  while read -r word; do
    n=$(sqlite3 "$work/yard.db" "SELECT count(*) FROM fts WHERE fts MATCH '\"$word\"'")
    for p in $peers; do [ "$(awk -v w="$word" '$1 == w { print $2 }' "$work/count.$p")" = "$n" ] || continue 2; done
    echo "$word"; said=$((said + 1))
  done <<<"$all"
  [ "$said" -ge "$1" ] || die "only $said words are found equally often by all; $1 are needed"
}
peer_dir() { case $1 in postgresql) echo "$work/pg" ;; *) echo "$work/$1" ;; esac; }

bench_peers() {
  local i p peers=${PEERS:-$peers_all} where key api="/api/search?purpose=meting&limit=50&q=" class line t x chats held goal beside p50 p95 p99 size
  declare -A took held_by
  local $phones_counts yard
  growth_packed "$messages"
  words
  growth_yard
  say "bare FTS5: $yard s for $texts texts"
  for p in $peers; do
    case $p in
      postgresql) peers_up "$work/pg"; line=$("$python" tests/bench/peers.py load postgresql "$work/pg" "$data/texts.tsv") ;;
      sphinx) awk -v OFS='\t' '{ print NR, $0 }' "$data/texts.tsv" >"$work/sphinx.tsv"; line=$(sphinx_load "$work/sphinx" "$work/sphinx.tsv"); rm -f "$work/sphinx.tsv" ;;
      *) rm -rf "$(peer_dir "$p")"; mkdir -p "$(peer_dir "$p")"; line=$("$python" tests/bench/peers.py load "$p" "$(peer_dir "$p")" "$data/texts.tsv") ;;
    esac
    took[$p]=${line% *} held_by[$p]=${line#* }
    say "$p: ${took[$p]} s for $texts texts, $(calc "${held_by[$p]} / $texts") bytes each"
  done
  growth_taken
  size=$(du -sb "$work/run/server/vault/index" | cut -f1)
  say "ours: $wall s, peak $((peak / 1024)) MiB, index $(calc "$size / $held") bytes each"
  figure peers.index.bytes "$(calc "$size / $held")" "bytes a message in the index, text included" "" null "<= 200" "$size <= 200 * $held"
  figure peers.memory "$(calc "$peak / 1024")" "MiB peak of the vault" "" null "<= 512" "$peak <= 512 * 1024"
  took[fts5]=$yard held_by[fts5]=$(stat -c %s "$work/yard.db")
  for p in fts5 $peers; do
    case $p in fts5) x=0.75 ;; postgresql) x=1 ;; *) x="" ;; esac
    figure "peers.ingest.$p" "$(calc "$records / $wall")" "records a second, doubles found ($(calc "$texts / $wall") distinct texts a second)" \
      "$p, distinct texts only, unencrypted: $(calc "$texts / ${took[$p]}"), $(calc "${held_by[$p]} / $texts") bytes each" "$(calc "$records / $wall / ($texts / ${took[$p]})")" \
      "${x:+>= $x}" "${x:+$records / $wall >= $x * $texts / ${took[$p]}}"
  done

  where_and_key
  at_rest
  # Classes: by share of the messages.  In a conversation: words of that share, in chats of the middle.
  draw 2 10 60 | agreed 10 | awk '{ print "rare\t" $0 }' >"$work/ask"
  draw $((texts * 8 / 10000)) $((texts * 12 / 10000)) 60 | agreed 10 | awk '{ print "mid\t" $0 }' >>"$work/ask"
  draw $((texts / 100)) $((texts * 15 / 100)) 100 | agreed 3 >"$work/common"
  awk '{ print "common\t" $0 }' "$work/common" >>"$work/ask"
  pairs "$work/common" | sed 's/^/two\t/' >>"$work/ask"
  awk '{ print "relevance.common\t" $0 }' "$work/common" >>"$work/ask"
  awk '/^mid/ && ++n <= 20' "$work/ask" | sed 's/^mid/relevance.mid/' >>"$work/ask"
  phrases "$data/texts.tsv" | sed 's/^/phrase\t/' >>"$work/ask"
  grep '^mid' "$work/ask" | cut -f2 | awk 'length($1) >= 5 { print "prefix\t" substr($1, 1, 3) }' | sort -u | sed -n 1,20p >>"$work/ask"
  chats=$(curl -sf -H "Cookie: kluis=$key" "http://$where${api}de&limit=200" | jq -r '.hits[].conversation | "\(.name)\t\(.id | @uri)"' | sort -u | sed -n 1,3p)
  while IFS=$'\t' read -r t x; do
    t=${t#*chat-}; head -n 5 "$work/common" | awk -v c="$((10#${t:-0}))" '{ print "filtered\t" $0 "\t" c }' >>"$work/ask"
  done <<<"$chats"
  [ "$(grep -c '^filtered' "$work/ask")" -ge 3 ] || die "no conversation to search in"
  # Ours: the same, as the page asks it.
  awk -F'\t' -v api="$api" -v chats="$chats" 'BEGIN { n = split(chats, row, "\n"); for (i = 1; i <= n; i++) { split(row[i], f, "\t"); sub(/.*chat-/, "", f[1]); id[f[1] + 0] = f[2] } }
    { q = $2; gsub(/ /, "%20", q); if ($1 == "phrase") q = "%22" q "%22"; if ($1 == "prefix") q = q "*"; if ($1 ~ /^relevance/) q = q "&order=relevance"; if ($3 != "") q = q "&conversation=" id[$3 + 0]; print $1 "\t" api q }' "$work/ask" >"$work/queries"
  counts_of "$work/common" >>"$work/queries"
  same_counts < <(awk '$1 ~ /^(rare|mid|common)$/ { print $2 }' "$work/ask" | sort -u | sed -n 1,40p)
  "$tools/bench_search_client" "$where" "$key" 10 <"$work/queries" | sort >"$work/ours"
  for p in $peers; do "$python" tests/bench/peers.py ask "$p" "$(peer_dir "$p")" 3 <"$work/ask" | sort >"$work/asked.$p"; done
  while read -r class i p50 p95 p99 line; do
    goal=$(search_goal "$class") beside=""
    for p in $peers; do beside="$beside$p $(awk -v c="$class" '$1 == c { print $3 " (p99 " $4 ")" }' "$work/asked.$p"), "; done
    figure "peers.search.$class" "$p50" "ms p50 (p99 $p99, $i requests)" "${beside%, }" null "$goal" "${goal:+$(goal_holds "$goal" "$p50" "$p99")}"
  done < <(grep -v '^#' "$work/ours")
  t=$(date +%s%N); rg -c -w "$(head -n 1 "$work/common")" "$data/texts.tsv" >/dev/null || true; x=$(date +%s%N)
  figure peers.search.ripgrep "$(calc "($x - $t) / 1e6")" "ms for a common word over the plain texts" "" null "" ""
  stop_all; peers_down; sphinx_down
  rm -rf "$work/run" "$work/pg" "$work/xapian" "$work/sphinx"
}
