/* tests/unit/index_readers_test.c - searches while packages come in and move to closed periods: what was committed is found, and once. */
#include "tests/unit/index_support.h"

#include <sqlite3.h>
#include <stdatomic.h>

enum { COMMITS = 50, EACH = 150, READERS = 2 };

static atomic_uint committed, offered, searches, wrong;
static atomic_bool over;

struct page {
    struct {
        uint8_t package;
        uint64_t ordinal;
    } seen[INDEX_PAGE_MAX];
    size_t n;
};

static kluis_status note(void *ctx, const struct index_hit *h, KLUIS_UNUSED struct kluis_err *err)
{
    struct page *p = ctx;
    for (size_t i = 0; i < p->n; i++) {
        if (p->seen[i].package == h->package[0] && p->seen[i].ordinal == h->ordinal) { atomic_fetch_add(&wrong, 1); }
    }
    p->seen[p->n].package = h->package[0];
    p->seen[p->n++].ordinal = h->ordinal;
    return KLUIS_OK;
}

static void *reader(void *arg)
{
    struct index *ix = arg;
    while (!atomic_load(&over)) {
        struct kluis_err err = { 0 };
        struct page page = { .n = 0 };
        struct index_result r = { 0 };
        struct index_query q = query("teller");
        const struct index_sink sink = { &page, note };
        q.count = INDEX_COUNT_CAPPED;
        unsigned least = atomic_load(&committed);
        kluis_status rc = index_search(ix, &q, &sink, &r, &err);
        unsigned most = atomic_load(&offered), full = least < INDEX_PAGE_MAX ? least : INDEX_PAGE_MAX;
        if (rc != KLUIS_OK || r.count < least || r.count > most || page.n < full) { atomic_fetch_add(&wrong, 1); }
        atomic_fetch_add(&searches, 1);
    }
    return NULL;
}

static void what_is_committed_is_found_once_while_records_come_and_move(KLUIS_UNUSED void **state)
{
    static char text[EACH][32];
    static struct index_row rows[EACH];
    pthread_t thread[READERS];
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    index_tune(ix, 300, 500);
    for (int i = 0; i < READERS; i++) { assert_int_equal(pthread_create(&thread[i], NULL, reader, ix), 0); }
    for (unsigned k = 0; k < COMMITS; k++) {
        for (unsigned i = 0; i < EACH; i++) { /* months apart and not in order, years ago */
            (void)snprintf(text[i], sizeof text[i], "teller %u %u", k, i);
            rows[i] = line(i + 1, i % 3, (int64_t)(k * 7 % COMMITS) * 2600000 * 1000000 + (int64_t)i * 1000000, text[i]);
        }
        atomic_fetch_add(&offered, EACH);
        add(ix, pack((uint8_t)(k + 1), k % 2 == 0 ? "anna" : "bram", rows, EACH));
        commit(ix);
        atomic_fetch_add(&committed, EACH);
        bool more = true;
        for (int i = 0; more && i < 4; i++) { ok(index_maintain(ix, &more, &err), &err); }
    }
    bool more = true;
    while (more) { ok(index_maintain(ix, &more, &err), &err); }
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++) { assert_int_equal(pthread_join(thread[i], NULL), 0); }
    print_message("%u searches, %zu periods\n", atomic_load(&searches), ix->w.catalog.n);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_true(atomic_load(&searches) > 20);
    assert_true(ix->w.catalog.n > 1); /* records did move */
    index_close(ix);
}

/* Bytes that a connection's files may keep as pages. */
static size_t cache_of(struct iconn *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i <= c->n_open; i++) {
        struct kluis_db *db = i == 0 ? c->hot : c->open[i - 1].db;
        struct kluis_err err = { 0 };
        struct sqlite3_stmt *q = NULL;
        ok(kluis_db_query(db, &q, &err, "PRAGMA cache_size", ""), &err);
        ok(kluis_db_step(db, q, &err), &err);
        assert_true(kluis_db_int(q, 0) < 0);
        bytes += (size_t)-kluis_db_int(q, 0) << 10;
        kluis_db_done(q);
    }
    return bytes;
}

static void pages_in_memory_have_one_ceiling_however_many_readers_and_files_there_are(KLUIS_UNUSED void **state)
{
    enum { MONTHS = 40, ROWS = 20 };
    static struct index_row rows[ROWS];
    struct iconn *c[IREADERS_MAX];
    struct kluis_err err = { 0 };
    struct index *ix = fresh();
    bool more = true;
    index_tune(ix, 1, ROWS);
    for (unsigned k = 0; k < MONTHS; k++) {
        for (unsigned i = 0; i < ROWS; i++) { rows[i] = line(i + 1, 0, 1500000000000000 + (int64_t)k * 31 * 86400000000 + i, "teller"); }
        struct index_package p = pack((uint8_t)(k + 1), "anna", rows, ROWS);
        add(ix, p);
    }
    commit(ix);
    while (more) { ok(index_maintain(ix, &more, &err), &err); }
    assert_int_equal(ix->w.n_open, 0);
    for (size_t n = 0; n < IREADERS_MAX; n++) {
        size_t used = 0;
        ok(istore_reader(ix, &c[n], &err), &err);
        ok(istore_catalog(c[n], &err), &err);
        assert_true(c[n]->catalog.n > MONTHS / 2);
        for (size_t i = 0; i < c[n]->catalog.n; i++) {
            struct kluis_db *unit = NULL;
            ok(istore_period(ix, c[n], &c[n]->catalog.list[i], &unit, &err), &err);
        }
        for (size_t i = 0; i < n; i++) { istore_return(ix, c[i]); } /* those in use give theirs up when they come back */
        for (size_t i = 0; i <= n; i++) { used += cache_of(c[i]); }
        assert_true(used <= ICACHE_READERS && used >= ICACHE_READERS / 4);
        for (size_t i = n; i > 0; i--) { /* in the order in which they are given out */
            ok(istore_reader(ix, &c[i - 1], &err), &err);
        }
    }
    for (size_t i = 0; i < IREADERS_MAX; i++) { istore_return(ix, c[i]); }
    assert_int_equal(find(ix, "teller"), INDEX_PAGE_MAX);
    index_close(ix);
    ix = open_index();
    assert_true(ix->w.n_open > MONTHS / 2);
    assert_true(cache_of(&ix->w) <= ICACHE_WRITER + ICACHE_PERIODS);
    index_close(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_committed_is_found_once_while_records_come_and_move),
                                        cmocka_unit_test(pages_in_memory_have_one_ceiling_however_many_readers_and_files_there_are) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
