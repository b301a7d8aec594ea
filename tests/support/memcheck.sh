#!/usr/bin/env bash
# memcheck.sh - programs under valgrind's memcheck, wherever they are started.
#
#   memcheck.sh --stand-in FILE    puts a script in FILE's place that runs FILE (FILE.watched from now on) as below; the build does this (KLUIS_WATCH)
#   memcheck.sh FILE ARGUMENT…     becomes valgrind over FILE.  What it has to say goes to the folder $KLUIS_REPORTS, a file a process.  Exit 97, as
#                                  soon as it ends, where memory was used wrongly or leaked
#   memcheck.sh --judge            prints every finding in $KLUIS_REPORTS; exit 1 where there is one
#
# A finding: an access, a use of what was never set, a leak, a fatal signal, or (--track-fds) a descriptor of the program's own that is open when it
# ends by itself.  Children that it forks are watched too; they end by _exit(), so what they hold open then is the kernel's to close and no finding.
# Who is ended by a signal (also by its own: tests/support/die.h) was in the middle of something: its other threads are gone by the time valgrind looks, and
# with them the registers that may have held the only address of a block.  There a leak is no finding, all else is.
# A forked child has the thread alone that forked; of the others it has the memory and no registers.  There what a thread had allocated is no finding
# (a time authority or gate that runs in the process of a test whose vault forks); what the child itself loses is.
set -euo pipefail
self=$(readlink -f "$0")
reports=${KLUIS_REPORTS:-${TMPDIR:-/tmp}/kluis-memcheck}
case "${1:?}" in
  --stand-in)
    mv "$2" "$2.watched"
    printf '#!/bin/sh\nexport KLUIS_WATCHED="%s"\nexec "%s" "%s.watched" "$@"\n' "$2" "$self" "$2" >"$2"
    chmod 755 "$2"
    exit 0 ;;
  --judge)
    rc=0
    for log in "$reports"/memcheck.*; do
      [ -s "$log" ] || continue
      name=${log##*/memcheck.} own=0
      pid=${name##*.} name=${name%.*}
      [ "${name##*.}" != "$pid" ] || own=1
      # Version 3.19 counts no descriptor as an error.  Those of the parent (ctest's pipes) are said to be inherited; who is killed closes nothing.
      awk -v name="${name%.*}" -v own="$own" -v forked="$((1 - own))" '
        { sub(/^(==|\*\*)[0-9]+(==|\*\*) ?/, "") }
        /^(Invalid|Conditional jump|Use of|Syscall param|Mismatched|Source and destination|Argument .* of function)/ { bad = 1 }
        / are (definitely|indirectly) lost in loss record/ { lost = 1 }
        lost && forked && /: (start_thread|clone) \(/ { lost = 0 }
        lost && /^$/ { leak = 1; lost = 0 }
        /^Process terminating with default action of signal/ { own = 0; ended = 1; if (/SIG(SEGV|BUS|ILL|FPE)/) bad = 1 }
        /^ *Open (file descriptor|AF_)/ { at = $0; next }
        at != "" { if (own && !/<inherited from parent>/) { bad = 1; text = text "left open: " at "\n" $0 "\n" } at = ""; next }
        { text = text $0 "\n" }
        END { if ((leak || lost) && !ended) bad = 1; if (bad) print "memcheck: " name ":\n" text; exit bad }' "$log" || rc=1
    done
    exit "$rc" ;;
esac
[ -d "$reports" ] || mkdir -m 1777 "$reports" || [ -d "$reports" ]
name=${1##*/}
# Not --quiet, which hides that a process was ended by somebody's signal.  The name of a log tells a program (twice the same number) from what it forked.
exec valgrind --error-exitcode=97 --track-fds=yes --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
  --num-callers=30 --suppressions="${self%/*}/valgrind.supp" --log-file="$reports/memcheck.${name%.watched}.$$.%p" "$@"
