/* Messages on Mac and iPhone: an archived text, a list of edits, the cells of every type of row, a database with damage anywhere. */
#include <sqlite3.h>

#include "agent/source/imessage/imessage.h"
#include "tests/fuzz/source_sink.h"

static char path[KLUIS_PATH_MAX], cells[KLUIS_PATH_MAX];
static int fd = -1;
static sqlite3 *db;

static void let_go(void)
{
    database_forget();
    (void)sqlite3_close(db);
}

void fuzz_setup(void)
{
    MUST(setenv("TMPDIR", fuzz_dir(), 1) == 0);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "it.db", NULL) == KLUIS_OK &&
         kluis_path(cells, sizeof cells, fuzz_dir(), "cells.db", NULL) == KLUIS_OK);
    fd = fuzz_file(path);
    MUST(sqlite3_open(cells, &db) == SQLITE_OK && atexit(let_go) == 0);
    MUST(
        sqlite3_exec(
            db,
            "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY;"
            "CREATE TABLE handle(ROWID INTEGER PRIMARY KEY, id TEXT, service TEXT);"
            "CREATE TABLE chat(ROWID INTEGER PRIMARY KEY, guid TEXT, style INTEGER, chat_identifier TEXT, group_id TEXT, display_name TEXT);"
            "CREATE TABLE chat_message_join(chat_id INTEGER, message_id INTEGER, PRIMARY KEY(chat_id, message_id));"
            "CREATE TABLE chat_handle_join(chat_id INTEGER, handle_id INTEGER);"
            "CREATE TABLE attachment(ROWID INTEGER PRIMARY KEY, guid TEXT, filename TEXT, mime_type TEXT, transfer_name TEXT, total_bytes INTEGER);"
            "CREATE TABLE message_attachment_join(message_id INTEGER, attachment_id INTEGER);"
            "CREATE TABLE message(ROWID INTEGER PRIMARY KEY, guid TEXT, text TEXT, handle_id INTEGER, attributedBody BLOB, date INTEGER, date_edited "
            "INTEGER, "
            "is_from_me INTEGER, item_type INTEGER, group_action_type INTEGER, group_title TEXT, other_handle INTEGER, associated_message_guid TEXT, "
            "associated_message_type INTEGER, associated_message_emoji TEXT, message_summary_info BLOB, thread_originator_guid TEXT);"
            "INSERT INTO handle VALUES(1,'+31600000003','iMessage'); INSERT INTO chat VALUES(1,'g',45,'+31600000003',NULL,'n');"
            "INSERT INTO chat_handle_join VALUES(1,1)",
            NULL, NULL, NULL) == SQLITE_OK);
}

static void read_at(const char *where)
{
    const struct source_request q = { .path = where };
    struct source_seen seen = { 0 };
    struct kluis_err err = { 0 };
    database_forget();
    kluis_buf_init(&seen.lines, 64 << 20);
    const struct source_sink sink = SOURCE_SINK(&seen);
    kluis_status rc = source_imessage.read(&q, &sink, &err);
    MUST((rc != KLUIS_OK || !seen.open) && rc != KLUIS_E_BUG && rc != KLUIS_E_USAGE);
    kluis_buf_free(&seen.lines);
    source_drain(&source_imessage, &q, &seen);
}

static void one_row_of_each(const uint8_t *p, size_t n)
{
    static const struct {
        int item, type;
    } rows[] = { { 0, 0 }, { 1, 0 }, { 2, 0 }, { 3, 0 }, { 7, 0 }, { 0, 2000 }, { 0, 2006 }, { 0, 3007 }, { 0, 1000 } };
    sqlite3_stmt *st;
    MUST(sqlite3_exec(db, "DELETE FROM message; DELETE FROM chat_message_join; DELETE FROM attachment; DELETE FROM message_attachment_join", NULL,
                      NULL, NULL) == SQLITE_OK);
    MUST(sqlite3_prepare_v2(db,
                            "INSERT INTO message VALUES(?1, CASE WHEN ?1 % 2 THEN 'g' || ?1 ELSE ?2 END, CASE WHEN ?1 % 3 THEN NULL ELSE ?2 END, 1, "
                            "?3, ?1 * 700000000, 5, ?1 % 2, ?4, "
                            "?1 % 5, ?2, 1, ?2, ?5, ?2, ?3, CASE WHEN ?1 % 2 THEN ?2 END)",
                            -1, &st, NULL) == SQLITE_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        MUST(sqlite3_bind_int(st, 1, (int)i + 1) == SQLITE_OK && sqlite3_bind_text(st, 2, (const char *)p, (int)n, SQLITE_STATIC) == SQLITE_OK);
        MUST(sqlite3_bind_blob(st, 3, p, (int)n, SQLITE_STATIC) == SQLITE_OK && sqlite3_bind_int(st, 4, rows[i].item) == SQLITE_OK);
        MUST(sqlite3_bind_int(st, 5, rows[i].type) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE && sqlite3_reset(st) == SQLITE_OK);
    }
    MUST(sqlite3_finalize(st) == SQLITE_OK);
    MUST(sqlite3_exec(db,
                      "INSERT INTO chat_message_join SELECT 1, ROWID FROM message WHERE ROWID <> 4; INSERT INTO attachment SELECT 1, 'a', text, "
                      "text, group_title, 9 FROM message "
                      "WHERE ROWID=3; INSERT INTO message_attachment_join VALUES(1,1)",
                      NULL, NULL, NULL) == SQLITE_OK);
    read_at(cells);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct typed_text text;
    static struct im_summary summary;
    struct kluis_arena *arena;
    switch (fuzz_which(&p, &n, 4)) {
    case 0:
        arena = kluis_arena_new(IM_TYPED_ARENA);
        MUST(arena != NULL);
        if (typed_read((struct kluis_bytes){ p, n }, arena, &text)) {
            MUST(text.n <= TYPED_RUNS_MAX && text.text.ptr >= (const char *)p && text.text.ptr + text.text.len <= (const char *)p + n);
        }
        kluis_arena_free(arena);
        break;
    case 1:
        if (im_summary_read((struct kluis_bytes){ p, n }, &summary)) {
            MUST(summary.n_parts <= IM_PARTS && summary.n_unsent <= IM_PARTS);
            for (size_t i = 0; i < summary.n_parts; i++) { MUST(summary.part[i].n <= IM_VERSIONS); }
        }
        im_summary_free(&summary);
        break;
    case 2: one_row_of_each(p, n); break;
    default:
        MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
        read_at(path);
        break;
    }
    return 0;
}
