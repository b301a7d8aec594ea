#!/usr/bin/env python3
"""eigen: makes exports of Element ("Export chat" as JSON), with invented people and messages.

eigen_matrix.py FOLDER.  Written from the public description of Matrix events and of the export alone; shares no code with the reader.
FOLDER/room: export.json with its files beside it; FOLDER/room.zip: the same in a zip; FOLDER/early.json: the room as it was exported before.
"""
import json, os, sys, zipfile

ROOM, ANNA, BRAM, CEES = '!dijk:voorbeeld.nl', '@anna:voorbeeld.nl', '@bram:voorbeeld.nl', '@cees:elders.nl'
T = 1773309600000  # 2026-03-12T10:00:00Z
PNG = bytes.fromhex('89504e470d0a1a0a0000000d49484452')


def event(n, kind, sender, content, **more):
    e = {'type': kind, 'room_id': ROOM, 'sender': sender, 'content': content, 'origin_server_ts': T + n * 60000, 'event_id': '$%d' % n, 'unsigned': {'age': 1}}
    e.update(more)
    return e


def member(n, who, membership, name, sender=None, prev=None, **content):
    u = {'age': 1}
    if prev: u['prev_content'] = prev
    return event(n, 'm.room.member', sender or who, dict({'membership': membership, 'displayname': name}, **content), state_key=who, unsigned=u)


def text(n, who, body, **content):
    return event(n, 'm.room.message', who, dict({'msgtype': 'm.text', 'body': body}, **content))


def events():
    yield event(1, 'm.room.create', ANNA, {'room_version': '10', 'creator': ANNA}, state_key='')
    yield member(2, ANNA, 'join', 'Anna de Vries')
    yield event(3, 'm.room.encryption', ANNA, {'algorithm': 'm.megolm.v1.aes-sha2'}, state_key='')
    yield member(4, BRAM, 'invite', 'Bram Jansen', sender=ANNA)
    yield member(5, BRAM, 'join', 'Bram Jansen', prev={'membership': 'invite', 'displayname': 'Bram Jansen'})
    yield text(6, ANNA, 'Goedemorgen, de nota staat klaar \U0001F600', format='org.matrix.custom.html',
               formatted_body='Goedemorgen, de <a href="https://voorbeeld.nl/nota">nota</a> staat klaar')
    yield text(7, BRAM, '> <%s> Goedemorgen, de nota staat klaar\n> en verder\n\nDank, ik lees hem' % ANNA, **{'m.relates_to': {'m.in_reply_to': {'event_id': '$6'}}})
    yield text(8, ANNA, ' * De tweede vorm', **{'m.new_content': {'msgtype': 'm.text', 'body': 'De tweede vorm'}, 'm.relates_to': {'rel_type': 'm.replace', 'event_id': '$6'}})
    yield event(9, 'm.reaction', BRAM, {'m.relates_to': {'rel_type': 'm.annotation', 'event_id': '$6', 'key': '\U0001F44D'}})
    yield text(10, BRAM, 'In de draad', **{'m.relates_to': {'rel_type': 'm.thread', 'event_id': '$6', 'is_falling_back': True, 'm.in_reply_to': {'event_id': '$7'}}})
    yield event(11, 'm.room.message', ANNA, {}, unsigned={'redacted_because': event(12, 'm.room.redaction', ANNA, {'reason': 'vergissing'}, redacts='$11')})
    yield text(13, ANNA, 'De laatste vorm', **{})
    yield event(14, 'm.room.message', BRAM, {'msgtype': 'm.image', 'body': 'dijk.png', 'file': {'url': 'mxc://voorbeeld.nl/abc', 'key': {'k': 'geheim'}}, 'info': {'mimetype': 'image/png', 'size': 16}})
    yield event(15, 'm.room.message', BRAM, {'msgtype': 'm.image', 'body': 'dijk.png', 'url': 'mxc://voorbeeld.nl/def', 'info': {'mimetype': 'image/png', 'size': 16}})
    yield event(16, 'm.room.message', BRAM, {'msgtype': 'm.file', 'body': 'weg.pdf', 'filename': 'weg.pdf', 'info': {'size': 9}})
    yield event(17, 'org.matrix.msc3381.poll.start', ANNA, {'org.matrix.msc1767.text': 'Wanneer?', 'org.matrix.msc3381.poll.start': {
        'question': {'org.matrix.msc1767.text': 'Wanneer?'}, 'kind': 'org.matrix.msc3381.poll.disclosed', 'max_selections': 1,
        'answers': [{'id': 'a', 'org.matrix.msc1767.text': 'Maandag'}, {'id': 'b', 'org.matrix.msc1767.text': 'Dinsdag'}]}})
    yield event(18, 'org.matrix.msc3381.poll.response', BRAM, {'m.relates_to': {'rel_type': 'm.reference', 'event_id': '$17'}, 'org.matrix.msc3381.poll.response': {'answers': ['b']}})
    yield event(19, 'org.matrix.msc3381.poll.end', ANNA, {'m.relates_to': {'rel_type': 'm.reference', 'event_id': '$17'}, 'org.matrix.msc1767.text': 'Dinsdag'})
    yield event(20, 'm.room.encrypted', CEES, {'algorithm': 'm.megolm.v1.aes-sha2', 'ciphertext': 'AwgA', 'session_id': 's'})
    yield event(21, 'm.room.message', CEES, {'msgtype': 'm.bad.encrypted', 'body': '** Unable to decrypt: no session **'})
    yield event(22, 'm.room.name', ANNA, {'name': 'Dijkversterking'}, state_key='', unsigned={'prev_content': {'name': 'Dijk'}})
    yield member(23, BRAM, 'join', 'B. Jansen', prev={'membership': 'join', 'displayname': 'Bram Jansen'})
    yield text(24, BRAM, 'Onder een andere naam')
    yield member(25, CEES, 'leave', 'Cees', sender=ANNA, prev={'membership': 'join', 'displayname': 'Cees'}, reason='klaar')
    yield event(26, 'm.call.invite', BRAM, {'call_id': '1', 'offer': {'sdp': 'v=0\r\nm=audio 9\r\nm=video 9\r\n'}})
    yield event(27, 'm.call.hangup', BRAM, {'call_id': '1', 'reason': 'invite_timeout'})
    yield event(28, 'm.room.message', ANNA, {'msgtype': 'm.location', 'body': 'De dijk', 'geo_uri': 'geo:52.08,4.31'})
    yield event(29, 'nl.voorbeeld.nieuw', ANNA, {'waarde': 7})
    yield event(30, 'm.room.pinned_events', ANNA, {'pinned': ['$6']}, state_key='')
    yield event(31, 'm.room.retention', ANNA, {'max_lifetime': 86400000}, state_key='')
    edited = text(32, ANNA, 'Nu staat hier dit')
    edited['unsigned']['m.relations'] = {'m.replace': text(33, ANNA, ' * Nu staat hier dit', **{'m.new_content': {'msgtype': 'm.text', 'body': 'Nu staat hier dit'}}),
                                         'm.annotation': {'chunk': [{'type': 'm.reaction', 'key': '\U0001F389', 'count': 3}]}}
    yield edited


def main():
    folder = sys.argv[1]
    all = list(events())
    export = lambda e: json.dumps({'room_name': 'Dijkversterking', 'room_creator': 'Anna de Vries', 'topic': 'De dijk', 'export_date': '3/12/2026',
                                   'exported_by': 'Anna de Vries', 'messages': e}, indent=2, ensure_ascii=False)
    files = {'export.json': export(all).encode(), 'images/dijk-3-12-2026 at 11-14-00 AM.png': PNG, 'images/dijk-3-12-2026 at 11-15-00 AM.png': b'ANDERE FOTO 1234'}
    with zipfile.ZipFile(os.path.join(folder, 'room.zip'), 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in files.items():
            path = os.path.join(folder, 'room', name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as f: f.write(data)
            z.writestr('Element - Dijkversterking/' + name, data)
    with open(os.path.join(folder, 'early.json'), 'w') as f: f.write(export(all[:12]))


main()
