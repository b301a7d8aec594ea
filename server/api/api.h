/* server/api/api.h - searching and reading for people: audited, bounded, as JSON.   index, register -> [api] -> web, commands
 *
 * Thread-safe.  The index may be replaced while the server runs (rebuild-index): it is borrowed for each call.
 */
#ifndef SERVER_API_API_H
#define SERVER_API_API_H

#include "server/index/index.h"
#include "server/register/register.h"

struct api {
    void *ctx;
    struct index *(*borrow)(void *ctx); /* waits while it is rebuilt                  */
    void (*give_back)(void *ctx, struct index *ix);
    struct reg *reg;
};
/* Who asks, and what for: stands in the audit trail before the first hit is given. */
struct api_actor {
    const char *name, *purpose;
};
enum { API_PURPOSE_MAX = 200, API_AROUND_MAX = 100, API_ANSWER_MAX = 32 << 20 };

/* Hits one by one, to a sink that may show each at once: the index is asked when the entry is on disk, not before.
 * E_USAGE: no purpose; E_REJECT: the query; E_BUSY: no index at the moment; else as index_search. */
KLUIS_MUSTUSE kluis_status api_search(const struct api *a, const struct api_actor *who, const struct index_query *q, const struct index_sink *sink,
                                      struct index_result *out, struct kluis_err *err);
/* A page of hits as JSON objects with commas between them, appended to `json`, which nobody else sees meanwhile: the index is asked while the entry
 * is on its way to the disk.  OK: both are through.  After any failure, that of the entry too, json and *out hold nothing of it. */
KLUIS_MUSTUSE kluis_status api_search_page(const struct api *a, const struct api_actor *who, const struct index_query *q, struct kluis_buf *json,
                                           struct index_result *out, struct kluis_err *err);
/* The conversation around a record, in the same way; before and after at most API_AROUND_MAX each. */
KLUIS_MUSTUSE kluis_status api_around_page(const struct api *a, const struct api_actor *who, const uint8_t package[32], uint64_t ordinal,
                                           unsigned before, unsigned after, struct kluis_buf *json, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status api_statistics(const struct api *a, struct index_stats *out, uint64_t *watermark, struct kluis_err *err);

#endif
