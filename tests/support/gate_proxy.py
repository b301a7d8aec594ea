#!/usr/bin/env python3
"""gate_proxy.py CERT KEY PORTFILE UPSTREAMFILE FAULTS LOG - a TLS proxy before a real gate, for tests, that misbehaves when told.

FAULTS: one fault a line, "REGEX ACTION [COUNT]"; the regex is matched against "METHOD PATH"; a fault is used up after COUNT requests
(default 1).  The file is read anew at every request.  Actions:
  status=CODE[,SECONDS]   answers so itself, with Retry-After      cut=N       N bytes of the body reach the gate, then both ends break
  lost                    the gate takes it, the answer is lost    garbage     bytes that are no HTTP
  big=N                   a 200 with N bytes                       slow=S      says nothing for S seconds, then breaks
  nonce=TEXT              this nonce instead of the gate's         flip=N      bit 0 of byte N of the answer's body is turned
  save=FILE               keeps the answer                         replay=FILE gives a kept answer instead
LOG: "METHOD PATH SHA256-OF-BODY STATUS" for every request."""
import hashlib, os, re, socket, ssl, sys, threading, time

cert, key, portfile, upstreamfile, faults, log = sys.argv[1:7]
lock = threading.Lock()
used = {}


def read_head(f):
    lines = []
    while True:
        line = f.readline(65536)
        if line in (b"", b"\r\n"):
            return lines
        lines.append(line)


def field(lines, name):
    for line in lines[1:]:
        k, _, v = line.partition(b":")
        if k.strip().lower() == name:
            return v.strip()
    return None


def fault_for(what):
    with lock:
        try:
            text = open(faults).read()
        except FileNotFoundError:
            return None
        for number, line in enumerate(text.splitlines()):
            words = line.split()
            if len(words) < 2 or not re.search(words[0].replace("~", " "), what):
                continue
            k = (text, number)
            if used.get(k, 0) >= (int(words[2]) if len(words) > 2 else 1):
                continue
            used[k] = used.get(k, 0) + 1
            return words[1]
    return None


def ask(head, body, cut=None):
    host, port = open(upstreamfile).read().strip().rsplit(":", 1)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    up = ctx.wrap_socket(socket.create_connection((host, int(port)), 60))
    lines = [line for line in head if not line.lower().startswith(b"connection:")]
    up.sendall(b"".join(lines) + b"Connection: close\r\n\r\n")
    if cut is not None:
        up.sendall(body[:cut])
        time.sleep(0.05)
        up.close()
        return None
    up.sendall(body)
    f = up.makefile("rb")
    answer = read_head(f)
    length = field(answer, b"content-length")
    data = f.read(int(length)) if length is not None else f.read()
    up.close()
    return answer, data


def serve_one(conn):
    f = conn.makefile("rb")
    head = read_head(f)
    if not head:
        return
    n = int(field(head, b"content-length") or 0)
    body = f.read(n)
    method, path, _ = head[0].decode("latin-1").split(" ", 2)
    what = method + " " + path
    action, _, arg = (fault_for(what) or "").partition("=")
    status = "-"
    answer = None
    if action == "status":
        code, _, after = arg.partition(",")
        answer = [b"HTTP/1.1 %s Fault\r\n" % code.encode(), b"Content-Type: text/plain\r\n"]
        if after:
            answer.append(b"Retry-After: %s\r\n" % after.encode())
        data = b"not now"
    elif action == "cut":
        ask(head, body, int(arg))
    elif action == "garbage":
        conn.sendall(os.urandom(4096))
    elif action == "big":
        answer, data = [b"HTTP/1.1 200 OK\r\n"], b"x" * int(arg)
    elif action == "slow":
        time.sleep(float(arg))
    elif action == "replay":
        raw = open(arg, "rb").read()
        answer, data = [b"HTTP/1.1 200 OK\r\n"], raw
    else:
        got = ask(head, body)
        if action != "lost" and got is not None:
            answer, data = got
            if action == "nonce":
                answer = [line for line in answer if not line.lower().startswith(b"chatkluis-nonce:")]
                answer.append(b"Chatkluis-Nonce: " + arg.encode() + b"\r\n")
                if path == "/v1/nonce":
                    data = arg.encode()
            if action == "flip" and len(data) > int(arg):
                data = data[:int(arg)] + bytes([data[int(arg)] ^ 1]) + data[int(arg) + 1:]
            if action == "save":
                with open(arg, "wb") as out:
                    out.write(data)
        elif got is not None:
            status = "lost"
    if answer is not None:
        status = answer[0].split()[1].decode()
        keep = [line for line in answer if line.split(b":")[0].lower() not in (b"content-length", b"connection", b"transfer-encoding")]
        none = status == "204"
        conn.sendall(b"".join(keep) + (b"" if none else b"Content-Length: %d\r\n" % len(data)) + b"Connection: close\r\n\r\n" + (b"" if none else data))
    with lock, open(log, "a") as out:
        out.write("%s %s %s\n" % (what, hashlib.sha256(body).hexdigest(), status))


def client(raw, ctx):
    try:
        raw.settimeout(120)
        conn = ctx.wrap_socket(raw, server_side=True)
        try:
            serve_one(conn)
        finally:
            conn.close()
    except (OSError, ValueError, ssl.SSLError):
        pass
    finally:
        raw.close()


listener = socket.create_server(("127.0.0.1", 0))
with open(portfile + ".new", "w") as out:
    out.write("127.0.0.1:%d\n" % listener.getsockname()[1])
os.rename(portfile + ".new", portfile)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain(cert, key)
while True:
    raw, _ = listener.accept()
    threading.Thread(target=client, args=(raw, ctx), daemon=True).start()
