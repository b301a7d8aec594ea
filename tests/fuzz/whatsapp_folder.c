/* A folder of WhatsApp chats as text, with media: read, and the attachments of one chat found among all. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_whatsapp_text, "", "WhatsApp-chat met Anna.txt", "WhatsApp-chat met Bram.txt", "Werkgroep/_chat.txt",
                  "IMG-20250301-WA0001.jpg", "Werkgroep/00000003-PHOTO.jpg");
