#!/usr/bin/env python3
"""The table of docs/SOURCES.md, from what the conformance tests of the sources wrote.

sources_table.py AGENT LINES PAGE [--write]
LINES holds <kind>.lines of sources.py.  Without --write the page must hold exactly this table: exit 1 when it does not, 77 when no real case is
among the lines (the real files are not on this machine).
"""
import json, os, subprocess, sys

ABILITIES = ['messages', 'edits', 'deletions', 'reactions', 'quotes', 'polls', 'group events', 'timers', 'calls', 'media', 'names', 'incremental']
LOST = {'edits': {'edits', 'edit-history'}, 'deletions': {'deletions'}, 'reactions': {'reactions'}, 'quotes': {'quotes'}, 'polls': {'polls', 'votes'},
        'group events': {'group-events'}, 'timers': {'timers', 'disappearing-messages'}, 'calls': {'calls'}, 'media': {'attachments', 'media'},
        'names': {'names'}}
BEGIN, END = '<!-- table: made by a command, see below -->\n', '<!-- end of table -->\n'


def main():
    agent, folder, page = sys.argv[1:4]
    kinds = [json.loads(l) for l in subprocess.run([agent, 'source', 'kinds', '--json'], stdout=subprocess.PIPE, check=True).stdout.decode().split('\n') if l]
    seen, real = {}, 0
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not name.endswith('.lines'): continue
        with open(os.path.join(folder, name), encoding='utf-8') as f:
            for line in f:
                kind, ability, origin, case = line.rstrip('\n').split('\t')
                seen.setdefault((kind, ability, origin), set()).add(case)
                real += origin == 'real'
    rows = ['| source | ' + ' | '.join(ABILITIES) + ' |', '|---|' + '---|' * len(ABILITIES)]
    for k in kinds:
        cells = []
        for a in ABILITIES:
            r, e = len(seen.get((k['kind'], a, 'real'), ())), len(seen.get((k['kind'], a, 'eigen'), ()))
            if not any(k['kind'] == seen_kind for seen_kind, _, _ in seen):
                cells.append('no case')
            elif r or e:
                cells.append('read: ' + ' + '.join(([str(r)] if r else []) + (['%d *eigen*' % e] if e else [])))
            else:
                cells.append('no case' if a == 'incremental' else 'lost' if LOST.get(a, set()) & set(k['loss']) else '–')
        rows.append('| `%s` | ' % k['kind'] + ' | '.join(cells) + ' |')
    table = BEGIN + '\n'.join(rows) + '\n' + END
    with open(page, encoding='utf-8') as f: text = f.read()
    a, b = text.index(BEGIN), text.index(END) + len(END)
    if '--write' in sys.argv:
        with open(page, 'w', encoding='utf-8') as f: f.write(text[:a] + table + text[b:])
        return 0
    if real == 0:
        print('the real files are not on this machine: nothing to compare')
        return 77
    if text[a:b] != table:
        print('%s does not hold what the tests show; this does:\n%s' % (page, table))
        return 1
    return 0


sys.exit(main())
