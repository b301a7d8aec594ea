#!/usr/bin/env python3
"""eigen: whatsapp-ios on a folder and backups that our own generator made from the format's facts (no public backup exists).

eigen_whatsapp_ios.py AGENT.  Promises: rows become the records that docs/sources/whatsapp-ios.md says; the app's folder, a backup and an encrypted
backup give the same; a wrong password or a damaged list gives no record; nothing beside the source changes.
"""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "eigen"))
import whatsapp_ios as made  # noqa: E402
from reader import Reader, content, state  # noqa: E402

AGENT = sys.argv[1]
reader = Reader("eigen_whatsapp_ios", AGENT, "whatsapp-ios")
check, read = reader.check, reader.read


def what_is_in_it(recs):
    by = {r.get("id"): r for r in recs}
    anna = {"id": made.ANNA, "name": "Anna de Vries", "number": "+31600000001"}
    me = {"id": made.ME, "number": "+31612345678"}
    bram = {"id": made.BRAM, "name": "Bram", "number": "+31600000002"}
    check(by["A0000001"]["event"] == "encryption-notice" and "author" not in by["A0000001"], by["A0000001"])
    check(by["A0000002"]["kind"] == "message" and by["A0000002"]["author"] == anna and by["A0000002"]["sent"] == "2025-01-01T00:02:00.250Z", by["A0000002"])
    a3 = by["A0000003"]
    check(a3["author"] == me and a3["target"] == "A0000002" and a3["quote"].startswith("Goedemorgen") and a3["target_author"] == anna and "attachments" not in a3, a3)
    photo = by["A0000004"]["attachments"][0]
    check(photo["name"] == "foto.jpg" and photo["type"] == "image/jpeg" and photo["size"] == len(made.PHOTO) and "loss" not in photo, photo)
    check(by["A0000004"]["text"] == "bijschrift", by["A0000004"])
    check(by["A0000005"]["kind"] == "deletion" and by["A0000005"]["target"] == "A0000005", by["A0000005"])
    check(by["A0000006"]["fields"]["location"] == "52.0786000,4.3128000", by["A0000006"])
    check("FN:Karel" in by["A0000007"]["fields"]["contact-001"], by["A0000007"])
    check(by["A0000008"]["kind"] == "event" and by["A0000008"]["fields"]["whatsapp.type"] == 66, by["A0000008"])
    check(by["A0000009"]["sent"] == "1969-12-31T00:00:00.000Z" and by["A0000010"]["sent"] == "2100-01-01T00:00:00.000Z", by["A0000009"], by["A0000010"])
    check(by["G0000001"]["event"] == "group-created" and by["G0000001"]["conversation"]["type"] == "group", by["G0000001"])
    check(by["G0000002"]["event"] == "member-added" and by["G0000002"]["fields"]["member-001"] == made.BRAM, by["G0000002"])
    check(by["G0000003"]["event"] == "system" and by["G0000003"]["fields"]["whatsapp.group-event"] == 4242, by["G0000003"])
    check(by["G0000004"]["kind"] == "message" and by["G0000004"]["author"] == anna, "a group event number on an ordinary row", by["G0000004"])
    r1, r2 = by["R0000001"], by["R0000002"]
    check(r1["kind"] == "reaction" and r1["target"] == "G0000004" and r1["value"] == "\u2764\ufe0f" and r1["sent"] == "2025-01-01T02:53:20.123Z", r1)
    check(r2["value"] == "\U0001f44d" and "author" not in r2 and "reactor-unknown" in r2["loss"], r2)
    check(by["G0000005"]["author"] == bram, "the hidden one's number", by["G0000005"])
    check(by["G0000006"]["kind"] == "poll" and "poll-options" in by["G0000006"]["loss"], by["G0000006"])
    check("S0000001" not in by and by["W0000001"]["conversation"]["id"] == "chat-9", "status; a conversation gone")
    calls = [r for r in recs if r["kind"] == "call"]
    check(len(calls) == 2 and calls[0]["event"] == "missed" and calls[0]["author"] == anna and calls[0]["sent"] == "2025-01-01T00:08:20.500Z", calls)
    check(calls[1]["event"] == "answered" and calls[1]["value"] == "video" and calls[1]["conversation"]["id"] == "31600000077@s.whatsapp.net", calls)


def main():
    with tempfile.TemporaryDirectory() as tmp:
        app = os.path.join(tmp, "group.net.whatsapp.WhatsApp.shared")
        made.folder(app)
        before = state(app)
        code, lines, err = read(app)
        check(code == 0 and err == "", code, err)
        what_is_in_it(lines[:-1])
        plain = content(lines[:-1])
        check(state(app) == before, "the source's folder changed")
        code, lines, err = read(os.path.join(app, "ChatStorage.sqlite"))
        check(code == 0 and content(lines[:-1]) == plain, "by its file", code, err)
        code, lines, err = read(app, kind="auto")
        check(code == 0 and lines[-1]["recognised"] == {"source": "whatsapp-ios", "sure": "certain"}, lines[-1:])

        for xml in (False, True):
            bare = os.path.join(tmp, "backup-%d" % xml)
            made.backup(app, bare, xml=xml)
            before = state(bare)
            code, lines, err = read(bare)
            check(code == 0 and content(lines[:-1]) == plain, "unencrypted backup", code, err)
            check(state(bare) == before, "the backup changed")
        code, lines, err = read(bare, kind="auto")
        check(code == 0 and lines[-1]["recognised"]["source"] == "whatsapp-ios", lines[-1:])

        locked = os.path.join(tmp, "versleuteld")
        made.backup(app, locked, password=made.PASSWORD)
        for name, secret in (("goed", made.PASSWORD), ("fout", made.PASSWORD + "x")):
            with open(os.path.join(tmp, name), "w", encoding="utf-8") as f:
                f.write(secret + "\n")
        before = state(locked)
        code, lines, err = read(locked, "password=@" + os.path.join(tmp, "goed"))
        check(code == 0 and content(lines[:-1]) == plain, "encrypted backup", code, err)
        check(state(locked) == before, "the backup changed")
        code, lines, err = read(locked, "password=@" + os.path.join(tmp, "fout"))
        check(code == 1 and lines == [] and "wrong password" in err, code, err)
        code, lines, err = read(locked)
        check(code == 1 and lines == [] and "--option password=@FILE" in err, code, err)
        manifest = os.path.join(locked, "Manifest.plist")
        whole = open(manifest, "rb").read()
        for at in range(0, len(whole), 61):  # no damage of the keys is a crash, nor gives records that are not there
            with open(manifest, "wb") as f:
                f.write(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1:])
            code, lines, err = read(locked, "password=@" + os.path.join(tmp, "goed"))
            check(code in (0, 1, 74) and (lines == [] or content(lines[:-1]) == plain), "a flipped bit", at, code, err)
        for at in range(0, len(whole), 101):
            with open(manifest, "wb") as f:
                f.write(whole[:at])
            code, lines, err = read(locked, "password=@" + os.path.join(tmp, "goed"))
            check(code == 1 and lines == [], "cut", at, code, err)
        shutil.rmtree(locked)

        # damage in the middle of the chat database
        big = os.path.join(tmp, "groot")
        made.folder(big, lambda c: [c.execute(
            "INSERT INTO ZWAMESSAGE(Z_PK,ZISFROMME,ZMESSAGETYPE,ZSORT,ZCHATSESSION,ZMESSAGEDATE,ZFROMJID,ZTOJID,ZSTANZAID,ZTEXT) VALUES(?,0,0,?,1,?,?,?,?,?)",
            (1000 + i, 1000 + i, made.T0 + i, made.ANNA, made.ME, "M%07d" % i, "bericht %d " % i + "x" * 150)) for i in range(2000)])
        path = os.path.join(big, "ChatStorage.sqlite")
        whole = open(path, "rb").read()
        lost = 0
        for page in range(20, len(whole) // 4096 - 1, 11):
            with open(path, "wb") as f:
                f.write(whole[:page * 4096] + b"\xa5" * 4096 + whole[page * 4096 + 4096:])
            code, lines, err = read(big)
            got = sum(1 for r in lines if r.get("id", "").startswith("M"))
            gaps = sum(1 for r in lines if r.get("event") == "source-damaged")
            check(code == 0 and got > 1900 and (got == 2000 or gaps > 0), page, code, got, gaps, err)
            lost += got < 2000
        check(lost >= 3, "no page of messages was hit", lost)
    print("eigen_whatsapp_ios: %d checks" % reader.checks)


main()
