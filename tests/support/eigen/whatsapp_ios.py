"""WhatsApp of an iPhone or Mac, bare and in Finder backups with and without a password, made from the format's facts alone.  Ours: "eigen"."""
import base64
import hashlib
import os
import plistlib
import sqlite3
import struct

import aes

DOMAIN = "AppDomainGroup-group.net.whatsapp.WhatsApp.shared"
APPLE = 978307200
T0 = 1735689600 - APPLE  # 2025-01-01T00:00:00Z
PASSWORD = "geheim wachtwoord \u00e9"
PHOTO = b"\xff\xd8\xff\xe0 een foto van eigen makelij" * 40
FILE_KEY, MANIFEST_KEY = bytes(range(32)), bytes(range(60, 92))
CLASS_KEYS = {3: bytes(range(100, 132)), 4: bytes(range(140, 172))}

SCHEMA = """
CREATE TABLE ZWACHATSESSION(Z_PK INTEGER PRIMARY KEY, ZSESSIONTYPE INTEGER, ZREMOVED INTEGER, ZCONTACTJID VARCHAR, ZPARTNERNAME VARCHAR);
CREATE TABLE ZWAMESSAGE(Z_PK INTEGER PRIMARY KEY, ZGROUPEVENTTYPE INTEGER, ZISFROMME INTEGER, ZMESSAGETYPE INTEGER, ZSORT INTEGER, ZCHATSESSION INTEGER, ZGROUPMEMBER INTEGER, ZMEDIAITEM INTEGER, ZMESSAGEINFO INTEGER, ZMESSAGEDATE TIMESTAMP, ZSENTDATE TIMESTAMP, ZFROMJID VARCHAR, ZTOJID VARCHAR, ZSTANZAID VARCHAR, ZTEXT VARCHAR);
CREATE TABLE ZWAGROUPMEMBER(Z_PK INTEGER PRIMARY KEY, ZISACTIVE INTEGER, ZISADMIN INTEGER, ZCHATSESSION INTEGER, ZCONTACTNAME VARCHAR, ZMEMBERJID VARCHAR);
CREATE TABLE ZWAMEDIAITEM(Z_PK INTEGER PRIMARY KEY, ZMESSAGE INTEGER, ZFILESIZE INTEGER, ZMOVIEDURATION INTEGER, ZLATITUDE FLOAT, ZLONGITUDE FLOAT, ZMEDIALOCALPATH VARCHAR, ZTITLE VARCHAR, ZVCARDNAME VARCHAR, ZVCARDSTRING VARCHAR, ZMETADATA BLOB);
CREATE TABLE ZWAMESSAGEINFO(Z_PK INTEGER PRIMARY KEY, ZMESSAGE INTEGER, ZRECEIPTINFO BLOB);
CREATE TABLE ZWAPROFILEPUSHNAME(Z_PK INTEGER PRIMARY KEY, ZJID VARCHAR, ZPUSHNAME VARCHAR);
CREATE INDEX ZWAMESSAGE_ZCHATSESSION_INDEX ON ZWAMESSAGE(ZCHATSESSION);
"""

ME, ANNA, BRAM = "31612345678@s.whatsapp.net", "31600000001@s.whatsapp.net", "31600000002@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


def fill(db):
    x = db.execute
    x("INSERT INTO ZWACHATSESSION VALUES(1,0,0,?,'Anna de Vries')", (ANNA,))
    x("INSERT INTO ZWACHATSESSION VALUES(2,1,0,?,'Projectgroep Dijken')", (GROUP,))
    x("INSERT INTO ZWACHATSESSION VALUES(3,3,0,'status@broadcast',NULL)")
    x("INSERT INTO ZWAGROUPMEMBER VALUES(1,1,1,2,NULL,?)", (ANNA,))
    x("INSERT INTO ZWAGROUPMEMBER VALUES(2,1,0,2,NULL,'777000111@lid')")
    x("INSERT INTO ZWAGROUPMEMBER VALUES(3,0,0,2,'Weg Gegaan','31600000009@s.whatsapp.net')")
    x("INSERT INTO ZWAPROFILEPUSHNAME VALUES(1,?,'Brammetje')", (BRAM,))
    n = [0]

    def m(chat, stanza, kind=0, text=None, me=0, member=None, item=None, info=None, event=0, **more):
        n[0] += 1
        peer = ANNA if chat == 1 else GROUP
        row = {"Z_PK": n[0], "ZGROUPEVENTTYPE": event, "ZISFROMME": me, "ZMESSAGETYPE": kind, "ZSORT": n[0], "ZCHATSESSION": chat, "ZGROUPMEMBER": member,
               "ZMEDIAITEM": item, "ZMESSAGEINFO": info, "ZMESSAGEDATE": T0 + n[0] * 60 + 0.25, "ZSENTDATE": T0 + n[0] * 60 + 1.0,
               "ZFROMJID": None if me else peer, "ZTOJID": peer if me else ME, "ZSTANZAID": stanza, "ZTEXT": text}
        row.update(more)
        x("INSERT INTO ZWAMESSAGE(%s) VALUES(%s)" % (",".join(row), ",".join("?" * len(row))), list(row.values()))
        return n[0]

    m(1, "A0000001", 10, event=2)
    m(1, "A0000002", text="Goedemorgen, is de vergunning al rond?", event=2)
    m(1, "A0000003", text="Nee, morgen. \U0001f44d", me=1, item=1)
    x("INSERT INTO ZWAMEDIAITEM(Z_PK,ZMETADATA) VALUES(1,?)",
      (aes.pb(5, b"A0000002") + aes.pb(6, ANNA.encode()) + aes.pb(19, aes.pb(1, "Goedemorgen, is de vergunning al rond?".encode())),))
    m(1, "A0000004", 1, item=2)
    x("INSERT INTO ZWAMEDIAITEM(Z_PK,ZFILESIZE,ZLATITUDE,ZLONGITUDE,ZMEDIALOCALPATH,ZTITLE,ZVCARDNAME,ZVCARDSTRING) VALUES(2,?,452.0,603.0,?,'bijschrift',?,'image/jpeg')",
      (len(PHOTO), "Media/31600000001@s.whatsapp.net/a/b/foto.jpg", base64.b64encode(hashlib.sha256(PHOTO).digest()).decode()))
    m(1, "A0000005", 14)
    m(1, "A0000006", 5, item=3)
    x("INSERT INTO ZWAMEDIAITEM(Z_PK,ZLATITUDE,ZLONGITUDE,ZTITLE) VALUES(3,52.0786,4.3128,'Binnenhof')")
    m(1, "A0000007", 4, item=4)
    x("INSERT INTO ZWAMEDIAITEM(Z_PK,ZVCARDNAME,ZVCARDSTRING) VALUES(4,'Karel','BEGIN:VCARD\nFN:Karel\nEND:VCARD')")
    m(1, "A0000008", 66)
    m(1, "A0000009", text="van voor 1970", ZMESSAGEDATE=-APPLE - 86400.0)
    m(1, "A0000010", text="van na 2038", ZMESSAGEDATE=4102444800.0 - APPLE)
    m(2, "G0000001", 6, "Projectgroep Dijken", event=12)
    m(2, "G0000002", 6, event=2, member=2)
    m(2, "G0000003", 6, event=4242, member=1)
    m(2, "G0000004", text="Allen, let op", member=1, info=1, event=2)
    x("INSERT INTO ZWAMESSAGEINFO VALUES(1,?,?)", (n[0], aes.pb(2, aes.pb(1, b"ontvangst")) + aes.pb(7,
      aes.pb(1, aes.pb(1, b"R0000001") + aes.pb(2, BRAM.encode()) + aes.pb(3, "\u2764\ufe0f".encode()) + aes.pb(4, 1735700000123)) +
      aes.pb(2, aes.pb(1, b"R0000002") + aes.pb(2, "\U0001f44d".encode()) + aes.pb(3, 1735700000456)))))
    m(2, "G0000005", text="van een verborgen deelnemer", member=2)
    m(2, "G0000006", 46, "Wanneer vergaderen?", member=1)
    m(3, "S0000001", text="een status")
    m(9, "W0000001", text="uit een gewist gesprek")


def chat_storage(path, extra=None):
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    fill(db)
    if extra:
        extra(db)
    db.commit()
    db.close()


def contacts(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE ZWAADDRESSBOOKCONTACT(Z_PK INTEGER PRIMARY KEY, ZFULLNAME VARCHAR, ZGIVENNAME VARCHAR, ZWHATSAPPID VARCHAR, ZLID VARCHAR)")
    db.execute("INSERT INTO ZWAADDRESSBOOKCONTACT VALUES(1,'Anna de Vries','Anna',?,NULL)", (ANNA,))
    db.execute("INSERT INTO ZWAADDRESSBOOKCONTACT VALUES(2,NULL,'Bram',?,'777000111@lid')", (BRAM,))
    db.commit()
    db.close()


def calls(path):
    db = sqlite3.connect(path)
    db.executescript("""
CREATE TABLE ZWAAGGREGATECALLEVENT(Z_PK INTEGER PRIMARY KEY, ZINCOMING INTEGER, ZMISSED INTEGER, ZVIDEO INTEGER);
CREATE TABLE ZWACDCALLEVENT(Z_PK INTEGER PRIMARY KEY, ZOUTCOME INTEGER, Z1CALLEVENTS INTEGER, ZDATE TIMESTAMP, ZDURATION FLOAT, ZGROUPCALLCREATORUSERJIDSTRING VARCHAR, ZGROUPJIDSTRING VARCHAR);
CREATE TABLE ZWACDCALLEVENTPARTICIPANT(Z_PK INTEGER PRIMARY KEY, ZOUTCOME INTEGER, Z1PARTICIPANTS INTEGER, ZJIDSTRING VARCHAR);
INSERT INTO ZWAAGGREGATECALLEVENT VALUES(1,1,1,0),(2,0,0,1);
""")
    db.execute("INSERT INTO ZWACDCALLEVENT VALUES(1,1,1,?,0.0,NULL,NULL)", (T0 + 500.5,))
    db.execute("INSERT INTO ZWACDCALLEVENT VALUES(2,0,2,?,33.7,NULL,NULL)", (T0 + 600.5,))
    db.execute("INSERT INTO ZWACDCALLEVENTPARTICIPANT VALUES(1,0,1,?)", (ANNA,))
    db.execute("INSERT INTO ZWACDCALLEVENTPARTICIPANT VALUES(2,0,2,'31600000077@s.whatsapp.net')")
    db.commit()
    db.close()


def folder(root, extra=None):
    os.makedirs(os.path.join(root, "Message/Media/31600000001@s.whatsapp.net/a/b"))
    chat_storage(os.path.join(root, "ChatStorage.sqlite"), extra)
    contacts(os.path.join(root, "ContactsV2.sqlite"))
    calls(os.path.join(root, "CallHistory.sqlite"))
    with open(os.path.join(root, "Message/Media/31600000001@s.whatsapp.net/a/b/foto.jpg"), "wb") as f:
        f.write(PHOTO)


def tlv(tag, value):
    if isinstance(value, int):
        value = struct.pack(">I", value)
    return tag.encode() + struct.pack(">I", len(value)) + value


def keybag(password, double_rounds=1000, rounds=1200):
    salt, double_salt = bytes(range(20)), bytes(range(30, 50))
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), double_salt, double_rounds, 32)
    key = hashlib.pbkdf2_hmac("sha1", key, salt, rounds, 32)
    out = tlv("VERS", 4) + tlv("TYPE", 1) + tlv("UUID", bytes(16)) + tlv("HMCK", bytes(40)) + tlv("WRAP", 0) + tlv("SALT", salt) + tlv("ITER", rounds)
    out += tlv("DPWT", 0) + tlv("DPIC", double_rounds) + tlv("DPSL", double_salt)
    for number, class_key in CLASS_KEYS.items():
        out += tlv("UUID", bytes([number] * 16)) + tlv("CLAS", number) + tlv("WRAP", 2) + tlv("KTYP", 0) + tlv("WPKY", aes.wrap(key, class_key))
    out += tlv("UUID", bytes([11] * 16)) + tlv("CLAS", 11) + tlv("WRAP", 1) + tlv("KTYP", 0) + tlv("WPKY", bytes(40))
    return out


def pad(data):
    n = 16 - len(data) % 16
    return data + bytes([n]) * n


def about(size, encrypted, class_number):
    file = {"Size": size, "ProtectionClass": class_number, "Mode": 33188, "$class": plistlib.UID(3)}
    objects = ["$null", file, "pad"]
    if encrypted:
        file["EncryptionKey"] = plistlib.UID(2)
        objects[2] = {"NS.data": struct.pack("<I", class_number) + aes.wrap(CLASS_KEYS[class_number], FILE_KEY), "$class": plistlib.UID(4)}
    objects += [{"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]}, {"$classname": "NSMutableData", "$classes": ["NSMutableData", "NSData", "NSObject"]}]
    return plistlib.dumps({"$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": plistlib.UID(1)}, "$objects": objects}, fmt=plistlib.FMT_BINARY)


def backup(source, root, password=None, xml=False, domains=False):
    """A backup that holds the folder `source` of the app; domains: its first folders are the domains of what is in them."""
    os.makedirs(root)
    manifest = os.path.join(root, "Manifest.db")
    db = sqlite3.connect(manifest)
    db.execute("CREATE TABLE Files(fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)")
    db.execute("CREATE TABLE Properties(key TEXT PRIMARY KEY, value BLOB)")
    for folder_, _, files in os.walk(source):
        for name in files:
            path = os.path.join(folder_, name)
            rel = os.path.relpath(path, source)
            domain, rel = rel.split("/", 1) if domains else (DOMAIN, rel)
            data = open(path, "rb").read()
            ident = hashlib.sha1((domain + "-" + rel).encode()).hexdigest()
            cls = 3 if rel.endswith((".sqlite", ".db")) else 4
            db.execute("INSERT INTO Files VALUES(?,?,?,1,?)", (ident, domain, rel, about(len(data), password is not None, cls)))
            os.makedirs(os.path.join(root, ident[:2]), exist_ok=True)
            with open(os.path.join(root, ident[:2], ident), "wb") as f:
                f.write(aes.cbc(FILE_KEY, pad(data)) if password is not None else data)
    db.commit()
    db.close()
    info = {"IsEncrypted": password is not None, "Version": "10.0", "Lockdown": {"ProductVersion": "17.2"}}
    if password is not None:
        data = open(manifest, "rb").read()
        with open(manifest, "wb") as f:
            f.write(aes.cbc(MANIFEST_KEY, pad(data)))
        info["BackupKeyBag"] = keybag(password)
        info["ManifestKey"] = struct.pack("<I", 4) + aes.wrap(CLASS_KEYS[4], MANIFEST_KEY)
    with open(os.path.join(root, "Manifest.plist"), "wb") as f:
        plistlib.dump(info, f, fmt=plistlib.FMT_XML if xml else plistlib.FMT_BINARY)


if __name__ == "__main__":  # FOLDER: fills it with the app's folder, as it was before, and backups
    import sys
    app, early = os.path.join(sys.argv[1], "group.net.whatsapp.WhatsApp.shared"), os.path.join(sys.argv[1], "eerder")
    folder(app)
    folder(early)
    backup(app, os.path.join(sys.argv[1], "backup"))
    backup(app, os.path.join(sys.argv[1], "versleuteld"), password=PASSWORD)
    os.unlink(os.path.join(early, "CallHistory.sqlite"))
    db = sqlite3.connect(os.path.join(early, "ChatStorage.sqlite"))
    db.execute("DELETE FROM ZWAMESSAGE WHERE Z_PK > 8")
    db.commit()
    db.close()
