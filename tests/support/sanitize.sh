#!/usr/bin/env bash
# sanitize.sh [asan|tsan] - builds the presets of these names and runs what can run in them: a sanitizer's build has no walls (it maps terabytes and
# calls what it likes), so tests of walls skip themselves there, and such a gate stays on loopback.
#   asan  AddressSanitizer and UndefinedBehaviorSanitizer: every unit test and fuzz replay, gate and vault whole
#   tsan  ThreadSanitizer: what has threads: index, lane, opener, gate, vault
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
one() { # PRESET TESTS
  cmake --preset "$1" "${launcher[@]}" >"configure-$1.log" 2>&1 || { cat "configure-$1.log"; exit 1; }
  mv "configure-$1.log" "build-$1/configure.log"
  ninja -C "build-$1" --quiet >&2
  ctest --test-dir "build-$1" --output-on-failure --timeout 1800 -j "$(nproc)" -R "$2"
}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
[ $# -gt 0 ] || set -- asan tsan
for p in "$@"; do
  case "$p" in
    asan) one asan '^(unit|fuzz)\.|^integration\.(gate|vault)$' ;;
    tsan) one tsan '^unit\.(index|lane|opener|gate|custody|register|storage)|^integration\.(gate|vault)$' ;;
    *) echo "sanitize: asan or tsan, not '$p'" >&2; exit 64 ;;
  esac
done
