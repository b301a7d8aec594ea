/* lane_test.c - a helper thread does jobs in their order, and a package read with one is judged exactly as without. */
#include "package_sample.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { JOBS = 20 * KLUIS_LANE_JOBS };

struct log {
    uint64_t seen[JOBS];
    size_t n;
};

static void note(void *ctx, const uint8_t *p, size_t n)
{
    struct log *l = ctx;
    if (n == sizeof l->seen[0] && l->n < JOBS) { memcpy(&l->seen[l->n++], p, n); }
}

static void jobs_are_done_in_order_however_many_there_are(void **state)
{
    (void)state;
    static struct log log;
    static uint64_t numbers[JOBS];
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    for (int with = 0; with < 2; with++) { /* without a lane the same */
        struct kluis_lane *l = with == 1 ? lane : NULL;
        memset(&log, 0, sizeof log);
        for (size_t i = 0; i < JOBS; i++) {
            numbers[i] = i * 2654435761u;
            kluis_lane_give(l, note, &log, &numbers[i], sizeof numbers[i]);
            assert_true(kluis_lane_behind(l) <= KLUIS_LANE_JOBS);
            if (i % 1000 != 999) { continue; }
            kluis_lane_until(l, kluis_lane_given(l));
            assert_int_equal(log.n, i + 1);
        }
        kluis_lane_wait(l);
        assert_int_equal(log.n, JOBS);
        assert_int_equal(kluis_lane_behind(l), 0);
        assert_memory_equal(log.seen, numbers, sizeof numbers);
    }
}

static void a_lane_that_ends_has_done_everything(void **state)
{
    (void)state;
    static struct log log;
    uint64_t number = 7;
    memset(&log, 0, sizeof log);
    struct kluis_lane *lane = kluis_lane_new();
    for (size_t i = 0; i < 100; i++) { kluis_lane_give(lane, note, &log, &number, sizeof number); }
    kluis_lane_free(lane);
    assert_int_equal(log.n, 100);
}

/* Holds the helper until it is let go on. */
static void stand_still(void *ctx, const uint8_t *p, size_t n)
{
    (void)p, (void)n;
    assert_int_equal(sem_wait(ctx), 0);
}

struct share {
    sem_t *go; /* posted by whoever does the last one; NULL: not this one */
    pthread_t by;
    unsigned times;
};

static void do_share(void *ctx, const uint8_t *p, size_t n)
{
    struct share *s = ctx;
    (void)p, (void)n;
    s->by = pthread_self();
    s->times++;
    if (s->go != NULL) { assert_int_equal(sem_post(s->go), 0); }
}

/* The helper stands still until the giver, who waits, has done the first of the shared jobs behind: from the back, and each once. */
static void who_waits_does_shared_jobs_and_nothing_else(void **state)
{
    (void)state;
    enum { SHARES = 100 };
    static struct share shares[SHARES];
    static struct log log;
    sem_t go;
    uint64_t number = 7;
    memset(&log, 0, sizeof log);
    assert_int_equal(sem_init(&go, 0, 0), 0);
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    if (lane == NULL) { skip(); } /* one processor: nobody waits for anybody */
    kluis_lane_give(lane, stand_still, &go, NULL, 0);
    kluis_lane_give(lane, note, &log, &number, sizeof number);
    for (size_t i = 0; i < SHARES; i++) {
        if (i == 0) { shares[i].go = &go; }
        kluis_lane_share(lane, do_share, &shares[i], NULL, 0);
    }
    const uint64_t shared = kluis_lane_given(lane);
    kluis_lane_wait(lane);
    assert_int_equal(kluis_lane_behind(lane), 0);
    assert_int_equal(log.n, 1); /* in its turn, by the helper */
    for (size_t i = 0; i < SHARES; i++) {
        assert_int_equal(shares[i].times, 1);
        assert_true(pthread_equal(shares[i].by, pthread_self())); /* nothing else could let the helper go on */
    }
    /* Behind a job that is not shared, and before one that is not asked for, none is taken. */
    shares[1].go = &go;
    kluis_lane_give(lane, stand_still, &go, NULL, 0);
    kluis_lane_share(lane, do_share, &shares[0], NULL, 0);
    kluis_lane_give(lane, note, &log, &number, sizeof number);
    kluis_lane_share(lane, do_share, &shares[1], NULL, 0);
    kluis_lane_wait(lane);
    assert_int_equal(kluis_lane_given(lane), shared + 4);
    assert_int_equal(log.n, 2);
    assert_false(pthread_equal(shares[0].by, pthread_self()));
    assert_true(pthread_equal(shares[1].by, pthread_self()));
    assert_int_equal(shares[0].times + shares[1].times, 4);
    assert_int_equal(sem_destroy(&go), 0);
}

/* However the two share them: rings that are full, waits in between, without a lane. */
static void every_shared_job_is_done_once(void **state)
{
    (void)state;
    static struct share shares[JOBS];
    static struct log log;
    static uint64_t numbers[JOBS];
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    for (int with = 0; with < 2; with++) {
        struct kluis_lane *l = with == 1 ? lane : NULL;
        memset(shares, 0, sizeof shares);
        memset(&log, 0, sizeof log);
        for (size_t i = 0; i < JOBS; i++) {
            numbers[i] = i;
            kluis_lane_share(l, do_share, &shares[i], NULL, 0);
            if (i % 7 == 0) { kluis_lane_give(l, note, &log, &numbers[i], sizeof numbers[i]); }
            if (i % 50 == 49) {
                kluis_lane_until(l, kluis_lane_given(l) / 2);
            } else if (i % 777 == 776) {
                kluis_lane_wait(l);
            }
        }
        kluis_lane_wait(l);
        for (size_t i = 0; i < JOBS; i++) { assert_int_equal(shares[i].times, 1); }
        assert_int_equal(log.n, (JOBS + 6) / 7);
        for (size_t i = 0; i < log.n; i++) { assert_int_equal(log.seen[i], 7 * i); }
    }
}

struct reading {
    kluis_status rc;
    struct kluis_err err;
    struct kluis_package_facts facts;
};

static void read_with(struct kluis_lane *lane, const uint8_t *p, size_t n, struct reading *r)
{
    struct kluis_input_mem mem = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    memset(r, 0, sizeof *r);
    kluis_package_facts_init(&r->facts);
    r->rc = kluis_export_read(&in, lane, NULL, &r->facts, &r->err);
}

static kluis_status same_with_and_without(struct kluis_lane *lane, const uint8_t *p, size_t n)
{
    static struct reading a, b;
    read_with(NULL, p, n, &a);
    read_with(lane, p, n, &b);
    assert_int_equal(a.rc, b.rc);
    assert_string_equal(a.err.msg, b.err.msg);
    if (a.rc == KLUIS_OK) {
        assert_memory_equal(a.facts.id, b.facts.id, 32);
        assert_memory_equal(a.facts.records_root, b.facts.records_root, 32);
        assert_int_equal(a.facts.n_records, b.facts.n_records);
        assert_int_equal(a.facts.n_attachments, b.facts.n_attachments);
    } else {
        assert_int_equal(a.facts.failed, b.facts.failed);
    }
    kluis_package_facts_clear(&a.facts);
    kluis_package_facts_clear(&b.facts);
    return a.rc;
}

/* Attachments that are stored and larger than all blocks, and inflated whole; records and evidence inflated whole. */
static void a_package_is_judged_the_same_with_a_lane(void **state)
{
    (void)state;
    enum { FLIPS = 300, CUTS = 40 };
    uint8_t id[32], root[32];
    KLUIS_AUTO_BUF(b, 32 << 20);
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    const struct sample_options o = { .records = 4000, .evidence = true, .attachments = true, .attachment_bytes = 900000 };
    int fd = sample_package(&o, id, root, &b);
    kluis_close_quiet(&fd);
    assert_int_equal(same_with_and_without(lane, b.data, b.len), KLUIS_OK);
    size_t refused = 0;
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = (i * 2654435761u + 4711) % (b.len * 8);
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
        refused += same_with_and_without(lane, b.data, b.len) == KLUIS_E_REJECT;
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
    }
    assert_in_range(refused, FLIPS - 2, FLIPS); /* one in the padding of deflated data changes no content */
    for (size_t i = 1; i < CUTS; i++) { assert_int_equal(same_with_and_without(lane, b.data, b.len / CUTS * i), KLUIS_E_REJECT); }
}

struct piecewise {
    const uint8_t *p;
    size_t n, step;
};

static ssize_t few(void *ctx, void *to, size_t n, struct kluis_err *err)
{
    struct piecewise *w = ctx;
    (void)err;
    if (n > w->step) { n = w->step; }
    if (n > w->n) { n = w->n; }
    if (n > 0) { memcpy(to, w->p, n); }
    w->p += n;
    w->n -= n;
    return (ssize_t)n;
}

/* Entries stand anywhere in the ring of blocks then: across its end, too, or in blocks that are not full. */
static void however_few_bytes_a_read_gives_the_package_is_the_same(void **state)
{
    (void)state;
    static const size_t steps[] = { 997, 4096, 65536, 100003, 131071, 131072 };
    uint8_t id[32], root[32];
    KLUIS_AUTO_BUF(b, 32 << 20);
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    for (size_t bytes = 100000; bytes <= 900000; bytes += 400000) {
        const struct sample_options o = { .records = 4000, .evidence = true, .attachments = true, .attachment_bytes = bytes };
        kluis_buf_clear(&b);
        int fd = sample_package(&o, id, root, &b);
        kluis_close_quiet(&fd);
        for (size_t i = 0; i < 2 * sizeof steps / sizeof *steps; i++) {
            static struct kluis_package_facts facts;
            struct piecewise w = { b.data, b.len, steps[i / 2] };
            struct kluis_input in = { &w, few };
            struct kluis_err err = { 0 };
            kluis_package_facts_init(&facts);
            assert_int_equal(kluis_export_read(&in, i % 2 == 0 ? NULL : lane, NULL, &facts, &err), KLUIS_OK);
            assert_memory_equal(facts.id, id, 32);
            assert_memory_equal(facts.records_root, root, 32);
            kluis_package_facts_clear(&facts);
        }
    }
}

/* Records too large to be inflated whole: lines are cut by blocks. */
static void records_that_come_in_blocks_have_the_same_root(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    KLUIS_AUTO_BUF(b, 32 << 20);
    KLUIS_AUTO(kluis_lane) lane = kluis_lane_new();
    int fd = sample_package(&(struct sample_options){ .records = KLUIS_PACKAGE_RECORDS_MAX, .text_bytes = 1900 }, id, root, &b);
    kluis_close_quiet(&fd);
    static struct reading r;
    read_with(lane, b.data, b.len, &r);
    assert_int_equal(r.rc, KLUIS_OK);
    assert_true(r.facts.content_bytes > 17u << 20);
    assert_memory_equal(r.facts.id, id, 32);
    assert_memory_equal(r.facts.records_root, root, 32);
    kluis_package_facts_clear(&r.facts);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_in_order_however_many_there_are),  cmocka_unit_test(a_lane_that_ends_has_done_everything),
        cmocka_unit_test(who_waits_does_shared_jobs_and_nothing_else),    cmocka_unit_test(every_shared_job_is_done_once),
        cmocka_unit_test(a_package_is_judged_the_same_with_a_lane),       cmocka_unit_test(however_few_bytes_a_read_gives_the_package_is_the_same),
        cmocka_unit_test(records_that_come_in_blocks_have_the_same_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
