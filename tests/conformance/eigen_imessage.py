#!/usr/bin/env python3
"""imessage: on databases of our own making (eigen) of several ages, bare and in backups of the phone, and on other people's cells where they are there.

eigen_imessage.py SOURCE_DUMP SUPPORT FIXTURES
"""
import glob, json, os, plistlib, shutil, sqlite3, sys, tempfile

dump, support, fixtures = sys.argv[1:4]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, support)
import imessage as made, shown, whatsapp_ios
from reader_check import Check, tree

c = Check(dump)
KIND = 'imessage'
by = lambda records, kind: [r for r in records if r['kind'] == kind]
bare = lambda records: [{k: v for k, v in r.items() if k != 'provenance'} for r in records]


def look(age, records):
    ids = {r['id']: r for r in records}
    c.that(f'{age}: ids are unique', len(ids) == len(records))
    chats = {r['conversation']['id']: r['conversation'] for r in records}
    c.that(f'{age}: conversations', set(chats) == {made.JORIS, 'group:' + made.GROUP, 'group:' + made.GROUP[:-1] + 'b'}, str(set(chats)))
    texts = {r.get('text'): r for r in by(records, 'message')}
    for t in ('Kan je bellen?', 'Over vijf minuten 🙂', 'Nu per sms', '\ufffcZie bijlage', '@Sanne lees je mee?', 'Ik ook', 'In de andere groep met die naam', 'Zonder gesprek', 'Niet verzonden'):
        c.that(f'{age}: {t}', t in texts)
    c.that(f'{age}: two services, one conversation', texts['Nu per sms']['conversation']['id'] == made.JORIS and texts['Nu per sms']['fields']['service'] == 'SMS' and
           texts['Kan je bellen?']['fields']['service'] == 'iMessage')
    c.that(f'{age}: a group\'s new row is the same group', texts['Ik ook']['conversation']['id'] == texts['@Sanne lees je mee?']['conversation']['id'])
    c.that(f'{age}: two groups with one name are two', texts['In de andere groep met die naam']['conversation']['name'] == 'Nota stikstof')
    fraction = '' if age == 'ios9' else '.123'
    c.that(f'{age}: times', texts['Kan je bellen?']['sent'] == '2025-10-09T08:53:30%sZ' % fraction or texts['Kan je bellen?']['sent'].startswith('2025-10-09T08:53:30'), texts['Kan je bellen?']['sent'])
    c.that(f'{age}: read and delivered', texts['Over vijf minuten 🙂']['times']['delivered'].startswith('2025-10-09T08:53:41') and texts['Over vijf minuten 🙂']['times']['read'].startswith('2025-10-09T08:53:45'))
    me, joris = texts['Over vijf minuten 🙂']['author'], texts['Kan je bellen?']['author']
    c.that(f'{age}: who', me.get('id') == (made.SANNE if age != 'ios9' else None) and joris == {'id': made.JORIS, 'number': made.JORIS}, str((me, joris)))
    files = texts['\ufffcZie bijlage']['attachments']
    c.that(f'{age}: attachments', [(a['name'], a.get('loss'), a['size']) for a in files] == [('nota.pdf', None, len(made.PDF)), ('kwijt.png', 'missing', 99), ('later.mov', 'not-downloaded', 500)], str(files))
    c.that(f'{age}: a mention', texts['@Sanne lees je mee?']['fields']['mentions'] == '0+6 ' + made.SANNE)
    events = [(r['event'], r.get('text'), r['fields'].get('member-001')) for r in by(records, 'event')]
    c.that(f'{age}: events', events == [('location-sharing-started', None, None), ('unknown', None, None), ('subject-changed', 'Nota stikstof (definitief)', None), ('member-added', None, '+31600000009'),
                                        ('member-removed', None, '+31600000009'), ('member-left', None, None), ('icon-changed', None, None)], str(events))
    c.that(f'{age}: an unknown one keeps its number', any(r['fields']['imessage.item-type'] == 99 for r in by(records, 'event')))
    c.that(f'{age}: not sent', texts['Niet verzonden']['fields'].get('not-sent') == 1 and texts['Niet verzonden']['fields']['error'] == 22)
    taps = by(records, 'reaction')
    if age == 'ios9': return c.that('ios9: no more than it has', len(records) == 16 and not taps, str(len(records)))
    target = texts['Over vijf minuten 🙂']['id']
    want = ['❤️', '👍', '👎', '😂', '‼️', '❓', '👍'] + (['🎉', None] if age == 'ios18' else []) + ['❤️']
    c.that(f'{age}: tapbacks', [r.get('value') for r in taps] == want and all(r['target'] == target for r in taps), str([r.get('value') for r in taps]))
    c.that(f'{age}: one taken back', [r['fields']['imessage.tapback'] for r in taps if r['fields'].get('removed')] == [3001])
    c.that(f'{age}: what a tapback points at', taps[0]['target_author'] == me and taps[0]['target_sent'] == texts['Over vijf minuten 🙂']['sent'])
    c.that(f'{age}: an app and an effect', 'app-content' in texts['https://voorbeeld.example/nota']['loss'] and 'effect' in texts['met knal']['fields'])
    if age == 'ios12': return
    reply = texts['Dat doe ik']
    c.that(f'{age}: a reply', reply['target'] == texts['@Sanne lees je mee?']['id'] and reply['target_author'] == {'id': made.FATIMA})
    edits = [(r['id'], r['text'], r['sent'], r['target']) for r in by(records, 'edit')]
    c.that(f'{age}: edits', edits == [('BEWERKT:edit:0:1', 'Tweede tekst', '2025-10-09T08:55:45.000Z', 'BEWERKT'), ('BEWERKT:edit:0:2', 'Derde tekst', '2025-10-09T08:55:50.000Z', 'BEWERKT'),
                                      ('DELEN:edit:1:1', 'nieuw', '2025-10-09T08:56:15.000Z', 'DELEN')], str(edits))
    c.that(f'{age}: the first text stands', ids['BEWERKT']['text'] == 'Eerste tekst' and ids['DELEN']['fields']['part.1.original'] == 'oud')
    gone = [(r['id'], r['target'], r['sent'][:19], r['fields'].get('part'), r['fields'].get('recoverable')) for r in by(records, 'deletion')]
    c.that(f'{age}: unsent and deleted', gone == [('WEG:unsent:0', 'WEG', '2025-10-09T08:56:05', 0, None), ('DEELWEG:unsent:1', 'DEELWEG', '2025-10-09T08:56:25', 1, None),
                                                  ('PRULLENBAK:deleted', 'PRULLENBAK', '2025-10-09T08:56:40', None, 1)], str(gone))
    c.that(f'{age}: nothing of what was unsent is made up', 'WEG' not in ids and ids['DEELWEG']['text'] == 'Dit blijft' and ids['PRULLENBAK']['text'] == 'Onlangs verwijderd')


with tempfile.TemporaryDirectory() as tmp:
    for age in ('ios9', 'ios12', 'ios16', 'ios18'):
        folder = os.path.join(tmp, age)
        os.makedirs(folder)
        made.fill(folder, age).db.close()
        before = tree(folder)
        records = c.records(KIND, os.path.join(folder, 'sms.db'))
        look(age, records)
        c.that(f'{age}: nothing in the folder was made or changed', tree(folder) == before)
        c.that(f'{age}: by its folder', c.records(KIND, folder) == records)
        shown.note('imessage_eigen', KIND, 'eigen', age, records)
    whole = records
    _, lines, _ = c.read(KIND, folder)
    c.that('ids of what is gone for good are told', any(l['kind'] == 'skipped' and l['what'] == 'deleted messages' for l in lines))

    # A Mac's folder is the same talk; a log holds what is only there.
    mac = os.path.join(tmp, 'mac')
    os.makedirs(mac)
    m = made.fill(mac, 'ios18', 'chat.db', '~/Library/Messages')
    c.that('a Mac', bare(c.records(KIND, mac)) == bare(whole))
    m.db.execute('PRAGMA journal_mode=WAL')
    m.db.execute('PRAGMA wal_autocheckpoint=0')
    m.message(1, 300, made.JORIS, text='Alleen in het logboek')
    before = tree(mac)
    grown = c.records(KIND, os.path.join(mac, 'chat.db'))
    c.that('what stands in the log only', [r['text'] for r in grown if r not in bare(whole) and r.get('text') == 'Alleen in het logboek'] == ['Alleen in het logboek'])
    c.that('a database in use is left as it was', tree(mac) == before)
    c.that('a later reading holds the earlier one', all(r in bare(grown) for r in bare(whole)) and len(grown) == len(whole) + 1)
    shown.note('imessage_grown', KIND, 'eigen', 'ios18, grown', grown, ['incremental'])
    m.db.close()

    # In backups of the phone, in the clear and not.
    phone = os.path.join(tmp, 'phone')
    os.makedirs(os.path.join(phone, 'HomeDomain', 'Library', 'SMS'))
    os.makedirs(os.path.join(phone, 'MediaDomain', 'Library', 'SMS'))
    shutil.copy(os.path.join(folder, 'sms.db'), os.path.join(phone, 'HomeDomain', 'Library', 'SMS', 'sms.db'))
    shutil.copytree(os.path.join(folder, 'Attachments'), os.path.join(phone, 'MediaDomain', 'Library', 'SMS', 'Attachments'))
    for name, password in (('open', None), ('dicht', whatsapp_ios.PASSWORD)):
        root = os.path.join(tmp, 'backup-' + name)
        whatsapp_ios.backup(phone, root, password, domains=True)
        before = tree(root)
        options = ['password=' + password] if password else []
        r = c.records(KIND, root, *options)
        c.that(f'a backup ({name})', bare(r) == bare(whole), str([(a, b) for a, b in zip(bare(r), bare(whole)) if a != b])[:600])
        c.that(f'a backup ({name}) is left as it was', tree(root) == before)
        shown.note('imessage_backup_' + name, KIND, 'eigen', 'backup ' + name, r)
    c.refused('a wrong password', 1, 'password', KIND, os.path.join(tmp, 'backup-dicht'), 'password=fout')
    c.refused('no password', 1, 'password', KIND, os.path.join(tmp, 'backup-dicht'))
    c.refused('an empty folder', 1, 'neither chat.db nor sms.db', KIND, phone)
    c.refused('another option', 64, 'is not one', KIND, folder, 'kleur=rood')
    odd = os.path.join(tmp, 'odd.db')
    sqlite3.connect(odd).executescript('CREATE TABLE message(x);')
    c.refused('another database', 1, 'not a database of Messages', KIND, odd)
    with open(odd, 'wb') as f: f.write(b'geen database' * 99)
    c.refused('no database', 1, '', KIND, odd)

    # Texts of other people's making: as cells of a database of ours, each read to what stands in its bytes.
    theirs = os.path.join(os.environ.get('KLUIS_FIXTURES', fixtures), 'imessage')
    cells = os.path.join(tmp, 'cells')
    os.makedirs(cells)
    if os.path.isdir(theirs):
        def plain(b):
            """What a text's own bytes say, found without reading what is around it."""
            at = b.find(b'\x84\x01+')
            if at < 0: return None
            n, at = b[at + 3], at + 4
            if n == 0x81: n, at = int.from_bytes(b[at:at + 2], 'little'), at + 2
            return b[at:at + n].decode(errors='replace')

        m = made.Messages(os.path.join(cells, 'sms.db'))
        chat, want = m.chat('iMessage;-;' + made.JORIS, 45, made.JORIS, 'iMessage', [made.JORIS]), {}
        for path in sorted(glob.glob(os.path.join(theirs, 'typedstream', '*'))):
            with open(path, 'rb') as f: b = f.read()
            name = os.path.basename(path)
            want[name] = plain(b)
            m.message(chat, m.n, made.JORIS, guid=name, attributedBody=b)
        histories = {}
        for path in sorted(glob.glob(os.path.join(theirs, 'edited_message', '*.plist'))):
            with open(path, 'rb') as f: p = plistlib.load(f)
            name = os.path.basename(path)
            histories[name] = p
            m.message(chat, m.n, made.JORIS, guid=name, message_summary_info=plistlib.dumps(p, fmt=plistlib.FMT_BINARY), date_edited=1000)
        m.db.close()
        r = {x['id']: x for x in c.records(KIND, cells)}
        c.that('cells of others', len(want) >= 30 and len(histories) >= 7, str((len(want), len(histories))))
        # Whoever shortened ExtraData left its length as it was: what stands there is given, with its bytes.
        c.that('a length that is wrong', r['ExtraData']['text'].startswith('This is parsing') and 'text_raw' in r['ExtraData'])
        for name, t in want.items(): c.that(f'typedstream {name}', name == 'ExtraData' or r[name].get('text') == (t or None), str((r[name].get('text'), t)))
        c.that('known texts', (r['AttributedBodyTextOnly']['text'], r['WeirdText']['text'], r['MultiPart']['text']) == ('Noter test', '𝖍𝖊𝖑𝖑𝖔 𝖜𝖔𝖗𝖑𝖉', '\ufffctest 1\ufffctest 2 \ufffctest 3'))
        odd = [n for n, x in r.items() if n in want and n != 'ExtraData' and 'text-attributes' in x.get('loss', [])]
        c.that('attributes are read to the end', not odd, str(odd))
        for name, p in histories.items():
            for part, versions in p.get('ec', {}).items():
                first = r[name].get('text') if len(p['otr']) == 1 else r[name]['fields'].get(f'part.{part}.original')
                c.that(f'{name}: first text', first == plain(versions[0]['t']), str(first))
                for i, v in enumerate(versions[1:], 1):
                    e = r[f'{name}:edit:{part}:{i}']
                    c.that(f'{name}: edit {i}', e['text'] == plain(v['t']) and e['target'] == name)
            for part in p.get('rp', []): c.that(f'{name}: unsent {part}', r[f'{name}:unsent:{part}']['target'] == name)
        real = c.records(KIND, os.path.join(theirs, 'db', 'test.db'))
        c.that('a real database', [x['kind'] for x in real] == ['message', 'message'] and [len(x.get('attachments', [])) for x in real] == [0, 1] and real[1]['text'].startswith('I’m going to try'))
        shown.note('imessage_real', KIND, 'real', 'db/test.db', real)
    else:
        print(f'not seen: {theirs} is not on this machine')

    # Many messages, bounded memory; a damaged page costs what is on it.
    big = os.path.join(tmp, 'big')
    os.makedirs(big)
    m = made.Messages(os.path.join(big, 'sms.db'))
    chat = m.chat('iMessage;-;' + made.JORIS, 45, made.JORIS, 'iMessage', [made.JORIS])
    m.db.execute('BEGIN')
    for n in range(20000): m.message(chat, n, made.JORIS, attributedBody=made.text(f'{n} Een bericht van gewone lengte over de nota van vanmiddag.'))
    m.db.execute('COMMIT')
    m.db.close()
    r = c.records(KIND, big)
    c.that('20,000 messages', len(r) == 20000 and r[19999]['text'].startswith('19999 '))
    path = os.path.join(big, 'sms.db')
    with open(path, 'r+b') as f:
        pages = os.path.getsize(path) // 4096
        for page in (pages // 2, pages // 2 + 1):
            f.seek(page * 4096)
            f.write(b'\xff' * 4096)
    r = c.records(KIND, path)
    gaps = [x for x in r if x.get('event') == 'source-damaged']
    c.that('around damaged pages', 15000 < len(by(r, 'message')) < 20000 and gaps, str((len(r), len(gaps))))

    # Nesting, and hostile bytes.
    deep = os.path.join(tmp, 'deep')
    os.makedirs(deep)
    m = made.Messages(os.path.join(deep, 'sms.db'))
    chat = m.chat('iMessage;-;' + made.JORIS, 45, made.JORIS, 'iMessage', [made.JORIS])
    head = b'\x04\x0bstreamtyped\x81\xe8\x03\x84\x01@'
    nest = head + b'\x84\x84\x84\x08NSObject\x00\x85' + b'\x92\x84\x93' * 100000
    objects = [b'\xa1' + (i + 1).to_bytes(2, 'big') for i in range(12000)] + [b'\x50']
    offsets, at = b'', 8
    for o in objects:
        offsets += at.to_bytes(2, 'big') if at < 65536 else b''
        at += len(o)
    bplist = b'bplist00' + b''.join(objects) + offsets + bytes(6) + b'\x02\x02' + len(objects).to_bytes(8, 'big') + bytes(8) + at.to_bytes(8, 'big')
    m.message(chat, 1, made.JORIS, text='diep', attributedBody=nest, message_summary_info=bplist)
    m.message(chat, 2, made.JORIS, attributedBody=nest, message_summary_info=bplist + bytes(70000))
    m.db.close()
    r = c.records(KIND, deep)
    c.that('100,000 deep', [x.get('text') for x in r] == ['diep', None], str(r)[:300])
    victim = os.path.join(tmp, 'victim.db')

    def put(b):
        with open(victim, 'wb') as f: f.write(b)
        return victim

    codes = c.hostile(KIND, os.path.join(folder, 'sms.db'), [], 120, put)
    c.that('some refused, some read', codes.get(1, 0) > 0 and codes.get(0, 0) > 0, str(codes))
sys.exit(c.end(150))
