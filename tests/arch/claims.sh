#!/usr/bin/env bash
# Promise: every test that docs/THREATS.md names exists.  Usage: claims.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
cd "$1"
# From a folder of its own: in the build's, ctest begins the log anew that the run around it is writing.
names=$(mktemp -d) tmp=$(mktemp)
trap 'rm -rf "$names" "$tmp"' EXIT
printf 'subdirs("%s")\n' "$2" >"$names/CTestTestfile.cmake"
known=$(ctest --test-dir "$names" -N | sed -n 's/^ *Test *#[0-9]*: //p')
# Prints what is named and does not exist.
missing() { # FILE
  sed -n '/^## Claim and test/,$p' "$1" | grep -oE '`(unit|integration|arch|conformance|requirement|fault|coverage)\.[a-zT0-9_]+(: [a-z0-9_]+)?`' | tr -d '`' | while IFS=: read -r t c; do
    grep -qx "$t" <<<"$known" || echo "$t"
    c=${c# }
    [ -z "$c" ] || grep -rqw --include='*_test.c' "cmocka_unit_test[a-z_]*($c" tests || echo "$t: $c"
  done
}
n=$(sed -n '/^## Claim and test/,$p' docs/THREATS.md | grep -cE '^\| .*`[a-z]+\.')
[ "$n" -ge 15 ] || { echo "claims: only $n claims seen: this test would pass without looking"; exit 1; }
bad=$(missing docs/THREATS.md)
{ cat docs/THREATS.md; echo '| planted | `unit.not_there`, `unit.seal: not_a_case_either` |'; } >"$tmp"
[ "$(missing "$tmp" | tail -n 2 | wc -l)" = 2 ] && [ "$(missing "$tmp" | wc -l)" = $(($(wc -w <<<"$bad" | tr -d ' ') == 0 ? 2 : $(wc -l <<<"$bad") + 2)) ] || { echo "claims: a planted name is not found"; exit 1; }
[ -z "$bad" ] || { echo "claims: docs/THREATS.md names tests that do not exist:"; echo "$bad"; exit 1; }
echo "claims: $n claims, each with a test"
