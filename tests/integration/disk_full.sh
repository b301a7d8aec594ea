#!/usr/bin/env bash
# Promise: a full disk under the agent, the gate or the vault is said clearly and loses nothing; after space is made everything goes on.
# Needs to mount small file systems; where it may not, it says so and is skipped.
. "$(dirname "$0")/lib.sh"
begin disk_full
small() { # FOLDER MEGABYTES
  mkdir -p "$1"
  mount -t tmpfs -o "size=$2M,mode=0700" tmpfs "$1" 2>/dev/null || return 1
  mounts+=("$1")
}
mkdir "$work/try"
small "$work/try" 1 || { echo "disk_full: skipped: this user may not mount a small file system"; exit 77; }

server_init
mkdir "$work/moved"
for part in gate vault; do # the home was made on the large disk; its parts move to small ones
  mv "$work/server/$part" "$work/moved/$part"
  small "$work/server/$part" 48 || die "cannot mount"
  cp -a "$work/moved/$part/." "$work/server/$part/"
done
chown --reference="$work/moved/gate" "$work/server/gate"
jq '.disk_reserve = 2000000' "$work/moved/gate/gate.json" >"$work/gate.json"
cat "$work/gate.json" >"$work/server/gate/gate.json"
server_start
agent_enrol "$work/agent0"
small "$work/agent" 24 || die "cannot mount"
cp -a "$work/agent0/." "$work/agent/"
a=$work/agent
line() { printf '11-03-2026 %02d:%02d - Anna: volbericht %d\n' $((9 + $1 / 60)) $(($1 % 60)) "$1"; }
chat=$work/chat.txt n=0
more() { n=$((n + 1)); line $n >>"$chat"; }
more; more
source_add "$a" whatsapp-text "$chat"
agent "$a" archive >/dev/null
await_hits 2 volbericht || die "the first pass is not found"

fill() { dd if=/dev/zero of="$1/filler" bs=64k status=none 2>/dev/null || true; dd if=/dev/zero of="$1/filler2" bs=512 status=none 2>/dev/null || true; }
full_pass() { rc=0; agent "$a" archive --wait 4 >"$work/out" 2>"$work/err" || rc=$?; }
goes_on() { # WHAT
  local i
  rm -f "$2/filler" "$2/filler2"
  for i in $(seq 20); do
    full_pass
    [ "$rc" = 0 ] && [ "$("$bin/chatkluis-agent" status --home "$a" --json | jq .waiting)" = 0 ] && break
    sleep 0.5
  done
  equal "archive after space was made for the $1: $(head -c 300 "$work/err")" "$rc" 0
  await_hits "$n" volbericht || true
  equal "messages after the $1's full disk" "$(hits volbericht | wc -l)" "$n"
  equal "acknowledged after the $1's full disk" "$("$bin/chatkluis-agent" status --home "$a" --json | jq '.packages == .acknowledged')" true
}
clear_error() { # WHAT: not silently, in lines a person can use
  ok; [ "$rc" = 74 ] || [ "$rc" = 75 ] || fail "$1: exit $rc, neither 74 nor 75: $(head -c 300 "$work/err")"
  ok; [ -s "$work/err" ] && [ "$(wc -l <"$work/err")" -le 4 ] || fail "$1: $(wc -l <"$work/err") lines of error"
}

fill "$a"; more; full_pass
clear_error "the agent's disk is full"
ok; grep -qi 'space\|full\|write\|disk' "$work/err" || fail "the agent does not say what is full: $(cat "$work/err")"
goes_on agent "$a"

fill "$work/server/gate"; more; full_pass
clear_error "the gate's disk is full"
# What the gate refuses the vault it says in words, and the vault's status and log carry them: nobody has to look on the other host.
official gevuld "Gevuld"
refused='the gate does not take [^"]* \(507: [^"]*full[^"]*\)'
in_trouble() { status_of_server | jq -r .trouble | grep -qE "^(intake|committer): $refused\$"; }
ok; await in_trouble || fail "the status does not have the gate's words: $(status_of_server | jq -r .trouble)"
ok; grep -qE "text=\"$refused\"" "$work/serve.log" || fail "the log does not have the gate's words"
goes_on gate "$work/server/gate"
untroubled() { [ "$(status_of_server | jq -r .trouble)" = null ]; }
ok; await untroubled || fail "trouble that is over stays in the status: $(status_of_server | jq -r .trouble)"

fill "$work/server/vault"; more; full_pass
clear_error "the vault's disk is full"
ok; grep -q ' warn \| error ' "$work/serve.log" || fail "the log says nothing of a full disk"
goes_on vault "$work/server/vault"

equal "packages of the server" "$(status_of_server | jq .packages)" "$("$bin/chatkluis-agent" status --home "$a" --json | jq .acknowledged)"
check "check --read-data" "$bin/chatkluis-server" check --home "$work/server" --read-data
ok; kill -0 "$server_pid" || fail "the server did not live through it"
end 21
