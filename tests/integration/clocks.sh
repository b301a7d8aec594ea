#!/usr/bin/env bash
# Promises about clocks that are wrong by years (docs/PROTOCOL.md §9), one at a time and both ways: the agent's, the server's (gate and vault), the time
# authority's. Whoever stands alone with his time is told, with both times; nothing that was made meanwhile is lost, nothing is refused for good, nothing
# expires for ever; what a wrong clock wrote into a package is flagged, and what is proven stands.
. "$(dirname "$0")/lib.sh"
begin clocks
year=31536000
a=$work/a
run_at() { # SHIFT COMMAND…: the agent believes that it is so many seconds later
  local s=$1; shift
  rc=0
  env "KLUIS_CLOCK_SHIFT=$s" "$twin/chatkluis-agent" "$@" >"$work/out" 2>"$work/err" || rc=$?
}
db() { sqlite3 "$work/server/vault/custody.db" "$1"; }
told() { ok; grep -q -- "$2" "$work/err" || fail "$1: it says $(head -c 300 "$work/err")"; }
write() { chat_more "$a" klokbericht; }
all() { # WHAT: a pass with the right clock, and everything is acknowledged and found once
  local _
  for _ in $(seq 20); do
    run_at 0 archive --home "$a" --wait 30
    [ "$rc $(of "$a" .acknowledged)" = "0 $written" ] && break
    sleep 0.3
  done
  equal "$1: the pass with the right clock: $(head -c 200 "$work/err")" "$rc" 0
  equal "$1: acknowledged, refused, not believed" "$(of "$a" '[.acknowledged,.refused,(.not_believed|length)]')" "[$written,0,0]"
  await is .packages "$written" || true
  await_hits "$written" klokbericht || true
  equal "$1: messages found, once each" "$(hits klokbericht | wc -l)" "$written"
}

server_init
server_start
# ---- enrolling with a wrong clock uses no code up ----
official ambtenaar "Ambtenaar"
code_for ambtenaar "$work/code"
for s in $((2 * 86400)) $((-2 * 86400)); do # TLS still agrees
  run_at "$s" enrol --home "$a" --server "https://$gate" --code "@$work/code"
  equal "enrolling two days off" "$rc" 1; told "enrolling two days off" "clock"
done
run_at $((10 * year)) enrol --home "$a" --server "https://$gate" --code "@$work/code"
equal "enrolling ten years off" "$rc" 1; told "enrolling ten years off" "not valid at this computer's time.*check the clock"
run_at 0 enrol --home "$a" --server "https://$gate" --code "@$work/code"; equal "the same code with the right clock" "$rc" 0
write; all "before"
equal "nothing to say of clocks" "$(of "$a" .clock) $(server .halted)" "null null"

# ---- the agent's clock ----
for s in $((10 * year)) $((-10 * year)) $((400 * 86400)) -86400; do
  write
  run_at "$s" archive --home "$a" --wait 5
  equal "agent off by $s s: exit" "$rc" 1
  equal "agent off by $s s: packed, kept, not sent" "$(of "$a" '[.packages,.waiting,.acknowledged]')" "[$written,1,$((written - 1))]"
  told "agent off by $s s" "clock"
  case $s in
    34560000) # its certificates hold then too
      told "agent off by $s s: both times" "the gate's clock says 20..-..-..T..:..:..Z, this device's 20"
      ok; [ "$(of "$a" .clock.gate)" != null ] && "$bin/chatkluis-agent" status --home "$a" | grep -q '^CLOCK: ' || fail "status does not say it: $(of "$a" .clock)"
      ;;
  esac
  all "agent off by $s s"
  equal "agent off by $s s: said no more" "$(of "$a" .clock)" null
done
await is .ledger.stamped true || true
run_at 0 archive --home "$a" --wait 5
"$bin/chatkluis-agent" packages --home "$a" --export "$work/out1" >/dev/null
flagged=0
for p in "$work"/out1/*.asice; do
  rc=0; "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "${p%.asice}.receipt.json" --json "$p" >"$work/verdict" 2>"$work/err" || rc=$?
  equal "verdict on a package of a wrong clock: $(jq -c .layers "$work/verdict")" "$rc $(jq -r .verdict "$work/verdict")" "0 valid"
  [[ $(jq -r .layers.signature.reason "$work/verdict") == "the device's clock was "* ]] && flagged=$((flagged + 1))
done
equal "clocks that were ahead, or behind the certificate, are flagged" "$flagged" 4

# ---- the server's clock, while packages lie at its gate: with a stamp, and without ----
for s in $((10 * year)) $((-10 * year)) $((3 * year)); do
  write
  run_at 0 archive --home "$a" --wait 0 # stamped and handed over; the vault may or may not have it
  server_stop
  gate_alone
  write
  run_at 0 archive --home "$a" --wait 1; equal "server off by $s s: without a stamp, handed to the gate" "$rc" 75
  server_stop
  server_start "KLUIS_CLOCK_SHIFT=$s"
  if [ "$s" -gt $((5 * year)) ] || [ "$s" -lt 0 ]; then # beyond its own certificates: it waits
    await is '.halted != null' true || true
    ok; [[ $(server .halted) == *"clock says"*"set the clock"* ]] || fail "server off by $s s: status says $(server .halted)"
    taken=$(db "SELECT count(*) FROM inbox"); sleep 1
    equal "server off by $s s: takes nothing" "$(db "SELECT count(*) FROM inbox")" "$taken"
  else
    await is .packages "$written" || true
    equal "server off by $s s: takes what its gate has" "$(server .packages)" "$written"
    equal "server off by $s s: and flags what nothing proves" "$(db "SELECT verdict FROM package ORDER BY sequence DESC LIMIT 1")" indeterminate
  fi
  equal "server off by $s s: refused" "$(server .refused)" 0
  run_at 0 archive --home "$a" --wait 1
  equal "server off by $s s: the agent is told" "$rc" 1; told "server off by $s s" "the gate's clock says"
  server_stop
  server_start
  all "server off by $s s"
  equal "server off by $s s: nothing refused, nothing halted" "$(server '[.refused,.halted]')" "[0,null]"
done
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data

# ---- the time authority's clock alone ----
server_stop
for s in $((10 * year)) 86400; do
  : >"$work/tsa.out"
  env "KLUIS_CLOCK_SHIFT=$s" "$twin/chatkluis-server" tsa --dir "$work/server/tsa" >"$work/tsa.out" 2>>"$work/serve.log" & tsa_pid=$!
  await grep -q '^time authority on ' "$work/tsa.out"
  "$bin/chatkluis-server" gate --dir "$work/server/gate" --listen "$gate" --time-authority "$(sed -n 's/^time authority on //p' "$work/tsa.out")" \
    >"$work/serve.out" 2>>"$work/serve.log" & gate_pid=$!
  await grep -q '^listening on' "$work/serve.out"
  "$bin/chatkluis-server" vault --home "$work/server" --gate "https://$gate" >"$work/vault.out" 2>>"$work/serve.log" & vault_pid=$!
  await grep -q '^vault ready' "$work/vault.out"
  write
  run_at 0 archive --home "$a" --wait 30
  equal "authority off by $s s: archived all the same" "$rc $(of "$a" .acknowledged)" "0 $written"
  equal "authority off by $s s: without its stamp" "$(sqlite3 "$a/agent.db" "SELECT timed FROM package ORDER BY sequence DESC LIMIT 1") $(server .ledger.stamped)" "0 false"
  await is '.ledger.no_stamp != null' true || true
  ok; [[ $(server .ledger.no_stamp) == *"certificate has expired"* || $(server .ledger.no_stamp) == *"time authority: its clock says"* ]] || fail "authority off by $s s: status says $(server .ledger)"
  for p in $vault_pid $gate_pid $tsa_pid; do kill "$p"; wait "$p" || true; done
done
server_start
all "the authority's clock is right"
await is .ledger.stamped true || true
equal "stamped in the end" "$(server '.ledger|[.stamped,.no_stamp]')" "[true,null]"

# ---- a home is not made in a time before this program ----
rc=0; env "KLUIS_CLOCK_SHIFT=-$((20 * year))" "$twin/chatkluis-server" init --home "$work/old" --organisation X >"$work/out" 2>"$work/err" || rc=$?
equal "init twenty years ago" "$rc $([ -e "$work/old/trust.json" ] && echo made)" "1 "; told "init twenty years ago" "clock"
end 90
