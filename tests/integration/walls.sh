#!/usr/bin/env bash
# Promise: every process of a running server stands behind its walls; without a system-call filter no part starts; `status` says which walls
# stand.  On the release programs.
. "$(dirname "$0")/lib.sh"
begin walls

# A build without walls is another program: the sentence it says of itself is not in this one.  (Control: a sentence that is.)
ok; grep -aq 'without it no part of the server starts' "$bin/chatkluis-server" || die "these programs have no walls: a sanitizer build?"
refuse "a program that can be without walls" grep -aq 'made for the sanitizers' "$bin/chatkluis-server"
# Nor does the verifier need a library of the machine (decision 0016).  (Control: the server does.)
equal "libraries of the verifier, of the server" "$(for p in verify server; do [[ $(readelf -d "$bin/chatkluis-$p") == *NEEDED* ]] && echo some || echo none; done | tr '\n' ' ')" "none some "

server_init
give_away
server_start_as "${as[@]}"

parts=0
for part in gate vault tsa page; do
  pid=$(part_pid $part) || die "there is no $part"
  parts=$((parts + 1))
  equal "$part: system calls filtered (2: by a filter)" "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" 2
  equal "$part: no new privileges" "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$pid/status")" 1
done
equal "parts" "$parts" 4
# The opener's parent forks a child for each package; it and its children are children of the vault.
ok; [ -n "$(pgrep -P "$(part_pid vault)")" ] || fail "there is no opener"

status=$("${as[@]}" "$programs/chatkluis-server" status --home "$work/server" --json)
ok; jq -e '.walls.page.privileges and .walls.page.calls and .walls.vault.privileges and .walls.vault.calls and .walls.opener.privileges and .walls.opener.calls' <<<"$status" >/dev/null || fail "status: $(jq -c .walls <<<"$status")"
equal "walls that each part logged" "$(grep -c ' walls privileges=1 ' "$work/serve.log")" 4

# What takes packages in gives way to who searches: the index's thread and the opener's parent (its children inherit it), beside the thread that began.
nice_of() { awk '{ sub(/.*\) /, ""); print $17 }' "$1/stat"; } # a folder of /proc
vault=/proc/$(part_pid vault)
ready=$(nice_of "$vault") way=$((ready + 5 > 19 ? 19 : ready + 5))
feeder=$(grep -lx feeder "$vault"/task/*/comm) || die "the index has no thread"
equal "the index's thread" "$(nice_of "${feeder%/comm}")" "$way"
equal "the opener's parent" "$(nice_of "/proc/$(pgrep -P "${vault#/proc/}" | head -n 1)")" "$way"

# The page server is a process of its own, in which neither a key nor a file is to be had: what is open there are sockets, and in its memory stands no
# key of the vault while it serves.  (Control: the same searcher finds them in the vault's own.)
page_pid=$(part_pid page) vault_pid=$(part_pid vault)
ok; [ "$page_pid" != "$vault_pid" ] || fail "page and vault are one process"
agent_enrol "$work/agent"; demo_sources "$work/agent"; agent "$work/agent" archive >/dev/null
await_hits 1 vergunning || die "nothing was archived"
base=${page%%/\?*} jar=$work/jar
look() { curl -s -o "$work/body" -w '%{http_code}' -b "$jar" "$base/api/search?q=vergunning&purpose=toets"; }
equal "the page by its address" "$(curl -s -o /dev/null -c "$jar" -w '%{http_code}' "$page")" 303
equal "a search" "$(look)" 200
ok; jq -e '.hits | length >= 1' "$work/body" >/dev/null || fail "the page finds nothing"
equal "files that the page server has open" "$(find "/proc/$page_pid/fd" -type l -printf '%l\n' 2>/dev/null | grep -vcE '^(socket:|anon_inode:|pipe:|/dev/null$)|/(serve\.(out|log)|\.out)$' || true)" 0
find_bytes="$bin/../tests/find_bytes"
words=()
for k in wrapping.key log.seed; do words+=("0x$(xxd -p -c 64 "$work/server/vault/keys/$k" | cut -c 1-64)"); done
if [ "$(id -u)" = 0 ]; then
  for w in "${words[@]}"; do check "control: a key of the vault is found in its own memory" "$find_bytes" "$w" -- "pid:$vault_pid"; done
  rc=0; "$find_bytes" "${words[@]}" -- "pid:$page_pid" >"$work/found" 2>&1 || rc=$?
  equal "a key of the vault in the page server's memory (1: none)" "$rc" 1
  check "control: what it gave is found there" "$find_bytes" "Dijkversterking" -- "pid:$page_pid"
else
  echo "walls: not root: memory of other processes is not looked at"
fi

# The gate tells its walls with each answer to the vault, and those of the time authority of this machine once that has stamped something.
status_of() { "${as[@]}" "$programs/chatkluis-server" status --home "$work/server" --json; }
for _ in $(seq $((300 * patience))); do status=$(status_of); jq -e '.walls.gate and .walls.tsa' <<<"$status" >/dev/null && break; sleep 0.1; done
ok; jq -e '.walls.gate.privileges and .walls.gate.calls and .walls.tsa.privileges and .walls.tsa.calls' <<<"$status" >/dev/null || fail "status, gate and authority: $(jq -c .walls <<<"$status")"
for part in gate tsa; do equal "user of $part" "$(jq ".walls.$part.user" <<<"$status")" "$(stat -c %u "/proc/$(part_pid $part)")"; done

# A page server that dies is started again where it was; a vault that dies comes back with another key, and the page server finds it by itself.
kill -KILL "$page_pid"
for _ in $(seq 200); do [ "$(look)" = 200 ] && break; sleep 0.05; done
equal "after the page server died: the same address and key" "$(look)" 200
refuse "the same process" kill -0 "$page_pid"
page_pid=$(part_pid page)
kill -KILL "$vault_pid"
for _ in $(seq 200); do [ "$(look)" = 403 ] && break; sleep 0.05; done
equal "after the vault died: the old key" "$(look)" 403
page=$("${as[@]}" "$programs/chatkluis-server" page-address --home "$work/server" | sed -n 's/^page on //p')
equal "the same address" "${page%%/\?*}" "$base"
equal "with the new key" "$(curl -s -o /dev/null -c "$jar" -w '%{http_code}' "$page")" 303
equal "a search with it" "$(look)" 200
equal "the page server was not started again for it" "$(part_pid page)" "$page_pid"
server_stop

# Without seccomp nothing starts: the system call is refused as a kernel without it would.
for part in gate tsa vault page serve; do
  case $part in
    gate) set -- gate --dir "$work/server/gate" --listen 127.0.0.1:0 ;;
    tsa) set -- tsa --dir "$work/server/tsa" ;;
    vault) set -- vault --home "$work/server" --gate "https://$gate" ;;
    page) set -- page --vault "$work/server/page.sock" --listen 127.0.0.1:0 ;;
    serve) set -- serve --home "$work/server" --listen 127.0.0.1:0 ;;
  esac
  rc=0
  timeout 60 strace -f -o /dev/null -e trace=seccomp -e inject=seccomp:error=EINVAL "$bin/chatkluis-server" "$@" >"$work/.out" 2>"$work/.err" </dev/null || rc=$?
  equal "$part without a system-call filter" "$rc" 74
  ok; grep -q 'seccomp' "$work/.err" || { fail "$part does not say why"; tail -n 3 "$work/.err" >&2; }
done
end 45
