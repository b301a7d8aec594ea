/* A Telegram export: every record of it can be written, whatever is in result.json. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILE(source_telegram, "result.json");
