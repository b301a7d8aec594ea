#!/usr/bin/env python3
"""Every kind of source, harmed: each file cut at every KiB, bits turned, 100,000 levels deep (source_harm.c).

source_harm.py SOURCE_HARM KIND CASES FIXTURES OWN SUPPORT

The sources are those of CASES/KIND.json that are read (sources.py), and of the kinds that have no such list, those below.  Each is copied first.
STEP and FLIPS (KLUIS_HARM_STEP, KLUIS_HARM_FLIPS) are 1,024 and 16.  Exit 77: nothing of this kind is on this machine.
"""
import glob, json, os, shutil, subprocess, sys, tempfile, zipfile

harm, kind, cases, fixtures, own, support = sys.argv[1:7]
fixtures = os.environ.get('KLUIS_FIXTURES', fixtures)
scripts = os.path.dirname(os.path.abspath(__file__))
STEP, FLIPS = os.environ.get('KLUIS_HARM_STEP', '1024'), os.environ.get('KLUIS_HARM_FLIPS', '16')
sys.path[:0] = [support, scripts]


def signal_frames():
    with open(os.path.join(own, 'eigen-signal', 'main.jsonl'), encoding='utf-8') as f:
        return [json.loads(l) for l in f if not any(u in l for u in ('"99"', 'oekomst', 'nieuwVeld', 'adHocCall'))]


def signal_android(root):
    import signal_android as made
    path = os.path.join(root, 'signal-2026-10-01-03-00-00.backup')
    made.make(signal_frames(), path, 290, 1, os.path.join(own, 'eigen-signal', 'files'))
    yield path, ['passphrase=' + made.PASSPHRASE]


def signal_desktop(root):
    import signal_desktop as made
    for version, log in ((1360, 3), (1270, 0)):
        folder = os.path.join(root, str(version))
        made.make(signal_frames(), folder, version, bytes(range(7, 39)), os.path.join(own, 'eigen-signal', 'files'), **({'log': log} if log else {}))
        yield folder, []


def signal_archive(root):
    key, aci = 'eigen7w0' * 8, 'e1e1e1e1-0000-4000-8000-000000000001'
    os.environ.update(EIGEN_KEY=key, EIGEN_ACI=aci)
    import signal_backup as made
    export, phone = os.path.join(root, 'export'), os.path.join(root, 'phone')
    shutil.copytree(os.path.join(own, 'eigen-signal'), export)
    with open(os.path.join(export, 'main.jsonl'), encoding='utf-8') as f: lines = [l for l in f if not any(u in l for u in ('"99"', 'oekomst', 'nieuwVeld'))]
    with open(os.path.join(export, 'main.jsonl'), 'w', encoding='utf-8') as f: f.writelines(lines)
    made.archive(made.read_frames(os.path.join(export, 'main.jsonl')), phone, os.path.join(export, 'files'))
    yield phone, ['key=' + key]
    for p in sorted(glob.glob(os.path.join(fixtures, 'signal-backup', '**', '*.binproto'), recursive=True)): yield p, None


def imessage(root):
    import imessage as made, whatsapp_ios
    for age in ('ios18', 'ios12'):
        folder = os.path.join(root, age)
        os.mkdir(folder)
        made.fill(folder, age).db.close()
        yield folder, []
    phone = os.path.join(root, 'phone')
    for domain in ('HomeDomain', 'MediaDomain'): os.makedirs(os.path.join(phone, domain, 'Library', 'SMS'))
    shutil.copy(os.path.join(root, 'ios18', 'sms.db'), os.path.join(phone, 'HomeDomain', 'Library', 'SMS', 'sms.db'))
    shutil.copytree(os.path.join(root, 'ios18', 'Attachments'), os.path.join(phone, 'MediaDomain', 'Library', 'SMS', 'Attachments'))
    for password in (None, whatsapp_ios.PASSWORD):
        backup = os.path.join(root, 'backup' if password is None else 'versleuteld')
        whatsapp_ios.backup(phone, backup, password, domains=True)
        yield backup, ['password=' + password] if password else []


MADE = {'signal-android': signal_android, 'signal-desktop': signal_desktop, 'signal-archive': signal_archive, 'imessage': imessage}


def listed(root):
    with open(os.path.join(cases, kind + '.json'), encoding='utf-8') as f: todo = json.load(f)
    for n, case in enumerate(todo):
        if 'why' in case: continue
        if 'real' in case:
            below = fixtures
        elif 'make' in case:
            below = os.path.join(root, 'made%d' % n)
            os.mkdir(below)
            subprocess.run([sys.executable, os.path.join(scripts, case['make']), below], check=True)
        else:
            below = own
        for p in sorted(glob.glob(os.path.join(glob.escape(below), case['real' if 'real' in case else 'eigen']), recursive=True)):
            found = [p]
            if 'unzip' in case:
                inside = os.path.join(root, 'unzip%d' % n)
                with zipfile.ZipFile(p) as z: z.extractall(inside)
                found = glob.glob(os.path.join(glob.escape(inside), case['unzip']), recursive=True)
            for f in found: yield f, case.get('options', [])


done, failed, refused, records = 0, [], 0, 0
with tempfile.TemporaryDirectory(dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None) as tmp:
    root, copy = os.path.join(tmp, 'made'), os.path.join(tmp, 'copy')
    os.mkdir(root)
    for path, options in MADE[kind](root) if kind in MADE else listed(root):
        os.mkdir(copy)
        victim = os.path.join(copy, os.path.basename(path))
        shutil.copytree(path, victim) if os.path.isdir(path) else shutil.copy(path, victim)
        p = subprocess.run([harm, kind, victim, STEP, FLIPS] + (options or []), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = (p.stdout + p.stderr).decode('utf-8', 'replace').strip()
        if p.returncode == 1 and 'refused before' in said:
            refused += 1  # an invalid one among other people's cases
        elif p.returncode != 0:
            failed.append('%s: exit %d: %s' % (path, p.returncode, said))
        else:
            done += 1
            records += int(said.split()[0])
            print(os.path.basename(path), said)
        shutil.rmtree(copy)
print('%s: %d sources harmed with %d records, %d refused unharmed' % (kind, done, records, refused))
if done and not records: failed.append('none of them holds anything')
for l in failed: print('FAILED', l)
sys.exit(1 if failed else 0 if done else 77)
