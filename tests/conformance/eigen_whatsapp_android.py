#!/usr/bin/env python3
"""eigen: whatsapp-android on databases and backups that our own generator made from the format's facts (no public fixture has content).

eigen_whatsapp_android.py AGENT.  Promises: every kind of row becomes the record that docs/sources/whatsapp-android.md says; crypt12, 14 and 15 in all
their shapes give exactly what the plain database gives; a wrong key or a damaged file gives no record at all; nothing beside the source changes.
"""
import hashlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "eigen"))
import whatsapp_android as made  # noqa: E402
from reader import Reader, content, state  # noqa: E402

AGENT = sys.argv[1]
reader = Reader("eigen_whatsapp_android", AGENT, "whatsapp-android")
check, read = reader.check, reader.read


def what_is_in_it(recs, own):
    by = {}
    for r in recs:
        by.setdefault((r["conversation"]["id"], r.get("id")), r)
    d = lambda i: by[("31600000001@s.whatsapp.net", i)]
    g = lambda i: by[("120363000000000001@g.us", i)]
    anna = {"id": "31600000001@s.whatsapp.net", "name": "Anna de Vries", "number": "+31600000001"}
    me = {"id": "31612345678@s.whatsapp.net", "name": "Ikzelf", "number": "+31612345678"} if own else {"name": "Ikzelf"}
    bram = {"id": "31600000002@s.whatsapp.net", "name": "Bram", "number": "+31600000002"}
    check(d("D1")["kind"] == "message" and d("D1")["author"] == anna and d("D1")["sent"] == "2025-01-01T00:02:00.000Z", d("D1"))
    check(d("D1")["conversation"]["name"] == "Anna de Vries" and d("D1")["conversation"]["type"] == "direct", d("D1"))
    check(d("D2")["author"] == me and d("D2")["text"] == "Nee, morgen. \U0001f44d", d("D2"))
    photo = d("D3")["attachments"][0]
    check(photo["name"] == "IMG-20250101-WA0001.jpg" and photo["type"] == "image/jpeg" and photo["size"] == len(made.PHOTO) and "loss" not in photo, photo)
    moved = d("D4")["attachments"][0]
    check("loss" not in moved and moved["size"] == len(made.MOVED) and d("D4")["text"] == "het stuk", d("D4"))
    gone = d("D5")["attachments"][0]
    check(gone["loss"] == "missing" and gone["sha256"] == hashlib.sha256(b"weg").hexdigest() and d("D5")["fields"]["duration-seconds"] == 12, gone)
    check(d("D6")["target"] == "D1" and d("D6")["quote"].startswith("Goedemorgen") and d("D6")["target_author"] == anna, d("D6"))
    check(d("D7")["kind"] == "message" and d("D7")["fields"]["edited"] == 1 and "edited" in d("D7")["times"] and "original-unknown" in d("D7")["loss"], d("D7"))
    check(d("D8")["kind"] == "deletion" and d("D8")["target"] == "D8-origineel" and "text" not in d("D8"), d("D8"))
    check(d("D9")["fields"]["location"] == "52.0786000,4.3128000" and d("D9")["fields"]["place-name"] == "Binnenhof", d("D9"))
    check("FN:Karel" in d("D10")["fields"]["contact-001"], d("D10"))
    check(d("D11")["kind"] == "gap" and d("D11")["event"] == "view-once", d("D11"))
    check(d("D12")["kind"] == "gap" and d("D12")["event"] == "waiting-for-message", d("D12"))
    check(d("D13")["kind"] == "call" and d("D13")["event"] == "missed" and d("D13")["value"] == "video", d("D13"))
    check(d("D14")["event"] == "answered" and d("D14")["fields"]["duration-seconds"] == 65 and d("D14")["value"] == "audio", d("D14"))
    check(("31600000001@s.whatsapp.net", "call:A") not in by, "a call stands twice")
    check(d("call:B")["event"] == "not-answered" and d("call:B")["value"] == "video" and d("call:B")["author"] == me, d("call:B"))
    check(d("D15")["kind"] == "event" and d("D15")["fields"]["whatsapp.type"] == 777, d("D15"))
    check(d("D16")["sent"] == "1969-12-31T00:00:00.000Z" and d("D17")["sent"] == "2100-01-01T00:00:00.000Z", d("D16"), d("D17"))
    check(d("D18")["fields"]["forwarded"] == 4, d("D18"))
    check(d("D19")["times"]["expires"] == "2025-01-04T00:00:00Z" and d("D19")["fields"]["timer-seconds"] == 86400, d("D19"))
    check(d("D20")["event"] == "number-changed" and d("D20")["fields"]["before"] == "31600000001@s.whatsapp.net"
          and d("D20")["fields"]["after"] == "31600000003@s.whatsapp.net", d("D20"))
    check(d("O1")["kind"] == "deletion" and d("O1")["target"] == "O-weg", d("O1"))
    check(g("G1")["event"] == "group-created" and g("G1")["author"] == anna, g("G1"))
    check(g("G2")["event"] == "member-added" and g("G2")["fields"]["member-001"] == "31600000002@s.whatsapp.net"
          and g("G2")["fields"]["member-002"] == "888000222@lid", g("G2"))
    check(g("G3")["event"] == "subject-changed" and g("G3")["fields"]["before"] == "Dijken" and g("G3")["text"] == "Projectgroep Dijken", g("G3"))
    check(g("G4")["event"] == "system" and g("G4")["fields"]["whatsapp.action"] == 4242, g("G4"))
    check(g("G5")["author"] == anna and g("G5")["fields"]["mention-001"] == "31600000002@s.whatsapp.net", g("G5"))
    check(g("G6")["kind"] == "poll" and g("G6")["options"] == ["maandag", "dinsdag"] and g("G6")["author"] == bram, g("G6"))
    check(g("V1")["kind"] == "vote" and g("V1")["target"] == "G6" and g("V1")["options"] == ["dinsdag"] and g("V1")["author"] == anna, g("V1"))
    check(g("V2")["options"] == ["maandag"] and g("V2")["author"] == me, g("V2"))
    check(g("R1")["kind"] == "reaction" and g("R1")["target"] == "G5" and g("R1")["value"] == "\u2764\ufe0f" and g("R1")["author"]["name"] == "Verborgen Vera", g("R1"))
    check(g("P1")["event"] == "message-pinned" and g("X1")["fields"]["whatsapp.add-on"] == 9999, g("X1"))
    check(g("G7")["kind"] == "deletion" and g("G7")["author"] == anna and g("G7")["target_author"] == bram and g("G7")["target"] == "G7-origineel", g("G7"))
    check(g("G8-bewerking")["kind"] == "edit" and g("G8-bewerking")["target"] == "G8" and g("G8-bewerking")["text"] == "de nieuwe woorden", g("G8-bewerking"))
    check(g("G9")["fields"]["whatsapp.album.image_count"] == 3, g("G9"))
    names = sorted(p.get("name", "") for p in g("G5")["conversation"]["participants"])
    check(names == ["Anna de Vries", "Bram", "Ikzelf", "Verborgen Vera"], names)
    timer = [r for r in recs if r["kind"] == "gap" and r.get("event") == "auto-delete-timer"]
    check(len(timer) == 1 and timer[0]["fields"]["timer-seconds"] == 604800 and "auto-delete-timer" in timer[0]["loss"], timer)
    same = {r["conversation"]["id"] for r in recs if r["conversation"].get("name") == "Projectgroep Dijken"}
    check(len(same) == 2, "two groups of one name became one", same)
    check(by[("888000222@lid", "H1")]["author"] == {"id": "888000222@lid", "name": "Verborgen Vera"}, by[("888000222@lid", "H1")])
    check(by[("chat-99", "W1")]["conversation"]["type"] == "unknown", "a conversation gone from the list")
    check(not any(r.get("id") == "S1" for r in recs), "a status is no conversation")


def main():
    with tempfile.TemporaryDirectory() as tmp:
        root = os.path.join(tmp, "WhatsApp")
        db = made.folder(root)
        before = state(root)
        code, lines, err = read(root, "number=+31612345678")
        check(code == 0 and err == "", code, err)
        recs, summary = lines[:-1], lines[-1]
        what_is_in_it(recs, True)
        check(summary["conversations"] == 5 and any("status" in s["what"] for s in summary["skipped"]), summary)
        check(state(root) == before, "the source's folder changed")
        code, lines, err = read(db)
        what_is_in_it(lines[:-1], False)
        plain = content(recs)

        data = open(db, "rb").read()
        files = {"key14": made.KEY_FILE_14, "key15": made.KEY_FILE_15, "digits": made.ROOT_KEY.hex().encode() + b"\n",
                 "spaced": b" ".join(made.ROOT_KEY.hex().encode()[i:i + 4] for i in range(0, 64, 4)), "wrong": bytes(range(32)).hex().encode()}
        for name, key in files.items():
            with open(os.path.join(tmp, name), "wb") as f:
                f.write(key)
        shapes = [("msgstore.db.crypt15", made.crypt15(data), "digits"), ("msgstore.db.crypt15", made.crypt15(data), "spaced"),
                  ("msgstore.db.crypt15", made.crypt15(data), "key15"), ("msgstore.db.crypt15", made.crypt15(data, md5=False), "digits"),
                  ("msgstore.db.crypt15", made.crypt15(data, zipped=True), "digits"), ("msgstore.db.crypt15", made.crypt15(data, features=False), "digits"),
                  ("msgstore.db.crypt14", made.crypt14(data), "key14"), ("msgstore.db.crypt12", made.crypt12(data), "key14")]
        os.unlink(db)
        for name, sealed, key in shapes:
            path = os.path.join(root, "Databases", name)
            with open(path, "wb") as f:
                f.write(sealed)
            code, lines, err = read(root, "number=+31612345678", "key=@" + os.path.join(tmp, key))
            check(code == 0 and content(lines[:-1]) == plain, name, key, code, err)
            for bad in ("wrong", "key15" if key == "key14" else "key14"):
                code, lines, err = read(root, "key=@" + os.path.join(tmp, bad))
                check(code == 1 and lines == [] and "key" in err, name, bad, code, err)
            code, lines, err = read(root)
            check(code == 1 and lines == [] and "--option key=@FILE" in err, name, code, err)
            for at in (len(sealed) // 2, len(sealed) - (30 if name.endswith("12") else 20)):  # sealed bytes, and the seal
                with open(path, "wb") as f:
                    f.write(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:])
                code, lines, err = read(root, "key=@" + os.path.join(tmp, key))
                check(code == 1 and lines == [] and "damaged" in err, "a flipped bit", name, at, code, err)
            for at in range(1024, len(sealed), max(1024, len(sealed) // 12 // 1024 * 1024)):
                with open(path, "wb") as f:
                    f.write(sealed[:at])
                code, lines, err = read(root, "key=@" + os.path.join(tmp, key))
                check(code == 1 and lines == [], "cut", name, at, code, err)
            os.unlink(path)

        old = os.path.join(tmp, "oud.db")
        made.legacy(old)
        code, lines, err = read(old)
        by = {r["id"]: r for r in lines[:-1]}
        check(code == 0 and set(by) == {"L1", "L2", "L3", "L4"}, code, err, lines)
        check(by["L2"]["target"] == "L1" and by["L2"]["quote"] == "oud bericht" and by["L2"]["conversation"]["name"] == "Oude groep", by["L2"])
        check(by["L3"]["kind"] == "event" and by["L4"]["kind"] == "deletion" and by["L1"]["author"]["number"] == "+31600000001", by)

        # damage in the middle: whatever page it hits, what the other pages hold is read and what is missing is told
        made.database(db, lambda c: [c.execute(
            "INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data,sort_id) VALUES(?,1,0,?,0,?,0,?,?)",
            (1000 + i, "M%d" % i, made.T0 + i, "bericht nummer %d " % i + "x" * 150, 1000 + i)) for i in range(2000)])
        whole = open(db, "rb").read()
        told = lost = 0
        for page in range(60, len(whole) // 4096 - 1, 9):
            with open(db, "wb") as f:
                f.write(whole[:page * 4096] + b"\xa5" * 4096 + whole[page * 4096 + 4096:])
            code, lines, err = read(db)
            got = sum(1 for r in lines if r.get("id", "").startswith("M"))
            gaps = sum(1 for r in lines if r.get("event") == "source-damaged")
            check(code == 0 and got > 1900 and (got == 2000 or gaps > 0), page, code, got, gaps, err)
            told += gaps > 0
            lost += got < 2000
        check(lost >= 3 and told >= lost, "no page of messages was hit", lost, told)
    print("eigen_whatsapp_android: %d checks" % reader.checks)


main()
