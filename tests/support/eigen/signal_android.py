#!/usr/bin/env python3
"""Makes the backup file of Signal on Android (eigen: of our own making), from the format's facts alone; shares no code with the readers.

make(frames, path, version, ...): frames as in Signal's export become rows as that schema version has them, statements and attachments, and
those the enciphered file.  AES is openssl's (counter mode from its blocks, in one call), everything else Python's standard library.
"""
import base64, functools, hashlib, hmac, json, os, re, struct, subprocess, uuid

import signal_backup

PASSPHRASE = '123456789012345678901234567890'
OWNER_KEY = b'\x05' + b'k' * 32
SECURE, PUSH, TIMER, GROUP, GROUP_V2 = 0x800000, 0x200000, 0x40000, 0x10000, 0x80000
STYLES = ['BOLD', 'ITALIC', 'SPOILER', 'STRIKETHROUGH', 'MONOSPACE']


def varint(n):
    out = b''
    n &= (1 << 64) - 1
    while True:
        out += bytes([n & 0x7f | (0x80 if n > 0x7f else 0)])
        n >>= 7
        if not n: return out


def number(field, n): return varint(field << 3) + varint(n) if n else b''
def sized(field, b): return varint(field << 3 | 2) + varint(len(b)) + b
def text(field, s): return sized(field, s.encode()) if s else b''


def parameter(v):
    if v is None: return number(5, 1)
    if isinstance(v, str): return sized(1, v.encode())
    if isinstance(v, float): return varint(3 << 3 | 1) + struct.pack('<d', v)
    if isinstance(v, bytes): return sized(4, v)
    return varint(2 << 3) + varint(v)


def statement(sql, values=()): return sized(2, sized(1, sql.encode()) + b''.join(sized(2, parameter(v)) for v in values))


# ---- the file ------------------------------------------------------------------------------------------------------------


@functools.cache
def keys(passphrase, salt):
    pw = passphrase.replace(' ', '').encode()
    h = hashlib.sha512(salt + pw + pw).digest()
    for _ in range(249999): h = hashlib.sha512(h + pw).digest()
    prk = hmac.new(b'\0' * 32, h[:32], hashlib.sha256).digest()
    a = hmac.new(prk, b'Backup Export\x01', hashlib.sha256).digest()
    return a, hmac.new(prk, a + b'Backup Export\x02', hashlib.sha256).digest()


def counter_mode(key, iv, first, pieces):
    """Each piece under its own counter: all counter blocks go through one call of openssl."""
    blocks = []
    for i, p in enumerate(pieces):
        start = int.from_bytes(struct.pack('>I', first + i & 0xffffffff) + iv[4:], 'big')
        blocks.append(b''.join((start + k & (1 << 128) - 1).to_bytes(16, 'big') for k in range((len(p) + 15) // 16)))
    stream = subprocess.run(['openssl', 'enc', '-e', '-aes-256-ecb', '-nopad', '-K', key.hex()], input=b''.join(blocks), capture_output=True, check=True).stdout
    out, at = [], 0
    for b, p in zip(blocks, pieces):
        k = stream[at:at + len(p)]
        at += len(b)
        out.append((int.from_bytes(p, 'big') ^ int.from_bytes(k, 'big')).to_bytes(len(p), 'big'))
    return out


def seal(parts, path, header_version, passphrase=PASSPHRASE, salt=b's' * 32, iv=b'\xff\xff\xff\xfb' + b'i' * 12):
    """parts: frames, and bytes that follow one as ('blob', bytes).  Gives where each part begins.  The counter of this IV runs over."""
    cipher_key, mac_key = keys(passphrase, salt)
    first = struct.unpack('>I', iv[:4])[0]
    plain = []
    for p in parts:
        if isinstance(p, tuple): plain.append(p[1])
        elif header_version >= 1: plain.append(struct.pack('>I', len(p) + 10) + p)
        else: plain.append(p)
    head = sized(1, sized(1, iv) + sized(2, salt) + number(3, header_version))
    out, places = bytearray(struct.pack('>I', len(head)) + head), []
    for i, (p, c) in enumerate(zip(parts, counter_mode(cipher_key, iv, first, plain))):
        places.append(len(out))
        if isinstance(p, tuple):
            own = struct.pack('>I', first + i & 0xffffffff) + iv[4:]
            out += c + hmac.new(mac_key, own + c, hashlib.sha256).digest()[:10]
        else:
            if header_version == 0: out += struct.pack('>I', len(p) + 10)
            out += c + hmac.new(mac_key, c, hashlib.sha256).digest()[:10]
    with open(path, 'wb') as f: f.write(out)
    return places + [len(out)]


# ---- the tables -------------------------------------------------------------------------------------------------------------

MESSAGE = ('_id INTEGER PRIMARY KEY AUTOINCREMENT, date_sent INTEGER NOT NULL, date_received INTEGER NOT NULL, date_server INTEGER DEFAULT -1, thread_id INTEGER NOT NULL '
           'REFERENCES thread (_id) ON DELETE CASCADE, from_recipient_id INTEGER NOT NULL REFERENCES recipient (_id) ON DELETE CASCADE, to_recipient_id INTEGER NOT NULL, '
           'type INTEGER NOT NULL, body TEXT, read INTEGER DEFAULT 0, receipt_timestamp INTEGER DEFAULT -1, has_delivery_receipt INTEGER DEFAULT 0, '
           'has_read_receipt INTEGER DEFAULT 0, viewed INTEGER DEFAULT 0, expires_in INTEGER DEFAULT 0, expire_started INTEGER DEFAULT 0, quote_id INTEGER DEFAULT 0, '
           'quote_author INTEGER DEFAULT 0, quote_body TEXT DEFAULT NULL, quote_missing INTEGER DEFAULT 0, quote_mentions BLOB DEFAULT NULL, quote_type INTEGER DEFAULT 0, '
           'shared_contacts TEXT DEFAULT NULL, unidentified INTEGER DEFAULT 0, link_previews TEXT DEFAULT NULL, view_once INTEGER DEFAULT 0, remote_deleted INTEGER DEFAULT 0, '
           'message_ranges BLOB DEFAULT NULL, story_type INTEGER DEFAULT 0, parent_story_id INTEGER DEFAULT 0, scheduled_date INTEGER DEFAULT -1')
LATER = {200: ', latest_revision_id INTEGER DEFAULT NULL REFERENCES message (_id) ON DELETE CASCADE, original_message_id INTEGER DEFAULT NULL, revision_number INTEGER DEFAULT 0',
         230: ', message_extras BLOB DEFAULT NULL',
         290: ', deleted_by INTEGER DEFAULT 0, pinned_until INTEGER DEFAULT 0, pinning_message_id INTEGER DEFAULT 0, pinned_at INTEGER DEFAULT 0'}
MMS = ('_id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id INTEGER, date INTEGER, date_received INTEGER, date_server INTEGER DEFAULT -1, msg_box INTEGER, read INTEGER DEFAULT 0, '
       'body TEXT, part_count INTEGER, address TEXT, address_device_id INTEGER, delivery_receipt_count INTEGER DEFAULT 0, expires_in INTEGER DEFAULT 0, expire_started INTEGER DEFAULT 0, '
       'read_receipt_count INTEGER DEFAULT 0, quote_id INTEGER DEFAULT 0, quote_author TEXT, quote_body TEXT, quote_missing INTEGER DEFAULT 0, quote_mentions BLOB, shared_contacts TEXT, '
       'unidentified INTEGER DEFAULT 0, previews TEXT, reveal_duration INTEGER DEFAULT 0, reactions BLOB DEFAULT NULL, remote_deleted INTEGER DEFAULT 0, ranges BLOB DEFAULT NULL')
SMS = ('_id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id INTEGER, address TEXT, address_device_id INTEGER DEFAULT 1, person INTEGER, date INTEGER, date_sent INTEGER, '
       'date_server INTEGER DEFAULT -1, read INTEGER DEFAULT 0, status INTEGER DEFAULT -1, type INTEGER, delivery_receipt_count INTEGER DEFAULT 0, subject TEXT, body TEXT, '
       'expires_in INTEGER DEFAULT 0, expire_started INTEGER DEFAULT 0, read_receipt_count INTEGER DEFAULT 0, unidentified INTEGER DEFAULT 0, reactions BLOB DEFAULT NULL, '
       'remote_deleted INTEGER DEFAULT 0')
OLD_NAMES = {'mms': {'date_sent': 'date', 'type': 'msg_box', 'from_recipient_id': 'address', 'message_ranges': 'ranges', 'link_previews': 'previews', 'view_once': 'reveal_duration',
                     'has_delivery_receipt': 'delivery_receipt_count', 'has_read_receipt': 'read_receipt_count'},
             'sms': {'date_received': 'date', 'from_recipient_id': 'address', 'has_delivery_receipt': 'delivery_receipt_count', 'has_read_receipt': 'read_receipt_count'}}
ATTACHMENT = ('_id INTEGER PRIMARY KEY AUTOINCREMENT, message_id INTEGER, content_type TEXT, remote_key TEXT, transfer_state INTEGER, data_file TEXT, data_size INTEGER, '
              'data_random BLOB, file_name TEXT, voice_note INTEGER DEFAULT 0, borderless INTEGER DEFAULT 0, video_gif INTEGER DEFAULT 0, quote INTEGER DEFAULT 0, caption TEXT DEFAULT NULL, '
              'sticker_pack_id TEXT DEFAULT NULL, sticker_pack_key DEFAULT NULL, sticker_id INTEGER DEFAULT -1, sticker_emoji STRING DEFAULT NULL, display_order INTEGER DEFAULT 0, '
              'data_hash_end TEXT DEFAULT NULL')
PART = ('_id INTEGER PRIMARY KEY, mid INTEGER, seq INTEGER DEFAULT 0, ct TEXT, cd TEXT, pending_push INTEGER, _data TEXT, data_size INTEGER, file_name TEXT, unique_id INTEGER NOT NULL, '
        'voice_note INTEGER DEFAULT 0, quote INTEGER DEFAULT 0, caption TEXT DEFAULT NULL, sticker_pack_id TEXT DEFAULT NULL, sticker_pack_key DEFAULT NULL, sticker_id INTEGER DEFAULT -1, '
        'sticker_emoji STRING DEFAULT NULL')
PART_NAMES = {'message_id': 'mid', 'content_type': 'ct', 'transfer_state': 'pending_push', 'data_file': '_data'}
RECIPIENT = ('_id INTEGER PRIMARY KEY AUTOINCREMENT, type INTEGER DEFAULT 0, e164 TEXT UNIQUE DEFAULT NULL, aci TEXT UNIQUE DEFAULT NULL, pni TEXT UNIQUE DEFAULT NULL CHECK (pni LIKE '
             "'PNI:%'), username TEXT UNIQUE DEFAULT NULL, group_id TEXT UNIQUE DEFAULT NULL, distribution_list_id INTEGER DEFAULT NULL, call_link_room_id TEXT DEFAULT NULL, "
             'profile_given_name TEXT DEFAULT NULL, profile_family_name TEXT DEFAULT NULL, system_given_name TEXT DEFAULT NULL, system_family_name TEXT DEFAULT NULL, '
             'system_joined_name TEXT DEFAULT NULL, nickname_given_name TEXT DEFAULT NULL, message_expiration_time INTEGER DEFAULT 0')
RECIPIENT_OLD = {'e164': 'phone', 'aci': 'uuid', 'profile_given_name': 'signal_profile_name', 'system_joined_name': 'system_display_name'}


def columns(definition):
    out, depth, start = [], 0, 0
    for i, c in enumerate(definition + ','):
        depth += (c == '(') - (c == ')')
        if c == ',' and depth == 0:
            out.append(definition[start:i].strip().split()[0])
            start = i + 1
    return out


def uu(b64): return str(uuid.UUID(bytes=base64.b64decode(b64)))


class Android:
    def __init__(self, version, files):
        self.v, self.files = version, files
        self.parts, self.after, self.table = [], [], {}
        self.aci, self.chat, self.kind = {}, {}, {}
        self.ids = {}
        self.parts.append(sized(5, number(1, version)))
        old = version < 166
        names = lambda definition, renamed: ', '.join(' '.join([renamed.get(d.split()[0], d.split()[0])] + d.split()[1:]) for d in self.split(definition))
        if version < 174:
            for table, definition in (('sms', SMS), ('mms', MMS)):
                later = {b: 'recipient_id' if a == 'from_recipient_id' else a for a, b in OLD_NAMES[table].items()} if version >= 166 else {}
                self.create(table, names(definition, later))
        else:
            both = MESSAGE if version >= 185 else MESSAGE.replace('from_recipient_id', 'recipient_id').replace('to_recipient_id INTEGER NOT NULL, ', '')
            self.create('message', both + ''.join(LATER[k] for k in sorted(LATER) if version >= k), quoted=True)
        if version >= 215: self.create('attachment', ATTACHMENT)
        else: self.create('part', PART)
        self.create('recipient', names(RECIPIENT, RECIPIENT_OLD) if version < 201 else RECIPIENT)
        who = 'recipient_ids TEXT' if version < 108 else 'thread_recipient_id INTEGER' if version < 166 else 'recipient_id INTEGER NOT NULL UNIQUE REFERENCES recipient (_id) ON DELETE CASCADE'
        self.create('thread', '_id INTEGER PRIMARY KEY AUTOINCREMENT, date INTEGER DEFAULT 0, %s, snippet TEXT, expires_in INTEGER DEFAULT 0' % who)
        self.create('groups', '_id INTEGER PRIMARY KEY, group_id TEXT, recipient_id INTEGER, title TEXT, members TEXT, master_key BLOB DEFAULT NULL, mms INTEGER DEFAULT 0')
        if version >= 176: self.create('group_membership', '_id INTEGER PRIMARY KEY, group_id TEXT NOT NULL REFERENCES groups (group_id), recipient_id INTEGER NOT NULL, UNIQUE(group_id, recipient_id)')
        if version >= 80: self.create('mention', '_id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id INTEGER, message_id INTEGER, recipient_id INTEGER, range_start INTEGER, range_length INTEGER')
        if version >= 110:
            self.create('reaction', '_id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, %sauthor_id INTEGER NOT NULL, emoji TEXT NOT NULL, date_sent INTEGER NOT NULL, '
                        'date_received INTEGER NOT NULL, UNIQUE(message_id, author_id) ON CONFLICT REPLACE' % ('is_mms INTEGER NOT NULL, ' if version < 174 else ''))
        self.create('group_receipts', '_id INTEGER PRIMARY KEY, mms_id INTEGER, address TEXT, status INTEGER, timestamp INTEGER, unidentified INTEGER DEFAULT 0')
        if version >= 177: self.create('call', '_id INTEGER PRIMARY KEY, call_id INTEGER NOT NULL, message_id INTEGER DEFAULT NULL, peer INTEGER NOT NULL, type INTEGER NOT NULL, '
                                       'direction INTEGER NOT NULL, event INTEGER NOT NULL, timestamp INTEGER NOT NULL, ringer INTEGER DEFAULT NULL, read INTEGER DEFAULT 1, UNIQUE (call_id, peer) ON CONFLICT FAIL')
        if version >= 290:
            self.create('poll', '_id INTEGER PRIMARY KEY AUTOINCREMENT, author_id INTEGER NOT NULL, message_id INTEGER NOT NULL, question TEXT, allow_multiple_votes INTEGER DEFAULT 0, end_message_id INTEGER DEFAULT 0')
            self.create('poll_option', '_id INTEGER PRIMARY KEY AUTOINCREMENT, poll_id INTEGER NOT NULL, option_text TEXT, option_order INTEGER')
            self.create('poll_vote', '_id INTEGER PRIMARY KEY AUTOINCREMENT, poll_id INTEGER NOT NULL, poll_option_id INTEGER, voter_id INTEGER NOT NULL, vote_count INTEGER, date_received INTEGER DEFAULT 0, vote_state INTEGER DEFAULT 0')
        self.create('identities', '_id INTEGER PRIMARY KEY AUTOINCREMENT, address INTEGER UNIQUE, identity_key TEXT, first_use INTEGER DEFAULT 0')
        # What a real one holds besides, and nobody reads.
        self.create('sticker', '_id INTEGER PRIMARY KEY AUTOINCREMENT, pack_id TEXT NOT NULL, UNIQUE(pack_id) ON CONFLICT IGNORE')
        self.parts.append(statement('CREATE INDEX IF NOT EXISTS thread_index ON thread (date);'))
        self.parts.append(statement('CREATE TRIGGER emoji_search_t AFTER DELETE ON thread BEGIN DELETE FROM thread WHERE 0; END'))
        self.parts.append(statement('CREATE VIRTUAL TABLE message_fts USING fts5(body, thread_id UNINDEXED, content=message)'))

    @staticmethod
    def split(definition):
        out, depth, start = [], 0, 0
        for i, c in enumerate(definition + ','):
            depth += (c == '(') - (c == ')')
            if c == ',' and depth == 0:
                out.append(definition[start:i].strip())
                start = i + 1
        return out

    def create(self, table, definition, quoted=False):
        self.table[table] = [c for c in columns(definition) if not re.match(r'(?i)(UNIQUE|PRIMARY|CHECK|FOREIGN)\b', c)]
        self.parts.append(statement('CREATE TABLE %s (%s)' % ('"%s"' % table if quoted else table, definition)))

    def insert(self, table, row, blob=None, unique=None):
        row = {k: v for k, v in row.items() if k in self.table[table]}
        if '_id' not in row: row['_id'] = self.ids[table] = self.ids.get(table, 0) + 1
        values = [row.get(c) for c in self.table[table]]
        self.parts.append(statement('INSERT INTO %s VALUES (%s)' % (table, ','.join('?' * len(values))), values))
        if blob is not None:
            self.parts.append(sized(4, number(1, row['_id']) + number(2, unique or 0) + number(3, len(blob))))
            self.parts.append(('blob', blob))
        return row['_id']

    # ---- people ----

    def recipient(self, r):
        row = {'_id': int(r['id']), 'type': 0}
        if 'self' in r:
            row.update(aci='e1e1e1e1-0000-4000-8000-000000000001', e164='+31600000001', profile_given_name='Sanne', profile_family_name='de Vries')
            self.insert('identities', {'address': row['aci'] if self.v >= 200 else row['_id'], 'identity_key': base64.b64encode(OWNER_KEY).decode()})
            self.aci[r['id']] = row['aci']
        elif 'contact' in r:
            c = r['contact']
            row.update(aci=uu(c['aci']), e164='+' + c['e164'] if 'e164' in c else None, profile_given_name=c.get('profileGivenName'), profile_family_name=c.get('profileFamilyName'),
                       system_given_name=c.get('systemGivenName'), system_family_name=c.get('systemFamilyName'), nickname_given_name=c.get('nickname', {}).get('given'))
            self.aci[r['id']] = row['aci']
            self.insert('identities', {'address': row['aci'] if self.v >= 200 else row['_id'], 'identity_key': base64.b64encode(b'\x05' + c['aci'].encode()).decode()})
        elif 'group' in r:
            g = r['group']
            id = '__signal_group__v2__!' + hashlib.sha256(g['masterKey'].encode()).hexdigest()
            row.update(type=3, group_id=id)
            members = list(dict.fromkeys(k for m in g['snapshot']['members'] for k, v in self.aci.items() if v == uu(m['userId'])))
            self.insert('groups', {'group_id': id, 'recipient_id': row['_id'], 'title': g['snapshot']['title']['title'], 'members': ','.join(members),
                                   'master_key': base64.b64decode(g['masterKey'])})
            if self.v >= 176:
                for m in members: self.insert('group_membership', {'group_id': id, 'recipient_id': int(m)})
        else:
            return
        self.kind[r['id']] = next(k for k in ('self', 'contact', 'group') if k in r)
        if self.v < 201: row = {RECIPIENT_OLD.get(k, k): v for k, v in row.items()}
        self.insert('recipient', row)

    def thread(self, c):
        if c['recipientId'] not in self.kind: return
        self.chat[c['id']] = c['recipientId']
        who = 'recipient_ids' if self.v < 108 else 'thread_recipient_id' if self.v < 166 else 'recipient_id'
        self.insert('thread', {'_id': int(c['id']), who: c['recipientId'] if self.v < 108 else int(c['recipientId'])})

    # ---- messages ----

    def row(self, item, type):
        sent = int(item['dateSent'])
        mine = item['authorId'] == '1'
        to = self.chat[item['chatId']]
        row = {'date_sent': sent, 'date_received': sent, 'date_server': -1, 'thread_id': int(item['chatId']), 'type': type, 'expires_in': int(item.get('expiresInMs', 0)),
               'expire_started': int(item.get('expireStartDate', 0)), 'read': 0, 'unidentified': 0, 'receipt_timestamp': -1, 'view_once': 0, 'story_type': 0, 'parent_story_id': 0,
               'scheduled_date': -1, 'quote_id': 0, 'quote_author': 0, 'remote_deleted': 0, 'from_recipient_id': int(item['authorId']), 'to_recipient_id': int(to) if mine else 1}
        if self.v < 185 and mine: row['from_recipient_id'] = int(to)
        if 'incoming' in item:
            i = item['incoming']
            row.update(date_received=int(i['dateReceived']), date_server=int(i['dateServerSent']), read=int(bool(i.get('read'))), unidentified=int(bool(i.get('sealedSender'))))
        if 'outgoing' in item: row['date_received'] = int(item['outgoing']['dateReceived'])
        return row

    def ranges(self, list):
        out = b''
        for r in list:
            out += sized(1, number(1, r['start']) + number(2, r['length']) + (text(3, uu(r['mentionAci'])) if 'mentionAci' in r else varint(4 << 3) + varint(STYLES.index(r['style']))))
        return out

    def put(self, row, extra=()):
        """A message in the table of this version; gives its table and id."""
        table = 'message'
        if self.v < 174:
            plain = not set(extra) & {'files', 'quote', 'long', 'sticker', 'contact', 'link', 'ranges', 'receipts', 'once', 'mention'}
            table = 'sms' if plain else 'mms'
            if self.v < 166:
                row = {OLD_NAMES[table].get(k, k): v for k, v in row.items() if not (table == 'sms' and k == 'date')}
                row['address'] = str(row['address'])
            row['quote_author'] = str(row['quote_author']) if row.get('quote_author') else None
        if 166 <= self.v < 185: row['recipient_id'] = row['from_recipient_id']
        return table, self.insert(table, row)

    def attach(self, message, pointer, more=()):
        l = pointer.get('locatorInfo', {})
        row = {'message_id': message, 'content_type': pointer.get('contentType', 'application/octet-stream'), 'file_name': pointer.get('fileName'), 'caption': pointer.get('caption'),
               'transfer_state': 0, 'quote': 0, 'voice_note': 0, 'sticker_id': -1, 'data_size': int(l.get('size', 0)), **dict(more)}
        blob = None
        if 'plaintextHash' in l:
            row['data_hash_end'] = l['plaintextHash']
            stem = hashlib.sha256(base64.b64decode(l['plaintextHash']) + base64.b64decode(l['localKey'])).hexdigest() if 'localKey' in l else 'xx'
            d = os.path.join(self.files, stem[:2])
            found = [n for n in os.listdir(d) if n.startswith(stem)] if os.path.isdir(d) else []
            if found:
                with open(os.path.join(d, found[0]), 'rb') as f: blob = f.read()
                row.update(data_file='/data/parts/part.mms', data_size=len(blob))
        if self.v >= 215:
            self.insert('attachment', row, blob)
            return
        row = {PART_NAMES.get(k, k): v for k, v in row.items()}
        self.insert('part', {**row, 'unique_id': 7000 + message}, blob, 7000 + message)

    def content(self, row, m, item):
        """A standard message's text, quote, links: into its row; what needs tables of its own is told."""
        extra = set()
        t = m.get('text', {})
        row['body'] = t.get('body')
        mentions = [r for r in t.get('bodyRanges', []) if 'mentionAci' in r]
        styles = [r for r in t.get('bodyRanges', []) if 'style' in r]
        if styles:
            row['message_ranges'] = self.ranges(styles)
            extra.add('ranges')
        if mentions: extra.add('mention')
        if 'quote' in m:
            q = m['quote']
            row.update(quote_id=int(q.get('targetSentTimestamp', 0)), quote_author=int(q['authorId']), quote_body=q.get('text', {}).get('body'), quote_missing=int('targetSentTimestamp' not in q))
            extra.add('quote')
        if m.get('linkPreview'):
            row['link_previews'] = json.dumps([{'url': p.get('url'), 'title': p.get('title', ''), 'description': p.get('description', ''), 'date': int(p.get('date', 0)), 'attachmentId': None}
                                               for p in m['linkPreview']])
            extra.add('link')
        if m.get('attachments'): extra.add('files')
        if 'longText' in m: extra.add('long')
        return extra, mentions

    def hang(self, table, id, m, mentions, item):
        for r in mentions:
            who = next(k for k, v in self.aci.items() if v == uu(r['mentionAci']))
            self.insert('mention', {'thread_id': int(item['chatId']), 'message_id': id, 'recipient_id': int(who), 'range_start': r['start'], 'range_length': r['length']})
        for a in m.get('attachments', []):
            self.attach(id, a['pointer'], {'voice_note': int(a.get('flag') == 'VOICE_MESSAGE'), 'transfer_state': 0 if a.get('wasDownloaded') else 2}.items())
        if 'longText' in m: self.attach(id, {**m['longText'], 'contentType': 'text/x-signal-plain'})
        for a in m.get('quote', {}).get('attachments', []): self.attach(id, a, {'quote': 1}.items())

    def reactions(self, row, m):
        """Before they had a table: a cell."""
        if self.v >= 110 or not m.get('reactions'): return
        row['reactions'] = b''.join(sized(1, text(1, r['emoji']) + number(2, int(r['authorId'])) + number(3, int(r['sentTimestamp']))) for r in m['reactions'])

    def reaction_rows(self, table, id, m):
        for r in m.get('reactions', []) if self.v >= 110 else []:
            self.insert('reaction', {'message_id': id, 'is_mms': int(table == 'mms'), 'author_id': int(r['authorId']), 'emoji': r['emoji'], 'date_sent': int(r['sentTimestamp']),
                                     'date_received': int(r['sentTimestamp']) + 5})

    def receipts(self, id, item):
        states = ['sent', 'delivered', 'read', 'viewed', 'skipped']
        for s in item.get('outgoing', {}).get('sendStatus', []):
            self.insert('group_receipts', {'mms_id': id, 'address': s['recipientId'], 'status': states.index(next(k for k in s if isinstance(s[k], dict))), 'timestamp': int(s['timestamp'])})

    def chat_item(self, i):
        """False: this version cannot hold it."""
        if i['chatId'] not in self.chat: return False
        base = SECURE | PUSH | (23 if i['authorId'] == '1' else 20)
        if 'updateMessage' in i: return self.update(i, i['updateMessage'], base)
        name = next((n for n in i if n in ('standardMessage', 'remoteDeletedMessage', 'adminDeletedMessage', 'viewOnceMessage', 'stickerMessage', 'poll', 'giftBadge', 'directStoryReplyMessage')), None)
        if name is None or i['authorId'] not in self.aci: return False
        m = i[name]
        row, extra, mentions = self.row(i, base), set(), []
        if i.get('outgoing', {}).get('sendStatus'): extra.add('receipts')
        if 'pinDetails' in i:
            if self.v < 290: return False
            row.update(pinned_at=int(i['pinDetails']['pinnedAtTimestamp']), pinned_until=int(i['pinDetails'].get('pinExpiresAtTimestamp', (1 << 63) - 1)))
        if name == 'standardMessage':
            if any('mentionAci' in r for r in m.get('text', {}).get('bodyRanges', [])) and self.v < 80: return False
            if i.get('revisions'):
                if self.v < 200: return False
                return self.edited(i, base)
            extra |= self.content(row, m, i)[0]
            mentions = self.content(row, m, i)[1]
        elif name == 'remoteDeletedMessage':
            if self.v >= 290: row['deleted_by'] = int(i['authorId'])
            else: row['remote_deleted'] = 1
        elif name == 'adminDeletedMessage':
            if self.v < 290: return False
            row['deleted_by'] = int(m['adminId'])
        elif name == 'viewOnceMessage':
            row['view_once'] = 1
            extra.add('once')
        elif name == 'giftBadge':
            if self.v < 174: return False
            row.update(type=base | 2 << 32, body=base64.b64encode(sized(1, b'token') + number(2, ['UNOPENED', 'OPENED', 'REDEEMED'].index(m['state']))).decode())
        elif name == 'directStoryReplyMessage':
            if self.v < 174: return False
            row.update(parent_story_id=-5)
            if 'emoji' in m: row.update(type=base | 1 << 32, body=m['emoji'])
            else: row['body'] = m['textReply']['text']['body']
        elif name == 'stickerMessage': extra.add('sticker')
        elif name == 'poll':
            if self.v < 290: return False
            row['body'] = m['question']
        self.reactions(row, m)
        table, id = self.put(row, extra)
        if name == 'standardMessage': self.hang(table, id, m, mentions, i)
        if name == 'stickerMessage':
            s = m['sticker']
            self.attach(id, s.get('data', {}), {'sticker_pack_id': base64.b64decode(s['packId']).hex(), 'sticker_pack_key': 'kk', 'sticker_id': s['stickerId'], 'sticker_emoji': s.get('emoji')}.items())
        if name == 'poll':
            poll = self.insert('poll', {'author_id': int(i['authorId']), 'message_id': id, 'question': m['question'], 'allow_multiple_votes': int(m.get('allowMultiple', False)), 'end_message_id': 999 if m.get('hasEnded') else 0})
            for at, o in enumerate(m['options']):
                option = self.insert('poll_option', {'poll_id': poll, 'option_text': o['option'], 'option_order': at})
                for v in o.get('votes', []): self.insert('poll_vote', {'poll_id': poll, 'poll_option_id': option, 'voter_id': int(v['voterId']), 'vote_count': v['voteCount'], 'vote_state': 4})
                self.insert('poll_vote', {'poll_id': poll, 'poll_option_id': option, 'voter_id': 3, 'vote_count': 1, 'vote_state': 3})  # taken back
        self.reaction_rows(table, id, m)
        self.receipts(id, i)
        return True

    def edited(self, i, base):
        """The first text keeps its row, each edit has one more; the newest is what the others point at."""
        versions = i['revisions'] + [{k: v for k, v in i.items() if k != 'revisions'}]
        ids = [self.ids.get('message', 0) + 1 + n for n in range(len(versions))]
        for n, v in enumerate(versions):
            row = self.row(v, base)
            mentions = self.content(row, v['standardMessage'], v)[1]
            row.update(original_message_id=ids[0] if n else None, latest_revision_id=ids[-1] if n < len(ids) - 1 else None, revision_number=n)
            table, id = self.put(row)
            self.hang(table, id, v['standardMessage'], mentions, v)
            self.receipts(id, v)
        self.reaction_rows(table, ids[-1], i['standardMessage'])
        return True

    # ---- what happened to a chat ----

    def update(self, i, u, base):
        kind, v = next(iter(u.items()))
        row = self.row(i, base)
        extra = {'once'}  # an mms row, where there are two tables
        after = None
        if kind == 'expirationTimerChange': row.update(type=base | TIMER, expires_in=int(v['expiresInMs']))
        elif kind == 'simpleUpdate' and v['type'] == 'IDENTITY_UPDATE': row['type'] = 0x200 | 20 | SECURE | PUSH
        elif kind == 'simpleUpdate' and v['type'] == 'CHANGE_NUMBER' and self.v >= 120: row['type'] = 14
        elif kind == 'simpleUpdate' and v['type'] == 'BLOCKED' and self.v >= 230: row['type'] = base | 0xa << 32
        elif kind == 'profileChange':
            change = sized(1, text(1, v['previousName']) + text(2, v['newName']))
            row['type'] = 7
            if self.v >= 230: row['message_extras'] = sized(3, change)
            else: row['body'] = base64.b64encode(change).decode()
        elif kind == 'individualCall':
            types = {('INCOMING', 'AUDIO_CALL'): 1, ('OUTGOING', 'AUDIO_CALL'): 2, ('INCOMING', 'VIDEO_CALL'): 10, ('OUTGOING', 'VIDEO_CALL'): 11}
            if self.v < 177: return False  # its number is in no table
            row['type'] = {'AUDIO_CALL': 3, 'VIDEO_CALL': 8}[v['type']] if v['state'] == 'MISSED' else types[v['direction'], v['type']]
            after = lambda id: self.insert('call', {'call_id': int(v['callId']), 'message_id': id, 'peer': int(self.chat[i['chatId']]), 'type': int(v['type'] == 'VIDEO_CALL'), 'direction':
                                                    int(v['direction'] == 'OUTGOING'), 'event': {'ACCEPTED': 1, 'NOT_ACCEPTED': 2, 'MISSED': 3}[v['state']], 'timestamp': int(i['dateSent']), 'read': 0})
        elif kind == 'groupChange':
            row['type'] = base | GROUP | GROUP_V2
            if self.v >= 230: row['message_extras'] = sized(1, sized(2, self.group_update(v)))
            else:
                context = self.group_context(v, i)
                if context is None: return False
                row['body'] = base64.b64encode(context).decode()
        elif kind == 'pollTerminate' and self.v >= 290:
            row.update(type=base | 0xc << 32, message_extras=sized(5, text(1, v['question']) + number(2, 1) + number(3, int(v['targetSentTimestamp']))))
        else: return False
        table, id = self.put(row, extra)
        if after: after(id)
        return True

    def group_update(self, v): return signal_backup.message('GroupChangeChatUpdate', v)

    def group_context(self, v, i):
        """As Signal kept it before: what it deciphered of the group's change."""
        by, parts, revision = base64.b64decode, {}, 3
        editor = uuid.UUID(self.aci[i['authorId']]).bytes
        for one in v['updates']:
            name, d = next(iter(one.items()))
            if name == 'groupCreationUpdate': revision = 0
            elif name == 'groupNameUpdate': parts[10] = sized(10, text(1, d['newGroupName']))
            elif name == 'groupMemberAddedUpdate': parts[3] = sized(3, sized(1, by(d['newMemberAci'])) + number(2, 1))
            elif name == 'groupMemberRemovedUpdate': parts[4] = sized(4, by(d['removedAci']))
            elif name == 'groupMemberLeftUpdate': parts[4] = sized(4, by(d['aci']))
            elif name == 'groupAdminStatusUpdate': parts[5] = sized(5, sized(1, by(d['memberAci'])) + number(2, 2 if d.get('wasAdminStatusGranted') else 1))
            elif name == 'groupExpirationTimerUpdate': parts[12] = sized(12, number(1, int(d['expiresInMs']) // 1000))
            elif name == 'groupDescriptionUpdate': parts[20] = sized(20, text(1, d['newDescription']))
            elif name == 'groupAnnouncementOnlyChangeUpdate': parts[21] = number(21, 1 if d.get('isAnnouncementOnly') else 2)
            else: return None
        change = sized(1, editor) + number(2, revision) + b''.join(parts[k] for k in sorted(parts))
        return sized(1, sized(1, b'm' * 32)) + sized(2, change) + sized(3, text(2, 'Nota') + number(6, revision)) + (b'' if revision == 0 else sized(4, text(2, 'Nota')))

    def finish(self, path, header_version, ended=True, extra=(), **how):
        self.parts.append(sized(3, text(1, 'org.thoughtcrime.securesms_preferences') + text(2, 'pref_mms_custom') + text(3, 'x')))
        self.parts.append(sized(9, text(1, 'account.aci_identity_public_key') + sized(2, OWNER_KEY)))
        self.parts.append(sized(7, number(2, 5) + text(3, '3')))  # an avatar of five bytes
        self.parts.append(('blob', b'plaat'))
        self.parts += extra
        if ended: self.parts.append(number(6, 1))
        return seal(self.parts, path, header_version, **how)


def make(frames, path, version, header_version, files, **how):
    """Gives the frames that had a form in this version, and where the parts of the file begin."""
    a, kept = Android(version, files), []
    for f in frames[1:]:
        if 'recipient' in f: a.recipient(f['recipient'])
        elif 'chat' in f: a.thread(f['chat'])
        elif 'chatItem' in f and a.chat_item(f['chatItem']): kept.append(f['chatItem'])
    return kept, a, a.finish(path, header_version, **how)
