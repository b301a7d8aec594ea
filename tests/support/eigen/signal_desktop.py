#!/usr/bin/env python3
"""Makes the folder of Signal Desktop (eigen: of our own making), from the format's facts alone; shares no code with the readers.

make(frames, folder, version, key, files, wal): frames as in Signal's export become rows of messages, conversations, items and callsHistory as
that schema version has them; the database is encrypted page by page as SQLCipher 4 does, and so are the frames of its log.
SQLite is Python's, AES is openssl's.
"""
import base64, hashlib, hmac, json, os, shutil, sqlite3, struct, subprocess, uuid

PAGE, RESERVE = 4096, 80
BODY = PAGE - RESERVE
STYLES = {'BOLD': 1, 'ITALIC': 2, 'SPOILER': 3, 'STRIKETHROUGH': 4, 'MONOSPACE': 5}


def ecb(k, data):
    return subprocess.run(['openssl', 'enc', '-e', '-aes-256-ecb', '-nopad', '-K', k.hex()], input=data, capture_output=True, check=True).stdout


def cbc_many(k, ivs, bodies):
    """CBC of many bodies of one length at a time, block by block, so that openssl runs once a block and not once a page."""
    prev, out = list(ivs), [[] for _ in bodies]
    for at in range(0, len(bodies[0]), 16):
        x = b''.join(bytes(a ^ b for a, b in zip(p, body[at:at + 16])) for p, body in zip(prev, bodies))
        y = ecb(k, x)
        prev = [y[i:i + 16] for i in range(0, len(y), 16)]
        for o, p in zip(out, prev): o.append(p)
    return [b''.join(o) for o in out]


def encrypt(pages, key, salt):
    """pages: (number, 4096 bytes in the clear)."""
    mac_key = hashlib.pbkdf2_hmac('sha512', key, bytes(b ^ 0x3a for b in salt), 2, 32)
    out = {}
    for first in (True, False):
        some = [(i, n, p) for i, (n, p) in enumerate(pages) if (n == 1) == first]
        if not some: continue
        start = 16 if first else 0
        ivs = [os.urandom(16) for _ in some]
        for (i, n, p), iv, c in zip(some, ivs, cbc_many(key, ivs, [p[start:BODY] for _, _, p in some])):
            mac = hmac.new(mac_key, c + iv + struct.pack('<I', n), hashlib.sha512).digest()
            out[i] = (salt if first else b'') + c + iv + mac
    return [out[i] for i in range(len(pages))]


def empty(path):
    h = bytearray(PAGE)
    h[0:16] = b'SQLite format 3\0'
    struct.pack_into('>H', h, 16, PAGE)
    h[18] = h[19] = 1
    h[20], h[21], h[22], h[23] = RESERVE, 64, 32, 32
    struct.pack_into('>I', h, 28, 1)
    struct.pack_into('>I', h, 44, 4)
    struct.pack_into('>I', h, 56, 1)
    h[100] = 0x0d
    struct.pack_into('>H', h, 105, BODY)
    with open(path, 'wb') as f: f.write(h)


def checksum(data, big, s):
    a, b = s
    for x, y in struct.iter_unpack('>II' if big else '<II', data):
        a = (a + x + b) & 0xffffffff
        b = (b + y + a) & 0xffffffff
    return a, b


def seal(db, wal, to, key):
    salt = os.urandom(16)
    with open(db, 'rb') as f: data = f.read()
    with open(to, 'wb') as f:
        f.write(b''.join(encrypt([(i // PAGE + 1, data[i:i + PAGE]) for i in range(0, len(data), PAGE)], key, salt)))
    if not wal or not os.path.exists(wal): return
    with open(wal, 'rb') as f: log = f.read()
    big = bool(log[3] & 1)
    frames = [log[i:i + 24 + PAGE] for i in range(32, len(log), 24 + PAGE)]
    sealed = encrypt([(struct.unpack('>I', f[:4])[0], f[24:]) for f in frames], key, salt)
    s, out = checksum(log[:24], big, (0, 0)), log[:32]
    for f, page in zip(frames, sealed):
        s = checksum(page, big, checksum(f[:8], big, s))
        out += f[:16] + struct.pack('>II', *s) + page
    with open(to + '-wal', 'wb') as f: f.write(out)


SCHEMA = """
CREATE TABLE conversations(id STRING PRIMARY KEY ASC, json TEXT, active_at INTEGER, type STRING, members TEXT, name TEXT, profileName TEXT,
  profileFamilyName TEXT, profileFullName TEXT, e164 TEXT, serviceId TEXT, groupId TEXT, profileLastFetchedAt INTEGER);
CREATE INDEX conversations_serviceId ON conversations(serviceId);
CREATE INDEX conversations_e164 ON conversations(e164);
CREATE TABLE items(id STRING PRIMARY KEY ASC, json TEXT);
CREATE TABLE callsHistory(callId TEXT PRIMARY KEY, peerId TEXT NOT NULL, ringerId TEXT DEFAULT NULL, mode TEXT NOT NULL, type TEXT NOT NULL,
  direction TEXT NOT NULL, status TEXT NOT NULL, timestamp INTEGER NOT NULL);
"""
COLUMNS = ['rowid INTEGER PRIMARY KEY ASC', 'id STRING UNIQUE', 'json TEXT', 'readStatus INTEGER', 'expires_at INTEGER', 'sent_at INTEGER', 'schemaVersion INTEGER',
           'conversationId STRING', 'received_at INTEGER', 'hasAttachments INTEGER', 'expireTimer INTEGER', 'expirationStartTimestamp INTEGER', 'type STRING',
           'body TEXT', 'messageTimer INTEGER', 'isErased INTEGER', 'isViewOnce INTEGER', 'sourceServiceId TEXT', 'serverGuid STRING', 'sourceDevice INTEGER',
           'storyId STRING', 'isStory INTEGER']
LATER = ['timestamp INTEGER', 'received_at_ms INTEGER', 'unidentifiedDeliveryReceived INTEGER', 'serverTimestamp INTEGER', 'source TEXT']
FILES = """CREATE TABLE message_attachments(messageId TEXT NOT NULL REFERENCES messages(id) ON DELETE CASCADE, editHistoryIndex INTEGER NOT NULL,
  attachmentType TEXT NOT NULL, orderInMessage INTEGER NOT NULL, conversationId TEXT NOT NULL, sentAt INTEGER NOT NULL, clientUuid TEXT, size INTEGER NOT NULL,
  contentType TEXT NOT NULL, path TEXT, plaintextHash TEXT, localKey TEXT, caption TEXT, fileName TEXT, version INTEGER, flags INTEGER,
  PRIMARY KEY(messageId, editHistoryIndex, attachmentType, orderInMessage)) STRICT;"""


def uu(b64): return str(uuid.UUID(bytes=base64.b64decode(b64)))


class Desktop:
    def __init__(self, folder, version, files, owner):
        self.folder, self.version, self.files, self.owner = folder, version, files, owner
        os.makedirs(os.path.join(folder, 'sql'))
        os.makedirs(os.path.join(folder, 'attachments.noindex'))
        self.clear = os.path.join(folder, 'clear')
        empty(self.clear)
        self.db = sqlite3.connect(self.clear, isolation_level=None)
        self.db.execute('PRAGMA synchronous=OFF')  # each row commits by itself
        self.db.executescript(SCHEMA + 'CREATE TABLE messages(' + ','.join(COLUMNS + (LATER if version >= 1270 else [])) + ');')
        if version >= 1360: self.db.executescript(FILES)
        self.db.execute(f'PRAGMA user_version={version}')
        self.conv, self.aci, self.chat = {}, {}, {}
        self.n = 0

    def insert(self, table, row):
        self.db.execute(f'INSERT INTO {table}({",".join(row)}) VALUES({",".join("?" * len(row))})', list(row.values()))

    def recipient(self, r):
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, 'eigen' + r['id']))
        j, row = {'id': id, 'version': 2}, {'id': id, 'type': 'private'}
        if 'self' in r:
            row.update(serviceId=self.owner[0], e164=self.owner[1], profileName='Sanne', profileFamilyName='de Vries')
            self.aci[r['id']] = self.owner[0]
        elif 'contact' in r:
            c = r['contact']
            row.update(serviceId=uu(c['aci']), e164='+' + c['e164'] if 'e164' in c else None, profileName=c.get('profileGivenName'),
                       profileFamilyName=c.get('profileFamilyName'))
            j.update({k: v for k, v in (('systemGivenName', c.get('systemGivenName')), ('systemFamilyName', c.get('systemFamilyName')),
                                        ('nicknameGivenName', c.get('nickname', {}).get('given'))) if v})
            self.aci[r['id']] = uu(c['aci'])
        elif 'group' in r:
            g = r['group']
            row.update(type='group', name=g['snapshot']['title']['title'], groupId='eigen')
            j.update(masterKey=g['masterKey'], groupVersion=2, membersV2=[{'aci': uu(m['userId']), 'role': 1} for m in g['snapshot']['members']])
        else:
            return
        self.conv[r['id']] = id
        j['type'] = row['type']
        self.insert('conversations', {**row, 'json': json.dumps(j)})

    def attachment(self, pointer, voice=None):
        l = pointer.get('locatorInfo', {})
        a = {'contentType': pointer.get('contentType', 'application/octet-stream'), 'size': 0}
        if 'fileName' in pointer: a['fileName'] = pointer['fileName']
        if 'plaintextHash' not in l: return a
        digest = base64.b64decode(l['plaintextHash'])
        stem = hashlib.sha256(digest + base64.b64decode(l['localKey'])).hexdigest() if 'localKey' in l else None
        d = os.path.join(self.files, (stem or 'xx')[:2])
        found = [n for n in os.listdir(d) if n.startswith(stem)] if stem and os.path.isdir(d) else []
        a.update(plaintextHash=digest.hex(), size=int(l.get('size', 0)))
        if not found: return a
        with open(os.path.join(d, found[0]), 'rb') as f: plain = f.read()
        local = hashlib.sha512(b'desktop' + stem.encode()).digest()
        import signal_backup
        name = hashlib.sha256(b'name' + stem.encode()).hexdigest()
        os.makedirs(os.path.join(self.folder, 'attachments.noindex', name[:2]), exist_ok=True)
        with open(os.path.join(self.folder, 'attachments.noindex', name[:2], name), 'wb') as f: f.write(signal_backup.seal_file(plain, local))
        a.update(path=f'{name[:2]}/{name}', localKey=base64.b64encode(local).decode(), version=2, size=len(plain))
        return a

    def text(self, m):
        out = {}
        if 'body' in m.get('text', {}): out['body'] = m['text']['body']
        out['bodyRanges'] = [{'start': r['start'], 'length': r['length'], **({'mentionAci': uu(r['mentionAci'])} if 'mentionAci' in r else {'style': STYLES[r['style']]})}
                             for r in m.get('text', {}).get('bodyRanges', [])]
        if 'quote' in m:
            q = m['quote']
            out['quote'] = {'id': int(q.get('targetSentTimestamp', 0)), 'authorAci': self.aci[q['authorId']], 'text': q.get('text', {}).get('body'), 'attachments':
                            [{'contentType': a.get('contentType'), 'fileName': a.get('fileName')} for a in q.get('attachments', [])],
                            'referencedMessageNotFound': 'targetSentTimestamp' not in q}
        if m.get('attachments'): out['attachments'] = [self.attachment(a['pointer']) for a in m['attachments']]
        if 'longText' in m: out['bodyAttachment'] = self.attachment(m['longText'])
        if m.get('linkPreview'):
            out['preview'] = [{k: v for k, v in (('url', p.get('url')), ('title', p.get('title')), ('description', p.get('description')),
                                                 ('date', int(p['date']) if 'date' in p else None)) if v is not None} for p in m['linkPreview']]
        return out

    def message(self, j, files_from):
        """One row: what its version keeps in columns is not in the JSON, and attachments may have a table of their own."""
        self.n += 1
        row = {'id': j['id'], 'conversationId': j['conversationId'], 'type': j['type'], 'sent_at': j['sent_at'], 'received_at': self.n, 'sourceServiceId': j.get('sourceServiceId'),
               'body': j.get('body'), 'expireTimer': j.get('expireTimer'), 'expirationStartTimestamp': j.get('expirationStartTimestamp'),
               'isViewOnce': int(bool(j.get('isViewOnce'))), 'readStatus': j.get('readStatus', 0)}
        if self.version >= 1270:
            row.update({k: j.get(k) for k in ('timestamp', 'received_at_ms', 'unidentifiedDeliveryReceived', 'serverTimestamp', 'source')})
            j = {k: v for k, v in j.items() if k not in row}
        if self.version >= 1360:
            for index, holder in [(-1, j)] + list(enumerate(j.get('editHistory', []))):
                for kind, member in (('attachment', 'attachments'), ('long-message', 'bodyAttachment')):
                    some = holder.pop(member, None)
                    for order, a in enumerate(some if isinstance(some, list) else [some] if some else []):
                        self.insert('message_attachments', {'messageId': row['id'], 'editHistoryIndex': index, 'attachmentType': kind, 'orderInMessage': order,
                                                            'conversationId': row['conversationId'], 'sentAt': row['sent_at'], **a})
        self.insert('messages', {**row, 'json': json.dumps(j, ensure_ascii=False)})

    def chat_item(self, i):
        if i['chatId'] not in self.chat: return False
        sent = int(i['dateSent'])
        j = {'id': str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(i))), 'conversationId': self.conv[self.chat[i['chatId']]], 'sent_at': sent, 'timestamp': sent}
        if 'updateMessage' in i:
            if not self.update(i, i['updateMessage'], j): return False
            self.message(j, None)
            return True
        name = next((n for n in i if n in ('standardMessage', 'remoteDeletedMessage', 'viewOnceMessage', 'stickerMessage', 'poll', 'giftBadge')), None)
        if name is None or i['authorId'] not in self.aci: return False
        m = i[name]
        j['type'] = 'incoming' if 'incoming' in i else 'outgoing'
        if 'incoming' in i:
            j.update(sourceServiceId=self.aci[i['authorId']], received_at_ms=int(i['incoming']['dateReceived']), serverTimestamp=int(i['incoming']['dateServerSent']),
                     readStatus=0 if i['incoming'].get('read') else 1, unidentifiedDeliveryReceived=int(i['incoming'].get('sealedSender', False)))
        else:
            j.update(received_at_ms=int(i['outgoing']['dateReceived']), sendStateByConversationId={
                self.conv[s['recipientId']]: {'status': next(k for k in s if isinstance(s[k], dict)).capitalize(), 'updatedAt': int(s['timestamp'])}
                for s in i['outgoing']['sendStatus'] if s['recipientId'] in self.conv})
        if 'expiresInMs' in i: j['expireTimer'] = int(i['expiresInMs']) // 1000
        if 'expireStartDate' in i: j['expirationStartTimestamp'] = int(i['expireStartDate'])
        if name == 'standardMessage':
            j.update(self.text(m))
            if i.get('revisions'):
                versions = [{**self.text(v['standardMessage']), 'timestamp': int(v['dateSent']), **({'received_at_ms': int(v['incoming']['dateReceived']), 'serverTimestamp':
                            int(v['incoming']['dateServerSent'])} if 'incoming' in v else {})} for v in [i, *reversed(i['revisions'])]]
                first = i['revisions'][0]
                j.update(editHistory=versions, sent_at=int(first['dateSent']), timestamp=int(first['dateSent']), editMessageTimestamp=sent)
        elif name == 'remoteDeletedMessage': j['deletedForEveryone'] = True
        elif name == 'viewOnceMessage': j['isViewOnce'] = True
        elif name == 'giftBadge': j['giftBadge'] = {'state': ['UNOPENED', 'OPENED', 'REDEEMED'].index(m.get('state', 'UNOPENED')), 'level': 1}
        elif name == 'stickerMessage':
            s = m['sticker']
            j['sticker'] = {'packId': base64.b64decode(s['packId']).hex(), 'stickerId': s['stickerId'], 'emoji': s.get('emoji'), **({'data': self.attachment(s['data'])} if 'data' in s else {})}
        elif name == 'poll':
            voters = {}
            for at, o in enumerate(m['options']):
                for v in o.get('votes', []): voters.setdefault((v['voterId'], v['voteCount']), []).append(at)
            j['poll'] = {'question': m['question'], 'allowMultiple': m.get('allowMultiple', False), 'options': [o['option'] for o in m['options']],
                         'votes': [{'fromConversationId': self.conv[w], 'optionIndexes': at, 'voteCount': n, 'timestamp': sent} for (w, n), at in voters.items()]}
            if m.get('hasEnded'): j['poll']['terminatedAt'] = sent + 1
        j['reactions'] = [{'emoji': r['emoji'], 'fromId': self.conv[r['authorId']], 'targetTimestamp': sent, 'timestamp': int(r['sentTimestamp'])} for r in m.get('reactions', [])]
        self.message(j, m)
        return True

    def update(self, i, u, j):
        kind, v = next(iter(u.items()))
        who = self.aci.get(i['authorId'])
        if kind == 'expirationTimerChange':
            j.update(type='timer-notification', expirationTimerUpdate={'expireTimer': int(v['expiresInMs']) // 1000, 'sourceServiceId': who}, flags=2)
        elif kind == 'simpleUpdate' and v['type'] == 'IDENTITY_UPDATE': j.update(type='keychange', key_changed=who)
        elif kind == 'profileChange':
            j.update(type='profile-change', changedId=self.conv[i['authorId']], profileChange={'type': 'name', 'oldName': v['previousName'], 'newName': v['newName']})
        elif kind == 'individualCall':
            j.update(type='call-history', callId=v['callId'], sourceServiceId=who)
            self.insert('callsHistory', {'callId': v['callId'], 'peerId': who, 'ringerId': who, 'mode': 'Direct', 'type': v['type'].split('_')[0].capitalize(),
                                         'direction': v['direction'].capitalize(), 'status': v['state'].capitalize(), 'timestamp': int(v['startedCallTimestamp'])})
        elif kind == 'groupChange':
            details = []
            for one in v['updates']:
                name, d = next(iter(one.items()))
                if name == 'groupCreationUpdate': details.append({'type': 'create'})
                elif name == 'groupNameUpdate': details.append({'type': 'title', 'newTitle': d['newGroupName']})
                elif name == 'groupMemberRemovedUpdate': details.append({'type': 'member-remove', 'aci': uu(d['removedAci'])})
                else: details.append({'type': 'eigen-' + name, 'what': d})
            j.update(type='group-v2-change', groupV2Change={'from': who, 'details': details})
        else:
            return False
        return True

    def finish(self, key, config, more=()):
        """more: items that come to stand in the log only."""
        self.insert('items', {'id': 'uuid_id', 'json': json.dumps({'id': 'uuid_id', 'value': self.owner[0] + '.2'})})
        self.insert('items', {'id': 'number_id', 'json': json.dumps({'id': 'number_id', 'value': self.owner[1] + '.2'})})
        if more:
            self.db.execute('PRAGMA journal_mode=WAL')
            self.db.execute('PRAGMA wal_autocheckpoint=0')
            for i in more: self.chat_item(i)
            shutil.copyfile(self.clear + '-wal', self.clear + '.log')
            shutil.copyfile(self.clear, self.clear + '.main')
            seal(self.clear + '.main', self.clear + '.log', os.path.join(self.folder, 'sql', 'db.sqlite'), key)
        self.db.close()
        if not more: seal(self.clear, None, os.path.join(self.folder, 'sql', 'db.sqlite'), key)
        for n in os.listdir(self.folder):
            if n.startswith('clear'): os.remove(os.path.join(self.folder, n))
        with open(os.path.join(self.folder, 'config.json'), 'w') as f: json.dump(config, f)


def sealed_config(key, backend, secret, rounds=1, prefix=b'v11'):
    k = hashlib.pbkdf2_hmac('sha1', secret.encode(), b'saltysalt', rounds, 16)
    c = subprocess.run(['openssl', 'enc', '-e', '-aes-128-cbc', '-K', k.hex(), '-iv', (b' ' * 16).hex()], input=key.hex().encode(), capture_output=True, check=True).stdout
    return {'encryptedKey': (prefix + c).hex(), 'safeStorageBackend': backend}


def make(frames, folder, version, key, files, config=None, log=0):
    """Gives the frames that had a form in Desktop; the last `log` of them stand in the log only."""
    d, kept = Desktop(folder, version, files, ('e1e1e1e1-0000-4000-8000-000000000001', '+31600000001')), []
    items = []
    for f in frames[1:]:
        if 'recipient' in f:
            d.recipient(f['recipient'])
        elif 'chat' in f:
            if f['chat']['recipientId'] in d.conv: d.chat[f['chat']['id']] = f['chat']['recipientId']
        elif 'chatItem' in f:
            items.append(f['chatItem'])
    head, tail = (items[:-log], items[-log:]) if log else (items, [])
    kept = [i for i in head if d.chat_item(i)]
    d.finish(key, config or {'key': key.hex()}, tail)
    return kept + tail
