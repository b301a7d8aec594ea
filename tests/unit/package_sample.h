/* package_sample.h - a small package for the tests of this module; the chat and its people are invented. */
#ifndef PACKAGE_SAMPLE_H
#define PACKAGE_SAMPLE_H

#include "kluis/package.h"

struct sample_options {
    unsigned records; /* 0: 5                                    */
    bool attachments, evidence;
    bool attachment_twice;   /* the same bytes under another name        */
    char waardering;         /* 0: 'N'                                   */
    const char *p7s;         /* NULL: some bytes                         */
    int level;               /* 0: 6                                     */
    size_t attachment_bytes; /* of each; 0: a few thousand               */
    size_t text_bytes;       /* of each record; 0: about 35              */
};
/* Writes a package into a fresh temporary file and returns its descriptor; *bytes (if not NULL) gets its content. */
int sample_package(const struct sample_options *o, uint8_t id[32], uint8_t root[32], struct kluis_buf *bytes);
int sample_file(void); /* an unlinked temporary file */

#endif
