/* What people type into the search field: every query that is understood is an expression FTS5 understands too, and marks lie in the text. */
#include <sqlite3.h>

#include "server/index/internal.h"
#include "tests/fuzz/fuzz.h"

static sqlite3 *db;
static sqlite3_stmt *match;

void fuzz_setup(void)
{
    MUST(sqlite3_open(":memory:", &db) == SQLITE_OK && itoken_register(db) == SQLITE_OK);
    MUST(sqlite3_exec(db, "CREATE VIRTUAL TABLE fts USING fts5(text, side, meta, content='', columnsize=0, tokenize='kluis')", NULL, NULL, NULL) ==
         SQLITE_OK);
    MUST(sqlite3_exec(db, "INSERT INTO fts(rowid, text, side, meta) VALUES(1, 'De nota over de dijk ligt klaar', 'foto.jpg', 'p1 c1')", NULL, NULL,
                      NULL) == SQLITE_OK);
    MUST(sqlite3_prepare_v2(db, "SELECT rowid FROM fts WHERE fts MATCH ?1", -1, &match, NULL) == SQLITE_OK);
}

/* Input: query, newline, a text to mark. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    const uint8_t *nl = n == 0 ? NULL : memchr(p, '\n', n);
    struct kluis_str q = fuzz_str(p, nl == NULL ? n : (size_t)(nl - p)), text = { "De nota over de dijk", 20 };
    if (nl != NULL && kluis_utf8_valid((const char *)nl + 1, n - q.len - 1) == n - q.len - 1) { text = fuzz_str(nl + 1, n - q.len - 1); }
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(8 << 20);
    KLUIS_AUTO_BUF(fts, 1 << 20);
    static struct iquery parsed;
    struct kluis_err err = { 0 };
    memset(&parsed, 0, sizeof parsed);
    kluis_status rc = iquery_parse(q, "(meta : (\"p1\"))", arena, &fts, &parsed, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    MUST(fts.status == KLUIS_OK && parsed.n_phrases <= IPHRASES);
    MUST(sqlite3_bind_text(match, 1, (const char *)fts.data, (int)fts.len, SQLITE_STATIC) == SQLITE_OK);
    int got = sqlite3_step(match);
    if (got != SQLITE_ROW && got != SQLITE_DONE) {
        (void)fprintf(stderr, "FTS5: %s: %.*s\n", sqlite3_errmsg(db), (int)fts.len, (const char *)fts.data);
        abort();
    }
    (void)sqlite3_reset(match);
    static uint32_t marks[2 * IMARKS_MAX];
    size_t pairs = iquery_marks(&parsed, text, marks);
    uint32_t last = 0;
    for (size_t i = 0; i < pairs; i++) {
        MUST(marks[2 * i] >= last && marks[2 * i] < marks[2 * i + 1] && marks[2 * i + 1] <= text.len);
        last = marks[2 * i + 1];
    }
    return 0;
}
