/* Direct messages of an X archive: every record of them can be written, whatever is in the file. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILE(source_x, "direct-messages.js");
