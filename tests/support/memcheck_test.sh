#!/usr/bin/env bash
# memcheck_test.sh MEMCHECK_SINS - promise: memcheck.sh finds a leak, a use of what was never set or is freed, and a descriptor left open, and takes
# nobody for a sinner who was ended by a signal, his own too, for what he held then, nor a forked child for what its parent had.  Exit 77: valgrind is not on this machine.
set -euo pipefail
command -v valgrind >/dev/null || { echo "memcheck: skipped: there is no valgrind here"; exit 77; }
memcheck=$(dirname "$(readlink -f "$0")")/memcheck.sh failures=0
KLUIS_REPORTS=$(mktemp -d "${TMPDIR:-/tmp}/kluis-memcheck.XXXXXX")
export KLUIS_REPORTS
trap 'rm -rf "$KLUIS_REPORTS"' EXIT
judged() { # SINS EXIT FOUND WORDS: how the program ends under valgrind, what --judge exits with, and what it has to say
  local rc=0 found=0
  find "$KLUIS_REPORTS" -mindepth 1 -delete
  # shellcheck disable=SC2086 # words
  "$memcheck" "$sins" $1 >/dev/null 2>&1 || rc=$?
  [ "$(find "$KLUIS_REPORTS" -type f | wc -l)" -ge 1 ] || { echo "memcheck: $1: no report was written"; failures=1; }
  said=$("$memcheck" --judge) || found=$?
  [ "$rc $found" = "$2 $3" ] && [[ $said == *"$4"* ]] || { echo "memcheck: $1: exit $rc, judged $found, not $2 and $3 with '$4': $said"; failures=1; }
}
sins=${1:?}
judged nothing 0 0 ''
judged leak 97 1 'definitely lost in loss record'
judged unset 97 1 'Conditional jump'
judged freed 97 1 'Invalid read'
judged open 0 1 'left open'
judged 'leak open ended' 143 0 ''
judged 'leak open killed' 137 0 ''
judged 'freed ended' 143 1 'Invalid read'
judged 'freed killed' 137 1 'Invalid read'
judged child 0 0 ''
judged held 0 0 ''
judged lost 0 1 'definitely lost in loss record'
[ "$failures" = 0 ] && echo "memcheck: 12 starts judged"
