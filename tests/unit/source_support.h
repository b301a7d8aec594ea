/* source_support.h - reads a source through its interface and keeps what it gave as JSON lines, for tests of any kind of source. */
#ifndef SOURCE_SUPPORT_H
#define SOURCE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/source/source.h"

struct source_got {
    kluis_status rc;
    struct kluis_err err;
    struct kluis_buf headers, lines, raw, skipped; /* one a line; lines: records, expanded.  raw: each record's bytes, then NUL */
    size_t n, n_kind[KLUIS_KINDS], conversations, refused;
    struct kluis_header h;
    struct kluis_arena *refs;
    struct kluis_str ref[64]; /* source_refs of attachments, in order */
    size_t n_refs;
};
/* options: "key=value" … NULL */
void source_get(struct source_got *g, const struct source_kind *k, const char *path, ...);
void source_got_free(struct source_got *g);
struct kluis_str source_line(const struct source_got *g, size_t i);
/* Fails the test unless record i has this part; or the headers do. */
void source_has(const struct source_got *g, size_t i, const char *part);
void source_has_not(const struct source_got *g, size_t i, const char *part);
void source_header_has(const struct source_got *g, const char *part);
/* The bytes of one attachment; its length, or SIZE_MAX when it was not given. */
size_t source_attachment(const struct source_kind *k, const char *path, struct kluis_str ref, uint8_t *to, size_t cap);
/* A file of the test's own in dir; its path. */
void source_put(const char *dir, const char *name, const void *p, size_t n, char path[KLUIS_PATH_MAX]);
/* SHA-256 over every name, size, time and byte below dir: to see that reading changed nothing. */
void source_folder_sum(const char *dir, uint8_t out[32]);
/* Each of these, as the whole file, is refused with one line and gives no record. */
void source_refused(const struct source_kind *k, const char *dir, const char *name, const char *const *texts, size_t n);
/* Appends a value of 100,000 lists in each other. */
void source_nested(struct kluis_buf *b);
/* The whole text, cut at every `step` bytes and with single bits turned, never takes the reader down or makes it give a record that cannot be
 * written; whatever it says is a status it may say. */
void source_torture(const struct source_kind *k, const char *dir, const char *name, const void *p, size_t n, size_t step, unsigned flips);

#endif
