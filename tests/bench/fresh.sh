# tests/bench/fresh.sh - from a receipt to the first search that finds the record: at a steady 200 messages a second, and while the vault
# takes a backlog as fast as it can.  Sourced by bench.sh.

freshness_of() { # NAME GOAL COLUMN WHAT <lines: p50 and p99 of a column
  local sorted p50 p99 n
  sorted=$(cut -d' ' -f"$3" "$work/fresh" | sort -g)
  n=$(wc -l <<<"$sorted")
  p50=$(sed -n "$(((n + 1) / 2))p" <<<"$sorted"); p99=$(sed -n "$(((n * 99 + 99) / 100))p" <<<"$sorted")
  figure "$1" "$p99" "ms p99 (p50 $p50, worst $(tail -n 1 <<<"$sorted"), $n packages): $4" "" null "$2" "${2:+$p99 <= 1000}"
}

bench_fresh() {
  local seconds=${BENCH_SECONDS:-60} agents=4 each=50 i homes=() where key n
  fresh "$work/run"
  start_gate "$work/run/server" "$address"
  start_vault "$work/run/server"
  where=${page#http://}; where=${where%%/*}; key=${page##*key=}
  for i in $(seq "$agents"); do
    local home=$work/run/f$i
    mkdir -p "$home/chats"
    (umask 077; "$bin/chatkluis-server" enrol --home "$work/run/server" --official meting >"$home/code")
    "$bin/chatkluis-agent" enrol --home "$home/agent" --server "https://$address" --code "@$home/code" >/dev/null
    "$bin/chatkluis-agent" source add --home "$home/agent" whatsapp-text "$home/chats" --option zone=UTC >/dev/null
    homes+=("$home")
  done
  say "fresh: $((agents * each)) messages a second from $agents agents, $seconds s"
  python3 tests/bench/fresh.py steady "$bin/chatkluis-agent" "$seconds" "$each" "$where" "$key" "${homes[@]}" >"$work/fresh"
  [ "$(wc -l <"$work/fresh")" = $((agents * seconds)) ] || die "not every package was found"
  freshness_of fresh.steady.receipt "<= 1000" 2 "from the agent's receipt to the first search that finds its record, $((agents * each)) messages a second"
  freshness_of fresh.steady.written "" 1 "from a message's place in the export to the first search that finds it: the agent's pass included"
  stop_all
  at_gate m500
  rm -rf "$work/run"; cp -a "$work/at-gate-m500" "$work/run"
  n=$(stock "$work/run" 'count(*)')
  start_gate "$work/run/server" "$address"
  start_vault "$work/run/server"
  say "fresh: $n packages that wait at the gate, as fast as they are taken"
  python3 tests/bench/fresh.py watch "$bin/chatkluis-server" "$work/run/server" "$n" >"$work/fresh"
  freshness_of fresh.full.receipt "<= 1000" 2 "from its receipt until the index has it, while $messages messages are taken"
  freshness_of fresh.full.accepted "" 1 "from its acceptance (durable, not told yet) until the index has it"
  stop_all
  rm -rf "$work/run"
}
