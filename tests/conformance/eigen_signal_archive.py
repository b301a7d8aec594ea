#!/usr/bin/env python3
"""signal-archive on backups of our own making (eigen): a whole SignalBackups folder with sealed media, made from the format's facts alone.

eigen_signal_archive.py SOURCE_DUMP SUPPORT FIXTURE (tests/fixtures/eigen-signal)
"""
import base64, json, os, shutil, subprocess, sys, tempfile

dump, support, fixture = sys.argv[1:4]
sys.path.insert(0, support)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shown
import signal_backup as made
from reader_check import Check, tree
from signal_archive import whole

KEY, ACI = 'eigen7w0' * 8, 'e1e1e1e1-0000-4000-8000-000000000001'
os.environ.update(EIGEN_KEY=KEY, EIGEN_ACI=ACI)
c = Check(dump)
# What no protobuf can hold (names of a future Signal in JSON) and a person whom no frame tells of are the export's own cases.
UNREAL = ('"99"', 'toekomst', 'Toekomst', 'nieuwVeld')
with open(os.path.join(fixture, 'main.jsonl'), encoding='utf-8') as f: lines = [l for l in f if not any(u in l for u in UNREAL)]
with tempfile.TemporaryDirectory() as tmp:
    export, phone = os.path.join(tmp, 'export'), os.path.join(tmp, 'phone')
    shutil.copytree(fixture, export)
    with open(os.path.join(export, 'main.jsonl'), 'w', encoding='utf-8') as f: f.writelines(lines)
    made.archive(made.read_frames(os.path.join(export, 'main.jsonl')), phone, os.path.join(export, 'files'))
    snapshot = os.path.join(phone, 'SignalBackups', 'signal-backup-2025-10-09-12-00-00')
    before = tree(phone)

    # One conversation, two encodings: the same ids, people, texts and digests.
    a, b = c.records('signal-archive', phone, 'key=' + KEY), c.records('signal-export', export)
    c.that('as many records as the export', len(a) == len(b) and len(a) >= 30, f'{len(a)} {len(b)}')
    for x, y in zip(a, b):
        x, y = whole(x), whole(y)
        c.that('record ' + x['id'], x == y, str({k: (x.get(k), y.get(k)) for k in set(x) | set(y) if x.get(k) != y.get(k)}))
    shown.note('signal_archive_eigen', 'signal-archive', 'eigen', 'a folder with sealed media', a, ('incremental',))  # tests/integration/sightings.sh
    hashed = [t for r in a for t in r.get('attachments', []) if 'loss' not in t]
    c.that('attachments are opened with their local keys', len(hashed) >= 2, str(len(hashed)))
    c.that('the owner is known by the archive itself', any(r.get('author', {}).get('id') == ACI for r in a))

    # Every place it may be given as.
    for path in (os.path.join(phone, 'SignalBackups'), snapshot, os.path.join(snapshot, 'main')):
        c.that(path, c.records('signal-archive', path, 'key=' + KEY) == a)
    spaced = ' '.join(KEY[i:i + 4] for i in range(0, 64, 4)).upper()
    c.that('the key as the app shows it', c.records('signal-archive', phone, 'key=' + spaced) == a)
    c.that('nothing in the folder was made or changed', tree(phone) == before)

    # Frames in the clear, and a file alone, with and without a token.
    frames = made.read_frames(os.path.join(export, 'main.jsonl'))
    plain, alone, token = os.path.join(tmp, 'plain.binproto'), os.path.join(tmp, 'alone'), 'c3' * 32
    with open(plain, 'wb') as f: f.write(made.encode(frames))
    c.that('frames in the clear', [r['id'] for r in c.records('signal-archive', plain, 'account=' + ACI)] == [r['id'] for r in a])
    aci = bytes.fromhex(ACI.replace('-', ''))
    with open(alone, 'wb') as f: f.write(made.seal(made.encode(frames), made.backup_id(aci)))
    c.that('a file alone', len(c.records('signal-archive', alone, 'key=' + KEY, 'account=' + ACI)) == len(a))
    c.refused('a file alone without the account', 64, 'account=UUID', 'signal-archive', alone, 'key=' + KEY)
    with open(alone, 'wb') as f: f.write(made.seal(made.encode(frames), made.backup_id(aci), bytes.fromhex(token)))
    c.that('with a token', len(c.records('signal-archive', alone, 'key=' + KEY, 'account=' + ACI, 'token=' + token)) == len(a))
    c.refused('without its token', 64, 'token=@FILE', 'signal-archive', alone, 'key=' + KEY, 'account=' + ACI)
    c.refused('another token', 1, 'does not open it', 'signal-archive', alone, 'key=' + KEY, 'account=' + ACI, 'token=' + 'd4' * 32)

    # Keys.
    c.refused('another key', 1, 'does not open it', 'signal-archive', phone, 'key=' + 'f' + KEY[1:])
    c.refused('no key', 64, 'key=@FILE', 'signal-archive', phone)
    c.refused('half a key', 1, '64 letters and digits', 'signal-archive', phone, 'key=' + KEY[:30])

    # An attachment that was changed, cut or is gone is said to be so; the message stays.
    media = [os.path.join(d, n) for d, _, names in os.walk(os.path.join(phone, 'SignalBackups', 'files')) for n in names]
    for path in media:
        with open(path, 'rb') as f: good = f.read()
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), good[:20] + bytes([good[20] ^ 8]) + good[21:], good[:len(good) // 2], b''):
            with open(path, 'wb') as f: f.write(bad)
            r = c.records('signal-archive', phone, 'key=' + KEY)
            c.that('a changed file', sum(t.get('loss') == 'changed' for x in r for t in x.get('attachments', [])) >= 1 and len(r) == len(a))
        os.remove(path)
        r = c.records('signal-archive', phone, 'key=' + KEY)
        c.that('a missing file', sum(t.get('loss') == 'missing' for x in r for t in x.get('attachments', [])) >= 1 and len(r) == len(a))

    # Damage in the middle of frames in the clear: before and after it all is read, and every conversation says what is missing.
    parts = [made.sized(made.message('BackupInfo' if i == 0 else 'Frame', f)) for i, f in enumerate(frames)]
    middle = next(i for i, f in enumerate(frames) if 'standardMessage' in f.get('chatItem', {}))
    broken = b''.join(parts[:middle]) + made.sized(b'\xff' * 40) + b''.join(parts[middle + 1:])
    with open(plain, 'wb') as f: f.write(broken)
    r = c.records('signal-archive', plain, 'account=' + ACI)
    gaps = [x for x in r if x['kind'] == 'gap' and x['event'] == 'source-damaged']
    c.that('a frame that is none', len(gaps) == len({x['conversation']['id'] for x in r}) and len(gaps) >= 3, str(len(gaps)))
    c.that('what stands behind the damage', [x['id'] for x in r if x not in gaps][-1] == a[-1]['id'])
    c.that('the gap says where', all(x['fields']['frame'] == middle + 1 for x in gaps), str([x['fields'] for x in gaps]))
    with open(plain, 'wb') as f: f.write(b''.join(parts)[:-7])
    r = c.records('signal-archive', plain, 'account=' + ACI)
    c.that('a cut end', sum(x.get('event') == 'source-damaged' for x in r) >= 3)

    # What no table knows is kept: a kind of item, a field, a frame.
    odd = json.loads(lines[0]), {'account': {}}, {'recipient': {'id': '1', 'self': {}}}, {'chat': {'id': '1', 'recipientId': '1'}}
    item = {'chatId': '1', 'authorId': '1', 'dateSent': '1760000000000', 'outgoing': {}}
    raw = base64.b64encode(b'nog onbekend').decode()
    with open(plain, 'wb') as f:
        f.write(made.encode([*odd, {'chatItem': {**item, 'field-77': raw}}, {'chatItem': {**item, 'standardMessage': {'text': {'body': 'x'}, 'field-99': raw}}},
                             {'field-60': raw}]))
    code, out, why = c.read('signal-archive', plain)
    c.that('an unknown kind of item is an event with its bytes', out[0]['event'] == 'unknown' and out[0]['fields']['code'] == 'field-77' and
           out[0]['fields']['signal.field-77'] == raw, str(out[:1]))
    c.that('an unknown field stays', out[1]['fields'].get('signal.standardMessage.field-99') == raw, str(out[1:2]))
    c.that('an unknown frame is told', any(l['kind'] == 'skipped' and 'field-60' in l['what'] for l in out), str(out))

    # Hostile: 100,000 items deep in one another, then cut and turned bits.
    deep = made.message('ChatItem', item)
    for _ in range(100000): deep = made.key(6, 2) + made.sized(deep)
    with open(plain, 'wb') as f: f.write(made.encode(odd) + made.sized(made.key(4, 2) + made.sized(deep)) + made.sized(made.message('Frame', {'chatItem': {
        **item, 'standardMessage': {'text': {'body': 'daarna'}}}})))
    r = c.records('signal-archive', plain)
    c.that('100,000 deep', [x['kind'] for x in r] == ['message', 'gap'], str([x['kind'] for x in r]))
    victim = os.path.join(tmp, 'victim')

    def put(b):
        with open(victim, 'wb') as f: f.write(b)
        return victim

    with open(plain, 'wb') as f: f.write(made.encode(frames * 1))
    codes = c.hostile('signal-archive', plain, ['account=' + ACI], 400, put)
    c.that('some of them are read, some refused', codes.get(0, 0) > 50 and codes.get(1, 0) > 0, str(codes))
    with open(alone, 'wb') as f: f.write(made.seal(made.encode(frames), made.backup_id(aci)))
    codes = c.hostile('signal-archive', alone, ['key=' + KEY, 'account=' + ACI], 100, put)
    c.that('an encrypted file with one bit turned is refused', codes.get(0, 0) == 0, str(codes))

    # Large: memory does not follow size.  120,000 messages in 40 chats.
    big = os.path.join(tmp, 'big')
    with open(big, 'wb') as f:
        f.write(made.encode([odd[0], odd[1], odd[2]] + [{'recipient': {'id': str(100 + i), 'contact': {'e164': str(31600000000 + i)}}} for i in range(40)] +
                            [{'chat': {'id': str(100 + i), 'recipientId': str(100 + i)}} for i in range(40)]))
        text = 'Een bericht van gewone lengte over de nota van vanmiddag. ' * 3
        for i in range(120000):
            f.write(made.sized(made.key(4, 2) + made.sized(made.message('ChatItem', {
                'chatId': str(100 + i % 40), 'authorId': str(100 + i % 40), 'dateSent': str(1760000000000 + i), 'incoming': {'read': True},
                'standardMessage': {'text': {'body': text}}}))))
    c.that('a large one', len(c.records('signal-archive', big)) == 120000)
sys.exit(c.end(80))
