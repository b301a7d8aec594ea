#!/usr/bin/env bash
# T11: whoever scans gets one answer of one size without a word about what runs here, and after its share only a refusal that costs nothing; an
# agent at the same address goes on as if nothing happened.
. "$(dirname "$0")/../integration/lib.sh"
begin T11
server_init
jq '.limits = (.limits // {}) + {refused_per_minute: 40}' "$work/server/gate/gate.json" >"$work/gate.json" && cat "$work/gate.json" >"$work/server/gate/gate.json"
server_start
agent_enrol "$work/agent"
f=$work/chat.txt
say "$f" '11-03-2026 09:01' Anna "een"; source_add "$work/agent" whatsapp-text "$f"

python3 - "$root/tests/support" "$gate" "$work/server/root/root.crt" >"$work/scan" <<'PY'
import collections, sys
sys.path.insert(0, sys.argv[1])
from gate_client import Client
c = Client(sys.argv[2], sys.argv[3])
seen = collections.Counter()
for i in range(120):
    path = "/" + ["actuator/heapdump", "metrics", "x" * (i + 1), ".git/config", "v1/bundle", "vault/v1/next?after=0"][i % 6]
    c.close()
    status, headers, body = c.raw("GET", path)
    known = i % 6 >= 4
    seen["%d %s" % (status, "login" if known else "unknown")] += 1
    if status == 404:
        print("size", len(body))
    print("headers", " ".join(sorted(k for k in headers if k not in ("chatkluis-nonce",))))
    if "server" in headers or "x-powered-by" in headers:
        print("banner", headers)
    if status == 429:
        print("retry", headers.get("retry-after"), "length", len(body))
for k, n in sorted(seen.items()):
    print("seen", k, n)
PY
equal "sizes of the answer to unknown paths" "$(sed -n 's/^size //p' "$work/scan" | sort -u | wc -l)" 1
equal "banners" "$(grep -c '^banner' "$work/scan" || true)" 0
ok; [ "$(sed -n 's/^seen 404 unknown //p' "$work/scan")" -le 45 ] || fail "unknown paths answered: $(grep seen "$work/scan" | tr '\n' ';')"
ok; [ "$(awk '/^seen 429/ { n += $4 } END { print n + 0 }' "$work/scan")" -ge 60 ] || fail "refused as a stranger: $(grep seen "$work/scan" | tr '\n' ';')"
equal "answers to a stranger after its share" "$(sed -n 's/^retry //p' "$work/scan" | sort -u | wc -l)" 1
equal "answers that are none of 401, 404, 429" "$(grep '^seen' "$work/scan" | grep -cv '^seen \(401\|404\|429\) ' || true)" 0
# The agent comes from the same address.
check "an agent beside the scanner" "$bin/chatkluis-agent" archive --home "$work/agent"
equal "what it archived is acknowledged" "$(agent "$work/agent" status --json | jq .acknowledged)" 1
end 8
