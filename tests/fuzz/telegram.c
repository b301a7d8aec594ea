/* A Telegram export: every record of it can be written, whatever is in result.json. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_telegram, "", "result.json", "chats/chat_1/photos/photo_1.jpg");
