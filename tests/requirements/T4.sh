#!/usr/bin/env bash
# T4: no part of a running server leaves a core or lets its own user read its memory, and no part takes a byte in plain text from the network.
. "$(dirname "$0")/../integration/lib.sh"
begin T4
server_init
give_away # root may read any memory: a test as root would prove nothing
server_start_as "${as[@]}"
for part in gate vault tsa page; do
  pid=$(part_pid $part) || die "there is no $part"
  equal "$part: core size" "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" "0 0"
  # Not dumpable: the kernel gives the process's files to root, so that its own user can neither read its memory nor attach to it.
  refuse "$part: its memory, read by its own user" "${as[@]}" dd if="/proc/$pid/mem" bs=1 count=1 of=/dev/null
  refuse "$part: its environment, read by its own user" "${as[@]}" cat "/proc/$pid/environ"
  refuse "$part: a debugger of its own user" "${as[@]}" strace -p "$pid" -o /dev/null -e trace=none
done
# Neither do the programs that run for a moment: the first things they do, seen from outside.
for program in agent verify server; do
  strace -qq -e trace=prctl,prlimit64,setrlimit -o "$work/first" "$bin/chatkluis-$program" version >/dev/null 2>&1 || true
  check "$program: no core" grep -qE '(RLIMIT_CORE, \{rlim_cur=0, rlim_max=0\}).* = 0' "$work/first"
  check "$program: not dumpable" grep -qE 'prctl\(PR_SET_DUMPABLE, SUID_DUMP_DISABLE\).* = 0' "$work/first"
done
# Control: of a process of that user that is not protected, the same is given.
"${as[@]}" sleep 60 & plain=$!
sleep 0.2
check "control: the environment of an ordinary process" "${as[@]}" cat "/proc/$plain/environ"
kill "$plain"; wait "$plain" 2>/dev/null || true

# Plain text: no request gets an HTTP answer from the gate, however it is put.
answers=$(python3 - "${gate%:*}" "${gate##*:}" <<'PY'
import socket, sys
for request in (b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"EHLO x\r\n"):
    got = b""
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as s:
        try:
            s.sendall(request)
            while len(got) < 4096:
                more = s.recv(4096)
                if not more:
                    break
                got += more
        except OSError:
            pass
    print("answered" if b"HTTP/" in got or b"health" in got or b"ok\n" in got else "nothing", len(got))
PY
)
equal "plain requests that got an answer" "$(grep -c answered <<<"$answers" || true)" 0
equal "plain requests that were tried" "$(wc -l <<<"$answers")" 4
check "control: over TLS it answers" curl -sf --cacert "$work/server/root/root.crt" "https://$gate/v1/health"
end 26
