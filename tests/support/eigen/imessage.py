#!/usr/bin/env python3
"""Makes the database of Messages on Mac and iPhone (eigen: of our own making), from the format's facts alone; shares no code with the readers.

Texts are archived as Apple's typedstream, edits as a binary property list in message_summary_info.
"""
import os, plistlib, sqlite3

APPLE = 978307200
SANNE, JORIS, FATIMA = '+31600000001', '+31600000003', 'fatima@voorbeeld.example'
GROUP = '6f1c9d52-0000-4000-8000-00000000000a'


class Archive:
    """One attributed text: [(text, {attribute: str or int})]."""

    def __init__(self):
        self.out, self.strings, self.things = b'\x04\x0bstreamtyped\x81\xe8\x03', {}, {}

    def number(self, n):
        if -110 <= n < 128: return n.to_bytes(1, 'little', signed=True)
        if n < 65536: return b'\x81' + n.to_bytes(2, 'little')
        return b'\x82' + n.to_bytes(4, 'little')

    def reference(self, n):
        n -= 110
        return n.to_bytes(1, 'little', signed=True) if n < 128 else b'\x81' + n.to_bytes(2, 'little')

    def shared(self, s):
        if s in self.strings: return self.reference(self.strings[s])
        self.strings[s] = len(self.strings)
        return b'\x84' + self.number(len(s)) + s.encode()

    def klass(self, *names):
        out = b''
        for name, version in names:
            if ('class', name) in self.things: return out + self.reference(self.things['class', name])
            self.things['class', name] = len(self.things)
            out += b'\x84' + self.shared(name) + self.number(version)
        return out + b'\x85'

    def begin(self, *classes):
        self.things[object()] = len(self.things)
        return b'\x84' + self.klass(*classes)

    def string(self, s, classes=(('NSString', 1), ('NSObject', 0))):
        b = s.encode()
        return self.begin(*classes) + self.shared('+') + self.number(len(b)) + b + b'\x86'

    def integer(self, n):
        out = self.begin(('NSNumber', 0), ('NSValue', 0), ('NSObject', 0)) + self.shared('*')
        if 'cstring' in self.things: out += self.reference(self.things['cstring'])
        else:
            self.things['cstring'] = len(self.things)
            out += b'\x84' + self.shared('i')
        return out + self.shared('i') + self.number(n) + b'\x86'

    def make(self, runs):
        self.out += self.shared('@') + self.begin(('NSMutableAttributedString', 0), ('NSAttributedString', 0), ('NSObject', 0))
        self.out += self.shared('@') + self.string(''.join(t for t, _ in runs), (('NSMutableString', 1), ('NSString', 1), ('NSObject', 0)))
        for i, (t, attributes) in enumerate(runs):
            self.out += self.shared('iI') + self.number(i + 1) + self.number(len(t.encode('utf-16-le')) // 2)
            self.out += self.shared('@') + self.begin(('NSDictionary', 0), ('NSObject', 0)) + self.shared('i') + self.number(len(attributes))
            for k, v in attributes.items():
                self.out += self.shared('@') + self.string(k) + self.shared('@') + (self.integer(v) if isinstance(v, int) else self.string(v))
            self.out += b'\x86'
        return self.out + b'\x86'


def typed(*runs):
    return Archive().make([(t, {'__kIMMessagePartAttributeName': 0, **a}) if isinstance(a, dict) else (t, {}) for t, a in runs])


def text(t): return typed((t, {}))


SCHEMA = """
CREATE TABLE handle (ROWID INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, id TEXT NOT NULL, country TEXT, service TEXT NOT NULL, UNIQUE (id, service));
CREATE TABLE chat (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, style INTEGER, chat_identifier TEXT, service_name TEXT, room_name TEXT, display_name TEXT, group_id TEXT,
  last_addressed_handle TEXT, properties BLOB);
CREATE TABLE attachment (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, filename TEXT, uti TEXT, mime_type TEXT, transfer_state INTEGER DEFAULT 0, transfer_name TEXT,
  total_bytes INTEGER DEFAULT 0, is_sticker INTEGER DEFAULT 0, hide_attachment INTEGER DEFAULT 0);
CREATE TABLE message_attachment_join (message_id INTEGER, attachment_id INTEGER, UNIQUE(message_id, attachment_id));
CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER, UNIQUE(chat_id, handle_id));
CREATE TABLE chat_message_join (chat_id INTEGER, message_id INTEGER, message_date INTEGER DEFAULT 0, PRIMARY KEY (chat_id, message_id));
CREATE TABLE deleted_messages (ROWID INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, guid TEXT NOT NULL);
CREATE TRIGGER after_delete_on_attachment AFTER DELETE ON attachment BEGIN SELECT delete_attachment_path(OLD.filename); END;
"""
OLD = ('ROWID INTEGER PRIMARY KEY AUTOINCREMENT, guid TEXT UNIQUE NOT NULL, text TEXT, handle_id INTEGER DEFAULT 0, subject TEXT, attributedBody BLOB, service TEXT, account TEXT, '
       'error INTEGER DEFAULT 0, date INTEGER, date_read INTEGER, date_delivered INTEGER, is_from_me INTEGER DEFAULT 0, is_sent INTEGER DEFAULT 0, cache_roomnames TEXT, is_audio_message INTEGER DEFAULT 0, '
       'item_type INTEGER DEFAULT 0, other_handle INTEGER DEFAULT 0, group_title TEXT, group_action_type INTEGER DEFAULT 0, share_status INTEGER DEFAULT 0')
NEW = (', associated_message_guid TEXT, associated_message_type INTEGER DEFAULT 0, balloon_bundle_id TEXT, payload_data BLOB, expressive_send_style_id TEXT, message_summary_info BLOB, '
       'destination_caller_id TEXT')
NEWER = (', thread_originator_guid TEXT, thread_originator_part TEXT, date_retracted INTEGER DEFAULT 0, date_edited INTEGER DEFAULT 0, part_count INTEGER')
NEWEST = ', associated_message_emoji TEXT DEFAULT NULL, schedule_type INTEGER DEFAULT 0'
RECOVERABLE = 'CREATE TABLE chat_recoverable_message_join (chat_id INTEGER, message_id INTEGER, delete_date INTEGER, PRIMARY KEY (chat_id, message_id), CHECK (delete_date != 0));'


class Messages:
    """age: 'ios9' (seconds, no tapbacks), 'ios12', 'ios16' (edits, unsending, recovery), 'ios18' (any emoji)."""

    def __init__(self, path, age='ios18', root='~/Library/SMS'):
        self.db, self.age, self.root = sqlite3.connect(path, isolation_level=None), age, root
        level = ['ios9', 'ios12', 'ios16', 'ios18'].index(age)
        self.db.executescript(SCHEMA + 'CREATE TABLE message (' + OLD + ''.join([NEW, NEWER, NEWEST][:level]) + ');')
        if level >= 2: self.db.executescript(RECOVERABLE)
        self.columns = {r[1] for r in self.db.execute('PRAGMA table_info(message)')}
        self.handles, self.n = {}, 0

    def when(self, seconds):
        s = 1760000000 - APPLE + seconds
        return s if self.age == 'ios9' else s * 10**9 + 123000000

    def insert(self, table, **row):
        return self.db.execute('INSERT INTO %s(%s) VALUES(%s)' % (table, ','.join(row), ','.join('?' * len(row))), list(row.values())).lastrowid

    def handle(self, address, service='iMessage'):
        if (address, service) not in self.handles: self.handles[address, service] = self.insert('handle', id=address, service=service)
        return self.handles[address, service]

    def chat(self, guid, style, identifier, service, people, **more):
        c = self.insert('chat', guid=guid, style=style, chat_identifier=identifier, service_name=service, **more)
        for p in people: self.insert('chat_handle_join', chat_id=c, handle_id=self.handle(p, service))
        return c

    def message(self, chat, seconds, author, joined=True, service='iMessage', **row):
        self.n += 1
        row = {'guid': row.pop('guid', '%08X-0000-4000-8000-000000000000' % self.n), 'date': self.when(seconds), 'service': service, 'is_from_me': int(author is None), 'is_sent': int(author is None),
               'handle_id': self.handle(author, service) if author else 0, 'destination_caller_id': SANNE, **row}
        for k in ('date_read', 'date_delivered', 'date_edited', 'date_retracted'):
            if row.get(k): row[k] = self.when(row[k])
        m = self.insert('message', **{k: v for k, v in row.items() if k in self.columns})
        if joined and chat: self.insert('chat_message_join', chat_id=chat, message_id=m, message_date=row['date'])
        return m, row['guid']

    def attach(self, m, name, mime, size, state=5, below='Attachments/aa/10/EIGEN'):
        a = self.insert('attachment', guid='at_%d_%s' % (m, name), filename='%s/%s/%s' % (self.root, below, name), mime_type=mime, transfer_state=state, transfer_name=name, total_bytes=size)
        self.insert('message_attachment_join', message_id=m, attachment_id=a)

    def edits(self, versions, part='0', parts=1):
        """[(seconds, text)] as message_summary_info."""
        return plistlib.dumps({'amc': 0, 'ust': True, 'ec': {part: [{'d': 1760000000 - APPLE + float(s), 't': text(t)} for s, t in versions]}, 'ep': [int(part)],
                               'otr': {str(p): {'lo': 0, 'le': 1} for p in range(parts)}}, fmt=plistlib.FMT_BINARY)

    def unsent(self, parts, of):
        return plistlib.dumps({'rp': parts, 'ust': True, 'otr': {str(p): {'lo': 0, 'le': 1} for p in range(of)}}, fmt=plistlib.FMT_BINARY)


PDF, FOTO = b'%PDF-1.7 verzonnen nota\n' * 3, b'\xff\xd8\xff verzonnen foto'


def fill(folder, age='ios18', name='sms.db', root='~/Library/SMS'):
    """The same talk in every age, as far as it has the words for it."""
    files = os.path.join(folder, 'Attachments', 'aa', '10', 'EIGEN')
    os.makedirs(files)
    for n, b in (('nota.pdf', PDF), ('foto.jpg', FOTO)):
        with open(os.path.join(files, n), 'wb') as f: f.write(b)
    m = Messages(os.path.join(folder, name), age, root)
    joris = m.chat('iMessage;-;' + JORIS, 45, JORIS, 'iMessage', [JORIS])
    sms = m.chat('SMS;-;' + JORIS, 45, JORIS, 'SMS', [JORIS])
    group = m.chat('iMessage;+;chat100', 43, 'chat100', 'iMessage', [JORIS, FATIMA], room_name='chat100', display_name='Nota stikstof', group_id=GROUP)
    again = m.chat('iMessage;+;chat200', 43, 'chat200', 'iMessage', [JORIS, FATIMA], room_name='chat200', display_name='Nota stikstof', group_id=GROUP)
    other = m.chat('iMessage;+;chat300', 43, 'chat300', 'iMessage', [JORIS], room_name='chat300', display_name='Nota stikstof', group_id=GROUP[:-1] + 'b')
    m.message(joris, 10, JORIS, text='Kan je bellen?', attributedBody=text('Kan je bellen?'), date_read=15)
    first, guid = m.message(joris, 20, None, attributedBody=text('Over vijf minuten 🙂'), date_delivered=21, date_read=25)
    m.message(sms, 30, JORIS, service='SMS', text='Nu per sms')
    pdf, _ = m.message(joris, 40, None, attributedBody=typed(('\ufffc', {'__kIMFileTransferGUIDAttributeName': 'at_0_X'}), ('Zie bijlage', {'__kIMMessagePartAttributeName': 1})))
    m.attach(pdf, 'nota.pdf', 'application/pdf', len(PDF))
    m.attach(pdf, 'kwijt.png', 'image/png', 99)
    m.attach(pdf, 'later.mov', 'video/quicktime', 500, state=0)
    _, greeting = m.message(group, 50, FATIMA, attributedBody=typed(('@Sanne', {'__kIMMentionConfirmedMention': SANNE}), (' lees je mee?', {})))
    m.message(again, 60, JORIS, attributedBody=text('Ik ook'))
    m.message(other, 65, JORIS, attributedBody=text('In de andere groep met die naam'))
    m.message(group, 70, FATIMA, item_type=2, group_title='Nota stikstof (definitief)')
    m.message(group, 71, FATIMA, item_type=1, group_action_type=0, other_handle=m.handle('+31600000009'))
    m.message(group, 72, FATIMA, item_type=1, group_action_type=1, other_handle=m.handle('+31600000009'))
    m.message(group, 73, JORIS, item_type=3, group_action_type=0)
    m.message(group, 74, FATIMA, item_type=3, group_action_type=1)
    m.message(joris, 75, JORIS, item_type=4, share_status=0)
    m.message(joris, 76, None, item_type=99)
    m.message(0, 80, JORIS, joined=False, text='Zonder gesprek')
    m.message(joris, 81, None, text='Niet verzonden', is_sent=0, error=22)
    m.insert('deleted_messages', guid='WEG-1')
    if age == 'ios9': return m
    for n, (kind, value) in enumerate(((2000, None), (2001, None), (2002, None), (2003, None), (2004, None), (2005, None), (3001, None), (2006, '🎉'), (2007, None))):
        if kind in (2006, 2007) and age != 'ios18': continue
        m.message(joris, 100 + n, JORIS, text='Liked “…”', associated_message_guid='p:0/' + guid, associated_message_type=kind, associated_message_emoji=value)
    m.message(joris, 120, None, text='bp', associated_message_guid='bp:' + guid, associated_message_type=2000)
    m.message(joris, 121, JORIS, balloon_bundle_id='com.apple.messages.URLBalloonProvider', payload_data=b'bplist00x', text='https://voorbeeld.example/nota')
    m.message(joris, 122, JORIS, text='met knal', expressive_send_style_id='com.apple.MobileSMS.expressivesend.impact')
    if age == 'ios12': return m
    m.message(group, 130, None, attributedBody=text('Dat doe ik'), thread_originator_guid=greeting, thread_originator_part='0:0:6')
    m.message(joris, 140, None, guid='BEWERKT', attributedBody=text('Derde tekst'), message_summary_info=m.edits([(140, 'Eerste tekst'), (145, 'Tweede tekst'), (150, 'Derde tekst')]), date_edited=150)
    m.message(joris, 160, None, guid='WEG', message_summary_info=m.unsent([0], 1), date_retracted=165, date_edited=165)
    two, _ = m.message(joris, 170, JORIS, guid='DELEN', attributedBody=typed(('\ufffc', {}), ('nieuw', {'__kIMMessagePartAttributeName': 1})), date_edited=175,
                       message_summary_info=m.edits([(170, 'oud'), (175, 'nieuw')], '1', 2))
    m.attach(two, 'foto.jpg', 'image/jpeg', len(FOTO))
    m.message(joris, 180, JORIS, guid='DEELWEG', attributedBody=text('Dit blijft'), message_summary_info=m.unsent([1], 2), date_edited=185)
    gone, _ = m.message(joris, 190, JORIS, joined=False, guid='PRULLENBAK', attributedBody=text('Onlangs verwijderd'))
    m.insert('chat_recoverable_message_join', chat_id=joris, message_id=gone, delete_date=m.when(200))
    return m
