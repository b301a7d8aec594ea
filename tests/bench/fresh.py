#!/usr/bin/env python3
"""fresh.py - how long after its receipt a record can be found.  Called by fresh.sh.

    fresh.py steady AGENT SECONDS RATE PAGE KEY HOME…   one package of RATE messages a second from each agent home; prints one
                                                        line a package: ms from handing it over, and from the agent's receipt, to the first hit
    fresh.py watch SERVER HOME PACKAGES                 while the vault takes PACKAGES that wait at the gate; one line a package: ms from
                                                        its acceptance, and from its receipt, until the index has it
"""
import http.client, json, os, subprocess, sys, threading, time, urllib.parse


def written(path, number, word, count):
    """A chat of `count` messages in one closed month; the last holds the word."""
    text = "Het overleg over de dijk bij de sluis is verzet naar morgen, graag even bericht wie er kan"
    lines = ["05-0%d-2024 %02d:%02d - Afzender %04d: %s %d" % (1 + number % 9, 8 + i // 60, i % 60, i % 7, text, i) for i in range(count - 1)]
    lines.append("05-0%d-2024 %02d:%02d - Afzender 0001: %s" % (1 + number % 9, 8 + (count - 1) // 60, (count - 1) % 60, word))
    with open(path + ".new", "w") as f:
        f.write("\n".join(lines) + "\n")
    os.rename(path + ".new", path)


def first_hit(page, key, word, until):
    """Asks until the word is found: the moment the answer with the hit was there."""
    c = http.client.HTTPConnection(page, timeout=30)
    path = "/api/search?purpose=meting&limit=1&q=" + urllib.parse.quote(word)
    while time.time() < until:
        c.request("GET", path, headers={"Cookie": "kluis=" + key})
        r = c.getresponse()
        body = r.read()
        if r.status != 200:
            sys.exit("search: %d %s" % (r.status, body[:200]))
        if json.loads(body)["hits"]:
            return time.time()
        time.sleep(0.008)
    sys.exit("'%s' is not found" % word)


def agent_loop(agent, seconds, rate, page, key, home, number, results, start):
    for i in range(seconds):
        due = start + i + number * 0.25
        time.sleep(max(0, due - time.time()))
        word = "vers%cw%dx%d" % (97 + number, i, os.getpid())
        written("%s/chats/WhatsApp-chat met ronde-%d-%04d.txt" % (home, number, i), i, word, rate)
        found = {}
        searching = threading.Thread(target=lambda: found.update(at=first_hit(page, key, word, due + 60)))
        searching.start()
        got = subprocess.run([agent, "archive", "--home", home + "/agent", "--wait", "60"], capture_output=True, text=True)
        receipt = time.time()
        searching.join()
        if got.returncode != 0 or "at" not in found:
            os.write(2, got.stderr.encode())
            os._exit(1)
        results.append((due, found["at"], receipt))


def steady(agent, seconds, rate, page, key, *homes):
    results, start = [], time.time() + 0.5
    threads = [threading.Thread(target=agent_loop, args=(agent, int(seconds), int(rate), page, key, h, n, results, start)) for n, h in enumerate(homes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for due, found, receipt in sorted(results):
        print("%.1f %.1f" % (1000 * (found - due), max(0, 1000 * (found - receipt))))


def watch(server, home, packages):
    packages, accepted, receipted, indexed = int(packages), [], [], []
    until = time.time() + 1800
    while len(indexed) < packages or len(receipted) < packages:
        if time.time() > until:
            sys.exit("ingest stands at package %d of %d" % (len(indexed), packages))
        before = time.time()
        s = json.loads(subprocess.run([server, "status", "--home", home, "--json"], capture_output=True, check=True).stdout)
        now = (before + time.time()) / 2
        for seen, n in ((accepted, s["packages"]), (receipted, s["packages"] - s["answers"]), (indexed, s["index"]["watermark"])):
            seen.extend([now] * (n - len(seen)))
        time.sleep(0.02)
    for a, r, i in zip(accepted, receipted, indexed):
        print("%.1f %.1f" % (1000 * (i - a), max(0, 1000 * (i - r))))


if __name__ == "__main__":
    {"steady": steady, "watch": watch}[sys.argv[1]](*sys.argv[2:])
