#!/usr/bin/env python3
"""eigen: makes a workspace's export of Slack, with invented people and messages.

eigen_slack.py FOLDER.  Written from Slack's public description of its export alone; shares no code with the reader.
FOLDER/export: the folder, with files as slackdump adds them; FOLDER/export.zip: the same; FOLDER/before: a day less.
"""
import json, os, sys, zipfile

A, B, C = 'U0ANNA', 'U0BRAM', 'U0CEES'
T = 1773309600
USERS = [{'id': A, 'team_id': 'T1', 'name': 'anna', 'real_name': 'Anna de Vries', 'profile': {'display_name': 'Anna', 'real_name': 'Anna de Vries'}},
         {'id': B, 'team_id': 'T1', 'name': 'bram', 'profile': {'display_name': '', 'real_name': 'Bram Jansen'}}, {'id': C, 'team_id': 'T1', 'name': 'cees', 'profile': {}}]
CHANNELS = [{'id': 'C1', 'name': 'dijk', 'creator': A, 'members': [A, B, C], 'is_archived': False}]
DMS = [{'id': 'D1', 'members': [A, B]}]
MPIMS = [{'id': 'G1', 'name': 'mpdm-anna--bram--cees-1', 'members': [A, B, C]}]


def m(n, user, text, **more):
    return dict({'type': 'message', 'user': user, 'text': text, 'ts': '%d.%06d' % (T + n * 60, n)}, **more)


def one():
    rich = [{'type': 'rich_text', 'elements': [{'type': 'rich_text_section', 'elements': [{'type': 'text', 'text': 'Dag '}, {'type': 'user', 'user_id': B}, {'type': 'link', 'url': 'https://voorbeeld.nl'}]},
            {'type': 'rich_text_list', 'style': 'ordered', 'elements': [{'type': 'rich_text_section', 'elements': [{'type': 'text', 'text': 'een'}]}, {'type': 'rich_text_section', 'elements': [{'type': 'text', 'text': 'twee'}]}]}]}]
    return [
        m(1, A, '<@%s> has joined the channel' % A, subtype='channel_join'),
        m(2, A, 'Dag <@%s>, zie <https://voorbeeld.nl/nota|de nota> in <#C1|dijk> &amp; <!here>' % B, reactions=[{'name': '+1', 'users': [B], 'count': 1}, {'name': 'tada', 'users': [C], 'count': 4}],
          user_profile={'display_name': 'Anna', 'real_name': 'Anna de Vries'}),
        m(3, B, 'In de draad', thread_ts='%d.%06d' % (T + 120, 2), parent_user_id=A),
        m(4, B, 'De tweede vorm', edited={'user': B, 'ts': '%d.000000' % (T + 300)}),
        m(5, 'USLACKBOT', 'This message was deleted.', subtype='tombstone', hidden=True),
        m(6, B, '', blocks=rich),
        m(7, A, 'Bijlagen', subtype='file_share', files=[
            {'id': 'F1', 'name': 'dijk.png', 'title': 'De dijk', 'mimetype': 'image/png', 'size': 4, 'url_private': 'https://files.slack.com/files-pri/T1-F1/dijk.png?t=xoxe-geheim'},
            {'id': 'F2', 'name': 'weg.pdf', 'mimetype': 'application/pdf', 'size': 9, 'url_private': 'https://files.slack.com/x?t=xoxe-geheim'}, {'id': 'F3', 'mode': 'tombstone'}]),
        m(8, A, 'set the channel topic: Waterkering', subtype='channel_topic', topic='Waterkering'),
        {'type': 'message', 'subtype': 'bot_message', 'bot_id': 'B1', 'username': 'Agenda', 'text': '', 'ts': '%d.000009' % (T + 540),
         'attachments': [{'title': 'Vergadering', 'text': 'Zaal <https://voorbeeld.nl|B 2.14>', 'fields': [{'title': 'Duur', 'value': '1 uur'}]}]},
        m(10, A, 'Kijk', attachments=[{'is_share': True, 'author_name': 'Cees', 'text': 'Elders gezegd', 'channel_id': 'C9', 'ts': '1.000001'}]),
    ]


def two():
    return [
        {'type': 'message', 'subtype': 'message_changed', 'hidden': True, 'ts': '%d.000020' % (T + 86400), 'message': m(11, C, 'na', edited={'user': C, 'ts': '1.0'}), 'previous_message': m(11, C, 'voor')},
        {'type': 'message', 'subtype': 'message_deleted', 'hidden': True, 'ts': '%d.000021' % (T + 86460), 'deleted_ts': '%d.000012' % (T + 720), 'previous_message': m(12, C, 'toch niet')},
        m(1500, B, 'A huddle started', subtype='huddle_thread', room={'id': 'R1', 'created_by': B, 'date_start': T, 'date_end': T + 65, 'participant_history': [A, B]}),
        m(1501, C, '', subtype='ekm_access_denied'),
        m(1502, C, 'iets nieuws', subtype='heel_nieuw', waarde=7),
        m(1503, B, 'Onder een andere naam', user_profile={'display_name': 'B. Jansen'}),
        m(1504, C, '<@%s> has joined' % C, subtype='channel_join', inviter=A),
    ]


def tree():
    f = {'users.json': USERS, 'channels.json': CHANNELS, 'dms.json': DMS, 'mpims.json': MPIMS, 'groups.json': [], 'integration_logs.json': [],
         'dijk/2026-03-12.json': one(), 'dijk/2026-03-13.json': two(), 'D1/2026-03-12.json': [m(30, A, 'Alleen voor jou')],
         'mpdm-anna--bram--cees-1/2026-03-12.json': [m(40, C, 'Met zijn drieën')], 'weg-kanaal/2026-03-12.json': [m(50, B, 'Van een kanaal zonder lijst')]}
    f = {k: json.dumps(v, ensure_ascii=False, indent=2).encode() for k, v in f.items()}
    f['__uploads/F1/dijk.png'] = b'\x89PNG'
    return f


def main():
    folder = sys.argv[1]
    with zipfile.ZipFile(os.path.join(folder, 'export.zip'), 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in tree().items():
            z.writestr(name, data)
            for where in ('export', 'before'):
                if where == 'before' and name == 'dijk/2026-03-13.json': continue
                path = os.path.join(folder, where, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'wb') as f: f.write(data)


main()
