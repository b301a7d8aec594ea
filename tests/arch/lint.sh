#!/usr/bin/env bash
# lint.sh [PATH…] - clang-tidy with the repository's .clang-tidy over every C file of lib, agent, server and tests (or those under PATH…), as
# build/compile_commands.json compiles them.  ./run lint calls it.  Minutes of work, so no test of ./run test.  Exit 1: findings.
# A file that was clean is not looked at again while it, what it includes and how it is compiled stay the same (build/lint); so a run that was cut
# goes on where it was.
# KLUIS_LINT_JOBS: how many at a time (2).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
command -v clang-tidy >/dev/null || { echo "lint: clang-tidy is missing: apt-get install clang-tidy" >&2; exit 64; }
[ -f build/compile_commands.json ] || { echo "lint: build first: ./run build" >&2; exit 64; }
paths=("$@")
[ ${#paths[@]} -gt 0 ] || paths=(lib agent server tests)
work=$(mktemp -d "${TMPDIR:-/tmp}/kluis-lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p build/lint
# A file that two targets compile is looked at once; what cmake made of other folders (the page's assets) is nobody's style.
# Prints "KEY FILE"; the key is of all that the verdict depends on.
ninja -C build -t deps >"$work/deps"
python3 - "$PWD" "$work/deps" "$(clang-tidy --version | tr '\n' ' ')" "${paths[@]}" >"$work/files" <<'P'
import hashlib, json, os, sys
root, deps, version, wanted = sys.argv[1], sys.argv[2], sys.argv[3], [p.rstrip("/") for p in sys.argv[4:]]
includes, digests, first = {}, {}, hashlib.sha256((version + open(".clang-tidy").read()).encode())
for line in open(deps):
    if line.startswith(" "):
        includes[target].append(line.strip())
    elif line.strip():
        target = line.split(":")[0]
        includes[target] = []
def digest(path):
    if path not in digests:
        with open(os.path.join("build", path), "rb") as f:
            digests[path] = hashlib.sha256(f.read()).digest()
    return digests[path]
seen = {}
for c in json.load(open("build/compile_commands.json")):
    seen.setdefault(os.path.relpath(c["file"], root), c)
for file in sorted(f for f in seen if any(f == w or f.startswith(w + "/") for w in wanted)):
    command, key = seen[file]["command"], first.copy()
    key.update(command.encode())
    for path in includes.get(command.split(" -o ")[1].split()[0], [os.path.join(root, file), "/proc/sys/kernel/random/uuid"]):  # never compiled: never known
        key.update(path.encode() + digest(path))
    print(key.hexdigest(), file)
P
total=$(wc -l <"$work/files")
[ "$total" -gt 0 ] || { echo "lint: no C file under: ${paths[*]}" >&2; exit 64; }
# The commands are gcc's: clang is told to bear its flags, and not to ask for its own way to zero locals.
one() { # WORK KEY FILE
  [ ! -e "build/lint/$2" ] || return 0
  if clang-tidy -p build --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-unused-value \
    --extra-arg=-Wno-ignored-optimization-argument --extra-arg=-Qunused-arguments \
    --extra-arg=-ftrivial-auto-var-init=uninitialized "$3" >"$1/$2.out" 2>/dev/null; then
    : >"build/lint/$2"
  else
    echo "$3" >>"$1/failed"
  fi
}
export -f one
xargs -P "${KLUIS_LINT_JOBS:-2}" -L 1 bash -c 'one "$@"' _ "$work" <"$work/files"
cat "$work"/*.out 2>/dev/null | grep -v '^$' | sed "s|^$PWD/||" || true
echo "lint: $total files, $(cat "$work/failed" 2>/dev/null | wc -l) with findings"
[ ! -e "$work/failed" ]
