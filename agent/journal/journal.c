/* agent/journal/journal.c - two readings of a source and the comparison between them.  See journal.h. */
#include "agent/journal/copy.h"
#include "agent/journal/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { OCCURRENCES_MAX = 1 << 20, KEY = 16 };

struct occurrence {
    uint8_t key[KEY];
    uint64_t first, n;
};

struct reading {
    struct home *h;
    const char *kind;
    const struct journal_out *out;
    const struct source_sink *skipped;
    struct journal_counts *counts;
    struct occurrence *occ;
    size_t n_occ, cap_occ;
    int spool;      /* fingerprints of the first reading: a file without a name */
    uint8_t *block; /* ALIGN_WINDOW entries on the wire                          */
    uint64_t written, in_block;
    struct kluis_arena *arena; /* holds the header of the conversation being read           */
    struct kluis_header header;
    /* second reading */
    size_t at_occ;
    uint64_t at; /* records of this occurrence read so far                    */
    int64_t conversation;
    struct align_span *spans;
    uint32_t *tags;
    struct aligner *aligner;
    struct align_entry *window;
    bool *known;
    size_t n_window;
    bool active, abandoned;
};

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to read the journal"); }

static kluis_status conversation_key(const struct reading *r, const struct kluis_header *h, uint8_t out[KEY], struct kluis_err *err)
{
    uint8_t mac[32];
    KLUIS_AUTO_BUF(b, 1 << 16);
    kluis_wire_label(&b, "chatkluis-agent-conversation-v1");
    kluis_wire_str(&b, kluis_str_of(r->kind));
    kluis_wire_str(&b, h->platform);
    kluis_wire_str(&b, h->conversation_id);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    KLUIS_TRY(kluis_hmac_sha256(r->h->secret + HOME_KEY, HOME_KEY, b.data, b.len, mac, err));
    memcpy(out, mac, KEY);
    return KLUIS_OK;
}

/* ---- first reading: judge and fingerprint ---- */

static kluis_status flush_block(struct reading *r, struct kluis_err *err)
{
    size_t n = (size_t)r->in_block * ALIGN_ENTRY_WIRE;
    KLUIS_TRY(n == 0 ? KLUIS_OK : kluis_write_all(r->spool, r->block, n, "the agent's temporary file", err));
    r->written += r->in_block;
    r->in_block = 0;
    return KLUIS_OK;
}

static kluis_status first_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct reading *r = ctx;
    if (r->n_occ == r->cap_occ) {
        size_t cap = r->cap_occ == 0 ? 64 : 2 * r->cap_occ;
        if (cap > OCCURRENCES_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the source holds more than %d conversations: split it", OCCURRENCES_MAX);
        }
        struct occurrence *p = kluis_realloc(r->occ, cap * sizeof *p);
        if (p == NULL) { return no_memory(err); }
        r->occ = p;
        r->cap_occ = cap;
    }
    struct occurrence *o = &r->occ[r->n_occ++];
    *o = (struct occurrence){ .first = r->written + r->in_block };
    kluis_arena_clear(r->arena);
    KLUIS_TRY(copy_header(r->arena, h, &r->header, err));
    return conversation_key(r, h, o->key, err);
}

static kluis_status first_record(void *ctx, const struct kluis_record *rec, struct kluis_bytes raw, struct kluis_err *err)
{
    struct reading *r = ctx;
    struct align_entry e;
    (void)raw;
    if (r->n_occ == 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a record came before its conversation"); }
    journal_entry(r->h, &r->header, rec, &e);
    align_put(r->block + r->in_block * ALIGN_ENTRY_WIRE, &e);
    r->occ[r->n_occ - 1].n++;
    r->counts->records++;
    return ++r->in_block == ALIGN_WINDOW ? flush_block(r, err) : KLUIS_OK;
}

static kluis_status first_end(void *ctx, struct kluis_err *err)
{
    struct reading *r = ctx;
    (void)err;
    r->counts->conversations++;
    return KLUIS_OK;
}

static kluis_status first_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct reading *r = ctx;
    return r->skipped == NULL ? KLUIS_OK : r->skipped->skipped(r->skipped->ctx, s, err);
}

/* ---- what is stored ---- */

static kluis_status load_chunk(void *ctx, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err)
{
    struct home *h = ctx;
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT entries FROM seen WHERE id=?1", "i", id));
    kluis_status rc = kluis_db_step(h->db, st, err);
    struct kluis_bytes b = rc == KLUIS_OK ? kluis_db_blob(st, 0) : (struct kluis_bytes){ NULL, 0 };
    if (b.len != (size_t)n * ALIGN_ENTRY_WIRE) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the journal in agent.db is damaged: restore the home folder");
    }
    for (uint32_t i = 0; rc == KLUIS_OK && i < n; i++) { align_get(b.ptr + (size_t)i * ALIGN_ENTRY_WIRE, &out[i]); }
    kluis_db_done(st);
    return rc;
}

static kluis_status find_conversation(struct reading *r, const uint8_t key[KEY], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    struct kluis_bytes k = { key, KEY };
    KLUIS_TRY(kluis_db_run(r->h->db, NULL, err, "INSERT INTO conversation(key) VALUES(?1) ON CONFLICT DO NOTHING", "b", k));
    kluis_durable_step("agent.conversation.known");
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT id FROM conversation WHERE key=?1", "b", k));
    kluis_status rc = kluis_db_step(r->h->db, st, err);
    if (rc == KLUIS_OK) { r->conversation = kluis_db_int(st, 0); }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_BUG, "the conversation was not stored") : rc;
}

static kluis_status count_of(struct reading *r, struct sqlite3_stmt *st, size_t *n, struct kluis_err *err)
{
    kluis_status rc = kluis_db_step(r->h->db, st, err);
    *n = rc == KLUIS_OK ? (size_t)kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    return rc;
}

static kluis_status load_spans(struct reading *r, size_t *n_spans, size_t *n_tags, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t spans = 0, tags = 0;
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT count(*) FROM seen WHERE conversation=?1", "i", r->conversation));
    KLUIS_TRY(count_of(r, st, &spans, err));
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT count(*) FROM author WHERE conversation=?1", "i", r->conversation));
    KLUIS_TRY(count_of(r, st, &tags, err));
    r->spans = kluis_calloc(spans + 1, sizeof *r->spans);
    r->tags = kluis_calloc(tags + 1, sizeof *r->tags);
    if (r->spans == NULL || r->tags == NULL) { return no_memory(err); }
    kluis_status rc =
        kluis_db_query(r->h->db, &st, err, "SELECT id,first,last,n,precision FROM seen WHERE conversation=?1 ORDER BY id", "i", r->conversation);
    *n_spans = 0;
    while (rc == KLUIS_OK && *n_spans < spans && (rc = kluis_db_step(r->h->db, st, err)) == KLUIS_OK) {
        int64_t n = kluis_db_int(st, 3);
        if (n < 0 || n > ALIGN_CHUNK_MAX) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the journal in agent.db is damaged: restore the home folder");
            break;
        }
        r->spans[(*n_spans)++] =
            (struct align_span){ kluis_db_int(st, 0), kluis_db_int(st, 1), kluis_db_int(st, 2), (uint32_t)n, (int)kluis_db_int(st, 4) };
    }
    kluis_db_done(st);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    rc = kluis_db_query(r->h->db, &st, err, "SELECT tag FROM author WHERE conversation=?1 ORDER BY tag", "i", r->conversation);
    *n_tags = 0;
    while (rc == KLUIS_OK && *n_tags < tags && (rc = kluis_db_step(r->h->db, st, err)) == KLUIS_OK) {
        r->tags[(*n_tags)++] = (uint32_t)kluis_db_int(st, 0);
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- second reading: hand over what is new ---- */

static kluis_status read_window(struct reading *r, uint64_t from, struct kluis_err *err)
{
    const struct occurrence *o = &r->occ[r->at_occ];
    uint64_t left = o->n - from;
    r->n_window = left < ALIGN_WINDOW ? (size_t)left : ALIGN_WINDOW;
    KLUIS_TRY(
        kluis_pread_all(r->spool, r->block, r->n_window * ALIGN_ENTRY_WIRE, (o->first + from) * ALIGN_ENTRY_WIRE, "the agent's temporary file", err));
    for (size_t i = 0; i < r->n_window; i++) { align_get(r->block + i * ALIGN_ENTRY_WIRE, &r->window[i]); }
    return KLUIS_OK;
}

static void forget_conversation(struct reading *r)
{
    align_free(r->aligner);
    r->aligner = NULL;
    kluis_free(r->spans);
    kluis_free(r->tags);
    r->spans = NULL;
    r->tags = NULL;
}

/* Authors that earlier readings did not have are looked at over the whole conversation first: a rename shows only there. */
static kluis_status learn_authors(struct reading *r, struct kluis_err *err)
{
    const struct occurrence *o = &r->occ[r->at_occ];
    bool any = false;
    for (uint64_t at = 0; at < o->n; at += r->n_window) {
        KLUIS_TRY(read_window(r, at, err));
        for (size_t i = 0; !any && i < r->n_window; i++) { any = !r->window[i].has_id && align_is_new_author(r->aligner, r->window[i].tag); }
        if (any) { KLUIS_TRY(align_learn(r->aligner, r->window, r->n_window, err)); }
    }
    align_learned(r->aligner);
    return KLUIS_OK;
}

/* The file is another than a moment ago: what was handed over stays, the rest waits for the next run. */
static kluis_status abandon(struct reading *r)
{
    if (!r->abandoned) { r->counts->changed++; }
    r->abandoned = true;
    return KLUIS_OK;
}

static kluis_status second_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct reading *r = ctx;
    uint8_t key[KEY];
    size_t n_spans = 0, n_tags = 0;
    r->abandoned = r->active = false;
    r->at = 0;
    r->n_window = 0;
    kluis_arena_clear(r->arena);
    KLUIS_TRY(copy_header(r->arena, h, &r->header, err));
    KLUIS_TRY(conversation_key(r, h, key, err));
    if (r->at_occ >= r->n_occ || memcmp(r->occ[r->at_occ].key, key, KEY) != 0) { return abandon(r); }
    if (r->occ[r->at_occ].n == 0) { return KLUIS_OK; }
    KLUIS_TRY(find_conversation(r, key, err));
    KLUIS_TRY(load_spans(r, &n_spans, &n_tags, err));
    if (n_spans > 0) {
        struct align_store store = { r->h, r->spans, n_spans, load_chunk, r->tags, n_tags };
        KLUIS_TRY(align_new(&r->aligner, &store, (int)h->precision, h->zone == KLUIS_ZONE_ASSUMED, err));
        KLUIS_TRY(learn_authors(r, err));
    }
    return KLUIS_OK;
}

static kluis_status second_record(void *ctx, const struct kluis_record *rec, struct kluis_bytes raw, struct kluis_err *err)
{
    struct reading *r = ctx;
    struct align_entry e;
    if (r->abandoned) { return KLUIS_OK; }
    if (r->at >= r->occ[r->at_occ].n) { return abandon(r); }
    size_t in = (size_t)(r->at % ALIGN_WINDOW);
    if (in == 0) {
        KLUIS_TRY(read_window(r, r->at, err));
        memset(r->known, 0, ALIGN_WINDOW * sizeof *r->known);
        if (r->aligner != NULL) { KLUIS_TRY(align_match(r->aligner, r->window, r->n_window, r->known, err)); }
    }
    journal_entry(r->h, &r->header, rec, &e);
    const struct align_entry *w = &r->window[in];
    if (e.fp != w->fp || e.t != w->t || e.tag != w->tag || e.level != w->level) { return abandon(r); }
    r->at++;
    if (r->known[in]) { return KLUIS_OK; }
    if (!r->active) {
        KLUIS_TRY(r->out->begin(r->out->ctx, &r->header, r->conversation, err));
        r->active = true;
    }
    r->counts->fresh++;
    /* Remembered under the author's first name, so that a later export under either is recognised. */
    if (!e.has_id && r->aligner != NULL) { e.tag = align_author(r->aligner, e.tag); }
    return r->out->record(r->out->ctx, rec, raw, &e, err);
}

static kluis_status second_end(void *ctx, struct kluis_err *err)
{
    struct reading *r = ctx;
    kluis_status rc = r->active ? r->out->end(r->out->ctx, err) : KLUIS_OK;
    r->active = false;
    r->at_occ++;
    forget_conversation(r);
    return rc;
}

static kluis_status second_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    (void)ctx;
    (void)s;
    (void)err;
    return KLUIS_OK; /* told at the first reading */
}

kluis_status journal_read(struct home *h, const char *kind, const struct journal_reader *reader, const struct journal_out *out,
                          const struct source_sink *skipped, struct journal_counts *counts, struct kluis_err *err)
{
    struct reading r = { .h = h, .kind = kind, .out = out, .skipped = skipped, .counts = counts, .spool = -1 };
    struct source_sink first = { &r, first_begin, first_record, first_end, first_skipped };
    struct source_sink second = { &r, second_begin, second_record, second_end, second_skipped };
    kluis_status rc = KLUIS_OK;
    r.block = kluis_malloc((size_t)ALIGN_WINDOW * ALIGN_ENTRY_WIRE);
    r.window = kluis_calloc(ALIGN_WINDOW, sizeof *r.window);
    r.known = kluis_calloc(ALIGN_WINDOW, sizeof *r.known);
    r.arena = kluis_arena_new(COPY_HEADER_MAX);
    if (r.block == NULL || r.window == NULL || r.known == NULL || r.arena == NULL) { rc = no_memory(err); }
    if (rc == KLUIS_OK) {
        r.spool = kluis_io_open(h->dir, O_RDWR | O_TMPFILE, 0600);
        if (r.spool < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a temporary file in '%s'", h->dir); }
    }
    if (rc == KLUIS_OK) { rc = reader->read(reader->ctx, &first, err); }
    if (rc == KLUIS_OK) { rc = flush_block(&r, err); }
    if (rc == KLUIS_OK && counts->records > 0) { rc = reader->read(reader->ctx, &second, err); }
    forget_conversation(&r);
    kluis_close_quiet(&r.spool);
    kluis_arena_free(r.arena);
    kluis_free(r.occ);
    kluis_free(r.block);
    kluis_free(r.window);
    kluis_free(r.known);
    return rc;
}

/* ---- what a package took ---- */

kluis_status journal_take(struct home *h, int64_t conversation, const uint8_t package[32], const struct align_entry *entries, size_t n,
                          enum kluis_precision precision, struct kluis_err *err)
{
    if (n > ALIGN_CHUNK_MAX) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a slice of %zu records", n); }
    if (n == 0) { return kluis_db_run(h->db, NULL, err, "UPDATE conversation SET parts=parts+1 WHERE id=?1", "i", conversation); }
    KLUIS_AUTO_BUF(b, (size_t)ALIGN_CHUNK_MAX * ALIGN_ENTRY_WIRE);
    uint8_t *p = kluis_buf_reserve(&b, n * ALIGN_ENTRY_WIRE);
    int64_t first = INT64_MAX, last = INT64_MIN;
    uint32_t tag = 0;
    bool any = false;
    if (p == NULL) { return kluis_buf_ok(&b, err); }
    for (size_t i = 0; i < n; i++) {
        align_put(p + i * ALIGN_ENTRY_WIRE, &entries[i]);
        if (entries[i].t < first) { first = entries[i].t; }
        if (entries[i].t > last) { last = entries[i].t; }
        if (entries[i].has_id || (any && entries[i].tag == tag)) { continue; }
        any = true;
        tag = entries[i].tag;
        KLUIS_TRY(kluis_db_run(h->db, NULL, err, "INSERT INTO author(conversation,tag) VALUES(?1,?2) ON CONFLICT DO NOTHING", "ii", conversation,
                               (int64_t)tag));
    }
    b.len = n * ALIGN_ENTRY_WIRE;
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "INSERT INTO seen(conversation,package,first,last,precision,n,entries) VALUES(?1,?2,?3,?4,?5,?6,?7)",
                           "ihiiiib", conversation, package, first, last, (int64_t)precision, (int64_t)n, kluis_buf_bytes(&b)));
    return kluis_db_run(h->db, NULL, err, "UPDATE conversation SET parts=parts+1 WHERE id=?1", "i", conversation);
}

kluis_status journal_part(struct home *h, int64_t conversation, unsigned *part, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT parts FROM conversation WHERE id=?1", "i", conversation));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK) { *part = (unsigned)kluis_db_int(st, 0) + 1; }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_BUG, "no such conversation in the journal") : rc;
}
