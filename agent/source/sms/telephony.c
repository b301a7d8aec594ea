/* telephony.c - Android's own database of messages, mmssms.db: the same conversations and records as from a backup's XML.
 *
 * Rows become items whose attributes are the columns.  sms.date is in milliseconds, pdu.date in seconds.  Whose a multimedia message is the
 * database says by its thread.  Names of contacts are in another database and not told here.
 */
#include "agent/source/database/database.h"
#include "agent/source/sms/sms.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

enum { ROWS_MAX = 3 << 19, HOLES_MAX = 256, ELEMENT_MAX = 12 << 20, EVIDENCE_MAX = 4 << 20, COLUMNS_MAX = 200 };
enum from { FROM_SMS, FROM_PDU, FROM_HOLE };

struct place {
    int64_t date, id;
    uint32_t talk;
    enum from from;
};
struct hole {
    const char *table;
    int64_t after, before;
};
struct telephone {
    const char *path;
    struct kluis_db *db;
    const struct source_sink *sink;
    struct talks talks;
    struct item item;
    struct kluis_arena *scratch;
    struct sms_emit emit;
    struct kluis_buf evidence;
    struct place *places;
    size_t n, cap;
    struct hole holes[HOLES_MAX];
    size_t n_holes;
    bool threads;
    const char *table; /* of the walk under way */
};

bool telephony_is(const char *path)
{
    uint8_t head[16] = { 0 };
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    bool is = fd >= 0 && kluis_io_pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head && memcmp(head, "SQLite format 3", 16) == 0;
    kluis_close_quiet(&fd);
    return is;
}

/* ---- a row as an item -------------------------------------------------------------------------------------------------- */

static bool add(struct telephone *t, struct kluis_str name, struct kluis_str value)
{
    struct item *i = &t->item;
    if (i->n_attrs == ITEM_ATTRS_MAX || value.ptr == NULL) { return value.ptr == NULL; }
    struct attr *a = &i->attrs[i->n_attrs];
    size_t ok = kluis_utf8_valid(value.ptr, value.len);
    a->name = kluis_arena_str(t->scratch, name);
    a->value = value.len == 0 ? KLUIS_STR_LIT("") : kluis_arena_str(t->scratch, ok == value.len ? value : (struct kluis_str){ value.ptr, ok });
    if (a->name.ptr == NULL || a->value.ptr == NULL) { return false; }
    i->repaired |= ok != value.len; /* the rest stays in the evidence */
    i->n_attrs++;
    return true;
}

static bool columns(struct telephone *t, struct sqlite3_stmt *st, const char *table, bool seconds)
{
    int n = sqlite3_column_count(st);
    if (t->evidence.len > 0) { kluis_buf_byte(&t->evidence, '\n'); }
    database_row_json(&t->evidence, table, st, 1, n - 1);
    for (int c = 1; c < n && c < COLUMNS_MAX; c++) {
        struct kluis_str name = kluis_str_of(sqlite3_column_name(st, c));
        if (sqlite3_column_type(st, c) == SQLITE_NULL) { continue; }
        struct kluis_str v = kluis_db_text(st, c);
        if (seconds && (kluis_str_is(name, "date") || kluis_str_is(name, "date_sent"))) {
            int64_t s = kluis_db_int(st, c);
            v = s > -INT64_C(10000000000000) && s < INT64_C(10000000000000) ? build_fmt(t->scratch, "%lld", (long long)s * 1000) : v;
        }
        if (!add(t, name, v)) { return false; }
    }
    return true;
}

/* Android keeps a subject's UTF-8 bytes as if each were a character. */
static void subject(struct telephone *t)
{
    for (size_t k = 0; k < t->item.n_own; k++) {
        struct attr *a = &t->item.attrs[k];
        if (!kluis_str_is(a->name, "sub")) { continue; }
        char *out = kluis_arena_alloc(t->scratch, a->value.len + 1);
        size_t n = 0;
        bool high = false;
        for (size_t i = 0; out != NULL && i < a->value.len; i++) {
            unsigned char c = (unsigned char)a->value.ptr[i];
            if (c >= 0xC4) { return; } /* a character beyond U+00FF: no bytes */
            if (c >= 0xC2 && i + 1 < a->value.len) {
                c = (unsigned char)((c & 3u) << 6 | ((unsigned char)a->value.ptr[++i] & 0x3fu));
                high = true;
            }
            out[n++] = (char)c;
        }
        if (high && kluis_utf8_valid(out, n) == n) { a->value = (struct kluis_str){ out, n }; }
        return;
    }
}

/* After the last row of a table beside the message.  A page of it that does not read costs what it held. */
static kluis_status no_more(struct item *i, kluis_status rc, struct kluis_err *err)
{
    if (rc == KLUIS_OK) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a message with more in it than a message can have"); }
    if (rc == KLUIS_E_CORRUPT) {
        i->partly = true;
        if (err != NULL) { kluis_err_clear(err); }
    }
    return rc == KLUIS_END || rc == KLUIS_E_CORRUPT ? KLUIS_OK : rc;
}

static kluis_status groups(struct telephone *t, int64_t id, struct kluis_err *err)
{
    struct item *i = &t->item;
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_query(t->db, &st, err, "SELECT _id, * FROM part WHERE mid=?1 ORDER BY seq, _id", "i", id);
    while (rc == KLUIS_OK && (rc = kluis_db_step(t->db, st, err)) == KLUIS_OK) {
        if (i->n_parts == ITEM_PARTS_MAX) { continue; }
        struct item_group *g = &i->parts[i->n_parts++];
        *g = (struct item_group){ .first = i->n_attrs, .size = -1 };
        if (!columns(t, st, "part", false)) { break; }
        g->n = i->n_attrs - g->first;
        struct kluis_str file = build_base_name(sms_group_get(i, g, "_data"));
        g->has_data = file.ptr != NULL && file.len > 0;
        g->file = file;
    }
    kluis_db_done(st);
    KLUIS_TRY(no_more(i, rc, err));
    rc = kluis_db_query(t->db, &st, err, "SELECT _id, * FROM addr WHERE msg_id=?1 ORDER BY _id", "i", id);
    while (rc == KLUIS_OK && (rc = kluis_db_step(t->db, st, err)) == KLUIS_OK) {
        if (i->n_addrs == ITEM_ADDRS_MAX) { continue; }
        struct item_group *g = &i->addrs[i->n_addrs++];
        *g = (struct item_group){ .first = i->n_attrs, .size = -1 };
        if (!columns(t, st, "addr", false)) { break; }
        g->n = i->n_attrs - g->first;
    }
    kluis_db_done(st);
    return no_more(i, rc, err);
}

/* The addresses of a thread with '~' between, as the backup app writes them; absent: not told. */
static struct kluis_str thread_addresses(struct telephone *t, struct kluis_str thread)
{
    struct sqlite3_stmt *st = NULL, *one = NULL;
    int64_t id = 0;
    struct kluis_str out = { NULL, 0 };
    KLUIS_AUTO_BUF(b, 64 << 10);
    if (!t->threads || !sms_i64(thread, &id)) { return out; }
    if (kluis_db_query(t->db, &st, NULL, "SELECT recipient_ids FROM threads WHERE _id=?1", "i", id) == KLUIS_OK &&
        kluis_db_step(t->db, st, NULL) == KLUIS_OK) {
        struct kluis_str ids = kluis_db_text(st, 0);
        for (size_t from = 0; ids.ptr != NULL && from < ids.len;) {
            const char *space = memchr(ids.ptr + from, ' ', ids.len - from);
            size_t end = space == NULL ? ids.len : (size_t)(space - ids.ptr);
            int64_t who = 0;
            if (sms_i64((struct kluis_str){ ids.ptr + from, end - from }, &who) &&
                kluis_db_query(t->db, &one, NULL, "SELECT address FROM canonical_addresses WHERE _id=?1", "i", who) == KLUIS_OK &&
                kluis_db_step(t->db, one, NULL) == KLUIS_OK) {
                if (b.len > 0) { kluis_buf_byte(&b, '~'); }
                kluis_buf_str(&b, kluis_db_text(one, 0));
            }
            kluis_db_done(one);
            from = end + 1;
        }
    }
    kluis_db_done(st);
    if (b.len > 0 && b.status == KLUIS_OK) { out = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)b.data, b.len }); }
    return out;
}

static kluis_status make_item(struct telephone *t, struct sqlite3_stmt *st, enum from from, struct kluis_err *err)
{
    struct item *i = &t->item;
    kluis_arena_clear(t->scratch);
    kluis_buf_clear(&t->evidence);
    i->what = from == FROM_SMS ? SLICE_SMS : SLICE_MMS;
    i->n_attrs = i->n_parts = i->n_addrs = 0;
    i->repaired = i->partly = false;
    i->exact = true;
    i->why = NULL;
    int64_t id = kluis_db_int(st, 0);
    bool ok = columns(t, st, from == FROM_SMS ? "sms" : "pdu", from == FROM_PDU);
    i->n_own = i->n_attrs;
    if (ok && from == FROM_PDU) {
        struct kluis_str who = thread_addresses(t, sms_get(i, "thread_id"));
        if (who.ptr != NULL) {
            ok = add(t, KLUIS_STR_LIT("address"), who);
            i->n_own = i->n_attrs;
        }
        subject(t);
        KLUIS_TRY(groups(t, id, err));
    }
    i->raw = kluis_buf_bytes(&t->evidence);
    i->at = (uint64_t)id;
    if (t->evidence.status != KLUIS_OK || !ok) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: row %lld is larger than a message can be", t->path, (long long)id);
    }
    return KLUIS_OK;
}

static void hole_item(struct telephone *t, const struct hole *h)
{
    struct item *i = &t->item;
    kluis_arena_clear(t->scratch);
    i->what = SLICE_DAMAGED;
    i->n_own = i->n_attrs = i->n_parts = i->n_addrs = 0;
    i->exact = true;
    i->repaired = i->partly = false;
    i->raw = (struct kluis_bytes){ NULL, 0 };
    i->at = 0;
    i->why =
        build_fmt(t->scratch, "rows of %s after %lld and before %lld lie on damaged pages", h->table, (long long)h->after, (long long)h->before).ptr;
}

/* ---- both passes --------------------------------------------------------------------------------------------------------- */

static kluis_status note(struct telephone *t, enum from from, int64_t id, struct kluis_err *err)
{
    uint32_t talk = 0;
    int64_t date = INT64_MAX;
    KLUIS_TRY(talks_note(&t->talks, &t->item, t->scratch, &talk, err));
    if (t->n == t->cap) {
        size_t cap = t->cap == 0 ? 4096 : t->cap * 2;
        struct place *p = cap > 2 * (size_t)ROWS_MAX ? NULL : kluis_realloc(t->places, (cap > ROWS_MAX ? ROWS_MAX : cap) * sizeof *p);
        if (p == NULL || t->n == ROWS_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s holds more than %d messages: read a backup's .xml instead", t->path, (int)ROWS_MAX);
        }
        t->places = p;
        t->cap = cap > ROWS_MAX ? ROWS_MAX : cap;
    }
    (void)sms_i64(sms_get(&t->item, "date"), &date);
    t->places[t->n++] = (struct place){ date, id, talk, from };
    return KLUIS_OK;
}

static kluis_status on_row(void *ctx, struct sqlite3_stmt *st, struct kluis_err *err)
{
    struct telephone *t = ctx;
    enum from from = strcmp(t->table, "sms") == 0 ? FROM_SMS : FROM_PDU;
    int64_t id = kluis_db_int(st, 0);
    KLUIS_TRY(make_item(t, st, from, err));
    return note(t, from, id, err);
}

static kluis_status on_hole(void *ctx, int64_t after, int64_t before, struct kluis_err *err)
{
    struct telephone *t = ctx;
    if (t->n_holes == HOLES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s is damaged in more than %d places", t->path, (int)HOLES_MAX); }
    t->holes[t->n_holes] = (struct hole){ t->table, after, before };
    hole_item(t, &t->holes[t->n_holes]);
    return note(t, FROM_HOLE, (int64_t)t->n_holes++, err);
}

static int in_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->talk != y->talk) { return x->talk < y->talk ? -1 : 1; }
    if (x->date != y->date) { return x->date < y->date ? -1 : 1; }
    if (x->from != y->from) { return x->from < y->from ? -1 : 1; }
    return x->id < y->id ? -1 : x->id > y->id;
}

static kluis_status give(struct telephone *t, const struct place *p, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    if (p->from == FROM_HOLE) {
        hole_item(t, &t->holes[p->id]);
        return sms_emit_item(&t->emit, &t->talks.list[p->talk], &t->item, err);
    }
    kluis_status rc = p->from == FROM_SMS ? kluis_db_query(t->db, &st, err, "SELECT _id, * FROM sms WHERE _id=?1", "i", p->id)
                                          : kluis_db_query(t->db, &st, err, "SELECT _id, * FROM pdu WHERE _id=?1", "i", p->id);
    if (rc == KLUIS_OK) { rc = kluis_db_step(t->db, st, err); }
    if (rc == KLUIS_OK) { rc = make_item(t, st, p->from, err); }
    kluis_db_done(st);
    if (rc == KLUIS_END ||
        rc == KLUIS_E_CORRUPT) { /* seen when all rows were, and not found by its number: a page that only one of the two ways reads */
        kluis_err_clear(err);
        hole_item(t, &(struct hole){ p->from == FROM_SMS ? "sms" : "pdu", p->id - 1, p->id + 1 });
        return sms_emit_item(&t->emit, &t->talks.list[p->talk], &t->item, err);
    }
    KLUIS_TRY(rc);
    for (size_t k = 0; k < t->item.n_parts; k++) {
        struct item_group *g = &t->item.parts[k];
        uint8_t head[48];
        int fd = g->has_data ? telephony_part(t->path, g->file) : -1;
        struct stat s;
        if (fd >= 0 && fstat(fd, &s) == 0) {
            ssize_t n = kluis_io_pread(fd, head, sizeof head, 0);
            g->size = s.st_size;
            g->type = n > 0 ? build_type_of(head, (size_t)n) : NULL;
        } else {
            g->has_data = false;
        }
        kluis_close_quiet(&fd);
    }
    return sms_emit_item(&t->emit, &t->talks.list[p->talk], &t->item, err);
}

static kluis_status both(struct telephone *t, struct kluis_err *err)
{
    struct database_walk sms = { t, "SELECT _id, * FROM sms WHERE _id > ?1 ORDER BY _id", on_row, on_hole },
                         pdu = { t, "SELECT _id, * FROM pdu WHERE _id > ?1 ORDER BY _id", on_row, on_hole };
    if (!database_has_table(t->db, "sms") || !database_has_column(t->db, "sms", "body")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no mmssms.db: it has no table sms", t->path);
    }
    t->threads = database_has_table(t->db, "threads") && database_has_table(t->db, "canonical_addresses");
    t->table = "sms";
    KLUIS_TRY(database_walk(t->db, &sms, err));
    t->table = "pdu";
    if (database_has_table(t->db, "pdu") && database_has_table(t->db, "part") && database_has_table(t->db, "addr")) {
        KLUIS_TRY(database_walk(t->db, &pdu, err));
    }
    talks_conclude(&t->talks);
    if (t->n > 1) { qsort(t->places, t->n, sizeof *t->places, in_order); }
    for (size_t i = 0; i < t->n; i++) {
        if (i == 0 || t->places[i].talk != t->places[i - 1].talk) { KLUIS_TRY(sms_emit_begin(&t->emit, &t->talks.list[t->places[i].talk], err)); }
        KLUIS_TRY(give(t, &t->places[i], err));
        if (i + 1 == t->n || t->places[i].talk != t->places[i + 1].talk) { KLUIS_TRY(t->sink->end(t->sink->ctx, err)); }
    }
    return KLUIS_OK;
}

int telephony_part(const char *path, struct kluis_str file)
{
    static const char *const folders[] = { "", "app_parts/", "parts/" };
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    for (size_t i = 0; i < 3; i++) {
        char full[KLUIS_PATH_MAX];
        struct stat s;
        int w = snprintf(full, sizeof full, "%.*s%s%.*s", (int)n, path, folders[i], (int)file.len, file.ptr);
        if (w < 0 || (size_t)w >= sizeof full || file.len == 0 || file.ptr[0] == '.' || memchr(file.ptr, '/', file.len) != NULL) { return -1; }
        int fd = kluis_io_open(full, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW, 0);
        if (fd >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode)) { return fd; }
        kluis_close_quiet(&fd);
    }
    return -1;
}

kluis_status telephony_read(const char *path, const char *number, const char *country, const struct source_sink *sink, struct kluis_err *err)
{
    struct telephone *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    t->path = path;
    t->sink = sink;
    t->talks.country = country;
    t->scratch = kluis_arena_new(ELEMENT_MAX);
    kluis_buf_init(&t->evidence, EVIDENCE_MAX);
    t->emit =
        (struct sms_emit){ .sink = sink, .talks = &t->talks, .number = number, .file = "", .is_database = true, .tables = kluis_arena_new(4 << 20) };
    t->emit.arena = t->scratch;
    kluis_status rc = t->scratch == NULL || t->emit.tables == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    if (rc == KLUIS_OK) { rc = talks_init(&t->talks, err); }
    if (rc == KLUIS_OK) { rc = database_open_plain(&t->db, path, err); }
    if (rc == KLUIS_OK) { rc = both(t, err); }
    rc = database_blame(rc, path, err);
    database_close(t->db);
    talks_free(&t->talks);
    kluis_arena_free(t->emit.tables);
    kluis_arena_free(t->scratch);
    kluis_buf_free(&t->evidence);
    kluis_free(t->places);
    kluis_free(t);
    return rc;
}

enum source_sure telephony_probe(const char *path)
{
    struct kluis_db *db = NULL;
    enum source_sure s = SOURCE_NO;
    if (!telephony_is(path) || database_open_plain(&db, path, NULL) != KLUIS_OK) { return SOURCE_NO; }
    if (database_has_column(db, "sms", "body") && database_has_column(db, "sms", "address")) {
        s = database_has_table(db, "pdu") && database_has_table(db, "part") ? SOURCE_CERTAIN : SOURCE_LIKELY;
    }
    database_close(db);
    return s;
}
