#!/usr/bin/env bash
# memcheck.sh PROGRAM ARGUMENT… - runs it under valgrind's memcheck.  Exit 97 where memcheck found something: an access, a use of what was never
# set, a leak, or (--track-fds) a descriptor of the program's own left open at its end.  Children that it forks are watched too; they end by
# _exit(), so what they hold open then is the kernel's to close and no finding.  Programs that it executes are not watched.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
log=$(mktemp "${TMPDIR:-/tmp}/kluis-memcheck.XXXXXX")
trap 'rm -f "$log"' EXIT
rc=0
valgrind --quiet --error-exitcode=97 --track-fds=yes --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
  --num-callers=30 --suppressions="$here/valgrind.supp" --log-file="$log" "$@" & pid=$!
wait "$pid" || rc=$?
# Version 3.19 counts no descriptor as an error.  Those of the parent (ctest's pipes) are said to be inherited.
open=$(awk -v me="==$pid==" '$1 == me && / Open (file descriptor|AF_)/ { at = $0; next } $1 == me && at != "" { if (!/<inherited from parent>/) print at "\n" $0; at = "" }' "$log")
if [ "$rc" = 97 ] || [ -n "$open" ]; then
  cat "$log" >&2
  [ -z "$open" ] || { echo "memcheck: left open:"; echo "$open"; } >&2
  exit 97
fi
# What only a child ran into.
if grep -qE '^==[0-9]+== (Invalid|Conditional|Use of|Syscall param|Mismatched|Source and destination|.* definitely lost)' "$log"; then
  cat "$log" >&2
  exit 97
fi
exit "$rc"
