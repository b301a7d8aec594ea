/* server/ingest/opener_child.c - runs behind the walls: the only code that parses package bytes.
 *
 * No database, no network, no files, no key but one content key.  Everything here must work under the system-call list of
 * zygote.c; whatever needs to be loaded is loaded by children_warm before. */
#include "server/ingest/children.h"

#include "kluis/envelope.h"
#include "server/index/index.h"

struct collecting {
    struct kluis_arena *arena;
    struct index_package p;
    struct index_row *rows;
    size_t cap;
    bool full;
};

static struct kluis_str keep(struct collecting *c, struct kluis_str s)
{
    struct kluis_str k = kluis_arena_str(c->arena, s);
    c->full = c->full || (s.ptr != NULL && k.ptr == NULL);
    return k;
}

static kluis_status room_left(const struct collecting *c, struct kluis_err *err)
{
    return c->full ? KLUIS_FAIL(err, KLUIS_E_LIMIT, "more text than one package may hold (%d MiB)", OPENER_TEXT_MAX >> 20) : KLUIS_OK;
}

/* "whatsapp-text; WhatsApp 2.24; Android 14; Pixel; chatkluis 0.1.0": what is there, in this order. */
static struct kluis_str provenance_line(struct collecting *c, const struct kluis_provenance *p)
{
    KLUIS_AUTO_BUF(b, 4096);
    const struct kluis_str part[] = { p->source, p->app, p->app_version, p->os, p->device, p->reader };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (part[i].ptr != NULL && part[i].len > 0) {
            if (b.len > 0) { kluis_buf_cstr(&b, i == 2 && p->app.ptr != NULL ? " " : "; "); }
            kluis_buf_str(&b, part[i]);
        }
    }
    return keep(c, (struct kluis_str){ (const char *)b.data, b.len });
}

static kluis_status on_header(void *ctx, const struct kluis_header *h, struct kluis_str line, struct kluis_err *err)
{
    struct collecting *c = ctx;
    (void)line;
    c->p.platform = keep(c, h->platform);
    c->p.conversation_id = keep(c, h->conversation_id);
    c->p.conversation_name = keep(c, h->conversation_name);
    c->p.conversation_type = h->type;
    c->p.precision = h->precision;
    c->p.provenance = provenance_line(c, &h->provenance);
    c->p.self = h->self;
    c->p.n_parties = h->n_parties;
    struct kluis_party *parties = kluis_arena_alloc(c->arena, (size_t)h->n_parties * sizeof *parties);
    c->full = c->full || parties == NULL;
    for (uint32_t i = 0; parties != NULL && i < h->n_parties; i++) {
        parties[i].id = keep(c, h->parties[i].id);
        parties[i].name = keep(c, h->parties[i].name);
        parties[i].number = keep(c, h->parties[i].number);
    }
    c->p.parties = parties;
    return room_left(c, err);
}

static struct kluis_str attachment_names(struct collecting *c, const struct kluis_record *r)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (i > 0) { kluis_buf_byte(&b, '\n'); }
        kluis_buf_str(&b, r->attachments[i].name);
    }
    return r->n_attachments == 0 ? (struct kluis_str){ NULL, 0 } : keep(c, (struct kluis_str){ b.data == NULL ? "" : (const char *)b.data, b.len });
}

static struct kluis_str loss_words(struct collecting *c, const struct kluis_record *r)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    for (size_t i = 0; i < r->n_loss; i++) {
        if (i > 0) { kluis_buf_byte(&b, ' '); }
        kluis_buf_str(&b, r->loss[i]);
    }
    return r->n_loss == 0 ? (struct kluis_str){ NULL, 0 } : keep(c, (struct kluis_str){ b.data == NULL ? "" : (const char *)b.data, b.len });
}

static struct kluis_str option_lines(struct collecting *c, const struct kluis_record *r)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    for (size_t i = 0; i < r->n_options; i++) {
        if (i > 0) { kluis_buf_byte(&b, '\n'); }
        kluis_buf_str(&b, r->options[i]);
    }
    return r->n_options == 0 ? (struct kluis_str){ NULL, 0 } : keep(c, (struct kluis_str){ b.data == NULL ? "" : (const char *)b.data, b.len });
}

/* Most packages hold far fewer records than they may: memory that is never touched costs nothing, memory that is cleared does. */
static bool row_fits(struct collecting *c)
{
    enum { FIRST = 256 };
    if (c->p.n_rows < c->cap) { return true; }
    size_t cap = c->cap == 0 ? FIRST : c->cap * 2 < KLUIS_PACKAGE_RECORDS_MAX ? c->cap * 2 : KLUIS_PACKAGE_RECORDS_MAX;
    struct index_row *rows = kluis_arena_alloc(c->arena, cap * sizeof *rows);
    if (rows == NULL) { return false; }
    if (c->p.n_rows > 0) { memcpy(rows, c->rows, c->p.n_rows * sizeof *rows); }
    c->p.rows = c->rows = rows;
    c->cap = cap;
    return true;
}

static kluis_status on_record(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, struct kluis_err *err)
{
    struct collecting *c = ctx;
    (void)line;
    if (c->p.n_rows >= KLUIS_PACKAGE_RECORDS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d records", KLUIS_PACKAGE_RECORDS_MAX); }
    if (!row_fits(c)) {
        c->full = true;
        return room_left(c, err);
    }
    struct index_row *row = &c->rows[c->p.n_rows++];
    row->ordinal = ordinal;
    row->kind = r->kind;
    row->id = keep(c, r->id);
    row->author = r->author;
    row->sent_us = r->sent.us;
    row->offset_min = r->sent.offset_min;
    row->zone_assumed = r->zone == KLUIS_ZONE_ASSUMED;
    row->text = keep(c, r->text);
    row->target = keep(c, r->target);
    row->value = keep(c, r->value);
    row->event = keep(c, r->event);
    row->quote = keep(c, r->quote);
    row->attachments = attachment_names(c, r);
    row->loss = loss_words(c, r);
    row->options = option_lines(c, r);
    return room_left(c, err);
}

static kluis_status open_package(int cipher, const uint8_t key[32], struct collecting *c, struct kluis_package_facts *f, struct kluis_err *err)
{
    struct kluis_input_fd from = { .fd = cipher, .what = "ciphertext" };
    const struct kluis_input in = kluis_input_from_fd(&from);
    const struct kluis_package_sink sink = { .ctx = c, .header = on_header, .record = on_record };
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    KLUIS_TRY(kluis_content_open(&r, key, &in, err));
    const struct kluis_input plain = kluis_content_input(r);
    KLUIS_TRY(kluis_package_read(&plain, &sink, f, err));
    if (f->size != kluis_content_length(r)) {
        f->failed = KLUIS_LAYER_CONTAINER;
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the package is shorter than its content says");
    }
    return KLUIS_OK;
}

void opener_child(int cipher, int request, int result)
{
    struct kluis_err err = { 0 };
    struct kluis_package_facts f;
    struct collecting c;
    KLUIS_AUTO_BUF(asked, 4096);
    KLUIS_AUTO_BUF(out, ZYGOTE_RESULT_MAX);
    KLUIS_AUTO_BUF(index, ZYGOTE_RESULT_MAX - (16 << 20));
    memset(&c, 0, sizeof c);
    kluis_package_facts_init(&f);
    c.arena = kluis_arena_new(OPENER_TEXT_MAX);
    kluis_wire_label(&out, OPENED_LABEL);
    child_say(result, kluis_buf_bytes(&out)); /* from here on silence means that the package did it */
    kluis_buf_clear(&out);
    kluis_status rc = KLUIS_E_BUG;
    if (c.arena == NULL) {
        rc = KLUIS_FAIL(&err, KLUIS_E_NOMEM, "out of memory");
    } else if (!child_hear(request, &asked) || asked.len != 32) {
        rc = KLUIS_FAIL(&err, KLUIS_E_BUG, "the opener was not asked properly");
    } else {
        rc = open_package(cipher, asked.data, &c, &f, &err);
    }
    if (rc == KLUIS_OK) {
        memcpy(c.p.id, f.id, 32);
        c.p.official = c.p.device = KLUIS_STR_LIT("-"); /* the keeper's to give, as sequence, verdict and time are */
        c.p.verdict = KLUIS_STR_LIT("valid");
        c.p.sequence = 1;
        rc = index_package_write(&c.p, &index, &err);
        if (rc != KLUIS_OK) { f.failed = KLUIS_LAYER_RECORDS; }
    }
    kluis_wire_u32(&out, rc == KLUIS_OK ? 0 : 1);
    /* Out of memory is a ceiling reached: the opener's layer, not one of the package's. */
    kluis_wire_u32(&out, rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT ? (uint32_t)f.failed : 99U);
    kluis_wire_str(&out, kluis_str_of(err.msg));
    if (rc == KLUIS_OK) {
        kluis_wire_field(&out, f.id, 32);
        kluis_wire_u64(&out, f.size);
        kluis_wire_field(&out, f.records_root, 32);
        kluis_wire_u64(&out, f.n_records);
        kluis_wire_u64(&out, f.n_attachments);
        kluis_wire_u64(&out, f.content_bytes);
        kluis_wire_u64(&out, f.sequence);
        kluis_wire_field(&out, f.previous, 32);
        kluis_wire_str(&out, kluis_str_of(f.device));
        kluis_wire_u64(&out, (uint64_t)f.first_us);
        kluis_wire_u64(&out, (uint64_t)f.last_us);
        kluis_wire_u64(&out, (uint64_t)f.closed_us);
        kluis_wire_field(&out, f.manifest.data, f.manifest.len);
        kluis_wire_field(&out, f.signature.data, f.signature.len);
        /* The last field is sent from where it lies: a copy would cost as much memory again. */
        const uint8_t length[4] = { (uint8_t)(index.len >> 24), (uint8_t)(index.len >> 16), (uint8_t)(index.len >> 8), (uint8_t)index.len };
        kluis_buf_add(&out, length, sizeof length);
    }
    if (out.status == KLUIS_OK) {
        child_say(result, kluis_buf_bytes(&out));
        if (rc == KLUIS_OK) { child_say(result, kluis_buf_bytes(&index)); }
    }
    kluis_package_facts_clear(&f);
    kluis_arena_free(c.arena);
}
