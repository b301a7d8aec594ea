#!/usr/bin/env bash
# Promise: many agents at once, slow, cut, doubled, reordered and never-finished uploads among them, lose nothing that was acknowledged, starve no honest
# one, and cost gate and vault no more memory and descriptors than is stated.  A gate whose disk is slow or full sends them away with a time to come
# back, goes on answering, and all of them finish when it is over.
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

group() { # NAME AGENTS CHATS: $work/NAME/home/0001 …
  load_chats "$work/$1" "$2" "$3" "$seed"
  load_homes "$bin" "$work/server" "$gate" "$work/$1" "$2" || die "not every agent was made"
}
load() { # NAME AGENTS UPLOADS HOLD BAD: $work/load.json, $rc
  rc=0
  "$tools/bench_load" "$work/$1/home" "$2" "$3" $(($3 * 2)) "$seed" 240 3 "$4" "$5" >"$work/load.json" 2>"$work/load.err" || rc=$?
}
finished() { # WHAT
  echo "$1: $(cat "$work/load.json")"
  equal "$1: every agent had what docs/PROTOCOL.md says, and every one that could finish did ($(head -n 5 "$work/load.err"))" "$rc" 0
  [ "$rc" = 0 ] || end 1
  equal "$1: acknowledged" "$(of acknowledged)" "$(of packages)"
}
# Every acknowledged package of these groups is in the vault once, and nothing else is.
same() { # NAME…
  local g
  for g in "$@"; do load_ids "$work/$g" "state = 3"; done | sort >"$work/acknowledged"
  sqlite3 "$work/server/vault/custody.db" "SELECT lower(hex(package)) FROM package JOIN inbox ON inbox.number = package.delivery" | sort >"$work/stored"
  check "the vault holds exactly what was acknowledged, each once ($*)" cmp "$work/acknowledged" "$work/stored"
}

server_init
limits '.limits = {upload_bytes: 1}'
server_start
group many "$agents" "$chats"
group late 16 1
group full 12 2
server_stop
equal "packages before the load" "$(load_ids "$work/many" 1 | wc -l)" $((agents * chats))
limits 'del(.limits)'
server_start
gate_pid=$(part_pid gate) vault_pid=$(part_pid vault)
"$bin/chatkluis-server" status --home "$work/server" --json >/dev/null
gate_fds=$(fds "$gate_pid") vault_fds=$(fds "$vault_pid")

load many "$agents" "$uploads" 3 50
finished load
same many
for kind in honest slow cut duplicated reordered unfinished; do
  ok; [ "$(of $kind)" -ge 1 ] || fail "no agent of kind $kind: the seed tests less than it says"
done
ok; for _ in $(seq $((100 * patience))); do [ "$(status_of_server | jq -c '[.waiting, .refused]')" = '[0,0]' ] && break; sleep 0.1; done
equal "waiting and refused at the vault" "$(status_of_server | jq -c '[.waiting, .refused]')" '[0,0]'
equal "records" "$(status_of_server | jq .records)" "$(for f in "$work"/many/home/*/agent.db; do sqlite3 "$f" 'SELECT coalesce(sum(records), 0) FROM package WHERE state = 3'; done | awk '{ s += $1 } END { print s }')"

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
server_stop

# A disk that takes 2.5 s for each file: who comes when others have waited for long is sent away before a byte of his is taken, and what needs no
# disk is answered meanwhile.
: >"$work/serve.log"
server_start KLUIS_SLOW_STEP=gate.upload.c:2500
load late 16 16 0 0 & loading=$!
: >"$work/health"; : >"$work/asked"
gate_says() { curl -so /dev/null --cacert "$work/server/root/root.crt" --max-time 30 "$@" || echo none; }
while kill -0 "$loading" 2>/dev/null; do
  gate_says -w '%{time_total}\n' "https://$gate/v1/health" >>"$work/health"
  gate_says -w '%{http_code} %header{retry-after}\n' --data-binary 'no enrolment' "https://$gate/v1/enrol" >>"$work/asked"
  sleep 0.3
done
wait "$loading" || true
rc=$(jq .wrong "$work/load.json")
finished "slow disk"
same many late
equal "a slow disk: other answers than 'no such request' and 'come back'" "$(grep -vcE '^(400 |503 ([5-9]|[1-5][0-9]|60))$' "$work/asked" || true)" 0
ok; grep -q '^503 ' "$work/asked" || fail "a slow disk: of $(wc -l <"$work/asked") who came nobody was asked to come back"
ok; sort -g "$work/health" | awk '{ t[NR] = $1 } END { exit !(NR >= 8 && t[int((NR + 1) / 2)] < 2.5) }' || fail "a slow disk: the gate answers what needs none in $(sort -g "$work/health" | tr '\n' ' ')s"
server_stop

# A disk that fills up in the middle of it, and has room again.
mkdir "$work/small"
if mount -t tmpfs -o size=32M,mode=0700 tmpfs "$work/small" 2>/dev/null; then
  mounts+=("$work/small")
  cp -a "$work/server/gate/." "$work/small/"; mv "$work/server/gate" "$work/gate-before"; mkdir "$work/server/gate"
  umount "$work/small"; mounts=()
  mount -t tmpfs -o size=32M,mode=0700 tmpfs "$work/server/gate"; mounts+=("$work/server/gate")
  cp -a "$work/gate-before/." "$work/server/gate/"
  limits '.disk_reserve = 1000000'
  : >"$work/serve.log"
  server_start
  load full 12 8 1 40 & loading=$!
  sleep 0.7
  dd if=/dev/zero of="$work/server/gate/filler" bs=64k status=none 2>/dev/null || true
  sleep 5
  rm "$work/server/gate/filler"
  wait "$loading"
  rc=$(jq .wrong "$work/load.json")
  finished "full disk"
  same many late full
  ok; grep -q ' status=507 ' "$work/serve.log" || fail "a full disk: nobody was told"
else
  echo "load: the full disk is left out: this user may not mount a small file system"
fi
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
end 22
