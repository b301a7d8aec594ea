#!/usr/bin/env bash
# T7: no key stands in a program or in the repository; two installations share none; a key taken from one agent acts as that agent only and reads
# nothing of another.
. "$(dirname "$0")/../integration/lib.sh"
begin T7
gate=
server_init
mv "$work/server" "$work/first"
server_init
server_start
agent_enrol "$work/a"
agent_enrol "$work/b"
ida=$(ls "$work/a/keys" | sed -n 's/^login-\(.*\)\.key$/\1/p'); idb=$(ls "$work/b/keys" | sed -n 's/^login-\(.*\)\.key$/\1/p')
[ -n "$ida" ] && [ -n "$idb" ] || { echo "T7: skipped: the agents' keys are in the session's secret service"; exit 77; }

# Every key file of two installations and two agents: as many different ones as there are files.
find "$work/first" "$work/server" "$work/a/keys" "$work/b/keys" -type f \( -name '*.key' -o -name '*.seed' -o -name '*wrapping*' -o -name '*master*' \) | sort >"$work/keys"
n=$(wc -l <"$work/keys")
ok; [ "$n" -ge 16 ] || fail "only $n key files were found"
equal "different keys in $n files" "$(xargs -d '\n' sha256sum <"$work/keys" | cut -d' ' -f1 | sort -u | wc -l)" "$n"

# No program holds one, and nothing in the repository looks like one.
asymmetric=0
while read -r k; do
  openssl pkey -in "$k" -pubout -outform DER -out "$work/spki.der" 2>/dev/null || continue
  asymmetric=$((asymmetric + 1))
  [ "$asymmetric" -le 2 ] || continue # a program of a megabyte is searched in some 20 s: two kinds of key are enough to see that the search runs
  openssl pkey -in "$k" -outform DER -out "$work/private.der"
  check "control: $k is found where it is" "$bin/../tests/find_private" "$work/spki.der" "$work/private.der"
done <"$work/keys"
ok; [ "$asymmetric" -ge 10 ] || fail "only $asymmetric of the keys are key pairs"
for p in "$bin"/chatkluis-*; do refuse "a private key in ${p##*/}" grep -aqE 'BEGIN [A-Z ]*PRIVATE KEY' "$p"; done
# A PKCS#8 or SEC1 key of P-256 in DER begins in one of two ways; the programs name the curve, but hold no key on it.
# Not with grep, which would cut a key that holds a line's end.
keys_in() { python3 -c 'import re, sys; print(len(re.findall(rb"\x02\x01\x01\x04\x20.{32}", open(sys.argv[1], "rb").read(), re.S)))' "$1"; }
for p in "$bin"/chatkluis-*; do equal "P-256 keys in DER in ${p##*/}" "$(keys_in "$p")" 0; done
equal "control: the form of a key is recognised" "$(keys_in "$work/private.der")" 1
if git -C "$root" rev-parse >/dev/null 2>&1; then
  equal "private keys in the repository" "$({ git -C "$root" grep -lE -- '-----BEGIN [A-Z ]*PRIVATE KEY-----' -- ':!tests/requirements' ':!tests/unit' ':!tests/fuzz/corpus' || true; } | wc -l)" 0
fi

# What a's key can do at the gate.
rc=0
python3 - "$root/tests/support" "$gate" "$work/server/root/root.crt" "$ida" "$work/a/keys/login-$ida.key" "$idb" "$work/b/keys/login-$idb.key" <<'PY' || rc=$?
import sys
sys.path.insert(0, sys.argv[1])
from gate_client import Client
_, _, gate, ca, a, key_a, b, key_b = sys.argv
bad = 0
def status(what, got, *want):
    global bad
    if got not in want:
        bad += 1
        print("T7: FAILED: %s: %s" % (what, got), file=sys.stderr)
ca_, cb = Client(gate, ca, a, key_a), Client(gate, ca, b, key_b)
up = "/v1/upload/" + "5a" * 16
status("b uploads", cb.ask("PUT", up + "?offset=0&length=6", b"geheim")[0], 204)
status("b sees it", cb.ask("GET", up)[0], 200)
status("a asks for b's upload", ca_.ask("GET", up)[0], 403, 404)
status("a writes over b's upload", ca_.ask("PUT", up + "?offset=0&length=6", b"anders")[0], 403, 409)
status("a hands in b's upload", ca_.ask("POST", "/v1/message/" + "5b" * 16 + "?upload=" + "5a" * 16, b"m")[0], 403, 404, 409)
status("a takes from the vault's side", ca_.ask("GET", "/vault/v1/upload/" + "5a" * 16)[0], 401)
status("a calls itself b", ca_.ask("GET", "/v1/inbox", device=b)[0], 401)
status("a calls itself the vault", ca_.ask("GET", "/vault/v1/next?after=0", device="vault")[0], 401)
status("a deletes what waits for b", ca_.ask("DELETE", "/v1/inbox/" + "5c" * 16)[0], 204, 404)
status("b's upload is untouched", cb.ask("GET", up)[1].get("chatkluis-offset"), "6")
sys.exit(1 if bad else 0)
PY
equal "what a's key can do" "$rc" 0
end 14
