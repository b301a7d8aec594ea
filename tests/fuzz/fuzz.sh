#!/usr/bin/env bash
# fuzz.sh SECONDS [TARGET...] - every libFuzzer target (or those named), SECONDS in all, two at a time.
#
# Builds in build-fuzz (clang, AddressSanitizer and UndefinedBehaviorSanitizer).  New inputs stay in build-fuzz/corpus/<target>, findings in
# build-fuzz/crashes/<target>-*.  A finding: fix the mechanism, then keep its input in tests/fuzz/corpus/<target>/.  Exit 1 on a finding.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
die() { printf 'fuzz: %s\n' "$*" >&2; exit "${2:-64}"; }
seconds=${1:-}
case "$seconds" in ''|*[!0-9]*|0) die "say for how many seconds in all: fuzz.sh 60 [TARGET...]" ;; esac
shift
command -v clang >/dev/null || die "clang is missing: apt-get install clang libclang-rt-14-dev"
at_once=2
build=build-fuzz
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
mkdir -p "$build/crashes" "$build/corpus" "$build/logs"
cmake --preset clang-fuzz -B "$build" "${launcher[@]}" >"$build/configure.log" 2>&1 || { cat "$build/configure.log" >&2; die "configuring failed" 1; }
ninja -C "$build" --quiet fuzz_targets >&2

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for f in tests/fuzz/corpus/*/; do targets+=("$(basename "$f")"); done
fi
for t in "${targets[@]}"; do [ -x "$build/fuzz/fuzz_$t" ] || die "no such target: $t"; done
each=$((seconds * at_once / ${#targets[@]}))
[ "$each" -ge 1 ] || each=1

one() { # target: one line on stdout, 1 on a finding
  local t=$1 log=$build/logs/$1.log max=16384 rc=0 dict=()
  case "$t" in package|package_part|content|receipt|export|recognise) max=65536 ;; esac
  [ -f "tests/fuzz/dict/$t.dict" ] && dict=("-dict=tests/fuzz/dict/$t.dict")
  case "$t" in package_part|enrol_reply|receipt|export) dict+=("-len_control=0") ;; esac # seeds are whole: short ones tell little
  mkdir -p "$build/corpus/$t"
  nice -n 10 "$build/fuzz/fuzz_$t" -max_total_time="$each" -max_len="$max" -timeout=20 -rss_limit_mb=2560 -print_final_stats=1 \
    -artifact_prefix="$build/crashes/$t-" "${dict[@]}" "$build/corpus/$t" "tests/fuzz/corpus/$t" >"$log" 2>&1 || rc=$?
  local runs cov
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  cov=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)
  printf '%-14s runs %9s   edges %6s   %s\n' "$t" "${runs:-?}" "${cov:-?}" "$([ "$rc" -eq 0 ] && echo "no finding" || echo "FINDING: see $log")"
  [ "$rc" -eq 0 ]
}
export -f one
export build each
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=0:allocator_may_return_null=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
echo "${#targets[@]} targets, $each s each, $at_once at a time"
printf '%s\n' "${targets[@]}" | xargs -P "$at_once" -I{} bash -c 'one {}' || { echo "findings: $build/crashes"; ls "$build/crashes"; exit 1; }
