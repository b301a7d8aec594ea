#!/usr/bin/env bash
# Promise: the units as they are shipped, installed and set up by the commands of the operator's manual, run under a real systemd: it boots, enrols an agent
# that comes over a network, gives receipts, finds messages on the page; every part that is killed, however often, is there again, and after a reboot
# everything is; no two parts are one user; the vault reaches its gate's address and no other, the page server and the time authority reach nobody;
# what root does to a vault that stands still stays the vault's own, a restore too.
# The system is this machine's own, booted by systemd-nspawn over a layer in memory, in a network of its own: nothing here changes.
. "$(dirname "$0")/lib.sh"
skip() { echo "systemd_boot: skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root"
for c in systemd-nspawn nsenter ip jq; do command -v "$c" >/dev/null || skip "$c is not installed (./run units installs it)"; done
[ -x /lib/systemd/systemd ] || skip "this machine has no systemd to boot"
if [ "${1:-}" != inside ]; then
  unshare -m -n true 2>/dev/null || skip "no mounts and network of its own"
  exec unshare -m -n --propagation private "$0" inside
fi
begin systemd_boot
tree=$work/tree leader='' nspawn='' other='' booted=0
halt() {
  [ -n "$nspawn" ] || return 0
  { [ -n "$leader" ] && nsenter -t "$leader" -m -u -i -n -p -C systemctl poweroff >/dev/null 2>&1; } || kill "$nspawn" 2>/dev/null || true
  wait "$nspawn" 2>/dev/null || true
  nspawn='' leader=''
}
at_end() { [ -z "$other" ] || kill "$other" 2>/dev/null || true; halt; }
mkdir "$work/layer" "$tree"
mount -t tmpfs -o mode=755 none "$work/layer"; mounts+=("$work/layer")
mkdir "$work/layer/upper" "$work/layer/work"
mount -t overlay -o "lowerdir=/,upperdir=$work/layer/upper,workdir=$work/layer/work" none "$tree" 2>/dev/null || skip "no layer can be put over this machine's files"
mounts=("$tree" "${mounts[@]}")

# ---- this machine's system, without its services ----
rm -rf "$tree"/etc/systemd/system/* "$tree"/etc/rc?.d/* "$tree"/var/lib/private "$tree"/var/log/journal "$tree"/etc/sysusers.d/*
sed -i '/chatkluis/d' "$tree/etc/group" "$tree/etc/gshadow"
: >"$tree/etc/fstab"; : >"$tree/etc/resolv.conf"
head -c 16 /dev/urandom | xxd -p >"$tree/etc/machine-id"
printf '127.0.0.1 localhost\n198.51.100.2 archief.example.nl\n' >"$work/hosts"
cp "$work/hosts" "$tree/etc/hosts"; mount --bind "$work/hosts" /etc/hosts; mounts=(/etc/hosts "${mounts[@]}")
inside() { nsenter -t "$leader" -m -u -i -n -p -C -r -w "$@"; }
running() { inside systemctl is-active --quiet multi-user.target; }
boot() {
  local keep=(--keep-unit) i
  [ -d /run/systemd/system ] && keep=()
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --register=no "${keep[@]}" -D "$tree" -M kluis-test -b --console=pipe --network-veth --capability=all \
    --system-call-filter=bpf </dev/null >"$work/console" 2>&1 & nspawn=$!
  for i in $(seq $((600 * patience))); do
    kill -0 "$nspawn" 2>/dev/null || break
    leader=$(pgrep -P "$nspawn" -f systemd | head -n 1) && [ -n "$leader" ] && running 2>/dev/null && break
    sleep 0.1
  done
  if ! running 2>/dev/null; then
    [ "$booted" = 0 ] || die "it did not boot again: $(tail -n 3 "$work/console")"
    halt
    skip "systemd does not boot in a container here: $(tail -n 1 "$work/console" | tr -d '\r')"
  fi
  booted=$((booted + 1))
  ip link set lo up; ip addr add 198.51.100.1/24 dev ve-kluis-test; ip link set ve-kluis-test up
  inside ip addr add 198.51.100.2/24 dev host0; inside ip link set host0 up
}
boot

# ---- as the manual says ----
manual=$root/docs/handleiding/beheer.md
by_manual() { # BEGINNING: the line of the manual that begins so is done, with the replacements of $with
  local line
  line=$(grep -F -- "$1" "$manual" | grep "^${1%% *}" | head -n 1 | sed "s/ *# .*//; ${with:-}")
  [ -n "$line" ] || die "the manual has no line that begins with '$1'"
  check "the manual's: $1" inside bash -ec "$line"
}
block() { awk -v kind="$1" '$0 == "```" kind { on = 1; next } /^```/ { on = 0 } on' "$manual"; } # json | ini: the manual's blocks of that kind
H=/var/lib/private/chatkluis-vault
DESTDIR=$tree cmake --install "$(dirname "$bin")" --prefix /usr >/dev/null
for l in "systemd-sysusers chatkluis.conf" "chatkluis-server init" "install -d -m 0700" "mv /root/kluis/gate" "mv /root/kluis/vault" "mv /root/kluis/tsa"; do by_manual "$l"; done
inside cp -r "$H/vault/keys" "$H/trust.json" /root/
config=$tree/var/lib/private/chatkluis-gate/gate.json
jq ". + {$(block json)}" "$config" >"$work/gate.json" && cat "$work/gate.json" >"$config"
mkdir -p "$tree/etc/systemd/system/chatkluis-vault.service.d"
block ini | sed 's/ADRES-VAN-DE-GATE/198.51.100.2/' >"$tree/etc/systemd/system/chatkluis-vault.service.d/override.conf"
by_manual "systemctl daemon-reload"
by_manual "systemctl enable --now"
units=(gate vault page tsa)
pid_of() { inside systemctl show -P MainPID "chatkluis-$1"; }
all_run() { local u; for u in "${units[@]}"; do inside systemctl is-active --quiet "chatkluis-$u" && [ "$(pid_of "$u")" != 0 ] || return 1; done; }
status() { inside chatkluis-server status --home "$H" --json 2>/dev/null | jq -c "$1"; }
is_status() { [ "$(status "$1")" = "$2" ]; }
await all_run || true
for u in "${units[@]}"; do
  check "chatkluis-$u runs: $(inside journalctl -b --no-pager -n 3 -u "chatkluis-$u")" inside systemctl is-active "chatkluis-$u"
  check "chatkluis-$u leaves little open as it runs (at most 1.5 of 10)" inside systemd-analyze security --no-pager --threshold=15 "chatkluis-$u.service"
  echo "systemd_boot: chatkluis-$u: exposure $(inside systemd-analyze security --no-pager "chatkluis-$u.service" | sed -n 's/.*service: \([0-9.]*\).*/\1/p') of 10"
done

# ---- an agent that comes from outside ----
inside chatkluis-server official add --home "$H" --id joris --name "Joris Hendriksen" --function beleid --from 2025-01-01 >/dev/null
(umask 077; inside chatkluis-server enrol --home "$H" --official joris >"$work/code")
check "an agent enrols" "$bin/chatkluis-agent" enrol --home "$work/a" --server https://archief.example.nl:8443 --code "@$work/code"
demo_sources "$work/a"
run_agent archive --home "$work/a" --wait 60; equal "it archives: $(head -c 200 "$work/err")" "$rc" 0
equal "acknowledged" "$(of "$work/a" '[.packages == .acknowledged, .packages > 0]')" "[true,true]"
"$bin/chatkluis-agent" packages --home "$work/a" --export "$work/export" >/dev/null
cp "$tree$H/trust.json" "$work/trust.json"
for p in "$work"/export/*.asice; do check "a receipt verifies" "$bin/chatkluis-verify" --trust "$work/trust.json" --receipt "${p%.asice}.receipt.json" "$p"; done
packages=$(status .packages)
found() { # over the page, with the key that page-address tells
  local url
  url=$(inside chatkluis-server page-address --home "$H" 2>/dev/null) || return 1
  url=${url#page on }
  inside bash -c "rm -f /tmp/jar; curl -sf -m 10 -c /tmp/jar -o /dev/null '$url' && curl -sf -m 10 -b /tmp/jar '${url%%/\?*}/api/search?q=vergunning&purpose=toets'" | grep -q '"text":"De vergunning is binnen'
}
ok; await found || fail "the page does not find what was archived"

# ---- walls ----
equal "every part tells its walls" "$(status '[.walls | to_entries[] | select(.value.calls and .value.privileges) | .key] | sort')" '["gate","opener","page","tsa","vault"]'
equal "nobody is root, and only the vault's opener is another part's user" "$(status '.walls | [.gate, .vault, .page, .tsa | .user] | unique | length')" 4
equal "users" "$(status '[.walls[].user] | min > 60000')" true
reaches() { # PART URL: from within the unit, where its rules hold
  inside bash -c "echo \$\$ >/sys/fs/cgroup/system.slice/chatkluis-$1.service/cgroup.procs && exec curl -ksS -m 2 -o /dev/null '$2'"
}
python3 -m http.server 9999 --bind 198.51.100.1 >/dev/null 2>&1 & other=$!
health=https://archief.example.nl:8443/v1/health
ok; await inside curl -s -m 2 -o /dev/null http://198.51.100.1:9999/ || fail "control: the other address does not answer"
walled=1
if inside systemd-run --quiet --wait -P -p IPAddressDeny=any curl -ksS -m 2 -o /dev/null "$health" 2>/dev/null; then
  walled=0
  echo "systemd_boot: not shown: this kernel does not let a container's systemd hold back addresses (IPAddressDeny)"
else
  check "the gate reaches its authorities, wherever they are" reaches gate http://198.51.100.1:9999/
  check "control: the vault reaches the gate" reaches vault "$health"
  refuse "the vault reaches another address" reaches vault http://198.51.100.1:9999/
  refuse "the vault reaches another service of this machine" reaches vault http://127.0.0.1:8080/
  refuse "the page server reaches another address" reaches page http://198.51.100.1:9999/
  refuse "the page server reaches the gate" reaches page "$health"
  refuse "the time authority reaches another address" reaches tsa http://198.51.100.1:9999/
fi
kill "$other" 2>/dev/null || true
other=

# ---- killed, again and again ----
for round in 1 2 3 4 5 6; do
  for u in "${units[@]}"; do
    p=$(pid_of "$u")
    [ "$p" -le 1 ] || inside kill -KILL "$p"
  done
  await all_run || die "round $round: a part that was killed is not started again: $(inside systemctl --no-pager --plain --no-legend list-units --all 'chatkluis*')"
done
equal "the vault was started again" "$(inside systemctl show -P NRestarts chatkluis-vault)" 6
ok; await found || fail "after it was killed the page does not find anything"
ok; await is_status '[.trouble,.halted]' '[null,null]' || fail "after it was killed the vault says $(status '[.trouble,.halted]')"
# The vault alone: a page server that goes on tells the new one where it is.
inside systemctl restart chatkluis-vault
ok; await found || fail "after a restart of the vault the page is not found"

# ---- stopped: what root does then is the vault's ----
inside mkdir -p /backup
by_manual "chatkluis-server backup --home /var/lib/private/chatkluis-vault --to /backup/chatkluis"
by_manual "systemctl stop chatkluis-vault"
equal "without the vault the page server goes on" "$(inside systemctl is-active chatkluis-page)" active
inside curl -s -m 5 -o /dev/null http://127.0.0.1:8080/api/search || true
equal "no request starts a vault that was stopped" "$(inside systemctl is-active chatkluis-vault || true)" inactive
check "rebuild-index" inside chatkluis-server rebuild-index --home "$H"
check "official add" inside chatkluis-server official add --home "$H" --id piet --name Piet --function beleid --from 2025-01-01
not_the_vaults() { inside find "$H/" -not -user "$(inside stat -c %u "$H/")" -not -name backup.lock; }
equal "files that are not the vault's" "$(not_the_vaults)" ""
check "it starts on them" inside systemctl start chatkluis-vault
ok; await is_status '[.packages,.index.watermark]' "[$packages,$packages]" || fail "after rebuild-index: $(status '[.packages,.index.watermark]')"
newest=$(inside bash -c 'ls -d /backup/chatkluis/2*')
with="s|…|/root|g; s|/backup/chatkluis/20260305T090000Z|$newest|"
for l in "systemctl stop chatkluis-vault" "mv /var/lib/private/chatkluis-vault/vault" "mkdir -p /var/lib/private/chatkluis-vault/vault" "cp -r …/keys" "chatkluis-server restore" "systemctl start chatkluis-vault"; do by_manual "$l"; done
with=
equal "restored files that are not the vault's" "$(not_the_vaults)" ""
ok; await is_status '[.packages,.missing,.index.watermark,.halted]' "[$packages,0,$packages,null]" || fail "after the restore: $(status .) $(inside journalctl -b --no-pager -n 5 -u chatkluis-vault)"
ok; await is_status '.overdue | length' 1 || fail "what was decided after the backup did not come back from the gate: $(status .register)"

# ---- a reboot ----
before=$(status '[.packages,.records,.ledger.size,.ledger.root]')
halt
boot
await all_run || die "after the reboot: $(inside systemctl --no-pager --plain --no-legend list-units --all 'chatkluis*')"
ok; await is_status '[.packages,.records,.ledger.size,.ledger.root]' "$before" || fail "after the reboot: $(status .), before $before"
ok; await found || fail "after the reboot the page does not find anything"
check "check --read-data" inside chatkluis-server check --home "$H" --read-data
run_agent archive --home "$work/a" --wait 30; equal "the agent goes on" "$rc" 0
equal "units that failed" "$(inside systemctl --no-pager --plain --no-legend list-units --failed 'chatkluis*')" ""
end $((walled ? 56 : 49))
