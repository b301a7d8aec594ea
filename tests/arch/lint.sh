#!/usr/bin/env bash
# lint.sh [PATH…] - clang-tidy with the repository's .clang-tidy over every C file of lib, agent, server and tests (or those under PATH…), as
# build/compile_commands.json compiles them.  ./run lint calls it.  Minutes of work, so no test of ./run test.  Exit 1: findings.
# KLUIS_LINT_JOBS: how many at a time (2).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
command -v clang-tidy >/dev/null || { echo "lint: clang-tidy is missing: apt-get install clang-tidy" >&2; exit 64; }
[ -f build/compile_commands.json ] || { echo "lint: build first: ./run build" >&2; exit 64; }
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(lib agent server tests)
work=$(mktemp -d "${TMPDIR:-/tmp}/kluis-lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A file that two targets compile is looked at once; what cmake made of other folders (the page's assets) is nobody's style.
python3 - "$PWD" "${paths[@]}" >"$work/files" <<'P'
import json, os, sys
root, wanted = sys.argv[1], [p.rstrip("/") for p in sys.argv[2:]]
seen = {os.path.relpath(c["file"], root) for c in json.load(open("build/compile_commands.json"))}
print("\n".join(sorted(f for f in seen if any(f == w or f.startswith(w + "/") for w in wanted))))
P
total=$(wc -l <"$work/files")
[ "$total" -gt 0 ] || { echo "lint: no C file under: ${paths[*]}" >&2; exit 64; }
# The commands are gcc's: clang is told to bear its flags, and not to ask for its own way to zero locals.
one() {
  clang-tidy -p build --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-value \
    --extra-arg=-Wno-ignored-optimization-argument --extra-arg=-Qunused-arguments \
    --extra-arg=-ftrivial-auto-var-init=uninitialized "$1" >"$2/$(tr / _ <<<"$1").out" 2>/dev/null || echo "$1" >>"$2/failed"
}
export -f one
xargs -P "${KLUIS_LINT_JOBS:-2}" -I{} bash -c 'one "$1" "$2"' _ {} "$work" <"$work/files"
cat "$work"/*.out | grep -v '^$' | sed "s|^$PWD/||" || true
echo "lint: $total files, $(cat "$work/failed" 2>/dev/null | wc -l) with findings"
[ ! -e "$work/failed" ]
