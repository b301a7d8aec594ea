#!/usr/bin/env bash
# sanitize.sh [asan|tsan|valgrind]… [-- REGEX] - builds the presets of these names and runs the suite in them (or the tests that REGEX names).
#   asan      AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
#   tsan      ThreadSanitizer
#   valgrind  memcheck with --track-fds=yes over every program of ours, also those that scripts start (tests/support/memcheck.sh)
# Without a name: asan, then tsan.  At the end, for each: how many tests ran, failed, were skipped or left out, and why.  Exit 1 where a test failed
# or a process reported something, also one whose test passed: every report goes to a folder of its own.  KLUIS_JOBS: tests at once.
#
# Such a build has no walls (a sanitizer maps terabytes and calls what it likes), says so, and its gate stays on loopback.
set -euo pipefail
# What is not run: WHERE | TESTS | why.  Nothing else is.
left_out='
asan tsan valgrind | arch\..*|requirement\.T2 | read the source and the pages: how the programs were built is nothing to them
asan tsan valgrind | integration\.(walls|units|systemd_boot) | the walls of the release programs: a build without walls has none
asan tsan | requirement\.T1 | searches the memory of a running server, and the shadow that a sanitizer keeps of it is terabytes
asan tsan valgrind | requirement\.T4 | asks that nobody can look into the programs, and whoever looks for errors must
asan tsan valgrind | fault\..* | the sweeps are the allocator and the system calls themselves, where the sanitizer has to stand, and count leaks and descriptors of their own
tsan | integration\.keyring | the threads there belong to GLib, whose locks (futex, no pthread) the sanitizer cannot see: all they hand over is a race to it
valgrind | conformance\.(eigen_.*|signal_export|signal_archive) | start the reader some thousand times, seconds each there: the same readers run in unit.* and fuzz.replay.*
valgrind | integration\.(kill|load) | hundreds of starts of a server and agents that take a minute each there: the same steps run in the other scripts
'
cd "$(dirname "$(readlink -f "$0")")/../.."
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
reports=$(mktemp -d "${TMPDIR:-/tmp}/kluis-reports.XXXXXX")
trap 'rm -rf "$reports"' EXIT
chmod 1777 "$reports" # parts of the server run as other users
export KLUIS_REPORTS=$reports KLUIS_PATIENCE=20 # what waits in a script waits so much longer, as the tests have so much more time
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1:log_path=$reports/asan:log_exe_name=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan:log_exe_name=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="halt_on_error=1:log_path=$reports/tsan:log_exe_name=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
# Which of the tests (on stdin) are left out with PRESET: TESTS | why, a line each.
left_out_of() { # PRESET
  local where tests why
  printf '%s' "$left_out" | while IFS= read -r line; do
    [ -n "$line" ] || continue
    where=${line%% | *} why=${line##* | } tests=${line#* | }
    tests=${tests% | *}
    case " $where " in *" $1 "*) printf '^(%s)$\t%s\n' "$tests" "$why" ;; esac
  done
}
# From ctest's own account: what ran, and the last words of whoever skipped itself.
account() { # PRESET JUNIT
  python3 - "$1" "$2" <<'PY'
import sys, xml.etree.ElementTree as tree
cases = tree.parse(sys.argv[2]).getroot().findall("testcase")
skipped = [c for c in cases if c.find("skipped") is not None]
failed = [c for c in cases if c.find("failure") is not None]
print(f"sanitize: {sys.argv[1]}: {len(cases) - len(skipped)} tests run, {len(failed)} failed, {len(skipped)} skipped themselves")
for c in failed: print("  failed: " + c.get("name"))
for c in skipped: print("  skipped: " + c.get("name") + ": " + ((c.findtext("system-out") or "").strip().splitlines() or ["without a word"])[-1])
sys.exit(1 if failed or len(cases) == len(skipped) else 0)
PY
}
one() { # PRESET
  local rc=0 all n tests why not=() junit=$PWD/build-$1/junit.xml
  cmake --preset "$1" "${launcher[@]}" >"configure-$1.log" 2>&1 || { cat "configure-$1.log"; exit 1; }
  mv "configure-$1.log" "build-$1/configure.log"
  ninja -C "build-$1" --quiet >&2 || exit 1
  all=$(ctest --test-dir "build-$1" -N -R "$only" | sed -n 's/^ *Test *#[0-9]*: //p')
  while IFS=$'\t' read -r tests why; do not+=("$tests"); done < <(left_out_of "$1")
  rm -f "$junit"
  [ "$1" != valgrind ] || export KLUIS_HARM_STEP=65536 KLUIS_HARM_FLIPS=1 # a source is read thirty times slower there
  ctest --test-dir "build-$1" --output-on-failure -j "${KLUIS_JOBS:-$(nproc)}" -E "$(IFS='|'; echo "${not[*]}")" -R "$only" --output-junit "$junit" || rc=1
  account "$1" "$junit" >"$reports/.account" || rc=1
  while IFS=$'\t' read -r tests why; do
    n=$(grep -cE "$tests" <<<"$all" || true)
    [ -n "${n#0}" ] || [ "$only" != . ] || n="not built:"
    printf '  left out: %s %s: %s\n' "$n" "${tests:1:-1}" "$why"
  done < <(left_out_of "$1") >>"$reports/.account"
  if [ "$1" = valgrind ]; then
    tests/support/memcheck.sh --judge >"$reports/.findings" || rc=1
  else
    find "$reports" -type f -name "*san.*" -exec tail -n 60 {} + >"$reports/.findings"
  fi
  if [ -s "$reports/.findings" ]; then
    echo "sanitize: reports of $1:" >&2
    cat "$reports/.findings" >&2
    rc=1
  fi
  summary+=("$(cat "$reports/.account")")
  find "$reports" -mindepth 1 -delete
  return "$rc"
}
presets=() only=. failed=() summary=()
while [ $# -gt 0 ]; do
  case "$1" in
    asan|tsan|valgrind) presets+=("$1") ;;
    --) [ $# -eq 2 ] || { echo "sanitize: -- takes one REGEX" >&2; exit 64; }; only=$2; shift ;;
    *) echo "sanitize: asan, tsan or valgrind, not '$1'" >&2; exit 64 ;;
  esac
  shift
done
[ ${#presets[@]} -gt 0 ] || presets=(asan tsan)
for p in "${presets[@]}"; do one "$p" || failed+=("$p"); done
printf '%s\n' "${summary[@]}"
[ ${#failed[@]} -eq 0 ] || { echo "sanitize: not clean: ${failed[*]}" >&2; exit 1; }
echo "sanitize: clean: ${presets[*]}"
