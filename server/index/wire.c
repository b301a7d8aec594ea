/* server/index/wire.c - one package on its way from opener to index: wire frames, read as hostile.  See index.h.
 *
 * chatkluis-index-package-v2, then fields in the order below.  A mask says which strings are present: absent and empty
 * differ.  What the keeper knows better than the opener (id, sequence, official, device, received, verdict) it overwrites.
 */
#include "server/index/internal.h"

#define LABEL "chatkluis-index-package-v2"

enum { ROW_HEAD = 26, ROW_STRINGS = 9, PACKAGE_STRINGS = 7, PARTY_STRINGS = 3, NAME_MAX_BYTES = 64 << 10 };

static void put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) { p[i] = (uint8_t)(v >> (8 * (n - 1 - i))); }
}

static uint64_t get(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) { v = v << 8 | p[i]; }
    return v;
}

static void put_strings(struct kluis_buf *out, const struct kluis_str *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i].ptr != NULL) { kluis_wire_str(out, s[i]); }
    }
}

static unsigned mask_of(const struct kluis_str *s, size_t n)
{
    unsigned mask = 0;
    for (size_t i = 0; i < n; i++) { mask |= s[i].ptr == NULL ? 0U : 1U << i; }
    return mask;
}

kluis_status index_package_write(const struct index_package *p, struct kluis_buf *out, struct kluis_err *err)
{
    size_t before = out->len;
    kluis_wire_label(out, LABEL);
    kluis_wire_field(out, p->id, 32);
    kluis_wire_u64(out, p->sequence);
    kluis_wire_u32(out, (uint32_t)p->conversation_type);
    kluis_wire_u32(out, (uint32_t)p->precision);
    kluis_wire_u64(out, (uint64_t)p->received_us);
    kluis_wire_u32(out, p->self);
    const struct kluis_str s[PACKAGE_STRINGS] = { p->official,          p->device,     p->platform, p->conversation_id,
                                                  p->conversation_name, p->provenance, p->verdict };
    kluis_wire_u32(out, mask_of(s, PACKAGE_STRINGS));
    put_strings(out, s, PACKAGE_STRINGS);
    kluis_wire_u32(out, p->n_parties);
    for (uint32_t i = 0; i < p->n_parties; i++) {
        const struct kluis_str t[PARTY_STRINGS] = { p->parties[i].id, p->parties[i].name, p->parties[i].number };
        kluis_wire_u32(out, mask_of(t, PARTY_STRINGS));
        put_strings(out, t, PARTY_STRINGS);
    }
    kluis_wire_u32(out, (uint32_t)p->n_rows);
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct index_row *r = &p->rows[i];
        const struct kluis_str t[ROW_STRINGS] = { r->id, r->text, r->target, r->value, r->event, r->quote, r->attachments, r->loss, r->options };
        uint8_t head[ROW_HEAD];
        put(head, r->ordinal, 8);
        put(head + 8, (uint64_t)r->kind, 1);
        put(head + 9, r->author, 4);
        put(head + 13, (uint64_t)r->sent_us, 8);
        put(head + 21, (uint16_t)r->offset_min, 2);
        put(head + 23, r->zone_assumed, 1);
        put(head + 24, mask_of(t, ROW_STRINGS), 2);
        kluis_wire_field(out, head, ROW_HEAD);
        put_strings(out, t, ROW_STRINGS);
    }
    kluis_status rc = kluis_buf_ok(out, err);
    if (rc != KLUIS_OK) { out->len = before; }
    return rc;
}

/* Present strings are UTF-8 within `max` bytes; anything else makes the message bad. */
static void get_strings(struct kluis_wire *w, unsigned mask, struct kluis_str *const *s, const size_t *max, size_t n)
{
    if (mask >> n != 0) { w->bad = true; }
    for (size_t i = 0; i < n; i++) {
        *s[i] = (struct kluis_str){ NULL, 0 };
        if ((mask >> i & 1) == 0) { continue; }
        struct kluis_bytes f = kluis_wire_get(w, max[i]);
        if (w->bad || kluis_utf8_valid((const char *)f.ptr, f.len) != f.len) {
            w->bad = true;
            return;
        }
        *s[i] = (struct kluis_str){ (const char *)f.ptr, f.len };
    }
}

bool index_time_ok(int64_t us)
{
    /* years 1 to 9999 */
    return us == KLUIS_TIME_ABSENT || (us >= INT64_C(-62135596800000000) && us < INT64_C(253402300800000000));
}

static bool read_row(struct kluis_wire *w, const struct index_package *p, uint64_t last, struct index_row *r)
{
    uint8_t head[ROW_HEAD];
    if (!kluis_wire_fixed(w, head, ROW_HEAD)) { return false; }
    r->ordinal = get(head, 8);
    r->kind = (enum kluis_kind)head[8];
    r->author = (uint32_t)get(head + 9, 4);
    r->sent_us = (int64_t)get(head + 13, 8);
    r->offset_min = (int16_t)get(head + 21, 2);
    r->zone_assumed = head[23];
    static const size_t max[ROW_STRINGS] = { NAME_MAX_BYTES, KLUIS_TEXT_MAX, NAME_MAX_BYTES, NAME_MAX_BYTES, NAME_MAX_BYTES,
                                             KLUIS_TEXT_MAX, KLUIS_TEXT_MAX, NAME_MAX_BYTES, KLUIS_TEXT_MAX };
    struct kluis_str *const s[ROW_STRINGS] = {
        &r->id, &r->text, &r->target, &r->value, &r->event, &r->quote, &r->attachments, &r->loss, &r->options
    };
    get_strings(w, (unsigned)get(head + 24, 2), s, max, ROW_STRINGS);
    return !w->bad && r->ordinal > last && r->ordinal <= INDEX_ORDINAL_MAX && head[8] < KLUIS_KINDS &&
           (r->author == KLUIS_NO_PARTY || r->author < p->n_parties) && index_time_ok(r->sent_us) && r->offset_min > -1440 && r->offset_min < 1440 &&
           r->zone_assumed <= 1;
}

kluis_status index_package_read(struct kluis_bytes data, struct kluis_arena *arena, struct index_package *out, struct kluis_err *err)
{
    *out = (struct index_package){ 0 };
    /* One copy, so that the result lives as long as the arena whatever becomes of the caller's buffer. */
    uint8_t *copy = kluis_arena_alloc(arena, data.len);
    if (copy == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    if (data.len > 0) { memcpy(copy, data.ptr, data.len); }
    struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ copy, data.len });
    struct index_package p = { 0 };
    (void)kluis_wire_is(&w, LABEL);
    (void)kluis_wire_fixed(&w, p.id, 32);
    p.sequence = kluis_wire_get_u64(&w);
    uint32_t type = kluis_wire_get_u32(&w), precision = kluis_wire_get_u32(&w);
    p.conversation_type = (enum kluis_conversation_type)type;
    p.precision = (enum kluis_precision)precision;
    p.received_us = (int64_t)kluis_wire_get_u64(&w);
    p.self = kluis_wire_get_u32(&w);
    static const size_t max[PACKAGE_STRINGS] = { NAME_MAX_BYTES, NAME_MAX_BYTES, NAME_MAX_BYTES, NAME_MAX_BYTES,
                                                 NAME_MAX_BYTES, NAME_MAX_BYTES, NAME_MAX_BYTES };
    struct kluis_str *const s[PACKAGE_STRINGS] = { &p.official,          &p.device,     &p.platform, &p.conversation_id,
                                                   &p.conversation_name, &p.provenance, &p.verdict };
    get_strings(&w, kluis_wire_get_u32(&w), s, max, PACKAGE_STRINGS);
    p.n_parties = kluis_wire_get_u32(&w);
    bool verdict_ok = p.verdict.ptr == NULL || kluis_str_is(p.verdict, "valid") || kluis_str_is(p.verdict, "indeterminate");
    if (w.bad || type > KLUIS_UNKNOWN_TYPE || precision > KLUIS_PRECISION_MILLISECOND || !index_time_ok(p.received_us) ||
        p.n_parties > KLUIS_PARTIES_MAX || (p.self != KLUIS_NO_PARTY && p.self >= p.n_parties) || !verdict_ok || p.platform.ptr == NULL ||
        p.platform.len == 0 || p.conversation_id.ptr == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the opener's header of a package is malformed");
    }
    struct kluis_party *parties = kluis_arena_alloc(arena, (p.n_parties + 1) * sizeof *parties);
    if (parties == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    static const size_t party_max[PARTY_STRINGS] = { NAME_MAX_BYTES, NAME_MAX_BYTES, NAME_MAX_BYTES };
    for (uint32_t i = 0; i < p.n_parties && !w.bad; i++) {
        struct kluis_str *const t[PARTY_STRINGS] = { &parties[i].id, &parties[i].name, &parties[i].number };
        get_strings(&w, kluis_wire_get_u32(&w), t, party_max, PARTY_STRINGS);
    }
    p.parties = parties;
    p.n_rows = kluis_wire_get_u32(&w);
    /* The count must be payable from the bytes at hand before memory is asked for it. */
    if (w.bad || p.n_rows > INDEX_ROWS_MAX || p.n_rows * (4 + ROW_HEAD) > data.len - w.at) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the opener's list of a package is malformed");
    }
    struct index_row *rows = kluis_arena_alloc(arena, (p.n_rows + 1) * sizeof *rows);
    if (rows == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    uint64_t last = 0;
    for (size_t i = 0; i < p.n_rows; i++) {
        if (!read_row(&w, &p, last, &rows[i])) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the opener's record %zu of a package is malformed", i + 1); }
        last = rows[i].ordinal;
    }
    p.rows = rows;
    KLUIS_TRY(kluis_wire_end(&w, "the opener's message", err));
    *out = p;
    return KLUIS_OK;
}
