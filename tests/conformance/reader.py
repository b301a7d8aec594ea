"""reader.py - the agent's `read` asked from a test, what a test counts, and whether a source was touched."""
import hashlib
import json
import os
import subprocess


class Reader:
    """Of one test: `check` counts and ends the test by its name, `read` gives exit code, records with their summary last, and stderr."""

    def __init__(self, name, agent, kind):
        self.name, self.agent, self.kind, self.checks = name, agent, kind, 0

    def check(self, ok, *what):
        self.checks += 1
        if not ok:
            raise SystemExit(self.name + ": " + " ".join(str(w) for w in what))

    def read(self, path, *options, kind=None):
        args = [self.agent, "read", kind or self.kind, path]
        for o in options:
            args += ["--option", o]
        p = subprocess.run(args + ["--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return p.returncode, [json.loads(x) for x in p.stdout.splitlines()], p.stderr


def state(root):
    """A digest of everything below a folder: names, bytes, sizes, times, inodes."""
    h = hashlib.sha256()
    for d, dirs, files in os.walk(root):
        dirs.sort()
        for f in sorted(files) + sorted(dirs):
            p = os.path.join(d, f)
            s = os.lstat(p)
            h.update(repr((p, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)).encode())
            if os.path.isfile(p):
                h.update(open(p, "rb").read())
    return h.hexdigest()


def content(records):
    """Records without their provenance, which names the container they came in."""
    return [{k: v for k, v in r.items() if k != "provenance"} for r in records]
