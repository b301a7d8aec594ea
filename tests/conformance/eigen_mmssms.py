#!/usr/bin/env python3
"""eigen: makes an mmssms.db as Android's telephony provider keeps it, with invented messages: the ones of tests/fixtures/eigen-sms and more.

eigen_mmssms.py FOLDER.  Written from the provider's public schema alone; shares no code with the reader.
"""
import os, sqlite3, sys

def main():
    folder = sys.argv[1]
    path = os.path.join(folder, 'mmssms.db')
    db = sqlite3.connect(path)
    db.executescript('''
      PRAGMA user_version = 67;
      CREATE TABLE sms (_id INTEGER PRIMARY KEY, thread_id INTEGER, address TEXT, person INTEGER, date INTEGER, date_sent INTEGER DEFAULT 0, protocol INTEGER,
        read INTEGER DEFAULT 0, status INTEGER DEFAULT -1, type INTEGER, reply_path_present INTEGER, subject TEXT, body TEXT, service_center TEXT,
        locked INTEGER DEFAULT 0, sub_id INTEGER DEFAULT -1, error_code INTEGER DEFAULT 0, creator TEXT, seen INTEGER DEFAULT 0);
      CREATE TABLE pdu (_id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id INTEGER, date INTEGER, date_sent INTEGER DEFAULT 0, msg_box INTEGER, read INTEGER DEFAULT 0,
        m_id TEXT, sub TEXT, sub_cs INTEGER, ct_t TEXT, m_type INTEGER, v INTEGER, m_size INTEGER, tr_id TEXT, text_only INTEGER DEFAULT 0, sub_id INTEGER DEFAULT -1);
      CREATE TABLE part (_id INTEGER PRIMARY KEY AUTOINCREMENT, mid INTEGER, seq INTEGER DEFAULT 0, ct TEXT, name TEXT, chset INTEGER, cd TEXT, fn TEXT, cid TEXT,
        cl TEXT, ctt_s INTEGER, ctt_t TEXT, _data TEXT, text TEXT);
      CREATE TABLE addr (_id INTEGER PRIMARY KEY, msg_id INTEGER, contact_id INTEGER, address TEXT, type INTEGER, charset INTEGER);
      CREATE TABLE threads (_id INTEGER PRIMARY KEY AUTOINCREMENT, date INTEGER DEFAULT 0, message_count INTEGER DEFAULT 0, recipient_ids TEXT, snippet TEXT);
      CREATE TABLE canonical_addresses (_id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT);
      INSERT INTO canonical_addresses VALUES (1, '+31612345678'), (2, '+31687654321'), (3, 'DigiD');
      INSERT INTO threads (_id, recipient_ids) VALUES (1, '1'), (2, '1 2'), (3, '3');
    ''')
    sms = [(1, '+31612345678', 1773310000000, 1, 'Goedemorgen, de nota over de dijk is klaar \U0001F600'),
           (1, '+31612345678', 1773310060000, 2, 'Dank. Ik lees hem voor 14:00 & bel je.'),
           (3, 'DigiD', 1773310180000, 1, 'null'), (1, '+31612345678', 1773310240000, 5, 'Niet verzonden'),
           (1, '+31612345678', 1773310300000, 3, 'Concept'), (1, '+31612345678', -86400000, 1, 'voor 1970'), (1, '+31612345678', 1773310500000, 1, None)]
    for i, (thread, address, date, kind, body) in enumerate(sms):
        db.execute('INSERT INTO sms (_id, thread_id, address, date, type, body) VALUES (?,?,?,?,?,?)', (i + 1, thread, address, date, kind, body))
    subject = 'Waterkering één'.encode('utf-8').decode('latin-1')  # as Android keeps it
    db.execute("INSERT INTO pdu (_id, thread_id, date, date_sent, msg_box, m_id, sub, sub_cs, m_type) VALUES (1, 2, 1773310360, 1773310359, 1, 'eigen-1', ?, 106, 132)",
               (subject,))
    db.execute("INSERT INTO pdu (_id, thread_id, date, msg_box, m_type) VALUES (2, 2, 1773310420, 2, 128)")
    db.execute("INSERT INTO part (mid, seq, ct, cl, text) VALUES (1, -1, 'application/smil', 'smil.xml', '<smil/>'), (1, 0, 'text/plain', 'text.txt', 'De dijk vanmorgen')")
    db.execute("INSERT INTO part (mid, seq, ct, cl, _data) VALUES (1, 1, 'image/jpeg', 'dijk.jpg', '/data/user_de/0/com.android.providers.telephony/app_parts/PART_1_dijk.jpg')")
    db.execute("INSERT INTO part (mid, seq, ct, cl, _data) VALUES (1, 2, 'video/mp4', 'weg.mp4', '/data/user_de/0/com.android.providers.telephony/app_parts/PART_2_weg.mp4')")
    db.execute("INSERT INTO part (mid, seq, ct, cl, text) VALUES (2, 0, 'text/plain', 'text.txt', 'Duidelijk, morgen overleg')")
    db.execute("INSERT INTO addr (msg_id, address, type) VALUES (1, '+31687654321', 137), (1, 'insert-address-token', 151), (1, '+31612345678', 151)")
    db.execute("INSERT INTO addr (msg_id, address, type) VALUES (2, 'insert-address-token', 137), (2, '+31612345678', 151), (2, '+31687654321', 151)")
    db.commit()
    db.close()
    os.mkdir(os.path.join(folder, 'app_parts'))
    with open(os.path.join(folder, 'app_parts', 'PART_1_dijk.jpg'), 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + b'\0' * 62)


main()
