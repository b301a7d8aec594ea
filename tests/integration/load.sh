#!/usr/bin/env bash
# Promise: many agents at once, slow, cut, doubled, reordered and never-finished uploads among them, lose nothing that was acknowledged, starve no honest
# one, and cost gate and vault no more memory and descriptors than is stated.
#   LOAD_AGENTS (40), LOAD_UPLOADS (16), LOAD_SEED (1)
. "$(dirname "$0")/lib.sh"
. "$root/tests/bench/load/homes.sh"
begin load
tools=${bin%/*}/bench
agents=${LOAD_AGENTS:-40} uploads=${LOAD_UPLOADS:-16} seed=${LOAD_SEED:-1} chats=3
limits() { jq "$1" "$work/server/gate/gate.json" >"$work/gate.json" && cat "$work/gate.json" >"$work/server/gate/gate.json"; }
fds() { ls "/proc/$1/fd" | wc -l; }
peak_mib() { awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$1/status"; }
of() { jq -r ".$1" "$work/load.json"; }

load_chats "$work" "$agents" "$chats" "$seed"
server_init
limits '.limits = {upload_bytes: 1}'
server_start
load_homes "$bin" "$work/server" "$gate" "$work" "$agents" || die "not every agent was made"
server_stop
equal "packages before the load" "$(load_ids "$work" 1 | wc -l)" $((agents * chats))
limits 'del(.limits)'
server_start
gate_pid=$(part_pid gate) vault_pid=$(part_pid vault)
"$bin/chatkluis-server" status --home "$work/server" --json >/dev/null
gate_fds=$(fds "$gate_pid") vault_fds=$(fds "$vault_pid")

rc=0
"$tools/bench_load" "$work/home" "$agents" "$uploads" $((uploads * 2)) "$seed" 240 3 3 50 >"$work/load.json" 2>"$work/load.err" || rc=$?
cat "$work/load.json"
equal "every agent had what docs/PROTOCOL.md says, and every one that could finish finished ($(head -n 5 "$work/load.err"))" "$rc" 0
for kind in honest slow cut duplicated reordered unfinished; do
  ok; [ "$(of $kind)" -ge 1 ] || fail "no agent of kind $kind: the seed tests less than it says"
done
[ "$rc" = 0 ] || end 1

# Every acknowledged package is in the vault once, and nothing else is.
load_ids "$work" "state = 3" >"$work/acknowledged"
sqlite3 "$work/server/vault/custody.db" "SELECT lower(hex(package)) FROM package JOIN inbox ON inbox.number = package.delivery" | sort >"$work/stored"
equal "acknowledged packages" "$(wc -l <"$work/acknowledged")" "$(of acknowledged)"
equal "of those that finish" "$(of acknowledged)" "$(of packages)"
check "the vault holds exactly what was acknowledged, each once" cmp "$work/acknowledged" "$work/stored"
ok; for _ in $(seq $((100 * patience))); do [ "$(status_of_server | jq -c '[.waiting, .refused]')" = '[0,0]' ] && break; sleep 0.1; done
equal "waiting and refused at the vault" "$(status_of_server | jq -c '[.waiting, .refused]')" '[0,0]'
equal "records" "$(status_of_server | jq .records)" "$(for f in "$work"/home/*/agent.db; do sqlite3 "$f" 'SELECT coalesce(sum(records), 0) FROM package WHERE state = 3'; done | awk '{ s += $1 } END { print s }')"
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data

# What was never finished is held, up to the ceiling of a device, until its seven days are over; nothing of it came further.
gate_rows() { sqlite3 "file:$work/server/gate/gate.db?mode=ro" "$1"; }
equal "uploads begun and not finished" "$(gate_rows 'SELECT count(*) FROM upload WHERE offset < length')" $(($(of unfinished) * 8))
equal "complete ones that are left: the vault took them, the gate forgot them" "$(gate_rows 'SELECT count(*) FROM upload WHERE offset = length')" 0
equal "files of uploads" "$(ls "$work/server/gate/uploads" | wc -l)" $(($(of unfinished) * 8))
equal "messages for the vault that are left" "$(gate_rows 'SELECT count(*) FROM queue')" 0

# Ceilings (docs/handleiding/beheer.md): what so many connections may cost, and nothing for good.
settled() { local i; for i in $(seq $((300 * patience))); do [ "$(fds "$1")" -le "$2" ] && return 0; sleep 0.1; done; return 1; }
# (The vault's and the time authority's lines stay open: a few more. What is cut, held and finished here is hundreds.)
ok; settled "$gate_pid" $((gate_fds + 8)) || fail "the gate held $gate_fds descriptors before the load and $(fds "$gate_pid") after it"
ok; settled "$vault_pid" $((vault_fds + 8)) || fail "the vault held $vault_fds descriptors before the load and $(fds "$vault_pid") after it"
grep -q walls.none "$work/serve.log" || { # a build for the sanitizers needs more
ok; [ "$(peak_mib "$gate_pid")" -le 96 ] || fail "the gate's memory rose to $(peak_mib "$gate_pid") MiB"
ok; [ "$(peak_mib "$vault_pid")" -le 192 ] || fail "the vault's memory rose to $(peak_mib "$vault_pid") MiB"
}
echo "load: gate $(peak_mib "$gate_pid") MiB, $gate_fds descriptors before and $(fds "$gate_pid") after; vault $(peak_mib "$vault_pid") MiB, $vault_fds and $(fds "$vault_pid")"
# No honest agent waits much longer than the half of them does.
ok; awk "BEGIN { exit !($(of slowest_honest_ms) <= 30000 + 20 * $(of p50_ms)) }" || fail "an honest agent waited $(of slowest_honest_ms) ms for its receipts where half of the packages took $(of p50_ms) ms"
end 20
