#!/usr/bin/env bash
# T6: there is no credential that lives longer than one request, and a device that is suspended is refused within a minute, also on a connection
# that it has open.
. "$(dirname "$0")/../integration/lib.sh"
begin T6
server_init
server_start
agent_enrol "$work/agent"
id=$(ls "$work/agent/keys" | sed -n 's/^login-\(.*\)\.key$/\1/p')
[ -n "$id" ] || { echo "T6: skipped: the agent's keys are in the session's secret service"; exit 77; }
f=$work/chat.txt
say "$f" '11-03-2026 09:01' Anna "een"; source_add "$work/agent" whatsapp-text "$f"; agent "$work/agent" archive >/dev/null
cp -a "$work/agent" "$work/copy"
say "$f" '11-03-2026 09:02' Anna "twee"; agent "$work/agent" archive >/dev/null
say "$f" '11-03-2026 09:03' Anna "drie"

# A connection that stays open from before the suspension, asking now and then; it writes down when it was refused first.
python3 - "$root/tests/support" "$gate" "$work/server/root/root.crt" "$id" "$work/agent/keys/login-$id.key" >"$work/open" 2>&1 <<'PY' &
import sys, time
sys.path.insert(0, sys.argv[1])
from gate_client import Client
c = Client(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5])
status, headers, _ = c.ask("GET", "/v1/inbox")
first = c.connection
print("before", status, flush=True)
end = time.time() + 120
while time.time() < end:
    # The nonce of the last answer: no request in between that would open another connection.
    status, headers, _ = c.raw("GET", "/v1/inbox", headers={"Authorization": c.sign("GET", "/v1/inbox", nonce=headers["chatkluis-nonce"])})
    if status == 403:
        print("refused %.0f %s" % (time.time(), "same" if c.connection is first else "other"), flush=True)
        break
    time.sleep(0.2)
# Until a new code there is no way back in, on a new connection either.
c.close()
print("after", c.ask("GET", "/v1/bundle")[0], flush=True)
PY
open=$!
for _ in $(seq $((100 * patience))); do grep -q '^before' "$work/open" && break; sleep 0.1; done
equal "the open connection before" "$(sed -n 's/^before //p' "$work/open")" 204

# The copy of an older state archives under a used number: the vault suspends the device.
rc=0; agent "$work/copy" archive --wait 10 >"$work/out" 2>"$work/err" || rc=$?
ok; [ "$rc" != 0 ] || fail "the fork was not noticed"
from=$(date +%s)
wait "$open" || fail "the open connection: $(cat "$work/open")"
at=$(sed -n 's/^refused \([0-9]*\) .*/\1/p' "$work/open")
[ -n "$at" ] || die "the open connection was never refused: $(cat "$work/open")"
ok; [ $((at - from)) -lt 60 ] || fail "refused after $((at - from)) s"
equal "the connection that was refused" "$(sed -n 's/^refused [0-9]* //p' "$work/open")" same
equal "a new connection" "$(sed -n 's/^after //p' "$work/open")" 403
end 5
