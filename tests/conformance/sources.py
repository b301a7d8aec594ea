#!/usr/bin/env python3
"""Every case of one kind of source, and what it shows.

sources.py SOURCE_DUMP KIND CASES FIXTURES OWN

CASES/KIND.json is a list of cases.  A case has `real` (below FIXTURES: other people's files) or `eigen` (below OWN, or with `make` below a
folder that the named script beside CASES fills); `*` in it stands for several.  `expect`: how many records of each kind, `conversations`;
`has`: parts that must stand in the output; `why`: it is refused, with these words; `options`; `grow`: read once more with only so
many per cent of its lines, as an earlier reading: nothing of that may be missing from the whole; `before`: the earlier reading is that file or
folder beside it.  `unzip`: the file is a zip, and what is read is what this pattern finds in it.
What a case shows is taken from the records that came out (shown.py).
Exit 77: no real file is on this machine (the eigen ones are read all the same).
"""
import glob, json, os, subprocess, sys, tempfile, zipfile

from shown import note


class Kind:
    def __init__(self, dump, kind, fixtures, own, scripts):
        self.dump, self.kind, self.fixtures, self.own, self.scripts = dump, kind, fixtures, own, scripts
        self.failed, self.missing, self.ran = [], 0, 0

    def read(self, path, options):
        p = subprocess.run([self.dump, self.kind, path] + options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        rows = [json.loads(l) for l in p.stdout.decode('utf-8').split('\n') if l]
        return p.returncode, rows, p.stderr.decode('utf-8', 'replace')

    def fail(self, name, what):
        self.failed.append('%s: %s' % (name, what))

    def one(self, name, path, case, origin, root):
        options = case.get('options', [])
        rc, rows, err = self.read(path, options)
        self.ran += 1
        if 'why' in case:
            if rc != 1 or case['why'] not in err: self.fail(name, 'refused for another reason or not at all: %d %s' % (rc, err.strip()))
            return
        if rc != 0:
            return self.fail(name, 'exit %d: %s' % (rc, err.strip()))
        records = [r for r in rows if r['kind'] not in ('summary', 'skipped')]
        counts = {}
        for r in records: counts[r['kind']] = counts.get(r['kind'], 0) + 1
        counts['conversations'] = rows[-1]['conversations']
        for k, n in case.get('expect', {}).items():
            if counts.get(k, 0) != n: self.fail(name, '%d %s, not %d' % (counts.get(k, 0), k, n))
        text = json.dumps(rows, ensure_ascii=False)
        for part in case.get('has', []):
            if part not in text: self.fail(name, 'nowhere %r' % part)
        grown = ('grow' in case or 'before' in case) and self.grows(name, path, options, records, case, root)
        note(self.kind, self.kind, origin, name, records, ['incremental'] if grown else [])

    def grows(self, name, path, options, whole, case, root):
        with tempfile.TemporaryDirectory() as d:
            if 'before' in case:
                early = os.path.join(root, case['before'])
            else:
                with open(path, 'rb') as f: lines = f.read().splitlines(keepends=True)
                early = os.path.join(d, os.path.basename(path))
                with open(early, 'wb') as f: f.writelines(lines[:len(lines) * case['grow'] // 100])
            rc, rows, err = self.read(early, options)
        key = lambda r: json.dumps([r[k] if k in r else None for k in ('kind', 'id', 'author', 'sent', 'text', 'value', 'event')], sort_keys=True)
        have = [key(r) for r in whole]
        before = [key(r) for r in rows if r['kind'] not in ('summary', 'skipped')]
        for k in before[:-1]:  # the last one may have been cut
            if k not in have:
                self.fail(name, 'an earlier reading has what the whole has not: %s' % k)
                return False
            have.remove(k)
        if rc != 0 or not 0 < len(before) < len(whole): self.fail(name, 'no earlier reading: %d of %d, %s' % (len(before), len(whole), err.strip()))
        return rc == 0

    def run(self, case):
        with tempfile.TemporaryDirectory() as made:
            if 'real' in case:
                root, pattern, origin = self.fixtures, case['real'], 'real'
            else:
                root, pattern, origin = (made if 'make' in case else self.own), case['eigen'], 'eigen'
                if 'make' in case: subprocess.run([sys.executable, os.path.join(self.scripts, case['make']), made], check=True)
            paths = sorted(glob.glob(os.path.join(glob.escape(root), pattern), recursive=True))
            if not paths and origin == 'real': self.missing += 1
            elif not paths: self.fail(pattern, 'no such file of our own')
            for p in paths:
                found = [p]
                if 'unzip' in case:
                    with zipfile.ZipFile(p) as z: z.extractall(made)  # which leaves leading slashes off
                    found = sorted(glob.glob(os.path.join(glob.escape(made), case['unzip']), recursive=True))
                    if not found: self.fail(os.path.relpath(p, root), 'nothing in it is named so')
                for f in found: self.one(os.path.relpath(p, root), f, case, origin, root)


def main():
    dump, kind, cases, fixtures, own = sys.argv[1:6]
    fixtures = os.environ.get('KLUIS_FIXTURES', fixtures)
    k = Kind(dump, kind, fixtures, own, os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(cases, kind + '.json'), encoding='utf-8') as f: todo = json.load(f)
    for case in todo: k.run(case)
    print('%s: %d files, %d cases not on this machine' % (kind, k.ran, k.missing))
    for l in k.failed: print('FAILED', l)
    if k.failed: return 1
    return 77 if k.missing == sum('real' in c for c in todo) and k.missing > 0 else 0


sys.exit(main())
