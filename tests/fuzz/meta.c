/* A download of Facebook, Instagram or Threads: two files of one thread, one of another, the owner's name, a picture; and the encrypted download. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_meta, "", "messages/inbox/a_1/message_1.json", "messages/inbox/a_1/message_2.json", "messages/inbox/b_2/message_1.json",
                  "autofill_information.json", "messages/inbox/a_1/photos/1.jpg", "Vos_3.json");
