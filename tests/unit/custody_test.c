/* Promises of server/custody/custody.h: decided once, rolled back whole, replays told from forks. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sqlite3.h>

#include "server/custody/custody.h"
#include "tests/support/test_dir.h"

static char dir[64];
static char last_step[64];

static void note_step(const char *name) { (void)snprintf(last_step, sizeof last_step, "%s", name); }

static int setup(void **state)
{
    static const struct kluis_hooks hooks = { .durable_step = note_step };
    struct kluis_err err = { 0 };
    (void)state;
    kluis_hooks_set(&hooks);
    return kluis_base_init(&err) == KLUIS_OK && test_dir("custody", dir, sizeof dir) ? 0 : 1;
}

static struct custody *open_it(void)
{
    struct kluis_err err = { 0 };
    struct custody *c = NULL;
    kluis_status rc = custody_open(&c, dir, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    return c;
}

static struct custody_delivery delivery(const char *device, uint8_t n)
{
    struct custody_delivery d;
    memset(&d, 0, sizeof d);
    (void)snprintf(d.device, sizeof d.device, "%s", device);
    d.message[0] = n;
    d.body_sha256[0] = n;
    d.package[0] = n;
    d.package[1] = (uint8_t)device[0];
    d.sequence = n;
    d.length = 100;
    d.wrapped_len = 61;
    d.received_us = 1000 + n;
    return d;
}

static uint64_t take(struct custody *c, const char *device, uint8_t n)
{
    struct kluis_err err = { 0 };
    struct custody_delivery d = delivery(device, n);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_add(c, &d, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test.t1", &err), KLUIS_OK);
    assert_string_equal(last_step, "test.t1");
    return d.number;
}

static void a_rolled_back_delivery_was_never_there(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    struct custody_delivery d = delivery("rollback", 1), out;
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_add(c, &d, &err), KLUIS_OK);
    custody_rollback(c);
    assert_int_equal(custody_inbox_by_sequence(c, "rollback", 1, &out, &err), KLUIS_E_NOTFOUND);
    custody_free(c);
}

static void a_delivery_is_found_again_by_message_body_sequence_and_package(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    uint64_t n = take(c, "find", 5);
    custody_free(c);
    c = open_it();
    struct custody_delivery want = delivery("find", 5), out;
    uint8_t other[32] = { 0xee };
    assert_int_equal(custody_inbox_by_message(c, "find", want.message, other, &out, &err), KLUIS_OK);
    assert_int_equal(out.number, n);
    assert_int_equal(out.wrapped_len, 61);
    assert_int_equal(custody_inbox_by_message(c, "find", other, want.body_sha256, &out, &err), KLUIS_OK);
    assert_int_equal(out.number, n);
    assert_int_equal(custody_inbox_by_message(c, "find", other, other, &out, &err), KLUIS_E_NOTFOUND);
    assert_int_equal(custody_inbox_by_message(c, "else", want.message, want.body_sha256, &out, &err), KLUIS_E_NOTFOUND);
    assert_int_equal(custody_inbox_by_package(c, want.package, &out, &err), KLUIS_OK);
    assert_int_equal(out.number, n);
    custody_free(c);
}

static void what_came_back_is_found_by_who_brought_it_and_keeps_its_maker(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    struct custody_delivery d = delivery("maker", 3), out;
    uint8_t other[32] = { 0xee };
    (void)snprintf(d.via, sizeof d.via, "bringer");
    memset(d.signer, 0x5a, sizeof d.signer);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_add(c, &d, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test", &err), KLUIS_OK);
    custody_free(c);
    c = open_it();
    assert_int_equal(custody_inbox_by_message(c, "bringer", d.message, other, &out, &err), KLUIS_OK);
    assert_string_equal(out.device, "maker");
    assert_string_equal(custody_bringer(&out), "bringer");
    assert_memory_equal(out.signer, d.signer, sizeof d.signer);
    assert_int_equal(custody_inbox_by_message(c, "bringer", other, d.body_sha256, &out, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_by_message(c, "maker", d.message, d.body_sha256, &out, &err), KLUIS_E_NOTFOUND);
    assert_int_equal(custody_inbox_by_sequence(c, "maker", 3, &out, &err), KLUIS_OK);
    /* Message ids are the bringer's: the maker may have used the same one. */
    struct custody_delivery own = delivery("maker", 4);
    memcpy(own.message, d.message, sizeof own.message);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_add(c, &own, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test", &err), KLUIS_OK);
    assert_int_equal(custody_inbox_by_message(c, "maker", d.message, other, &out, &err), KLUIS_OK);
    assert_int_equal(out.sequence, 4);
    custody_free(c);
}

static void one_device_uses_one_number_once(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    (void)take(c, "number", 6);
    struct custody_delivery d = delivery("number", 6);
    d.package[9] = d.message[9] = 1;
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_inbox_add(c, &d, &err), KLUIS_E_EXISTS);
    custody_rollback(c);
    custody_free(c);
}

static void a_delivery_is_decided_once_and_packages_are_numbered_densely(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    uint64_t expect = 1;
    for (uint8_t i = 1; i <= 3; i++) {
        struct custody_package p;
        memset(&p, 0, sizeof p);
        p.delivery = take(c, "dense", i);
        p.n_records = 10;
        p.leaf = i - 1u;
        (void)snprintf(p.official, sizeof p.official, "o");
        (void)snprintf(p.verdict, sizeof p.verdict, "valid");
        assert_int_equal(custody_begin(c, &err), KLUIS_OK);
        assert_int_equal(custody_leaf_add(c, p.leaf, (struct kluis_bytes){ (const uint8_t *)"leaf", 4 }, &err), KLUIS_OK);
        assert_int_equal(custody_package_add(c, &p, &err), KLUIS_OK);
        assert_int_equal(custody_commit(c, "test.t2", &err), KLUIS_OK);
        assert_int_equal(p.sequence, expect++);
        struct custody_refusal r;
        memset(&r, 0, sizeof r);
        r.delivery = p.delivery;
        assert_int_equal(custody_begin(c, &err), KLUIS_OK);
        assert_int_equal(custody_refusal_add(c, &r, &err), KLUIS_E_BUG);
        custody_rollback(c);
        kluis_err_clear(&err);
    }
    struct custody_package out;
    assert_int_equal(custody_package_get(c, 2, &out, &err), KLUIS_OK);
    assert_int_equal(out.d.state, CUSTODY_ACCEPTED);
    assert_string_equal(out.d.device, "dense");
    assert_int_equal(custody_package_get(c, 4, &out, &err), KLUIS_E_NOTFOUND);
    struct custody_counts n;
    assert_int_equal(custody_count(c, &n, &err), KLUIS_OK);
    assert_int_equal(n.packages, 3);
    assert_int_equal(n.records, 30);
    assert_int_equal(n.leaves, 3);
    custody_free(c);
}

static kluis_status count_refusal(void *ctx, const struct custody_refusal *r, struct kluis_err *err)
{
    (void)err;
    if (strcmp(r->layer, "records") == 0 && r->statement.len == 3) { ++*(int *)ctx; }
    return KLUIS_OK;
}

static void a_refusal_keeps_layer_reason_and_statement(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    struct custody_refusal r;
    memset(&r, 0, sizeof r);
    r.delivery = take(c, "refuse", 3);
    (void)snprintf(r.device, sizeof r.device, "refuse");
    (void)snprintf(r.layer, sizeof r.layer, "records");
    (void)snprintf(r.reason, sizeof r.reason, "not canonical");
    r.statement = (struct kluis_bytes){ (const uint8_t *)"p7s", 3 };
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_refusal_add(c, &r, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test.t2", &err), KLUIS_OK);
    int n = 0;
    assert_int_equal(custody_refusals(c, &n, count_refusal, &err), KLUIS_OK);
    assert_int_equal(n, 1);
    KLUIS_AUTO_BUF(statement, 100);
    assert_int_equal(custody_refusal_by_delivery(c, r.delivery, &statement, &err), KLUIS_OK);
    assert_int_equal(statement.len, 3);
    custody_free(c);
}

static void an_answer_goes_from_made_to_posted_and_can_be_posted_again(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    struct custody_answer a, out;
    KLUIS_AUTO_BUF(body, 1000);
    memset(&a, 0, sizeof a);
    a.package[0] = 0x77;
    a.kind = 1;
    (void)snprintf(a.device, sizeof a.device, "d");
    assert_int_equal(custody_outbox_again(c, a.package, &err), KLUIS_E_NOTFOUND);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_outbox_add(c, &a, (struct kluis_bytes){ NULL, 0 }, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test.t2", &err), KLUIS_OK);
    assert_int_equal(custody_outbox_next(c, 0, CUSTODY_TO_MAKE, &out, &body, &err), KLUIS_OK);
    assert_int_equal(custody_begin(c, &err), KLUIS_OK);
    assert_int_equal(custody_outbox_encrypted(c, out.number, 12, (struct kluis_bytes){ (const uint8_t *)"enc", 3 }, &err), KLUIS_OK);
    assert_int_equal(custody_commit(c, "test.answer", &err), KLUIS_OK);
    assert_int_equal(custody_outbox_next(c, 0, CUSTODY_TO_MAKE, &out, &body, &err), KLUIS_E_NOTFOUND);
    for (int i = 0; i < 2; i++) {
        kluis_buf_clear(&body);
        assert_int_equal(custody_outbox_next(c, 0, CUSTODY_TO_POST, &out, &body, &err), KLUIS_OK);
        assert_int_equal(out.tree_size, 12);
        assert_memory_equal(out.message, a.message, 16);
        assert_int_equal(body.len, 3);
        assert_int_equal(custody_outbox_posted(c, out.number, &err), KLUIS_OK);
        assert_int_equal(custody_outbox_next(c, 0, CUSTODY_TO_POST, &out, &body, &err), KLUIS_E_NOTFOUND);
        assert_int_equal(custody_outbox_again(c, a.package, &err), KLUIS_OK);
    }
    custody_free(c);
}

/* The form before a device could bring back what another had made: what the step to it adds, taken away again. */
static void a_custody_of_the_form_before_goes_on(void **state)
{
    static const char before[] =
        "DROP INDEX inbox_via; DROP INDEX inbox_message; ALTER TABLE inbox DROP COLUMN via; ALTER TABLE inbox DROP COLUMN signer;"
        "CREATE UNIQUE INDEX inbox_message ON inbox(device,message); PRAGMA user_version=2;";
    struct kluis_err err = { 0 };
    struct custody *c = open_it();
    struct custody_delivery d = delivery("older", 9), out;
    sqlite3 *db = NULL;
    char path[128];
    uint64_t old, came;
    (void)state;
    old = take(c, "older", 9);
    custody_free(c);
    (void)snprintf(path, sizeof path, "%s/custody.db", dir);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM inbox WHERE via<>''", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, before, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    c = open_it();
    assert_int_equal(custody_inbox_by_message(c, "older", d.message, d.body_sha256, &out, &err), KLUIS_OK);
    assert_int_equal(out.number, old);
    assert_string_equal(out.via, "");
    came = take(c, "older", 10);
    assert_true(came > old);
    custody_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rolled_back_delivery_was_never_there),
        cmocka_unit_test(a_delivery_is_found_again_by_message_body_sequence_and_package),
        cmocka_unit_test(what_came_back_is_found_by_who_brought_it_and_keeps_its_maker),
        cmocka_unit_test(one_device_uses_one_number_once),
        cmocka_unit_test(a_delivery_is_decided_once_and_packages_are_numbered_densely),
        cmocka_unit_test(a_refusal_keeps_layer_reason_and_statement),
        cmocka_unit_test(an_answer_goes_from_made_to_posted_and_can_be_posted_again),
        cmocka_unit_test(a_custody_of_the_form_before_goes_on),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
