/* A message's JSON in Signal Desktop's database, as every type of row, and as that of a person and a group: every record of it can be written. */
#include "agent/source/signal_desktop/desktop.h"
#include "tests/fuzz/source_sink.h"

#include <sqlite3.h>

static const char *const types[] = { "incoming",  "outgoing",        "timer-notification", "group-v2-change", "call-history",
                                     "keychange", "verified-change", "profile-change",     "story",           "new-one" };
static struct kluis_db *db;

static void let_go(void) { kluis_scratch_sqlite_close(db); }

void fuzz_setup(void)
{
    MUST(kluis_scratch_work(&db, NULL) == KLUIS_OK && atexit(let_go) == 0);
    MUST(kluis_db_exec(
             db,
             "CREATE TABLE conversations(id TEXT PRIMARY KEY, json TEXT, type TEXT, name TEXT, profileName TEXT, profileFamilyName TEXT, e164 TEXT, "
             "serviceId TEXT);"
             "CREATE TABLE items(id TEXT PRIMARY KEY, json TEXT);"
             "CREATE TABLE messages(id TEXT, json TEXT, type TEXT, conversationId TEXT, sent_at INTEGER, sourceServiceId TEXT);"
             "INSERT INTO items VALUES('uuid_id', '{\"value\":\"e1e1e1e1-0000-4000-8000-000000000001.1\"}');"
             "INSERT INTO conversations(id, type, serviceId) VALUES('a', 'private', 'e1e1e1e1-0000-4000-8000-000000000001');"
             "INSERT INTO conversations(id, type, serviceId) VALUES('b', 'private', 'e1e1e1e1-0000-4000-8000-000000000003');"
             "INSERT INTO conversations(id, type) VALUES('g', 'group');"
             "PRAGMA user_version=1270",
             NULL) == KLUIS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const none[] = { NULL };
    static const struct signal_form form = { .kind = "signal-desktop", .app = "Signal Desktop", .loss = none };
    struct sqlite3_stmt *st;
    MUST(kluis_db_exec(db, "DELETE FROM messages", NULL) == KLUIS_OK);
    MUST(sqlite3_prepare_v2(kluis_db_handle(db),
                            "INSERT INTO messages VALUES('m' || ?3, ?1, ?2, CASE WHEN ?3 % 2 THEN 'g' ELSE 'b' END, 1760000000000 + ?3, "
                            "'e1e1e1e1-0000-4000-8000-000000000003')",
                            -1, &st, NULL) == SQLITE_OK);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        MUST(sqlite3_bind_text(st, 1, (const char *)p, (int)n, SQLITE_STATIC) == SQLITE_OK);
        MUST(sqlite3_bind_text(st, 2, types[i], -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_bind_int(st, 3, (int)i) == SQLITE_OK);
        MUST(sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK);
    }
    MUST(sqlite3_finalize(st) == SQLITE_OK);
    MUST(sqlite3_prepare_v2(kluis_db_handle(db), "UPDATE conversations SET json=?1", -1, &st, NULL) == SQLITE_OK);
    MUST(sqlite3_bind_text(st, 1, (const char *)p, (int)n, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE);
    MUST(sqlite3_finalize(st) == SQLITE_OK);
    struct desktop d = { .path = "fuzz", .db = db };
    struct model m;
    struct source_seen seen = { 0 };
    struct kluis_err err = { 0 };
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    MUST(desktop_begin(&d, &err) == KLUIS_OK);
    model_init(&m, "fuzz", "database of Signal Desktop");
    m.frames = desktop_frames(&d);
    kluis_status rc = model_read(&m, &form, &sink, &err);
    MUST(rc == err.code && rc != KLUIS_E_BUG && rc != KLUIS_E_IO && (rc != KLUIS_OK || !seen.open));
    desktop_end(&d);
    kluis_buf_free(&seen.lines);
    return 0;
}
