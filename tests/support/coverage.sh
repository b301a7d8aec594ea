#!/usr/bin/env bash
# coverage.sh [quick BUILD] - which lines and branches run, against the floors in tests/support/coverage_floors.  Exit 1: something is below its floor,
# or a test failed.
#
# Builds the preset "coverage" (gcc's counters, no optimiser, no walls) and runs in turn, each on top of what ran before: the fuzz corpora (lines of
# every reader), the unit tests (lines and branches of every folder), and the rest of the suite (the same, of all files).  `quick` is a part of
# ./run test and stops after the unit tests.  Left out of the last: what reads the source (arch), the walls and the memory of a running gate (a build
# without walls refuses both), the fault sweeps (hundreds of passes each; their own floors are their points), Chromium.
# KLUIS_COVERAGE_FLOORS=1 prints the lines that today's figures would give.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
build=build-coverage quick=
case "$*" in
  "") ;;
  "quick "*) build=$2 quick=1 ;;
  *) echo "coverage: coverage.sh [quick BUILD]" >&2; exit 64 ;;
esac
launcher=() floors=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
[ -z "${KLUIS_COVERAGE_FLOORS:-}" ] || floors=(--floors)
mkdir -p "$build"
cmake --preset coverage -B "$build" "${launcher[@]}" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
rc=0
made() { ninja -C "$build" --quiet "$@" >"$build/made.log" || { cat "$build/made.log"; exit 1; }; }
ran() { # LOG CTEST-ARGUMENT…
  local log=$build/$1.log
  shift
  ctest --test-dir "$build" --output-on-failure -j "$(nproc)" --timeout 900 "$@" >"$log" || { tail -n 60 "$log"; rc=1; }
}
judged() { python3 tests/support/coverage.py "$build" "$1" tests/support/coverage_floors "${floors[@]}" || rc=1; }
made fuzz_targets unit_tests
find "$build" -name '*.gcda' -delete
KLUIS_FUZZ_BUDGET=0 ran corpus -R '^fuzz\.replay\.'
judged corpus
ran unit -R '^unit\.'
judged unit
if [ -z "$quick" ]; then
  made
  ran suite -E '^(unit|fuzz|arch|browser|fault)\.|^requirement\.T[12]$|^integration\.(walls|units|systemd_boot)$'
  judged suite
fi
exit "$rc"
