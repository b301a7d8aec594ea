#!/usr/bin/env bash
# T5: a login is a signature over one request. What was captured on its way is worth nothing, and neither is everything the gate has on disk.
. "$(dirname "$0")/../integration/lib.sh"
begin T5
server_init
server_start
agent_enrol "$work/agent"
id=$(ls "$work/agent/keys" | sed -n 's/^login-\(.*\)\.key$/\1/p')
[ -n "$id" ] || { echo "T5: skipped: the agent's keys are in the session's secret service"; exit 77; }
export GATE=$gate CA=$work/server/root/root.crt DEVICE=$id LOGIN=$work/agent/keys/login-$id.key DEVICE_KEY=$work/agent/keys/device-$id.key WORK=$work
python3 - "$root/tests/support" <<'PY' && rc=0 || rc=$?
import os, sys, time
sys.path.insert(0, sys.argv[1])
from gate_client import Client
e = os.environ
bad = 0
def status(what, got, want):
    global bad
    if got != want:
        bad += 1
        print("T5: FAILED: %s: %s, not %s" % (what, got, want), file=sys.stderr)
c = Client(e["GATE"], e["CA"], e["DEVICE"], e["LOGIN"])
inbox = "/v1/inbox"
# Control: this client, written from the protocol's text alone, is let in.
status("a signed request", c.ask("GET", inbox)[0], 204)
# Captured: the very header, again, on the same connection, on another, for another path, another body, another gate.
header = c.sign("GET", inbox)
status("captured, its first use", c.raw("GET", inbox, headers={"Authorization": header})[0], 204)
status("captured, used again", c.raw("GET", inbox, headers={"Authorization": header})[0], 401)
d = Client(e["GATE"], e["CA"])
status("captured, used by somebody else", d.raw("GET", inbox, headers={"Authorization": header})[0], 401)
header = c.sign("GET", inbox)
status("captured, for another path", d.raw("GET", "/v1/bundle", headers={"Authorization": header})[0], 401)
header = c.sign("POST", "/v1/timestamp", b"one")
status("captured, with another body", d.raw("POST", "/v1/timestamp", b"two", headers={"Authorization": header})[0] in (400, 401), True)
for key in ("signature", "nonce", "body"):
    h = c.sign("GET", inbox)
    at = h.index(key + '="') + len(key) + 4
    h = h[:at] + ("A" if h[at] != "A" else "B") + h[at + 1:]
    status("one letter of %s changed" % key, d.raw("GET", inbox, headers={"Authorization": h})[0] in (400, 401), True)
status("a clock ten minutes off", c.ask("GET", inbox, at=int(time.time()) + 600)[0], 401)
status("signed for another gate", Client(e["GATE"], e["CA"], e["DEVICE"], e["LOGIN"], name="elders:443").ask("GET", inbox)[0], 401)
status("signed with the device key", Client(e["GATE"], e["CA"], e["DEVICE"], e["DEVICE_KEY"]).ask("GET", inbox)[0], 401)
status("as the vault", c.ask("GET", "/vault/v1/next?after=0", device="vault")[0], 401)
for scheme in ("Basic YTpi", "Bearer " + "A" * 43, "Digest x", ""):
    status("another scheme: %r" % scheme, d.raw("GET", inbox, headers={"Authorization": scheme} if scheme else {})[0], 401)
status("and the signed request still", c.ask("GET", inbox)[0], 204)
sys.exit(1 if bad else 0)
PY
equal "captured logins" "$rc" 0
server_stop

# Stolen: no 32 bytes in a row of all that the gate keeps are the private half of a key that may log in.  (The same search finds it where it is.)
for k in "$work/agent/keys/login-$id.key" "$work/agent/keys/device-$id.key" "$work/server/vault/keys/pull.key"; do
  openssl pkey -in "$k" -pubout -outform DER -out "$work/spki.der"
  openssl pkey -in "$k" -outform DER -out "$work/private.der"
  check "control: ${k##*/} is found where it is" "$bin/../tests/find_private" "$work/spki.der" "$work/private.der"
  rc=0; "$bin/../tests/find_private" "$work/spki.der" $(find "$work/server/gate" -type f -size +0) >"$work/found" || rc=$?
  equal "${k##*/} on the gate (1: nowhere) $(cat "$work/found")" "$rc" 1
done
end 7
