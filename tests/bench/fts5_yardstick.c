/* tests/bench/fts5_yardstick.c - what ingest is measured against: SQLite and FTS5 alone, no encryption, no evidence, no groups.
 *
 * fts5_yardstick TEXTS.tsv DATABASE: inserts every line as a row (external content, an index on conversation) and into FTS5
 * (unicode61, hashsize 64 MiB), a transaction each 100,000 rows, WAL, synchronous=NORMAL; prints seconds of the clock and of the CPU.
 * This is the fastest plain variant that we found. */
#include "kluis/base.h"

#include <sqlite3.h>
#include <sys/resource.h>

enum { BATCH = 100000, LINE = 65536 };

static void need(int rc, sqlite3 *db, const char *what)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        fprintf(stderr, "fts5_yardstick: %s: %s\n", what, sqlite3_errmsg(db));
        exit(74);
    }
}

static void run(sqlite3 *db, const char *sql) { need(sqlite3_exec(db, sql, NULL, NULL, NULL), db, sql); }

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    need(sqlite3_prepare_v2(db, sql, -1, &s, NULL), db, sql);
    return s;
}

int main(int argc, char **argv)
{
    static char line[LINE];
    sqlite3 *db = NULL;
    struct kluis_err err = { 0 };
    if (argc != 3 || kluis_base_init(&err) != KLUIS_OK) {
        fprintf(stderr, "usage: fts5_yardstick TEXTS.tsv DATABASE\n");
        return 64;
    }
    FILE *f = fopen(argv[1], "r");
    if (f == NULL) {
        fprintf(stderr, "fts5_yardstick: cannot read %s\n", argv[1]);
        return 74;
    }
    int64_t from = kluis_monotonic_us(), n = 0;
    need(sqlite3_open(argv[2], &db), db, "open");
    run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536");
    run(db, "CREATE TABLE msg(id INTEGER PRIMARY KEY, conv INTEGER, sender INTEGER, ts INTEGER, text TEXT); CREATE INDEX by_conv ON msg(conv, id);"
            "CREATE VIRTUAL TABLE fts USING fts5(text, content='msg', content_rowid='id', tokenize='unicode61');"
            "INSERT INTO fts(fts, rank) VALUES('hashsize', 67108864); BEGIN");
    sqlite3_stmt *row = prepare(db, "INSERT INTO msg(id, ts, conv, sender, text) VALUES(?1, ?2, ?3, ?4, ?5)"),
                 *words = prepare(db, "INSERT INTO fts(rowid, text) VALUES(?1, ?2)");
    while (fgets(line, sizeof line, f) != NULL) {
        char *p = line;
        need(sqlite3_bind_int64(row, 1, ++n), db, "bind");
        for (int i = 2; i <= 4; i++) {
            need(sqlite3_bind_int64(row, i, strtoll(p, &p, 10)), db, "bind");
            if (*p++ != '\t') {
                fprintf(stderr, "fts5_yardstick: line %lld is malformed\n", (long long)n);
                return 1;
            }
        }
        int len = (int)strcspn(p, "\n");
        need(sqlite3_bind_text(row, 5, p, len, SQLITE_STATIC), db, "bind");
        need(sqlite3_bind_int64(words, 1, n), db, "bind");
        need(sqlite3_bind_text(words, 2, p, len, SQLITE_STATIC), db, "bind");
        need(sqlite3_step(row), db, "insert");
        need(sqlite3_step(words), db, "insert");
        need(sqlite3_reset(row), db, "insert");
        need(sqlite3_reset(words), db, "insert");
        if (n % BATCH == 0) { run(db, "COMMIT; BEGIN"); }
    }
    if (ferror(f) || fclose(f) != 0) {
        fprintf(stderr, "fts5_yardstick: cannot read %s\n", argv[1]);
        return 74;
    }
    run(db, "COMMIT");
    (void)sqlite3_finalize(row);
    (void)sqlite3_finalize(words);
    need(sqlite3_close(db), db, "close");
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0) { return 74; }
    printf("%.3f %.3f %lld\n", (double)(kluis_monotonic_us() - from) / 1e6,
           (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6, (long long)n);
    return 0;
}
