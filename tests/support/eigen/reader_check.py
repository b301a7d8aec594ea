"""What every reader promises about a source that lies on disk, checked from outside, over source_dump: used by the eigen tests."""
import hashlib, json, os, random, subprocess

LIMIT = 64 << 20
PATIENCE = int(os.environ.get('KLUIS_PATIENCE', 1))  # tests/support/sanitize.sh says how much slower everything is


class Check:
    def __init__(self, dump):
        self.dump, self.wrong, self.done, self.peak = dump, 0, 0, 0

    def that(self, what, ok, why=''):
        self.done += 1
        if not ok:
            self.wrong += 1
            print(f'WRONG: {what} {why}'[:1000])

    def read(self, kind, path, *options, timeout=60):
        run = subprocess.run([self.dump, kind, path, *options], capture_output=True, timeout=timeout * PATIENCE)
        lines = [json.loads(l) for l in run.stdout.decode().split('\n') if l] if run.returncode == 0 else []
        if lines:
            kib = lines[-1]['peak_kib']  # None: the build is a sanitizer's
            self.peak = None if kib is None else max(self.peak, kib << 10)
        return run.returncode, lines, run.stderr.decode().strip()

    def records(self, kind, path, *options):
        code, lines, why = self.read(kind, path, *options)
        self.that(f'{kind} is read', code == 0, why)
        return [l for l in lines if l['kind'] not in ('summary', 'skipped')]

    def refused(self, what, code, text, kind, path, *options):
        run = subprocess.run([self.dump, kind, path, *options], capture_output=True, timeout=60 * PATIENCE)
        why = run.stderr.decode().strip()
        self.that(what, run.returncode == code and text in why and not run.stdout, f'exit {run.returncode}: {why!r} after {len(run.stdout)} bytes')

    def hostile(self, kind, path, options, flips, make):
        """Cut at every KiB and with single bits turned: read or refused, never worse.  make(bytes): the path of a source with these bytes."""
        with open(path, 'rb') as f: whole = f.read()
        dice = random.Random(20251009)
        cases = [whole[:n] for n in range(0, len(whole), 1024)]
        for _ in range(flips):
            b = bytearray(whole)
            b[dice.randrange(len(b))] ^= 1 << dice.randrange(8)
            cases.append(bytes(b))
        codes = {}
        for c in cases:
            run = subprocess.run([self.dump, kind, make(c), *options], capture_output=True, timeout=60 * PATIENCE)
            codes[run.returncode] = codes.get(run.returncode, 0) + 1
            if run.returncode not in (0, 1, 64) or b'\n' in run.stderr.strip():
                self.that(f'{kind}: {len(c)} damaged bytes', False, f'exit {run.returncode}: {run.stderr[:300]!r}')
        self.that(f'{kind}: damaged input was tried', len(cases) > flips)
        return codes

    def end(self, least):
        peak = self.peak
        if peak is not None: self.that('no more than 64 MiB', 0 < peak <= LIMIT, f'{peak >> 20} MiB')
        print(f'{self.done} checks, {self.wrong} wrong, ' + ('memory not measured' if peak is None else f'at most {peak >> 20} MiB'))
        if self.done < least:
            print('too few checks: this proves nothing')
            return 1
        return 1 if self.wrong else 0


def tree(path):
    """Everything that a reader could change: names, kinds, content, times of change."""
    out = []
    for folder, dirs, names in os.walk(path):
        for n in sorted(dirs + names):
            p = os.path.join(folder, n)
            st = os.lstat(p)
            digest = hashlib.sha256(open(p, 'rb').read()).hexdigest() if os.path.isfile(p) else ''
            out.append((os.path.relpath(p, path), st.st_mode, st.st_size, st.st_mtime_ns, st.st_ino, digest))
    return sorted(out)
