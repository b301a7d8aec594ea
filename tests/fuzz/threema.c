/* Threema's data backup, unpacked: a chat, the people, a group with its chat, a poll with choices and votes, reactions, a picture. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_threema, "", "message_ECHOECHO.csv", "contacts.csv", "groups.csv", "group_message_abcd-ECHOECHO.csv", "ballot.csv",
                  "ballot_choice.csv", "ballot_vote.csv", "contact_reactions.csv", "group_reactions.csv", "message_media_uid-5");
