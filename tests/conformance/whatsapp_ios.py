#!/usr/bin/env python3
"""whatsapp-ios on the public iPhone image that iLEAPP tests with: counts and contents as its README and its own result state.

whatsapp_ios.py AGENT FIXTURES (or $KLUIS_FIXTURES/whatsapp-ios).  Exit 77: the fixtures are not on this machine.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import zipfile

agent, fixtures = sys.argv[1:3]
if "KLUIS_FIXTURES" in os.environ: fixtures = os.path.join(os.environ["KLUIS_FIXTURES"], "whatsapp-ios")
found = glob.glob(os.path.join(fixtures, "*whatsAppMessages*.zip"))
if not found:
    print("whatsapp_ios: %s is not on this machine: skipped" % fixtures)
    sys.exit(77)


def check(ok, *what):
    if not ok:
        raise SystemExit("whatsapp_ios: " + " ".join(str(w) for w in what))


with tempfile.TemporaryDirectory() as tmp:
    for z in found + glob.glob(os.path.join(fixtures, "*whatsAppCallHistory*.zip")):
        with zipfile.ZipFile(z) as f:
            f.extractall(tmp)
    folder = os.path.dirname(glob.glob(tmp + "/**/ChatStorage.sqlite", recursive=True)[0])
    before = sorted(os.listdir(folder))
    p = subprocess.run([agent, "read", "whatsapp-ios", folder, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(p.returncode == 0, p.stderr)
    check(sorted(os.listdir(folder)) == before, "something was left beside it")
    lines = [json.loads(x) for x in p.stdout.splitlines()]
    recs, counts = lines[:-1], lines[-1]["counts"]
    # 32 rows: types 6 (6) and 10 (5) are events, the other 21 messages, although 21 rows carry a group event number
    check(counts["message"] == 21 and counts["event"] == 11 and counts["reaction"] == 1 and lines[-1]["conversations"] == 5, lines[-1])
    r = [x for x in recs if x["kind"] == "reaction"][0]
    target = [x for x in recs if x.get("id") == r["target"] and x["kind"] == "message"][0]
    check(r["value"] == "\U0001f44d" and r["sent"] == "2023-05-02T16:00:29.311Z" and target["text"] == "Makes sense with all the test data you generate.", r)
    quoting = [x for x in recs if x.get("quote") == target["text"]]
    check(len(quoting) == 1 and quoting[0]["target"] == target["id"] and quoting[0]["target_author"]["number"] == "+19198887386", quoting)
    theirs = json.load(open(glob.glob(os.path.join(fixtures, "*whatsAppMessages*.json"))[0]))
    texts = sorted(row[5] for row in theirs["data"] if row[5])
    check(texts == sorted(x["text"] for x in recs if x.get("text") and x["kind"] == "message"), "texts differ from iLEAPP's")
    places = sorted("%.4f,%.4f" % (float(row[11]), float(row[12])) for row in theirs["data"] if row[11])
    ours = sorted("%.4f,%.4f" % tuple(map(float, x["fields"]["location"].split(","))) for x in recs if "location" in x.get("fields", {}))
    check(ours == [p for p in places if not p.startswith("4") and not p.startswith("5")], ours, places)
    for x in recs:
        for a in x.get("attachments", []):
            check(a["loss"] == "missing" and len(a["sha256"]) == 64, "the image holds no media", a)
print("whatsapp_ios: %d records" % len(recs))
