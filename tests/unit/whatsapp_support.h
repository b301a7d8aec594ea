/* whatsapp_support.h - reads a chat from memory, in pieces of any size, and keeps its records as JSON lines. */
#ifndef WHATSAPP_SUPPORT_H
#define WHATSAPP_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/source/whatsapp_text/wa.h"

struct chat_read {
    kluis_status rc;
    struct kluis_err err;
    struct kluis_buf header, lines, raw, skipped; /* records one a line; raw: evidence of all, concatenated */
    size_t n, n_kind[KLUIS_KINDS];
    struct kluis_header h; /* scalars only: its pointers are gone after the read     */
};
/* step: bytes a read gives, 0: all. options: "key=value" … NULL. */
void chat_read(struct chat_read *c, const char *text, size_t n, size_t step, const char *chat_name, ...);
void chat_free(struct chat_read *c);
/* The i-th record's line. */
struct kluis_str chat_line(const struct chat_read *c, size_t i);
bool chat_has(const struct chat_read *c, size_t i, const char *part);
void chat_show(const struct chat_read *c);
/* The same through a path, as the agent does. */
void chat_read_path(struct chat_read *c, const char *path, ...);
struct source_sink chat_sink(struct chat_read *c);

#endif
