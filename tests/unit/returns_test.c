/* Promise: a package comes back through another device of the same official when this vault took it once, by its own ledger or its own signature, and
 * for no other reason; it keeps who made it. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/support/ingest_home.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define BRINGER "ffeeddccbbaa99887766554433221100"

static struct pki *p;
static struct ingest_home h;
static struct sealed s;
static struct kluis_arena *arena;
static struct kluis_delivery del;

static int setup(void **state)
{
    struct kluis_err err = { 0 };
    (void)state;
    OK(kluis_base_init(&err));
    p = pki_new(10);
    ingest_home_open(&h, p, NULL);
    OK(custody_open(&h.in.c.custody, h.dir, &err));
    s = sealed_package(p, &(struct sealed_options){ .records = 1 });
    arena = kluis_arena_new(16 << 20);
    return arena == NULL;
}

static int teardown(void **state)
{
    (void)state;
    kluis_arena_free(arena);
    kluis_close_quiet(&s.fd);
    custody_free(h.in.c.custody);
    ingest_home_close(&h);
    pki_free(p);
    return 0;
}

/* What an agent sends of the package, with the receipt that o makes. */
static void with_receipt(const struct receipt_options *o)
{
    struct kluis_receipt r;
    KLUIS_AUTO_BUF(json, KLUIS_RECEIPT_MAX);
    sealed_receipt(p, &s, o, &json);
    OK(kluis_receipt_read((struct kluis_str){ (const char *)json.data, json.len }, arena, &r, NULL));
    memset(&del, 0, sizeof del);
    memcpy(del.package, s.id, sizeof del.package);
    memcpy(del.device, PKI_DEVICE, sizeof del.device);
    del.leaf = r.leaf;
    del.proof = r.proof;
}

/* NULL: taken, and then with the maker's name and certificate. */
static const char *brought(const char *by, const char *official)
{
    struct custody_delivery d = { .state = CUSTODY_WAITING };
    struct kluis_err err = { 0 };
    const char *refusal = "not asked";
    (void)snprintf(d.device, sizeof d.device, "%s", by);
    OK(ingest_returned(&h.in, &del, official, &d, &refusal, &err));
    if (refusal == NULL) {
        assert_string_equal(d.device, del.device);
        assert_string_equal(d.via, by);
        assert_memory_equal(d.signer, s.device, sizeof d.signer);
    } else {
        assert_string_equal(d.device, by);
        assert_int_equal(d.via[0], 0);
    }
    return refusal;
}

static void refused(const char *refusal, const char *why)
{
    assert_non_null(refusal);
    assert_non_null(strstr(refusal, why));
}

static void by_its_receipt_it_is_taken_stamped_or_not_from_a_device_that_is_known_or_not(void **state)
{
    (void)state;
    with_receipt(&(struct receipt_options){ .stamped = true });
    assert_null(brought(BRINGER, "jansen"));
    with_receipt(&(struct receipt_options){ .stamped = false });
    assert_null(brought(BRINGER, "jansen"));
    /* A device that enrolled after the newest backup: nobody knows whose it was, but what the ledger says of the package holds. */
    memcpy(del.device, "0123456789abcdef0123456789abcdef", sizeof del.device);
    assert_null(brought(BRINGER, "devries"));
}

static void what_this_vault_never_signed_is_refused(void **state)
{
    (void)state;
    const uint8_t foreign[32] = { 7, 7 };
    const char never[] = "never took";
    with_receipt(&(struct receipt_options){ .log_seed = foreign });
    refused(brought(BRINGER, "jansen"), never);
    with_receipt(&(struct receipt_options){ .other_root = true });
    refused(brought(BRINGER, "jansen"), never);
    with_receipt(&(struct receipt_options){ 0 });
    del.package[0] ^= 1; /* a genuine receipt, of another package */
    refused(brought(BRINGER, "jansen"), never);
    with_receipt(&(struct receipt_options){ 0 });
    char changed[KLUIS_LEAF_MAX];
    assert_true(del.leaf.len < sizeof changed);
    memcpy(changed, del.leaf.ptr, del.leaf.len);
    changed[del.leaf.len - 3] ^= 1; /* the leaf's time */
    del.leaf.ptr = changed;
    refused(brought(BRINGER, "jansen"), never);
    with_receipt(&(struct receipt_options){ 0 });
    del.proof.len /= 2;
    refused(brought(BRINGER, "jansen"), never);
    del.leaf = del.proof = (struct kluis_str){ "", 0 };
    refused(brought(BRINGER, "jansen"), never);
}

static void another_officials_and_a_devices_own_are_refused(void **state)
{
    (void)state;
    with_receipt(&(struct receipt_options){ 0 });
    refused(brought(BRINGER, "devries"), "another official");
    refused(brought(PKI_DEVICE, "jansen"), "delivered, not returned");
}

static void a_certificate_that_is_not_the_known_devices_is_refused(void **state)
{
    (void)state;
    uint8_t was = s.device[0];
    s.device[0] ^= 1;
    with_receipt(&(struct receipt_options){ 0 });
    s.device[0] = was;
    refused(brought(BRINGER, "jansen"), "another official");
}

static void what_the_ledger_awaits_needs_no_receipt(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct kluis_leaf leaf = { .verdict = "valid", .received_us = 1000000 };
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    memcpy(leaf.package, s.id, sizeof leaf.package);
    memcpy(leaf.device, s.device, sizeof leaf.device);
    OK(kluis_leaf_write(&leaf, &text, &err));
    OK(custody_begin(h.in.c.custody, &err));
    OK(custody_leaf_add(h.in.c.custody, 0, kluis_buf_bytes(&text), &err));
    OK(custody_awaited_add(h.in.c.custody, s.id, 0, &err));
    OK(custody_commit(h.in.c.custody, "test", &err));
    with_receipt(&(struct receipt_options){ 0 });
    del.leaf = del.proof = (struct kluis_str){ "", 0 };
    assert_null(brought(BRINGER, "jansen"));
    refused(brought(BRINGER, "devries"), "another official");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_its_receipt_it_is_taken_stamped_or_not_from_a_device_that_is_known_or_not),
        cmocka_unit_test(what_this_vault_never_signed_is_refused),
        cmocka_unit_test(another_officials_and_a_devices_own_are_refused),
        cmocka_unit_test(a_certificate_that_is_not_the_known_devices_is_refused),
        cmocka_unit_test(what_the_ledger_awaits_needs_no_receipt),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
