#!/usr/bin/env bash
# Promise: where root starts the server and the system has the users, gate, vault, opener, page server and time authority are each one of their own; none of
# them reads another's folder or memory; a message goes through all of them; without the users the server says that all parts are root, and with some
# of them only it does not start.  The users exist in a mount namespace of this test alone.
. "$(dirname "$0")/lib.sh"
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then echo "users: skipped: needs root, and mounts of its own"; exit 77; fi
[ "${1:-}" = inside ] || exec unshare -m --propagation private "$0" inside
begin users
cp /etc/passwd "$work/passwd"; cp /etc/group "$work/group"
chmod 644 "$work/passwd" "$work/group"; chmod 755 "$work"
names=(kluis-tsa kluis-gate kluis-vault kluis-page kluis-opener)
sed -i '/^kluis-/d' "$work/passwd" "$work/group"
mount --bind "$work/passwd" /etc/passwd; mounts+=(/etc/passwd)
mount --bind "$work/group" /etc/group; mounts+=(/etc/group)
uid_of() { awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$1/status"; }

server_init
server_start
equal "without users of their own: the vault's user" "$(uid_of "$(part_pid vault)")" "0 0 0 0"
check "that is said" grep -q ' serve.one_user ' "$work/serve.log"
equal "and shown" "$(status_of_server | jq -c '[.walls[].user] | unique')" "[0]"
server_stop

number=64100
for n in "${names[@]:0:4}"; do
  echo "$n:x:$number:$number::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
  echo "$n:x:$number:" >>/etc/group
  number=$((number + 1))
done
rc=0; timeout $((20 * patience)) "$bin/chatkluis-server" serve --home "$work/server" --listen 127.0.0.1:0 >"$work/.out" 2>"$work/.err" </dev/null || rc=$?
equal "with some of the users only" "$rc" 64
check "which one is missing is said" grep -q "kluis-opener" "$work/.err"
echo "kluis-opener:x:$number:$number::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
echo "kluis-opener:x:$number:" >>/etc/group

server_start
number=64100
for part in tsa gate vault page; do
  pid=$(part_pid $part)
  equal "$part: its user, real, effective, saved and for files" "$(uid_of "$pid")" "$number $number $number $number"
  equal "$part: its groups" "$(awk '/^(Gid|Groups):/ { $1 = ""; print }' "/proc/$pid/status" | tr -s '\n ' ' ')" " $number $number $number $number "
  equal "$part: capabilities" "$(awk '/^Cap(Prm|Eff|Inh|Amb):/ { print $2 }' "/proc/$pid/status" | sort -u)" 0000000000000000
  number=$((number + 1))
done
zygote=$(pgrep -P "$(part_pid vault)")
equal "the opener's parent: its user" "$(uid_of "$zygote")" "64104 64104 64104 64104"
equal "the opener's parent: capabilities" "$(awk '/^Cap(Prm|Eff):/ { print $2 }' "/proc/$zygote/status" | sort -u)" 0000000000000000
status_of_server | jq -c .walls >"$work/walls"
equal "as status says" "$(jq -c '[.vault.user, .page.user, .opener.user]' "$work/walls")" "[64102,64103,64104]"

# It works: a message from a device to a hit on the page.
agent_enrol "$work/agent"; demo_sources "$work/agent"; agent "$work/agent" archive >/dev/null
await_hits 1 vergunning || die "nothing was archived"
check "the page lets in who has its address" curl -sf -o /dev/null -c "$work/jar" "$page"
equal "the page finds it" "$(curl -s -b "$work/jar" "${page%%/\?*}/api/search?q=vergunning&purpose=toets" | jq '.hits | length >= 1')" true

# What is whose.  (Control: its owner gets it.)
mine() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
check "control: the gate's user reads the gate's key" mine 64101 cat "$work/server/gate/tls.key"
check "control: the vault's user reads the vault's key" mine 64102 cat "$work/server/vault/keys/wrapping.key"
for who in 64100 64101 64103 64104; do
  for what in vault/keys/wrapping.key vault/custody.db vault/index/keys vault/control.sock; do
    [ -e "$work/server/$what" ] || die "there is no $what"
    refuse "user $who reads the vault's $what" mine $who dd "if=$work/server/$what" of=/dev/null bs=1 count=1
  done
  refuse "user $who sees what is in the home" mine $who ls "$work/server"
done
refuse "the vault's user reads the gate's key" mine 64102 cat "$work/server/gate/tls.key"
# 7: the kernel does not let that user through.  Who is through is cut off by the vault: this is no request.
knock() { local rc=0; mine "$1" curl -s --max-time 10 --unix-socket "$work/server/page.sock" http://vault/ || rc=$?; [ $rc = 7 ] && echo refused || echo "through, $rc"; }
for who in 64100 64101 64104 65534; do equal "user $who at the socket of the page server" "$(knock $who)" refused; done
ok; [[ "$(knock 64103)" =~ ^through,\ (52|56)$ ]] || fail "control: the page's user at its socket: $(knock 64103)"
refuse "root's key of the organisation, by the vault's user" mine 64102 cat "$work/server/root/root.key"

# A vault that was killed is started again, and the page server tells it at once where it is: nobody has to ask for the page first.
address() { "$bin/chatkluis-server" page-address --home "$work/server" >/dev/null 2>&1; }
was=$(part_pid vault); kill -KILL "$was"
another() { [ "$(part_pid vault || echo "$was")" != "$was" ]; }
await another || true
ok; await address || fail "a vault that was started anew does not hear of the page server"

# What root does to a vault that stands still is the vault's.  What root put there otherwise is given at the next start; a file with a second name
# elsewhere is not.
server_stop
"$bin/chatkluis-server" rebuild-index --home "$work/server" >/dev/null 2>&1
"$bin/chatkluis-server" official add --home "$work/server" --id later --name Later --function beleid --from 2025-01-01 >/dev/null 2>&1
equal "what a command of root's made is the vault's" "$(find "$work/server/vault" ! -uid 64102 | wc -l)" 0
chown 0:0 "$work"/server/vault/index/*
ok; [ "$(find "$work/server/vault" -uid 0 | wc -l)" -ge 1 ] || fail "control: root left nothing"
server_start
equal "what is not the vault's in its folder" "$(find "$work/server/vault" ! -uid 64102 | wc -l)" 0
check "the archive is whole" "$bin/chatkluis-server" check --home "$work/server" --read-data
server_stop
echo other >"$work/elsewhere"; ln "$work/elsewhere" "$work/server/gate/linked"
rc=0; timeout $((20 * patience)) "$bin/chatkluis-server" serve --home "$work/server" --listen 127.0.0.1:0 >"$work/.out" 2>"$work/.err" </dev/null || rc=$?
equal "a file that has a second name" "$rc" 1
equal "whose it stays" "$(stat -c %u "$work/elsewhere")" 0
rm "$work/server/gate/linked"; ln -s "$work/elsewhere" "$work/server/gate/linked"
server_start
equal "behind a symbolic link nothing is given" "$(stat -c %u "$work/elsewhere")" 0
end 59
