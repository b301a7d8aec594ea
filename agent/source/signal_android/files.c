/* files.c - attachments of a backup: where their bytes lie between its frames.
 *
 * A source_ref is "<offset>#<length>#<counter>": the file itself is the store, its MAC proves it again each time.
 */
#include "agent/source/signal_android/backup.h"

#include <sqlite3.h>

bool sa_ref_read(struct kluis_str ref, struct sa_blob *out)
{
    uint64_t n[3] = { 0 };
    unsigned i = 0;
    bool digit = false;
    for (size_t k = 0; k < ref.len; k++) {
        const char c = ref.ptr[k];
        if (c == '#' && digit && i < 2) {
            i++;
            digit = false;
        } else if (c >= '0' && c <= '9' && n[i] < UINT64_MAX / 10 - 10) {
            n[i] = n[i] * 10 + (uint64_t)(c - '0');
            digit = true;
        } else {
            return false;
        }
    }
    *out = (struct sa_blob){ .at = n[0], .length = n[1], .counter = (uint32_t)n[2] };
    return i == 2 && digit && n[2] <= UINT32_MAX;
}

static bool blob_of(const struct sa_files *f, struct json *locator, struct sa_blob *out)
{
    struct sqlite3_stmt *st = NULL;
    uint64_t row = 0, unique = 0;
    bool found = false;
    if (!json_u64(locator, "row", &row)) { return false; }
    (void)json_u64(locator, "unique", &unique);
    /* Old rows share a number and differ in a second one, which newer ones have no more. */
    if (kluis_db_query(f->db, &st, NULL, "SELECT at, length, counter FROM k_blob WHERE row=?1 ORDER BY uniq<>?2 LIMIT 1", "ii", (int64_t)row,
                       (int64_t)unique) != KLUIS_OK) {
        return false;
    }
    if (kluis_db_step(f->db, st, NULL) == KLUIS_OK) {
        *out = (struct sa_blob){ .at = (uint64_t)kluis_db_int(st, 0),
                                 .length = (uint64_t)kluis_db_int(st, 1),
                                 .counter = (uint32_t)kluis_db_int(st, 2) };
        found = true;
        kluis_db_done(st);
    }
    return found;
}

static kluis_status digest(struct sa_content *c, uint8_t sha[MEDIA_HASH], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    const struct kluis_input in = sa_content_input(c);
    uint8_t piece[32 << 10];
    ssize_t n;
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    while ((n = in.read(in.ctx, piece, sizeof piece, err)) > 0) { kluis_sha256_add(h, piece, (size_t)n); }
    kluis_sha256_end(h, sha);
    return n == 0 ? KLUIS_OK : KLUIS_E_IO;
}

static kluis_status find(void *ctx, struct json *locator, const uint8_t *hash, struct kluis_arena *arena, struct kluis_attachment *a,
                         struct kluis_err *err)
{
    const struct sa_files *f = ctx;
    struct sa_blob b;
    uint8_t sha[MEDIA_HASH];
    bool right = false;
    if (!blob_of(f, locator, &b)) { return KLUIS_OK; }
    KLUIS_TRY(sa_blob_prove(f->stream, &b, &right, err));
    if (!right) {
        a->loss = KLUIS_STR_LIT("changed"); /* damaged in the file, or cut off */
        return KLUIS_OK;
    }
    KLUIS_AUTO(sa_content) c = NULL;
    KLUIS_TRY(sa_content_open(f->stream, &b, &c, err));
    KLUIS_TRY(digest(c, sha, err));
    if (hash != NULL && memcmp(hash, sha, sizeof sha) != 0) {
        a->loss = KLUIS_STR_LIT("changed");
        return KLUIS_OK;
    }
    a->source_ref = arena_fmt(arena, "%llu#%llu#%u", (unsigned long long)b.at, (unsigned long long)b.length, b.counter);
    if (a->source_ref.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    a->size = (int64_t)b.length;
    a->has_sha256 = true;
    memcpy(a->sha256, sha, sizeof sha);
    a->loss = (struct kluis_str){ NULL, 0 };
    return KLUIS_OK;
}

static struct kluis_str text(void *ctx, struct kluis_str ref, struct kluis_arena *arena, size_t max)
{
    const struct sa_files *f = ctx;
    const struct kluis_str none = { NULL, 0 };
    struct sa_blob b;
    KLUIS_AUTO(sa_content) c = NULL;
    if (!sa_ref_read(ref, &b) || b.length == 0 || b.length > max || sa_content_open(f->stream, &b, &c, NULL) != KLUIS_OK) { return none; }
    char *p = kluis_arena_alloc(arena, (size_t)b.length);
    const struct kluis_input in = sa_content_input(c);
    size_t done = 0;
    ssize_t n;
    while (p != NULL && done < b.length && (n = in.read(in.ctx, p + done, (size_t)b.length - done, NULL)) > 0) { done += (size_t)n; }
    return p != NULL && done == b.length && kluis_utf8_valid(p, done) == done ? (struct kluis_str){ p, done } : none;
}

struct media sa_media(struct sa_files *f) { return (struct media){ .ctx = f, .find = find, .text = text }; }
