/* server/index/add.c - packages into the hot file.  See index.h and internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

enum { FLUSH_ROWS = 50000, FLUSH_BYTES = 48 << 20 };

/* ---- names to numbers ---- */

static kluis_status number_of(struct index *ix, const char *select, const char *insert, struct kluis_str name, int64_t *no, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(ix->w.hot, &q, err, select, "t", name));
    kluis_status st = kluis_db_step(ix->w.hot, q, err);
    if (st == KLUIS_OK) {
        *no = kluis_db_int(q, 0);
        kluis_db_done(q);
        return KLUIS_OK;
    }
    if (st != KLUIS_END) { return st; }
    KLUIS_TRY(kluis_db_run(ix->w.hot, NULL, err, insert, "t", name));
    *no = sqlite3_last_insert_rowid(kluis_db_handle(ix->w.hot));
    return KLUIS_OK;
}

/* Keys of conversation and link.  Two phones' copies of a direct chat are one conversation when both ends are known by id or number; otherwise a
 * direct chat is its official's own.  A group is its platform id.  The link is what records without an id are compared within: for a group with a
 * name that name, and the author, who is part of what must be equal, is the member that two exports have in common.  It is the package's
 * own, so that no order of arrival changes it. */
static void conversation_keys(const struct index_package *p, struct kluis_buf *conv, struct kluis_buf *link)
{
    bool group = p->conversation_type == KLUIS_GROUP || p->conversation_type == KLUIS_CHANNEL;
    kluis_buf_byte(conv, group ? 'g' : 'd');
    kluis_buf_str(conv, p->platform);
    kluis_buf_byte(conv, 0);
    kluis_buf_str(conv, p->conversation_id);
    kluis_buf_byte(conv, 0);
    if (!group) {
        KLUIS_AUTO_BUF(a, 1 << 20);
        KLUIS_AUTO_BUF(b, 1 << 20);
        if (p->conversation_type == KLUIS_DIRECT && p->n_parties == 2 && p->self < 2) {
            iidentity(&a, &p->parties[0]);
            iidentity(&b, &p->parties[1]);
        }
        if (a.len > 0 && b.len > 0 && a.data[0] != 'n' && b.data[0] != 'n' && a.status == KLUIS_OK && b.status == KLUIS_OK) {
            size_t n = a.len < b.len ? a.len : b.len;
            int order = memcmp(a.data, b.data, n);
            bool swap = order > 0 || (order == 0 && a.len > b.len);
            kluis_buf_clear(conv);
            kluis_buf_byte(conv, 'p');
            kluis_buf_str(conv, p->platform);
            kluis_buf_byte(conv, 0);
            kluis_buf_add(conv, swap ? b.data : a.data, swap ? b.len : a.len);
            kluis_buf_byte(conv, 0);
            kluis_buf_add(conv, swap ? a.data : b.data, swap ? a.len : b.len);
        } else {
            kluis_buf_str(conv, p->official);
        }
    }
    if (p->conversation_type == KLUIS_GROUP && p->conversation_name.len > 0) {
        kluis_buf_byte(link, 'n');
        kluis_buf_str(link, p->platform);
        kluis_buf_byte(link, 0);
        inormal_write(link, p->conversation_name);
    } else {
        kluis_buf_add(link, conv->data, conv->len);
    }
}

struct place {
    int64_t conv, link, official, device, platform;
    bool several, mixed;
};

/* With an id: 1; messages without: 2. */
static int64_t kinds_of(const struct index_package *p)
{
    int64_t kinds = 0;
    for (size_t i = 0; i < p->n_rows; i++) { kinds |= p->rows[i].id.len > 0 ? 1 : p->rows[i].kind == KLUIS_MESSAGE ? 2 : 0; }
    return kinds;
}

static kluis_status find_link(struct index *ix, const struct kluis_buf *key, int64_t kinds, struct place *at, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT no, device, several, kinds FROM link WHERE key=?1", "b", kluis_buf_bytes(key)));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_OK) {
        at->link = kluis_db_int(q, 0);
        int64_t several = kluis_db_int(q, 2) != 0 || kluis_db_int(q, 1) != at->device, known = kluis_db_int(q, 3);
        bool same = several == kluis_db_int(q, 2) && (known | kinds) == known;
        kluis_db_done(q);
        at->several = several != 0;
        kinds |= known;
        if (!same) { KLUIS_TRY(kluis_db_run(db, NULL, err, "UPDATE link SET several=?2, kinds=?3 WHERE no=?1", "iii", at->link, several, kinds)); }
    } else if (st == KLUIS_END) {
        at->several = false;
        KLUIS_TRY(kluis_db_run(db, NULL, err, "INSERT INTO link(key, device, several, kinds) VALUES(?1, ?2, 0, ?3)", "bii", kluis_buf_bytes(key),
                               at->device, kinds));
        at->link = sqlite3_last_insert_rowid(kluis_db_handle(db));
    } else {
        return st;
    }
    at->mixed = kinds == 3;
    return at->mixed ? imap_put(&ix->b.mixed, at->link, 0, err) : KLUIS_OK;
}

static kluis_status find_place(struct index *ix, const struct index_package *p, struct place *at, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    KLUIS_TRY(number_of(ix, "SELECT no FROM platform WHERE name=?1", "INSERT INTO platform(name) VALUES(?1)", p->platform, &at->platform, err));
    KLUIS_TRY(number_of(ix, "SELECT no FROM official WHERE name=?1", "INSERT INTO official(name) VALUES(?1)", p->official, &at->official, err));
    KLUIS_TRY(number_of(ix, "SELECT no FROM device WHERE name=?1", "INSERT INTO device(name) VALUES(?1)", p->device, &at->device, err));
    KLUIS_AUTO_BUF(conv, 4 << 20);
    KLUIS_AUTO_BUF(link, 4 << 20);
    conversation_keys(p, &conv, &link);
    KLUIS_TRY(kluis_buf_ok(&conv, err));
    KLUIS_TRY(kluis_buf_ok(&link, err));
    KLUIS_TRY(find_link(ix, &link, kinds_of(p), at, err));
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT no FROM conv WHERE key=?1", "b", kluis_buf_bytes(&conv)));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_OK) {
        at->conv = kluis_db_int(q, 0);
        kluis_db_done(q);
    } else if (st == KLUIS_END) {
        KLUIS_TRY(kluis_db_run(db, NULL, err, "INSERT INTO conv(key) VALUES(?1)", "b", kluis_buf_bytes(&conv)));
        at->conv = sqlite3_last_insert_rowid(kluis_db_handle(db));
    } else {
        return st;
    }
    KLUIS_TRY(kluis_db_run(db, NULL, err, "INSERT OR IGNORE INTO conv_link(link, conv) VALUES(?1, ?2)", "ii", at->link, at->conv));
    return kluis_db_run(db, NULL, err, "INSERT OR IGNORE INTO alias(id, platform, conv) VALUES(?1, ?2, ?3)", "tii", p->conversation_id, at->platform,
                        at->conv);
}

/* What this package has in common with others: all packages of a chat while nobody joins or leaves it. */
static kluis_status find_source(struct index *ix, const struct index_package *p, const struct place *at, int64_t *no, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    uint8_t key[32];
    KLUIS_AUTO_BUF(b, 64 << 20);
    iparties_write(&b, p);
    size_t parties = b.len;
    const int64_t numbers[] = { at->platform, at->conv, at->link, (int64_t)p->conversation_type, (int64_t)p->precision, (int64_t)p->self };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) { kluis_wire_u64(&b, (uint64_t)numbers[i]); }
    const struct kluis_str words[] = { p->conversation_id, p->conversation_name, p->provenance };
    for (size_t i = 0; i < 3; i++) {
        kluis_wire_u32(&b, words[i].ptr != NULL);
        kluis_wire_str(&b, words[i]);
    }
    KLUIS_TRY(kluis_buf_ok(&b, err));
    kluis_sha256_of(b.data, b.len, key);
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT no FROM source WHERE key=?1", "h", key));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_OK) { *no = kluis_db_int(q, 0); }
    kluis_db_done(q);
    if (st != KLUIS_END) { return st; }
    const struct kluis_bytes blob = { b.data, parties };
    KLUIS_TRY(kluis_db_run(db, NULL, err,
                           "INSERT INTO source(key, platform, conv, link, conv_id, conv_name, type, precision, provenance, self, parties) "
                           "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
                           "hiiittiitib", key, at->platform, at->conv, at->link, p->conversation_id, p->conversation_name,
                           (int64_t)p->conversation_type, (int64_t)p->precision, p->provenance,
                           p->self == KLUIS_NO_PARTY ? (int64_t)-1 : (int64_t)p->self, blob));
    *no = sqlite3_last_insert_rowid(kluis_db_handle(db));
    return KLUIS_OK;
}

/* ---- one package ---- */

static kluis_status add_row(struct index *ix, const struct index_package *p, const struct index_row *r, int64_t pkg, const struct place *at,
                            int64_t when, struct kluis_buf *work, struct irow *out, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    bool has_id = r->id.len > 0;
    struct isame same = { r->kind, { NULL, 0 }, r->text, r->target, r->value, r->event, r->options };
    kluis_buf_clear(work);
    if (r->author != KLUIS_NO_PARTY) { iidentity(work, &p->parties[r->author]); }
    size_t author = work->len;
    same.author = (struct kluis_str){ (const char *)work->data, author };
    /* The author's bytes stand in the same buffer, which may move when it grows. */
    if (kluis_buf_reserve(work, author + r->text.len + r->target.len + r->value.len + r->event.len + r->options.len + 64) == NULL) {
        return kluis_buf_ok(work, err);
    }
    same.author.ptr = (const char *)work->data;
    /* Of a message the words alone: what has an id and what has none must meet, and they need not name its author alike. */
    if (r->kind == KLUIS_MESSAGE && r->text.len > 0) {
        inormal_write(work, r->text);
    } else {
        isame_write(work, &same, has_id);
    }
    /* With the link in it, equal words of other chats are not in the way; with the link in front, what arrives together stands together in the
     * index of hashes, and a batch touches few of its pages.  What meets here is compared word by word, so twenty bits of the words are enough. */
    uint32_t hash = ihash((const char *)work->data + author, work->len - author, (uint32_t)at->link) & 0xfffff;
    hash |= (uint32_t)at->link << 20;
    int64_t idkey = 0;
    if (has_id) {
        uint64_t h = (uint64_t)ihash(r->id.ptr, r->id.len, (uint32_t)r->kind + 1) << 15 ^ ihash(r->id.ptr, r->id.len, (uint32_t)r->kind + 77);
        idkey = (int64_t)(((uint64_t)at->conv & 0xffff) << 47 | (h & ((UINT64_C(1) << 47) - 1)));
    }
    const struct kluis_str extra[IEXTRAS] = { r->id, r->target, r->value, r->event, r->quote, r->attachments, r->loss, r->options };
    kluis_buf_clear(work);
    iextra_write(work, extra);
    size_t packed = work->len;
    iside_write(work, extra);
    KLUIS_TRY(kluis_buf_ok(work, err));
    int64_t bits = (int64_t)r->kind | (int64_t)r->zone_assumed << 4 | (int64_t)(r->author != KLUIS_NO_PARTY && r->author == p->self) << 5 |
                   (int64_t)(r->sent_us == KLUIS_TIME_ABSENT) << 7 | (int64_t)(r->offset_min + 1440) << 12 |
                   (r->author == KLUIS_NO_PARTY ? 0 : (int64_t)(r->author + 1) << 24);
    const struct kluis_str side = { (const char *)work->data + packed, work->len - packed };
    const uint8_t norm = inorm_of(r->text, side);
    int64_t row = b->next_row++;
    struct ikey key = { when, itie(p->id, r->ordinal) };
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(
        ix->w.hot, &q, err,
        "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, text, extra, norm, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        "iiiiiiitbi", row, pkg, key.tie, at->conv, key.at, (int64_t)(int32_t)hash, bits, r->text,
        (struct kluis_bytes){ packed == 0 ? NULL : work->data, packed }, (int64_t)norm));
    if (has_id && sqlite3_bind_int64(q, 11, idkey) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status st = kluis_db_step(ix->w.hot, q, err);
    if (st != KLUIS_END) { return st; }
    b->sightings++;
    b->groups++;
    *out = (struct irow){ 0, row, at->conv, key.at, idkey, hash, has_id };
    const struct ipending pending = {
        .row = row, .conv = at->conv, .official = (int32_t)at->official, .platform = (int32_t)at->platform, .norm = norm, .leader = true
    };
    return ibatch_pend(ix, &pending, r->text, side, key, err);
}

/* A record without a time stands where its package has it: at the time before it. */
static void times_of(const struct index_package *p, int64_t *at, int64_t *first, int64_t *last)
{
    int64_t known = p->received_us == KLUIS_TIME_ABSENT ? 0 : p->received_us;
    for (size_t i = p->n_rows; i-- > 0;) {
        if (p->rows[i].sent_us != KLUIS_TIME_ABSENT) { known = p->rows[i].sent_us; }
    }
    *first = INT64_MAX;
    *last = INT64_MIN;
    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i].sent_us != KLUIS_TIME_ABSENT) { known = p->rows[i].sent_us; }
        at[i] = known;
        if (known < *first) { *first = known; }
        if (known > *last) { *last = known; }
    }
    if (p->n_rows == 0) { *first = *last = known; }
}

static kluis_status add(struct index *ix, const struct index_package *p, int64_t *at, struct irow *rows, struct kluis_err *err)
{
    ix->b.package_row = 0;
    struct kluis_db *db = ix->w.hot;
    struct place place = { 0 };
    int64_t first = 0, last = 0;
    times_of(p, at, &first, &last);
    KLUIS_TRY(find_place(ix, p, &place, err));
    int64_t source = 0;
    KLUIS_TRY(find_source(ix, p, &place, &source, err));
    KLUIS_TRY(kluis_db_run(db, NULL, err,
                           "INSERT INTO pkg(id, seq, official, device, source, verdict, received, first, last) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                           "hiiiitiii", p->id, (int64_t)p->sequence, place.official, place.device, source, p->verdict, p->received_us, first, last));
    int64_t pkg = sqlite3_last_insert_rowid(kluis_db_handle(db));
    KLUIS_AUTO_BUF(work, 64 << 20);
    for (size_t i = 0; i < p->n_rows; i++) { KLUIS_TRY(add_row(ix, p, &p->rows[i], pkg, &place, at[i], &work, &rows[i], err)); }
    ix->b.package_row = p->n_rows > 0 ? rows[0].row : 0;
    /* Those with an id first, since the others may join them.  Records without one can only meet those of another device, or such. */
    for (int with_id = 1; with_id >= 0; with_id--) {
        for (size_t i = 0; i < p->n_rows; i++) {
            if (rows[i].has_id != (with_id != 0)) { continue; }
            const struct ipending *known = ipending_of(ix, rows[i].row);
            if (known != NULL && known->settled) { continue; } /* in a run with an earlier one */
            bool alone = p->rows[i].kind == KLUIS_GAP || !(rows[i].has_id || place.several || place.mixed);
            if (!alone && !place.mixed) { KLUIS_TRY(igroup_alone(ix, &rows[i], &alone, err)); }
            if (!alone) { KLUIS_TRY(igroup_settle(ix, &rows[i], false, err)); }
        }
    }
    ix->b.package_row = 0;
    return igroup_near(ix, err);
}

static kluis_status begin_at(struct index *ix, uint64_t sequence, struct kluis_err *err)
{
    if (sequence <= (uint64_t)(ix->b.open ? ix->b.sequence : (int64_t)index_watermark(ix))) {
        return KLUIS_FAIL(err, KLUIS_E_EXISTS, "package %llu is in the index already", (unsigned long long)sequence);
    }
    KLUIS_TRY(ibatch_begin(ix, err));
    if (sequence != (uint64_t)ix->b.sequence + 1) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "package %llu came before package %llu", (unsigned long long)sequence,
                          (unsigned long long)ix->b.sequence + 1);
    }
    return KLUIS_OK;
}

kluis_status index_skip(struct index *ix, uint64_t sequence, struct kluis_err *err)
{
    KLUIS_TRY(begin_at(ix, sequence, err));
    ix->b.sequence = (int64_t)sequence;
    return KLUIS_OK;
}

kluis_status index_add(struct index *ix, const struct index_package *p, struct kluis_err *err)
{
    if (p->platform.len == 0 || p->conversation_id.ptr == NULL || p->official.len == 0 || p->device.len == 0 || p->n_rows > INDEX_ROWS_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "a package without platform, conversation, official or device, or of too many records");
    }
    KLUIS_TRY(begin_at(ix, p->sequence, err));
    struct kluis_db *db = ix->w.hot;
    sqlite3_stmt *q = NULL;
    kluis_status st = kluis_db_query(db, &q, err, "SELECT 1 FROM pkg WHERE id=?1", "h", p->id);
    if (st == KLUIS_OK) { st = kluis_db_step(db, q, err); }
    kluis_db_done(q);
    int64_t *at = st == KLUIS_END ? kluis_calloc(p->n_rows + 1, sizeof *at) : NULL;
    struct irow *rows = st == KLUIS_END ? kluis_calloc(p->n_rows + 1, sizeof *rows) : NULL;
    if (st == KLUIS_END) { st = at == NULL || rows == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory") : add(ix, p, at, rows, err); }
    kluis_free(at);
    kluis_free(rows);
    ix->b.sequence = (int64_t)p->sequence;
    if (st == KLUIS_OK && (ix->b.n >= FLUSH_ROWS || ix->b.text.len >= FLUSH_BYTES)) { st = ibatch_fts(ix, err); }
    if (st != KLUIS_OK) { ibatch_rollback(ix); }
    return st;
}
