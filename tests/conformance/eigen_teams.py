#!/usr/bin/env python3
"""eigen: makes what Microsoft Graph and the personal export give of Teams, with invented people and messages.

eigen_teams.py FOLDER.  Written from the public descriptions of chatMessage and of the export alone; shares no code with the reader.
FOLDER/graph: two pages of one user's chats, a page of a channel, the list of chats, an image and a file beside them; FOLDER/graph-before: the first page as
it was earlier; FOLDER/export.tar: a personal account's messages.json with media.
"""
import io, json, os, sys, tarfile

ANNA, BRAM, CEES = '11111111-aaaa-4aaa-8aaa-000000000001', '22222222-bbbb-4bbb-8bbb-000000000002', '33333333-cccc-4ccc-8ccc-000000000003'
GROUP, CHANNEL = '19:0123456789abcdef0123456789abcdef@thread.v2', '19:fedcba9876543210@thread.tacv2'
DIRECT = '19:%s_%s@unq.gbl.spaces' % (ANNA, BRAM)
NAMES = {ANNA: 'Anna de Vries', BRAM: 'Bram Jansen', CEES: 'Cees Bakker'}
PNG = bytes.fromhex('89504e470d0a1a0a0000000d49484452')


def user(id, name=None):
    return {'application': None, 'device': None, 'user': {'id': id, 'displayName': name or NAMES[id], 'userIdentityType': 'aadUser'}}


def message(id, chat, who, content, html=False, **more):
    t = '2026-03-12T10:%02d:00.%03dZ' % (id // 1000 % 60, id % 1000)
    m = {'id': str(1773309600000 + id), 'replyToId': None, 'etag': str(id), 'messageType': 'message', 'createdDateTime': t, 'lastModifiedDateTime': t,
         'lastEditedDateTime': None, 'deletedDateTime': None, 'subject': None, 'chatId': chat, 'importance': 'normal', 'channelIdentity': None, 'eventDetail': None,
         'from': user(who) if who else None, 'body': {'contentType': 'html' if html else 'text', 'content': content}, 'attachments': [], 'mentions': [], 'reactions': []}
    m.update(more)
    return m


def system(id, chat, kind, by, **more):
    return message(id, chat, None, '<systemEventMessage/>', True, messageType='unknownFutureValue',
                   eventDetail=dict({'@odata.type': '#microsoft.graph.%sEventMessageDetail' % kind, 'initiator': user(by)}, **more))


def graph():
    quoted = {'messageId': str(1773309600000 + 1000), 'messagePreview': 'Goedemorgen, de nota staat klaar 😀', 'messageSender': {'user': {'id': ANNA, 'displayName': NAMES[ANNA]}}}
    forward = {'originalMessageId': '1773000000000', 'originalMessageContent': '<p>Uit een <b>ander</b> gesprek</p>', 'originalConversationId': '19:elders@thread.v2',
               'originalSentDateTime': '2026-03-08T20:00:00Z', 'originalMessageSender': {'user': {'id': CEES, 'displayName': NAMES[CEES]}}}
    card = {'type': 'AdaptiveCard', 'body': [{'type': 'TextBlock', 'text': 'Vergadering verplaatst'}, {'type': 'FactSet', 'facts': [{'title': 'Zaal', 'value': 'B 2.14'}]}]}
    one = [
        message(1000, GROUP, ANNA, '<p>Goedemorgen, de nota staat <a href="https://voorbeeld.nl/nota">hier</a> klaar <emoji id="smile" alt="😀" title="Smile"></emoji></p>', True,
                reactions=[{'reactionType': 'like', 'createdDateTime': '2026-03-12T10:02:00Z', 'user': user(BRAM)},
                           {'reactionType': '💯', 'createdDateTime': '2026-03-12T10:02:30.5Z', 'user': user(CEES)}],
                messageHistory=[{'modifiedDateTime': '2026-03-12T10:03:00Z', 'actions': 'reactionRemoved', 'reaction': {'reactionType': 'heart', 'createdDateTime': '2026-03-12T10:02:10Z', 'user': user(CEES)}}]),
        message(2000, DIRECT, BRAM, 'Alleen voor jou'),
        message(3000, GROUP, BRAM, '<attachment id="a1"></attachment><p>Dank <at id="0">Anna de Vries</at>, ik lees hem</p>', True,
                attachments=[{'id': 'a1', 'contentType': 'messageReference', 'content': json.dumps(quoted)}],
                mentions=[{'id': 0, 'mentionText': 'Anna de Vries', 'mentioned': user(ANNA)}]),
        message(4000, GROUP, CEES, 'Dit is de tweede versie', lastEditedDateTime='2026-03-12T10:09:00.1234567Z'),
        message(5000, GROUP, CEES, '', True, deletedDateTime='2026-03-12T10:10:00Z'),
        message(6000, GROUP, ANNA, '<p>Foto</p><p><img src="https://graph.microsoft.com/v1.0/chats/x/messages/y/hostedContents/aWQ9MQ==/$value" alt="image"></p>', True,
                attachments=[{'id': 'f1', 'contentType': 'reference', 'contentUrl': 'https://voorbeeld.sharepoint.com/nota.docx', 'name': 'nota.docx'},
                             {'id': 'f2', 'contentType': 'reference', 'contentUrl': 'https://voorbeeld.sharepoint.com/kaart.pdf', 'name': 'kaart.pdf'}]),
        system(7000, GROUP, 'membersAdded', ANNA, members=[{'id': CEES, 'displayName': NAMES[CEES]}]),
        system(8000, GROUP, 'chatRenamed', ANNA, chatDisplayName='Dijkversterking'),
        system(9000, GROUP, 'callEnded', BRAM, callDuration='PT27S', callEventType='call'),
    ]
    two = [
        message(10000, GROUP, None, '', True, **{'from': {'application': {'id': 'app-1', 'displayName': 'Agenda'}, 'user': None},
                'attachments': [{'id': 'c1', 'contentType': 'application/vnd.microsoft.card.adaptive', 'content': json.dumps(card)}]}),
        message(11000, GROUP, BRAM, '<p>Zie dit</p>', True, attachments=[{'id': 'w', 'contentType': 'forwardedMessageReference', 'content': json.dumps(forward)}]),
        system(12000, GROUP, 'membersDeleted', ANNA, members=[{'id': CEES, 'displayName': NAMES[CEES]}]),
        system(13000, GROUP, 'ietsNieuws', ANNA, waarde=7),
        message(14000, DIRECT, ANNA, 'Nee', createdDateTime='1969-12-31T23:59:59.999Z'),
        message(15000, GROUP, CEES, '<p>Onder een andere naam</p>', True, **{'from': user(CEES, 'C. Bakker')}),
    ]
    root = message(20000, None, ANNA, '<p>Besluit</p>', True, subject='Agendapunt 3', importance='high', channelIdentity={'teamId': 'team-1', 'channelId': CHANNEL})
    channel = [root, message(21000, None, BRAM, 'Akkoord', replyToId=root['id'], channelIdentity={'teamId': 'team-1', 'channelId': CHANNEL})]
    chats = [{'id': GROUP, 'topic': 'Dijkversterking', 'createdDateTime': '2026-01-01T00:00:00Z', 'lastUpdatedDateTime': '2026-03-12T00:00:00Z', 'chatType': 'group',
              'members': [{'id': 'm1', 'displayName': NAMES[ANNA], 'userId': ANNA}]}]
    page = lambda v, more: dict({'@odata.context': 'https://graph.microsoft.com/v1.0/$metadata#Collection(chatMessage)', '@odata.count': len(v)}, **more, value=v)
    return page(one, {'@odata.nextLink': "https://graph.microsoft.com/v1.0/users('%s')/chats/getallMessages?$skiptoken=x" % ANNA}), page(two, {}), page(channel, {}), page(chats, {})


def personal():
    def m(id, who, kind, content, **more):
        return dict({'id': str(1773309600000 + id), 'displayName': NAMES.get(who), 'originalarrivaltime': '2026-03-12T10:%02d:00.%03dZ' % (id // 1000 % 60, id % 1000), 'messagetype': kind,
                     'version': id, 'content': content, 'conversationid': GROUP, 'from': '8:orgid:' + who, 'properties': None, 'amsreferences': None}, **more)
    reply = ('<blockquote itemscope itemtype="http://schema.skype.com/Reply" itemid="%d"><strong itemprop="mri" itemid="8:orgid:%s">Anna de Vries</strong>'
             '<p itemprop="preview">Goedemorgen</p></blockquote><p>Dank, ik lees hem</p>') % (1773309600000 + 1000, ANNA)
    photo = ('<URIObject type="Picture.1" uri="https://api.asm.skype.com/v1/objects/0-weu-d1-abc" url_thumbnail="https://api.asm.skype.com/v1/objects/0-weu-d1-abc/views/imgt1">'
             '<OriginalName v="dijk.png"/><FileSize v="16"/><meta type="photo" originalName="dijk.png"/></URIObject>')
    skype = '<quote author="8:live:dirk" authorname="Dirk" timestamp="1773309000" conversation="8:live:dirk" messageid="1773309000000"><legacyquote>[1] Dirk: </legacyquote>Wie komt?<legacyquote>\n\n&lt;&lt;&lt; </legacyquote></quote>Ik &amp; Anna'
    return {'userId': '8:orgid:' + ANNA, 'exportDate': '2026-03-13T08:00', 'conversations': [
        {'id': GROUP, 'displayName': None, 'version': 1, 'properties': {'conversationblocked': False}, 'threadProperties': {'membercount': 3, 'topic': 'Dijkversterking'},
         'MessageList': [
             m(12000, BRAM, 'Event/Call', '<partlist type="ended" alt=""><part identity="8:orgid:%s"><name>Bram Jansen</name><duration>27.5</duration></part></partlist>' % BRAM),
             m(11000, ANNA, 'ThreadActivity/TopicUpdate', '<topicupdate><eventtime>1773309611000</eventtime><initiator>8:orgid:%s</initiator><value>Dijkversterking</value></topicupdate>' % ANNA),
             m(10000, ANNA, 'ThreadActivity/AddMember', '<addmember><eventtime>1</eventtime><initiator>8:orgid:%s</initiator><target>8:orgid:%s</target></addmember>' % (ANNA, CEES)),
             m(9000, CEES, 'ThreadActivity/MemberLeft', json.dumps({'eventtime': 1, 'initiator': '8:orgid:' + CEES, 'members': [{'id': '8:orgid:' + CEES, 'friendlyname': NAMES[CEES]}]})),
             m(6000, ANNA, 'RichText/UriObject', photo, amsreferences=['0-weu-d1-abc']),
             m(5000, CEES, 'RichText/Html', '', properties={'deletetime': '1773310200000'}),
             m(4000, CEES, 'RichText/Html', '<p>Dit is de tweede versie</p>', properties={'edittime': '1773310140123'}),
             m(3000, BRAM, 'RichText/Html', reply),
             m(1000, ANNA, 'RichText/Html', '<p>Goedemorgen</p>', properties={'emotions': json.dumps([{'key': 'like', 'users': [{'mri': '8:orgid:' + BRAM, 'time': 1773309720000, 'value': '1'}]}])}),
             m(500, ANNA, 'Heel/Nieuw', '<x>nog onbekend</x>')]},
        {'id': '8:live:dirk', 'displayName': 'Dirk', 'version': 1, 'properties': {}, 'threadProperties': None, 'MessageList': [
            dict(m(7000, ANNA, 'RichText', skype), conversationid='8:live:dirk'),
            {'id': '1773309000000', 'displayName': 'Dirk', 'originalarrivaltime': '2026-03-12T09:50:00Z', 'messagetype': 'Text', 'content': 'Wie komt?', 'conversationid': '8:live:dirk', 'from': '8:live:dirk',
             'properties': None}]}]}


def put(folder, name, data):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False, indent=1).encode())


def main():
    folder = sys.argv[1]
    one, two, channel, chats = graph()
    put(folder, 'graph/page-1.json', one)
    put(folder, 'graph/page-2.json', two)
    put(folder, 'graph/channel.json', channel)
    put(folder, 'graph/chats.json', chats)
    put(folder, 'graph/hosted/aWQ9MQ==.png', PNG)
    put(folder, 'graph/files/nota.docx', b'nota')
    put(folder, 'graph/anders.json', {'a': 1})
    put(folder, 'graph-before/page-1.json', one)
    with tarfile.open(os.path.join(folder, 'export.tar'), 'w') as tar:
        for name, data in (('messages.json', json.dumps(personal()).encode()), ('media/0-weu-d1-abc.1.png', PNG), ('media/0-weu-d1-abc.json', b'{}'), ('endpoints.json', b'{"endpoints":[]}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


main()
