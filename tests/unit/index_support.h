/* tests/unit/index_support.h - packages by hand for the tests of the index.  Included once by each. */
#ifndef TESTS_UNIT_INDEX_SUPPORT_H
#define TESTS_UNIT_INDEX_SUPPORT_H

#include "server/index/internal.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static char dir[64];
static const uint8_t MASTER[32] = { 1, 2, 3 };
static const struct kluis_party PEOPLE[] = {
    { .id = { "aci-anna", 8 }, .name = { "Anna", 4 }, .number = { "+31600000001", 12 } },
    { .id = { "aci-bram", 8 }, .name = { "Bram", 4 }, .number = { "+31600000002", 12 } },
    { .id = { "aci-carla", 9 }, .name = { "Carla", 5 } },
};

static int setup(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return -1; }
    return test_dir("index", dir, sizeof dir) ? 0 : -1;
}

static void empty(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char file[512];
    while (d != NULL && (e = readdir(d)) != NULL) {
        (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.') { (void)unlink(file); }
    }
    if (d != NULL) { (void)closedir(d); }
}

static int teardown(KLUIS_UNUSED void **state)
{
    empty(dir);
    return rmdir(dir);
}

static struct index *open_index(void)
{
    struct kluis_err err = { 0 };
    struct index *ix = NULL;
    kluis_status rc = index_open(&ix, dir, MASTER, &err);
    if (rc != KLUIS_OK) { print_message("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    return ix;
}

static struct index *fresh(void)
{
    empty(dir);
    return open_index();
}

static KLUIS_UNUSED struct index_row line(uint64_t ordinal, uint32_t author, int64_t sent_us, const char *text)
{
    return (struct index_row){ .ordinal = ordinal, .kind = KLUIS_MESSAGE, .author = author, .sent_us = sent_us, .text = kluis_str_of(text) };
}

/* A package of the group chat "g" on a platform, by an official who is also the device. */
static KLUIS_UNUSED struct index_package pack(uint8_t id, const char *official, const struct index_row *rows, size_t n)
{
    struct index_package p = { .official = kluis_str_of(official),
                               .device = kluis_str_of(official),
                               .platform = KLUIS_STR_LIT("signal"),
                               .conversation_id = KLUIS_STR_LIT("g"),
                               .conversation_name = KLUIS_STR_LIT("Overleg"),
                               .conversation_type = KLUIS_GROUP,
                               .precision = KLUIS_PRECISION_MILLISECOND,
                               .provenance = KLUIS_STR_LIT("test"),
                               .verdict = KLUIS_STR_LIT("valid"),
                               .parties = PEOPLE,
                               .n_parties = 3,
                               .self = KLUIS_NO_PARTY,
                               .rows = rows,
                               .n_rows = n };
    p.id[0] = id;
    p.id[31] = 7;
    return p;
}

static void ok(kluis_status rc, const struct kluis_err *err)
{
    if (rc != KLUIS_OK) { print_message("%s: %s\n", kluis_status_name(rc), err->msg); }
    assert_int_equal(rc, KLUIS_OK);
}

static KLUIS_UNUSED void add(struct index *ix, struct index_package p)
{
    struct kluis_err err = { 0 };
    p.sequence = (uint64_t)(ix->b.open ? ix->b.sequence : (int64_t)index_watermark(ix)) + 1;
    ok(index_add(ix, &p, &err), &err);
}

static KLUIS_UNUSED void commit(struct index *ix)
{
    struct kluis_err err = { 0 };
    ok(index_commit(ix, &err), &err);
}

/* Hits, copied as far as the tests look at them. */
enum { HITS = 4000 };
struct seen {
    char text[160], id[64], official[32], options[64];
    int64_t sent;
    uint64_t group, ordinal;
    size_t sightings, differing, marks;
    uint32_t mark[8];
    bool conflict;
    enum kluis_kind kind;
    uint8_t package;
};
static struct seen hits[HITS];
static size_t n_hits;

static kluis_status see(KLUIS_UNUSED void *ctx, const struct index_hit *h, KLUIS_UNUSED struct kluis_err *err)
{
    assert_true(n_hits < HITS);
    struct seen *s = &hits[n_hits++];
    *s = (struct seen){ .sent = h->sent_us,
                        .group = h->group,
                        .ordinal = h->ordinal,
                        .sightings = h->n_sightings,
                        .marks = h->n_marks,
                        .conflict = h->conflict,
                        .kind = h->kind,
                        .package = h->package[0] };
    (void)snprintf(s->text, sizeof s->text, "%.*s", (int)h->text.len, h->text.ptr == NULL ? "" : h->text.ptr);
    (void)snprintf(s->id, sizeof s->id, "%.*s", (int)h->id.len, h->id.ptr);
    (void)snprintf(s->options, sizeof s->options, "%.*s", (int)h->options.len, h->options.ptr == NULL ? "" : h->options.ptr);
    (void)snprintf(s->official, sizeof s->official, "%.*s", (int)h->sightings[0].official.len, h->sightings[0].official.ptr);
    for (size_t i = 0; i < h->n_sightings; i++) { s->differing += h->sightings[i].differs; }
    for (size_t i = 0; i < 2 * h->n_marks && i < 8; i++) { s->mark[i] = h->marks[i]; }
    return KLUIS_OK;
}
static const struct index_sink SINK = { NULL, see };

static struct index_query query(const char *text)
{
    return (struct index_query){ .text = kluis_str_of(text), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = INDEX_PAGE_MAX };
}

static KLUIS_UNUSED size_t find_q(struct index *ix, const struct index_query *q, struct index_result *r)
{
    struct kluis_err err = { 0 };
    struct index_result mine;
    n_hits = 0;
    ok(index_search(ix, q, &SINK, r == NULL ? &mine : r, &err), &err);
    return n_hits;
}

static KLUIS_UNUSED size_t find(struct index *ix, const char *text)
{
    struct index_query q = query(text);
    return find_q(ix, &q, NULL);
}

#endif
