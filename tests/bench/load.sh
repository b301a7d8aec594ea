# load.sh - many agents at one gate.  Sourced by bench.sh.  BENCH_AGENTS (1000), BENCH_UPLOADS (200) at once, BENCH_SEED (20260101).
. tests/bench/load/homes.sh

# The agents' disks are other machines' disks: in memory where there is room for them.
load_place() { # AGENTS: prints a folder
  local room
  room=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
  if [ "${room:-0}" -gt $(($1 * 2000)) ] && mktemp -d /dev/shm/kluis-load.XXXXXX 2>/dev/null; then return 0; fi
  mktemp -d "$work/load.XXXXXX"
}

bench_load() {
  local agents=${BENCH_AGENTS:-1000} uploads=${BENCH_UPLOADS:-200} seed=${BENCH_SEED:-20260101} chats=4 home=$work/load-server gate_pid rc=0 took
  load_dir=$(load_place "$agents")
  say "load: $agents agents are enrolled and make their packages"
  load_chats "$load_dir" "$agents" "$chats" "$seed"
  "$bin/chatkluis-server" init --home "$home" --organisation "Provincie Voorbeeld" >/dev/null
  load_limits '.limits = {upload_bytes: 1}'
  start_gate "$home"
  address=$gate
  start_vault "$home"
  took=$(date +%s)
  load_homes "$bin" "$home" "$gate" "$load_dir" "$agents" || die "not every agent was made"
  say "load: made in $(($(date +%s) - took)) s"
  stop_all
  load_limits 'del(.limits)'
  start_gate "$home" "$address"
  start_vault "$home"
  say "load: $uploads of $agents agents upload at once, one in five misbehaves"
  # Agents are elsewhere in life: here they take what processor time the server leaves.
  chrt --idle 0 "$tools/bench_load" "$load_dir/home" "$agents" "$uploads" $((uploads * 2)) "$seed" 900 60 5 20 >"$work/load.json" 2>"$work/load.err" || rc=$?
  cat "$work/load.json" >&2
  [ "$rc" = 0 ] || { head -n 20 "$work/load.err" >&2; die "not every agent finished as it should"; }
  load_ids "$load_dir" "state = 3" >"$work/acknowledged"
  sqlite3 "$home/vault/custody.db" "SELECT lower(hex(package)) FROM package JOIN inbox ON inbox.number = package.delivery" | sort >"$work/stored"
  cmp "$work/acknowledged" "$work/stored" || die "the vault does not hold exactly what was acknowledged"
  of() { jq -r ".$1" "$work/load.json"; }
  figure load.packages "$(of per_second)" "packages a second to the receipt ($(of acknowledged) of $(of packages), $(of uploading) agents uploading at once, $(of not_now) answers waited out)" "" null "every one acknowledged" "$(of acknowledged) == $(of packages)"
  figure load.receipt "$(of p99_ms)" "ms p99 from an upload's begin to its receipt (p50 $(of p50_ms), worst $(of worst_ms)); honest agents" "p50" "$(calc "$(of p99_ms) / $(of p50_ms)")" "p99 <= 5 x p50" "$(of p99_ms) <= 5 * $(of p50_ms)"
  figure load.starved "$(of slowest_honest_ms)" "ms of the slowest honest agent for its $chats packages" "p50 of a package" "$(calc "$(of slowest_honest_ms) / $(of p50_ms)")" "<= $((2 * chats)) x p50" "$(of slowest_honest_ms) <= 2 * $chats * $(of p50_ms)"
  figure load.gate.memory "$(calc "$(peak_of "$gate_pid") / 1024")" "MiB peak of the gate" "" null "<= 256" "$(peak_of "$gate_pid") <= 256 * 1024"
  figure load.vault.memory "$(calc "$(peak_of "$vault_pid") / 1024")" "MiB peak of the vault" "" null "<= 512" "$(peak_of "$vault_pid") <= 512 * 1024"
  figure load.cpu "$(calc "1000 * $(cpu_of "${pids[@]}") / $(of acknowledged)")" "ms CPU a package: gate, time authority, vault and its children" "" null "" ""
  stop_all
  rm -rf "$load_dir" "$home"
}
load_limits() { jq "$1" "$home/gate/gate.json" >"$work/gate.json" && cat "$work/gate.json" >"$home/gate/gate.json"; }
