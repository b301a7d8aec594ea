#!/usr/bin/env python3
"""Signal's own test cases through our signal-export source, item by item.

signal_export.py SOURCE_DUMP FIXTURES.  Every *.jsonl below FIXTURES is read as it is; every *.txtproto (the same frames in another notation)
is first written as the .jsonl that Signal's export would be.  What must come out is worked out here from the input alone, with none of our C code.
Exit 77: the fixtures are not on this machine.
"""
import base64, json, os, re, subprocess, sys, tempfile
import shown

TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|<([0-9a-fA-F]*)>|([A-Za-z_][\w.]*)|(-?\d[\w.+-]*)|([{}\[\],=]))')
SMALL = {'size', 'width', 'height', 'start', 'length', 'count', 'angle', 'stickerId', 'voteCount', 'expireTimerVersion', 'pinnedOrder', 'version',
         'inviteeCount', 'invitedMembersCount', 'droppedMembersCount', 'universalExpireTimerSeconds', 'transitCdnNumber', 'mediaTierCdnNumber',
         'colors', 'color', 'positions', 'scheduleStartTime', 'scheduleEndTime', 'incrementalMacChunkSize', 'solid'}


class Text:
    """One file of frames: `Frame { name = value … }`, lists in brackets, bytes as <hex>."""

    def __init__(self, text):
        text = '\n'.join(l for l in text.split('\n') if not l.lstrip().startswith('//'))
        self.tokens, self.at = [], 0
        end = 0
        while text[end:].strip():
            m = TOKEN.match(text, end)
            assert m, text[end:end + 40]
            kind = m.lastindex
            self.tokens.append((kind, m.group(kind)))
            end = m.end()

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def is_next(self, what):
        return self.at < len(self.tokens) and self.tokens[self.at] == (5, what)

    def message(self):
        out = {}
        assert self.next() == (5, '{')
        while not self.is_next('}'):
            name = self.next()[1].rstrip('_')  # the notation marks words of its language so
            assert self.next() == (5, '=')
            out[name] = self.value(name)
        self.next()
        return out

    def value(self, name):
        kind, t = self.next()
        if kind == 1:
            return re.sub(r'\\(.)', lambda m: {'n': '\n', 't': '\t', 'r': '\r'}.get(m.group(1), m.group(1)), t[1:-1])
        if kind == 2:
            return base64.b64encode(bytes.fromhex(t)).decode()
        if kind == 3:
            if t in ('true', 'false'):
                return t == 'true'
            return self.message() if self.is_next('{') else t.split('.')[-1]
        if kind == 4:
            return (float(t) if '.' in t else int(t)) if name in SMALL else t
        assert t == '['
        items = []
        while not self.is_next(']'):
            items.append(self.value(name))
            if self.is_next(','):
                self.next()
        self.next()
        return items

    def frames(self):
        while self.at < len(self.tokens):
            self.next()
            yield self.message()


def kebab(s):
    return re.sub(r'(?<=[a-z])([A-Z])', r'-\1', s).replace('_', '-').lower()


def millis(record_time):
    if record_time is None:
        return None
    m = re.fullmatch(r'(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?Z', record_time)
    assert m, record_time
    import calendar
    y, mo, d, h, mi, s = (int(x) for x in m.groups()[:6])
    return calendar.timegm((y, mo, d, h, mi, s)) * 1000 + int(m.group(7) or 0)


CALLS = {'ACCEPTED': 'answered', 'NOT_ACCEPTED': 'not-answered', 'MISSED_NOTIFICATION_PROFILE': 'missed'}
SIMPLE = {'IDENTITY_UPDATE': 'security-code-changed', 'CHANGE_NUMBER': 'number-changed', 'BLOCKED': 'contact-blocked', 'UNBLOCKED': 'contact-unblocked'}
MESSAGES = {'standardMessage': 'message', 'contactMessage': 'message', 'stickerMessage': 'message', 'remoteDeletedMessage': 'deletion',
            'adminDeletedMessage': 'deletion', 'paymentNotification': 'message', 'giftBadge': 'message', 'viewOnceMessage': 'gap',
            'directStoryReplyMessage': 'message', 'poll': 'poll'}


def pointers(c):
    """File pointers that stand for bytes of this message, in order."""
    out = [a['pointer'] for a in c.get('attachments', []) if 'pointer' in a]
    if 'longText' in c: out.append(c['longText'])
    if 'longText' in c.get('textReply', {}): out.append(c['textReply']['longText'])
    out += [p['image'] for p in c.get('linkPreview', []) if 'image' in p]
    if 'data' in c.get('sticker', {}): out.append(c['sticker']['data'])
    if 'avatar' in c.get('contact', {}): out.append(c['contact']['avatar'])
    if 'pointer' in c.get('attachment', {}): out.append(c['attachment']['pointer'])
    return out


def form(item, edit):
    name = next((n for n in MESSAGES if n in item), None)
    want = {'sent': int(item.get('dateSent', 0))}
    if name is None:
        return {'kind': 'event', 'event': 'unknown', **want}
    c = item[name]
    text = c.get('text', {}) if name == 'standardMessage' else c.get('textReply', {}).get('text', {}) if name == 'directStoryReplyMessage' else {}
    body = c.get('question') if name == 'poll' else c.get('note') if name == 'paymentNotification' else text.get('body')
    want.update(kind='edit' if edit else MESSAGES[name], text=body or None)
    want['types'] = [p.get('contentType') or None for p in pointers(c)]
    want['names'] = [(p.get('fileName') or '').replace('\\', '/').split('/')[-1] or None for p in pointers(c)]
    if 'quote' in c:
        want['quote'] = c['quote'].get('text', {}).get('body') or None
        if not edit:
            want['target_sent'] = int(c['quote']['targetSentTimestamp']) if 'targetSentTimestamp' in c['quote'] else None
    if name == 'poll':
        want['options'] = [o.get('option', '') for o in c.get('options', [])]
    if name in ('stickerMessage', 'directStoryReplyMessage'):
        want['value'] = (c.get('sticker', {}) if name == 'stickerMessage' else c).get('emoji') or None
    return want


def expected(item):
    sent = int(item.get('dateSent', 0))
    u = item.get('updateMessage')
    if u is not None:
        kind = next(iter(u), None)
        if kind in ('individualCall', 'groupCall'):
            call = u[kind]
            return [{'kind': 'call', 'sent': sent, 'event': CALLS.get(call.get('state'), kebab(call.get('state', 'unknown-state'))),
                     'value': {'AUDIO_CALL': 'audio', 'VIDEO_CALL': 'video'}.get(call.get('type'))}]
        if kind == 'groupChange' and u[kind].get('updates'):
            out = []
            for one in u[kind]['updates']:
                name = next(iter(one), None)
                out.append({'kind': 'event', 'sent': sent, 'code': name})
                if name == 'groupExpirationTimerUpdate' and int(one[name].get('expiresInMs', 0)) > 0:
                    out.append({'kind': 'gap', 'sent': sent, 'event': 'timer-changed'})
            return out
        if kind == 'simpleUpdate':
            return [{'kind': 'event', 'sent': sent, 'event': SIMPLE.get(u[kind].get('type'), kebab(u[kind].get('type', 'unknown')))}]
        names = {'pollTerminate': 'poll-ended', 'pinMessage': 'message-pinned', 'expirationTimerChange': 'timer-changed', 'profileChange': 'profile-changed',
                 'learnedProfileChange': 'profile-learned', 'threadMerge': 'thread-merged', 'sessionSwitchover': 'session-switchover'}
        out = [{'kind': 'event', 'sent': sent, 'event': names.get(kind, 'unknown')}]
        if kind in ('pollTerminate', 'pinMessage'):
            out[0]['target_sent'] = int(u[kind].get('targetSentTimestamp', 0))
        if kind == 'expirationTimerChange' and int(u[kind].get('expiresInMs', 0)) > 0:
            out.append({'kind': 'gap', 'sent': sent, 'event': 'timer-changed'})
        return out
    revisions = item.get('revisions', [])
    out = [form(r, i > 0) for i, r in enumerate(revisions)] + [form(item, bool(revisions))]
    original = int((revisions[0] if revisions else item).get('dateSent', 0))
    name = next((n for n in MESSAGES if n in item), None)
    c = item.get(name, {}) if name else {}
    for r in c.get('reactions', []):
        out.append({'kind': 'reaction', 'value': r['emoji'], 'sent': int(r.get('sentTimestamp', 0)), 'target_sent': original})
    if name == 'poll':
        voters = []
        for o in c.get('options', []):
            for v in o.get('votes', []):
                if v.get('voterId') not in voters: voters.append(v.get('voterId'))
        for who in voters:
            out.append({'kind': 'vote', 'target_sent': original, 'options': [o.get('option', '') for o in c['options']
                                                                            if any(v.get('voterId') == who for v in o.get('votes', []))]})
    return out


def plan(frames):
    """What must come out: records per chat in the order of chats, skips by name, people's names."""
    lists, chats, skips = set(), {}, 0
    links = {}
    order = []
    for f in frames[1:]:
        if 'recipient' in f and 'distributionList' in f['recipient']: lists.add(f['recipient']['id'])
        elif 'chat' in f:
            chats.setdefault(f['chat']['id'], [[], f['chat']['recipientId']])
            order.append(('chat', f['chat']['id']))
        elif 'chatItem' in f:
            chats[f['chatItem']['chatId']][0].extend(expected(f['chatItem']))
        elif 'adHocCall' in f:
            a = f['adHocCall']
            if a['recipientId'] not in links: order.append(('link', a['recipientId']))
            links.setdefault(a['recipientId'], []).append({'kind': 'call', 'event': kebab(a.get('state', 'unknown-state')), 'sent': int(a.get('callTimestamp', 0))})
    out, conversations = [], 0
    for kind, key in order:
        records = links[key] if kind == 'link' else chats[key][0]
        if not records: continue
        if kind == 'chat' and chats[key][1] in lists:
            skips += 1
            continue
        conversations += 1
        out += records
    return out, conversations, skips


def differs(want, got):
    seen = {'kind': got.get('kind'), 'sent': millis(got.get('sent')), 'text': got.get('text'), 'event': got.get('event'), 'value': got.get('value'),
            'quote': got.get('quote'), 'options': got.get('options', []), 'target_sent': millis(got.get('target_sent')),
            'types': [a.get('type') for a in got.get('attachments', [])], 'names': [a.get('name') for a in got.get('attachments', [])],
            'code': got.get('fields', {}).get('code')}
    for k, v in want.items():
        if k == 'sent' and v > 253402300799999: v = None
        if seen.get(k) != v:
            return f'{k}: expected {v!r}, got {seen.get(k)!r}'
    return None


SEEN = []  # records of the file last read


def check(dump, path, frames, kind='signal-export'):
    run = subprocess.run([dump, kind, path], capture_output=True, text=True, timeout=60 * int(os.environ.get('KLUIS_PATIENCE', 1)))
    if run.returncode != 0:
        return f'refused: {run.stderr.strip()}', 0
    lines = [json.loads(l) for l in run.stdout.split('\n') if l]
    SEEN[:] = [l for l in lines if l['kind'] not in ('summary', 'skipped')]
    records = [l for l in lines if l['kind'] not in ('summary', 'skipped')]
    summary = lines[-1]
    want, conversations, skips = plan(frames)
    if len(records) != len(want): return f'{len(records)} records, expected {len(want)}', 0
    if summary['conversations'] != conversations: return f"{summary['conversations']} conversations, expected {conversations}", 0
    if sum(l.get('what') == 'story' for l in lines) != skips: return 'skipped stories differ', 0
    counts = {}
    for w in want: counts[w['kind']] = counts.get(w['kind'], 0) + 1
    if summary['counts'] != counts: return f"counts {summary['counts']}, expected {counts}", 0
    ids = [r['id'] for r in records if 'id' in r]
    if len(ids) != len(records): return 'a record without id', 0
    for i, (w, r) in enumerate(zip(want, records)):
        d = differs(w, r)
        if d: return f'record {i} ({w["kind"]}): {d}', 0
    return None, len(records)


def main():
    dump, root = sys.argv[1:3]
    if 'KLUIS_FIXTURES' in os.environ: root = os.path.join(os.environ['KLUIS_FIXTURES'], 'signal-backup')
    if not os.path.isdir(root):
        print(f'skipped: {root} is not on this machine')
        return 77
    files = records = bad = 0
    kinds = {}
    with tempfile.TemporaryDirectory() as tmp:
        for folder, _, names in sorted(os.walk(root)):
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.endswith('.jsonl'):
                    with open(path, encoding='utf-8') as f: frames = [json.loads(l) for l in f if l.strip()]
                elif name.endswith('.txtproto'):
                    with open(path, encoding='utf-8') as f: frames = list(Text(f.read()).frames())
                    path = os.path.join(tmp, name + '.jsonl')
                    with open(path, 'w', encoding='utf-8') as f:
                        for frame in frames: f.write(json.dumps(frame, ensure_ascii=False, separators=(',', ':')) + '\n')
                else:
                    continue
                files += 1
                wrong, n = check(dump, path, frames)
                records += n
                for f in frames[1:]:
                    if 'chatItem' in f:
                        for k in f['chatItem']: kinds[k] = kinds.get(k, 0) + 1
                if not wrong: shown.note('signal_export_real', 'signal-export', 'real', name, SEEN)
                if wrong:
                    bad += 1
                    print(f'{name}: {wrong}')
    print(f'{files} files, {records} records agree, {bad} files differ; members of items: {kinds}')
    need = len(sys.argv) > 3 and int(sys.argv[3]) or 1
    if files < need or records < need:
        print(f'only {files} files and {records} records: this proves nothing')
        return 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
