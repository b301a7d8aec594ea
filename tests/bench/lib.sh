# tests/bench/lib.sh - what the benchmarks share: homes, parts of the server, medians, one JSON line a figure.  Sourced by bench.sh.

bin=${KLUIS_BIN:-$PWD/build/bin}
tools=${KLUIS_BENCH:-$PWD/build/bench}
messages=${BENCH_MESSAGES:-1000000}
rounds=${BENCH_ROUNDS:-5}
data=$PWD/build/bench-data/$messages
work=$data/work
pids=()
failed=0

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'bench: %s\n' "$*" >&2; exit 1; }
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR == 0) exit 1; print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
calc() { awk "BEGIN { printf \"%.6g\", $1 }"; }

# figure NAME VALUE UNIT YARDSTICK RATIO GOAL CONDITION: one line on stdout.  CONDITION is awk's; empty: printed without a goal.
figure() {
  local ok=null
  if [ -n "$7" ]; then
    if awk "BEGIN { exit !($7) }"; then ok=true; else ok=false; failed=1; fi
  fi
  jq -cn --arg name "$1" --argjson value "$2" --arg unit "$3" --arg yardstick "$4" --argjson ratio "${5:-null}" --arg goal "$6" --argjson ok "$ok" \
    --argjson messages "$messages" '{name:$name, value:$value, unit:$unit, yardstick:$yardstick, ratio:$ratio, goal:$goal, ok:$ok, messages:$messages}'
}

# seconds of user and system time, of the clock, and peak memory in KiB of a command: "CPU WALL KIB" in $timed.  $status: its exit code.
timed() {
  status=0
  /usr/bin/time -q -f '%U %S %e %M' -o "$work/time" "$@" >"$work/out" 2>"$work/err" || status=$?
  timed=$(awk '{ printf "%.2f %s %s", $1 + $2, $3, $4 }' "$work/time")
}

started() { # FILE PATTERN PID: waits for a line
  local i
  for i in $(seq 1200); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    kill -0 "$3" 2>/dev/null || { cat "$1" >&2; die "a part of the server ended"; }
    sleep 0.02
  done
  die "a part of the server is not ready after 24 s"
}
stop() { # PID…
  local p
  for p in "$@"; do kill "$p" 2>/dev/null || true; done
  for p in "$@"; do wait "$p" 2>/dev/null || true; done
}
stop_all() { [ ${#pids[@]} -eq 0 ] || stop "${pids[@]}"; pids=(); }

# start_gate HOME [ADDR:PORT]: time authority and gate, without a vault.  Sets $gate and $gate_pid.
start_gate() {
  rm -f "$work/tsa.out" "$work/gate.out" # what the last run said is no sign of this one
  "$bin/chatkluis-server" tsa --dir "$1/tsa" >"$work/tsa.out" 2>"$work/tsa.log" & pids+=($!)
  started "$work/tsa.out" '^time authority on' $!
  "$bin/chatkluis-server" gate --dir "$1/gate" --listen "${2:-127.0.0.1:0}" --time-authority "$(sed -n 's/^time authority on //p' "$work/tsa.out")" \
    >"$work/gate.out" 2>"$work/gate.log" & gate_pid=$!
  pids+=($gate_pid)
  started "$work/gate.out" '^listening on' $gate_pid
  gate=$(sed -n 's/^listening on //p' "$work/gate.out")
}
# start_vault HOME: vault and page server.  Sets $page, $vault_pid and $page_pid.
start_vault() {
  rm -f "$work/vault.out" "$work/page.out"
  "$bin/chatkluis-server" vault --home "$1" --gate "https://$gate" >"$work/vault.out" 2>"$work/vault.log" & vault_pid=$!
  pids+=($vault_pid)
  started "$work/vault.out" '^vault ready' $vault_pid
  "$bin/chatkluis-server" page --vault "$1/vault/page.sock" --listen 127.0.0.1:0 >"$work/page.out" 2>"$work/page.log" & page_pid=$!
  pids+=($page_pid)
  started "$work/page.out" '^page on' $page_pid
  page=$("$bin/chatkluis-server" page-address --home "$1" | sed -n 's/^page on //p')
}

where_and_key() { where=${page#http://}; where=${where%%/*}; key=${page##*key=}; } # of $page: sets $where and $key
at_rest() { # waits until the vault has nothing more to do with its index
  say "waiting until the index is at rest"
  local before=-1 now=0
  while [ "$before" != "$now" ]; do
    before=$now
    sleep 5
    now=$(awk '{ print $14 + $15 }' "/proc/$vault_pid/stat")
    [ $((now - before)) -gt 20 ] || before=$now
  done
}

# Seconds of user and system time that processes, their children and what those waited for have used.
cpu_of() { # PID…
  local p
  for p in "$@" $(ps -o pid= --ppid "$(IFS=,; echo "$*")"); do cat "/proc/$p/stat"; done |
    awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); s += $12 + $13 + $14 + $15 } END { print s / tick }'
}
peak_of() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status"; } # PID: KiB

# An empty server and an enrolled agent, to be copied for every run: $work/template/{server,agent}.  Sets $address.
template() {
  [ -d "$work/template" ] && return 0
  local t=$work/template.new
  rm -rf "$t"; mkdir -p "$t"
  "$bin/chatkluis-server" init --home "$t/server" --organisation "Provincie Voorbeeld" >/dev/null
  start_gate "$t/server"
  address=$gate
  start_vault "$t/server"
  "$bin/chatkluis-server" official add --home "$t/server" --id meting --name "Meting" --function bench --from 2020-01-01 >/dev/null
  (umask 077; "$bin/chatkluis-server" enrol --home "$t/server" --official meting >"$t/code")
  "$bin/chatkluis-agent" enrol --home "$t/agent" --server "https://$address" --code "@$t/code" >/dev/null
  stop_all
  mv "$t" "$work/template"
}
fresh() { rm -rf "$1"; cp -a "$work/template" "$1"; } # DIR

workload() {
  [ -f "$data/done" ] && return 0
  say "making the workload: $messages messages"
  rm -rf "$data"; mkdir -p "$data"
  "$tools/bench_workload" "$messages" "$data"
  touch "$data/done"
}
