#!/usr/bin/env bash
# Promise: every process of a running server stands behind its walls; without a system-call filter no part starts; `status` says which walls
# stand.  On the release programs.
. "$(dirname "$0")/lib.sh"
begin walls

# A build without walls is another program: the sentence it says of itself is not in this one.  (Control: a sentence that is.)
ok; grep -aq 'without it no part of the server starts' "$bin/chatkluis-server" || die "these programs have no walls: a sanitizer build?"
refuse "a program that can be without walls" grep -aq 'made for the sanitizers' "$bin/chatkluis-server"

server_init
give_away
server_start_as "${as[@]}"

parts=0
for part in gate vault tsa; do
  pid=$(part_pid $part) || die "there is no $part"
  parts=$((parts + 1))
  equal "$part: system calls filtered (2: by a filter)" "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" 2
  equal "$part: no new privileges" "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$pid/status")" 1
done
equal "parts" "$parts" 3
# The opener's parent forks a child for each package; it and its children are children of the vault.
ok; [ -n "$(pgrep -P "$(part_pid vault)")" ] || fail "there is no opener"

status=$("${as[@]}" "$programs/chatkluis-server" status --home "$work/server" --json)
ok; jq -e '.walls.vault.privileges and .walls.vault.calls and .walls.opener.privileges and .walls.opener.calls' <<<"$status" >/dev/null || fail "status: $(jq -c .walls <<<"$status")"
equal "walls that each part logged" "$(grep -c ' walls privileges=1 ' "$work/serve.log")" 3
server_stop

# Without seccomp nothing starts: the system call is refused as a kernel without it would.
for part in gate tsa vault; do
  case $part in
    gate) set -- gate --dir "$work/server/gate" --listen 127.0.0.1:0 ;;
    tsa) set -- tsa --dir "$work/server/tsa" ;;
    vault) set -- vault --home "$work/server" --gate "https://$gate" ;;
  esac
  rc=0
  timeout 30 strace -f -o /dev/null -e trace=seccomp -e inject=seccomp:error=EINVAL "$bin/chatkluis-server" "$@" >"$work/.out" 2>"$work/.err" </dev/null || rc=$?
  equal "$part without a system-call filter" "$rc" 74
  ok; grep -q 'seccomp' "$work/.err" || { fail "$part does not say why"; tail -n 3 "$work/.err" >&2; }
done
end 17
