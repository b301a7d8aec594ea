#!/usr/bin/env python3
"""Makes backups of Signal (eigen: of our own making), from the format's facts alone; shares no code with the readers.

  signal_backup.py frames IN OUT                      frames in the clear
  signal_backup.py archive IN FOLDER [FILES]          SignalBackups as an Android phone keeps it, media sealed; FILES: the folder files of an export
  signal_backup.py sealed IN OUT ACI [TOKEN]          one encrypted file, for the owner's account id
IN: frames as JSON lines (Signal's export), or a JSON list of them.  $EIGEN_KEY: the recovery key (64 letters and digits).
AES is openssl's, everything else Python's standard library.
"""
import base64, gzip, hashlib, hmac, json, os, re, shutil, subprocess, sys

# message: name number type[*]; …     * a list, =A,B,… an enumeration from 0, else a scalar or a message.
TABLE = """
BackupInfo: version 1 u64; backupTimeMs 2 u64; mediaRootBackupKey 3 bytes; currentAppVersion 4 str; firstAppVersion 5 str; debugInfo 6 bytes
Frame: account 1 AccountData; recipient 2 Recipient; chat 3 Chat; chatItem 4 ChatItem; stickerPack 5 StickerPack; adHocCall 6 AdHocCall;
  notificationProfile 7 NotificationProfile; chatFolder 8 ChatFolder
AccountData: profileKey 1 bytes; username 2 str; givenName 4 str; familyName 5 str
Recipient: id 1 u64; contact 2 Contact; group 3 Group; distributionList 4 DistributionListItem; self 5 Self; releaseNotes 6 ReleaseNotes; callLink 7
  CallLink
Contact: aci 1 bytes; pni 2 bytes; username 3 str; e164 4 u64; blocked 5 bool; visibility 6 =VISIBLE,HIDDEN,HIDDEN_MESSAGE_REQUEST; registered 7
  Contact.Registered; notRegistered 8 Contact.NotRegistered; profileKey 9 bytes; profileSharing 10 bool; profileGivenName 11 str; profileFamilyName 12
  str; hideStory 13 bool; identityKey 14 bytes; identityState 15 =DEFAULT,VERIFIED,UNVERIFIED; nickname 16 Contact.Name; note 17 str; systemGivenName
  18 str; systemFamilyName 19 str; systemNickname 20 str; avatarColor 21 =A100,A110,A120,A130,A140,A150,A160,A170,A180,A190,A200,A210;
  keyTransparencyData 22 bytes; blockedAtTimestamp 23 u64
Contact.Registered:
Contact.NotRegistered: unregisteredTimestamp 1 u64
Contact.Name: given 1 str; family 2 str
Group: masterKey 1 bytes; whitelisted 2 bool; hideStory 3 bool; storySendMode 4 =DEFAULT,DISABLED,ENABLED; snapshot 5 Group.GroupSnapshot; blocked 6
  bool; avatarColor 7 =A100,A110,A120,A130,A140,A150,A160,A170,A180,A190,A200,A210; blockedAtTimestamp 8 u64
Group.GroupSnapshot: title 2 Group.GroupAttributeBlob; avatarUrl 3 str; disappearingMessagesTimer 4 Group.GroupAttributeBlob; accessControl 5
  Group.AccessControl; version 6 u32; members 7 Group.Member*; membersPendingProfileKey 8 Group.MemberPendingProfileKey*; membersPendingAdminApproval
  9 Group.MemberPendingAdminApproval*; inviteLinkPassword 10 bytes; description 11 Group.GroupAttributeBlob; announcementsOnly 12 bool; membersBanned
  13 Group.MemberBanned*; terminated 14 bool
Group.GroupAttributeBlob: title 1 str; avatar 2 bytes; disappearingMessagesDuration 3 u32; descriptionText 4 str
Group.AccessControl: attributes 1 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE; members 2 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE;
  addFromInviteLink 3 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE; memberLabel 4 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE
Group.Member: userId 1 bytes; role 2 =UNKNOWN,DEFAULT,ADMINISTRATOR; joinedAtVersion 5 u32; labelEmoji 6 str; labelString 7 str
Group.MemberPendingProfileKey: member 1 Group.Member; addedByUserId 2 bytes; timestamp 3 u64
Group.MemberPendingAdminApproval: userId 1 bytes; timestamp 4 u64
Group.MemberBanned: userId 1 bytes; timestamp 2 u64
DistributionListItem: distributionId 1 bytes; deletionTimestamp 2 u64; distributionList 3 DistributionList
DistributionList: name 1 str; allowReplies 2 bool; privacyMode 3 =UNKNOWN,ONLY_WITH,ALL_EXCEPT,ALL; memberRecipientIds 4 u64*
Self: avatarColor 1 =A100,A110,A120,A130,A140,A150,A160,A170,A180,A190,A200,A210
ReleaseNotes:
CallLink: rootKey 1 bytes; adminKey 2 bytes; name 3 str; restrictions 4 =UNKNOWN,NONE,ADMIN_APPROVAL; expirationMs 5 u64
Chat: id 1 u64; recipientId 2 u64; archived 3 bool; pinnedOrder 4 u32; expirationTimerMs 5 u64; muteUntilMs 6 u64; markedUnread 7 bool
ChatItem: chatId 1 u64; authorId 2 u64; dateSent 3 u64; expireStartDate 4 u64; expiresInMs 5 u64; revisions 6 ChatItem*; sms 7 bool; incoming 8
  ChatItem.IncomingMessageDetails; outgoing 9 ChatItem.OutgoingMessageDetails; directionless 10 ChatItem.DirectionlessMessageDetails; standardMessage
  11 StandardMessage; contactMessage 12 ContactMessage; stickerMessage 13 StickerMessage; remoteDeletedMessage 14 RemoteDeletedMessage; updateMessage
  15 ChatUpdateMessage; paymentNotification 16 PaymentNotification; giftBadge 17 GiftBadge; viewOnceMessage 18 ViewOnceMessage;
  directStoryReplyMessage 19 DirectStoryReplyMessage; poll 20 Poll; pinDetails 21 ChatItem.PinDetails; adminDeletedMessage 22 AdminDeletedMessage
ChatItem.IncomingMessageDetails: dateReceived 1 u64; dateServerSent 2 u64; read 3 bool; sealedSender 4 bool
ChatItem.OutgoingMessageDetails: sendStatus 1 SendStatus*; dateReceived 2 u64
SendStatus: recipientId 1 u64; timestamp 2 u64; pending 3 SendStatus.Pending; sent 4 SendStatus.Sent; delivered 5 SendStatus.Delivered; read 6
  SendStatus.Read; viewed 7 SendStatus.Viewed; skipped 8 SendStatus.Skipped; failed 9 SendStatus.Failed
SendStatus.Pending:
SendStatus.Sent: sealedSender 1 bool
SendStatus.Delivered: sealedSender 1 bool
SendStatus.Read: sealedSender 1 bool
SendStatus.Viewed: sealedSender 1 bool
SendStatus.Skipped:
SendStatus.Failed: reason 1 =UNKNOWN,NETWORK,IDENTITY_KEY_MISMATCH
ChatItem.DirectionlessMessageDetails:
StandardMessage: quote 1 Quote; text 2 Text; attachments 3 MessageAttachment*; linkPreview 4 LinkPreview*; longText 5 FilePointer; reactions 6
  Reaction*
Quote: targetSentTimestamp 1 u64; authorId 2 u64; text 3 Text; attachments 4 Quote.QuotedAttachment*; type 5 =UNKNOWN,NORMAL,GIFT_BADGE,VIEW_ONCE,POLL
Text: body 1 str; bodyRanges 2 BodyRange*
BodyRange: start 1 u32; length 2 u32; mentionAci 3 bytes; style 4 =NONE,BOLD,ITALIC,SPOILER,STRIKETHROUGH,MONOSPACE
Quote.QuotedAttachment: contentType 1 str; fileName 2 str; thumbnail 3 MessageAttachment
MessageAttachment: pointer 1 FilePointer; flag 2 =NONE,VOICE_MESSAGE,BORDERLESS,GIF; wasDownloaded 3 bool; clientUuid 4 bytes
FilePointer: contentType 4 str; incrementalMac 5 bytes; incrementalMacChunkSize 6 u32; fileName 7 str; width 8 u32; height 9 u32; caption 10 str;
  blurHash 11 str; locatorInfo 13 FilePointer.LocatorInfo
FilePointer.LocatorInfo: key 1 bytes; size 3 u32; transitCdnKey 4 str; transitCdnNumber 5 u32; transitTierUploadTimestamp 6 u64; mediaTierCdnNumber 7
  u32; localKey 9 bytes; plaintextHash 10 bytes; encryptedDigest 11 bytes
LinkPreview: url 1 str; title 2 str; image 3 FilePointer; description 4 str; date 5 u64
Reaction: emoji 1 str; authorId 2 u64; sentTimestamp 3 u64; sortOrder 4 u64
ContactMessage: contact 1 ContactAttachment; reactions 2 Reaction*
ContactAttachment: name 1 ContactAttachment.Name; number 3 ContactAttachment.Phone*; email 4 ContactAttachment.Email*; address 5
  ContactAttachment.PostalAddress*; avatar 6 FilePointer; organization 7 str
ContactAttachment.Name: givenName 1 str; familyName 2 str; prefix 3 str; suffix 4 str; middleName 5 str; nickname 6 str
ContactAttachment.Phone: value 1 str; type 2 =UNKNOWN,HOME,MOBILE,WORK,CUSTOM; label 3 str
ContactAttachment.Email: value 1 str; type 2 =UNKNOWN,HOME,MOBILE,WORK,CUSTOM; label 3 str
ContactAttachment.PostalAddress: type 1 =UNKNOWN,HOME,WORK,CUSTOM; label 2 str; street 3 str; pobox 4 str; neighborhood 5 str; city 6 str; region 7
  str; postcode 8 str; country 9 str
StickerMessage: sticker 1 Sticker; reactions 2 Reaction*
Sticker: packId 1 bytes; packKey 2 bytes; stickerId 3 u32; emoji 4 str; data 5 FilePointer
RemoteDeletedMessage:
ChatUpdateMessage: simpleUpdate 1 SimpleChatUpdate; groupChange 2 GroupChangeChatUpdate; expirationTimerChange 3 ExpirationTimerChatUpdate;
  profileChange 4 ProfileChangeChatUpdate; threadMerge 5 ThreadMergeChatUpdate; sessionSwitchover 6 SessionSwitchoverChatUpdate; individualCall 7
  IndividualCall; groupCall 8 GroupCall; learnedProfileChange 9 LearnedProfileChatUpdate; pollTerminate 10 PollTerminateUpdate; pinMessage 11
  PinMessageUpdate
SimpleChatUpdate: type 1
  =UNKNOWN,JOINED_SIGNAL,IDENTITY_UPDATE,IDENTITY_VERIFIED,IDENTITY_DEFAULT,CHANGE_NUMBER,RELEASE_CHANNEL_DONATION_REQUEST,END_SESSION,CHAT_SESSION_REFRESH,BAD_DECRYPT,PAYMENTS_ACTIVATED,PAYMENT_ACTIVATION_REQUEST,UNSUPPORTED_PROTOCOL_MESSAGE,REPORTED_SPAM,BLOCKED,UNBLOCKED,MESSAGE_REQUEST_ACCEPTED
GroupChangeChatUpdate: updates 1 GroupChangeChatUpdate.Update*
GroupChangeChatUpdate.Update: genericGroupUpdate 1 GenericGroupUpdate; groupCreationUpdate 2 GroupCreationUpdate; groupNameUpdate 3 GroupNameUpdate;
  groupAvatarUpdate 4 GroupAvatarUpdate; groupDescriptionUpdate 5 GroupDescriptionUpdate; groupMembershipAccessLevelChangeUpdate 6
  GroupMembershipAccessLevelChangeUpdate; groupAttributesAccessLevelChangeUpdate 7 GroupAttributesAccessLevelChangeUpdate;
  groupAnnouncementOnlyChangeUpdate 8 GroupAnnouncementOnlyChangeUpdate; groupAdminStatusUpdate 9 GroupAdminStatusUpdate; groupMemberLeftUpdate 10
  GroupMemberLeftUpdate; groupMemberRemovedUpdate 11 GroupMemberRemovedUpdate; selfInvitedToGroupUpdate 12 SelfInvitedToGroupUpdate;
  selfInvitedOtherUserToGroupUpdate 13 SelfInvitedOtherUserToGroupUpdate; groupUnknownInviteeUpdate 14 GroupUnknownInviteeUpdate;
  groupInvitationAcceptedUpdate 15 GroupInvitationAcceptedUpdate; groupInvitationDeclinedUpdate 16 GroupInvitationDeclinedUpdate;
  groupMemberJoinedUpdate 17 GroupMemberJoinedUpdate; groupMemberAddedUpdate 18 GroupMemberAddedUpdate; groupSelfInvitationRevokedUpdate 19
  GroupSelfInvitationRevokedUpdate; groupInvitationRevokedUpdate 20 GroupInvitationRevokedUpdate; groupJoinRequestUpdate 21 GroupJoinRequestUpdate;
  groupJoinRequestApprovalUpdate 22 GroupJoinRequestApprovalUpdate; groupJoinRequestCanceledUpdate 23 GroupJoinRequestCanceledUpdate;
  groupInviteLinkResetUpdate 24 GroupInviteLinkResetUpdate; groupInviteLinkEnabledUpdate 25 GroupInviteLinkEnabledUpdate;
  groupInviteLinkAdminApprovalUpdate 26 GroupInviteLinkAdminApprovalUpdate; groupInviteLinkDisabledUpdate 27 GroupInviteLinkDisabledUpdate;
  groupMemberJoinedByLinkUpdate 28 GroupMemberJoinedByLinkUpdate; groupV2MigrationUpdate 29 GroupV2MigrationUpdate; groupV2MigrationSelfInvitedUpdate
  30 GroupV2MigrationSelfInvitedUpdate; groupV2MigrationInvitedMembersUpdate 31 GroupV2MigrationInvitedMembersUpdate;
  groupV2MigrationDroppedMembersUpdate 32 GroupV2MigrationDroppedMembersUpdate; groupSequenceOfRequestsAndCancelsUpdate 33
  GroupSequenceOfRequestsAndCancelsUpdate; groupExpirationTimerUpdate 34 GroupExpirationTimerUpdate; groupMemberLabelAccessLevelChangeUpdate 35
  GroupMemberLabelAccessLevelChangeUpdate; groupTerminateChangeUpdate 36 GroupTerminateChangeUpdate
GenericGroupUpdate: updaterAci 1 bytes
GroupCreationUpdate: updaterAci 1 bytes
GroupNameUpdate: updaterAci 1 bytes; newGroupName 2 str
GroupAvatarUpdate: updaterAci 1 bytes; wasRemoved 2 bool
GroupDescriptionUpdate: updaterAci 1 bytes; newDescription 2 str
GroupMembershipAccessLevelChangeUpdate: updaterAci 1 bytes; accessLevel 2 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE
GroupAttributesAccessLevelChangeUpdate: updaterAci 1 bytes; accessLevel 2 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE
GroupAnnouncementOnlyChangeUpdate: updaterAci 1 bytes; isAnnouncementOnly 2 bool
GroupAdminStatusUpdate: updaterAci 1 bytes; memberAci 2 bytes; wasAdminStatusGranted 3 bool
GroupMemberLeftUpdate: aci 1 bytes
GroupMemberRemovedUpdate: removerAci 1 bytes; removedAci 2 bytes
SelfInvitedToGroupUpdate: inviterAci 1 bytes
SelfInvitedOtherUserToGroupUpdate: inviteeServiceId 1 bytes
GroupUnknownInviteeUpdate: inviterAci 1 bytes; inviteeCount 2 u32
GroupInvitationAcceptedUpdate: inviterAci 1 bytes; newMemberAci 2 bytes
GroupInvitationDeclinedUpdate: inviterAci 1 bytes; inviteeAci 2 bytes
GroupMemberJoinedUpdate: newMemberAci 1 bytes
GroupMemberAddedUpdate: updaterAci 1 bytes; newMemberAci 2 bytes; hadOpenInvitation 3 bool; inviterAci 4 bytes
GroupSelfInvitationRevokedUpdate: revokerAci 1 bytes
GroupInvitationRevokedUpdate: updaterAci 1 bytes; invitees 2 GroupInvitationRevokedUpdate.Invitee*
GroupInvitationRevokedUpdate.Invitee: inviterAci 1 bytes; inviteeAci 2 bytes; inviteePni 3 bytes
GroupJoinRequestUpdate: requestorAci 1 bytes
GroupJoinRequestApprovalUpdate: requestorAci 1 bytes; updaterAci 2 bytes; wasApproved 3 bool
GroupJoinRequestCanceledUpdate: requestorAci 1 bytes
GroupInviteLinkResetUpdate: updaterAci 1 bytes
GroupInviteLinkEnabledUpdate: updaterAci 1 bytes; linkRequiresAdminApproval 2 bool
GroupInviteLinkAdminApprovalUpdate: updaterAci 1 bytes; linkRequiresAdminApproval 2 bool
GroupInviteLinkDisabledUpdate: updaterAci 1 bytes
GroupMemberJoinedByLinkUpdate: newMemberAci 1 bytes
GroupV2MigrationUpdate:
GroupV2MigrationSelfInvitedUpdate:
GroupV2MigrationInvitedMembersUpdate: invitedMembersCount 1 u32
GroupV2MigrationDroppedMembersUpdate: droppedMembersCount 1 u32
GroupSequenceOfRequestsAndCancelsUpdate: requestorAci 1 bytes; count 2 u32
GroupExpirationTimerUpdate: expiresInMs 1 u64; updaterAci 2 bytes
GroupMemberLabelAccessLevelChangeUpdate: updaterAci 1 bytes; accessLevel 2 =UNKNOWN,ANY,MEMBER,ADMINISTRATOR,UNSATISFIABLE
GroupTerminateChangeUpdate: updaterAci 1 bytes
ExpirationTimerChatUpdate: expiresInMs 1 u64
ProfileChangeChatUpdate: previousName 1 str; newName 2 str
ThreadMergeChatUpdate: previousE164 1 u64
SessionSwitchoverChatUpdate: e164 1 u64
IndividualCall: callId 1 u64; type 2 =UNKNOWN_TYPE,AUDIO_CALL,VIDEO_CALL; direction 3 =UNKNOWN_DIRECTION,INCOMING,OUTGOING; state 4
  =UNKNOWN_STATE,ACCEPTED,NOT_ACCEPTED,MISSED,MISSED_NOTIFICATION_PROFILE; startedCallTimestamp 5 u64; read 6 bool
GroupCall: callId 1 u64; state 2 =UNKNOWN_STATE,GENERIC,JOINED,RINGING,ACCEPTED,DECLINED,MISSED,MISSED_NOTIFICATION_PROFILE,OUTGOING_RING;
  ringerRecipientId 3 u64; startedCallRecipientId 4 u64; startedCallTimestamp 5 u64; endedCallTimestamp 6 u64; read 7 bool
LearnedProfileChatUpdate: e164 1 u64; username 2 str
PollTerminateUpdate: targetSentTimestamp 1 u64; question 2 str
PinMessageUpdate: targetSentTimestamp 1 u64; authorId 2 u64
PaymentNotification: amountMob 1 str; feeMob 2 str; note 3 str; transactionDetails 4 PaymentNotification.TransactionDetails
PaymentNotification.TransactionDetails: transaction 1 PaymentNotification.TransactionDetails.Transaction; failedTransaction 2
  PaymentNotification.TransactionDetails.FailedTransaction
PaymentNotification.TransactionDetails.Transaction: status 1 =INITIAL,SUBMITTED,SUCCESSFUL; mobileCoinIdentification 2
  PaymentNotification.TransactionDetails.MobileCoinTxoIdentification; timestamp 3 u64; blockIndex 4 u64; blockTimestamp 5 u64; transaction 6 bytes;
  receipt 7 bytes
PaymentNotification.TransactionDetails.MobileCoinTxoIdentification: publicKey 1 bytes*; keyImages 2 bytes*
PaymentNotification.TransactionDetails.FailedTransaction: reason 1 =GENERIC,NETWORK,INSUFFICIENT_FUNDS
GiftBadge: receiptCredentialPresentation 1 bytes; state 2 =UNOPENED,OPENED,REDEEMED,FAILED
ViewOnceMessage: attachment 1 MessageAttachment; reactions 2 Reaction*
DirectStoryReplyMessage: textReply 1 DirectStoryReplyMessage.TextReply; emoji 2 str; reactions 3 Reaction*
DirectStoryReplyMessage.TextReply: text 1 Text; longText 2 FilePointer
Poll: question 1 str; allowMultiple 2 bool; options 3 Poll.PollOption*; hasEnded 4 bool; reactions 5 Reaction*
Poll.PollOption: option 1 str; votes 2 Poll.PollOption.PollVote*
Poll.PollOption.PollVote: voterId 1 u64; voteCount 2 u32
AdminDeletedMessage: adminId 1 u64
ChatItem.PinDetails: pinnedAtTimestamp 1 u64; pinExpiresAtTimestamp 2 u64; pinNeverExpires 3 bool
StickerPack:
AdHocCall: callId 1 u64; recipientId 2 u64; state 3 =UNKNOWN_STATE,GENERIC; callTimestamp 4 u64
NotificationProfile:
ChatFolder:
"""


def schema():
    out, name = {}, None
    for part in re.sub(r'\n  ', ' ', TABLE.strip()).split('\n'):
        name, _, rest = part.partition(':')
        out[name] = {}
        for f in filter(None, (x.strip() for x in rest.split(';'))):
            n, number, kind = f.split(' ')
            out[name][n] = (int(number), kind.rstrip('*'), kind.endswith('*'))
    return out


SCHEMA = schema()


def varint(n):
    out = b''
    while True:
        out += bytes([(n & 0x7f) | (0x80 if n > 0x7f else 0)])
        n >>= 7
        if not n: return out


def key(number, wire): return varint(number << 3 | wire)


def sized(b): return varint(len(b)) + b


def scalar(kind, v):
    if kind in ('u64', 'u32'): return 0, varint(int(v) & (1 << 64) - 1)
    if kind == 'bool': return 0, varint(1 if v else 0)
    if kind == 'str': return 2, sized(v.encode('utf-8', 'surrogatepass'))
    if kind == 'bytes': return 2, sized(base64.b64decode(v))
    if kind == 'f32': return 5, int(v).to_bytes(4, 'little')
    if kind == 'float':
        import struct
        return 5, struct.pack('<f', float(v))
    if kind.startswith('='): return 0, varint(kind[1:].split(',').index(v) if isinstance(v, str) else v)
    return 2, sized(message(kind, v))


def message(kind, value):
    out = b''
    for name, v in value.items():
        if name.startswith('field-'):  # one that no table knows: (number, bytes)
            out += key(int(name[6:]), 2) + sized(base64.b64decode(v))
            continue
        if name not in SCHEMA[kind]: continue
        number, t, many = SCHEMA[kind][name]
        for one in v if many else [v]:
            wire, body = scalar(t, one)
            out += key(number, wire) + body
    return out


def encode(frames):
    return b''.join(sized(message('BackupInfo' if i == 0 else 'Frame', f)) for i, f in enumerate(frames))


def read_frames(path):
    with open(path, encoding='utf-8') as f: text = f.read()
    text = re.sub(r'(^|[,{\[])[ \t]*//.*$', r'\1', text, flags=re.M)
    if text.lstrip().startswith('['):
        return json.loads(re.sub(r',(\s*[}\]])', r'\1', text))
    return [json.loads(l) for l in text.split('\n') if l.strip()]


def hkdf(ikm, info, n, salt=b''):
    prk, out, block, i = hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest(), b'', b'', 1
    while len(out) < n:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
        i += 1
    return out[:n]


def aes(mode, k, iv, data):
    return subprocess.run(['openssl', 'enc', '-e', f'-aes-256-{mode}', '-K', k.hex(), '-iv', iv.hex()], input=data, capture_output=True, check=True).stdout


def backup_key(): return hkdf(os.environ['EIGEN_KEY'].encode(), b'20240801_SIGNAL_BACKUP_KEY', 32)


def backup_id(aci): return hkdf(backup_key(), b'20241024_SIGNAL_BACKUP_ID:' + aci, 16)


def seal(plain, ident, token=None):
    label = b'20250708' if token else b'20241007'
    both = hkdf(backup_key(), label + b'_SIGNAL_BACKUP_ENCRYPT_MESSAGE_BACKUP:' + ident, 64, token or b'')
    packed = gzip.compress(plain, 6)
    packed += bytes(-len(packed) % 541)  # zeros that hide the size
    iv = os.urandom(16)
    body = iv + aes('cbc', both[32:], iv, packed)
    head = b''
    if token:
        pair = key(1, 2) + sized(os.urandom(48)) + key(2, 2) + sized(os.urandom(32))
        head = b'SBACKUP\x01' + sized(key(1, 2) + sized(os.urandom(12)) + key(2, 2) + sized(pair))
    return head + body + hmac.new(both[:32], body, hashlib.sha256).digest()


def seal_file(plain, local):
    padded = plain + bytes(max(0, 600 - len(plain)))  # hides a small size
    iv = os.urandom(16)
    body = iv + aes('cbc', local[:32], iv, padded)
    return body + hmac.new(local[32:], body, hashlib.sha256).digest()


def locators(v):
    if isinstance(v, dict):
        for k, x in v.items():
            if k == 'locatorInfo': yield x
            else: yield from locators(x)
    elif isinstance(v, list):
        for x in v: yield from locators(x)


def archive(frames, folder, files):
    """Keys of an export's attachments are of any length; here each becomes one of 64 bytes, and the file is sealed with it."""
    snapshot = os.path.join(folder, 'SignalBackups', 'signal-backup-2025-10-09-12-00-00')
    os.makedirs(snapshot)
    os.makedirs(snapshot[:-2] + '01-tmp')  # one that was never finished
    os.makedirs(os.path.join(folder, 'SignalBackups', 'files'))
    names = []
    for l in locators(frames):
        if 'plaintextHash' not in l or 'localKey' not in l: continue
        digest = base64.b64decode(l['plaintextHash'])
        stem = hashlib.sha256(digest + base64.b64decode(l['localKey'])).hexdigest()
        local = hashlib.sha512(b'eigen' + stem.encode()).digest()
        found = [n for n in os.listdir(os.path.join(files, stem[:2])) if n.startswith(stem)] if files and os.path.isdir(os.path.join(files, stem[:2])) else []
        l['localKey'] = base64.b64encode(local).decode()
        if not found: continue
        with open(os.path.join(files, stem[:2], found[0]), 'rb') as f: plain = f.read()
        l['size'] = len(plain)
        name = hashlib.sha256(digest + local).hexdigest()
        names.append(name)
        os.makedirs(os.path.join(folder, 'SignalBackups', 'files', name[:2]), exist_ok=True)
        with open(os.path.join(folder, 'SignalBackups', 'files', name[:2], name), 'wb') as f: f.write(seal_file(plain, local))
    ident = backup_id(bytes.fromhex(os.environ['EIGEN_ACI'].replace('-', '')))
    nonce = os.urandom(12)
    hidden = aes('ctr', hkdf(backup_key(), b'20241011_SIGNAL_LOCAL_BACKUP_METADATA_KEY', 32), nonce + bytes(4), ident)
    with open(os.path.join(snapshot, 'metadata'), 'wb') as f:
        f.write(key(1, 0) + varint(1) + key(2, 2) + sized(key(1, 2) + sized(nonce) + key(2, 2) + sized(hidden)))
    with open(os.path.join(snapshot, 'files'), 'wb') as f: f.write(b''.join(sized(key(1, 2) + sized(n.encode())) for n in names))
    with open(os.path.join(snapshot, 'main'), 'wb') as f: f.write(seal(encode(frames), ident))


def main():
    what, source, to = sys.argv[1:4]
    frames = read_frames(source)
    if what == 'archive':
        archive(frames, to, sys.argv[4] if len(sys.argv) > 4 else None)
        return
    out = encode(frames)
    if what == 'sealed':
        out = seal(out, backup_id(bytes.fromhex(sys.argv[4].replace('-', ''))), bytes.fromhex(sys.argv[5]) if len(sys.argv) > 5 else None)
    with open(to, 'wb') as f: f.write(out)


if __name__ == '__main__':
    main()
