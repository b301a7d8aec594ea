/* lib/verify/readahead.h - an input that a helper thread fills from a file, a few blocks ahead of the reader. */
#ifndef KLUIS_VERIFY_READAHEAD_H
#define KLUIS_VERIFY_READAHEAD_H

#include "kluis/base.h"

struct readahead;
struct readahead *readahead_start(int fd, const char *what); /* both borrowed until stop; NULL: no memory or thread */
struct kluis_input readahead_input(struct readahead *r);
void readahead_stop(struct readahead *r); /* NULL: no-op */

#endif
