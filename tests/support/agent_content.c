/* tests/support/agent_content.c - see agent_content.h. */
#include "tests/support/agent_content.h"

#include "agent/journal/stock.h"
#include "agent/pack/pack.h"
#include "kluis/envelope.h"
#include "kluis/package.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static kluis_status on_record(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, struct kluis_err *err)
{
    struct content *c = ctx;
    (void)ordinal;
    (void)line;
    (void)err;
    c->gone += kluis_str_is(r->event, "no-longer-in-source");
    c->back += kluis_str_is(r->event, "in-source-again");
    c->edits += r->kind == KLUIS_EDIT && r->target.len == KLUIS_DERIVED_ID - 1;
    if (r->kind != KLUIS_MESSAGE) { return KLUIS_OK; }
    assert_true(c->n < CONTENT_TEXTS && r->text.len < sizeof c->texts[0]);
    memcpy(c->texts[c->n], r->text.ptr, r->text.len);
    c->texts[c->n++][r->text.len] = '\0';
    return KLUIS_OK;
}

static void read_one(struct home *h, const struct kluis_trust *t, const struct stock_package *p, struct content *c)
{
    char path[KLUIS_PATH_MAX];
    uint8_t key[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts f;
    struct kluis_seal_verdict v;
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    assert_int_equal(stock_file(h, p->id, path, &err), KLUIS_OK);
    assert_int_equal(stock_key(h, p->id, key, &err), KLUIS_OK);
    int fd = kluis_io_open(path, O_RDONLY, 0);
    assert_true(fd >= 0);
    struct kluis_input_fd from = { fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&from);
    assert_int_equal(kluis_content_open(&r, key, &in, &err), KLUIS_OK);
    struct kluis_input plain = kluis_content_input(r);
    struct kluis_package_sink sink = { .ctx = c, .record = on_record };
    kluis_package_facts_init(&f);
    kluis_status rc = kluis_package_read(&plain, &sink, &f, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    assert_memory_equal(f.id, p->id, 32);
    assert_memory_equal(f.records_root, p->root, 32);
    assert_int_equal(f.n_records, p->records);
    assert_int_equal(f.sequence, p->sequence);
    assert_memory_equal(f.previous, c->last, 32);
    assert_int_equal(f.sequence, c->sequence + 1);
    memcpy(c->last, f.id, 32);
    c->sequence = f.sequence;
    c->packages++;
    assert_int_equal(kluis_seal_judge(kluis_buf_bytes(&f.signature), kluis_buf_bytes(&f.manifest), t->device_cas, t->n_device_cas, t->tsa_cas,
                                      t->n_tsa_cas, kluis_now_us(), &v, &err),
                     KLUIS_OK);
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    kluis_package_facts_clear(&f);
    kluis_close_quiet(&fd);
}

void content_read(const char *home, struct content *c)
{
    struct stock_package p;
    struct kluis_err err = { 0 };
    struct pack_identity me;
    KLUIS_AUTO(home) h = NULL;
    memset(c, 0, sizeof *c);
    assert_int_equal(home_open(&h, home, HOME_SHARED, &err), KLUIS_OK);
    assert_int_equal(pack_identity_load(h, &me, &err), KLUIS_OK);
    kluis_status rc = KLUIS_OK;
    for (uint64_t i = 0; (rc = stock_at(h, i, &p, &err)) == KLUIS_OK; i++) { read_one(h, &me.trust, &p, c); }
    assert_int_equal(rc, KLUIS_END);
    pack_identity_clear(&me);
}

size_t content_times(const struct content *c, const char *text)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) { n += strcmp(c->texts[i], text) == 0; }
    return n;
}
