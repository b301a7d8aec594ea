#!/usr/bin/env bash
# Promise: every C file stands as .clang-format says, so that a change shows what changed and nothing else.
# Usage: format.sh SOURCE_DIR SCRATCH_DIR
set -euo pipefail
root=$1 scratch=$2
command -v clang-format >/dev/null || { echo "format: skipped: clang-format is not installed"; exit 77; }
mkdir -p "$scratch"

# It must be able to fail.
printf 'int planted(void){return 0;}\n' >"$scratch/planted.c"
cp "$root/.clang-format" "$scratch/"
if clang-format --dry-run -Werror "$scratch/planted.c" 2>/dev/null; then echo "format: the planted line was not found"; exit 1; fi

cd "$root"
files=$(find agent include lib server tests cmake \( -name '*.c' -o -name '*.h' \) -not -path '*/node_modules/*' | sort)
n=$(wc -l <<<"$files")
[ "$n" -ge 300 ] || { echo "format: only $n files seen: this test would pass without looking"; exit 1; }
clang-format --dry-run -Werror $files || { echo "format: put right with: clang-format -i FILE"; exit 1; }
echo "format: $n files"
