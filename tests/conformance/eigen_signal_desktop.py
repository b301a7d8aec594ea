#!/usr/bin/env python3
"""signal-desktop on folders of our own making (eigen): whole encrypted databases of several schema versions, made from the format's facts alone.

eigen_signal_desktop.py SOURCE_DUMP SUPPORT FIXTURE (tests/fixtures/eigen-signal) FIXTURES (of others; the SQLCipher container, where it is there)
"""
import json, os, shutil, sqlite3, sys, tempfile

dump, support, fixture, others = sys.argv[1:5]
sys.path.insert(0, support)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shown, signal_backup, signal_desktop as made
from reader_check import Check, tree

KEY = bytes(range(7, 39))
c = Check(dump)
with open(os.path.join(fixture, 'main.jsonl'), encoding='utf-8') as f: frames = [json.loads(l) for l in f if not any(u in l for u in ('"99"', 'oekomst', 'nieuwVeld'))]
# A change of a group that no table knows, between two that are.
frames.append({'chatItem': {'chatId': '10', 'authorId': '1', 'dateSent': '1760000014500', 'directionless': {}, 'updateMessage': {'groupChange': {'updates': [
    {'groupNameUpdate': {'updaterAci': '4eHh4QAAQACAAAAAAAAAAQ==', 'newGroupName': 'Nota'}}, {'groupEigenUpdate': {'nieuw': 1}},
    {'groupMemberRemovedUpdate': {'removerAci': '4eHh4QAAQACAAAAAAAAAAQ==', 'removedAci': '4eHh4QAAQACAAAAAAAAABA=='}}]}}}})
# What Desktop says of a message, and what makes it the same message as the one another source of Signal tells of.
SAME = ('kind', 'id', 'conversation', 'author', 'sent', 'text', 'target', 'target_author', 'target_sent', 'quote', 'value', 'event', 'options', 'times')


def same(r):
    out = {k: r.get(k) for k in SAME}
    out['conversation'] = {k: r['conversation'].get(k) for k in ('id', 'name', 'type')}
    out['files'] = [(a.get('name'), a.get('type'), a.get('sha256')) for a in r.get('attachments', [])]
    out['fields'] = {k: v for k, v in r.get('fields', {}).items() if k.split('.')[0] in ('mentions', 'styles', 'deliveries', 'direction', 'code')}
    return out


def agree(what, got, export):
    want = {r['id']: same(r) for r in export}
    have = {r['id']: same(r) for r in got}
    c.that(f'{what}: the same records', set(want) == set(have), str(sorted(set(want) ^ set(have))))
    for i in sorted(set(want) & set(have)):
        c.that(f'{what}: {i}', want[i] == have[i], str({k: (want[i][k], have[i][k]) for k in want[i] if want[i][k] != have[i][k]}))


with tempfile.TemporaryDirectory() as tmp:
    files = os.path.join(fixture, 'files')
    for version in (88, 1000, 1270, 1360, 1830):
        folder, export = os.path.join(tmp, str(version)), os.path.join(tmp, f'export{version}')
        kept = made.make(json.loads(json.dumps(frames)), folder, version, KEY, files)
        shutil.copytree(fixture, export)
        with open(os.path.join(export, 'main.jsonl'), 'w', encoding='utf-8') as f:
            for x in frames:
                if 'adHocCall' not in x and ('chatItem' not in x or x['chatItem'] in kept): f.write(json.dumps(x, ensure_ascii=False) + '\n')
        before = tree(folder)
        got = c.records('signal-desktop', folder)
        wanted = c.records('signal-export', export, 'number=+31600000001')
        unknown = [r for r in got if r.get('event') == 'unknown']
        c.that(f'{version}: changes of a group that are not known are kept', len(unknown) >= 1 and all('raw' in r['fields'] for r in unknown), str(unknown)[:300])
        agree(f'schema {version}', [r for r in got if r.get('event') != 'unknown'], [r for r in wanted if r.get('event') != 'unknown'])
        c.that(f'{version}: attachments', sum('sha256' in a and 'loss' not in a for r in got for a in r.get('attachments', [])) >= 2)
        c.that(f'{version}: nothing in the folder was made or changed', tree(folder) == before)
        shown.note('signal_desktop_eigen', 'signal-desktop', 'eigen', f'schema {version}', got)
        c.that(f'{version}: one conversation is told by two sources', {r['conversation']['id'] for r in got} <= {r['conversation']['id'] for r in wanted})

    # The log: what stands only there is read too.
    plain, log = os.path.join(tmp, 'nolog'), os.path.join(tmp, 'log')
    kept = made.make(json.loads(json.dumps(frames)), plain, 1360, KEY, files)
    made.make([f for f in json.loads(json.dumps(frames)) if 'chatItem' not in f or f['chatItem'] in kept], log, 1360, KEY, files, log=3)
    c.that('there is a log', os.path.getsize(os.path.join(log, 'sql', 'db.sqlite-wal')) > 4096)
    before, a, b = tree(log), c.records('signal-desktop', plain), c.records('signal-desktop', log)
    c.that('with a log', sorted(r['id'] for r in a) == sorted(r['id'] for r in b), str({r['id'] for r in a} ^ {r['id'] for r in b}))
    c.that('a folder with a log is left as it was', tree(log) == before)
    cut = os.path.join(tmp, 'cut')
    shutil.copytree(log, cut)
    with open(os.path.join(cut, 'sql', 'db.sqlite-wal'), 'r+b') as f: f.truncate(os.path.getsize(f.name) // 2)
    c.that('a log torn in the middle ends where it was whole', len(c.records('signal-desktop', cut)) < len(b))

    # Keys: in the configuration, sealed in the ways of a keystore, given; and wrong.
    def config(**k):
        with open(os.path.join(plain, 'config.json'), 'w') as f: json.dump(k, f)

    db = os.path.join(plain, 'sql', 'db.sqlite')
    config(**made.sealed_config(KEY, 'basic_text', 'peanuts', prefix=b'v10'))
    c.that('basic_text', c.records('signal-desktop', plain) == a)
    config(**made.sealed_config(KEY, 'gnome_libsecret', 'geheim van de sleutelbos'))
    c.that('a keystore\'s secret, given', c.records('signal-desktop', plain, 'secret=geheim van de sleutelbos') == a)
    c.refused('another secret', 1, 'does not open the key', 'signal-desktop', plain, 'secret=iets anders')
    c.refused('a keystore that is not here', 64, 'secret=@FILE', 'signal-desktop', plain)
    config(**made.sealed_config(KEY, 'keychain', 'sleutelhanger', rounds=1003, prefix=b'v10'))
    c.that('macOS', c.records('signal-desktop', plain, 'secret=sleutelhanger') == a)
    c.that('the key, given', c.records('signal-desktop', plain, 'key=' + KEY.hex()) == a)
    c.that('the database alone', len(c.records('signal-desktop', db, 'key=' + KEY.hex())) == len(a))
    config(key='00' * 32)
    c.refused('another key in the configuration', 1, 'does not open it', 'signal-desktop', plain)
    c.refused('half a key', 1, '64 hexadecimal digits', 'signal-desktop', plain, 'key=' + KEY.hex()[:30])
    os.remove(os.path.join(plain, 'config.json'))
    c.refused('no key anywhere', 64, 'key=@FILE', 'signal-desktop', plain)

    # Schemas that are not known are refused by their number.
    for version in (87, 1831, 99990):
        folder = os.path.join(tmp, f'v{version}')
        made.make(json.loads(json.dumps(frames[:12])), folder, version, KEY, files)
        c.refused(f'schema {version}', 1, f'version {version}', 'signal-desktop', folder)

    # Damaged pages: what can be read is read, and each conversation says that something is missing.
    big = os.path.join(tmp, 'big')
    some = [f for f in json.loads(json.dumps(frames)) if 'chatItem' not in f]
    text = 'Een bericht van gewone lengte over de nota van vanmiddag. ' * 3
    for n in range(20000):
        some.append({'chatItem': {'chatId': '11', 'authorId': '3', 'dateSent': str(1760000100000 + n), 'incoming': {'dateReceived': str(1760000100000 + n),
                     'dateServerSent': str(1760000100000 + n), 'read': True}, 'standardMessage': {'text': {'body': f'{n} {text}'}}}})
    made.make(some, big, 1360, KEY, files)
    whole = c.records('signal-desktop', big)
    c.that('20,000 messages', len(whole) == 20000)
    path = os.path.join(big, 'sql', 'db.sqlite')
    pages = os.path.getsize(path) // 4096
    for page in (pages // 2, pages - 20):
        with open(path, 'r+b') as f:
            f.seek(page * 4096 + 100)
            old = f.read(1)
            f.seek(page * 4096 + 100)
            f.write(bytes([old[0] ^ 1]))
    r = c.records('signal-desktop', big)
    gaps = [x for x in r if x['kind'] == 'gap']
    c.that('around damaged pages', 15000 < len(r) < 20000 and r[0]['id'] == whole[0]['id'], str(len(r)))
    c.that('the gap is told', len(gaps) >= 1 and all(x['event'] == 'source-damaged' for x in gaps), str(gaps[:2]))
    c.that('what stands behind the damage is read', any(x['id'] == whole[-1]['id'] for x in r))

    # Hostile bytes: the database cut at every KiB and with bits turned.
    victim = os.path.join(tmp, 'victim')

    def put(b):
        with open(victim, 'wb') as f: f.write(b)
        return victim

    codes = c.hostile('signal-desktop', db, ['key=' + KEY.hex()], 60, put)
    c.that('some refused, some read', codes.get(1, 0) > 0 and codes.get(0, 0) > 0, str(codes))

    # A row whose JSON is 100,000 deep: the row costs itself at most.
    deep = os.path.join(tmp, 'deep')
    d = made.Desktop(deep, 1360, files, ('e1e1e1e1-0000-4000-8000-000000000001', '+31600000001'))
    d.recipient({'id': '1', 'self': {}})
    d.insert('messages', {'id': 'diep', 'conversationId': d.conv['1'], 'type': 'outgoing', 'sent_at': 1760000000000, 'timestamp': 1760000000000, 'received_at': 1,
                          'body': 'diep', 'json': '{"a":' + '[' * 100000 + ']' * 100000 + '}'})
    d.finish(KEY, {'key': KEY.hex()})
    r = c.records('signal-desktop', deep)
    c.that('100,000 deep', [x.get('text') for x in r] == ['diep'], str(r)[:300])

    # The container as SQLCipher itself writes it, on a file of its makers.
    theirs = os.path.join(os.environ.get('KLUIS_FIXTURES', others), 'sqlcipher', 'sqlcipher-4.0-testkey.db')
    if os.path.exists(theirs):
        import hashlib
        with open(theirs, 'rb') as f: salt = f.read(16)
        raw = hashlib.pbkdf2_hmac('sha512', b'testkey', salt, 256000, 32)
        c.refused('SQLCipher\'s own file opens, and is not Signal\'s', 1, 'opened, but not a database of Signal Desktop', 'signal-desktop', theirs, 'key=' + raw.hex())
        c.refused('with another key it does not', 1, 'does not open it', 'signal-desktop', theirs, 'key=' + '11' * 32)
    else:
        print(f'not seen: {theirs} is not on this machine')
sys.exit(c.end(100))
