/* Slack: a day of a channel, the lists beside it, and another day; every record can be written. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_slack, "", "algemeen/2026-01-01.json", "users.json", "channels.json", "dms.json", "D1/2026-01-02.json", "mpims.json",
                  "groups.json");
