/* tests/unit/evidence_test.c - RFC 4998: what a record proves, for how long, and what it does not prove.
 *
 * vectors/evidence holds records that BouncyCastle made (tests/interop/Evidence.java make); every other record here is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "tests/support/evidence_kit.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define VECTORS "tests/unit/vectors/evidence/"

static struct pki *pki; /* its authority's certificate holds for two years */
static int64_t shift;

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
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

static struct kluis_evidence_verdict judged(struct kluis_bytes record, unsigned object, int64_t at)
{
    struct kluis_evidence_verdict v;
    struct kit_object o = kit_object(object);
    struct kluis_evidence_object known = kit_known(&o);
    OK(kluis_evidence_judge(record, &known, &pki->root_anchor, 1, at, &v, NULL));
    assert_true((v.outcome == KLUIS_VALID) == (v.reason[0] == 0));
    assert_true((v.outcome == KLUIS_VALID) == (v.first_us != KLUIS_TIME_ABSENT));
    return v;
}

static void assert_is(struct kluis_evidence_verdict v, enum kluis_outcome o, const char *reason)
{
    if (v.outcome != o || !strstr(v.reason, reason)) { fail_msg("outcome %d: %s", (int)v.outcome, v.reason); }
}

static void every_object_of_a_batch_is_proven_by_its_own_record_alone(void **state)
{
    (void)state;
    static const unsigned sizes[] = { 1, 2, 3, 4, 7, 64, 100 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (unsigned i = 0; i < sizes[s]; i += 1 + sizes[s] / 8) {
            KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
            kit_record(pki, sizes[s], i, &record);
            for (unsigned k = 0; k < sizes[s]; k += 1 + sizes[s] / 8) {
                struct kluis_evidence_verdict v = judged(kluis_buf_bytes(&record), k, kluis_now_us());
                if (k == i) {
                    assert_is(v, KLUIS_VALID, "");
                } else {
                    assert_is(v, KLUIS_INVALID, "of another object");
                }
            }
            assert_is(judged(kluis_buf_bytes(&record), 5000, kluis_now_us()), KLUIS_INVALID, "of another object");
        }
    }
}

static void an_object_with_a_file_less_or_more_is_another_object(void **state)
{
    (void)state;
    struct kit_object o = kit_object(1);
    struct kluis_evidence_object known = kit_known(&o);
    struct kluis_evidence_verdict v;
    uint8_t more[sizeof o.sha256 + 32];
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    kit_record(pki, 3, 1, &record);
    known.digests[KLUIS_SHA256].len -= 32;
    OK(kluis_evidence_judge(kluis_buf_bytes(&record), &known, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INVALID, "of another object");
    memcpy(more, o.sha256, sizeof o.sha256);
    memset(more + sizeof o.sha256, 7, 32);
    known.digests[KLUIS_SHA256] = (struct kluis_bytes){ more, sizeof more };
    OK(kluis_evidence_judge(kluis_buf_bytes(&record), &known, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INVALID, "of another object");
    /* The order of its files does not matter: RFC 4998 sorts. */
    memcpy(more, o.sha256 + 32, sizeof o.sha256 - 32);
    memcpy(more + sizeof o.sha256 - 32, o.sha256, 32);
    known.digests[KLUIS_SHA256].len = sizeof o.sha256;
    OK(kluis_evidence_judge(kluis_buf_bytes(&record), &known, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_VALID, "");
    /* Somebody else's authority, and none. */
    OK(kluis_evidence_judge(kluis_buf_bytes(&record), &known, &pki->device_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INVALID, "");
    OK(kluis_evidence_judge(kluis_buf_bytes(&record), &known, NULL, 0, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INDETERMINATE, "no time authority is trusted");
}

/* RFC 4998 §4.2 by hand, for two objects: H(sort(H(sort d_1), H(sort d_2))). */
static void the_root_is_that_of_the_rfc(void **state)
{
    (void)state;
    uint8_t pair[64], group[KIT_FILES * 32], want[32];
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    struct kluis_imprint root;
    OK(kluis_evidence_batch_new(KLUIS_SHA256, &b, NULL));
    for (unsigned i = 0; i < 2; i++) {
        struct kit_object o = kit_object(i);
        OK(kluis_evidence_batch_add(b, kit_digests(&o, KLUIS_SHA256), NULL));
        memcpy(group, o.sha256, sizeof group);
        for (int x = 0; x < KIT_FILES; x++) { /* the plainest sort there is */
            for (int y = x + 1; y < KIT_FILES; y++) {
                uint8_t t[32];
                if (memcmp(group + 32 * x, group + 32 * y, 32) <= 0) { continue; }
                memcpy(t, group + 32 * x, 32);
                memcpy(group + 32 * x, group + 32 * y, 32);
                memcpy(group + 32 * y, t, 32);
            }
        }
        kluis_sha256_of(group, sizeof group, pair + 32 * (size_t)i);
    }
    if (memcmp(pair, pair + 32, 32) > 0) {
        uint8_t t[32];
        memcpy(t, pair, 32);
        memcpy(pair, pair + 32, 32);
        memcpy(pair + 32, t, 32);
    }
    kluis_sha256_of(pair, sizeof pair, want);
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    assert_int_equal(root.digest, KLUIS_SHA256);
    assert_memory_equal(root.value, want, 32);
    struct kluis_err err = { 0 };
    struct kit_object o = kit_object(2);
    assert_int_equal(kluis_evidence_batch_add(b, kit_digests(&o, KLUIS_SHA256), &err), KLUIS_E_BUG);
}

static void a_batch_refuses_what_does_not_belong_to_it(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    struct kluis_imprint root;
    struct kit_object o = kit_object(0), other = kit_object(1);
    OK(kluis_evidence_batch_new(KLUIS_SHA256, &b, NULL));
    assert_int_equal(kluis_evidence_batch_imprint(b, &root, NULL), KLUIS_E_LIMIT);
    assert_int_equal(kluis_evidence_batch_add(b, (struct kluis_bytes){ o.sha256, 33 }, NULL), KLUIS_E_LIMIT);
    assert_int_equal(kluis_evidence_batch_add(b, (struct kluis_bytes){ o.sha256, 0 }, NULL), KLUIS_E_LIMIT);
    OK(kluis_evidence_batch_add(b, kit_digests(&o, KLUIS_SHA256), NULL));
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(pki->authority, &pki->root_anchor, &root, &token);
    struct kluis_bytes t = kluis_buf_bytes(&token);
    assert_int_equal(kluis_evidence_batch_record(b, 0, kit_digests(&other, KLUIS_SHA256), t, &record, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_evidence_batch_record(b, 1, kit_digests(&o, KLUIS_SHA256), t, &record, NULL), KLUIS_E_BUG);
    root.value[0] ^= 1;
    kluis_buf_clear(&token);
    kit_token(pki->authority, &pki->root_anchor, &root, &token);
    t = kluis_buf_bytes(&token);
    assert_int_equal(kluis_evidence_batch_record(b, 0, kit_digests(&o, KLUIS_SHA256), t, &record, NULL), KLUIS_E_REJECT);
    assert_int_equal(record.len, 0);
}

/* Three years later, with an authority whose certificate came a year after the first's. */
static void a_renewed_stamp_outlives_its_authority_and_one_renewed_too_late_does_not(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(renewed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(late, KLUIS_EVIDENCE_MAX);
    struct pki other = *pki;
    int64_t now = kluis_now_us();
    kit_record(pki, 3, 2, &record);
    assert_is(judged(kluis_buf_bytes(&record), 2, now + PKI_YEAR), KLUIS_VALID, "");
    assert_is(judged(kluis_buf_bytes(&record), 2, now + 3 * PKI_YEAR), KLUIS_INDETERMINATE, "has expired since");

    memset(&other.tsa, 0, sizeof other.tsa);
    pki_issue(&other.tsa, KLUIS_CERT_TSA, &pki->root, now, now + 5 * PKI_YEAR);
    OK(kluis_tsa_new(other.tsa.key, kluis_buf_bytes(&other.tsa.cert), &other.authority, NULL));
    shift = PKI_YEAR; /* in time */
    kit_restamp(&other, kluis_buf_bytes(&record), &renewed);
    shift = 3 * PKI_YEAR; /* too late */
    kit_restamp(&other, kluis_buf_bytes(&record), &late);
    shift = 0;
    struct kluis_evidence_verdict v = judged(kluis_buf_bytes(&renewed), 2, now + 4 * PKI_YEAR);
    assert_is(v, KLUIS_VALID, "");
    assert_int_equal(v.chains, 1);
    assert_int_equal(v.stamps, 2);
    assert_true(v.first_us < now + PKI_YEAR / 2 && v.last_us > now + PKI_YEAR / 2);
    assert_is(judged(kluis_buf_bytes(&renewed), 1, now + 4 * PKI_YEAR), KLUIS_INVALID, "of another object");
    assert_is(judged(kluis_buf_bytes(&renewed), 2, now + 6 * PKI_YEAR), KLUIS_INDETERMINATE, "has expired since");
    assert_is(judged(kluis_buf_bytes(&late), 2, now + 4 * PKI_YEAR), KLUIS_INDETERMINATE, "has expired since");

    /* A token over another record's token renews nothing. */
    KLUIS_AUTO_BUF(foreign, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(out, KLUIS_EVIDENCE_MAX);
    struct kluis_imprint over;
    kit_record(pki, 4, 2, &foreign);
    OK(kluis_evidence_renewal_imprint(kluis_buf_bytes(&foreign), &over, NULL));
    kit_token(pki->authority, &pki->root_anchor, &over, &token);
    assert_int_equal(kluis_evidence_restamped(kluis_buf_bytes(&record), kluis_buf_bytes(&token), &out, NULL), KLUIS_E_REJECT);
    kluis_tsa_free(other.authority);
    pki_party_clear(&other.tsa);
}

static void a_new_hash_tree_in_sha512_covers_object_and_older_stamps(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(renewed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(rehashed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(again, KLUIS_EVIDENCE_MAX);
    unsigned needs = 0;
    kit_record(pki, 5, 4, &record);
    kit_restamp(pki, kluis_buf_bytes(&record), &renewed);
    kit_rehash(pki, kluis_buf_bytes(&renewed), 4, &rehashed);
    kit_restamp(pki, kluis_buf_bytes(&rehashed), &again);
    OK(kluis_evidence_needs(kluis_buf_bytes(&record), &needs, NULL));
    assert_int_equal(needs, 1u << KLUIS_SHA256);
    OK(kluis_evidence_needs(kluis_buf_bytes(&again), &needs, NULL));
    assert_int_equal(needs, 1u << KLUIS_SHA256 | 1u << KLUIS_SHA512);
    struct kluis_evidence_verdict v = judged(kluis_buf_bytes(&again), 4, kluis_now_us());
    assert_is(v, KLUIS_VALID, "");
    assert_int_equal(v.chains, 2);
    assert_int_equal(v.stamps, 4);
    assert_is(judged(kluis_buf_bytes(&again), 3, kluis_now_us()), KLUIS_INVALID, "a new hash tree over another object");

    /* SHA-512 of other files beside the right SHA-256: the new tree says so; without SHA-512 nothing can be said. */
    struct kit_object o = kit_object(4), other = kit_object(3);
    struct kluis_evidence_object known = kit_known(&o);
    known.digests[KLUIS_SHA512] = kit_digests(&other, KLUIS_SHA512);
    OK(kluis_evidence_judge(kluis_buf_bytes(&again), &known, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INVALID, "a new hash tree over another object");
    known.digests[KLUIS_SHA512].ptr = NULL;
    OK(kluis_evidence_judge(kluis_buf_bytes(&again), &known, &pki->root_anchor, 1, kluis_now_us(), &v, NULL));
    assert_is(v, KLUIS_INDETERMINATE, "512 bits were not computed");

    /* A new tree made over an earlier state of the record does not fit behind a later one. */
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    KLUIS_AUTO_BUF(bound, 4096);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(mixed, KLUIS_EVIDENCE_MAX);
    struct kluis_imprint root;
    OK(kluis_evidence_rehash(kluis_buf_bytes(&record), KLUIS_SHA512, kit_digests(&o, KLUIS_SHA512), &bound, NULL));
    OK(kluis_evidence_batch_new(KLUIS_SHA512, &b, NULL));
    OK(kluis_evidence_batch_add(b, kluis_buf_bytes(&bound), NULL));
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(pki->authority, &pki->root_anchor, &root, &token);
    OK(kluis_evidence_batch_renewed(b, 0, kluis_buf_bytes(&bound), kluis_buf_bytes(&token), kluis_buf_bytes(&renewed), &mixed, NULL));
    assert_is(judged(kluis_buf_bytes(&mixed), 4, kluis_now_us()), KLUIS_INVALID, "a new hash tree over another object");
}

/* One spelling: no flipped bit, no cut and no byte behind leaves a record valid. */
static void no_changed_record_proves_anything(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(rehashed, KLUIS_EVIDENCE_MAX);
    kit_record(pki, 3, 0, &record);
    kit_rehash(pki, kluis_buf_bytes(&record), 0, &rehashed);
    for (size_t bit = 0; bit < 8 * rehashed.len; bit++) {
        rehashed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (judged(kluis_buf_bytes(&rehashed), 0, kluis_now_us()).outcome == KLUIS_VALID) { fail_msg("bit %zu changes nothing", bit); }
        rehashed.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t n = 0; n < rehashed.len; n++) {
        assert_int_equal(judged((struct kluis_bytes){ rehashed.data, n }, 0, kluis_now_us()).outcome, KLUIS_INVALID);
    }
    kluis_buf_byte(&rehashed, 0);
    assert_int_equal(judged(kluis_buf_bytes(&rehashed), 0, kluis_now_us()).outcome, KLUIS_INVALID);
    rehashed.len--;
    assert_int_equal(judged(kluis_buf_bytes(&rehashed), 0, kluis_now_us()).outcome, KLUIS_VALID); /* the control */
}

/* tag and length around what stands in b. */
static void wrap(struct kluis_buf *b, uint8_t tag)
{
    KLUIS_AUTO_BUF(out, 8 << 20);
    kluis_buf_byte(&out, tag);
    kluis_buf_byte(&out, 0x83);
    for (int shift_bits = 16; shift_bits >= 0; shift_bits -= 8) { kluis_buf_byte(&out, (uint8_t)(b->len >> shift_bits)); }
    kluis_buf_add(&out, b->data, b->len);
    kluis_buf_clear(b);
    kluis_buf_add(b, out.data, out.len);
    OK(kluis_buf_ok(b, NULL));
}

/* Half a million empty digests in one megabyte: refused before a template makes objects of them. */
static void a_record_of_very_many_parts_is_refused_unread(void **state)
{
    (void)state;
    static const uint8_t tree_tags[] = { 0x30, 0xa2, 0x30, 0x30, 0x30 };
    KLUIS_AUTO_BUF(b, 8 << 20);
    KLUIS_AUTO_BUF(record, 8 << 20);
    for (unsigned i = 0; i < 500000; i++) { kluis_buf_add(&b, "\x04", 2); }
    for (size_t i = 0; i < sizeof tree_tags; i++) { wrap(&b, tree_tags[i]); }
    kluis_buf_add(&record, "\x02\x01\x01\x30", 5);
    kluis_buf_add(&record, b.data, b.len);
    wrap(&record, 0x30);
    assert_is(judged(kluis_buf_bytes(&record), 0, kluis_now_us()), KLUIS_INVALID, "empty, too large, or no DER");
    kluis_buf_clear(&record);
    assert_is(judged((struct kluis_bytes){ b.data, 0 }, 0, kluis_now_us()), KLUIS_INVALID, "empty, too large, or no DER");
    assert_non_null(kluis_buf_reserve(&b, KLUIS_EVIDENCE_MAX + 1));
    assert_is(judged((struct kluis_bytes){ b.data, KLUIS_EVIDENCE_MAX + 1 }, 0, kluis_now_us()), KLUIS_INVALID, "empty, too large, or no DER");
}

static struct kluis_bytes load(const char *name, struct kluis_buf *b)
{
    char path[256];
    (void)snprintf(path, sizeof path, VECTORS "%s", name);
    kluis_buf_init(b, 1 << 16);
    OK(kluis_read_file(path, 1 << 16, b, NULL));
    return kluis_buf_bytes(b);
}

static void records_that_bouncycastle_made_prove_their_object_alone(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned object;
        size_t chains, stamps;
    } made[] = {
        { "batch1.ers", 1, 1, 1 }, { "batch2.ers", 2, 1, 1 }, { "batch3.ers", 3, 1, 1 }, { "renewed1.ers", 1, 1, 2 }, { "rehashed1.ers", 1, 2, 3 }
    };
    struct kluis_buf authority, record, file;
    struct kluis_bytes anchor = load("authority.der", &authority);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        struct kluis_bytes der = load(made[i].name, &record);
        for (unsigned object = 1; object <= 3; object++) {
            uint8_t sha256[5 * 32], sha512[5 * 64];
            size_t n = 2 + object;
            for (unsigned f = 0; f < n; f++) {
                char name[64];
                (void)snprintf(name, sizeof name, "object%u/file%u", object, f + 1);
                struct kluis_bytes text = load(name, &file);
                kluis_sha256_of(text.ptr, text.len, sha256 + 32 * (size_t)f);
                assert_int_equal(EVP_Digest(text.ptr, text.len, sha512 + 64 * (size_t)f, NULL, EVP_sha512(), NULL), 1);
                kluis_buf_free(&file);
            }
            struct kluis_evidence_object known = { .digests = { { NULL, 0 } } };
            struct kluis_evidence_verdict v;
            known.digests[KLUIS_SHA256] = (struct kluis_bytes){ sha256, 32 * n };
            known.digests[KLUIS_SHA512] = (struct kluis_bytes){ sha512, 64 * n };
            OK(kluis_evidence_judge(der, &known, &anchor, 1, kluis_now_us(), &v, NULL));
            if (object == made[i].object) {
                if (v.outcome != KLUIS_VALID) { fail_msg("%s: %s", made[i].name, v.reason); }
                assert_int_equal(v.chains, made[i].chains);
                assert_int_equal(v.stamps, made[i].stamps);
            } else {
                assert_is(v, KLUIS_INVALID, "another object");
            }
        }
        kluis_buf_free(&record);
    }
    kluis_buf_free(&authority);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_object_of_a_batch_is_proven_by_its_own_record_alone),
        cmocka_unit_test(an_object_with_a_file_less_or_more_is_another_object),
        cmocka_unit_test(the_root_is_that_of_the_rfc),
        cmocka_unit_test(a_batch_refuses_what_does_not_belong_to_it),
        cmocka_unit_test(a_renewed_stamp_outlives_its_authority_and_one_renewed_too_late_does_not),
        cmocka_unit_test(a_new_hash_tree_in_sha512_covers_object_and_older_stamps),
        cmocka_unit_test(no_changed_record_proves_anything),
        cmocka_unit_test(a_record_of_very_many_parts_is_refused_unread),
        cmocka_unit_test(records_that_bouncycastle_made_prove_their_object_alone),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
