/* A download of X: direct messages, those of groups, and a file beside each. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_x, "", "direct-messages.js", "direct-messages-group.js", "direct_messages_media/12-foto.jpg",
                  "direct_messages_group_media/34-foto.jpg", "account.js");
