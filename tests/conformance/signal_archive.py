#!/usr/bin/env python3
"""Signal's own test backups through our signal-archive source, item by item.

signal_archive.py SOURCE_DUMP FIXTURES EIGEN.  Every *.binproto below FIXTURES is read; what must come out is worked out from the *.txtproto or
*.jsonl beside it alone (signal_export.py), and is also compared, record by record with every member, with what the same content as
Signal's JSON export gives.  The *.jsonproto of Signal's validator are first encoded (tests/support/eigen/signal_backup.py):
valid ones must be read, invalid ones refused for the reason that Signal itself gives.  Encrypted ones open with the keys of the fixtures' README.
Exit 77: the fixtures are not on this machine.
"""
import json, os, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import shown
import signal_export as se

REASONS = {'chat-pinned-order-conflict': 'pinned', 'group-update-invalid-aci': 'invalid account id', 'missing-account-data': 'no account frame',
           'missing-recipient': 'a recipient that no frame before it tells of', 'multiple-account-data': 'a second account',
           'sticker-pack-id': 'pack ID is invalid'}
KEY, ACI, TOKEN = 'm' * 64, '11111111-1111-1111-1111-111111111111', 'ab' * 32


def strip(v):
    """Without what proto3's JSON form leaves out, members in one order."""
    if isinstance(v, dict):
        return {k: x for k, x in ((k, strip(x)) for k, x in sorted(v.items())) if x not in ('', 0, '0', False, [], 'UNKNOWN', 'INITIAL', 'GENERIC')}
    return [strip(x) for x in v] if isinstance(v, list) else v


def whole(line):
    """A record without what may differ between the two encodings: where it was read, and how defaults are written."""
    line = json.loads(json.dumps(line))
    for name in ('provenance', 'raw', 'where'): line.pop(name, None)
    line['loss'] = [x for x in line.get('loss', []) if x not in ('expired-messages', 'disappearing-messages')]
    fields = {}
    for k, v in line.get('fields', {}).items():
        if isinstance(v, str) and v[:1] in ('{', '['):
            try: v = strip(json.loads(v))
            except ValueError: pass
        if isinstance(v, str): v = v.replace('failed(UNKNOWN)', 'failed')
        if v not in ('', 0, 'false', '0', 'UNKNOWN', {}, []): fields[k] = v
    line['fields'] = fields
    for a in line.get('attachments', []): a.pop('loss', None)  # "omitted" or "missing": whether a folder of files lies beside it
    return line


def read(dump, *words):
    run = subprocess.run([dump, *words], capture_output=True, text=True, timeout=60 * int(os.environ.get('KLUIS_PATIENCE', 1)))
    return run.returncode, [json.loads(l) for l in run.stdout.split('\n') if l], run.stderr.strip()


def compare(dump, archive, export):
    code, a, why = read(dump, 'signal-archive', archive)
    if code: return f'refused: {why}'
    code, b, why = read(dump, 'signal-export', export)
    if code: return f'as an export refused: {why}'
    if len(a) != len(b): return f'{len(a)} lines, as an export {len(b)}'
    for i, (x, y) in enumerate(zip(a[:-1], b[:-1])):
        x, y = whole(x), whole(y)
        for k in sorted(set(x) | set(y)):
            if x.get(k) != y.get(k): return f'line {i}: {k}: {x.get(k)!r}, as an export {y.get(k)!r}'
    return None


def main():
    dump, root, eigen = sys.argv[1:4]
    if 'KLUIS_FIXTURES' in os.environ: root = os.path.join(os.environ['KLUIS_FIXTURES'], 'signal-backup')
    if not os.path.isdir(root):
        print(f'skipped: {root} is not on this machine')
        return 77
    pairs = records = bad = valid = refused = opened = 0

    def wrong(name, what):
        nonlocal bad
        bad += 1
        print(f'{name}: {what}')

    with tempfile.TemporaryDirectory() as tmp:
        for folder, _, names in sorted(os.walk(root)):
            for name in sorted(names):
                path, stem = os.path.join(folder, name), name.split('.')[0]
                if name.endswith('.binproto'):
                    text = path[:-len('.binproto')] + '.txtproto'
                    if os.path.exists(text):
                        with open(text, encoding='utf-8') as f: frames = list(se.Text(f.read()).frames())
                        export = os.path.join(tmp, 'export.jsonl')
                        with open(export, 'w', encoding='utf-8') as f:
                            for frame in frames: f.write(json.dumps(frame, ensure_ascii=False, separators=(',', ':')) + '\n')
                    else:
                        export = path[:-len('.binproto')] + '.takeout-export.expected.jsonl'
                        with open(export, encoding='utf-8') as f: frames = [json.loads(l) for l in f if l.strip()]
                    pairs += 1
                    what, n = se.check(dump, path, frames, 'signal-archive')
                    records += n
                    what = what or compare(dump, path, export)
                    if what: wrong(name, what)
                    else: shown.note('signal_archive_real', 'signal-archive', 'real', name, se.SEEN)
                elif name.endswith('.jsonproto') and os.path.basename(folder) in ('valid', 'invalid'):
                    made = os.path.join(tmp, 'made.binproto')
                    subprocess.run([sys.executable, eigen, 'frames', path, made], check=True)
                    code, _, why = read(dump, 'signal-archive', made)
                    if os.path.basename(folder) == 'valid':
                        valid += 1
                        if code: wrong(name, f'refused: {why}')
                    else:
                        refused += 1
                        if code != 1 or REASONS[stem] not in why: wrong(name, f'exit {code}: {why!r}, expected {REASONS[stem]!r}')
                elif name.endswith('.binproto.encrypted'):
                    opened += 1
                    token = [f'token={TOKEN}'] if stem.startswith('new') else []
                    code, lines, why = read(dump, 'signal-archive', path, f'key={KEY}', f'account={ACI}', *token)
                    if code or lines[-1]['kind'] != 'summary': wrong(name, f'exit {code}: {why}')
                    code, lines, why = read(dump, 'signal-archive', path, f'key={"n" + KEY[1:]}', f'account={ACI}', *token)
                    if code != 1 or lines or 'does not open it' not in why: wrong(name, f'another key: exit {code}: {why!r} after {len(lines)} lines')
                    code, lines, why = read(dump, 'signal-archive', path, f'account={ACI}', *token)
                    if code != 64 or lines: wrong(name, f'no key: exit {code}: {why!r}')
    print(f'{pairs} backups with {records} records agree or are named above; {valid} valid, {refused} invalid, {opened} encrypted; {bad} wrong')
    if pairs < 200 or records < 200 or valid < 10 or refused < 6 or opened < 1:
        print('too few files: this proves nothing')
        return 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
