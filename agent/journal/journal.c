/* agent/journal/journal.c - two readings of a source and the comparison between them.  See journal.h. */
#include "agent/journal/copy.h"
#include "agent/journal/reading.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { HEADER_MAX = 1 << 16 }; /* of a conversation's header without its people */

kluis_status reading_no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to read the journal"); }

static kluis_status conversation_key(const struct reading *r, const struct kluis_header *h, uint8_t out[CONVERSATION_KEY], struct kluis_err *err)
{
    uint8_t mac[32];
    KLUIS_AUTO_BUF(b, 1 << 16);
    kluis_wire_label(&b, "chatkluis-agent-conversation-v1");
    kluis_wire_str(&b, kluis_str_of(r->kind));
    kluis_wire_str(&b, h->platform);
    kluis_wire_str(&b, h->conversation_id);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    KLUIS_TRY(kluis_hmac_sha256(r->h->secret + HOME_KEY, HOME_KEY, b.data, b.len, mac, err));
    memcpy(out, mac, CONVERSATION_KEY);
    return KLUIS_OK;
}

uint64_t journal_settings(const struct home *h, struct kluis_bytes typed)
{
    static const char version[] = KLUIS_VERSION;
    uint64_t both[2] = { journal_siphash(h->secret + HOME_KEY, version, sizeof version),
                         journal_siphash(h->secret + HOME_KEY, typed.ptr, typed.len) };
    return journal_siphash(h->secret + HOME_KEY, both, sizeof both);
}

bool reading_hole(const struct kluis_record *r)
{
    /* These are in the chat itself.  Any other gap says that the source could not be read there. */
    static const char *const told[] = { "auto-delete-timer", "timer-changed", "view-once",         "waiting-for-message",
                                        "undecryptable",     "no-key",        "history-truncated", "history-cleared" };
    if (r->kind != KLUIS_GAP) { return false; }
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        if (kluis_str_is(r->event, told[i])) { return false; }
    }
    return true;
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
        if (p == NULL) { return reading_no_memory(err); }
        r->occ = p;
        r->cap_occ = cap;
    }
    struct occurrence *o = &r->occ[r->n_occ++];
    *o = (struct occurrence){ .first = r->written + r->in_block, .again = (uint32_t)(r->n_occ - 1) };
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
    r->partial = r->partial || reading_hole(rec);
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
    r->partial = r->partial || s->refused;
    return r->skipped == NULL ? KLUIS_OK : r->skipped->skipped(r->skipped->ctx, s, err);
}

static int by_key(const void *x, const void *y, void *ctx)
{
    const struct occurrence *o = ctx;
    uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;
    int d = memcmp(o[i].key, o[j].key, CONVERSATION_KEY);
    return d != 0 ? d : i < j ? -1 : i > j ? 1 : 0;
}

/* Which conversations came by more than once. */
static kluis_status find_again(struct reading *r, struct kluis_err *err)
{
    r->by_key = kluis_calloc(r->n_occ + 1, sizeof *r->by_key);
    if (r->by_key == NULL) { return reading_no_memory(err); }
    for (size_t i = 0; i < r->n_occ; i++) { r->by_key[i] = (uint32_t)i; }
    qsort_r(r->by_key, r->n_occ, sizeof *r->by_key, by_key, r->occ);
    for (size_t i = 1; i < r->n_occ; i++) {
        const struct occurrence *before = &r->occ[r->by_key[i - 1]];
        struct occurrence *o = &r->occ[r->by_key[i]];
        if (memcmp(before->key, o->key, CONVERSATION_KEY) == 0) { o->again = before->again; }
    }
    return KLUIS_OK;
}

/* ---- what is stored ---- */

static kluis_status damaged(struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the journal in agent.db is damaged: restore the home folder");
}

kluis_status reading_chunk(struct home *h, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT entries FROM seen WHERE id=?1", "i", id));
    kluis_status rc = kluis_db_step(h->db, st, err);
    struct kluis_bytes b = rc == KLUIS_OK ? kluis_db_blob(st, 0) : (struct kluis_bytes){ NULL, 0 };
    if (rc == KLUIS_END || (rc == KLUIS_OK && b.len != (size_t)n * ALIGN_ENTRY_WIRE)) { rc = damaged(err); }
    for (uint32_t i = 0; rc == KLUIS_OK && i < n; i++) { align_get(b.ptr + (size_t)i * ALIGN_ENTRY_WIRE, &out[i]); }
    kluis_db_done(st);
    return rc;
}

static kluis_status load_chunk(void *ctx, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err)
{
    return reading_chunk(ctx, id, n, out, err);
}

kluis_status reading_marks(struct home *h, int64_t span, uint32_t n, uint8_t *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    memset(out, 0, n);
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT at,says FROM mark WHERE seen=?1", "i", span));
    kluis_status rc = KLUIS_OK;
    while ((rc = kluis_db_step(h->db, st, err)) == KLUIS_OK) {
        int64_t at = kluis_db_int(st, 0);
        if (at >= 0 && at < n) { out[at] |= (uint8_t)kluis_db_int(st, 1); }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status reading_name(struct home *h, int64_t span, uint32_t at, uint8_t package[32], char id[KLUIS_DERIVED_ID], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT package FROM seen WHERE id=?1", "i", span));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_END || (rc == KLUIS_OK && !kluis_db_fixed(st, 0, package, 32))) { rc = damaged(err); }
    kluis_db_done(st);
    if (rc == KLUIS_OK) { kluis_derived_id(package, (uint64_t)at + 1, id); }
    return rc;
}

/* The header without its people: what a statement of the journal about this conversation needs. */
static kluis_status header_line(const struct reading *r, struct kluis_buf *out, struct kluis_err *err)
{
    struct kluis_header bare = r->header;
    bare.parties = NULL;
    bare.participants = NULL;
    bare.n_parties = bare.n_participants = 0;
    bare.self = KLUIS_NO_PARTY;
    memset(bare.salt, 0, sizeof bare.salt);
    return kluis_header_write(&bare, out, err);
}

static kluis_status note_header(struct reading *r, struct kluis_bytes boxed, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(now, HEADER_MAX);
    KLUIS_AUTO_BUF(then, HEADER_MAX);
    KLUIS_AUTO_BUF(box, HEADER_MAX + HOME_BOX_EXTRA);
    kluis_status rc = header_line(r, &now, err);
    if (rc == KLUIS_E_LIMIT) { /* a name of megabytes: nothing is said of this conversation */
        kluis_err_clear(err);
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    if (boxed.ptr != NULL) { KLUIS_TRY(home_unbox(r->h, "conversation", boxed, &then, err)); }
    if (boxed.ptr != NULL && then.len == now.len && memcmp(then.data, now.data, now.len) == 0) { return KLUIS_OK; }
    KLUIS_TRY(home_box(r->h, "conversation", kluis_buf_bytes(&now), &box, err));
    KLUIS_TRY(kluis_db_run(r->h->db, NULL, err, "UPDATE conversation SET header=?2 WHERE id=?1", "ib", r->conversation, kluis_buf_bytes(&box)));
    kluis_durable_step("agent.conversation.named");
    return KLUIS_OK;
}

static kluis_status find_conversation(struct reading *r, const uint8_t key[CONVERSATION_KEY], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    struct kluis_bytes k = { key, CONVERSATION_KEY };
    KLUIS_AUTO_BUF(boxed, HEADER_MAX + HOME_BOX_EXTRA);
    KLUIS_TRY(kluis_db_run(r->h->db, NULL, err, "INSERT INTO conversation(key) VALUES(?1) ON CONFLICT DO NOTHING", "b", k));
    kluis_durable_step("agent.conversation.known");
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT id,header FROM conversation WHERE key=?1", "b", k));
    kluis_status rc = kluis_db_step(r->h->db, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 1);
        r->conversation = kluis_db_int(st, 0);
        kluis_buf_add(&boxed, b.ptr, b.len);
    }
    kluis_db_done(st);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the conversation was not stored"); }
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_buf_ok(&boxed, err));
    return r->origin == NULL ? KLUIS_OK : note_header(r, boxed.len == 0 ? (struct kluis_bytes){ NULL, 0 } : kluis_buf_bytes(&boxed), err);
}

static kluis_status count_of(struct home *h, struct sqlite3_stmt *st, size_t *n, struct kluis_err *err)
{
    kluis_status rc = kluis_db_step(h->db, st, err);
    *n = rc == KLUIS_OK ? (size_t)kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    return rc;
}

kluis_status reading_spans(struct home *h, int64_t conversation, struct align_span **spans, struct chunk_origin **origins, size_t *n,
                           struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t all = 0;
    *n = 0;
    *spans = NULL;
    *origins = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT count(*) FROM seen WHERE conversation=?1", "i", conversation));
    KLUIS_TRY(count_of(h, st, &all, err));
    *spans = kluis_calloc(all + 1, sizeof **spans);
    *origins = kluis_calloc(all + 1, sizeof **origins);
    if (*spans == NULL || *origins == NULL) { return reading_no_memory(err); }
    kluis_status rc =
        kluis_db_query(h->db, &st, err, "SELECT id,first,last,n,precision,coalesce(source,-1),settings FROM seen WHERE conversation=?1 ORDER BY id",
                       "i", conversation);
    while (rc == KLUIS_OK && *n < all && (rc = kluis_db_step(h->db, st, err)) == KLUIS_OK) {
        int64_t held = kluis_db_int(st, 3);
        if (held < 0 || held > ALIGN_CHUNK_MAX) {
            rc = damaged(err);
            break;
        }
        (*origins)[*n] = (struct chunk_origin){ kluis_db_int(st, 5), (uint64_t)kluis_db_int(st, 6) };
        (*spans)[(*n)++] =
            (struct align_span){ kluis_db_int(st, 0), kluis_db_int(st, 1), kluis_db_int(st, 2), (uint32_t)held, (int)kluis_db_int(st, 4) };
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status load_tags(struct reading *r, size_t *n_tags, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t tags = 0;
    *n_tags = 0;
    KLUIS_TRY(kluis_db_query(r->h->db, &st, err, "SELECT count(*) FROM author WHERE conversation=?1", "i", r->conversation));
    KLUIS_TRY(count_of(r->h, st, &tags, err));
    r->tags = kluis_calloc(tags + 1, sizeof *r->tags);
    if (r->tags == NULL) { return reading_no_memory(err); }
    kluis_status rc = kluis_db_query(r->h->db, &st, err, "SELECT tag FROM author WHERE conversation=?1 ORDER BY tag", "i", r->conversation);
    while (rc == KLUIS_OK && *n_tags < tags && (rc = kluis_db_step(r->h->db, st, err)) == KLUIS_OK) {
        r->tags[(*n_tags)++] = (uint32_t)kluis_db_int(st, 0);
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- second reading: hand over what is new ---- */

kluis_status reading_window(struct reading *r, const struct occurrence *o, uint64_t from, struct kluis_err *err)
{
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
    kluis_free(r->origins);
    kluis_free(r->tags);
    r->spans = NULL;
    r->origins = NULL;
    r->n_spans = 0;
    r->tags = NULL;
}

/* Authors that earlier readings did not have are looked at over the whole conversation first: a rename shows only there. */
static kluis_status learn_authors(struct reading *r, struct kluis_err *err)
{
    const struct occurrence *o = &r->occ[r->at_occ];
    bool any = false;
    for (uint64_t at = 0; at < o->n; at += r->n_window) {
        KLUIS_TRY(reading_window(r, o, at, err));
        for (size_t i = 0; !any && i < r->n_window; i++) { any = !r->window[i].has_id && align_is_new_author(r->aligner, r->window[i].tag); }
        if (any) { KLUIS_TRY(align_learn(r->aligner, r->window, r->n_window, err)); }
    }
    align_learned(r->aligner);
    return KLUIS_OK;
}

/* All of the occurrence is compared before the first of its records is handed over: what an edited line was, and what is gone, shows only then.
 * Which are known is noted in the spool. */
static kluis_status compare(struct reading *r, struct kluis_err *err)
{
    const struct occurrence *o = &r->occ[r->at_occ];
    for (uint64_t at = 0; at < o->n; at += r->n_window) {
        KLUIS_TRY(reading_window(r, o, at, err));
        memset(r->known, 0, ALIGN_WINDOW * sizeof *r->known);
        KLUIS_TRY(align_match(r->aligner, r->window, r->n_window, r->known, err));
        for (size_t i = 0; i < r->n_window; i++) {
            r->window[i].known = r->known[i];
            align_put(r->block + i * ALIGN_ENTRY_WIRE, &r->window[i]);
        }
        if (lseek(r->spool, (off_t)((o->first + at) * ALIGN_ENTRY_WIRE), SEEK_SET) < 0) {
            return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the agent's temporary file");
        }
        KLUIS_TRY(kluis_write_all(r->spool, r->block, r->n_window * ALIGN_ENTRY_WIRE, "the agent's temporary file", err));
    }
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
    uint8_t key[CONVERSATION_KEY];
    size_t n_tags = 0;
    r->abandoned = r->active = false;
    r->at = 0;
    r->n_window = 0;
    kluis_arena_clear(r->arena);
    KLUIS_TRY(copy_header(r->arena, h, &r->header, err));
    KLUIS_TRY(conversation_key(r, h, key, err));
    if (r->at_occ >= r->n_occ || memcmp(r->occ[r->at_occ].key, key, CONVERSATION_KEY) != 0) { return abandon(r); }
    if (r->occ[r->at_occ].n == 0) { return KLUIS_OK; }
    KLUIS_TRY(find_conversation(r, key, err));
    KLUIS_TRY(reading_spans(r->h, r->conversation, &r->spans, &r->origins, &r->n_spans, err));
    if (r->n_spans == 0) { return KLUIS_OK; }
    KLUIS_TRY(load_tags(r, &n_tags, err));
    struct align_store store = { r->h, r->spans, r->n_spans, load_chunk, r->tags, n_tags };
    KLUIS_TRY(align_new(&r->aligner, &store, (int)h->precision, h->zone == KLUIS_ZONE_ASSUMED, err));
    KLUIS_TRY(learn_authors(r, err));
    KLUIS_TRY(compare(r, err));
    KLUIS_TRY(pairs_find(r, err));
    return r->origin == NULL ? KLUIS_OK : absence_look(r, err);
}

static kluis_status second_record(void *ctx, const struct kluis_record *rec, struct kluis_bytes raw, struct kluis_err *err)
{
    struct reading *r = ctx;
    struct align_entry e;
    if (r->abandoned) { return KLUIS_OK; }
    if (r->at >= r->occ[r->at_occ].n) { return abandon(r); }
    size_t in = (size_t)(r->at % ALIGN_WINDOW);
    if (in == 0) { KLUIS_TRY(reading_window(r, &r->occ[r->at_occ], r->at, err)); }
    journal_entry(r->h, &r->header, rec, &e);
    const struct align_entry *w = &r->window[in];
    if (e.fp != w->fp || e.t != w->t || e.tag != w->tag || e.level != w->level) { return abandon(r); }
    if (w->known) {
        r->at++;
        return KLUIS_OK;
    }
    if (!r->active) {
        KLUIS_TRY(r->out->begin(r->out->ctx, &r->header, r->conversation, err));
        r->active = true;
    }
    r->counts->fresh++;
    struct kluis_record now = *rec;
    if (r->aligner != NULL) { KLUIS_TRY(pairs_apply(r, &now, &e, err)); }
    /* Remembered under the author's first name, so that a later export under either is recognised. */
    if (!e.has_id && r->aligner != NULL) { e.tag = align_author(r->aligner, e.tag); }
    r->at++;
    return r->out->record(r->out->ctx, &now, raw, &e, err);
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

kluis_status journal_read(struct home *h, const char *kind, const struct journal_origin *origin, const struct journal_reader *reader,
                          const struct journal_out *out, const struct source_sink *skipped, struct journal_counts *counts, struct kluis_err *err)
{
    struct reading r = { .h = h, .kind = kind, .origin = origin, .out = out, .skipped = skipped, .counts = counts, .spool = -1 };
    struct source_sink first = { &r, first_begin, first_record, first_end, first_skipped };
    struct source_sink second = { &r, second_begin, second_record, second_end, second_skipped };
    kluis_status rc = KLUIS_OK;
    r.block = kluis_malloc((size_t)ALIGN_WINDOW * ALIGN_ENTRY_WIRE);
    r.window = kluis_calloc(ALIGN_WINDOW, sizeof *r.window);
    r.known = kluis_calloc(ALIGN_WINDOW, sizeof *r.known);
    r.arena = kluis_arena_new(COPY_HEADER_MAX);
    if (r.block == NULL || r.window == NULL || r.known == NULL || r.arena == NULL) { rc = reading_no_memory(err); }
    if (rc == KLUIS_OK) { rc = pairs_new(&r.pairs, err); }
    if (rc == KLUIS_OK) { rc = absence_new(&r.absence, err); }
    if (rc == KLUIS_OK) {
        r.spool = kluis_io_open(h->dir, O_RDWR | O_TMPFILE, 0600);
        if (r.spool < 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a temporary file in '%s'", h->dir); }
    }
    if (rc == KLUIS_OK) { rc = reader->read(reader->ctx, &first, err); }
    if (rc == KLUIS_OK) { rc = flush_block(&r, err); }
    if (rc == KLUIS_OK) { rc = find_again(&r, err); }
    if (rc == KLUIS_OK && counts->records > 0) { rc = reader->read(reader->ctx, &second, err); }
    forget_conversation(&r);
    if (rc == KLUIS_OK && origin != NULL) { rc = absence_say(&r, reader, err); }
    absence_free(r.absence);
    pairs_free(r.pairs);
    kluis_close_quiet(&r.spool);
    kluis_arena_free(r.arena);
    kluis_free(r.occ);
    kluis_free(r.by_key);
    kluis_free(r.block);
    kluis_free(r.window);
    kluis_free(r.known);
    return rc;
}

/* ---- what a package took ---- */

/* What the entries of the chunk that was just noted say of earlier ones. */
static kluis_status take_marks(struct home *h, const struct journal_taken *t, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    size_t said_in = 0;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT last_insert_rowid()", ""));
    KLUIS_TRY(count_of(h, st, &said_in, err));
    for (size_t i = 0; i < t->n; i++) {
        const struct align_mark *m = &t->entries[i].mark;
        if (m->says == 0) { continue; }
        KLUIS_TRY(kluis_db_run(h->db, NULL, err, "INSERT INTO mark(seen,at,says,said_in) VALUES(?1,?2,?3,?4) ON CONFLICT DO NOTHING", "iiii", m->span,
                               (int64_t)m->at, (int64_t)m->says, (int64_t)said_in));
    }
    return KLUIS_OK;
}

kluis_status journal_take(struct home *h, const struct journal_taken *t, struct kluis_err *err)
{
    if (t->n > ALIGN_CHUNK_MAX) { return KLUIS_FAIL(err, KLUIS_E_BUG, "a slice of %zu records", t->n); }
    if (t->n == 0) { return kluis_db_run(h->db, NULL, err, "UPDATE conversation SET parts=parts+1 WHERE id=?1", "i", t->conversation); }
    KLUIS_AUTO_BUF(b, (size_t)ALIGN_CHUNK_MAX * ALIGN_ENTRY_WIRE);
    uint8_t *p = kluis_buf_reserve(&b, t->n * ALIGN_ENTRY_WIRE);
    int64_t first = INT64_MAX, last = INT64_MIN;
    uint32_t tag = 0;
    bool any = false;
    if (p == NULL) { return kluis_buf_ok(&b, err); }
    for (size_t i = 0; i < t->n; i++) {
        const struct align_entry *e = &t->entries[i];
        align_put(p + i * ALIGN_ENTRY_WIRE, e);
        if (e->t < first) { first = e->t; }
        if (e->t > last) { last = e->t; }
        if (e->has_id || e->own || (any && e->tag == tag)) { continue; }
        any = true;
        tag = e->tag;
        KLUIS_TRY(kluis_db_run(h->db, NULL, err, "INSERT INTO author(conversation,tag) VALUES(?1,?2) ON CONFLICT DO NOTHING", "ii", t->conversation,
                               (int64_t)tag));
    }
    b.len = t->n * ALIGN_ENTRY_WIRE;
    /* The journal's own statements are in no source: they are of source 0. */
    int64_t source = t->entries[0].own ? 0 : t->origin == NULL ? -1 : t->origin->source;
    KLUIS_TRY(kluis_db_run(h->db, NULL, err,
                           "INSERT INTO seen(conversation,package,first,last,precision,n,entries,source,settings)"
                           " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                           "ihiiiibii", t->conversation, t->package, first, last, (int64_t)t->precision, (int64_t)t->n, kluis_buf_bytes(&b), source,
                           t->origin == NULL ? (int64_t)0 : (int64_t)t->origin->settings));
    KLUIS_TRY(take_marks(h, t, err));
    return kluis_db_run(h->db, NULL, err, "UPDATE conversation SET parts=parts+1 WHERE id=?1", "i", t->conversation);
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
