/* android.c - WhatsApp on Android: msgstore.db, plain or crypt12, crypt14, crypt15, with wa.db and Media/ beside it.
 *
 * Both schemas: `message` since 2022, `messages` before.  A message's id is its key_id, the same on every phone.
 */
#include "agent/source/whatsapp_android/android.h"

static const char *const tells[] = { "text",   "edit-times",  "deletions", "reactions", "quotes",    "polls",    "votes", "calls", "group-changes",
                                     "timers", "attachments", "numbers",   "mentions",  "locations", "contacts", "names", NULL };
static const char *const loss[] = {
    "edit-originals", "deleted-content", "view-once-content", "read-receipts", "earlier-votes", "former-members", NULL
};

static kluis_status options(struct android *a, struct kluis_err *err)
{
    for (size_t i = 0; i < a->q->n_options; i++) {
        const char *k = a->q->options[i].key, *v = a->q->options[i].value;
        size_t n = strlen(v);
        if (strcmp(k, "key") == 0) { continue; }
        if (strcmp(k, "number") == 0 && v[0] == '+' && n >= 6 && n <= 16 && strspn(v + 1, "0123456789") == n - 1) {
            (void)snprintf(a->self_jid, sizeof a->self_jid, "%s@s.whatsapp.net", v + 1);
            continue;
        }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, ANDROID_KIND ": options are key=@FILE and number=+31… (your own); \"%.40s\" is not one", k);
    }
    return KLUIS_OK;
}

/* The database does not state its owner's number; the name only where a backup carries it. */
static void self(struct android *a)
{
    struct sqlite3_stmt *st = NULL;
    (void)snprintf(a->self_name, sizeof a->self_name, "self");
    if (!database_has_column(a->db, "props", "value")) { return; }
    if (kluis_db_query(a->db, &st, NULL, "SELECT value FROM props WHERE key='user_push_name'", "") == KLUIS_OK &&
        kluis_db_step(a->db, st, NULL) == KLUIS_OK) {
        struct kluis_str s = kluis_db_text(st, 0);
        if (s.len > 0 && s.len < sizeof a->self_name && memchr(s.ptr, 0, s.len) == NULL) {
            memcpy(a->self_name, s.ptr, s.len);
            a->self_name[s.len] = '\0';
        }
    }
    kluis_db_done(st);
}

static bool any(struct kluis_db *db, const char *sql)
{
    struct sqlite3_stmt *st = NULL;
    bool found = kluis_db_query(db, &st, NULL, sql, "") == KLUIS_OK && kluis_db_step(db, st, NULL) == KLUIS_OK;
    kluis_db_done(st);
    return found;
}

static kluis_status told(struct android *a, const char *what, const char *where, const char *why, struct kluis_err *err)
{
    const struct source_skip s = { .what = what, .where = where, .why = why };
    return a->sink->skipped == NULL ? KLUIS_OK : a->sink->skipped(a->sink->ctx, &s, err);
}

static kluis_status open_all(struct android *a, struct kluis_err *err)
{
    const char *roots[3] = { a->place.root[0], a->place.root[1], a->place.root[2] };
    char ignored[32] = "";
    struct kluis_err why = { 0 };
    KLUIS_TRY(options(a, err));
    KLUIS_TRY(android_locate(&a->place, a->q->path, err));
    KLUIS_TRY(android_open(a->q, a->place.path, &a->db, a->app_version, err));
    const bool modern = database_has_column(a->db, "message", "chat_row_id") && database_has_table(a->db, "chat") && database_has_table(a->db, "jid");
    if (!modern && !database_has_column(a->db, "messages", "key_remote_jid")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a database, but not WhatsApp's: it has neither the table message nor messages", a->place.path);
    }
    KLUIS_TRY(wdb_media_open(&a->media, roots, a->place.n_roots, err));
    if (a->place.contacts[0] != '\0' && android_open(a->q, a->place.contacts, &a->wa, ignored, &why) != KLUIS_OK) {
        /* Names are a help: without them people are shown by number. */
        KLUIS_TRY(told(a, "names of contacts", a->place.contacts, why.msg, err));
    }
    if (a->place.increment[0] != '\0') {
        KLUIS_TRY(told(a, "later pieces of a backup", a->place.increment,
                       "changes since the backup in a form this reader does not know; they come with the next whole one", err));
    }
    self(a);
    return android_names(a, err);
}

static kluis_status read_all(struct android *a, struct kluis_err *err)
{
    KLUIS_TRY(open_all(a, err));
    a->has = kluis_calloc(ANDROID_HAS, sizeof *a->has);
    if (a->has == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(wdb_book_new(&a->book, err));
    KLUIS_TRY(wdb_draft_init(&a->d, a->sink, err));
    /* A database on its way from one schema to the other holds the new table, empty but for a first row. */
    const bool modern = database_has_column(a->db, "message", "chat_row_id") && database_has_table(a->db, "chat") && database_has_table(a->db, "jid");
    const bool legacy = database_has_column(a->db, "messages", "key_remote_jid");
    if (modern && (!legacy || any(a->db, "SELECT 1 FROM message WHERE chat_row_id>0 LIMIT 1"))) {
        KLUIS_TRY(android_prepare(a, err));
        return android_chats(a, err);
    }
    return legacy_chats(a, err);
}

static void close_all(struct android *a)
{
    kluis_scratch_sqlite_close(a->work);
    database_close(a->db);
    database_close(a->wa);
    wdb_media_free(a->media);
    wdb_names_free(a->names);
    wdb_book_free(a->book);
    wdb_draft_free(&a->d);
    kluis_free(a->has);
    kluis_free(a);
}

static kluis_status read_android(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct android *a = kluis_calloc(1, sizeof *a);
    if (a == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    a->q = q;
    a->sink = sink;
    kluis_status rc = database_blame(read_all(a, err), q->path, err);
    close_all(a);
    return rc;
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct android_place *p = kluis_calloc(1, sizeof *p);
    struct wdb_media *m = NULL;
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_status rc = android_locate(p, q->path, err);
    const char *roots[3] = { p->root[0], p->root[1], p->root[2] };
    if (rc == KLUIS_OK) { rc = wdb_media_open(&m, roots, p->n_roots, err); }
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        int fd = wdb_media_get(m, wanted[i]);
        if (fd < 0) { continue; }
        struct kluis_input_fd state = { .fd = fd, .what = "attachment" };
        struct kluis_input in = kluis_input_from_fd(&state);
        rc = sink->attachment(sink->ctx, i, &in, err);
        kluis_close_quiet(&fd);
    }
    wdb_media_free(m);
    kluis_free(p);
    return rc;
}

const struct source_kind source_whatsapp_android = {
    .name = ANDROID_KIND,
    .platform = "whatsapp",
    .about_nl = "WhatsApp op Android: msgstore.db of de back-up daarvan (crypt12, crypt14, crypt15 met sleutel), met wa.db en Media",
    .about_en = "WhatsApp on Android: msgstore.db or its backup (crypt12, crypt14, crypt15 with key), with wa.db and Media",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = android_probe,
    .read = read_android,
    .attachments = attachments,
};
