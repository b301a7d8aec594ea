#!/usr/bin/env python3
"""Promise: everything that changes the disk stands in the table of docs/THREATS.md ("What changes the disk") beside the fault sweep over it, or with
the reason why there is none; and the sweeps named do pass there: of each file in the table, every durable step by name is passed by a sweep of its row.

Usage: covered.py SOURCE_DIR STEPS_DIR.  STEPS_DIR: a file for each sweep of this run, with the steps that it passed (KLUIS_FAULT_STEPS of fault.h).
"""
import collections
import os
import re
import subprocess
import sys

CHANGES = re.compile(
    r"\b(kluis_write_file|kluis_publish_file|kluis_close_durable|kluis_make_dir|kluis_fsync_dir|kluis_io_(?:pwrite|fsync|fdatasync|rename|link|unlink|mkdir"
    r"|ftruncate)|O_CREAT|O_TMPFILE|unlink|unlinkat|rmdir|mkdir|mkdirat|rename|renameat"
    r"|symlink|chmod|fchmod|chown|fchown|fchownat|lchown|pwrite|ftruncate|truncate|fopen|mkstemp|utimensat|futimens)\b(?=\s*\(|\s*[|,)])")
# Of the readers (agent/source) what databases do is left out: theirs are copies without a name (lib/db/scratch.c).
DATABASE = re.compile(r"\b(kluis_db_(?:open|open_copy|run|exec|begin|commit|copy_out)|custody_begin)\s*\(")
STEPS = re.compile(r"\b(?:kluis_durable_step|kluis_db_commit|custody_commit|gate_tx_end|decide|kluis_publish_file|ledger_end)\s*\(")
NAME = re.compile(r'"((?:agent|vault|gate|register|index|backup)\.[a-z0-9.-]+)"')
AT_LEAST_FILES, AT_LEAST_STEPS = 55, 60


def without_comments(text):
    return re.sub(r'("(?:\\.|[^"\\])*")|/\*.*?\*/|//[^\n]*', lambda m: m.group(1) or " ", text, flags=re.S)


def changes(text, reader=False):
    bare = re.sub(r'"(?:\\.|[^"\\])*"|SCMP_SYS\(\w+\)', '""', text)
    return bool(CHANGES.search(bare) or (not reader and DATABASE.search(bare)))


def steps_of(text):
    found = set()
    for m in STEPS.finditer(text):
        end, depth = m.end(), 1
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        found.update(NAME.findall(text[m.end():end]))
    return found


def source(root):
    """file -> (changes the disk, its steps)"""
    out = {}
    for top in ("agent", "server", "lib"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith(".c"):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        text = without_comments(f.read())
                    path = os.path.relpath(path, root)
                    steps = steps_of(text)
                    out[path] = (changes(text, path.startswith("agent/source/")) or bool(steps), steps)
    return out


def table(text):
    """rows: (files, sweeps, steps; in a row without sweeps: those of its files that none passes)"""
    part = text.split("\n## What changes the disk\n", 1)[1].split("\n## ", 1)[0]
    rows = []
    for line in part.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] in ("what", "---"):
            continue
        ticked = re.findall(r"`([^`]+)`", cells[1])
        files = [t for t in ticked if "/" in t]
        steps = {t for t in ticked if "/" not in t}
        none = cells[2].startswith("none: ")
        sweeps = [] if none else re.findall(r"`(fault\.[a-z_]+)`", cells[2])
        if not sweeps and not none:
            raise SystemExit(f"covered: neither a sweep nor a reason: {line[:120]}")
        rows.append((files, sweeps, steps))
    return rows


def problems(src, rows, passed):
    """passed: sweep -> steps"""
    bad, by_file, left_out = [], collections.defaultdict(set), collections.defaultdict(set)
    for files, sweeps, steps in rows:
        for f in files:
            by_file[f].update(sweeps)
            left_out[f].update(steps & src.get(f, (False, set()))[1] if not sweeps else ())
            if f not in src:
                bad.append(f"{f} is in the table and does not exist")
            elif not src[f][0]:
                bad.append(f"{f} is in the table and changes nothing on the disk")
        for s in sweeps:
            if s not in passed:
                bad.append(f"{s} is in the table and is no sweep of this run")
        for step in sorted(steps - set().union(*(src[f][1] for f in files if f in src))):
            bad.append(f"the table names {step}, which is in none of {', '.join(files)}")
    for f, (writes, steps) in sorted(src.items()):
        if writes and f not in by_file:
            bad.append(f"{f} changes the disk and stands in no row")
        if f not in by_file:
            continue
        reached = set().union(*(passed.get(s, set()) for s in by_file[f])) if by_file[f] else set()
        for step in sorted(steps):
            if step not in left_out[f] and step not in reached: # those left out may come by now and then: a slow time authority, say
                bad.append(f"{f}: no sweep of its rows passes {step}")
    return bad


def main():
    root, recorded = sys.argv[1:3]
    src = source(root)
    with open(os.path.join(root, "docs/THREATS.md"), encoding="utf-8") as f:
        rows = table(f.read())
    passed = {}
    for name in os.listdir(recorded):
        with open(os.path.join(recorded, name), encoding="utf-8") as f:
            passed[name] = set(f.read().split())
    bad = problems(src, rows, passed)
    # It notices: a file that writes, a step that is made anew, a row without its sweep, a row of what is gone.
    def planted(src2, rows2, passed2, words):
        if not any(words in b for b in problems(src2, rows2, passed2) if b not in bad):
            raise SystemExit(f"covered: a planted case is not noticed: {words}")
    any_file = next(f for files, sweeps, _ in rows if sweeps for f in files)
    planted({**src, "server/new.c": (changes("x = kluis_write_file(p, a, n, 0600, err);"), set())}, rows, passed, "server/new.c changes the disk")
    planted({**src, any_file: (True, src[any_file][1] | steps_of('kluis_durable_step("agent.new");'))}, rows, passed, "passes agent.new")
    planted(src, rows + [(["server/gone.c"], ["fault.gone"], set())], passed, "server/gone.c is in the table and does not exist")
    planted(src, rows + [([any_file], ["fault.gone"], set())], passed, "fault.gone is in the table and is no sweep")
    n_files = sum(w for w, _ in src.values())
    n_steps = len(set().union(*(s for _, s in src.values())))
    if n_files < AT_LEAST_FILES or n_steps < AT_LEAST_STEPS:
        raise SystemExit(f"covered: only {n_files} files and {n_steps} steps seen: this test would pass without looking")
    for b in bad:
        print("covered:", b)
    print(f"covered: {n_files} files that change the disk, {n_steps} durable steps by name, {len(passed)} sweeps, {len(bad)} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
