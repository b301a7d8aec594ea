/* Teams: every record can be written, whatever a page of Graph or a personal export holds. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_teams, "messages.json", "messages.json");
