#!/usr/bin/env bash
# Promise: data flows one way.  A stage includes only what lies before it; programs do not include each other; lib knows neither.
# Usage: arrows.sh SOURCE_DIR [FILE…]: checks every source file, or (self-test) the given ones as if they stood there.
set -euo pipefail
root=$1
cd "$root"

# For each folder: the folders (and kluis/ headers) it may include.  "lib" = any header of include/kluis.
allowed() {
  case "$1" in
    lib/base) echo "kluis/base kluis/json kluis/options" ;;
    lib/db) echo "kluis/base kluis/db kluis/vfs kluis/scratch" ;;
    lib/ledger) echo "kluis/base kluis/ledger" ;;
    lib/record) echo "kluis/base kluis/json kluis/ledger kluis/record" ;;
    lib/package) echo "kluis/base kluis/ledger kluis/record kluis/package" ;;
    lib/seal) echo "kluis/base kluis/seal" ;;
    lib/evidence) echo "kluis/base kluis/seal kluis/evidence" ;;
    lib/envelope) echo "kluis/base kluis/seal kluis/envelope kluis/login" ;;
    lib/validation|lib/verify) echo "kluis/base kluis/ledger kluis/record kluis/package kluis/seal kluis/evidence kluis/validation" ;;
    agent/source) echo "kluis/base kluis/record kluis/db kluis/scratch" ;;
    agent/select) echo "lib agent/source" ;;
    agent/journal) echo "lib agent/source" ;;
    agent/pack) echo "lib agent/source agent/select agent/journal" ;;
    agent/courier) echo "lib agent/journal" ;;
    agent) echo "lib agent/source agent/select agent/journal agent/pack agent/courier" ;;
    server/walls|server/local|server/register|server/custody|server/storage|server/index) echo "lib server/log" ;;
    server/control) echo "lib server/local" ;;
    server/gate|server/tsa) echo "lib server/log server/walls" ;;
    server/backup) echo "lib server/log server/custody server/register" ;;
    server/ledger) echo "lib server/log server/custody" ;;
    server/ingest) echo "lib server/log server/walls server/register server/custody server/storage server/ledger server/index" ;;
    server/api) echo "lib server/log server/register server/index" ;;
    server/access) echo "lib server/local" ;;
    server/desk) echo "lib server/log server/local server/api server/access server/register server/index" ;;
    server/web) echo "kluis/base server/access" ;; # the process that strangers talk to: nothing that knows a key
    server) echo "lib server" ;;
    *) echo "?" ;;
  esac
}

# The stage a file belongs to (two path components, or the program itself) and what it may include: set, not printed, because a
# subshell for every include line would take a minute.
folder_of() {
  local d=${1%/*}
  case "$d" in
    agent|server) folder=$d ;;
    *) local rest=${d#*/}; folder=${d%%/*}/${rest%%/*} ;;
  esac
}

declare -A rules
check() { # file
  local file=$1 stage ok inc bad=0 line
  folder_of "$file"; stage=$folder
  [ -n "${rules[$stage]:-}" ] || rules[$stage]=$(allowed "$stage")
  ok=" ${rules[$stage]} "
  if [ "$ok" = " ? " ]; then echo "arrows: $file: folder $stage has no place in the design"; return 1; fi
  while read -r line; do
    [[ $line =~ ^[[:space:]]*#[[:space:]]*include[[:space:]]*\"([^\"]+)\" ]] || continue
    inc=${BASH_REMATCH[1]}
    case "$inc" in
      kluis/*) [[ "$ok" == *" lib "* || "$ok" == *" ${inc%.h} "* ]] && continue ;;
      lib/*|agent/*|server/*)
        folder_of "$inc"
        [ "$folder" = "$stage" ] && continue
        [[ "${inc%.h}" = server/log && "$ok" == *" server/log "* ]] && continue
        [[ "$ok" == *" server "* && "$folder" == server* ]] && continue
        [[ "$ok" == *" $folder "* ]] && continue ;;
      *) continue ;;
    esac
    echo "arrows: $file includes $inc, against the arrow ($stage may include:$ok)"
    bad=1
  done < <(grep -E '^[[:space:]]*#[[:space:]]*include' "$file")
  # A directory that fails reads as a short one: one function looks at errno (base.h, kluis_dir_next).
  case "$file" in
    lib/base/file.c) ;;
    *) if grep -nE '(^|[^_a-z])(readdir(_r|64)?|scandir|nftw|ftw|fts_read|glob)\(' "$file"; then
         echo "arrows: $file: directories are read with kluis_dir_next"; bad=1; fi ;;
  esac
  # What lib promises not to do.
  case "$stage" in
    lib/verify|lib/db) ;;
    lib/*) if grep -nE '#include <(sqlite3|sys/socket|syslog|curl/)|(^|[^_a-z])(exit|printf)\(' "$file"; then
             echo "arrows: $file: lib has no sockets, SQLite, printing or exit"; bad=1; fi ;;
  esac
  return $bad
}

failed=0 n=0
while read -r f; do
  n=$((n + 1))
  check "$f" || failed=$((failed + 1))
done < <(find lib agent server -name '*.[ch]' -not -path '*/node_modules/*' | sort)
[ "$n" -ge 150 ] || { echo "arrows: only $n files seen: this test would pass without looking"; exit 1; }

# It must be able to fail: an include against the arrow, planted in a scratch copy of the layout, is found.
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/agent/source" "$tmp/lib/record"
echo '#include "agent/courier/courier.h"' >"$tmp/agent/source/bad.c"
echo '#include <sqlite3.h>' >"$tmp/lib/record/bad.c"
echo 'while ((e = readdir(d)) != NULL) { n++; }' >"$tmp/agent/source/bad_dir.c"
for f in agent/source/bad.c agent/source/bad_dir.c lib/record/bad.c; do
  if (cd "$tmp" && check "$f" >/dev/null); then echo "arrows: the planted $f was not found"; exit 1; fi
done
echo "arrows: $n files, $failed against the arrow"
[ "$failed" -eq 0 ]
