#!/usr/bin/env bash
# Promise: what a real agent archived is refused after any change, each change by its own layer: see refusals.c.
. "$(dirname "$0")/lib.sh"
begin refusals
server_init
server_start
agent_enrol "$work/agent"
demo_sources "$work/agent"
agent "$work/agent" archive
"$bin/chatkluis-agent" packages --home "$work/agent" --export "$work/export" >/dev/null
server_stop
"$bin/chatkluis-server" init --home "$work/stranger" --organisation "Gemeente Elders" >/dev/null
p=("$work"/export/*.asice)
equal "packages" "${#p[@]}" 4
ok; "$bin/../tests/refusals" "${p[0]}" "${p[0]%.asice}.receipt.json" "${p[1]}" "${p[1]%.asice}.receipt.json" "$work/server/trust.json" "$work/stranger/trust.json" \
  || fail "refusals"
# The program says the same as the library: one bit, one exit code.
cp "${p[0]}" "$work/bit.asice"
turn_bit "$work/bit.asice" $(($(stat -c %s "${p[0]}") / 2))
check "one bit differs" [ "$(cmp -l "${p[0]}" "$work/bit.asice" | wc -l)" = 1 ]
rc=0; "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p[0]%.asice}.receipt.json" --json "$work/bit.asice" >"$work/out" || rc=$?
equal "exit of the verifier" "$rc" 1
equal "verdict of the verifier" "$(jq -r .verdict "$work/out")" invalid
rc=0; "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p[1]%.asice}.receipt.json" --json "${p[0]}" >"$work/out" || rc=$?
equal "layer of a foreign receipt" "$(jq -r '.layers.receipt.state' "$work/out") $rc" "invalid 1"
end 6
