/* server/index/add.c - packages into the hot file; what a commit gives to FTS5.  See index.h and internal.h. */
#include "server/index/internal.h"

#include <sqlite3.h>

enum { FLUSH_ROWS = 50000, FLUSH_BYTES = 48 << 20, TEXT_BYTES = 1 << 30 };

/* ---- packed strings ---- */

static void put32(struct kluis_buf *b, size_t n)
{
    const uint8_t v[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
    kluis_buf_add(b, v, 4);
}

static void pack(struct kluis_buf *b, const struct kluis_str *s, size_t n)
{
    uint8_t mask = 0;
    for (size_t i = 0; i < n; i++) { mask |= (uint8_t)(s[i].ptr == NULL ? 0 : 1U << i); }
    kluis_buf_byte(b, mask);
    for (size_t i = 0; i < n; i++) {
        if (s[i].ptr == NULL) { continue; }
        put32(b, s[i].len);
        kluis_buf_str(b, s[i]);
    }
}

static bool unpack(const uint8_t **p, const uint8_t *end, struct kluis_str *s, size_t n)
{
    if (*p == end) { return false; }
    uint8_t mask = *(*p)++;
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct kluis_str){ NULL, 0 };
        if ((mask >> i & 1) == 0) { continue; }
        if (end - *p < 4) { return false; }
        size_t len = (size_t)(*p)[0] << 24 | (size_t)(*p)[1] << 16 | (size_t)(*p)[2] << 8 | (*p)[3];
        *p += 4;
        if (len > (size_t)(end - *p)) { return false; }
        s[i] = (struct kluis_str){ (const char *)*p, len };
        *p += len;
    }
    return true;
}

void iextra_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS])
{
    for (size_t i = 0; i < IEXTRAS; i++) {
        if (s[i].ptr != NULL) {
            pack(b, s, IEXTRAS);
            return;
        }
    }
}

bool iextra_read(struct kluis_bytes blob, struct kluis_str s[IEXTRAS])
{
    for (size_t i = 0; i < IEXTRAS; i++) { s[i] = (struct kluis_str){ NULL, 0 }; }
    if (blob.len == 0) { return true; }
    const uint8_t *p = blob.ptr, *end = p + blob.len;
    return unpack(&p, end, s, IEXTRAS) && p == end;
}

void iside_write(struct kluis_buf *b, const struct kluis_str s[IEXTRAS])
{
    static const int found[] = { IEXTRA_ATTACHMENTS, IEXTRA_QUOTE, IEXTRA_VALUE, IEXTRA_OPTIONS };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        if (s[found[i]].len == 0) { continue; }
        kluis_buf_str(b, s[found[i]]);
        kluis_buf_byte(b, '\n');
    }
}

void iparties_write(struct kluis_buf *b, const struct index_package *p)
{
    for (uint32_t i = 0; i < p->n_parties; i++) {
        const struct kluis_str s[3] = { p->parties[i].id, p->parties[i].name, p->parties[i].number };
        pack(b, s, 3);
    }
}

bool iparty_read(struct kluis_bytes blob, uint32_t i, struct kluis_party *out)
{
    const uint8_t *p = blob.ptr, *end = p + blob.len;
    struct kluis_str s[3];
    for (uint32_t k = 0; k <= i; k++) {
        if (!unpack(&p, end, s, 3)) { return false; }
    }
    *out = (struct kluis_party){ s[0], s[1], s[2] };
    return true;
}

/* ---- who and what ---- */

void iidentity(struct kluis_buf *b, const struct kluis_party *p)
{
    size_t digits = 0;
    while (digits < p->id.len && p->id.ptr[digits] >= '0' && p->id.ptr[digits] <= '9') { digits++; }
    struct kluis_str rest = { p->id.ptr == NULL ? NULL : p->id.ptr + digits, p->id.len - digits };
    bool number = digits > 5 && (kluis_str_is(rest, "@s.whatsapp.net") || kluis_str_is(rest, "@c.us"));
    bool hidden = digits > 5 && kluis_str_is(rest, "@lid"); /* an alias of a number: the number is better where it is stated */
    if (number) {
        kluis_buf_byte(b, '+');
        kluis_buf_add(b, p->id.ptr, digits);
    } else if (p->id.len > 0 && !(hidden && p->number.len > 0)) {
        kluis_buf_byte(b, 'i');
        kluis_buf_str(b, p->id);
    } else if (p->number.len > 0) {
        if (p->number.ptr[0] != '+') { kluis_buf_byte(b, '+'); }
        kluis_buf_str(b, p->number);
    } else if (p->name.len > 0) {
        kluis_buf_byte(b, 'n');
        kluis_buf_str(b, p->name);
    }
}

/* White space runs become one space, marks that cannot be seen go: phones differ in those when they export. */
static void put_normal(struct kluis_buf *b, struct kluis_str s)
{
    bool gap = false, some = false;
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            gap = true;
            continue;
        }
        if (c == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] == 0xa0) { /* no-break space */
            gap = true;
            i++;
            continue;
        }
        if (c == 0xe2 && i + 2 < s.len) {
            unsigned d = (unsigned)(unsigned char)s.ptr[i + 1] << 8 | (unsigned char)s.ptr[i + 2];
            bool space = d == 0x80af; /* narrow no-break */
            bool unseen = (d >= 0x808b && d <= 0x808f) || (d >= 0x80aa && d <= 0x80ae) || (d >= 0x81a0 && d <= 0x81af);
            if (space || unseen) {
                gap = gap || space;
                i += 2;
                continue;
            }
        }
        if (c == 0xef && i + 2 < s.len && memcmp(s.ptr + i, "\xef\xbb\xbf", 3) == 0) {
            i += 2;
            continue;
        }
        if (gap && some) { kluis_buf_byte(b, ' '); }
        gap = false;
        some = true;
        kluis_buf_byte(b, c);
    }
}

void isame_write(struct kluis_buf *b, const struct isame *s, bool exact)
{
    const struct kluis_str list[] = { s->author, s->target, s->value, s->event, s->options };
    kluis_buf_byte(b, (uint8_t)s->kind);
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        put32(b, list[i].len);
        kluis_buf_str(b, list[i]);
    }
    if (exact) {
        kluis_buf_str(b, s->text);
    } else {
        put_normal(b, s->text);
    }
}

uint32_t ihash(const char *p, size_t n, uint32_t seed)
{
    uint64_t h = seed * UINT64_C(0x9e3779b97f4a7c15) ^ n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v = 0;
        memcpy(&v, p, 8);
        h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    uint64_t v = 0;
    if (n > 0) { memcpy(&v, p, n); }
    h = (h ^ v) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(h >> 32 ^ h >> 7);
}

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
        put_normal(link, p->conversation_name);
    } else {
        kluis_buf_add(link, conv->data, conv->len);
    }
}

struct place {
    int64_t conv, link, official, device, platform;
    bool several;
};

static kluis_status find_link(struct index *ix, const struct kluis_buf *key, struct place *at, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT no, device, several FROM link WHERE key=?1", "b", kluis_buf_bytes(key)));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_OK) {
        at->link = kluis_db_int(q, 0);
        bool same = kluis_db_int(q, 1) == at->device;
        at->several = kluis_db_int(q, 2) != 0;
        kluis_db_done(q);
        if (same || at->several) { return KLUIS_OK; }
        at->several = true;
        return kluis_db_run(db, NULL, err, "UPDATE link SET several=1 WHERE no=?1", "i", at->link);
    }
    if (st != KLUIS_END) { return st; }
    at->several = false;
    KLUIS_TRY(kluis_db_run(db, NULL, err, "INSERT INTO link(key, device, several) VALUES(?1, ?2, 0)", "bi", kluis_buf_bytes(key), at->device));
    at->link = sqlite3_last_insert_rowid(kluis_db_handle(db));
    return KLUIS_OK;
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
    KLUIS_TRY(find_link(ix, &link, at, err));
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
    pack(&b, words, 3);
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

/* ---- transaction ---- */

kluis_status ibatch_begin(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->open) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_begin(ix->w.hot, err));
    b->open = true;
    kluis_status st = istore_meta(ix->w.hot, "next_row", &b->next_row, err);
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "ver", &b->version, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "watermark", &b->sequence, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "sightings", &b->sightings, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "groups", &b->groups, err); }
    if (st == KLUIS_OK) { st = istore_meta(ix->w.hot, "conflicts", &b->conflicts, err); }
    if (st == KLUIS_OK) { st = istore_catalog(&ix->w, err); }
    b->version++;
    b->first = b->next_row;
    if (st != KLUIS_OK) { ibatch_rollback(ix); }
    return st;
}

static void clear(struct ibatch *b)
{
    for (size_t i = 0; i < b->n_dirty; i++) { kluis_free(b->dirty[i].meta); }
    b->n = b->n_dirty = 0;
    imap_clear(&b->dirty_at);
    kluis_buf_clear(&b->text);
}

void ibatch_rollback(struct index *ix)
{
    kluis_db_rollback(ix->w.hot);
    ix->b.open = false;
    clear(&ix->b);
    ix->w.catalog.version = -1;
    int64_t next = 0;
    struct kluis_err ignored = { 0 };
    if (istore_meta(ix->w.hot, "next_row", &next, &ignored) == KLUIS_OK) {
        ihot_cut(&ix->hot, next);
    } /* else: too many keys, which nobody asks for */
}

kluis_status ibatch_pend(struct index *ix, const struct ipending *p, struct kluis_str text, struct kluis_str side, struct ikey key,
                         struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->n == b->cap) {
        size_t cap = b->cap == 0 ? 1024 : b->cap * 2;
        struct ipending *grown = kluis_realloc(b->pending, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->pending = grown;
        b->cap = cap;
    }
    struct ipending *n = &b->pending[b->n++];
    *n = *p;
    n->key = key;
    n->text = b->text.len;
    n->text_len = text.len;
    kluis_buf_str(&b->text, text);
    n->side = b->text.len;
    n->side_len = side.len;
    kluis_buf_str(&b->text, side);
    return kluis_buf_ok(&b->text, err);
}

struct idirty *idirty_of(struct ibatch *b, int64_t row)
{
    size_t i = 0;
    return imap_get(&b->dirty_at, row, &i) ? &b->dirty[i] : NULL;
}

kluis_status idirty_add(struct ibatch *b, const struct idirty *d, struct kluis_err *err)
{
    if (b->n_dirty == b->cap_dirty) {
        size_t cap = b->cap_dirty == 0 ? 256 : b->cap_dirty * 2;
        struct idirty *grown = kluis_realloc(b->dirty, cap * sizeof *grown);
        if (grown == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        b->dirty = grown;
        b->cap_dirty = cap;
    }
    KLUIS_TRY(imap_put(&b->dirty_at, d->row, b->n_dirty, err));
    b->dirty[b->n_dirty++] = *d;
    return KLUIS_OK;
}

static int by_row(const void *a, const void *b)
{
    const struct idirty *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

kluis_status imeta_of(struct iconn *c, struct kluis_db *unit, int64_t leader, struct kluis_buf *out, struct kluis_err *err)
{
    enum { MEMBERS = 256 }; /* further sightings of one message are found by what the first ones have */
    int64_t no[3][MEMBERS];
    size_t n = 0;
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT DISTINCT pkg FROM rec WHERE id=?1 OR lead=?1 ORDER BY pkg", "i", leader));
    kluis_status st = KLUIS_OK;
    while (n < MEMBERS && (st = kluis_db_step(unit, q, err)) == KLUIS_OK) {
        const struct ipackage *p = NULL;
        KLUIS_TRY(ipackage_of(c, kluis_db_int(q, 0), &p, err));
        no[0][n] = p->conv;
        no[1][n] = p->official_no;
        no[2][n++] = p->platform_no;
    }
    kluis_db_done(q);
    if (st != KLUIS_OK && st != KLUIS_END) { return st; }
    for (int i = 0; i < 3; i++) {
        qsort(no[i], n, sizeof no[i][0], by_number);
        for (size_t k = 0; k < n; k++) {
            if (k == 0 || no[i][k] != no[i][k - 1]) { kluis_buf_fmt(out, "%s%c%lld", out->len == 0 ? "" : " ", "cop"[i], (long long)no[i][k]); }
        }
    }
    return kluis_buf_ok(out, err);
}

static const char INSERT_FTS[] = "INSERT INTO fts(rowid, text, side, meta) VALUES(?1, ?2, ?3, ?4)";
static const char DELETE_FTS[] = "INSERT INTO fts(fts, rowid, text, side, meta) VALUES('delete', ?1, ?2, ?3, ?4)";

/* An old row whose group changed: its entry goes, comes, or gets other tokens. */
static kluis_status refresh(struct index *ix, const struct idirty *d, struct kluis_err *err)
{
    struct kluis_db *db = ix->w.hot;
    KLUIS_AUTO_BUF(meta, 1 << 16);
    KLUIS_AUTO_BUF(side, 8 << 20);
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(db, &q, err, "SELECT lead, text, extra FROM rec WHERE id=?1", "i", d->row));
    kluis_status st = kluis_db_step(db, q, err);
    if (st == KLUIS_END) { return KLUIS_OK; } /* erased, its entry with it */
    KLUIS_TRY(st);
    bool leader = sqlite3_column_type(q, 0) == SQLITE_NULL;
    struct kluis_str text = kluis_db_text(q, 1), extra[IEXTRAS];
    if (!iextra_read(kluis_db_blob(q, 2), extra)) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a record of the index is damaged: delete it and rebuild");
    }
    iside_write(&side, extra);
    if (leader) { KLUIS_TRY(imeta_of(&ix->w, db, d->row, &meta, err)); }
    KLUIS_TRY(kluis_buf_ok(&side, err));
    const struct kluis_str s = { (const char *)side.data, side.len }, m = { (const char *)meta.data, meta.len };
    if (d->had && !(leader && kluis_str_is(m, d->meta))) { KLUIS_TRY(kluis_db_run(db, NULL, err, DELETE_FTS, "itts", d->row, text, s, d->meta)); }
    if (leader && !(d->had && kluis_str_is(m, d->meta))) { KLUIS_TRY(kluis_db_run(db, NULL, err, INSERT_FTS, "ittt", d->row, text, s, m)); }
    kluis_db_done(q);
    return KLUIS_OK;
}

/* Ascending rows only: FTS5 writes out its memory whenever a row goes back. */
kluis_status ibatch_fts(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (b->n_dirty > 0) { qsort(b->dirty, b->n_dirty, sizeof *b->dirty, by_row); }
    for (size_t i = 0; i < b->n_dirty; i++) { KLUIS_TRY(refresh(ix, &b->dirty[i], err)); }
    KLUIS_AUTO_BUF(meta, 1 << 16);
    for (size_t i = 0; i < b->n; i++) {
        const struct ipending *p = &b->pending[i];
        if (!p->leader) { continue; }
        kluis_buf_clear(&meta);
        if (p->several) {
            KLUIS_TRY(imeta_of(&ix->w, ix->w.hot, p->row, &meta, err));
        } else {
            kluis_buf_fmt(&meta, "c%lld o%d p%d", (long long)p->conv, p->official, p->platform);
        }
        KLUIS_TRY(kluis_buf_ok(&meta, err));
        const char *base = (const char *)b->text.data;
        const struct kluis_str text = { p->text_len == 0 ? "" : base + p->text, p->text_len },
                               side = { p->side_len == 0 ? NULL : base + p->side, p->side_len };
        KLUIS_TRY(
            kluis_db_run(ix->w.hot, NULL, err, INSERT_FTS, "ittt", p->row, text, side, (struct kluis_str){ (const char *)meta.data, meta.len }));
    }
    /* In memory before the commit, so that no reader can see a row whose key is not there. */
    struct ikey *keys = kluis_calloc(b->n + 1, sizeof *keys);
    if (keys == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    for (size_t i = 0; i < b->n; i++) { keys[i] = b->pending[i].key; }
    kluis_status st = b->n == 0 ? KLUIS_OK : ihot_append(&ix->hot, keys, b->n, b->first, err);
    kluis_free(keys);
    clear(b);
    b->first = b->next_row;
    return st;
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
    isame_write(work, &same, has_id);
    /* With the link in it, equal words of other chats are not in the way. */
    uint32_t hash = ihash((const char *)work->data + author, work->len - author, (uint32_t)at->link);
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
    int64_t row = b->next_row++;
    struct ikey key = { when, itie(p->id, r->ordinal) };
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(
        ix->w.hot, &q, err,
        "INSERT INTO rec(id, pkg, tie, conv, at, hash, bits, ver, text, extra, idkey) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        "iiiiiiiitb", row, pkg, key.tie, at->conv, key.at, (int64_t)hash, bits, b->version, r->text,
        (struct kluis_bytes){ packed == 0 ? NULL : work->data, packed }));
    if (has_id && sqlite3_bind_int64(q, 11, idkey) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status st = kluis_db_step(ix->w.hot, q, err);
    if (st != KLUIS_END) { return st; }
    b->sightings++;
    b->groups++;
    *out = (struct irow){ 0, row, at->conv, key.at, idkey, hash, has_id };
    const struct ipending pending = {
        .row = row, .conv = at->conv, .official = (int32_t)at->official, .platform = (int32_t)at->platform, .leader = true
    };
    return ibatch_pend(ix, &pending, r->text, (struct kluis_str){ (const char *)work->data + packed, work->len - packed }, key, err);
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
    /* Records without an id can only meet those of another device. */
    for (size_t i = 0; i < p->n_rows; i++) {
        const struct ipending *known = ipending_of(ix, rows[i].row);
        if (known != NULL && known->settled) { continue; } /* in a run with an earlier one */
        if (p->rows[i].kind != KLUIS_GAP && (rows[i].has_id || place.several)) { KLUIS_TRY(igroup_settle(ix, &rows[i], false, err)); }
    }
    ix->b.package_row = 0;
    return KLUIS_OK;
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

kluis_status index_commit(struct index *ix, struct kluis_err *err)
{
    struct ibatch *b = &ix->b;
    if (!b->open) { return KLUIS_OK; }
    struct kluis_db *db = ix->w.hot;
    kluis_status st = ibatch_fts(ix, err);
    if (st == KLUIS_OK) { st = istore_set(db, "watermark", b->sequence, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "next_row", b->next_row, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "ver", b->version, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "sightings", b->sightings, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "groups", b->groups, err); }
    if (st == KLUIS_OK) { st = istore_set(db, "conflicts", b->conflicts, err); }
    if (st == KLUIS_OK) { st = kluis_db_commit(db, "index.commit", err); }
    if (st != KLUIS_OK) {
        ibatch_rollback(ix);
        return st;
    }
    b->open = false;
    (void)pthread_mutex_lock(&ix->lock);
    ix->watermark = b->sequence;
    (void)pthread_mutex_unlock(&ix->lock);
    return KLUIS_OK;
}
