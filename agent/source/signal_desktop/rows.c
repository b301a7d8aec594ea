/* rows.c - the database as frames: what it is, its owner, people and groups, chats, then messages in the order of their rows.
 *
 * A conversation's row number stands for its recipient and its chat alike; a message's place is its row number behind those of the others.
 */
#include "agent/source/signal_desktop/desktop.h"

#include <sqlite3.h>

enum { INFO, ACCOUNT, PEOPLE, CHATS, MESSAGES, DONE };
enum { JSON_MAX = 16 << 20 };
/* Places: 0 for the first frame, 1 for everything that is no message. */
enum { FIRST_MESSAGE = 2 };

static int column_of(struct sqlite3_stmt *st, const char *name)
{
    for (int i = 0, n = sqlite3_column_count(st); i < n; i++) {
        if (strcmp(sqlite3_column_name(st, i), name) == 0) { return i; }
    }
    return -1;
}

struct kluis_str desktop_column(struct sqlite3_stmt *st, const char *name)
{
    int i = column_of(st, name);
    if (i < 0 || sqlite3_column_type(st, i) == SQLITE_NULL) { return (struct kluis_str){ NULL, 0 }; }
    const char *p = (const char *)sqlite3_column_text(st, i);
    const size_t n = (size_t)sqlite3_column_bytes(st, i);
    return p == NULL || kluis_utf8_valid(p, n) != n ? (struct kluis_str){ NULL, 0 } : (struct kluis_str){ p, n };
}

bool desktop_column_u64(struct sqlite3_stmt *st, const char *name, uint64_t *out)
{
    int i = column_of(st, name);
    if (i < 0 || sqlite3_column_type(st, i) == SQLITE_NULL) { return false; }
    const int64_t n = sqlite3_column_int64(st, i);
    if (n < 0) { return false; }
    *out = (uint64_t)n;
    return true;
}

static kluis_status prepare(struct desktop *d, struct sqlite3_stmt **st, const char *sql, struct kluis_err *err)
{
    int rc = sqlite3_prepare_v3(kluis_db_handle(d->db), sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
    return rc == SQLITE_OK ? KLUIS_OK : kluis_db_fail(d->db, rc, "a query of Signal Desktop's database", err);
}

int64_t desktop_person(struct desktop *d, struct kluis_str id)
{
    struct sqlite3_stmt *const way[] = { d->by_id, d->by_service, d->by_number };
    int64_t row = 0;
    if (id.ptr == NULL || id.len == 0) { return 0; }
    struct desktop_known *k = &d->known[kluis_str_hash(id, 0) % DESKTOP_KNOWN];
    if (k->len == id.len && memcmp(k->id, id.ptr, id.len) == 0) { return k->row; }
    for (size_t i = 0; i < sizeof way / sizeof *way && row == 0; i++) {
        (void)sqlite3_bind_text(way[i], 1, id.ptr, (int)id.len, SQLITE_STATIC);
        if (sqlite3_step(way[i]) == SQLITE_ROW) { row = sqlite3_column_int64(way[i], 0); }
        (void)sqlite3_reset(way[i]);
    }
    if (id.len <= sizeof k->id) {
        k->len = id.len;
        k->row = row;
        memcpy(k->id, id.ptr, id.len);
    }
    return row;
}

/* items: { "id": …, "value": "<account id>.<device>" } */
static void owner_item(struct desktop *d, const char *id, char *out, size_t cap, char until)
{
    struct sqlite3_stmt *st = NULL;
    out[0] = '\0';
    if (sqlite3_prepare_v2(kluis_db_handle(d->db), "SELECT json_extract(json, '$.value') FROM items WHERE id = ?1", -1, &st, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_text(st, 1, id, -1, SQLITE_STATIC);
        if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) != NULL) {
            const char *p = (const char *)sqlite3_column_text(st, 0);
            size_t n = strcspn(p, (const char[]){ until, '\0' });
            if (n < cap) {
                memcpy(out, p, n);
                out[n] = '\0';
            }
        }
    }
    (void)sqlite3_finalize(st);
}

kluis_status desktop_begin(struct desktop *d, struct kluis_err *err)
{
    struct sqlite3_stmt *st;
    KLUIS_TRY(kluis_db_query(d->db, &st, err, "PRAGMA user_version", ""));
    kluis_status rc = kluis_db_step(d->db, st, err);
    if (rc == KLUIS_OK) { d->version = kluis_db_int(st, 0); }
    kluis_db_done(st);
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    if (!database_has_table(d->db, "messages") || !database_has_table(d->db, "conversations") || !database_has_table(d->db, "items")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: opened, but not a database of Signal Desktop", d->path);
    }
    if (d->version < DESKTOP_OLDEST || d->version > DESKTOP_NEWEST) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: its schema is version %lld, this reader knows %d to %d: %s", d->path, (long long)d->version,
                          DESKTOP_OLDEST, DESKTOP_NEWEST,
                          d->version > DESKTOP_NEWEST ? "update Chatkluis" : "start Signal once, which brings it up to date");
    }
    d->attachments_table = d->version >= DESKTOP_ATTACHMENTS && database_has_table(d->db, "message_attachments");
    d->calls_table = database_has_table(d->db, "callsHistory");
    d->json = kluis_arena_new(JSON_MAX);
    if (d->json == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_buf_init(&d->evidence, LINE_MAX_BYTES);
    owner_item(d, "uuid_id", d->self, sizeof d->self, '.');
    owner_item(d, "number_id", d->self_number, sizeof d->self_number, '.');
    KLUIS_TRY(prepare(d, &d->all, "SELECT rowid AS row_number, * FROM messages WHERE rowid > ?1 ORDER BY rowid", err));
    KLUIS_TRY(prepare(d, &d->one, "SELECT rowid AS row_number, * FROM messages WHERE rowid = ?1", err));
    KLUIS_TRY(prepare(d, &d->people, "SELECT rowid AS row_number, * FROM conversations WHERE rowid > ?1 ORDER BY rowid LIMIT 1", err));
    KLUIS_TRY(prepare(d, &d->by_id, "SELECT rowid FROM conversations WHERE id = ?1", err));
    KLUIS_TRY(prepare(d, &d->by_service, "SELECT rowid FROM conversations WHERE serviceId = ?1 ORDER BY rowid LIMIT 1", err));
    KLUIS_TRY(prepare(d, &d->by_number, "SELECT rowid FROM conversations WHERE e164 = ?1 ORDER BY rowid LIMIT 1", err));
    if (d->attachments_table) {
        KLUIS_TRY(prepare(d, &d->files,
                          "SELECT * FROM message_attachments WHERE messageId = ?1 AND editHistoryIndex = ?2 AND attachmentType = ?3 "
                          "ORDER BY orderInMessage LIMIT 256",
                          err));
    }
    if (d->calls_table) { KLUIS_TRY(prepare(d, &d->call, "SELECT * FROM callsHistory WHERE callId = ?1 LIMIT 1", err)); }
    d->self_row = desktop_person(d, kluis_str_of(d->self));
    if (d->self_row == 0) { d->self_row = desktop_person(d, kluis_str_of(d->self_number)); }
    return KLUIS_OK;
}

void desktop_end(struct desktop *d)
{
    struct sqlite3_stmt *const all[] = { d->all, d->one, d->people, d->by_id, d->by_service, d->by_number, d->files, d->call };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { (void)sqlite3_finalize(all[i]); }
    kluis_arena_free(d->json);
    kluis_buf_free(&d->evidence);
}

/* ---- people and chats -------------------------------------------------------------------------------------------- */

static struct kluis_str either(struct sqlite3_stmt *st, struct json *j, const char *name)
{
    struct kluis_str s = desktop_column(st, name);
    return s.ptr != NULL ? s : json_string(j, name);
}

static void group_members(struct make *k, struct json *snapshot, struct json *list)
{
    struct json *out = make_list(k, snapshot, "members");
    for (struct json *v = list != NULL ? list->child : NULL; v != NULL; v = v->next) {
        struct kluis_str id = json_string(v, "aci");
        make_uuid(k, make_push(out, make_object(k)), "userId", id.ptr != NULL ? id : json_string(v, "uuid"));
    }
}

static void recipient(struct desktop *d, struct sqlite3_stmt *st, struct json *frame)
{
    struct make *k = &d->make;
    struct json *j = NULL, *r = make_in(k, frame, "recipient");
    struct kluis_str text = desktop_column(st, "json");
    uint64_t row = 0;
    (void)desktop_column_u64(st, "row_number", &row);
    kluis_arena_clear(d->json);
    if (text.ptr == NULL || json_read_loose(text, d->json, &j, NULL) != KLUIS_OK) { j = NULL; }
    make_u64(k, r, "id", row);
    if ((int64_t)row == d->self_row) {
        (void)make_in(k, r, "self");
        return;
    }
    if (kluis_str_is(either(st, j, "type"), "group")) {
        struct json *g = make_in(k, r, "group"), *snapshot = make_in(k, g, "snapshot");
        make_text(k, g, "masterKey", json_string(j, "masterKey"));
        make_text(k, make_in(k, snapshot, "title"), "title", either(st, j, "name"));
        group_members(k, snapshot, json_array(j, "membersV2"));
        return;
    }
    struct json *c = make_in(k, r, "contact");
    struct kluis_str service = either(st, j, "serviceId"), number = either(st, j, "e164");
    const bool pni = service.ptr != NULL && service.len > 4 && memcmp(service.ptr, "PNI:", 4) == 0;
    make_uuid(k, c, pni ? "pni" : "aci", service);
    if (!pni) { make_uuid(k, c, "pni", json_string(j, "pni")); }
    if (number.ptr != NULL && number.len > 1 && number.ptr[0] == '+') {
        make_text(k, c, "e164", (struct kluis_str){ number.ptr + 1, number.len - 1 });
    }
    make_text(k, c, "username", json_string(j, "username"));
    make_text(k, c, "systemGivenName", json_string(j, "systemGivenName").ptr != NULL ? json_string(j, "systemGivenName") : either(st, j, "name"));
    make_text(k, c, "systemFamilyName", json_string(j, "systemFamilyName"));
    make_text(k, c, "profileGivenName", either(st, j, "profileName"));
    make_text(k, c, "profileFamilyName", either(st, j, "profileFamilyName"));
    struct kluis_str nick = json_string(j, "nicknameGivenName"), nick_family = json_string(j, "nicknameFamilyName");
    if (nick.ptr != NULL || nick_family.ptr != NULL) {
        struct json *n = make_in(k, c, "nickname");
        make_text(k, n, "given", nick);
        make_text(k, n, "family", nick_family);
    }
}

static void chat(struct desktop *d, struct sqlite3_stmt *st, struct json *frame)
{
    struct make *k = &d->make;
    struct json *j = NULL, *c = make_in(k, frame, "chat");
    struct kluis_str text = desktop_column(st, "json");
    uint64_t row = 0, seconds = 0;
    (void)desktop_column_u64(st, "row_number", &row);
    kluis_arena_clear(d->json);
    if (text.ptr == NULL || json_read_loose(text, d->json, &j, NULL) != KLUIS_OK) { j = NULL; }
    make_u64(k, c, "id", row);
    make_u64(k, c, "recipientId", row);
    if (json_u64(j, "expireTimer", &seconds) && seconds > 0 && seconds < UINT32_MAX) { make_u64(k, c, "expirationTimerMs", seconds * 1000); }
}

/* ---- frames -------------------------------------------------------------------------------------------------------- */

static kluis_status damaged(struct desktop *d, int rc, struct kluis_err *err)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB
               ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: damaged where its people or its indexes stand; let Signal repair it", d->path)
               : kluis_db_fail(d->db, rc, "reading Signal Desktop's database", err);
}

/* The next conversation as a recipient or a chat; *st NULL: there is none. */
static kluis_status next_person(struct desktop *d, struct sqlite3_stmt **st, struct kluis_err *err)
{
    (void)sqlite3_reset(d->people);
    (void)sqlite3_bind_int64(d->people, 1, d->last);
    int rc = sqlite3_step(d->people);
    *st = rc == SQLITE_ROW ? d->people : NULL;
    if (rc == SQLITE_ROW) { d->last = sqlite3_column_int64(d->people, 0); }
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? KLUIS_OK : damaged(d, rc, err);
}

static kluis_status message_frame(struct desktop *d, struct sqlite3_stmt *st, struct frame *out, struct kluis_err *err)
{
    const int64_t row = sqlite3_column_int64(st, 0);
    out->at = (uint64_t)row + FIRST_MESSAGE;
    kluis_buf_clear(&d->evidence);
    database_row_json(&d->evidence, "messages", st, 1, sqlite3_column_count(st) - 1);
    if (d->evidence.status != KLUIS_OK) {
        out->damage = "a message of more than 4 MiB";
        return KLUIS_OK;
    }
    out->raw = (struct kluis_str){ (const char *)d->evidence.data, d->evidence.len };
    out->tree = make_object(&d->make);
    if (out->tree != NULL) { desktop_item(d, st, out->tree); }
    return d->make.full ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

/* A row that cannot be read costs itself: the next readable one is looked for by its number, in ever larger steps. */
static kluis_status skip_damage(struct desktop *d, struct frame *out, struct kluis_err *err)
{
    int64_t step = 1, highest = INT64_MAX;
    for (; step < (INT64_C(1) << 32) && d->last < highest - step; step *= 2) {
        (void)sqlite3_reset(d->all);
        (void)sqlite3_bind_int64(d->all, 1, d->last + step);
        int rc = sqlite3_step(d->all);
        if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
            (void)sqlite3_reset(d->all);
            out->damage = "messages of a damaged part of the database";
            out->at = (uint64_t)d->last + FIRST_MESSAGE;
            d->last += step;
            (void)sqlite3_bind_int64(d->all, 1, d->last);
            return KLUIS_OK;
        }
        if ((rc & 0xff) != SQLITE_CORRUPT) { return damaged(d, rc, err); }
    }
    out->damage = "messages of a damaged part of the database, and all behind them";
    out->at = (uint64_t)d->last + FIRST_MESSAGE;
    d->phase = DONE;
    return KLUIS_OK;
}

static kluis_status next_message(struct desktop *d, struct frame *out, struct kluis_err *err)
{
    int rc = sqlite3_step(d->all);
    if (rc == SQLITE_DONE) {
        d->phase = DONE;
        return KLUIS_END;
    }
    if ((rc & 0xff) == SQLITE_CORRUPT) { return skip_damage(d, out, err); }
    if (rc != SQLITE_ROW) { return damaged(d, rc, err); }
    d->last = sqlite3_column_int64(d->all, 0);
    return message_frame(d, d->all, out, err);
}

static kluis_status one_message(struct desktop *d, struct frame *out, struct kluis_err *err)
{
    (void)sqlite3_reset(d->one);
    (void)sqlite3_bind_int64(d->one, 1, d->row);
    int rc = sqlite3_step(d->one);
    if (rc == SQLITE_DONE) { return KLUIS_END; }
    return rc == SQLITE_ROW ? message_frame(d, d->one, out, err) : damaged(d, rc, err);
}

static void info(struct desktop *d, struct json *frame)
{
    make_u64(&d->make, frame, "version", 1);
    make_u64(&d->make, frame, "backupTimeMs", (uint64_t)(kluis_now_us() / 1000));
}

static kluis_status next(void *ctx, struct kluis_arena *arena, struct frame *out, struct kluis_err *err)
{
    struct desktop *d = ctx;
    struct sqlite3_stmt *st = NULL;
    memset(out, 0, sizeof *out);
    kluis_arena_clear(arena);
    d->make = (struct make){ .arena = arena };
    out->number = ++d->number;
    if (d->row != 0) { return one_message(d, out, err); }
    if (d->phase == DONE) { return KLUIS_END; }
    if (d->phase == MESSAGES) { return next_message(d, out, err); }
    out->at = d->phase == INFO ? 0 : 1;
    out->raw = KLUIS_STR_LIT("");
    out->tree = make_object(&d->make);
    if (out->tree == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    if (d->phase == INFO) {
        info(d, out->tree);
        d->phase = ACCOUNT;
        return KLUIS_OK;
    }
    if (d->phase == ACCOUNT) {
        struct json *a = make_in(&d->make, out->tree, "account");
        d->last = d->self_row - 1;
        if (d->self_row > 0) { KLUIS_TRY(next_person(d, &st, err)); }
        if (st != NULL) {
            make_text(&d->make, a, "givenName", desktop_column(st, "profileName"));
            make_text(&d->make, a, "familyName", desktop_column(st, "profileFamilyName"));
        }
        d->last = 0;
        d->phase = PEOPLE;
        return KLUIS_OK;
    }
    KLUIS_TRY(next_person(d, &st, err));
    if (st == NULL) {
        d->phase = d->phase == PEOPLE ? CHATS : MESSAGES;
        d->last = 0;
        (void)sqlite3_reset(d->all);
        (void)sqlite3_bind_int64(d->all, 1, 0);
        d->number--;
        return next(ctx, arena, out, err);
    }
    if (d->phase == PEOPLE) {
        recipient(d, st, out->tree);
    } else {
        chat(d, st, out->tree);
    }
    return d->make.full ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

static kluis_status seek(void *ctx, uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct desktop *d = ctx;
    d->row = at < FIRST_MESSAGE ? 0 : (int64_t)(at - FIRST_MESSAGE);
    if (d->row != 0) { return KLUIS_OK; }
    d->phase = INFO;
    d->last = 0;
    d->number = 0;
    return KLUIS_OK;
}

struct frames desktop_frames(struct desktop *d) { return (struct frames){ .ctx = d, .unit = "row", .next = next, .seek = seek }; }
