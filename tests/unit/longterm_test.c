/* tests/unit/longterm_test.c - exports judged whole: seal, revocation, evidence record, and years going by. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "tests/support/exported.h"
#include "tests/unit/package_forge.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define DAY (INT64_C(86400) * 1000000)

static struct pki *pki; /* its authority's certificate holds for two years, all others for ten */
static struct sealed stamped, plain;
static int64_t now, shift;
static const struct kluis_str no_receipt = { NULL, 0 };

static int64_t shifted_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + shift;
}

static int setup(void **state)
{
    static const struct kluis_hooks hooks = { .now_us = shifted_now };
    (void)state;
    kluis_hooks_set(&hooks);
    pki = pki_new(2);
    now = kluis_now_us();
    stamped = sealed_package(pki, &(struct sealed_options){ .stamped = true, .attachment = 3000 });
    plain = sealed_package(pki, &(struct sealed_options){ .stamped = false, .sequence = 2, .salt = 0x11 });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kluis_close_quiet(&stamped.fd);
    kluis_close_quiet(&plain.fd);
    pki_free(pki);
    return 0;
}

/* content: SHA-256 of what was read, when it is not NULL. */
static struct kluis_verdict judged_with_content(const struct kluis_buf *b, const struct kluis_trust *trust, int64_t at, uint8_t content[32])
{
    struct kluis_verdict v;
    struct kluis_input_mem once = { kluis_buf_bytes(b), 0 }, twice = once;
    struct kluis_input in = kluis_input_from_mem(&once), again = kluis_input_from_mem(&twice);
    OK(kluis_validate_twice(&in, &again, no_receipt, trust, NULL, at, &v, NULL));
    struct kluis_package_facts facts = v.facts;
    kluis_package_facts_init(&v.facts);
    if (content) {
        const struct kluis_buf *all[] = { &facts.manifest, &facts.signature, &facts.seal_manifest, &facts.seal, &facts.evidence, &facts.group };
        KLUIS_AUTO(kluis_sha256) sha = kluis_sha256_new();
        assert_non_null(sha);
        kluis_sha256_add(sha, facts.id, sizeof facts.id);
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            kluis_sha256_add(sha, &all[i]->len, sizeof all[i]->len);
            if (all[i]->len) { kluis_sha256_add(sha, all[i]->data, all[i]->len); }
        }
        kluis_sha256_end(sha, content);
    }
    kluis_package_facts_clear(&facts);
    return v;
}

static struct kluis_verdict judged(const struct kluis_buf *b, const struct kluis_trust *trust, int64_t at)
{
    return judged_with_content(b, trust, at, NULL);
}

static void assert_layer(const struct kluis_verdict *v, enum kluis_layer l, enum kluis_layer_state state, const char *reason)
{
    if (v->layer[l].state != state || !strstr(v->layer[l].reason, reason)) {
        fail_msg("%s is in state %d: %s", kluis_layer_name(l), (int)v->layer[l].state, v->layer[l].reason);
    }
}

static void assert_overall(const struct kluis_verdict *v, enum kluis_outcome o)
{
    if (v->overall == o) { return; }
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        print_message("%s: %d %s\n", kluis_layer_name((enum kluis_layer)l), (int)v->layer[l].state, v->layer[l].reason);
    }
    fail_msg("the verdict is %d", (int)v->overall);
}

static void assert_only_invalid(const struct kluis_verdict *v, enum kluis_layer which)
{
    assert_overall(v, KLUIS_INVALID);
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        if ((v->layer[l].state == KLUIS_L_INVALID) != (l == (int)which)) {
            fail_msg("layer %s is in state %d: %s", kluis_layer_name((enum kluis_layer)l), (int)v->layer[l].state, v->layer[l].reason);
        }
    }
}

static void a_whole_export_is_valid_in_every_layer(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(out, 4 << 20);
    exported_crl(pki, now + DAY, KLUIS_TIME_ABSENT, &crl);
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    exported_package(pki, &stamped, &(struct export_options){ .crls = &list, .n_crls = 1, .evidence = true }, &out, NULL);
    struct kluis_verdict v = judged(&out, &pki->trust, now + DAY);
    assert_overall(&v, KLUIS_VALID);
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        bool receipt = l >= KLUIS_V_RECEIPT && l <= KLUIS_V_WITNESS;
        assert_layer(&v, (enum kluis_layer)l, receipt ? KLUIS_L_ABSENT : KLUIS_L_VALID, "");
    }
    v = judged(&out, NULL, now + DAY);
    assert_overall(&v, KLUIS_INDETERMINATE);
    /* The receipt of the device's own file belongs to the export too. */
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    sealed_receipt(pki, &stamped, &(struct receipt_options){ .stamped = true }, &receipt);
    struct kluis_input_mem mem = { kluis_buf_bytes(&out), 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    OK(kluis_validate(&in, (struct kluis_str){ (const char *)receipt.data, receipt.len }, &pki->trust, NULL, now + DAY, &v, NULL));
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_RECEIPT, KLUIS_L_VALID, "");
    assert_memory_equal(v.facts.id, stamped.id, 32);
    kluis_verdict_clear(&v);
}

static void a_stamped_seal_proves_the_time_of_a_package_that_has_no_stamp(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(bare, 4 << 20);
    KLUIS_AUTO_BUF(out, 4 << 20);
    KLUIS_AUTO_BUF(unstamped, 4 << 20);
    sealed_bytes(&plain, &bare);
    struct kluis_verdict v = judged(&bare, &pki->trust, now);
    assert_overall(&v, KLUIS_INDETERMINATE);
    exported_package(pki, &plain, &(struct export_options){ .evidence = false }, &out, NULL);
    v = judged(&out, &pki->trust, now);
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_TIME, KLUIS_L_ABSENT, "");
    assert_layer(&v, KLUIS_V_SEAL, KLUIS_L_VALID, "");
    assert_true(v.proven_us != KLUIS_TIME_ABSENT);
    exported_package(pki, &plain, &(struct export_options){ .unstamped = true }, &unstamped, NULL);
    v = judged(&unstamped, &pki->trust, now);
    assert_overall(&v, KLUIS_INDETERMINATE);
    assert_layer(&v, KLUIS_V_SEAL, KLUIS_L_INDETERMINATE, "no time-stamp token");
}

static void revoked_before_the_stamp_is_invalid_and_after_it_is_not(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(before, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(after, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(stale, KLUIS_CRL_MAX);
    KLUIS_AUTO_BUF(bare, 4 << 20);
    exported_crl(pki, now + 2 * DAY, now - DAY / 2, &before);
    exported_crl(pki, now + 2 * DAY, now + DAY, &after);
    exported_crl(pki, now - DAY / 2, KLUIS_TIME_ABSENT, &stale);
    sealed_bytes(&stamped, &bare);
    struct kluis_trust t = pki->trust;
    struct kluis_bytes list = kluis_buf_bytes(&before);
    t.crls = &list;
    t.n_crls = 1;
    struct kluis_verdict v = judged(&bare, &t, now + 2 * DAY);
    assert_only_invalid(&v, KLUIS_V_REVOCATION);
    assert_layer(&v, KLUIS_V_REVOCATION, KLUIS_L_INVALID, "not proven to be older");
    list = kluis_buf_bytes(&after);
    v = judged(&bare, &t, now + 2 * DAY);
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_REVOCATION, KLUIS_L_VALID, "after the signature");
    list = kluis_buf_bytes(&stale); /* older than the signature: says nothing, and is no reason to doubt */
    v = judged(&bare, &t, now + 2 * DAY);
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_REVOCATION, KLUIS_L_ABSENT, "not checked");

    /* Lists in the seal count in the same way. */
    KLUIS_AUTO_BUF(out, 4 << 20);
    list = kluis_buf_bytes(&before);
    exported_package(pki, &stamped, &(struct export_options){ .crls = &list, .n_crls = 1 }, &out, NULL);
    v = judged(&out, &pki->trust, now + 2 * DAY);
    assert_only_invalid(&v, KLUIS_V_REVOCATION);

    /* Without a proven time nothing says which came first. */
    kluis_buf_clear(&bare);
    sealed_bytes(&plain, &bare);
    list = kluis_buf_bytes(&after);
    v = judged(&bare, &t, now + 2 * DAY);
    assert_overall(&v, KLUIS_INDETERMINATE);
    assert_layer(&v, KLUIS_V_REVOCATION, KLUIS_L_INDETERMINATE, "nothing proves");
    /* A revoked seal. */
    const struct kluis_revoked seal = { kluis_buf_bytes(&pki->seal.cert), now - DAY / 2, 4 };
    KLUIS_AUTO_BUF(root_list, KLUIS_CRL_MAX);
    OK(kluis_crl_issue(&seal, 1, 1, now, now + DAY, pki->root.key, kluis_buf_bytes(&pki->root.cert), &root_list, NULL));
    out.len = 0;
    exported_package(pki, &stamped, &(struct export_options){ .evidence = true }, &out, NULL);
    list = kluis_buf_bytes(&root_list);
    v = judged(&out, &t, now);
    assert_only_invalid(&v, KLUIS_V_SEAL);
}

static void what_is_wrong_with_an_export_is_named_by_its_layer(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 4 << 20);
    KLUIS_AUTO_BUF(other, 4 << 20);
    KLUIS_AUTO_BUF(group, 1 << 20);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    struct kluis_verdict v;
    exported_package(pki, &stamped, &(struct export_options){ .sign_instead = { (const uint8_t *)"other", 5 } }, &out, NULL);
    v = judged(&out, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_SEAL);
    out.len = 0;
    exported_package(pki, &stamped, &(struct export_options){ .sealer = &pki->device, .sealer_issuer = &pki->device_ca }, &out, NULL);
    v = judged(&out, &pki->trust, now); /* a device is no vault */
    assert_only_invalid(&v, KLUIS_V_SEAL);
    out.len = 0;
    exported_package(pki, &plain, &(struct export_options){ .evidence = false }, &other, &group);
    exported_record(pki, kluis_buf_bytes(&group), &record);
    exported_package(pki, &stamped, &(struct export_options){ .evidence = true, .record = kluis_buf_bytes(&record) }, &out, NULL);
    v = judged(&out, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_EVIDENCE);
    assert_layer(&v, KLUIS_V_EVIDENCE, KLUIS_L_INVALID, "of another object");
    struct pki *stranger = pki_new(5);
    struct kluis_trust t = pki->trust;
    t.tsa_cas = &stranger->root_anchor;
    out.len = 0;
    exported_package(pki, &stamped, &(struct export_options){ .evidence = true }, &out, NULL);
    v = judged(&out, &t, now);
    assert_overall(&v, KLUIS_INVALID);
    assert_layer(&v, KLUIS_V_EVIDENCE, KLUIS_L_INVALID, "outside its path");
    pki_free(stranger);
}

/* An authority of our own whose certificate begins now and holds for five years. */
static struct pki next_authority(void)
{
    struct pki p = *pki;
    memset(&p.tsa, 0, sizeof p.tsa);
    pki_issue(&p.tsa, KLUIS_CERT_TSA, &pki->root, now - DAY, now + 9 * PKI_YEAR);
    OK(kluis_tsa_new(p.tsa.key, kluis_buf_bytes(&p.tsa.cert), &p.authority, NULL));
    return p;
}

static void an_evidence_record_carries_a_package_past_its_authoritys_end(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(bare, 4 << 20);
    KLUIS_AUTO_BUF(out, 4 << 20);
    KLUIS_AUTO_BUF(seal_only, 4 << 20);
    struct pki later = next_authority();
    sealed_bytes(&stamped, &bare);
    struct kluis_verdict v = judged(&bare, &pki->trust, now + 3 * PKI_YEAR);
    assert_overall(&v, KLUIS_INDETERMINATE);
    exported_package(pki, &stamped, &(struct export_options){ .evidence = false }, &seal_only, NULL);
    v = judged(&seal_only, &pki->trust, now + 3 * PKI_YEAR);
    assert_overall(&v, KLUIS_INDETERMINATE);
    /* Seal by the old authority; a year later the record by the next one. */
    char name[] = "/tmp/kluis-export-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    struct kluis_input_fd file = { stamped.fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    struct kluis_package_facts facts;
    KLUIS_AUTO(kluis_export) x = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(digests, 1 << 20);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    uint64_t size = 0;
    kluis_package_facts_init(&facts);
    OK(kluis_export_begin(&in, fd, &facts, &x, NULL));
    OK(kluis_export_manifest(x, &manifest, NULL));
    pki_sign(pki, &pki->seal, &pki->root, kluis_buf_bytes(&manifest), true, &p7s);
    OK(kluis_export_seal(x, kluis_buf_bytes(&p7s), NULL));
    OK(kluis_export_group(x, &digests, NULL));
    shift = PKI_YEAR;
    exported_record(&later, kluis_buf_bytes(&digests), &record);
    shift = 0;
    OK(kluis_export_evidence(x, kluis_buf_bytes(&record), NULL));
    OK(kluis_export_finish(x, &size, NULL));
    uint8_t *to = kluis_buf_reserve(&out, (size_t)size);
    assert_non_null(to);
    OK(kluis_pread_all(fd, to, (size_t)size, 0, "export", NULL));
    out.len = (size_t)size;
    kluis_package_facts_clear(&facts);
    kluis_close_quiet(&fd);
    v = judged(&out, &pki->trust, now + 5 * PKI_YEAR);
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_TIME, KLUIS_L_VALID, "");
    assert_true(v.proven_us < now + DAY); /* the device's own token, good again because the record covers it */
    v = judged(&out, &pki->trust, now + 12 * PKI_YEAR);
    assert_overall(&v, KLUIS_INDETERMINATE);
    assert_layer(&v, KLUIS_V_EVIDENCE, KLUIS_L_INDETERMINATE, "has expired since");
    kluis_tsa_free(later.authority);
    pki_party_clear(&later.tsa);
}

static void a_record_renewed_with_sha512_needs_a_second_reading(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(first, 4 << 20);
    KLUIS_AUTO_BUF(out, 4 << 20);
    KLUIS_AUTO_BUF(group, 1 << 20);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(renewed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(sha512, 1 << 20);
    KLUIS_AUTO_BUF(bound, 1 << 20);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    struct kluis_imprint root;
    struct forge f;
    exported_package(pki, &stamped, &(struct export_options){ .evidence = false }, &first, &group);
    forge_open(&f, kluis_buf_bytes(&first));
    for (size_t i = 0; i < f.n; i++) {
        uint8_t d[64];
        if (!kluis_export_covers(f.file[i].name)) { continue; }
        assert_int_equal(EVP_Digest(f.file[i].data, f.file[i].n, d, NULL, EVP_sha512(), NULL), 1);
        kluis_buf_add(&sha512, d, sizeof d);
    }
    struct forge_file *seal = forge_find(&f, "signature002.p7s");
    exported_record(pki, kluis_buf_bytes(&group), &record);
    OK(kluis_evidence_rehash(kluis_buf_bytes(&record), KLUIS_SHA512, kluis_buf_bytes(&sha512), &bound, NULL));
    OK(kluis_evidence_batch_new(KLUIS_SHA512, &b, NULL));
    OK(kluis_evidence_batch_add(b, kluis_buf_bytes(&bound), NULL));
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(pki->authority, &pki->root_anchor, &root, &token);
    OK(kluis_evidence_batch_renewed(b, 0, kluis_buf_bytes(&bound), kluis_buf_bytes(&token), kluis_buf_bytes(&record), &renewed, NULL));

    /* The same seal again, with the renewed record behind it. */
    struct kluis_input_fd file = { stamped.fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    struct kluis_package_facts facts;
    KLUIS_AUTO(kluis_export) x = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    uint64_t size = 0;
    char name[] = "/tmp/kluis-export-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    kluis_package_facts_init(&facts);
    OK(kluis_export_begin(&in, fd, &facts, &x, NULL));
    OK(kluis_export_manifest(x, &manifest, NULL));
    OK(kluis_export_seal(x, (struct kluis_bytes){ seal->data, seal->n }, NULL));
    OK(kluis_export_evidence(x, kluis_buf_bytes(&renewed), NULL));
    OK(kluis_export_finish(x, &size, NULL));
    uint8_t *to = kluis_buf_reserve(&out, (size_t)size);
    assert_non_null(to);
    OK(kluis_pread_all(fd, to, (size_t)size, 0, "export", NULL));
    out.len = (size_t)size;
    kluis_package_facts_clear(&facts);
    kluis_close_quiet(&fd);
    forge_free(&f);

    struct kluis_verdict v = judged(&out, &pki->trust, now);
    assert_overall(&v, KLUIS_VALID);
    assert_layer(&v, KLUIS_V_EVIDENCE, KLUIS_L_VALID, "");
    struct kluis_input_mem mem = { kluis_buf_bytes(&out), 0 };
    in = kluis_input_from_mem(&mem);
    OK(kluis_validate(&in, no_receipt, &pki->trust, NULL, now, &v, NULL));
    assert_overall(&v, KLUIS_INDETERMINATE);
    assert_layer(&v, KLUIS_V_EVIDENCE, KLUIS_L_INDETERMINATE, "512 bits were not computed");
    kluis_verdict_clear(&v);
    /* Bytes that differ at the second reading are no verdict at all. */
    KLUIS_AUTO_BUF(bytes, 4 << 20);
    sealed_bytes(&plain, &bytes);
    struct kluis_input_mem once = { kluis_buf_bytes(&out), 0 }, other = { kluis_buf_bytes(&bytes), 0 };
    struct kluis_input again = kluis_input_from_mem(&other);
    in = kluis_input_from_mem(&once);
    assert_int_equal(kluis_validate_twice(&in, &again, no_receipt, &pki->trust, NULL, now, &v, NULL), KLUIS_E_IO);
    kluis_verdict_clear(&v);
}

/* Sampled: what an export adds is as closed as the package.  Now and then (one flip in some 40,000) deflated data says the same with a bit
 * changed, for example by copying equal bytes from elsewhere: then the content must be the same to the byte. */
static void no_bit_behind_the_package_can_be_changed(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 4 << 20);
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    exported_crl(pki, now + DAY, KLUIS_TIME_ABSENT, &crl);
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    exported_package(pki, &stamped, &(struct export_options){ .crls = &list, .n_crls = 1, .evidence = true }, &out, NULL);
    const uint8_t *from = memmem(out.data, out.len, "META-INF/ASiCManifest002.xml", 28);
    assert_non_null(from);
    uint8_t whole[32], content[32];
    struct kluis_verdict good = judged_with_content(&out, &pki->trust, now + DAY, whole);
    assert_overall(&good, KLUIS_VALID);
    size_t first = 8 * (size_t)(from - out.data), bits = 8 * out.len - first, passed = 0, n = 0;
    for (size_t i = 0; i < bits; i += 31, n++) {
        size_t bit = first + i;
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct kluis_verdict v = judged_with_content(&out, &pki->trust, now + DAY, content);
        bool valid = v.overall == KLUIS_VALID && v.layer[KLUIS_V_REVOCATION].state == KLUIS_L_VALID;
        if (valid && memcmp(content, whole, sizeof whole) != 0) { passed++; }
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    print_message("%zu of %zu sampled flips leave it valid with another content\n", passed, n);
    assert_true(n > 300);
    assert_int_equal(passed, 0);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_export_is_valid_in_every_layer),
        cmocka_unit_test(a_stamped_seal_proves_the_time_of_a_package_that_has_no_stamp),
        cmocka_unit_test(revoked_before_the_stamp_is_invalid_and_after_it_is_not),
        cmocka_unit_test(what_is_wrong_with_an_export_is_named_by_its_layer),
        cmocka_unit_test(an_evidence_record_carries_a_package_past_its_authoritys_end),
        cmocka_unit_test(a_record_renewed_with_sha512_needs_a_second_reading),
        cmocka_unit_test(no_bit_behind_the_package_can_be_changed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
