#!/usr/bin/env bash
# page_test.sh - the page's server from outside: who may look, what is refused, what stands in the trail, what its answers carry.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
bin=${KLUIS_BIN:-$PWD/build/bin}
home=$(mktemp -d "${TMPDIR:-/tmp}/chatkluis-page.XXXXXX")
server=
# Under strace: what is on disk when an answer leaves is seen from outside.  (LeakSanitizer cannot look while strace does.)
trap '[ -z "$server" ] || { kill "$(pgrep -P "$server")" 2>/dev/null; wait "$server" 2>/dev/null; } || true; rm -rf "$home"' EXIT
ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0" KLUIS_BIN=$bin strace -f -qq --seccomp-bpf -y -s 200 -e trace=recvfrom,fdatasync,sendmsg,sendto -o "$home/calls" \
  tests/support/sample_server.sh "$home" >"$home/ready" 2>"$home/err" &
server=$!
for _ in $(seq $((1200 * ${KLUIS_PATIENCE:-1}))); do
  grep -q '^ready ' "$home/ready" && break
  kill -0 "$server" 2>/dev/null || { cat "$home/err" "$home/serve.log" >&2; exit 1; }
  sleep 0.05
done
address=$(sed -n 's/^ready //p' "$home/ready")
base=${address%%/\?*}
passed=0 failed=0
is() { # what expected got
  if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAIL %s: expected "%s", got "%s"\n' "$1" "$2" "$3"; fi
}
code() { curl -s -o "$home/body" -D "$home/head" -w '%{http_code}' "$@"; }
jar=$home/jar
me=(-b "$jar")

is "no key" 403 "$(code "$base/")"
is "no key, API" 403 "$(code "$base/api/search?q=x&purpose=y")"
is "a wrong key" 403 "$(code "$base/?key=0000000000000000000000000000000000000000000")"
is "the key" 303 "$(code -c "$jar" "$address")"
is "the key leaves the address" "/" "$(tr -d '\r' <"$home/head" | sed -n 's/^[Ll]ocation: //p')"
is "the cookie is for this page alone" 1 "$(grep -ci 'set-cookie: kluis=.*httponly; samesite=strict' "$home/head")"
is "with the cookie" 200 "$(code "${me[@]}" "$base/")"
is "a policy without anything inline or from outside" 1 "$(grep -ci "^content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'" "$home/head")"
is "no unsafe word in it" 0 "$(grep -ci 'unsafe' "$home/head" || true)"
for h in 'x-content-type-options: nosniff' 'referrer-policy: no-referrer' 'cache-control: no-store' 'x-frame-options: deny' 'cross-origin-resource-policy: same-origin'; do
  is "$h" 1 "$(grep -ci "^$h" "$home/head")"
done
is "another Host" 421 "$(code "${me[@]}" -H 'Host: voorbeeld.invalid' "$base/")"
is "another Host, with the key" 421 "$(code -H 'Host: voorbeeld.invalid' "$address")"
is "HEAD" 200 "$(code "${me[@]}" -I "$base/app.js")"
for m in POST PUT DELETE; do is "$m" 405 "$(code "${me[@]}" -X $m -d 'x=1' "$base/api/search")"; done
is "what is allowed instead" 1 "$(grep -ci '^allow: GET, HEAD' "$home/head")"
is "no such page" 404 "$(code "${me[@]}" "$base/../etc/passwd" --path-as-is)"
is "no such API" 404 "$(code "${me[@]}" "$base/api/nothing")"

refused() { # what query
  is "$1" 400 "$(code "${me[@]}" "$base/api/$2")"
  is "$1: one clear line" "1 false" "$(jq -r '[(.error | split("\n") | length), (.error == "")] | map(tostring) | join(" ")' "$home/body")"
}
trail() { "$bin/chatkluis-server" audit --home "$home/server" --json | jq -s 'map(select(.action == "search" or .action == "read")) | length'; }
refused "no purpose" "search?q=vergunning"
refused "an empty purpose" "search?q=vergunning&purpose="
refused "a purpose beyond its ceiling" "search?q=vergunning&purpose=$(printf 'x%.0s' $(seq 201))"
refused "an order that is none" "search?q=vergunning&purpose=toets&order=best"
refused "a limit that is no number" "search?q=vergunning&purpose=toets&limit=-1"
refused "a limit beyond its ceiling" "search?q=vergunning&purpose=toets&limit=99999999"
refused "a date that is none" "search?q=vergunning&purpose=toets&from=2026-02-30"
refused "a package that is none" "around?package=xyz&ordinal=1&purpose=toets"
refused "an ordinal that is none" "around?package=$(printf '0%.0s' $(seq 64))&ordinal=een&purpose=toets"
refused "too many messages" "around?package=$(printf '0%.0s' $(seq 64))&ordinal=1&before=1000&purpose=toets"
is "a package that is not there" 404 "$(code "${me[@]}" "$base/api/around?package=$(printf '0%.0s' $(seq 64))&ordinal=1&purpose=toets")"

before=$(trail)
is "a search" 200 "$(code "${me[@]}" "$base/api/search?q=vergunning&purpose=proef-zoeken")"
is "no count unasked" null "$(jq .count "$home/body")"
is "its hits" true "$(jq '.hits | length >= 10' "$home/body")"
p=$(jq -r '.hits[0] | "package=\(.package)&ordinal=\(.ordinal)"' "$home/body")
is "reading on" 200 "$(code "${me[@]}" "$base/api/around?$p&purpose=proef-lezen")"
is "both stand in the trail" 2 "$(($(trail) - before))"
code "${me[@]}" "$base/api/search?q=vergunning&limit=200&purpose=proef-tellen" >/dev/null
found=$(jq '.hits | length' "$home/body")
for i in 1 exact; do
  is "a count ($i)" 200 "$(code "${me[@]}" "$base/api/search?q=vergunning&limit=1&count=$i&purpose=proef-tellen")"
  is "what it says ($i)" "$found false" "$(jq -r '"\(.count) \(.capped)"' "$home/body")"
done
for i in $(seq 20); do
  code "${me[@]}" "$base/api/search?q=vergunning&limit=$i&purpose=proef-volgorde" >/dev/null
  code "${me[@]}" "$base/api/around?$p&purpose=proef-volgorde" >/dev/null
done
# Each answer with hits or messages: its request came in at the page server, then a sync of the trail came back with success, then it left the vault,
# then the page server.  One without an entry is seen by the same eyes: it left without a sync.
order() { awk '
  /recvfrom(\(| resumed>).*"GET \/api\/(search|around)/ { state = 1 }
  /fdatasync\(.*\/audit\/[0-9]+\.log>\) += 0$/ { if (state == 1) state = 2 }
  /fdatasync\(.*\/audit\/[0-9]+\.log> <unfinished/ { begun[$1] = 1 }
  /<\.\.\. fdatasync resumed>\) += 0$/ { if (begun[$1] && state == 1) state = 2; begun[$1] = 0 }
  /sendmsg\(.*iov_base="\+.*iov_base="\{\\"(hits|messages)\\":\[/ { if (state == 2) state = 3; else bad++; next }
  /send(msg|to)\(.*\{\\"(hits|messages)\\":\[/ { if (state == 3) good++; else bad++; state = 0 }
  /send(msg|to)\(.*\{\\"error\\":/ { if (state == 1) without++; state = 0 }
  END { print good + 0, bad + 0, (without + 0 > 0) }' "$home/calls"; }
is "answers that left after a sync of the trail, before one, and refusals without" "45 0 1" "$(order)"
is "a refused one gives no hit" 0 "$(code "${me[@]}" "$base/api/search?q=vergunning" >/dev/null; jq '.hits // [] | length' "$home/body")"

# The built page: complete in itself, small.
for f in / /app.js /app.css; do code "${me[@]}" "$base$f" >/dev/null; cat "$home/body"; done >"$home/page"
is "addresses outside in the page" "" "$(grep -oE '(https?:)?//[a-zA-Z0-9-]+\.[a-zA-Z0-9./-]+' "$home/page" | grep -vE '^(https?:)?//(www\.w3\.org/|svelte\.dev/)' | sort -u | tr '\n' ' ')"
is "inline scripts and styles" 0 "$(code "${me[@]}" "$base/" >/dev/null; grep -ciE '<script>|<style|style=|onload=|javascript:' "$home/body" || true)"
total=0
for f in / /app.js /app.css; do
  code "${me[@]}" -H 'Accept-Encoding: gzip, deflate, br' "$base$f" >/dev/null
  is "$f compressed" 1 "$(grep -ci '^content-encoding: gzip' "$home/head")"
  total=$((total + $(stat -c %s "$home/body")))
  gzip -dc "$home/body" >"$home/plain"
  code "${me[@]}" "$base$f" >/dev/null
  is "$f plain to who asks for that" 0 "$(grep -ci '^content-encoding' "$home/head" || true)"
  is "$f the same either way" same "$(cmp -s "$home/plain" "$home/body" && echo same)"
done
is "first page at most 60 KB" yes "$([ "$total" -le 61440 ] && echo yes || echo "$total")"
is "no text of a message in the log" 0 "$(grep -c 'dijkversterking' "$home/serve.log" || true)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
