"""A phone's folder WhatsApp as it is since 2024, made from the format's facts alone (schema as backups have it: no indexes).  Ours: "eigen"."""
import base64
import hashlib
import os
import sqlite3
import struct
import zipfile
import zlib
import io

import aes

T0 = 1735689600000  # 2025-01-01T00:00:00Z
ROOT_KEY = bytes(range(100, 132))
SALT, GOOGLE_ID, KEY14 = bytes(range(32)), bytes(range(50, 66)), bytes(range(200, 232))

SCHEMA = """
CREATE TABLE props(_id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, value TEXT);
CREATE TABLE jid(_id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, server TEXT NOT NULL, agent INTEGER, device INTEGER, type INTEGER, raw_string TEXT);
CREATE TABLE jid_map(lid_row_id INTEGER PRIMARY KEY NOT NULL, jid_row_id INTEGER NOT NULL, sort_id INTEGER);
CREATE TABLE lid_display_name(lid_row_id INTEGER PRIMARY KEY NOT NULL, display_name TEXT NOT NULL, username TEXT);
CREATE TABLE chat(_id INTEGER PRIMARY KEY AUTOINCREMENT, jid_row_id INTEGER UNIQUE, hidden INTEGER, subject TEXT, created_timestamp INTEGER, ephemeral_expiration INTEGER, ephemeral_setting_timestamp INTEGER, group_type INTEGER);
CREATE TABLE message(_id INTEGER PRIMARY KEY AUTOINCREMENT, chat_row_id INTEGER NOT NULL, from_me INTEGER NOT NULL, key_id TEXT NOT NULL, sender_jid_row_id INTEGER, status INTEGER, origination_flags INTEGER, origin INTEGER, timestamp INTEGER, received_timestamp INTEGER, receipt_server_timestamp INTEGER, message_type INTEGER, text_data TEXT, starred INTEGER, sort_id INTEGER NOT NULL DEFAULT 0, translated_text TEXT, server_sts INTEGER);
CREATE TABLE message_media(message_row_id INTEGER PRIMARY KEY, chat_row_id INTEGER, file_path TEXT, file_size INTEGER, file_length INTEGER, mime_type TEXT, media_name TEXT, media_caption TEXT, file_hash TEXT, media_duration INTEGER, media_key BLOB, width INTEGER, height INTEGER);
CREATE TABLE message_quoted(message_row_id INTEGER PRIMARY KEY AUTOINCREMENT, chat_row_id INTEGER NOT NULL, parent_message_chat_row_id INTEGER NOT NULL, from_me INTEGER NOT NULL, sender_jid_row_id INTEGER, key_id TEXT NOT NULL, timestamp INTEGER, message_type INTEGER, text_data TEXT);
CREATE TABLE message_add_on(_id INTEGER PRIMARY KEY AUTOINCREMENT, chat_row_id INTEGER, from_me INTEGER, key_id TEXT NOT NULL, sender_jid_row_id INTEGER, parent_message_row_id INTEGER, timestamp INTEGER, status INTEGER, message_add_on_type INTEGER);
CREATE TABLE message_add_on_reaction(message_add_on_row_id INTEGER PRIMARY KEY, reaction TEXT, sender_timestamp INTEGER);
CREATE TABLE message_add_on_poll_vote(message_add_on_row_id INTEGER PRIMARY KEY, sender_timestamp INTEGER);
CREATE TABLE message_add_on_poll_vote_selected_option(_id INTEGER PRIMARY KEY AUTOINCREMENT, message_add_on_row_id INTEGER, message_poll_option_id INTEGER);
CREATE TABLE message_poll(message_row_id INTEGER PRIMARY KEY, enc_key BLOB, selectable_options_count INTEGER, end_time INTEGER);
CREATE TABLE message_poll_option(_id INTEGER PRIMARY KEY AUTOINCREMENT, message_row_id INTEGER, option_sha256 TEXT, option_name TEXT, vote_total INTEGER);
CREATE TABLE message_edit_info(message_row_id INTEGER PRIMARY KEY, original_key_id TEXT NOT NULL, edited_timestamp INTEGER NOT NULL, sender_timestamp INTEGER NOT NULL);
CREATE TABLE message_revoked(message_row_id INTEGER PRIMARY KEY, revoked_key_id TEXT NOT NULL, admin_jid_row_id INTEGER, revoke_timestamp INTEGER);
CREATE TABLE message_orphaned_edit(_id INTEGER PRIMARY KEY, key_id TEXT NOT NULL, from_me INTEGER NOT NULL, chat_row_id INTEGER NOT NULL, sender_jid_row_id INTEGER NOT NULL DEFAULT 0, timestamp INTEGER, message_type INTEGER NOT NULL, revoked_key_id TEXT);
CREATE TABLE message_system(message_row_id INTEGER PRIMARY KEY, action_type INTEGER NOT NULL);
CREATE TABLE message_system_chat_participant(message_row_id INTEGER, user_jid_row_id INTEGER);
CREATE TABLE message_system_value_change(message_row_id INTEGER PRIMARY KEY, old_data TEXT);
CREATE TABLE message_system_number_change(message_row_id INTEGER PRIMARY KEY, old_jid_row_id INTEGER, new_jid_row_id INTEGER);
CREATE TABLE message_system_block_contact(message_row_id INTEGER PRIMARY KEY, is_blocked INTEGER);
CREATE TABLE message_ephemeral(message_row_id INTEGER PRIMARY KEY, duration INTEGER NOT NULL, expire_timestamp INTEGER NOT NULL);
CREATE TABLE message_view_once_media(message_row_id INTEGER PRIMARY KEY, state INTEGER NOT NULL);
CREATE TABLE message_location(message_row_id INTEGER PRIMARY KEY, latitude REAL, longitude REAL, place_name TEXT, place_address TEXT, url TEXT, live_location_share_duration INTEGER);
CREATE TABLE message_vcard(_id INTEGER PRIMARY KEY AUTOINCREMENT, message_row_id INTEGER, vcard TEXT);
CREATE TABLE message_mentions(_id INTEGER PRIMARY KEY AUTOINCREMENT, message_row_id INTEGER, jid_row_id INTEGER);
CREATE TABLE message_forwarded(message_row_id INTEGER PRIMARY KEY, forward_score INTEGER);
CREATE TABLE message_album(message_row_id INTEGER PRIMARY KEY, image_count INTEGER, video_count INTEGER);
CREATE TABLE call_log(_id INTEGER PRIMARY KEY AUTOINCREMENT, jid_row_id INTEGER, from_me INTEGER, call_id TEXT, transaction_id INTEGER, timestamp INTEGER, video_call INTEGER, duration INTEGER, call_result INTEGER, group_jid_row_id INTEGER NOT NULL DEFAULT 0);
CREATE TABLE message_call_log(message_row_id INTEGER PRIMARY KEY, call_log_row_id INTEGER);
CREATE TABLE missed_call_logs(_id INTEGER PRIMARY KEY AUTOINCREMENT, message_row_id INTEGER, timestamp INTEGER, video_call INTEGER);
CREATE TABLE group_participant_user(_id INTEGER PRIMARY KEY AUTOINCREMENT, group_jid_row_id INTEGER NOT NULL, user_jid_row_id INTEGER NOT NULL, rank INTEGER, pending INTEGER);
"""

PHOTO = b"\xff\xd8\xff\xe0 een foto van eigen makelij" * 40
MOVED = b"%PDF-1.4 verplaatst stuk" * 30


def b64sha(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def fill(db):
    """Everything a conversation may hold, once; returns nothing: the tests know what is in here."""
    x = db.execute
    jids = [("31600000001", "s.whatsapp.net"), ("31600000002", "s.whatsapp.net"), ("777000111", "lid"), ("888000222", "lid"),
            ("120363000000000001", "g.us"), ("status", "broadcast"), ("31600000003", "s.whatsapp.net"), ("120363000000000002", "g.us"),
            ("31600000001", "s.whatsapp.net")]
    for i, (u, s) in enumerate(jids, 1):
        device = ":12" if i == 9 else ""
        x("INSERT INTO jid(_id,user,server,raw_string) VALUES(?,?,?,?)", (i, u, s, u + device + "@" + s))
    x("INSERT INTO jid_map VALUES(3, 2, 1)")                      # 777000111@lid is +31600000002
    x("INSERT INTO lid_display_name VALUES(4, 'Verborgen Vera', NULL)")
    x("INSERT INTO props(key,value) VALUES('user_push_name','Ikzelf')")
    x("INSERT INTO chat(_id,jid_row_id) VALUES(1,1)")
    x("INSERT INTO chat(_id,jid_row_id,subject,ephemeral_expiration,ephemeral_setting_timestamp) VALUES(2,5,'Projectgroep Dijken',604800,?)", (T0 // 1000,))
    x("INSERT INTO chat(_id,jid_row_id) VALUES(3,6)")
    x("INSERT INTO chat(_id,jid_row_id) VALUES(4,4)")
    x("INSERT INTO chat(_id,jid_row_id,subject) VALUES(5,8,'Projectgroep Dijken')")  # another group of the same name
    for user in (1, 3, 4):
        x("INSERT INTO group_participant_user(group_jid_row_id,user_jid_row_id,rank) VALUES(5,?,0)", (user,))
    x("INSERT INTO message(_id,chat_row_id,from_me,key_id) VALUES(1,-1,0,'-1')")
    n = [1]

    def m(chat, key, kind, text=None, me=0, sender=0, **more):
        n[0] += 1
        row = {"_id": n[0], "chat_row_id": chat, "from_me": me, "key_id": key, "sender_jid_row_id": sender, "timestamp": T0 + n[0] * 60000,
               "received_timestamp": T0 + n[0] * 60000 + 500, "receipt_server_timestamp": -1, "message_type": kind, "text_data": text, "sort_id": n[0]}
        row.update(more)
        x("INSERT INTO message(%s) VALUES(%s)" % (",".join(row), ",".join("?" * len(row))), list(row.values()))
        return n[0]

    # a direct conversation
    m(1, "D1", 0, "Goedemorgen, is de vergunning al rond?")
    m(1, "D2", 0, "Nee, morgen. \U0001f44d", me=1)
    r = m(1, "D3", 1, "bijschrift bij de foto")
    x("INSERT INTO message_media(message_row_id,file_path,file_length,mime_type,file_hash) VALUES(?,?,?,?,?)",
      (r, "Media/WhatsApp Images/IMG-20250101-WA0001.jpg", len(PHOTO), "image/jpeg", b64sha(PHOTO)))
    r = m(1, "D4", 9, None, me=1)
    x("INSERT INTO message_media(message_row_id,file_path,file_length,mime_type,media_name,media_caption,file_hash) VALUES(?,?,?,?,?,?,?)",
      (r, "Media/WhatsApp Documents/Sent/stuk.pdf", len(MOVED), "application/pdf", "stuk.pdf", "het stuk", b64sha(MOVED)))
    r = m(1, "D5", 3)
    x("INSERT INTO message_media(message_row_id,file_path,file_length,mime_type,media_duration,file_hash) VALUES(?,?,?,?,?,?)",
      (r, "Media/WhatsApp Video/weg.mp4", 1234, "video/mp4", 12, b64sha(b"weg")))
    r = m(1, "D6", 0, "antwoord hierop", me=1)
    x("INSERT INTO message_quoted(message_row_id,chat_row_id,parent_message_chat_row_id,from_me,sender_jid_row_id,key_id,timestamp,message_type,text_data) VALUES(?,1,1,0,1,'D1',?,0,?)",
      (r, T0 + 120000, "Goedemorgen, is de vergunning al rond?"))
    r = m(1, "D7", 0, "de verbeterde tekst")
    x("INSERT INTO message_edit_info VALUES(?,'D7',?,?)", (r, T0 + 9000000, T0 + 9000000))
    r = m(1, "D8", 15)
    x("INSERT INTO message_revoked VALUES(?,'D8-origineel',NULL,?)", (r, T0 + 9100000))
    r = m(1, "D9", 5)
    x("INSERT INTO message_location VALUES(?,52.0786,4.3128,'Binnenhof','Den Haag',NULL,0)", (r,))
    r = m(1, "D10", 4)
    x("INSERT INTO message_vcard(message_row_id,vcard) VALUES(?,?)", (r, "BEGIN:VCARD\nFN:Karel\nEND:VCARD"))
    r = m(1, "D11", 42)
    x("INSERT INTO message_view_once_media VALUES(?,1)", (r,))
    x("INSERT INTO message_media(message_row_id,mime_type) VALUES(?,'image/jpeg')", (r,))
    m(1, "D12", 11)
    r = m(1, "D13", 10)
    x("INSERT INTO missed_call_logs(message_row_id,timestamp,video_call) VALUES(?,?,1)", (r, T0))
    r = m(1, "D14", 90)
    x("INSERT INTO call_log(_id,jid_row_id,from_me,call_id,timestamp,video_call,duration,call_result) VALUES(1,1,0,'call:A',?,0,65,5)", (T0 + 1,))
    x("INSERT INTO message_call_log VALUES(?,1)", (r,))
    x("INSERT INTO call_log(_id,jid_row_id,from_me,call_id,timestamp,video_call,duration,call_result) VALUES(2,1,1,'call:B',?,1,0,2)", (T0 + 2,))
    m(1, "D15", 777)
    m(1, "D16", 0, "van voor 1970", timestamp=-86400000)
    m(1, "D17", 0, "van na 2038", timestamp=4102444800000)
    r = m(1, "D18", 0, "doorgestuurd", origination_flags=1)
    x("INSERT INTO message_forwarded VALUES(?,4)", (r,))
    r = m(1, "D19", 0, "verdwijnt")
    x("INSERT INTO message_ephemeral VALUES(?,86400,?)", (r, T0 + 86400000 * 3))
    r = m(1, "D20", 7)
    x("INSERT INTO message_system VALUES(?,10)", (r,))
    x("INSERT INTO message_system_number_change VALUES(?,1,7)", (r,))
    x("INSERT INTO message_orphaned_edit(key_id,from_me,chat_row_id,sender_jid_row_id,timestamp,message_type,revoked_key_id) VALUES('O1',0,1,1,?,15,'O-weg')",
      (T0 + 5,))
    # a group
    r = m(2, "G1", 7, "Projectgroep Dijken", sender=1)
    x("INSERT INTO message_system VALUES(?,11)", (r,))
    r = m(2, "G2", 7, sender=1)
    x("INSERT INTO message_system VALUES(?,12)", (r,))
    x("INSERT INTO message_system_chat_participant VALUES(?,3)", (r,))
    x("INSERT INTO message_system_chat_participant VALUES(?,4)", (r,))
    r = m(2, "G3", 7, "Projectgroep Dijken", sender=1)
    x("INSERT INTO message_system VALUES(?,1)", (r,))
    x("INSERT INTO message_system_value_change VALUES(?,'Dijken')", (r,))
    r = m(2, "G4", 7, sender=1)
    x("INSERT INTO message_system VALUES(?,4242)", (r,))
    g5 = m(2, "G5", 0, "Allen, let op @777000111", sender=9)
    x("INSERT INTO message_mentions(message_row_id,jid_row_id) VALUES(?,3)", (g5,))
    g6 = m(2, "G6", 66, "Wanneer vergaderen?", sender=3)
    x("INSERT INTO message_poll VALUES(?,NULL,1,0)", (g6,))
    for i, (name, votes) in enumerate((("maandag", 1), ("dinsdag", 1)), 1):
        x("INSERT INTO message_poll_option VALUES(?,?,NULL,?,?)", (i, g6, name, votes))

    def addon(key, parent, kind, sender, me=0):
        return x("INSERT INTO message_add_on(chat_row_id,from_me,key_id,sender_jid_row_id,parent_message_row_id,timestamp,message_add_on_type) VALUES(2,?,?,?,?,?,?)",
                 (me, key, sender, parent, T0 + 7200000, kind)).lastrowid

    a = addon("V1", g6, 67, 1)
    x("INSERT INTO message_add_on_poll_vote VALUES(?,?)", (a, T0 + 7200001))
    x("INSERT INTO message_add_on_poll_vote_selected_option(message_add_on_row_id,message_poll_option_id) VALUES(?,2)", (a,))
    a = addon("V2", g6, 67, 0, me=1)
    x("INSERT INTO message_add_on_poll_vote VALUES(?,?)", (a, T0 + 7200002))
    x("INSERT INTO message_add_on_poll_vote_selected_option(message_add_on_row_id,message_poll_option_id) VALUES(?,1)", (a,))
    a = addon("R1", g5, 56, 4)
    x("INSERT INTO message_add_on_reaction VALUES(?,?,?)", (a, "\u2764\ufe0f", T0 + 7200003))
    addon("P1", g5, 79, 1)
    addon("X1", g5, 9999, 1)
    r = m(2, "G7", 64, sender=3)
    x("INSERT INTO message_revoked VALUES(?,'G7-origineel',1,?)", (r, T0 + 9200000))
    r = m(2, "G8-bewerking", 0, "de nieuwe woorden", sender=3)
    x("INSERT INTO message_edit_info VALUES(?,'G8',?,?)", (r, T0 + 9300000, T0 + 9300000))
    r = m(2, "G9", 99, sender=1)
    x("INSERT INTO message_album VALUES(?,3,1)", (r,))
    # statuses, a hidden person, a second group of one name, a conversation that is gone from the list
    m(3, "S1", 0, "een status")
    m(4, "H1", 0, "ik ben verborgen")
    m(5, "K1", 0, "andere groep", sender=7)
    m(99, "W1", 0, "uit een gewist gesprek")


def database(path, extra=None):
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    fill(db)
    if extra:
        extra(db)
    db.commit()
    db.close()


def contacts(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE wa_contacts(_id INTEGER PRIMARY KEY AUTOINCREMENT, jid TEXT NOT NULL, status TEXT, number TEXT, display_name TEXT, wa_name TEXT)")
    db.execute("INSERT INTO wa_contacts(jid,display_name,wa_name) VALUES('31600000001@s.whatsapp.net','Anna de Vries','anna')")
    db.execute("INSERT INTO wa_contacts(jid,display_name,wa_name) VALUES('31600000002@s.whatsapp.net',NULL,'Bram')")
    db.commit()
    db.close()


def legacy(path):
    """The schema before 2022."""
    db = sqlite3.connect(path)
    db.executescript("""
CREATE TABLE messages(_id INTEGER PRIMARY KEY AUTOINCREMENT, key_remote_jid TEXT NOT NULL, key_from_me INTEGER, key_id TEXT NOT NULL, status INTEGER, data TEXT, timestamp INTEGER, media_mime_type TEXT, media_wa_type TEXT, media_size INTEGER, media_name TEXT, media_caption TEXT, media_hash TEXT, media_duration INTEGER, latitude REAL, longitude REAL, remote_resource TEXT, received_timestamp INTEGER, receipt_server_timestamp INTEGER, quoted_row_id INTEGER, forwarded INTEGER);
CREATE TABLE messages_quotes(_id INTEGER PRIMARY KEY AUTOINCREMENT, key_remote_jid TEXT NOT NULL, key_from_me INTEGER, key_id TEXT NOT NULL, data TEXT, timestamp INTEGER, remote_resource TEXT);
CREATE TABLE chat_list(_id INTEGER PRIMARY KEY, key_remote_jid TEXT, subject TEXT);
CREATE TABLE group_participants(_id INTEGER PRIMARY KEY, gjid TEXT, jid TEXT, admin INTEGER);
INSERT INTO messages(_id,key_remote_jid,key_from_me,key_id,timestamp) VALUES(1,'-1',0,'-1',0);
""")
    x = db.execute
    g = "31600000009-1500000000@g.us"
    x("INSERT INTO chat_list VALUES(1,?,'Oude groep')", (g,))
    x("INSERT INTO group_participants VALUES(1,?,'31600000001@s.whatsapp.net',1)", (g,))
    cols = "key_remote_jid,key_from_me,key_id,status,data,timestamp,media_wa_type,remote_resource,quoted_row_id"
    x("INSERT INTO messages(%s) VALUES(?,0,'L1',0,'oud bericht',?,'0','31600000001@s.whatsapp.net',0)" % cols, (g, T0))
    x("INSERT INTO messages_quotes VALUES(1,?,0,'L1','oud bericht',?,'31600000001@s.whatsapp.net')", (g, T0))
    x("INSERT INTO messages(%s) VALUES(?,1,'L2',0,'oud antwoord',?,'0',NULL,1)" % cols, (g, T0 + 1000))
    x("INSERT INTO messages(%s) VALUES(?,0,'L3',6,NULL,?,'0','31600000001@s.whatsapp.net',0)" % cols, (g, T0 + 2000))
    x("INSERT INTO messages(%s) VALUES('31600000002@s.whatsapp.net',0,'L4',0,NULL,?,'15',NULL,0)" % cols, (T0 + 3000,))
    db.commit()
    db.close()


def java(payload):
    return bytes.fromhex("aced0005757200025b42acf317f8060854e0020000787000000000")[:23] + struct.pack(">I", len(payload)) + payload


KEY_FILE_14 = java(bytes([0, 1, 2]) + SALT + GOOGLE_ID + hashlib.sha256(GOOGLE_ID).digest() + bytes(16) + KEY14)
KEY_FILE_15 = java(ROOT_KEY)


def packed(data, zipped):
    if not zipped:
        return zlib.compress(data, 6)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("LEESMIJ.txt", "geen database")
        z.writestr("msgstore.db", data)
    return out.getvalue()


def crypt15(data, md5=True, zipped=False, features=True):
    key = aes.hmac256(aes.hmac256(bytes(32), ROOT_KEY), b"backup encryption\x01")
    iv = bytes(range(16, 32))
    sealed, tag = aes.gcm(key, iv, packed(data, zipped))
    head = aes.pb(1, 1) + aes.pb(3, aes.pb(1, iv)) + aes.pb(4, aes.pb(1, b"2.25.1.75") + aes.pb(3, b"01") + b"".join(aes.pb(i, i % 2) for i in range(5, 20)))
    whole = bytes([len(head)]) + (b"\x01" if features else b"") + head + sealed + tag
    return whole + hashlib.md5(whole).digest() if md5 else whole


def crypt14(data):
    iv = bytes(range(40, 56))
    sealed, tag = aes.gcm(KEY14, iv, packed(data, False))
    head = aes.pb(1, 0) + aes.pb(2, aes.pb(1, b"\0\x01") + aes.pb(2, b"\x02") + aes.pb(3, SALT) + aes.pb(4, GOOGLE_ID) + aes.pb(5, iv)) + aes.pb(4, aes.pb(1, b"2.22.1") + aes.pb(3, b"01"))
    whole = bytes([len(head), 1]) + head + sealed + tag
    return whole + hashlib.md5(whole).digest()


def crypt12(data):
    iv = bytes(range(70, 86))
    sealed, tag = aes.gcm(KEY14, iv, packed(data, False))
    whole = bytes([0, 1, 2]) + SALT + GOOGLE_ID + iv + sealed + tag
    return whole + hashlib.md5(whole).digest() + b"--01"


def folder(root):
    """root/{Databases,Backups,Media}; returns the path of the plain database."""
    for d in ("Databases", "Backups", "Media/WhatsApp Images", "Media/WhatsApp Documents"):
        os.makedirs(os.path.join(root, d))
    db = os.path.join(root, "Databases", "msgstore.db")
    database(db)
    contacts(os.path.join(root, "Backups", "wa.db"))
    with open(os.path.join(root, "Media", "WhatsApp Images", "IMG-20250101-WA0001.jpg"), "wb") as f:
        f.write(PHOTO)
    with open(os.path.join(root, "Media", "WhatsApp Documents", "onder een andere naam.pdf"), "wb") as f:
        f.write(MOVED)
    return db


if __name__ == "__main__":  # FOLDER: fills it with the phone's folder, and as it was some days before
    import sys
    folder(os.path.join(sys.argv[1], "WhatsApp"))
    early = folder(os.path.join(sys.argv[1], "eerder"))
    db = sqlite3.connect(early)
    db.execute("DELETE FROM message WHERE _id > 12")
    db.execute("DELETE FROM message_add_on")
    db.execute("DELETE FROM message_orphaned_edit")
    db.execute("DELETE FROM call_log")
    db.execute("UPDATE chat SET ephemeral_expiration=0")
    db.commit()
    db.close()
