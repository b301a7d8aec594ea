/* schema.c - the messages of a Signal backup, as far as they are known: number, kind and JSON name of each field.
 *
 * Facts of the format, in our own form.  Settings of the app are left out: nothing of them is in a conversation.  A field that is not here is
 * kept raw under its number.
 */
#include "agent/source/signal_archive/wire.h"

/* P plain, O with presence, R a list; of a scalar (kind), a message (MESSAGE) or an enumeration (names of 0, 1, …). */
#define P(kind, number, name)                                                                                                                        \
    {                                                                                                                                                \
        name, NULL, NULL, number, WIRE_##kind, WIRE_PLAIN, sizeof(name) - 1                                                                          \
    }
#define O(kind, number, name)                                                                                                                        \
    {                                                                                                                                                \
        name, NULL, NULL, number, WIRE_##kind, WIRE_SEEN, sizeof(name) - 1                                                                           \
    }
#define R(kind, number, name)                                                                                                                        \
    {                                                                                                                                                \
        name, NULL, NULL, number, WIRE_##kind, WIRE_MANY, sizeof(name) - 1                                                                           \
    }
#define M(number, name, message)                                                                                                                     \
    {                                                                                                                                                \
        name, &(message), NULL, number, WIRE_MESSAGE, WIRE_SEEN, sizeof(name) - 1                                                                    \
    }
#define RM(number, name, message)                                                                                                                    \
    {                                                                                                                                                \
        name, &(message), NULL, number, WIRE_MESSAGE, WIRE_MANY, sizeof(name) - 1                                                                    \
    }
#define E(number, name, names)                                                                                                                       \
    {                                                                                                                                                \
        name, NULL, names, number, WIRE_ENUM, WIRE_PLAIN, sizeof(name) - 1                                                                           \
    }
#define OE(number, name, names)                                                                                                                      \
    {                                                                                                                                                \
        name, NULL, names, number, WIRE_ENUM, WIRE_SEEN, sizeof(name) - 1                                                                            \
    }
#define MESSAGE(id, ...)                                                                                                                             \
    static const struct wire_field id##_fields[] = { __VA_ARGS__ };                                                                                  \
    static const struct wire_message id = { id##_fields, sizeof id##_fields / sizeof *id##_fields }

/* clang-format off */
static const struct wire_message nothing = { NULL, 0 };
static const struct wire_message chat_item; /* revisions of an item are items */

MESSAGE(backup_info, P(U64, 1, "version"), P(U64, 2, "backupTimeMs"), P(BYTES, 3, "mediaRootBackupKey"), P(STRING, 4, "currentAppVersion"),
        P(STRING, 5, "firstAppVersion"), P(BYTES, 6, "debugInfo"));
MESSAGE(account_data, P(BYTES, 1, "profileKey"), O(STRING, 2, "username"), P(STRING, 4, "givenName"), P(STRING, 5, "familyName"));
MESSAGE(not_registered, P(U64, 1, "unregisteredTimestamp"));
MESSAGE(contact_name, P(STRING, 1, "given"), P(STRING, 2, "family"));
MESSAGE(contact, O(BYTES, 1, "aci"), O(BYTES, 2, "pni"), O(STRING, 3, "username"), O(U64, 4, "e164"), P(BOOL, 5, "blocked"),
        E(6, "visibility", "VISIBLE HIDDEN HIDDEN_MESSAGE_REQUEST"), M(7, "registered", nothing), M(8, "notRegistered", not_registered),
        O(BYTES, 9, "profileKey"), P(BOOL, 10, "profileSharing"), O(STRING, 11, "profileGivenName"), O(STRING, 12, "profileFamilyName"),
        P(BOOL, 13, "hideStory"), O(BYTES, 14, "identityKey"), E(15, "identityState", "DEFAULT VERIFIED UNVERIFIED"),
        M(16, "nickname", contact_name), P(STRING, 17, "note"), P(STRING, 18, "systemGivenName"), P(STRING, 19, "systemFamilyName"),
        P(STRING, 20, "systemNickname"), OE(21, "avatarColor", "A100 A110 A120 A130 A140 A150 A160 A170 A180 A190 A200 A210"),
        O(BYTES, 22, "keyTransparencyData"), P(U64, 23, "blockedAtTimestamp"));
MESSAGE(group_attribute_blob, O(STRING, 1, "title"), O(BYTES, 2, "avatar"), O(U32, 3, "disappearingMessagesDuration"),
        O(STRING, 4, "descriptionText"));
MESSAGE(access_control, E(1, "attributes", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"),
        E(2, "members", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"),
        E(3, "addFromInviteLink", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"),
        E(4, "memberLabel", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"));
MESSAGE(member, P(BYTES, 1, "userId"), E(2, "role", "UNKNOWN DEFAULT ADMINISTRATOR"), P(U32, 5, "joinedAtVersion"), P(STRING, 6, "labelEmoji"),
        P(STRING, 7, "labelString"));
MESSAGE(member_pending_profile_key, M(1, "member", member), P(BYTES, 2, "addedByUserId"), P(U64, 3, "timestamp"));
MESSAGE(member_pending_admin_approval, P(BYTES, 1, "userId"), P(U64, 4, "timestamp"));
MESSAGE(member_banned, P(BYTES, 1, "userId"), P(U64, 2, "timestamp"));
MESSAGE(group_snapshot, M(2, "title", group_attribute_blob), P(STRING, 3, "avatarUrl"), M(4, "disappearingMessagesTimer", group_attribute_blob),
        M(5, "accessControl", access_control), P(U32, 6, "version"), RM(7, "members", member),
        RM(8, "membersPendingProfileKey", member_pending_profile_key), RM(9, "membersPendingAdminApproval", member_pending_admin_approval),
        P(BYTES, 10, "inviteLinkPassword"), M(11, "description", group_attribute_blob), P(BOOL, 12, "announcementsOnly"),
        RM(13, "membersBanned", member_banned), P(BOOL, 14, "terminated"));
MESSAGE(group, P(BYTES, 1, "masterKey"), P(BOOL, 2, "whitelisted"), P(BOOL, 3, "hideStory"), E(4, "storySendMode", "DEFAULT DISABLED ENABLED"),
        M(5, "snapshot", group_snapshot), P(BOOL, 6, "blocked"),
        OE(7, "avatarColor", "A100 A110 A120 A130 A140 A150 A160 A170 A180 A190 A200 A210"), P(U64, 8, "blockedAtTimestamp"));
MESSAGE(distribution_list, P(STRING, 1, "name"), P(BOOL, 2, "allowReplies"), E(3, "privacyMode", "UNKNOWN ONLY_WITH ALL_EXCEPT ALL"),
        R(U64, 4, "memberRecipientIds"));
MESSAGE(distribution_list_item, P(BYTES, 1, "distributionId"), O(U64, 2, "deletionTimestamp"), M(3, "distributionList", distribution_list));
MESSAGE(self, OE(1, "avatarColor", "A100 A110 A120 A130 A140 A150 A160 A170 A180 A190 A200 A210"));
MESSAGE(call_link, P(BYTES, 1, "rootKey"), O(BYTES, 2, "adminKey"), P(STRING, 3, "name"), E(4, "restrictions", "UNKNOWN NONE ADMIN_APPROVAL"),
        P(U64, 5, "expirationMs"));
MESSAGE(recipient, P(U64, 1, "id"), M(2, "contact", contact), M(3, "group", group), M(4, "distributionList", distribution_list_item),
        M(5, "self", self), M(6, "releaseNotes", nothing), M(7, "callLink", call_link));
MESSAGE(chat, P(U64, 1, "id"), P(U64, 2, "recipientId"), P(BOOL, 3, "archived"), O(U32, 4, "pinnedOrder"), O(U64, 5, "expirationTimerMs"),
        O(U64, 6, "muteUntilMs"), P(BOOL, 7, "markedUnread"));
MESSAGE(incoming_message_details, P(U64, 1, "dateReceived"), O(U64, 2, "dateServerSent"), P(BOOL, 3, "read"), P(BOOL, 4, "sealedSender"));
MESSAGE(sent, P(BOOL, 1, "sealedSender"));
MESSAGE(delivered, P(BOOL, 1, "sealedSender"));
MESSAGE(read, P(BOOL, 1, "sealedSender"));
MESSAGE(viewed, P(BOOL, 1, "sealedSender"));
MESSAGE(failed, E(1, "reason", "UNKNOWN NETWORK IDENTITY_KEY_MISMATCH"));
MESSAGE(send_status, P(U64, 1, "recipientId"), P(U64, 2, "timestamp"), M(3, "pending", nothing), M(4, "sent", sent), M(5, "delivered", delivered),
        M(6, "read", read), M(7, "viewed", viewed), M(8, "skipped", nothing), M(9, "failed", failed));
MESSAGE(outgoing_message_details, RM(1, "sendStatus", send_status), P(U64, 2, "dateReceived"));
MESSAGE(body_range, P(U32, 1, "start"), P(U32, 2, "length"), O(BYTES, 3, "mentionAci"),
        OE(4, "style", "NONE BOLD ITALIC SPOILER STRIKETHROUGH MONOSPACE"));
MESSAGE(text, P(STRING, 1, "body"), RM(2, "bodyRanges", body_range));
MESSAGE(locator_info, P(BYTES, 1, "key"), P(U32, 3, "size"), O(STRING, 4, "transitCdnKey"), O(U32, 5, "transitCdnNumber"),
        O(U64, 6, "transitTierUploadTimestamp"), O(U32, 7, "mediaTierCdnNumber"), O(BYTES, 9, "localKey"), O(BYTES, 10, "plaintextHash"),
        O(BYTES, 11, "encryptedDigest"));
MESSAGE(file_pointer, O(STRING, 4, "contentType"), O(BYTES, 5, "incrementalMac"), O(U32, 6, "incrementalMacChunkSize"), O(STRING, 7, "fileName"),
        O(U32, 8, "width"), O(U32, 9, "height"), O(STRING, 10, "caption"), O(STRING, 11, "blurHash"), M(13, "locatorInfo", locator_info));
MESSAGE(message_attachment, M(1, "pointer", file_pointer), E(2, "flag", "NONE VOICE_MESSAGE BORDERLESS GIF"), P(BOOL, 3, "wasDownloaded"),
        O(BYTES, 4, "clientUuid"));
MESSAGE(quoted_attachment, O(STRING, 1, "contentType"), O(STRING, 2, "fileName"), M(3, "thumbnail", message_attachment));
MESSAGE(quote, O(U64, 1, "targetSentTimestamp"), P(U64, 2, "authorId"), M(3, "text", text), RM(4, "attachments", quoted_attachment),
        E(5, "type", "UNKNOWN NORMAL GIFT_BADGE VIEW_ONCE POLL"));
MESSAGE(link_preview, P(STRING, 1, "url"), O(STRING, 2, "title"), M(3, "image", file_pointer), O(STRING, 4, "description"), O(U64, 5, "date"));
MESSAGE(reaction, P(STRING, 1, "emoji"), P(U64, 2, "authorId"), P(U64, 3, "sentTimestamp"), P(U64, 4, "sortOrder"));
MESSAGE(standard_message, M(1, "quote", quote), M(2, "text", text), RM(3, "attachments", message_attachment), RM(4, "linkPreview", link_preview),
        M(5, "longText", file_pointer), RM(6, "reactions", reaction));
MESSAGE(contact_attachment_name, P(STRING, 1, "givenName"), P(STRING, 2, "familyName"), P(STRING, 3, "prefix"), P(STRING, 4, "suffix"),
        P(STRING, 5, "middleName"), P(STRING, 6, "nickname"));
MESSAGE(phone, P(STRING, 1, "value"), E(2, "type", "UNKNOWN HOME MOBILE WORK CUSTOM"), P(STRING, 3, "label"));
MESSAGE(email, P(STRING, 1, "value"), E(2, "type", "UNKNOWN HOME MOBILE WORK CUSTOM"), P(STRING, 3, "label"));
MESSAGE(postal_address, E(1, "type", "UNKNOWN HOME WORK CUSTOM"), P(STRING, 2, "label"), P(STRING, 3, "street"), P(STRING, 4, "pobox"),
        P(STRING, 5, "neighborhood"), P(STRING, 6, "city"), P(STRING, 7, "region"), P(STRING, 8, "postcode"), P(STRING, 9, "country"));
MESSAGE(contact_attachment, M(1, "name", contact_attachment_name), RM(3, "number", phone), RM(4, "email", email), RM(5, "address", postal_address),
        M(6, "avatar", file_pointer), P(STRING, 7, "organization"));
MESSAGE(contact_message, M(1, "contact", contact_attachment), RM(2, "reactions", reaction));
MESSAGE(sticker, P(BYTES, 1, "packId"), P(BYTES, 2, "packKey"), P(U32, 3, "stickerId"), O(STRING, 4, "emoji"), M(5, "data", file_pointer));
MESSAGE(sticker_message, M(1, "sticker", sticker), RM(2, "reactions", reaction));
MESSAGE(simple_chat_update,
        E(1, "type", "UNKNOWN JOINED_SIGNAL IDENTITY_UPDATE IDENTITY_VERIFIED IDENTITY_DEFAULT CHANGE_NUMBER "
             "RELEASE_CHANNEL_DONATION_REQUEST END_SESSION CHAT_SESSION_REFRESH BAD_DECRYPT PAYMENTS_ACTIVATED PAYMENT_ACTIVATION_REQUEST "
             "UNSUPPORTED_PROTOCOL_MESSAGE REPORTED_SPAM BLOCKED UNBLOCKED MESSAGE_REQUEST_ACCEPTED"));
MESSAGE(generic_group_update, O(BYTES, 1, "updaterAci"));
MESSAGE(group_creation_update, O(BYTES, 1, "updaterAci"));
MESSAGE(group_name_update, O(BYTES, 1, "updaterAci"), O(STRING, 2, "newGroupName"));
MESSAGE(group_avatar_update, O(BYTES, 1, "updaterAci"), P(BOOL, 2, "wasRemoved"));
MESSAGE(group_description_update, O(BYTES, 1, "updaterAci"), O(STRING, 2, "newDescription"));
MESSAGE(group_membership_access_level_change_update, O(BYTES, 1, "updaterAci"),
        E(2, "accessLevel", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"));
MESSAGE(group_attributes_access_level_change_update, O(BYTES, 1, "updaterAci"),
        E(2, "accessLevel", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"));
MESSAGE(group_announcement_only_change_update, O(BYTES, 1, "updaterAci"), P(BOOL, 2, "isAnnouncementOnly"));
MESSAGE(group_admin_status_update, O(BYTES, 1, "updaterAci"), P(BYTES, 2, "memberAci"), P(BOOL, 3, "wasAdminStatusGranted"));
MESSAGE(group_member_left_update, P(BYTES, 1, "aci"));
MESSAGE(group_member_removed_update, O(BYTES, 1, "removerAci"), P(BYTES, 2, "removedAci"));
MESSAGE(self_invited_to_group_update, O(BYTES, 1, "inviterAci"));
MESSAGE(self_invited_other_user_to_group_update, P(BYTES, 1, "inviteeServiceId"));
MESSAGE(group_unknown_invitee_update, O(BYTES, 1, "inviterAci"), P(U32, 2, "inviteeCount"));
MESSAGE(group_invitation_accepted_update, O(BYTES, 1, "inviterAci"), P(BYTES, 2, "newMemberAci"));
MESSAGE(group_invitation_declined_update, O(BYTES, 1, "inviterAci"), O(BYTES, 2, "inviteeAci"));
MESSAGE(group_member_joined_update, P(BYTES, 1, "newMemberAci"));
MESSAGE(group_member_added_update, O(BYTES, 1, "updaterAci"), P(BYTES, 2, "newMemberAci"), P(BOOL, 3, "hadOpenInvitation"),
        O(BYTES, 4, "inviterAci"));
MESSAGE(group_self_invitation_revoked_update, O(BYTES, 1, "revokerAci"));
MESSAGE(invitee, O(BYTES, 1, "inviterAci"), O(BYTES, 2, "inviteeAci"), O(BYTES, 3, "inviteePni"));
MESSAGE(group_invitation_revoked_update, O(BYTES, 1, "updaterAci"), RM(2, "invitees", invitee));
MESSAGE(group_join_request_update, P(BYTES, 1, "requestorAci"));
MESSAGE(group_join_request_approval_update, P(BYTES, 1, "requestorAci"), O(BYTES, 2, "updaterAci"), P(BOOL, 3, "wasApproved"));
MESSAGE(group_join_request_canceled_update, P(BYTES, 1, "requestorAci"));
MESSAGE(group_invite_link_reset_update, O(BYTES, 1, "updaterAci"));
MESSAGE(group_invite_link_enabled_update, O(BYTES, 1, "updaterAci"), P(BOOL, 2, "linkRequiresAdminApproval"));
MESSAGE(group_invite_link_admin_approval_update, O(BYTES, 1, "updaterAci"), P(BOOL, 2, "linkRequiresAdminApproval"));
MESSAGE(group_invite_link_disabled_update, O(BYTES, 1, "updaterAci"));
MESSAGE(group_member_joined_by_link_update, P(BYTES, 1, "newMemberAci"));
MESSAGE(group_v2_migration_invited_members_update, P(U32, 1, "invitedMembersCount"));
MESSAGE(group_v2_migration_dropped_members_update, P(U32, 1, "droppedMembersCount"));
MESSAGE(group_sequence_of_requests_and_cancels_update, P(BYTES, 1, "requestorAci"), P(U32, 2, "count"));
MESSAGE(group_expiration_timer_update, P(U64, 1, "expiresInMs"), O(BYTES, 2, "updaterAci"));
MESSAGE(group_member_label_access_level_change_update, O(BYTES, 1, "updaterAci"),
        E(2, "accessLevel", "UNKNOWN ANY MEMBER ADMINISTRATOR UNSATISFIABLE"));
MESSAGE(group_terminate_change_update, O(BYTES, 1, "updaterAci"));
MESSAGE(update, M(1, "genericGroupUpdate", generic_group_update), M(2, "groupCreationUpdate", group_creation_update),
        M(3, "groupNameUpdate", group_name_update), M(4, "groupAvatarUpdate", group_avatar_update),
        M(5, "groupDescriptionUpdate", group_description_update),
        M(6, "groupMembershipAccessLevelChangeUpdate", group_membership_access_level_change_update),
        M(7, "groupAttributesAccessLevelChangeUpdate", group_attributes_access_level_change_update),
        M(8, "groupAnnouncementOnlyChangeUpdate", group_announcement_only_change_update),
        M(9, "groupAdminStatusUpdate", group_admin_status_update), M(10, "groupMemberLeftUpdate", group_member_left_update),
        M(11, "groupMemberRemovedUpdate", group_member_removed_update), M(12, "selfInvitedToGroupUpdate", self_invited_to_group_update),
        M(13, "selfInvitedOtherUserToGroupUpdate", self_invited_other_user_to_group_update),
        M(14, "groupUnknownInviteeUpdate", group_unknown_invitee_update), M(15, "groupInvitationAcceptedUpdate", group_invitation_accepted_update),
        M(16, "groupInvitationDeclinedUpdate", group_invitation_declined_update), M(17, "groupMemberJoinedUpdate", group_member_joined_update),
        M(18, "groupMemberAddedUpdate", group_member_added_update),
        M(19, "groupSelfInvitationRevokedUpdate", group_self_invitation_revoked_update),
        M(20, "groupInvitationRevokedUpdate", group_invitation_revoked_update), M(21, "groupJoinRequestUpdate", group_join_request_update),
        M(22, "groupJoinRequestApprovalUpdate", group_join_request_approval_update),
        M(23, "groupJoinRequestCanceledUpdate", group_join_request_canceled_update),
        M(24, "groupInviteLinkResetUpdate", group_invite_link_reset_update),
        M(25, "groupInviteLinkEnabledUpdate", group_invite_link_enabled_update),
        M(26, "groupInviteLinkAdminApprovalUpdate", group_invite_link_admin_approval_update),
        M(27, "groupInviteLinkDisabledUpdate", group_invite_link_disabled_update),
        M(28, "groupMemberJoinedByLinkUpdate", group_member_joined_by_link_update), M(29, "groupV2MigrationUpdate", nothing),
        M(30, "groupV2MigrationSelfInvitedUpdate", nothing),
        M(31, "groupV2MigrationInvitedMembersUpdate", group_v2_migration_invited_members_update),
        M(32, "groupV2MigrationDroppedMembersUpdate", group_v2_migration_dropped_members_update),
        M(33, "groupSequenceOfRequestsAndCancelsUpdate", group_sequence_of_requests_and_cancels_update),
        M(34, "groupExpirationTimerUpdate", group_expiration_timer_update),
        M(35, "groupMemberLabelAccessLevelChangeUpdate", group_member_label_access_level_change_update),
        M(36, "groupTerminateChangeUpdate", group_terminate_change_update));
MESSAGE(group_change_chat_update, RM(1, "updates", update));
MESSAGE(expiration_timer_chat_update, P(U64, 1, "expiresInMs"));
MESSAGE(profile_change_chat_update, P(STRING, 1, "previousName"), P(STRING, 2, "newName"));
MESSAGE(thread_merge_chat_update, P(U64, 1, "previousE164"));
MESSAGE(session_switchover_chat_update, P(U64, 1, "e164"));
MESSAGE(individual_call, O(U64, 1, "callId"), E(2, "type", "UNKNOWN_TYPE AUDIO_CALL VIDEO_CALL"),
        E(3, "direction", "UNKNOWN_DIRECTION INCOMING OUTGOING"),
        E(4, "state", "UNKNOWN_STATE ACCEPTED NOT_ACCEPTED MISSED MISSED_NOTIFICATION_PROFILE"), P(U64, 5, "startedCallTimestamp"),
        P(BOOL, 6, "read"));
MESSAGE(group_call, O(U64, 1, "callId"),
        E(2, "state", "UNKNOWN_STATE GENERIC JOINED RINGING ACCEPTED DECLINED MISSED MISSED_NOTIFICATION_PROFILE OUTGOING_RING"),
        O(U64, 3, "ringerRecipientId"), O(U64, 4, "startedCallRecipientId"), P(U64, 5, "startedCallTimestamp"), O(U64, 6, "endedCallTimestamp"),
        P(BOOL, 7, "read"));
MESSAGE(learned_profile_chat_update, O(U64, 1, "e164"), O(STRING, 2, "username"));
MESSAGE(poll_terminate_update, P(U64, 1, "targetSentTimestamp"), P(STRING, 2, "question"));
MESSAGE(pin_message_update, P(U64, 1, "targetSentTimestamp"), P(U64, 2, "authorId"));
MESSAGE(chat_update_message, M(1, "simpleUpdate", simple_chat_update), M(2, "groupChange", group_change_chat_update),
        M(3, "expirationTimerChange", expiration_timer_chat_update), M(4, "profileChange", profile_change_chat_update),
        M(5, "threadMerge", thread_merge_chat_update), M(6, "sessionSwitchover", session_switchover_chat_update),
        M(7, "individualCall", individual_call), M(8, "groupCall", group_call), M(9, "learnedProfileChange", learned_profile_chat_update),
        M(10, "pollTerminate", poll_terminate_update), M(11, "pinMessage", pin_message_update));
MESSAGE(mobile_coin_txo_identification, R(BYTES, 1, "publicKey"), R(BYTES, 2, "keyImages"));
MESSAGE(transaction, E(1, "status", "INITIAL SUBMITTED SUCCESSFUL"), M(2, "mobileCoinIdentification", mobile_coin_txo_identification),
        O(U64, 3, "timestamp"), O(U64, 4, "blockIndex"), O(U64, 5, "blockTimestamp"), O(BYTES, 6, "transaction"), O(BYTES, 7, "receipt"));
MESSAGE(failed_transaction, E(1, "reason", "GENERIC NETWORK INSUFFICIENT_FUNDS"));
MESSAGE(transaction_details, M(1, "transaction", transaction), M(2, "failedTransaction", failed_transaction));
MESSAGE(payment_notification, O(STRING, 1, "amountMob"), O(STRING, 2, "feeMob"), O(STRING, 3, "note"),
        M(4, "transactionDetails", transaction_details));
MESSAGE(gift_badge, P(BYTES, 1, "receiptCredentialPresentation"), E(2, "state", "UNOPENED OPENED REDEEMED FAILED"));
MESSAGE(view_once_message, M(1, "attachment", message_attachment), RM(2, "reactions", reaction));
MESSAGE(text_reply, M(1, "text", text), M(2, "longText", file_pointer));
MESSAGE(direct_story_reply_message, M(1, "textReply", text_reply), O(STRING, 2, "emoji"), RM(3, "reactions", reaction));
MESSAGE(poll_vote, P(U64, 1, "voterId"), P(U32, 2, "voteCount"));
MESSAGE(poll_option, P(STRING, 1, "option"), RM(2, "votes", poll_vote));
MESSAGE(poll, P(STRING, 1, "question"), P(BOOL, 2, "allowMultiple"), RM(3, "options", poll_option), P(BOOL, 4, "hasEnded"),
        RM(5, "reactions", reaction));
MESSAGE(pin_details, P(U64, 1, "pinnedAtTimestamp"), O(U64, 2, "pinExpiresAtTimestamp"), O(BOOL, 3, "pinNeverExpires"));
MESSAGE(admin_deleted_message, P(U64, 1, "adminId"));
MESSAGE(chat_item, P(U64, 1, "chatId"), P(U64, 2, "authorId"), P(U64, 3, "dateSent"), O(U64, 4, "expireStartDate"), O(U64, 5, "expiresInMs"),
        RM(6, "revisions", chat_item), P(BOOL, 7, "sms"), M(8, "incoming", incoming_message_details), M(9, "outgoing", outgoing_message_details),
        M(10, "directionless", nothing), M(11, "standardMessage", standard_message), M(12, "contactMessage", contact_message),
        M(13, "stickerMessage", sticker_message), M(14, "remoteDeletedMessage", nothing), M(15, "updateMessage", chat_update_message),
        M(16, "paymentNotification", payment_notification), M(17, "giftBadge", gift_badge), M(18, "viewOnceMessage", view_once_message),
        M(19, "directStoryReplyMessage", direct_story_reply_message), M(20, "poll", poll), M(21, "pinDetails", pin_details),
        M(22, "adminDeletedMessage", admin_deleted_message));
MESSAGE(ad_hoc_call, P(U64, 1, "callId"), P(U64, 2, "recipientId"), E(3, "state", "UNKNOWN_STATE GENERIC"), P(U64, 4, "callTimestamp"));
MESSAGE(frame_message, M(1, "account", account_data), M(2, "recipient", recipient), M(3, "chat", chat), M(4, "chatItem", chat_item),
        M(5, "stickerPack", nothing), M(6, "adHocCall", ad_hoc_call), M(7, "notificationProfile", nothing), M(8, "chatFolder", nothing));
/* clang-format on */

const struct wire_message *const wire_backup_info = &backup_info, *const wire_frame = &frame_message,
                                 *const wire_group_change = &group_change_chat_update;
