"""seeds.py tests/fuzz - makes the seeds `made-*` of the sources' fuzz targets, all of our own invention (eigen), anew.

The files come from the generators of tests/conformance (eigen_*.py) and the fixtures of tests/fixtures; what those leave out stands below.  A seed of
several files has 0x1e between them, in the order that its target names (source_file.h).  Other seeds are made by seeds.c or were found.
"""
import hashlib
import io
import json
import os
import plistlib
import sqlite3
import subprocess
import sys
import tempfile
import zipfile

BETWEEN = b'\x1e'
ROOT = os.path.abspath(os.path.join(sys.argv[1], '..', '..'))
CORPUS = os.path.join(sys.argv[1], 'corpus')


def save(target, name, *files):
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'made-' + name), 'wb') as f:
        f.write(BETWEEN.join(x if isinstance(x, bytes) else x.encode() for x in files))


def fixture(*path):
    with open(os.path.join(ROOT, 'tests', 'fixtures', *path), 'rb') as f:
        return f.read()


def made(folder, generator):
    out = os.path.join(folder, generator)
    os.mkdir(out)
    subprocess.run([sys.executable, os.path.join(ROOT, 'tests', 'conformance', f'eigen_{generator}.py'), out], check=True)

    def one(*path):
        with open(os.path.join(out, *path), 'rb') as f:
            return f.read()
    return one


def zipped(**files):
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            z.writestr(zipfile.ZipInfo(name.replace('__', '/'), (2026, 3, 12, 10, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return b.getvalue()


def plain(v):
    return json.dumps(v, ensure_ascii=False, indent=1)


def meta():
    people = [{'name': 'Anna'}, {'name': 'Bram'}]

    def message(who, at, **more):
        return {'sender_name': who, 'timestamp_ms': 1767226380000 + at, **more}
    first = {'participants': people, 'title': 'Overleg', 'thread_path': 'inbox/a_1', 'magic_words': [], 'messages': [
        message('Anna', 4, content='Met foto', photos=[{'uri': 'messages/inbox/a_1/photos/1.jpg', 'creation_timestamp': 1767226380}]),
        message('Bram', 3, share={'link': 'https://voorbeeld.nl/x', 'share_text': 'tekst'}, reactions=[{'reaction': '\u00f0\u009f\u0091\u008d', 'actor': 'Anna'}]),
        message('Anna', 2, call_duration=65, content='Gebeld'), message('Bram', 1, sticker={'uri': 'messages/stickers_used/9.png'})]}
    second = {'participants': people, 'title': 'Overleg', 'messages': [message('Bram', 0, content='Ouder'), message('Anna', -1, files=[{'uri': 'https://elders.nl/x.pdf'}])]}
    other = {'participants': [{'name': 'Anna'}, {'name': 'Cees'}], 'title': 'Cees', 'messages': [message('Cees', 9, videos=[{'uri': 'messages/inbox/b_2/videos/2.mp4'}])]}
    owner = {'autofill_information_v2': {'FULL_NAME': ['Anna'], 'EMAIL': ['a@voorbeeld.nl']}}
    sealed = {'participants': ['Anna', 'Bram'], 'threadName': 'Bram_3', 'messages': [
        {'isUnsent': False, 'media': [{'uri': './media/1.jpg'}], 'reactions': [], 'senderName': 'Bram', 'text': 'x', 'timestamp': 1767225900000, 'type': 'media'}]}
    save('meta', 'whole.json', plain(first), plain(second), plain(other), plain(owner), b'\xff\xd8\xffjpg', plain(sealed))
    save('meta', 'nameless.json', plain(first), plain(second), plain(other))
    save('meta', 'damaged-second.json', plain(first), plain(second)[:150], b'{"messages":[1,', b'[]')


def x():
    def message(number, **more):
        return {'messageCreate': {'recipientId': '42', 'reactions': [], 'urls': [], 'text': 'tekst', 'mediaUrls': [], 'senderId': '25401953',
                                  'id': str(number), 'createdAt': '2026-01-01T00:05:00.005Z', 'editHistory': [], **more}}
    direct = [{'dmConversation': {'conversationId': '42-25401953', 'messages': [
        message(12, mediaUrls=['https://ton.twitter.com/dm/12/1/foto.jpg?x=1', 'https://ton.twitter.com/dm/12/2/weg.jpg'],
                reactions=[{'senderId': '42', 'reactionKey': 'like', 'eventId': '9', 'createdAt': '2026-01-01T00:06:00.000Z'}]),
        message(13, createdAt='geen tijd'), 7, {'welcomeMessageCreate': {'id': '3', 'text': 'x'}}]}}]
    group = [{'dmConversation': {'conversationId': '99', 'messages': [
        message(34, mediaUrls=['https://ton.twitter.com/dm/34/1/foto.jpg']), message(35),
        {'joinConversation': {'initiatingUserId': '42', 'participantsSnapshot': ['1', '2'], 'createdAt': '2026-01-01T00:00:01.000Z'}},
        {'participantsLeave': {'userIds': ['1'], 'createdAt': '2026-01-01T00:09:00.000Z'}},
        {'conversationNameUpdate': {'initiatingUserId': '2', 'name': 'Dijk', 'createdAt': '2026-01-01T00:10:00.000Z'}}]}}]
    account = [{'account': {'accountId': '42', 'username': 'anna', 'accountDisplayName': 'Anna', 'email': 'a@voorbeeld.nl'}}]
    save('x', 'whole.js', 'window.YTD.direct_messages.part0 = ' + plain(direct), 'window.YTD.direct_messages_group.part0 = ' + plain(group), b'\xff\xd8\xff1',
         b'\xff\xd8\xff2', 'window.YTD.account.part0 = ' + plain(account))


def snapchat():
    def message(kind, **more):
        return {'From': 'bram', 'Media Type': kind, 'Created': '2026-01-01 00:09:00 UTC', 'Content': 'tekst', 'Conversation Title': 'Dijk', 'IsSender': False,
                'Created(microseconds)': 1767226140123, 'IsSaved': True, 'Media IDs': '', **more}
    chats = {'bram': [message('TEXT'), message('MEDIA', **{'Media IDs': 'b~abc | b~weg'}), message('STICKER'), message('NOTE', Created='geen tijd')],
             '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9': [message('TEXT', IsSender=True, From='anna'), message('SHARE'), message('LOCATION')]}
    snaps = {'bram': [{'From': 'bram', 'Media Type': 'IMAGE', 'Created': '2026-01-01 00:10:00 UTC', 'Conversation Title': None, 'IsSender': False,
                       'Created(microseconds)': 1767226150000}]}
    account = {'Basic Information': {'Username': 'anna', 'Name': 'Anna'}}
    save('snapchat', 'whole.json', plain(chats), plain(snaps), plain(account), b'\xff\xd8\xffjpg')


def legacy(folder):
    """WhatsApp for Android before 2022: a row of every type that the reader tells apart."""
    path = os.path.join(folder, 'legacy.db')
    db = sqlite3.connect(path)
    db.executescript('''PRAGMA page_size=1024; VACUUM;
      CREATE TABLE messages(_id INTEGER PRIMARY KEY AUTOINCREMENT, key_remote_jid TEXT NOT NULL, key_from_me INTEGER, key_id TEXT NOT NULL, status INTEGER,
        data TEXT, timestamp INTEGER, media_mime_type TEXT, media_wa_type TEXT, media_size INTEGER, media_name TEXT, media_caption TEXT, media_hash TEXT,
        media_duration INTEGER, latitude REAL, longitude REAL, remote_resource TEXT, received_timestamp INTEGER, receipt_server_timestamp INTEGER,
        quoted_row_id INTEGER, forwarded INTEGER);
      CREATE TABLE messages_quotes(_id INTEGER PRIMARY KEY AUTOINCREMENT, key_remote_jid TEXT NOT NULL, key_from_me INTEGER, key_id TEXT NOT NULL, data TEXT,
        timestamp INTEGER, remote_resource TEXT);
      CREATE TABLE chat_list(_id INTEGER PRIMARY KEY, key_remote_jid TEXT, subject TEXT);
      CREATE TABLE group_participants(_id INTEGER PRIMARY KEY, gjid TEXT, jid TEXT, admin INTEGER);
      INSERT INTO chat_list VALUES(1, '31600000009-1500000000@g.us', 'Dijk');
      INSERT INTO messages_quotes VALUES(1, '31600000001@s.whatsapp.net', 1, 'L0', 'eerder', 1500000000000, NULL);''')
    for i, kind in enumerate((0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 13, 14, 15, 16, 20, 42, 64, 77)):
        for jid in ('31600000001@s.whatsapp.net', '31600000009-1500000000@g.us', 'status@broadcast'):
            db.execute('INSERT INTO messages(key_remote_jid, key_from_me, key_id, status, data, timestamp, media_mime_type, media_wa_type, media_size,'
                       'media_name, media_caption, media_hash, media_duration, latitude, longitude, remote_resource, quoted_row_id, forwarded) '
                       'VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)',
                       (jid, i % 2, f'L{i}', 6 if kind == 77 and i % 2 else 0, 'tekst' if kind in (0, 4) else None, 1 << 62 if kind == 9 else 1500000000000 + i,
                        'image/jpeg', str(kind), 12, 'IMG-1.jpg', 'bijschrift' if kind == 1 else None, 'A' * 43 + '=', 65 if kind == 8 else 0, 52.1, 5.1,
                        '31600000002@s.whatsapp.net', 1 if kind == 0 else 0, kind % 3))
    db.commit()
    db.close()
    with open(path, 'rb') as f:
        return f.read()


def backup(folder):
    """Of a phone: the property list, what it says of a file (a keyed archive), the list of files."""
    save('apple_backup', 'list', b'\0' + plistlib.dumps({'IsEncrypted': False, 'Version': '10.0', 'Lockdown': {'ProductVersion': '17.1'}}))
    save('apple_backup', 'locked', b'\0' + plistlib.dumps({'IsEncrypted': True, 'BackupKeyBag': b'VERS' + bytes(40), 'ManifestKey': bytes(44)}, fmt=plistlib.FMT_BINARY))
    save('apple_backup', 'locked-old', b'\0' + plistlib.dumps({'IsEncrypted': True}))
    save('apple_backup', 'list-of-lists', b'\0' + plistlib.dumps([[1], {}]))

    def about(**more):
        return plistlib.dumps({'$version': 100000, '$archiver': 'NSKeyedArchiver', '$top': {'root': plistlib.UID(1)}, '$objects': [
            '$null', {'Size': 700, 'ProtectionClass': 3, **more}, {'NS.data': bytes(44)}]}, fmt=plistlib.FMT_BINARY)
    save('apple_backup', 'file', b'\1' + about())
    save('apple_backup', 'file-locked', b'\1' + about(EncryptionKey=plistlib.UID(2)))
    save('apple_backup', 'file-nowhere', b'\1' + about(EncryptionKey=plistlib.UID(99)).replace(b'root', b'toor'))
    path = os.path.join(folder, 'Manifest.db')
    db = sqlite3.connect(path)
    db.executescript('PRAGMA page_size=1024; VACUUM; CREATE TABLE Files(fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)')
    db.execute('INSERT INTO Files VALUES(?, ?, ?, 1, ?)', (hashlib.sha1(b'AppDomainGroup-fuzz-it.db').hexdigest(), 'AppDomainGroup-fuzz', 'it.db', about()))
    db.commit()
    db.close()
    with open(path, 'rb') as f:
        save('apple_backup', 'manifest', b'\2' + f.read())
    save('apple_backup', 'no-manifest', b'\2tekst')


def sources(folder):
    slack, threema, matrix, teams, sms = (made(folder, g) for g in ('slack', 'threema', 'matrix', 'teams', 'mmssms'))
    days = [slack('export', n) for n in ('dijk/2026-03-12.json', 'users.json', 'channels.json', 'dms.json', 'D1/2026-03-12.json', 'mpims.json', 'groups.json')]
    save('slack', 'whole.json', *days)
    save('slack', 'day-two.json', slack('export', 'dijk', '2026-03-13.json'), *days[1:4])
    save('slack', 'lists-damaged.json', days[0], days[1][:200], days[2][:90], b'[{"id":"D1","members":["U0ANNA","U0ANNA"]},{}]')
    parts = ('contacts.csv', 'groups.csv', 'group_message_abcd-ECHOECHO.csv', 'ballot.csv', 'ballot_choice.csv', 'ballot_vote.csv', 'contact_reactions.csv',
             'group_reactions.csv', 'message_media_uid-5')
    save('threema', 'whole.csv', threema('open', 'message_c1.csv'), *(threema('open', n) for n in parts))
    save('threema', 'second.csv', threema('open', 'message_c2.csv'), *(threema('open', n) for n in parts[:3]))
    save('matrix_export', 'room.json', matrix('room', 'export.json'))
    save('matrix_export', 'early.json', matrix('early.json'))
    for n in ('page-1', 'page-2', 'channel', 'chats'):
        save('teams', n + '.json', teams('graph', n + '.json'))
    result = fixture('eigen-telegram', 'result.json')
    save('telegram', 'whole.json', result, fixture('eigen-telegram', 'chats', 'chat_1', 'photos', 'photo_1.jpg'))
    save('signal_export', 'whole.jsonl', fixture('eigen-signal', 'main.jsonl'), fixture('eigen-signal', 'metadata.json'),
         fixture('eigen-signal', 'files', '96', '96416f18586af8379700570725999a68055a5cca90ce50789cb6bf5cfe122b16.txt'))
    save('whatsapp_database', 'legacy', b'\0' + legacy(folder))
    anna = '01-03-2025 12:05 - Anna: Goedemorgen\n01-03-2025 12:07 - Anna: IMG-20250301-WA0001.jpg (bestand bijgevoegd)\n'.encode()
    bram = '[01-03-2025 12:05:09] Bram: Hallo\r\n[01-03-2025 12:06:10] Bram: \u200e<bijgevoegd: IMG-20250301-WA0001.jpg>\r\n'.encode()
    group = ('[01-03-2025 12:05:09] Werkgroep: \u200eBerichten en gesprekken worden end-to-end versleuteld.\r\n'
             '[01-03-2025 12:06:18] Anna: bijschrift \u200e<bijgevoegd: 00000003-PHOTO.jpg>\r\n').encode()
    save('whatsapp_folder', 'two-and-a-group', anna, bram, group, b'een foto', b'nog een')
    save('whatsapp_folder', 'group-last', anna[:44], bram[:34], group, b'', b'nog een')
    save('whatsapp_folder', 'one-refused', b'geen gesprek\n', bram, b'', b'een foto')
    save('whatsapp_folder', 'only-one', anna)
    # recognise: the choice of a name, then the file
    chat = os.path.join('eigen-whatsapp', 'WhatsApp Chat - Overleg Waterkering')
    text = fixture(chat, '_chat.txt')
    save('recognise', 'whatsapp.zip', b'\0' + zipped(**{'_chat.txt': text, '00000004-Nota.txt': fixture(chat, '00000004-Nota.txt')}))
    save('recognise', 'whatsapp.txt', b'\1' + text)
    save('recognise', 'mmssms.db', b'\2' + sms('mmssms.db'))
    save('recognise', 'telegram.json', b'\3' + result)
    save('recognise', 'sms.xml', b'\4' + fixture('eigen-sms', 'sms-20260312.xml'))
    save('recognise', 'calls.xml', b'\4' + fixture('eigen-sms', 'calls-20260312.xml'))
    save('recognise', 'signal.jsonl', b'\5' + fixture('eigen-signal', 'main.jsonl'))
    save('recognise', 'slack.zip', b'\0' + slack('export.zip'))
    save('recognise', 'matrix.zip', b'\0' + matrix('room.zip'))
    save('recognise', 'threema.zip', b'\0' + zipped(**{n: threema('open', n) for n in ('message_c1.csv',) + parts}))
    save('recognise', 'threema-locked.zip', b'\0' + threema('threema-backup_MYSELF00_1773309600000_1.zip'))


def main():
    with tempfile.TemporaryDirectory() as folder:
        sources(folder)
        backup(folder)
    meta()
    x()
    snapchat()


main()
