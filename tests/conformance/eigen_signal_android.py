#!/usr/bin/env python3
"""signal-android on backup files of our own making (eigen): whole enciphered files of several schema versions, made from the format's facts alone.

eigen_signal_android.py SOURCE_DUMP SUPPORT FIXTURE (tests/fixtures/eigen-signal)
"""
import hashlib, json, os, shutil, struct, sys, tempfile

dump, support, fixture = sys.argv[1:4]
sys.path.insert(0, support)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shown, signal_android as made
from reader_check import Check, tree

c = Check(dump)
KIND, PASS = 'signal-android', 'passphrase=' + made.PASSPHRASE
SANNE, JORIS, FATIMA = '4eHh4QAAQACAAAAAAAAAAQ==', '4eHh4QAAQACAAAAAAAAAAw==', '4eHh4QAAQACAAAAAAAAABA=='
with open(os.path.join(fixture, 'main.jsonl'), encoding='utf-8') as f:
    frames = [json.loads(l) for l in f if not any(u in l for u in ('"99"', 'oekomst', 'nieuwVeld', 'adHocCall'))]


def item(ms, chat='10', who='1', **k): return {'chatItem': {'chatId': chat, 'authorId': who, 'dateSent': str(1760000000000 + ms), **k}}
def sent(ms): return {'outgoing': {'dateReceived': str(1760000000000 + ms), 'sendStatus': []}}
def got(ms): return {'incoming': {'dateReceived': str(1760000000000 + ms + 40), 'dateServerSent': str(1760000000000 + ms + 20), 'read': True}}


frames += [
    item(40000, directionless={}, updateMessage={'groupChange': {'updates': [
        {'groupMemberAddedUpdate': {'updaterAci': SANNE, 'newMemberAci': FATIMA}}, {'groupMemberRemovedUpdate': {'removerAci': SANNE, 'removedAci': JORIS}},
        {'groupAdminStatusUpdate': {'updaterAci': SANNE, 'memberAci': FATIMA, 'wasAdminStatusGranted': True}}, {'groupNameUpdate': {'updaterAci': SANNE, 'newGroupName': 'Nota 2'}},
        {'groupExpirationTimerUpdate': {'updaterAci': SANNE, 'expiresInMs': '3600000'}}, {'groupDescriptionUpdate': {'updaterAci': SANNE, 'newDescription': 'Over stikstof'}},
        {'groupAnnouncementOnlyChangeUpdate': {'updaterAci': SANNE, 'isAnnouncementOnly': True}}]}}),
    item(41000, who='3', directionless={}, updateMessage={'groupChange': {'updates': [{'groupMemberLeftUpdate': {'aci': JORIS}}]}}),
    item(42000, '11', '3', **got(42000), directStoryReplyMessage={'emoji': '😮'}),
    item(43000, '11', '3', **got(43000), directStoryReplyMessage={'textReply': {'text': {'body': 'Mooi verhaal'}}}),
    item(44000, '11', '3', directionless={}, updateMessage={'simpleUpdate': {'type': 'CHANGE_NUMBER'}}),
    item(45000, '11', '3', directionless={}, updateMessage={'simpleUpdate': {'type': 'BLOCKED'}}),
    item(46000, '11', '1', directionless={}, updateMessage={'individualCall': {'callId': '78', 'type': 'AUDIO_CALL', 'direction': 'OUTGOING', 'state': 'ACCEPTED', 'startedCallTimestamp': '1760000046000'}}),
    item(47000, '11', '3', **got(47000), expiresInMs='604800000', expireStartDate='1760000047500', standardMessage={'text': {'body': 'Dit verdwijnt over een week'}}),
    item(48000, **sent(48000), pinDetails={'pinnedAtTimestamp': '1760000049000', 'pinNeverExpires': True}, standardMessage={'text': {'body': 'Vastgezet'}}),
]
SAME = ('kind', 'id', 'conversation', 'author', 'sent', 'text', 'target', 'target_author', 'target_sent', 'quote', 'value', 'event', 'options', 'times')


def same(r):
    out = {k: r.get(k) for k in SAME}
    out['conversation'] = {k: r['conversation'].get(k) for k in ('id', 'name', 'type')}
    out['files'] = [(a.get('name'), a.get('type'), None if 'loss' in a else a.get('sha256')) for a in r.get('attachments', [])]
    out['fields'] = {k: v for k, v in r.get('fields', {}).items() if k.split('.')[0] in ('mentions', 'styles', 'deliveries', 'direction', 'code', 'item', 'link', 'new-group-name')}
    return out


def agree(what, got, export):
    want = {r['id']: same(r) for r in export}
    have = {r['id']: same(r) for r in got}
    c.that(f'{what}: the same records', set(want) == set(have), str(sorted(set(want) ^ set(have))))
    for i in sorted(set(want) & set(have)):
        c.that(f'{what}: {i}', want[i] == have[i], str({k: (want[i][k], have[i][k]) for k in want[i] if want[i][k] != have[i][k]}))


with tempfile.TemporaryDirectory() as tmp:
    files = os.path.join(fixture, 'files')
    last = None
    for version, header in ((65, 0), (120, 0), (170, 1), (180, 1), (190, 1), (220, 1), (290, 1)):
        folder, export = os.path.join(tmp, str(version)), os.path.join(tmp, f'export{version}')
        os.mkdir(folder)
        path = os.path.join(folder, 'signal-2026-10-01-03-00-00.backup')
        kept, a, places = made.make(json.loads(json.dumps(frames)), path, version, header, files)
        c.that(f'{version}: most have a form', len(kept) >= 12, str(len(kept)))
        shutil.copytree(fixture, export)
        with open(os.path.join(export, 'main.jsonl'), 'w', encoding='utf-8') as f:
            for x in frames:
                if 'chatItem' not in x or x['chatItem'] in kept: f.write(json.dumps(x, ensure_ascii=False) + '\n')
        before = tree(folder)
        records = c.records(KIND, path, PASS)
        wanted = c.records('signal-export', export, 'number=+31600000001')
        agree(f'schema {version}', records, wanted)
        c.that(f'{version}: attachments', sum('sha256' in x and 'loss' not in x for r in records for x in r.get('attachments', [])) >= 2)
        c.that(f'{version}: nothing in the folder was made or changed', tree(folder) == before)
        c.that(f'{version}: by its folder', c.records(KIND, folder, PASS) == records)
        shown.note('signal_android_eigen', KIND, 'eigen', f'schema {version}', records)
        last = (path, records, a, places, kept)

    path, whole, a, places, kept = last
    loss = {t for r in whole for t in r.get('loss', [])}
    c.that('says what such a file leaves out', {'disappearing-messages', 'expired-messages'} <= loss, str(loss))

    # The passphrase: in groups, wrong, half, missing, in the open.
    groups = ' '.join(made.PASSPHRASE[i:i + 5] for i in range(0, 30, 5))
    c.that('in groups of five', c.records(KIND, path, 'passphrase=' + groups) == whole)
    c.refused('another passphrase', 1, 'this passphrase does not open it', KIND, path, 'passphrase=' + made.PASSPHRASE[::-1])
    c.refused('half a passphrase', 1, 'not 30 digits', KIND, path, 'passphrase=' + made.PASSPHRASE[:20])
    c.refused('none', 64, 'passphrase=@FILE', KIND, path)
    c.refused('another option', 64, 'is not one', KIND, path, PASS, 'kleur=rood')
    c.refused('something else', 1, 'does not begin as one', KIND, os.path.join(fixture, 'main.jsonl'), PASS)
    c.refused('an empty folder', 1, 'no signal-', KIND, os.path.join(fixture, 'files', 'b5'), PASS)
    made.seal(a.parts, os.path.join(tmp, 'v2.backup'), 2)
    c.refused('a version that is not known', 1, 'version 2', KIND, os.path.join(tmp, 'v2.backup'), PASS)

    # What a later reading of a grown file gives holds what an earlier one gave.
    early = os.path.join(tmp, 'early.backup')
    made.make(json.loads(json.dumps([f for f in frames if 'chatItem' not in f or f['chatItem'] in kept[:10]])), early, 290, 1, files)
    fewer = c.records(KIND, early, PASS)
    c.that('an earlier file', 0 < len(fewer) < len(whole) and {r['id'] for r in fewer} <= {r['id'] for r in whole})
    shown.note('signal_android_grown', KIND, 'eigen', 'schema 290, grown', whole, ['incremental'])

    # Damage.  Bits turned in a frame cost that frame; in the bytes of an attachment, that attachment; a length costs what is up to the next frame.
    with open(path, 'rb') as f: data = f.read()
    victim = os.path.join(tmp, 'victim.backup')

    def put(b):
        with open(victim, 'wb') as f: f.write(b)
        return victim

    def turned(at, bytes_=1):
        b = bytearray(data)
        for k in range(bytes_): b[at + k] ^= 0xff
        return put(bytes(b))

    rows = [i for i, p in enumerate(a.parts) if isinstance(p, bytes) and b'INSERT INTO message ' in p]
    blobs = [i for i, p in enumerate(a.parts) if isinstance(p, tuple)]
    one = rows[len(rows) // 2]
    for what, at, n, least, gap in (('the middle of a frame', places[one] + 20, 1, 1, True), ('the length of a frame', places[one], 4, 1, True), ('eight frames', places[one], places[one + 8] - places[one], 1, True),
                                    ('a frame before an attachment', places[blobs[0] - 1] + 6, 1, 0, True), ('an attachment', places[blobs[0]] + 3, 1, 0, False)):
        r = c.records(KIND, turned(at, n), PASS)
        gaps = [x for x in r if x.get('event') == 'source-damaged']
        c.that(f'{what}: told' if gap else f'{what}: no gap', bool(gaps) == gap, str(len(gaps)))
        ids = {x['id'] for x in r if x.get('event') != 'source-damaged'}
        missing = {x['id'] for x in whole} - ids
        c.that(f'{what}: the rest is read', len(missing) <= 24 and (len(missing) >= least) and ids - {x['id'] for x in whole} == set(), str(sorted(missing)) + str(sorted(ids - {x['id'] for x in whole})))
        if not gap:
            c.that('a damaged attachment says so', any(x.get('loss') == 'changed' for y in r for x in y.get('attachments', [])))
    # The same with lengths in the clear.
    clear = os.path.join(tmp, 'clear.backup')
    _, a0, places0 = made.make(json.loads(json.dumps(frames)), clear, 290, 0, files)
    with open(clear, 'rb') as f: data = f.read()
    r0 = c.records(KIND, turned(places0[one], 4), PASS)
    c.that('a length in the clear: the rest is read', len(whole) - 12 <= len([x for x in r0 if x.get('event') != 'source-damaged']) < len(whole), str((len(r0), len(whole))))
    with open(path, 'rb') as f: data = f.read()
    cut = c.records(KIND, put(data[:places[one] + 7]), PASS)
    c.that('cut in the middle', 0 < len(cut) < len(whole) and any('ends in the middle' in x.get('fields', {}).get('why', '') for x in cut))
    c.refused('damaged at the beginning', 1, 'nothing was read', KIND, turned(places[0] + 8), PASS)

    # SQL that no backup holds is refused, whatever came before; nothing of it is run.
    for sql in ('ATTACH DATABASE \'/tmp/eigen.db\' AS x', 'DELETE FROM message', 'UPDATE message SET body=\'x\'', 'PRAGMA writable_schema=1', 'INSERT INTO message SELECT * FROM message',
                'INSERT INTO message VALUES (1,2)', 'INSERT INTO message VALUES (?); DROP TABLE message', 'CREATE TABLE x(a); DROP TABLE message', 'SELECT load_extension(\'x\')',
                'CREATE TABLE message AS SELECT 1', 'CREATE TABLE mms(_id INTEGER PRIMARY KEY, _id TEXT)', 'CREATE TABLE "mms"("a"" b" TEXT)', ''):
        parts = a.parts[:40] + [made.statement(sql, [1])] + a.parts[-1:]
        made.seal(parts, victim, 1)
        c.refused(sql or 'nothing', 1, 'no backup of Signal holds', KIND, victim, PASS)
    made.seal(a.parts[:3] + [made.statement('CREATE TABLE message(_id INTEGER)')] + a.parts[-1:], victim, 1)
    c.refused('a table twice', 1, 'was there already', KIND, victim, PASS)
    made.seal([a.parts[0], made.statement('INSERT INTO message VALUES (?)', [1]), a.parts[-1]], victim, 1)
    c.refused('a row before its table', 1, 'was not made', KIND, victim, PASS)
    made.seal([a.parts[0], a.parts[-1]], victim, 1)
    c.refused('no tables', 1, 'schema (version 290)', KIND, victim, PASS)
    odd = list(a.parts)
    odd.insert(one, made.statement('INSERT INTO message VALUES (?,?)', [1, 2]))
    made.seal(odd, victim, 1)
    r = c.records(KIND, victim, PASS)
    c.that('a row that does not fit is told', any('does not fit' in x.get('fields', {}).get('why', '') for x in r) and len([x for x in r if x.get('event') != 'source-damaged']) == len(whole))

    # Many messages: bounded memory, and damage of many frames in one place.
    many = [f for f in json.loads(json.dumps(frames)) if 'chatItem' not in f]
    body = 'Een bericht van gewone lengte over de nota van vanmiddag. ' * 3
    for n in range(20000): many.append(item(100000 + n, '11', '3', **got(100000 + n), standardMessage={'text': {'body': f'{n} {body}'}}))
    big = os.path.join(tmp, 'big.backup')
    _, ab, placesb = made.make(many, big, 290, 1, files)
    r = c.records(KIND, big, PASS)
    c.that('20,000 messages', len(r) == 20000)
    with open(big, 'r+b') as f:
        f.seek(placesb[9000])
        f.write(b'\0' * 40000)
    r = c.records(KIND, big, PASS)
    n = len([x for x in r if x.get('event') != 'source-damaged'])
    c.that('40,000 bytes lost', 19800 <= n < 20000 and r[-1].get('event') == 'source-damaged', str(n))

    # Nesting, in JSON of a cell and in protobuf.
    deep = [f for f in json.loads(json.dumps(frames)) if 'chatItem' not in f] + [item(1, '11', '3', **got(1), standardMessage={'text': {'body': 'diep'}})]
    _, ad, _ = made.make(deep, victim, 290, 1, files)
    cell = '[' * 100000 + ']' * 100000
    nest = b''
    for _ in range(2000): nest = made.sized(2, made.sized(1, nest))
    for i, p in enumerate(ad.parts):
        if isinstance(p, bytes) and b'INSERT INTO message ' in p:
            row = {'date_sent': 1760000000001, 'date_received': 1, 'thread_id': 11, 'from_recipient_id': 3, 'to_recipient_id': 1, 'type': 0xa10014 | 0x200000, 'body': 'diep', 'link_previews': cell,
                   'shared_contacts': cell, 'message_ranges': nest, 'message_extras': nest, 'quote_id': 0, 'scheduled_date': -1, 'story_type': 0, 'parent_story_id': 0}
            ad.parts[i] = made.statement('INSERT INTO message VALUES (%s)' % ','.join('?' * len(ad.table['message'])), [row.get(k) for k in ad.table['message']])
    made.seal(ad.parts, victim, 1)
    r = c.records(KIND, victim, PASS)
    c.that('100,000 deep', len(r) == 1 and r[0].get('text', '') in ('diep', ''), str(r)[:300])

    # Hostile bytes: cut at every KiB, and bits turned.
    small = os.path.join(tmp, 'small.backup')
    made.make(json.loads(json.dumps([f for f in frames if 'chatItem' not in f or f['chatItem'] in kept[:8]])), small, 290, 1, files)
    codes = c.hostile(KIND, small, [PASS], 60, put)
    c.that('some refused, some read', codes.get(1, 0) > 0 and codes.get(0, 0) > 0, str(codes))
sys.exit(c.end(200))
