#!/usr/bin/env python3
"""eigen: makes an encrypted data backup as Threema for Android writes it, with invented people and messages.

eigen_threema.py FOLDER.  Written from the public description of the backup and of WinZip's AES (AE-2) alone; the cryptography is openssl's; shares no code with
the reader.  FOLDER/threema-backup_MYSELF00_1773309600000_1.zip, its password in FOLDER/password; FOLDER/before: an earlier one.
"""
import hashlib, hmac, json, os, struct, sys, zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'support', 'eigen'))
import aes

PASSWORD = b'een lang wachtwoord'
T = 1773309600000
HEAD = 'apiid uid isoutbox isread issaved messagestae posted_at created_at modified_at type body isstatusmessage caption quoted_message_apiid delivered_at read_at g_msg_states display_tags edited_at deleted_at'.split()
GROUP = HEAD[:2] + ['identity'] + HEAD[2:]


def sealed(data, salt):
    """AES-256 as WinZip: salt, two bytes to check the password, CTR from 1 with the counter's low byte first, ten bytes of HMAC-SHA1."""
    k = hashlib.pbkdf2_hmac('sha1', PASSWORD, salt, 1000, 66)
    blocks = (len(data) + 15) // 16
    stream = aes.ecb(k[:32], b''.join((i + 1).to_bytes(16, 'little') for i in range(blocks))) if blocks else b''
    out = (int.from_bytes(data, 'big') ^ int.from_bytes(stream[:len(data)], 'big')).to_bytes(len(data), 'big')
    return salt + k[64:] + out + hmac.new(k[32:64], out, 'sha1').digest()[:10]


def write_zip(path, files):
    body, directory = b'', b''
    extra = struct.pack('<HHH2sBH', 0x9901, 7, 2, b'AE', 3, 8)
    for name, data in files:
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = sealed(z.compress(data) + z.flush(), hashlib.sha256(name.encode()).digest()[:16])
        n = name.encode()
        common = struct.pack('<HHHHHIIIHH', 51, 1, 99, 0, 0x5c6c, 0, len(packed), len(data), len(n), len(extra))
        directory += b'PK\x01\x02' + struct.pack('<H', 51) + common + struct.pack('<HHHII', 0, 0, 0, 0, len(body)) + n + extra
        body += b'PK\x03\x04' + common + n + extra + packed
    with open(path, 'wb') as f:
        f.write(body + directory + b'PK\x05\x06' + struct.pack('<HHHHIIH', 0, 0, len(files), len(files), len(directory), len(body), 0))


def table(head, rows):
    cell = lambda v: '"%s"' % str('' if v is None else v).replace('\\', '\\\\').replace('"', '""')
    return ('\n'.join([','.join(map(cell, head))] + [','.join(cell(r.get(h)) for h in head) for r in rows]) + '\n').encode()


def m(n, body, kind='TEXT', out=0, **more):
    return dict({'apiid': '%016x' % n, 'uid': 'uid-%d' % n, 'isoutbox': out, 'isread': 1, 'issaved': 1, 'messagestae': 'READ', 'posted_at': T + n * 60000, 'created_at': T + n * 60000, 'type': kind, 'body': body,
                 'isstatusmessage': 0}, **more)


def main():
    folder = sys.argv[1]
    contacts = [{'identity': 'ECHOECHO', 'publickey': '00', 'verification': 'FULLY_VERIFIED', 'firstname': 'Bram', 'lastname': 'Jansen', 'nick_name': 'bram', 'identity_id': 'c1'},
                {'identity': 'CEES0000', 'publickey': '00', 'verification': 'UNVERIFIED', 'nick_name': 'Cees', 'identity_id': 'c2'}]
    direct = [
        m(1, 'Goedemorgen "dijk" \\ weg,\nregel twee \U0001F600'), m(2, 'Dank', out=1, quoted_message_apiid='%016x' % 1, delivered_at=T + 125000, read_at=T + 126000),
        m(3, 'De tweede vorm', edited_at=T + 240000), m(4, '', deleted_at=T + 300000),
        m(5, json.dumps(['00', '11', 'image/png', 4, 'dijk.png', 1, True, 'De dijk', 'image/png', {'w': 1}]), 'FILE', caption='De dijk'),
        m(6, json.dumps(['00', '11', 'application/pdf', 9, 'weg.pdf', 0, False, None, None, {}]), 'FILE'),
        m(7, json.dumps([52.08, 4.31, None, 'Binnenhof 1', 'Binnenhof']), 'LOCATION'), m(8, json.dumps([1, {'status': 2, 'callId': 7, 'duration': 65}]), 'VOIP_STATUS', out=1),
        m(9, json.dumps([3, {'status': 1}]), 'FORWARD_SECURITY_STATUS', isstatusmessage=1), m(10, 'iets', 'HEEL_NIEUW'), m(11, 'voor 1970 niet', posted_at='', created_at=T)]
    group = [
        m(21, json.dumps([4, {'status': 3, 'identity': 'CEES0000'}]), 'GROUP_STATUS', isstatusmessage=1), m(22, 'In de groep', identity='ECHOECHO'), m(23, json.dumps([1, 3]), 'BALLOT', out=1),
        m(24, json.dumps([3, 3]), 'BALLOT', out=1), m(25, json.dumps([2, {'status': 1, 'callId': 'x', 'callerIdentity': 'ECHOECHO'}]), 'GROUP_CALL_STATUS', identity='ECHOECHO'),
        m(26, json.dumps([4, {'status': 1, 'newGroupName': 'Dijkversterking'}]), 'GROUP_STATUS', isstatusmessage=1)]
    files = lambda d: [
        ('settings', b'"version"\n"29"\n'), ('identity', b'nooit lezen'), ('nonces.csv', table(['nonces'], [{'nonces': 'aa'}])), ('message_c1.csv', table(HEAD, d)), ('message_c2.csv', table(HEAD, [m(40, 'Alleen voor jou')])),
        ('contacts.csv', table('identity publickey verification acid firstname lastname nick_name last_update hidden archived identity_id'.split(), contacts)),
        ('groups.csv', table('id creator groupname created_at last_update members archived groupDesc groupDescTimestamp group_uid user_state'.split(),
                             [{'id': 'abcd', 'creator': 'ECHOECHO', 'groupname': 'Dijk', 'members': 'ECHOECHO;MYSELF00', 'group_uid': 'abcd-ECHOECHO'}])),
        ('group_message_abcd-ECHOECHO.csv', table(GROUP, group)), ('message_media_uid-5', b'\x89PNG'), ('message_thumbnail_uid-6', b'klein'),
        ('ballot.csv', table('id aid creator ref ref_id name state assessment type choice_type'.split(), [{'id': 3, 'aid': 'b1', 'creator': 'MYSELF00', 'ref': 'GroupBallotModel', 'ref_id': 'abcd-ECHOECHO', 'name': 'Wanneer?'}])),
        ('ballot_choice.csv', table('id ballot aid type name vote_count order'.split(), [{'id': 1, 'ballot': 'b1-MYSELF00', 'aid': 1, 'name': 'Maandag'}, {'id': 2, 'ballot': 'b1-MYSELF00', 'aid': 2, 'name': 'Dinsdag'}])),
        ('ballot_vote.csv', table('id ballot_uid choice_uid identity choice created_at modified_at'.split(), [
            {'id': 1, 'ballot_uid': 'b1-MYSELF00', 'choice_uid': 2, 'identity': 'ECHOECHO', 'choice': 1, 'created_at': T, 'modified_at': T + 1}, {'id': 2, 'ballot_uid': 'b1-MYSELF00', 'choice_uid': 1, 'identity': 'ECHOECHO', 'choice': 0}])),
        ('contact_reactions.csv', table('identity api_message_id sender_identity emoji_sequence reacted_at'.split(), [{'identity': 'ECHOECHO', 'api_message_id': '%016x' % 1, 'sender_identity': 'MYSELF00', 'emoji_sequence': '\U0001F44D', 'reacted_at': T + 999}])),
        ('group_reactions.csv', table('api_group_id group_creator_identity api_message_id sender_identity emoji_sequence reacted_at'.split(), [{'api_group_id': 'abcd', 'group_creator_identity': 'ECHOECHO', 'api_message_id': '%016x' % 22, 'sender_identity': 'CEES0000', 'emoji_sequence': '\U0001F389', 'reacted_at': T + 1000}]))]
    write_zip(os.path.join(folder, 'threema-backup_MYSELF00_1773309600000_1.zip'), files(direct))
    os.mkdir(os.path.join(folder, 'before'))
    write_zip(os.path.join(folder, 'before', 'threema-backup_MYSELF00_1773300000000_1.zip'), files(direct[:4]))
    with open(os.path.join(folder, 'password'), 'wb') as f: f.write(PASSWORD)
    for name, data in files(direct):
        path = os.path.join(folder, 'open', name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f: f.write(data)


if __name__ == '__main__': main()
