#!/usr/bin/env bash
# sanitize.sh [asan|tsan|valgrind]… [-- REGEX] - builds the presets of these names and runs the suite in them (or the tests that REGEX names).
#   asan      AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   tsan      ThreadSanitizer
#   valgrind  memcheck with --track-fds=yes over every test program of ours (tests/support/memcheck.sh)
# Without a name: asan, then tsan.
#
# Such a build has no walls (a sanitizer maps terabytes and calls what it likes), says so, and its gate stays on loopback.  What is not run, and why:
#   arch.*, requirement.T2       read the source; what built it is nothing to them
#   integration.walls, .units    walls and system calls of the release programs; a build without walls refuses the first by design
#   requirement.T1               searches the memory of a running gate; a sanitizer's shadow of it is terabytes
#   fault.*                      hundreds of passes each, with a count of leaks and descriptors of their own: hours
#   browser.page (tsan)          adds Chromium, and no thread of ours
#   scripts (valgrind)           start programs that valgrind does not follow; the same programs' parts run in the test programs
# Reports go to a folder of their own as well: one of a server, or of an opener whose stderr is /dev/null, fails the run though its test passed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
reports=$(mktemp -d "${TMPDIR:-/tmp}/kluis-reports.XXXXXX")
trap 'rm -rf "$reports"' EXIT
chmod 1777 "$reports" # parts of the server run as other users
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1:log_path=$reports/asan:log_exe_name=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan:log_exe_name=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="halt_on_error=1:log_path=$reports/tsan:log_exe_name=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
SOURCE='(arch|fault)\.|requirement\.T2$' WALLED='integration\.(walls|units)$|requirement\.T1$'
one() { # PRESET NOT-THESE [ONLY-THESE]
  local rc=0
  cmake --preset "$1" "${launcher[@]}" >"configure-$1.log" 2>&1 || { cat "configure-$1.log"; exit 1; }
  mv "configure-$1.log" "build-$1/configure.log"
  ninja -C "build-$1" --quiet >&2
  ctest --test-dir "build-$1" --output-on-failure -j "$(nproc)" -E "^($2)" -R "${only:-${3:-.}}" || rc=1
  if [ -n "$(ls "$reports")" ]; then
    echo "sanitize: reports of $1:" >&2
    tail -n 60 "$reports"/* >&2
    rm -f "$reports"/*
    rc=1
  fi
  return "$rc"
}
presets=() only=
while [ $# -gt 0 ]; do
  case "$1" in
    asan|tsan|valgrind) presets+=("$1") ;;
    --) [ $# -eq 2 ] || { echo "sanitize: -- takes one REGEX" >&2; exit 64; }; only=$2; shift ;;
    *) echo "sanitize: asan, tsan or valgrind, not '$1'" >&2; exit 64 ;;
  esac
  shift
done
[ ${#presets[@]} -gt 0 ] || presets=(asan tsan)
failed=()
for p in "${presets[@]}"; do
  case "$p" in
    asan) one asan "$SOURCE|$WALLED" || failed+=("$p") ;;
    tsan) one tsan "$SOURCE|$WALLED|browser\." || failed+=("$p") ;;
    valgrind) one valgrind "$SOURCE|$WALLED" '^(unit|fuzz|requirement\.T8)|^integration\.(gate|vault|vault_crash)$' || failed+=("$p") ;;
  esac
done
[ ${#failed[@]} -eq 0 ] || { echo "sanitize: not clean: ${failed[*]}" >&2; exit 1; }
echo "sanitize: clean: ${presets[*]}"
