#!/usr/bin/env bash
# Promise: the analyser finds nothing in lib, agent and server; what it may not say stands in the source, with its reason.
# Usage: static.sh SOURCE_DIR SCRATCH_DIR
set -euo pipefail
root=$1 scratch=$2
command -v cppcheck >/dev/null || { echo "static: skipped: cppcheck is not installed"; exit 77; }
mkdir -p "$scratch"
look() { # folders or files…
  cppcheck -j 2 --enable=warning,performance,portability --inline-suppr --std=c11 -D_GNU_SOURCE -Iinclude -I. --suppress=missingIncludeSystem \
    '-DDEFINE_STACK_OF(t)=' '-DDECLARE_ASN1_ITEM(t)=' \
    --quiet --error-exitcode=1 --template='{file}:{line}: {severity}: {message} [{id}]' "$@"
}

# It must be able to fail: a read past an array's end is found.
printf 'int past(void);\nint past(void) { int a[2] = { 1, 2 }; return a[2]; }\n' >"$scratch/planted.c"
if look "$scratch/planted.c" 2>/dev/null; then echo "static: the planted mistake was not found"; exit 1; fi

cd "$root"
n=$(find lib agent server -name '*.c' -not -path '*/node_modules/*' | wc -l)
[ "$n" -ge 100 ] || { echo "static: only $n files seen: this test would pass without looking"; exit 1; }
look lib agent server
echo "static: nothing in $n files"
