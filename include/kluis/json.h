/* kluis/json.h - what of a text a JSON string holds as it is.  Target kluis_base.  For kluis_buf_json, which writes such strings, and for the reader
 * of records, which is as strict. */
#ifndef KLUIS_JSON_H
#define KLUIS_JSON_H

#include <stddef.h>

/* How many of the n bytes at p stand for themselves: up to a quote, a backslash or a control character. */
size_t kluis_json_plain(const char *p, size_t n);

#endif
