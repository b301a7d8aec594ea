/* A download of Snapchat: messages, snaps, whose account it is, and a saved picture. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_snapchat, "", "chat_history.json", "snap_history.json", "account.json", "chat_media/2026-01-01_b~abc.jpg");
