/* A download of Facebook, Instagram or Threads: every record of it can be written, whatever is in a file of messages. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILE(source_meta, "message_1.json");
