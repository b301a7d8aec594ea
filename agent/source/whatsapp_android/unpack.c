/* unpack.c - from an opened backup to the database in it: a zlib stream, a zip, or itself.  See crypt.h. */
#include "agent/source/whatsapp_android/crypt.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

enum { CHUNK = 128 << 10, RATIO = 200, ENTRIES_MAX = 1024 };
#define RATIO_FROM (UINT64_C(64) << 20)

struct unpacking {
    const struct kluis_input *in;
    const struct kluis_output *out;
    const char *what;
    struct kluis_err *err;
    uint8_t *from, *to;
    size_t first; /* bytes of `from` read ahead */
    uint64_t taken, given;
};

static kluis_status give(struct unpacking *u, const void *p, size_t n)
{
    u->given += n;
    if (u->given > RATIO_FROM && u->given / RATIO > u->taken) {
        return KLUIS_FAIL(u->err, KLUIS_E_LIMIT, "%s: unpacks to more than %d times its size: not a backup", u->what, (int)RATIO);
    }
    return u->out->write(u->out->ctx, p, n, u->err);
}

static kluis_status more(struct unpacking *u, size_t *n)
{
    if (u->first > 0) {
        *n = u->first;
        u->first = 0;
        return KLUIS_OK;
    }
    ssize_t got = u->in->read(u->in->ctx, u->from, CHUNK, u->err);
    if (got < 0) { return u->err != NULL && u->err->code != KLUIS_OK ? u->err->code : KLUIS_E_IO; }
    *n = (size_t)got;
    u->taken += (size_t)got;
    return KLUIS_OK;
}

static kluis_status plain(struct unpacking *u)
{
    for (size_t n;;) {
        KLUIS_TRY(more(u, &n));
        if (n == 0) { return KLUIS_OK; }
        KLUIS_TRY(give(u, u->from, n));
    }
}

static kluis_status inflate_loop(struct unpacking *u, z_stream *z)
{
    int rc = Z_OK;
    while (rc != Z_STREAM_END) {
        if (z->avail_in == 0) {
            size_t n;
            KLUIS_TRY(more(u, &n));
            if (n == 0) { return KLUIS_FAIL(u->err, KLUIS_E_REJECT, "%s: its compressed content breaks off", u->what); }
            z->next_in = u->from;
            z->avail_in = (uInt)n;
        }
        z->next_out = u->to;
        z->avail_out = CHUNK;
        rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_MEM_ERROR) { return KLUIS_FAIL(u->err, KLUIS_E_NOMEM, "out of memory; try again"); }
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
            return KLUIS_FAIL(u->err, KLUIS_E_REJECT, "%s: its compressed content is damaged", u->what);
        }
        KLUIS_TRY(give(u, u->to, CHUNK - z->avail_out));
    }
    return KLUIS_OK;
}

static kluis_status zlib(struct unpacking *u)
{
    z_stream z = { 0 };
    if (inflateInit(&z) != Z_OK) { return KLUIS_FAIL(u->err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = inflate_loop(u, &z);
    (void)inflateEnd(&z);
    return rc;
}

static la_ssize_t zip_read(KLUIS_UNUSED struct archive *a, void *ctx, const void **p)
{
    struct unpacking *u = ctx;
    size_t n = 0;
    *p = u->from;
    return more(u, &n) == KLUIS_OK ? (la_ssize_t)n : -1;
}

static kluis_status zip_entry(struct unpacking *u, struct archive *a, bool *found)
{
    for (bool start = true;; start = false) {
        la_ssize_t n = archive_read_data(a, u->to, CHUNK);
        if (n < 0) { return KLUIS_FAIL(u->err, KLUIS_E_REJECT, "%s: the zip in it is damaged", u->what); }
        if (n == 0) { return KLUIS_OK; }
        if (start && (n < 16 || memcmp(u->to, "SQLite format 3", 16) != 0)) { return KLUIS_OK; }
        *found = true;
        KLUIS_TRY(give(u, u->to, (size_t)n));
    }
}

static kluis_status zip(struct unpacking *u)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    bool found = false;
    if (a == NULL) { return KLUIS_FAIL(u->err, KLUIS_E_NOMEM, "out of memory; try again"); }
    (void)archive_read_support_format_zip_streamable(a);
    kluis_status rc = KLUIS_OK;
    if (archive_read_open2(a, u, NULL, zip_read, NULL, NULL) != ARCHIVE_OK) { rc = KLUIS_E_REJECT; }
    for (size_t i = 0; rc == KLUIS_OK && !found && i < ENTRIES_MAX; i++) {
        int r = archive_read_next_header(a, &e);
        if (r == ARCHIVE_EOF) { break; }
        rc = r == ARCHIVE_OK || r == ARCHIVE_WARN ? zip_entry(u, a, &found)
                                                  : KLUIS_FAIL(u->err, KLUIS_E_REJECT, "%s: the zip in it is damaged", u->what);
    }
    (void)archive_read_free(a); /* only read */
    if (rc == KLUIS_OK && !found) { rc = KLUIS_FAIL(u->err, KLUIS_E_REJECT, "%s: no database in the zip in it", u->what); }
    return rc;
}

kluis_status crypt_unpack(const struct kluis_input *in, const char *what, const struct kluis_output *out, struct kluis_err *err)
{
    struct kluis_err own = { 0 };
    struct unpacking u = {
        .in = in, .out = out, .what = what, .err = err == NULL ? &own : err, .from = kluis_malloc(CHUNK), .to = kluis_malloc(CHUNK)
    };
    kluis_status rc = u.from == NULL || u.to == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    if (rc == KLUIS_OK) { rc = more(&u, &u.first); }
    if (rc == KLUIS_OK) {
        rc = u.first >= 4 && memcmp(u.from, "PK\x03\x04", 4) == 0 ? zip(&u) : u.first > 0 && u.from[0] == 0x78 ? zlib(&u) : plain(&u);
    }
    if (u.from != NULL) { kluis_wipe(u.from, CHUNK); }
    if (u.to != NULL) { kluis_wipe(u.to, CHUNK); }
    kluis_free(u.from);
    kluis_free(u.to);
    return rc;
}
