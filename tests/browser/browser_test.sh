#!/usr/bin/env bash
# browser_test.sh WORK - run.mjs against the sample archive.  WORK: where the locked npm packages are installed.  Exit 77: skipped.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
work=$1
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || { echo "skipped: chromium is not installed"; exit 77; }
mkdir -p "$work"
cp "$here"/run.mjs "$here"/package.json "$here"/package-lock.json "$work"
if [ ! -d "$work/node_modules" ] || ! cmp -s "$work/package-lock.json" "$work/installed"; then
  (cd "$work" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
  cp "$work/package-lock.json" "$work/installed"
fi
home=$(mktemp -d "${TMPDIR:-/tmp}/chatkluis-browser.XXXXXX")
server=
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true; rm -rf "$home"' EXIT
"$here/../support/sample_server.sh" "$home" >"$home/ready" 2>"$home/err" &
server=$!
for _ in $(seq $((1200 * ${KLUIS_PATIENCE:-1}))); do
  grep -q '^ready ' "$home/ready" && break
  kill -0 "$server" 2>/dev/null || { cat "$home/err" >&2; exit 1; }
  sleep 0.05
done
[ -z "${PICTURES:-}" ] || mkdir -p "$PICTURES"
timeout $((150 * ${KLUIS_PATIENCE:-1})) node "$work/run.mjs" "$(sed -n 's/^ready //p' "$home/ready")" ${PICTURES:+"$PICTURES"}
