/* server/register/trail_form.c - bytes of the audit trail, and the walk over all of them.  See trail.h. */
#include "server/register/trail_form.h"

#include <dirent.h>
#include <errno.h>

#define SEGMENT_LABEL "chatkluis-audit-segment-v1"
#define ENTRY_V1 "chatkluis-audit-v1"
#define ENTRY_V2 "chatkluis-audit-v2"

enum { FRAME_MIN = 64 }; /* shorter ones cannot hold the fields */

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* ---- segments ---- */

kluis_status trail_segment_write(const struct trail_segment *s, uint8_t *out, struct kluis_err *err)
{
    uint8_t sum[32];
    KLUIS_AUTO_BUF(b, TRAIL_HEAD);
    kluis_wire_label(&b, SEGMENT_LABEL);
    kluis_wire_u64(&b, s->number);
    kluis_wire_u64(&b, s->first);
    kluis_wire_field(&b, s->before, 32);
    kluis_wire_u64(&b, s->due);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    kluis_sha256_of(b.data, b.len, sum);
    kluis_wire_field(&b, sum, 32);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    memset(out, 0, TRAIL_HEAD);
    memcpy(out, b.data, b.len);
    return KLUIS_OK;
}

bool trail_segment_read(const uint8_t *p, struct trail_segment *out)
{
    uint8_t same[TRAIL_HEAD];
    struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ p, TRAIL_HEAD });
    *out = (struct trail_segment){ 0 };
    (void)kluis_wire_is(&w, SEGMENT_LABEL);
    out->number = kluis_wire_get_u64(&w);
    out->first = kluis_wire_get_u64(&w);
    (void)kluis_wire_fixed(&w, out->before, 32);
    out->due = kluis_wire_get_u64(&w);
    return !w.bad && trail_segment_write(out, same, NULL) == KLUIS_OK && memcmp(same, p, TRAIL_HEAD) == 0;
}

void trail_name(char out[TRAIL_NAME], uint64_t number) { (void)snprintf(out, TRAIL_NAME, "%06u.log", (unsigned)(number % (TRAIL_NUMBER_MAX + 1))); }

kluis_status trail_count(const char *dir, uint64_t *out, struct kluis_err *err)
{
    *out = 0;
    DIR *d = opendir(dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot list '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) {
        size_t digits = strspn(name, "0123456789");
        uint64_t n = digits == 6 && strcmp(name + 6, ".log") == 0 ? strtoull(name, NULL, 10) : 0;
        if (n > *out) { *out = n; }
    }
    (void)closedir(d); /* only read */
    return rc;
}

kluis_status trail_segment_load(const char *dir, uint64_t number, struct kluis_buf *out, struct kluis_err *err)
{
    char name[TRAIL_NAME], path[KLUIS_PATH_MAX];
    trail_name(name, number);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    kluis_buf_clear(out);
    return kluis_read_file(path, TRAIL_SEGMENT, out, err);
}

/* ---- entries ---- */

/* fields: an entry's wire fields, the label first (label_len bytes of it). */
static kluis_status hash_of(const uint8_t *fields, size_t n, size_t label_len, const uint8_t before[32], uint8_t out[32], struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, TRAIL_ENTRY_MAX + 64);
    kluis_buf_add(&b, fields, label_len);
    kluis_wire_field(&b, before, 32);
    kluis_buf_add(&b, fields + label_len, n - label_len);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    kluis_sha256_of(b.data, b.len, out);
    return KLUIS_OK;
}

kluis_status trail_frame_write(struct trail_entry *e, const uint8_t before[32], struct kluis_buf *out, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, TRAIL_ENTRY_MAX);
    kluis_wire_label(&b, e->moved ? ENTRY_V1 : ENTRY_V2);
    size_t label = b.len;
    kluis_wire_u64(&b, e->seq);
    if (!e->moved) { kluis_wire_u64(&b, e->due); }
    kluis_wire_u64(&b, (uint64_t)e->time_us);
    kluis_wire_str(&b, e->actor);
    kluis_wire_str(&b, e->action);
    kluis_wire_str(&b, e->purpose);
    kluis_wire_str(&b, e->detail);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    if (!e->moved) { KLUIS_TRY(hash_of(b.data, b.len, label, before, e->hash, err)); }
    kluis_wire_field(out, b.data, b.len);
    kluis_buf_add(out, e->hash, 32);
    return kluis_buf_ok(out, err);
}

enum trail_frame trail_frame_read(const uint8_t *p, size_t size, size_t at, const uint8_t before[32], struct trail_entry *e, size_t *next)
{
    uint8_t hash[32];
    *e = (struct trail_entry){ 0 };
    size_t n = size - at < 4 ? 0 : get32(p + at);
    if (n == 0) { return TRAIL_END; }
    if (n < FRAME_MIN || n > TRAIL_ENTRY_MAX || n + 32 > size - at - 4) { return TRAIL_GARBAGE; }
    const uint8_t *fields = p + at + 4;
    struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ fields, n });
    struct kluis_bytes label = kluis_wire_get(&w, 64);
    struct kluis_str name = { (const char *)label.ptr, label.len };
    e->moved = !w.bad && kluis_str_is(name, ENTRY_V1);
    if (w.bad || (!e->moved && !kluis_str_is(name, ENTRY_V2))) { return TRAIL_GARBAGE; }
    size_t label_len = w.at;
    e->seq = kluis_wire_get_u64(&w);
    if (!e->moved) { e->due = kluis_wire_get_u64(&w); }
    e->time_us = (int64_t)kluis_wire_get_u64(&w);
    struct kluis_str *const parts[] = { &e->actor, &e->action, &e->purpose, &e->detail };
    for (size_t i = 0; i < 4; i++) {
        struct kluis_bytes f = kluis_wire_get(&w, TRAIL_ENTRY_MAX);
        *parts[i] = (struct kluis_str){ (const char *)f.ptr, f.len };
    }
    if (kluis_wire_end(&w, "an audit entry", NULL) != KLUIS_OK) { return TRAIL_GARBAGE; }
    memcpy(e->hash, fields + n, 32);
    *next = at + 4 + n + 32;
    return hash_of(fields, n, label_len, before, hash, NULL) == KLUIS_OK && memcmp(hash, e->hash, 32) == 0 ? TRAIL_GOOD : TRAIL_CHANGED;
}

size_t trail_used(const uint8_t *p, size_t from, size_t size)
{
    while (size > from && p[size - 1] == 0) { size--; }
    return size;
}
