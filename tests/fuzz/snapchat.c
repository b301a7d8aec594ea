/* Snapchat's chat_history.json: every record of it can be written, whatever is in the file. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILE(source_snapchat, "chat_history.json");
