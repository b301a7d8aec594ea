#!/usr/bin/env bash
# sample_server.sh HOME - a server on loopback with the sample archive, for tests of the page: runs until it is killed.
# Prints "ready ADDRESS" once everything is archived and can be searched; HOME is an empty folder of the caller's.
set -euo pipefail
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
bin=${KLUIS_BIN:-$top/build/bin}
home=$1
server=
trap '[ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true' EXIT
trap 'exit 0' INT TERM
node "$top/tests/support/sample_archive.mjs" "$home/chats"
"$bin/chatkluis-server" init --home "$home/server" --organisation "Provincie Voorbeeld" >"$home/init.out"
"$bin/chatkluis-server" serve --home "$home/server" --listen 127.0.0.1:0 >"$home/serve.out" 2>"$home/serve.log" &
server=$!
for _ in $(seq $((600 * ${KLUIS_PATIENCE:-1}))); do
  grep -q '^listening on' "$home/serve.out" && break
  kill -0 "$server" || { cat "$home/serve.log" >&2; exit 1; }
  sleep 0.05
done
gate=$(sed -n 's/^listening on //p' "$home/serve.out")
page=$(sed -n 's/^page on //p' "$home/serve.out")
archive() { # official name function: one phone
  "$bin/chatkluis-server" official add --home "$home/server" --id "$1" --name "$2" --function "$3" --from 2025-01-01
  (umask 077; "$bin/chatkluis-server" enrol --home "$home/server" --official "$1" >"$home/code.$1")
  "$bin/chatkluis-agent" enrol --home "$home/agent.$1" --server "https://$gate" --code "@$home/code.$1"
  if [ -d "$home/chats/$1/Projectgroep Dijkversterking" ]; then
    "$bin/chatkluis-agent" source add --home "$home/agent.$1" whatsapp-text "$home/chats/$1/Projectgroep Dijkversterking" --option "self=$2"
  fi
  "$bin/chatkluis-agent" source add --home "$home/agent.$1" signal-export "$home/chats/$1/signal"
  "$bin/chatkluis-agent" archive --home "$home/agent.$1"
}
archive joris "Joris Hendriksen" "directeur-water" >>"$home/archive.out"
archive marieke "Marieke van Dalen" "programmamanager" >>"$home/archive.out"
for _ in $(seq $((200 * ${KLUIS_PATIENCE:-1}))); do
  [ -n "$("$bin/chatkluis-server" search --home "$home/server" --purpose "wachten op de index" --json "zonder voorwaarde" | sed -n 1p)" ] && break
  sleep 0.05
done
echo "ready $page"
wait "$server"
