/* LinkedIn's messages.csv: every record of it can be written, whatever is in the file. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILE(source_linkedin, "messages.csv");
