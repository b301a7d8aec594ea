"""coverage.py BUILD STAGE FLOORS [--floors] - what ran, by gcc's counters in BUILD, against the floors of STAGE; exit 1 below one.

STAGE is what has run so far: `corpus` (the fuzz corpora alone: lines of each reader), `unit` (the unit tests as well: lines and branches of each folder,
of files that these programs hold) or `suite` (everything: of all files).  Prints a table; with --floors the lines of FLOORS that today's figures would
give.  A line of FLOORS:
  corpus PATH LINES              per cent; PATH is a reader of strangers' bytes, `together` all of them
  outside PATH WHY...            a file in agent/source that no corpus line is asked for
  unit|suite FOLDER LINES BRANCHES    per cent; `together` is all of lib, agent and server, `other` each folder without a line
A file of agent/source without a line fails, and so does a line that names nothing.
"""
import json
import os
import subprocess
import sys
from collections import defaultdict

MARGIN = 1.5  # counts differ by a hair from run to run (threads, times, processes that are killed)
TARGET = 85.0  # of the readers together


def objects(build, ending):
    for folder, _, files in os.walk(build):
        yield from (os.path.abspath(os.path.join(folder, f)) for f in files if f.endswith(ending))


def measured(build, everything):
    """path -> (lines run, lines, branches taken, branches).  A file that stands in several programs ran where any of them ran it."""
    root = os.getcwd()
    notes = sorted(n for n in objects(build, ".gcno") if everything or os.path.exists(n[:-4] + "gcda"))
    if not notes:
        sys.exit(f"coverage: nothing ran in {build}")
    gcov = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *notes], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          cwd=root, check=True)
    seen = defaultdict(dict)
    for text in gcov.stdout.splitlines():
        unit = json.loads(text)
        for f in unit["files"]:
            path = os.path.relpath(os.path.join(unit["current_working_directory"], f["file"]), root)
            if path.split(os.sep)[0] not in ("lib", "agent", "server") or not path.endswith(".c"):
                continue
            for line in f["lines"]:
                had = seen[path].setdefault(line["line_number"], [False, {}])
                had[0] |= line["count"] > 0
                for i, b in enumerate(line["branches"]):
                    had[1][i] = had[1].get(i, False) or b["count"] > 0
    if os.environ.get("COVERAGE_MISSED"):  # a file to write: the lines that did not run
        with open(os.environ["COVERAGE_MISSED"], "w") as out:
            for path in sorted(seen):
                print(path, *(n for n in sorted(seen[path]) if not seen[path][n][0]), file=out)
    return {path: (sum(h[0] for h in lines.values()), len(lines), sum(sum(h[1].values()) for h in lines.values()),
                   sum(len(h[1]) for h in lines.values())) for path, lines in seen.items()}


def floors_of(path, stage):
    floors, outside = {}, set()
    for number, line in enumerate(open(path), 1):
        word = line.split("#")[0].split()
        if not word:
            continue
        if word[0] == "outside" and len(word) > 2:
            outside.add(word[1])
        elif word[0] == "corpus" and len(word) == 3 or word[0] in ("unit", "suite") and len(word) == 4:
            if word[0] == stage:
                floors[word[1]] = [float(w) for w in word[2:]]
        else:
            sys.exit(f"coverage: {path} line {number} is no floor")
    if not floors:
        sys.exit(f"coverage: {path} holds no floor of '{stage}'")
    return floors, outside


def share(part, whole):
    return 100.0 * part / whole if whole else 100.0


def main():
    build, stage, path = sys.argv[1:4]
    proposing = sys.argv[4:] == ["--floors"]
    corpus = stage == "corpus"
    files = measured(build, stage == "suite")
    floors, outside = floors_of(path, stage)
    sums, faults = defaultdict(lambda: [0, 0, 0, 0]), []
    for name, counts in files.items():
        where = name if corpus else os.path.dirname(name)
        if corpus and where not in floors:
            if name.startswith("agent/source/") and name not in outside:
                faults.append(f"{name} is in no line of the floors")
            continue
        for i, c in enumerate(counts):
            sums[where][i] += c
            sums["together"][i] += c
    what = {"corpus": "the readers, by the fuzz corpora alone", "unit": "the unit tests and the corpora", "suite": "the whole suite"}[stage]
    for where in sorted(sums, key=lambda w: (w == "together", w)):
        s = sums[where]
        now = [share(s[0], s[1])] if corpus else [share(s[0], s[1]), share(s[2], s[3])]
        if proposing:
            print(stage, where, *(int(max(0.0, v - MARGIN)) for v in now))
            continue
        floor = floors.get(where) or floors["other"]
        figures = ", ".join(f"{name} {v:5.1f} % (floor {f:.0f})" for name, v, f in zip(("lines", "branches"), now, floor))
        print(f"coverage: {what}: {figures}" if where == "together" else f"  {where:<50} {figures}")
        if any(v < f for v, f in zip(now, floor)):
            faults.append(f"{where} is below its floor: tests are missing for what is new, or a test was lost")
    faults += [f"the floor of {w} names nothing that ran" for w in floors if w not in sums and w != "other"]
    if corpus and floors.get("together", [0])[0] < TARGET:
        faults.append(f"the floor of the readers together is below {TARGET:.0f} %")
    for f in faults:
        print(f"coverage: {f}", file=sys.stderr)
    return 1 if faults and not proposing else 0


sys.exit(main())
