# lib.sh - sourced by the integration scripts: a private home, a server on loopback, an agent, a search; all of it is gone afterwards.
#
#   begin NAME           $work (temporary), $bin; cleans up at exit
#   server_init          $work/server
#   server_start [ENV…]  waits until it listens: $gate, $page, $server_pid      · server_stop
#   agent_enrol HOME     a code, an official, an agent at HOME                  · agent HOME COMMAND …
#   hits QUERY           hits of a search, one JSON line each
# KLUIS_BIN: folder of the programs.
set -eEuo pipefail
export LC_ALL=C.UTF-8
export CHATKLUIS_KEYSTORE=file # the keyring of whoever runs the tests is theirs
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=${KLUIS_BIN:-$root/build/bin}
twin=${KLUIS_TWIN:-$(dirname "$bin")/tests/bin}
patience=${KLUIS_PATIENCE:-1} # tests/support/sanitize.sh: how much longer to wait for what comes
checks=0 failures=0 officials=0 server_pid=

begin() {
  test_name=$1
  work=$(mktemp -d "${TMPDIR:-/tmp}/kluis-$1.XXXXXX")
  trap finish_all EXIT
  trap 'echo "$test_name: line $LINENO of ${BASH_SOURCE##*/}: $BASH_COMMAND: status $?" >&2' ERR
  trap 'exit 130' INT TERM
}
mounts=()
at_end() { :; } # what a script has to stop itself before its folder goes: it says so by a function of this name
finish_all() {
  local rc=$?
  at_end
  server_stop || true
  if [ "$rc" -ne 0 ] || [ "$failures" -ne 0 ]; then
    for f in "$work"/serve.log; do [ -s "$f" ] && { echo "-- ${f##*/}"; tail -n 30 "$f"; }; done
  fi
  local m
  for m in "${mounts[@]}"; do umount "$m" 2>/dev/null || umount -l "$m" || true; done
  if [ -n "${KLUIS_KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
fail() { printf '%s: FAILED: %s\n' "$test_name" "$*" >&2; failures=$((failures + 1)); }
die() { fail "$@"; exit 1; }
ok() { checks=$((checks + 1)); }
# check WORDS COMMAND…: the command must succeed; refuse WORDS COMMAND…: it must not.
check() { local w=$1; shift; ok; "$@" >"$work/.out" 2>&1 || { fail "$w"; tail -n 5 "$work/.out" >&2; }; }
refuse() { local w=$1; shift; ok; if "$@" >"$work/.out" 2>&1; then fail "not refused: $w"; fi; }
equal() { ok; [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
# turn_bit FILE OFFSET: what stands there is another byte afterwards, whatever it was.
turn_bit() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  # shellcheck disable=SC2059 # an escape that is made
  printf "\\x$(printf '%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# end AT_LEAST: fewer checks than promised is a failure too.
end() {
  echo "$test_name: $checks checks, $failures failed"
  [ "$checks" -ge "$1" ] || die "only $checks of at least $1 checks ran"
  [ "$failures" -eq 0 ]
}

server_init() { "$bin/chatkluis-server" init --home "$work/server" --organisation "Provincie Voorbeeld" >/dev/null; }
server_start() { server_try "$@" || die "the server ended at its start"; }
server_try() { # [NAME=VALUE…]: in the environment of the server; KLUIS_… means the twin.  1: it ended before it listened
  local program=$bin/chatkluis-server i
  [ $# -gt 0 ] && program=$twin/chatkluis-server
  : >"$work/serve.out"
  env "$@" "$program" serve --home "$work/server" --listen "${gate:-127.0.0.1:0}" >"$work/serve.out" 2>>"$work/serve.log" &
  server_pid=$!
  for i in $(seq $((1200 * patience))); do
    grep -q '^listening on' "$work/serve.out" && break
    if ! kill -0 "$server_pid" 2>/dev/null; then
      wait "$server_pid" 2>/dev/null || true
      server_pid=
      return 1
    fi
    sleep 0.02
  done
  gate=$(sed -n 's/^listening on //p' "$work/serve.out")
  page=$(sed -n 's/^page on //p' "$work/serve.out")
  [ -n "$gate" ] || die "the server does not listen"
}
# Where the test runs as root, $as makes a command run as somebody else, who can reach $work/server and the programs in $programs; else it is empty.
as=() programs=$bin
give_away() {
  [ "$(id -u)" = 0 ] || return 0
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups) programs=$work/programs
  mkdir -p "$programs"; cp "$bin"/chatkluis-* "$programs/"
  chmod 755 "$work" "$programs"; chown -R 65534:65534 "$work/server"
}
# server_start_as COMMAND…: `serve` under a command (strace, another user) that stays its parent.  1: it ended before it listened, with $server_code
server_start_as() {
  : >"$work/serve.out"
  "$@" "$programs/chatkluis-server" serve --home "$work/server" --listen "${gate:-127.0.0.1:0}" >"$work/serve.out" 2>>"$work/serve.log" & server_pid=$!
  for _ in $(seq $((3000 * patience))); do
    grep -q '^listening on' "$work/serve.out" && break
    if ! kill -0 "$server_pid" 2>/dev/null; then
      server_code=0
      wait "$server_pid" 2>/dev/null || server_code=$?
      server_pid=
      return 1
    fi
    sleep 0.02
  done
  gate=$(sed -n 's/^listening on //p' "$work/serve.out")
  page=$(sed -n 's/^page on //p' "$work/serve.out")
  [ -n "$gate" ] || die "the server does not listen"
}
server_stop() {
  [ -n "$server_pid" ] || return 0
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=
}
# The parts are the children of serve; their kind stands behind the name of the program, whatever watches it (tests/support/memcheck.sh).
part_pid() { # gate | vault | tsa | page
  local p
  for p in $(pgrep -P "$server_pid"); do
    if [ "$(tr '\0' '\n' <"/proc/$p/cmdline" | sed -nE '/(^|\/)chatkluis-server(\.watched)?$/ { n; p; q }')" = "$1" ]; then echo "$p"; return 0; fi
  done
  return 1
}
official() { "$bin/chatkluis-server" official add --home "$work/server" --id "$1" --name "$2" --function beleid --from 2025-01-01 >/dev/null; }
code_for() { (umask 077; "$bin/chatkluis-server" enrol --home "$work/server" --official "$1" >"$2"); }
agent_enrol() { # HOME
  officials=$((officials + 1))
  official "ambtenaar$officials" "Ambtenaar $officials"
  code_for "ambtenaar$officials" "$work/code$officials"
  "$bin/chatkluis-agent" enrol --home "$1" --server "https://$gate" --code "@$work/code$officials" >/dev/null
}
agent() { local h=$1 c=$2; shift 2; "$bin/chatkluis-agent" "$c" --home "$h" "$@"; }
hits() { "$bin/chatkluis-server" search --home "$work/server" --purpose "test" --json "$1"; }
# Waits for the index: at least N hits of QUERY, or 5 s.
await_hits() { # N QUERY
  local i
  for i in $(seq $((100 * patience))); do
    [ "$(hits "$2" | wc -l)" -ge "$1" ] && return 0
    sleep 0.05
  done
  return 1
}
status_of_server() { "$bin/chatkluis-server" status --home "$work/server" --json; }
server() { status_of_server | jq -c "$1"; } # FILTER
is() { [ "$(server "$1" 2>/dev/null)" = "$2" ]; } # FILTER VALUE
of() { "$bin/chatkluis-agent" status --home "$1" --json 2>/dev/null | jq -c "$2" || true; } # HOME FILTER
run_agent() { rc=0; "$bin/chatkluis-agent" "$@" >"$work/out" 2>"$work/err" || rc=$?; }
await() { # COMMAND…: until it succeeds, 15 s
  local _
  for _ in $(seq $((300 * patience))); do "$@" && return 0; sleep 0.05; done
  return 1
}
gate_alone() { # the gate takes what comes, and its vault is away
  "$bin/chatkluis-server" gate --dir "$work/server/gate" --listen "$gate" >"$work/serve.out" 2>>"$work/serve.log" & server_pid=$!
  await grep -q '^listening on' "$work/serve.out"
}
lose() { find "$work/server/vault" -mindepth 1 -maxdepth 1 ! -name keys -exec rm -rf {} +; } # everything of the vault but its keys
written=0
chat_more() { # HOME WORD: a chat more with one message, so that it becomes a package of its own
  written=$((written + 1))
  say "$work/WhatsApp-chat met Persoon$written.txt" "05-03-2026 09:00" Anna "$2 $written"
  source_add "$1" whatsapp-text "$work/WhatsApp-chat met Persoon$written.txt"
}
say() { # FILE TIME AUTHOR TEXT: one more line of an Android export
  printf '%s - %s: %s\n' "$2" "$3" "$4" >>"$1"
}
source_add() { # HOME KIND PATH [OPTION…]
  local h=$1; shift
  "$bin/chatkluis-agent" source add --home "$h" "$@" >/dev/null
}
demo_sources() { # HOME
  source_add "$1" whatsapp-text "$root/tests/fixtures/demo/whatsapp/Projectgroep Dijkversterking" --option "self=Joris Hendriksen"
  source_add "$1" signal-export "$root/tests/fixtures/demo/signal"
}
