/* record_internal.h - what the files of this module share.  Never leaves the folder. */
#ifndef RECORD_INTERNAL_H
#define RECORD_INTERNAL_H

#include "kluis/json.h"
#include "kluis/record.h"

enum { RECORD_TOKEN_MAX = 64, RECORD_NAME_MAX = 256 };

extern const char *const record_zone_names[2];
extern const char *const record_precision_names[3];

/* Tokens (platform, loss) are 1..64 of A-Z a-z 0-9 . _ : - so that they mean the same in every tool. */
bool record_is_token(struct kluis_str s);

/* RFC 3339 without "Z"/offset rules left open: local date, 'T', local time, "Z" or +hh:mm.  Fraction: 0, 3 or 6 digits,
 * or RECORD_MINUTES for a time without seconds.  0: the instant has no such text (year outside 1..9999). */
enum { RECORD_MINUTES = -1 };
size_t record_time_text(char out[KLUIS_TIME_TEXT], int64_t us, int offset_min, int fraction);
/* The inverse; *fraction as above.  Returns the bytes read at p, 0 when no canonical time begins there. */
size_t record_time_parse(const char *p, size_t n, int64_t *us, int16_t *offset_min, int *fraction);
/* Digits that `sent` has at this precision, and the microseconds it must be a multiple of. */
int record_precision_fraction(enum kluis_precision p);
int64_t record_precision_step(enum kluis_precision p);
/* The fewest digits (0, 3, 6) that hold us exactly. */
int record_shortest_fraction(int64_t us);

#endif
