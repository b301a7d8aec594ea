#!/usr/bin/env python3
"""The workload of bench sources: the first N messages of the workload's texts, as every kind of source writes them.

sources.py TEXTS N DIR: telegram/ sms/ meta/ x/ linkedin/ snapchat/ slack/ matrix/ teams/ signal/ android/ ios/ imessage/ below DIR; and, for what is sealed, a
quarter of them as desktop/ backup/ archive/ threema/, and ios/ in a backup/ of the phone, open and encrypted.  Invented people, whole files; shares no code with the readers.
"""
import base64
import csv
import gzip
import json
import os
import sqlite3
import sys
import time
from xml.sax.saxutils import quoteattr

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support", "eigen"), os.path.join(HERE, "..", "conformance")]
import eigen_threema  # noqa: E402
import imessage  # noqa: E402
import signal_android  # noqa: E402
import signal_backup  # noqa: E402
import signal_desktop  # noqa: E402
import whatsapp_android  # noqa: E402
import whatsapp_ios  # noqa: E402

OWNER = 25401953
APPLE = 978307200  # 2001-01-01


def messages(path, n):
    with open(path, encoding="utf-8") as f:
        for i, line in zip(range(n), f):
            when, talk, who, text = line.rstrip("\n").split("\t")
            yield i, int(when), int(talk), int(who), text


def grouped(rows):
    talks = {}
    for r in rows:
        talks.setdefault(r[2], []).append(r)
    return talks


def out(root, name):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return open(path, "w", encoding="utf-8")


def iso(t):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t))


def telegram(talks, root):
    chats = [{"name": "chat-%d" % c, "type": "private_group", "id": c + 1,
              "messages": [{"id": i, "type": "message", "date": iso(t), "date_unixtime": str(t), "from": "Afzender %d" % w, "from_id": "user%d" % w, "text": x,
                            "text_entities": [{"type": "plain", "text": x}]} for i, t, c, w, x in rows]} for c, rows in talks.items()]
    with out(root, "telegram/result.json") as f:
        json.dump({"about": "", "chats": {"about": "", "list": chats}}, f, indent=1, ensure_ascii=False)


def sms(rows, root):
    with out(root, "sms/sms.xml") as f:
        f.write("<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\n<smses count=\"%d\">\n" % len(rows))
        for i, t, c, w, x in rows:
            f.write('  <sms protocol="0" address="+316%08d" date="%d" type="%d" subject="null" body=%s toa="null" sc_toa="null" service_center="null" read="1" status="-1" '
                    'locked="0" date_sent="%d" sub_id="1" readable_date="%s" contact_name="Naam %d" />\n' % (c, t * 1000, 1 + i % 2, quoteattr(x), t * 1000, iso(t), c))
        f.write("</smses>\n")


def mangled(s):
    return s.encode("utf-8").decode("latin-1")


def meta(talks, root):
    for c, rows in talks.items():
        people = sorted({r[3] for r in rows})
        m = [{"sender_name": "Afzender %d" % w, "timestamp_ms": t * 1000, "content": mangled(x), "is_geoblocked_for_viewer": False} for i, t, _, w, x in reversed(rows)]
        for part in range(0, len(m), 10000):
            with out(root, "meta/your_facebook_activity/messages/inbox/chat_%016d/message_%d.json" % (c, part // 10000 + 1)) as f:
                json.dump({"participants": [{"name": "Afzender %d" % w} for w in people], "messages": m[part:part + 10000], "title": "chat %d" % c, "is_still_participant": True,
                           "thread_path": "inbox/chat_%016d" % c, "magic_words": []}, f, indent=2)


def x_archive(talks, root):
    data = [{"dmConversation": {"conversationId": "%d-%d" % (c, OWNER), "messages": [
        {"messageCreate": {"recipientId": str(c), "reactions": [], "urls": [], "text": x, "mediaUrls": [], "senderId": str(w), "id": str(10 ** 17 + i), "createdAt": iso(t) + ".000Z",
                           "editHistory": []}} for i, t, _, w, x in reversed(rows)]}} for c, rows in talks.items()]
    with out(root, "x/data/direct-messages.js") as f:
        f.write("window.YTD.direct_messages.part0 = ")
        json.dump(data, f, indent=2, ensure_ascii=False)


def linkedin(talks, root):
    with out(root, "linkedin/messages.csv") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["CONVERSATION ID", "CONVERSATION TITLE", "FROM", "SENDER PROFILE URL", "TO", "RECIPIENT PROFILE URLS", "DATE", "SUBJECT", "CONTENT", "FOLDER", "ATTACHMENTS",
                    "IS MESSAGE DRAFT", "IS CONVERSATION DRAFT"])
        for c, rows in talks.items():
            talk = "2-" + base64.b64encode(b"gesprek %010d" % c).decode()
            for i, t, _, who, x in reversed(rows):
                w.writerow([talk, "", "Afzender %d" % who, "https://www.linkedin.com/in/afzender-%d" % who, "Eigenaar", "https://www.linkedin.com/in/eigenaar",
                            iso(t).replace("T", " ") + " UTC", "", x, "INBOX", "", "No", "No"])


def snapchat(talks, root):
    data = {"naam%d" % c: [{"From": "afzender%d" % w, "Media Type": "TEXT", "Created": iso(t).replace("T", " ") + " UTC", "Content": x.replace("&", "&amp;"), "Conversation Title": None,
                           "IsSender": False, "Created(microseconds)": t * 1000 + 1, "IsSaved": True, "Media IDs": ""} for i, t, _, w, x in reversed(rows)] for c, rows in talks.items()}
    with out(root, "snapchat/json/chat_history.json") as f:
        json.dump(data, f, indent=2, ensure_ascii=False)


def slack(talks, root):
    """A workspace: users, channels, a file a channel and day."""
    def put(name, value):
        with out(root, "slack/" + name) as f:
            json.dump(value, f, indent=4, ensure_ascii=False)
    people = sorted({r[3] for rows in talks.values() for r in rows})
    put("users.json", [{"id": "U%08d" % w, "team_id": "T00000001", "name": "afzender%d" % w, "deleted": False, "profile": {"real_name": "Afzender %d" % w}} for w in people])
    put("channels.json", [{"id": "C%08d" % c, "name": "kanaal-%d" % c, "created": 1600000000, "creator": "U%08d" % rows[0][3], "is_archived": False,
                           "members": sorted({"U%08d" % r[3] for r in rows})} for c, rows in talks.items()])
    for c, rows in talks.items():
        days = {}
        for r in rows: days.setdefault(iso(r[1])[:7], []).append(r)
        for day, of_it in days.items():
            put("kanaal-%d/%s-01.json" % (c, day), [{"client_msg_id": "00000000-0000-4000-8000-%012d" % i, "type": "message", "user": "U%08d" % w, "text": x.replace("&", "&amp;"),
                                                     "ts": "%d.%06d" % (t, i), "team": "T00000001"} for i, t, _, w, x in of_it])


def matrix(rows, root):
    """One room as Element exports it."""
    with out(root, "matrix/export.json") as f:
        json.dump({"room_name": "kamer", "room_creator": "@afzender%d:voorbeeld.nl" % rows[0][3], "topic": "", "export_date": "01-01-2026", "exported_by": "@eigenaar:voorbeeld.nl",
                   "messages": [{"type": "m.room.message", "sender": "@afzender%d:voorbeeld.nl" % w, "content": {"msgtype": "m.text", "body": x}, "origin_server_ts": t * 1000,
                                 "event_id": "$%043d" % i, "room_id": "!kamer:voorbeeld.nl", "unsigned": {"age": 1000}} for i, t, _, w, x in rows]}, f, indent=4, ensure_ascii=False)


def teams(rows, root):
    """Pages of Microsoft Graph, chats mixed in each."""
    for page in range(0, len(rows), 20000):
        with out(root, "teams/page-%04d.json" % (page // 20000)) as f:
            json.dump({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(chatMessage)", "value": [
                {"id": str(t * 1000 + i % 1000), "replyToId": None, "etag": str(t * 1000), "messageType": "message", "createdDateTime": iso(t) + ".%03dZ" % (i % 1000),
                 "lastModifiedDateTime": iso(t) + "Z", "lastEditedDateTime": None, "deletedDateTime": None, "subject": None, "summary": None, "chatId": "19:%032d@thread.v2" % c,
                 "importance": "normal", "locale": "nl-nl", "from": {"application": None, "device": None, "user": {"id": "00000000-0000-4000-8000-%012d" % w,
                                                                                                                   "displayName": "Afzender %d" % w, "userIdentityType": "aadUser"}},
                 "body": {"contentType": "text", "content": x}, "attachments": [], "mentions": [], "reactions": []} for i, t, c, w, x in rows[page:page + 20000]]}, f,
                indent=2, ensure_ascii=False)


def signal(rows, root):
    uuid = lambda n: base64.b64encode(b"\xe1\xe1\xe1\xe1\x00\x00@\x00\x80\x00" + n.to_bytes(6, "big")).decode()
    with out(root, "signal/main.jsonl") as f:
        put = lambda o: f.write(json.dumps(o, ensure_ascii=False, separators=(",", ":")) + "\n")
        put({"version": "1", "backupTimeMs": "1800000000000", "mediaRootBackupKey": base64.b64encode(bytes(32)).decode(), "currentAppVersion": "Verzonnen Signal 8.11"})
        put({"account": {"profileKey": base64.b64encode(b"p" * 32).decode(), "givenName": "Eigenaar", "familyName": "", "accountSettings": {}}})
        put({"recipient": {"id": "1", "self": {}}})
        put({"recipient": {"id": "2", "releaseNotes": {}}})
        talks = sorted({r[2] for r in rows})
        for k, c in enumerate(talks):
            put({"recipient": {"id": str(k + 3), "contact": {"aci": uuid(c + 1), "e164": str(31600000000 + c), "profileGivenName": "Naam %d" % c}}})
        for k, c in enumerate(talks): put({"chat": {"id": str(k + 1), "recipientId": str(k + 3)}})
        chat = {c: k + 1 for k, c in enumerate(talks)}
        for i, t, c, w, x in rows:
            own = i % 2 == 0
            way = {"outgoing": {"sendStatus": [{"recipientId": str(chat[c] + 2), "timestamp": str(t * 1000), "read": {"sealedSender": True}}]}} if own else \
                  {"incoming": {"dateReceived": str(t * 1000 + 500), "read": True, "sealedSender": True}}
            put({"chatItem": {"chatId": str(chat[c]), "authorId": "1" if own else str(chat[c] + 2), "dateSent": str(t * 1000 + i % 1000), **way, "standardMessage": {"text": {"body": x}}}})
    with out(root, "signal/metadata.json") as f: f.write('{"version":1}')


def database(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path): os.unlink(path)
    return path


def android(rows, root):
    db = sqlite3.connect(database(root + "/android/msgstore.db"))
    db.executescript(whatsapp_android.SCHEMA)
    talks = sorted({r[2] for r in rows})
    db.execute("INSERT INTO jid(_id,user,server,raw_string) VALUES(1,'status','broadcast','status@broadcast')")
    for k, c in enumerate(talks):
        number = str(31600000000 + c)
        db.execute("INSERT INTO jid(_id,user,server,raw_string) VALUES(?,?,'s.whatsapp.net',?)", (k + 2, number, number + "@s.whatsapp.net"))
        db.execute("INSERT INTO chat(_id,jid_row_id) VALUES(?,?)", (k + 1, k + 2))
    chat = {c: k + 1 for k, c in enumerate(talks)}
    db.executemany("INSERT INTO message(_id,chat_row_id,from_me,key_id,sender_jid_row_id,status,timestamp,received_timestamp,receipt_server_timestamp,message_type,text_data,sort_id) "
                   "VALUES(?,?,?,?,0,0,?,?,-1,0,?,?)", ((i + 2, chat[c], i % 2, "3EB0%016X" % i, t * 1000, t * 1000 + 500, x, i + 2) for i, t, c, w, x in rows))
    db.commit()
    db.close()


def ios(rows, root):
    db = sqlite3.connect(database(root + "/ios/ChatStorage.sqlite"))
    db.executescript(whatsapp_ios.SCHEMA)
    chat = {c: k + 1 for k, c in enumerate(sorted({r[2] for r in rows}))}
    jid = lambda c: "%d@s.whatsapp.net" % (31600000000 + c)
    db.executemany("INSERT INTO ZWACHATSESSION VALUES(?,0,0,?,?)", ((k, jid(c), "Naam %d" % c) for c, k in chat.items()))
    db.executemany("INSERT INTO ZWAMESSAGE VALUES(?,0,?,0,?,?,NULL,NULL,NULL,?,?,?,?,?,?)", (
        (i + 1, i % 2, i + 1, chat[c], t - APPLE, t - APPLE + 1, None if i % 2 else jid(c), jid(c) if i % 2 else whatsapp_ios.ME, "3A%018X" % i, x) for i, t, c, w, x in rows))
    db.commit()
    db.close()


def apple_messages(rows, root):
    m = imessage.Messages(database(root + "/imessage/sms.db"), "ios18", "~/Library/SMS")
    m.db.execute("BEGIN")  # it commits each row by itself otherwise
    number = lambda c: "+316%08d" % c
    chat = {c: m.chat("iMessage;-;" + number(c), 45, number(c), "iMessage", [number(c)]) for c in sorted({r[2] for r in rows})}
    for i, t, c, w, x in rows: m.message(chat[c], t - 1760000000, None if i % 2 else number(c), attributedBody=imessage.text(x))
    m.db.execute("COMMIT")
    m.db.close()


OWNER_ACI = "e1e1e1e1-0000-4000-8000-000000000001"


def frames(rows):
    """Signal's frames, as all of its forms but the export want them."""
    uuid = lambda n: base64.b64encode(b"\xe1\xe1\xe1\xe1\x00\x00@\x00\x80\x00" + n.to_bytes(6, "big")).decode()
    talks = sorted({r[2] for r in rows})
    chat = {c: str(k + 1) for k, c in enumerate(talks)}
    yield {"version": "1", "backupTimeMs": "1800000000000", "mediaRootBackupKey": base64.b64encode(bytes(32)).decode(), "currentAppVersion": "Verzonnen Signal 8.11"}
    yield {"account": {"profileKey": base64.b64encode(b"p" * 32).decode(), "givenName": "Eigenaar", "familyName": ""}}
    yield {"recipient": {"id": "1", "self": {}}}
    for c in talks: yield {"recipient": {"id": str(int(chat[c]) + 2), "contact": {"aci": uuid(c + 100), "e164": str(31600000000 + c), "profileGivenName": "Naam %d" % c}}}
    for c in talks: yield {"chat": {"id": chat[c], "recipientId": str(int(chat[c]) + 2)}}
    for i, t, c, w, x in rows:
        who, at = str(int(chat[c]) + 2), t * 1000 + i % 1000
        way = {"outgoing": {"dateReceived": str(at), "sendStatus": [{"recipientId": who, "timestamp": str(at), "read": {"sealedSender": True}}]}} if i % 2 == 0 else \
              {"incoming": {"dateReceived": str(at + 500), "dateServerSent": str(at + 100), "read": True, "sealedSender": True}}
        yield {"chatItem": {"chatId": chat[c], "authorId": "1" if i % 2 == 0 else who, "dateSent": str(at), **way, "standardMessage": {"text": {"body": x}}}}


def sealed(rows, root):
    os.environ.update(EIGEN_KEY="eigen7w0" * 8, EIGEN_ACI=OWNER_ACI)
    everything = list(frames(rows))
    signal_desktop.make(everything, root + "/desktop", 1360, bytes(range(32)), root)
    os.makedirs(root + "/backup")
    signal_android.make(everything, root + "/backup/signal-2026-01-01-00-00-00.backup", 230, 1, root)
    signal_backup.archive(everything, root + "/archive", None)
    plain = signal_backup.encode(everything)
    with open(root + "/archive/plain.binproto", "wb") as f: f.write(plain)
    with open(root + "/archive/SignalBackups/signal-backup-2025-10-09-12-00-00/main.gz", "wb") as f: f.write(gzip.compress(plain, 6))
    m = lambda r: {"apiid": "%016x" % r[0], "uid": "uid-%d" % r[0], "isoutbox": r[0] % 2, "isread": 1, "issaved": 1, "messagestae": "READ", "posted_at": r[1] * 1000, "created_at": r[1] * 1000,
                   "modified_at": r[1] * 1000, "type": "TEXT", "body": r[4], "isstatusmessage": 0}
    talks = sorted(grouped((i, t, c % 100, w, x) for i, t, c, w, x in rows).items())  # an openssl each: 100 chats
    people = [{"identity": "NR%06d" % c, "publickey": "00", "verification": "UNVERIFIED", "nick_name": "Naam %d" % c, "identity_id": "c%d" % c} for c, _ in talks]
    files = [("settings", b'"version"\n"29"\n'), ("contacts.csv", eigen_threema.table("identity publickey verification nick_name identity_id".split(), people))]
    files += [("message_c%d.csv" % c, eigen_threema.table(eigen_threema.HEAD, [m(r) for r in of_it])) for c, of_it in talks]
    os.makedirs(root + "/threema/open")
    eigen_threema.write_zip(root + "/threema/threema-backup_MYSELF00_1773309600000_1.zip", files)
    for name, data in files:
        with open(root + "/threema/open/" + name, "wb") as f: f.write(data)
    whatsapp_ios.backup(root + "/ios", root + "/phone/open")
    whatsapp_ios.backup(root + "/ios", root + "/phone/sealed", password="wachtwoord")


def main():
    rows = list(messages(sys.argv[1], int(sys.argv[2])))
    root, talks = sys.argv[3], grouped(rows)
    telegram(talks, root)
    sms(rows, root)
    meta(talks, root)
    x_archive(talks, root)
    linkedin(talks, root)
    snapchat(talks, root)
    slack(talks, root)
    matrix(rows, root)
    teams(rows, root)
    signal(rows, root)
    android(rows, root)
    ios(rows, root)
    apple_messages(rows, root)
    sealed(rows[:len(rows) // 4], root)


if __name__ == "__main__": main()
