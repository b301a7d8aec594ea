"""What records show that a source tells, for the table of docs/SOURCES.md.

A conformance test of a kind calls note() for every file that came out right; the test's environment names the folder (KLUIS_SOURCE_LINES).
"""
import os

GROUP = {'member-added', 'member-removed', 'member-left', 'member-joined', 'joined-by-link', 'join-requested', 'join-request-approved',
         'join-request-denied', 'member-invited', 'invitation-accepted', 'invitation-declined', 'invitation-revoked', 'admin-changed',
         'group-created', 'subject-changed', 'description-changed', 'description-removed', 'icon-changed', 'icon-removed', 'settings-changed',
         'invite-link-reset', 'community-created', 'community-changed'}
KINDS = {'message': 'messages', 'edit': 'edits', 'deletion': 'deletions', 'reaction': 'reactions', 'poll': 'polls', 'vote': 'polls', 'call': 'calls'}
_begun = set()


def shown(records):
    out = set()
    for r in records:
        kind, names = r['kind'], set(r.get('fields', {})) | set(r.get('times', {}))
        if kind in KINDS: out.add(KINDS[kind])
        if 'edited' in names: out.add('edits')
        if kind == 'message' and ('quote' in r or 'target' in r): out.add('quotes')
        if r.get('event') in GROUP: out.add('group events')
        if r.get('event') == 'timer-changed' or any('expire' in n for n in names): out.add('timers')
        if r.get('attachments'): out.add('media')
        if 'name' in r.get('author', {}) or 'name' in r.get('conversation', {}): out.add('names')
    return out


def note(test, kind, origin, name, records, also=()):
    """test: a name for the file of lines; origin: 'real' or 'eigen'; also: 'incremental' where that was seen."""
    folder = os.environ.get('KLUIS_SOURCE_LINES')
    if not folder: return
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, test + '.lines')
    with open(path, 'a' if path in _begun else 'w', encoding='utf-8') as f:
        _begun.add(path)
        for a in sorted(shown(records) | set(also)): f.write('\t'.join((kind, a, origin, name)) + '\n')
