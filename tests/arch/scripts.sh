#!/usr/bin/env bash
# Promise: every shell and Python script can be read to its end, also those that no test starts.
# Usage: scripts.sh SOURCE_DIR
set -euo pipefail
cd "$1"

# It must be able to fail.
if bash -n <(echo "x='it's'") 2>/dev/null; then echo "scripts: the planted quote was not found"; exit 1; fi

mapfile -t shell < <({ find agent server lib tests -name '*.sh' -not -path '*/node_modules/*'; echo run; echo .ci/run; } | sort)
mapfile -t python < <(find tests server lib -name '*.py' -not -path '*/node_modules/*' | sort)
[ "${#shell[@]}" -ge 50 ] && [ "${#python[@]}" -ge 10 ] || { echo "scripts: only ${#shell[@]} and ${#python[@]} seen: this test would pass without looking"; exit 1; }
bad=0
for f in "${shell[@]}"; do bash -n "$f" || bad=$((bad + 1)); done
python3 - "${python[@]}" <<'P' || bad=$((bad + 1))
import ast, sys
for path in sys.argv[1:]:
    ast.parse(open(path, encoding="utf-8").read(), path)
P
echo "scripts: ${#shell[@]} of the shell, ${#python[@]} of Python, $bad bad"
[ "$bad" -eq 0 ]
