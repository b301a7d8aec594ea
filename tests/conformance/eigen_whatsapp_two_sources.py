#!/usr/bin/env python3
"""eigen: one group read from the iPhone's database, from Android's and from a text export of it: who said what when is the same in all three.

eigen_whatsapp_two_sources.py AGENT.  Promise: conversation (id between databases, name beside the text), author (number, or the name where the text has
no more), text and time (to the text's second) agree record by record, so that sightings can be told to be of one message.
"""
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "eigen"))
import whatsapp_android as android  # noqa: E402
import whatsapp_ios as ios  # noqa: E402

AGENT = sys.argv[1]
SAID = [("Anna de Vries", "Wie heeft de nota?"), ("+31 6 00000044", "Ik, hij komt zo \U0001f4c4"), ("Anna de Vries", "Dank\nen tot morgen"), (None, "Tot morgen")]
JIDS = {"Anna de Vries": ios.ANNA, "+31 6 00000044": "31600000044@s.whatsapp.net"}


def read(kind, path, *options):
    args = [AGENT, "read", kind, path, "--json"]
    for o in options:
        args += ["--option", o]
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 0, p.stderr
    return [r for r in map(json.loads, p.stdout.splitlines()) if r["kind"] == "message" and r["conversation"].get("name") == "Dijkgroep"]


def at(i):
    return 1735729200 + i * 61  # 2025-01-01 12:00 in Amsterdam


def phone(c):
    c.execute("INSERT INTO ZWACHATSESSION VALUES(50,1,0,'120363000000000050@g.us','Dijkgroep')")
    c.execute("INSERT INTO ZWAGROUPMEMBER VALUES(50,1,0,50,NULL,?)", (ios.ANNA,))
    c.execute("INSERT INTO ZWAGROUPMEMBER VALUES(51,1,0,50,NULL,'31600000044@s.whatsapp.net')")
    for i, (who, text) in enumerate(SAID):
        member = {"Anna de Vries": 50, "+31 6 00000044": 51, None: None}[who]
        c.execute("INSERT INTO ZWAMESSAGE(Z_PK,ZISFROMME,ZMESSAGETYPE,ZSORT,ZCHATSESSION,ZGROUPMEMBER,ZMESSAGEDATE,ZFROMJID,ZTOJID,ZSTANZAID,ZTEXT) "
                  "VALUES(?,?,0,?,50,?,?,'120363000000000050@g.us',?,?,?)",
                  (500 + i, who is None, 500 + i, member, at(i) - ios.APPLE + 0.4, ios.ME, "STANZA%02d" % i, text))


def other_phone(c):
    c.execute("INSERT INTO jid(_id,user,server,raw_string) VALUES(60,'120363000000000050','g.us','120363000000000050@g.us')")
    c.execute("INSERT INTO jid(_id,user,server,raw_string) VALUES(61,'31600000044','s.whatsapp.net','31600000044@s.whatsapp.net')")
    c.execute("INSERT INTO chat(_id,jid_row_id,subject) VALUES(60,60,'Dijkgroep')")
    for i, (who, text) in enumerate(SAID):
        sender = {"Anna de Vries": 1, "+31 6 00000044": 61, None: 0}[who]
        c.execute("INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,timestamp,message_type,text_data,sort_id) VALUES(?,60,?,?,?,?,0,?,?)",
                  (900 + i, who is None, "STANZA%02d" % i, sender, at(i) * 1000 + 400, text, 900 + i))


def identity(r, i):
    a = r["author"]
    return a.get("number") or a["name"]


with tempfile.TemporaryDirectory() as tmp:
    ios.folder(os.path.join(tmp, "ios"), phone)
    db = os.path.join(tmp, "msgstore.db")
    android.database(db, other_phone)
    android.contacts(os.path.join(tmp, "wa.db"))
    text = os.path.join(tmp, "WhatsApp-chat met Dijkgroep.txt")
    with open(text, "w", encoding="utf-8", newline="") as f:
        for i, (who, said) in enumerate(SAID):
            local = datetime.fromtimestamp(at(i), timezone.utc) + timedelta(hours=1)
            f.write("[%s] %s: %s\r\n" % (local.strftime("%d-%m-%Y %H:%M:%S"), who or "Joris", said))
    a, b = read("whatsapp-ios", os.path.join(tmp, "ios")), read("whatsapp-android", db, "number=+31612345678")
    t = read("whatsapp-text", text, "zone=Europe/Amsterdam", "self=Joris", "date-order=dmy")
    assert len(a) == len(b) == len(t) == len(SAID), (len(a), len(b), len(t))
    checks = 0
    for i, (x, y, z) in enumerate(zip(a, b, t)):
        assert x["id"] == y["id"] and x["conversation"]["id"] == y["conversation"]["id"] and x["sent"] == y["sent"] and x["text"] == y["text"], (x, y)
        assert x["author"]["id"] == y["author"]["id"] and x["author"].get("number") == y["author"].get("number"), (x["author"], y["author"])
        assert z["text"] == x["text"] and z["conversation"]["name"] == x["conversation"]["name"], (x, z)
        when = lambda r: datetime.fromisoformat(r["sent"].replace("Z", "+00:00"))
        assert abs((when(x) - when(z)).total_seconds()) <= 1, (x["sent"], z["sent"])
        if SAID[i][0] is not None:
            assert z["author"].get("number", z["author"].get("name")) in (x["author"].get("number"), x["author"].get("name")), (x["author"], z["author"])
        checks += 4
print("eigen_whatsapp_two_sources: %d records, %d checks" % (len(a), checks))
