#!/usr/bin/env bash
# demo.sh [--exit] - the whole machine on loopback with sample chats (invented people).  Called by ./run demo.
set -euo pipefail
export CHATKLUIS_KEYSTORE=file # your keyring is left alone
cd "$(dirname "$(readlink -f "$0")")/../.."
bin=$PWD/build/bin
stay=1
[ "${1:-}" = --exit ] && stay=
home=$(mktemp -d "${TMPDIR:-/tmp}/chatkluis-demo.XXXXXX")
server= 
cleanup() {
  [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
  rm -rf "$home"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

step "1. A server for an invented organisation"
"$bin/chatkluis-server" init --home "$home/server" --organisation "Provincie Voorbeeld"
"$bin/chatkluis-server" serve --home "$home/server" --listen 127.0.0.1:0 >"$home/serve.out" 2>"$home/serve.log" &
server=$!
for _ in $(seq 600); do
  grep -q '^listening on' "$home/serve.out" && break
  kill -0 "$server" 2>/dev/null || { cat "$home/serve.log" >&2; exit 1; }
  sleep 0.05
done
gate=$(sed -n 's/^listening on //p' "$home/serve.out")
page=$(sed -n 's/^page on //p' "$home/serve.out")
[ -n "$gate" ] || { cat "$home/serve.log" >&2; exit 1; }
echo "gate $gate, vault, page and time authority run as processes of their own"

step "2. An official gets a one-time code; the agent enrols with it"
"$bin/chatkluis-server" official add --home "$home/server" --id jhendriksen --name "Joris Hendriksen" --function "directeur-water" --from 2025-01-01
(umask 077; "$bin/chatkluis-server" enrol --home "$home/server" --official jhendriksen >"$home/code")
"$bin/chatkluis-agent" enrol --home "$home/agent" --server "https://$gate" --code "@$home/code"
rm -f "$home/code"

step "3. The agent archives the sample chats: read, sealed, time-stamped, encrypted, delivered"
"$bin/chatkluis-agent" source add --home "$home/agent" whatsapp-text "$PWD/tests/fixtures/demo/whatsapp/Projectgroep Dijkversterking" --option "self=Joris Hendriksen"
"$bin/chatkluis-agent" source add --home "$home/agent" signal-export "$PWD/tests/fixtures/demo/signal"
"$bin/chatkluis-agent" archive --home "$home/agent"
"$bin/chatkluis-agent" status --home "$home/agent" --json | jq '{sent, acknowledged, waiting, gaps}'

step "4. The server says what it holds"
"$bin/chatkluis-server" status --home "$home/server" --json | jq '{packages, records, ledger, overdue, walls}'

step "5. Each package with its receipt, judged by the verifier (offline, no keys of ours)"
"$bin/chatkluis-agent" packages --home "$home/agent" --export "$home/export"
first=1
for p in "$home"/export/*.asice; do
  if [ -n "$first" ]; then
    "$bin/chatkluis-verify" --trust "$home/server/trust.json" --receipt "${p%.asice}.receipt.json" "$p" | sed "s|$home/export/||"
    printf 'its receipt: leaf %s\n' "$(jq -r .leaf "${p%.asice}.receipt.json" | tr '\n' ' ')"
    first=
  else
    "$bin/chatkluis-verify" --trust "$home/server/trust.json" --receipt "${p%.asice}.receipt.json" "$p" | sed -n "1s|$home/export/||p"
  fi
done

step "6. A search hit"
for _ in $(seq 100); do
  hit=$("$bin/chatkluis-server" search --home "$home/server" --purpose "demonstratie" --json "vergunning waterschap" | sed -n 1p)
  [ -n "$hit" ] && break
  sleep 0.05
done
[ -n "$hit" ] || { echo "no hit: this is a defect" >&2; exit 1; }
echo "$hit" | jq '{conversation: .conversation.name, author: .author.name, sent, text, package, sightings: (.sightings | length)}'

step "7. Read on: $page"
if [ -n "$stay" ]; then
  echo "Open that address in a browser on this machine. Ctrl-C ends the demonstration and removes everything."
  wait "$server"
fi
