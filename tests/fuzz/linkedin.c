/* A download of LinkedIn: every record can be written, whatever messages.csv holds. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_linkedin, "", "messages.csv");
