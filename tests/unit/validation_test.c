/* tests/unit/validation_test.c - whole packages with and without receipts: which layer says what, and the verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/support/sealed.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static struct pki *pki;
static const struct kluis_str no_receipt = { NULL, 0 };

static int setup(void **state)
{
    (void)state;
    pki = pki_new(5);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

static void judge_bytes(struct kluis_bytes bytes, struct kluis_str receipt, const struct kluis_trust *trust, int64_t now, struct kluis_verdict *v)
{
    struct kluis_input_mem mem = { bytes, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    OK(kluis_validate(&in, receipt, trust, NULL, now, v, NULL));
}

static struct kluis_verdict judged(const struct sealed *s, struct kluis_str receipt, const struct kluis_trust *trust, int64_t now)
{
    struct kluis_verdict v;
    struct kluis_input_fd file = { s->fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    OK(kluis_validate(&in, receipt, trust, NULL, now, &v, NULL));
    kluis_buf_free(&v.facts.manifest); /* the rest of the facts is looked at */
    kluis_buf_free(&v.facts.signature);
    return v;
}

static struct kluis_str str_of(const struct kluis_buf *b) { return (struct kluis_str){ (const char *)b->data, b->len }; }

/* Exactly this layer is invalid. */
static void assert_only_invalid(const struct kluis_verdict *v, enum kluis_layer which)
{
    assert_int_equal(v->overall, KLUIS_INVALID);
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        if ((v->layer[l].state == KLUIS_L_INVALID) != (l == (int)which)) {
            fail_msg("layer %s is in state %d: %s", kluis_layer_name((enum kluis_layer)l), (int)v->layer[l].state, v->layer[l].reason);
        }
    }
    assert_true(v->layer[which].reason[0] != 0);
}

static void stamped_package_is_valid_only_with_trust(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true, .attachment = 5000 });
    struct kluis_verdict v = judged(&s, no_receipt, &pki->trust, kluis_now_us());
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        if (l != KLUIS_V_REVOCATION) { assert_string_equal(v.layer[l].reason, ""); }
    }
    assert_int_equal(v.layer[KLUIS_V_REVOCATION].state, KLUIS_L_ABSENT); /* nobody gave a list: said, and no reason to doubt */
    assert_non_null(strstr(v.layer[KLUIS_V_REVOCATION].reason, "not checked"));
    assert_int_equal(v.overall, KLUIS_VALID);
    assert_memory_equal(v.facts.id, s.id, 32);
    assert_memory_equal(v.facts.records_root, s.root, 32);
    assert_true(v.proven_us != KLUIS_TIME_ABSENT);
    assert_int_equal(v.layer[KLUIS_V_RECEIPT].state, KLUIS_L_ABSENT);
    v = judged(&s, no_receipt, NULL, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_INDETERMINATE);
    assert_int_equal(v.layer[KLUIS_V_SIGNATURE].state, KLUIS_L_VALID);
    /* After the time authority's certificate ended, nothing newer covers the stamp. */
    v = judged(&s, no_receipt, &pki->trust, kluis_now_us() + 6 * PKI_YEAR);
    assert_int_equal(v.overall, KLUIS_INDETERMINATE);
    kluis_close_quiet(&s.fd);
}

static void unstamped_package_needs_a_stamped_receipt(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = false });
    struct kluis_verdict v = judged(&s, no_receipt, &pki->trust, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_INDETERMINATE);
    assert_int_equal(v.layer[KLUIS_V_TIME].state, KLUIS_L_ABSENT);
    KLUIS_AUTO_BUF(pending, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_RECEIPT_MAX);
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = false }, &pending);
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = true }, &stamped);
    v = judged(&s, str_of(&pending), &pki->trust, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_INDETERMINATE);
    assert_int_equal(v.layer[KLUIS_V_LEDGER].state, KLUIS_L_VALID);
    assert_int_equal(v.layer[KLUIS_V_CHECKPOINT].state, KLUIS_L_INDETERMINATE);
    v = judged(&s, str_of(&stamped), &pki->trust, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_VALID);
    assert_true(v.proven_us != KLUIS_TIME_ABSENT);
    kluis_close_quiet(&s.fd);
}

static void receipt_still_waiting_for_its_stamp_does_not_spoil_a_stamped_package(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true });
    KLUIS_AUTO_BUF(pending, KLUIS_RECEIPT_MAX);
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = false }, &pending);
    struct kluis_verdict v = judged(&s, str_of(&pending), &pki->trust, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_VALID);
    assert_int_equal(v.layer[KLUIS_V_CHECKPOINT].state, KLUIS_L_INDETERMINATE);
    v = judged(&s, str_of(&pending), NULL, kluis_now_us());
    assert_int_equal(v.overall, KLUIS_INDETERMINATE);
    kluis_close_quiet(&s.fd);
}

static void each_wrong_thing_is_named_by_its_own_layer(void **state)
{
    (void)state;
    struct pki *stranger = pki_new(5);
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    int64_t now = kluis_now_us();
    struct kluis_bytes other = { (const uint8_t *)"<other/>", 8 };
    struct sealed good = sealed_package(pki, &(struct sealed_options){ .stamped = true });
    struct sealed twin = sealed_package(pki, &(struct sealed_options){ .stamped = true, .records = 6 });

    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true, .sign_instead = other }); /* a swapped signature */
    struct kluis_verdict v = judged(&s, no_receipt, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_SIGNATURE);
    kluis_close_quiet(&s.fd);

    s = sealed_package(pki, &(struct sealed_options){ .signature = { (const uint8_t *)"no signature", 12 } });
    v = judged(&s, no_receipt, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_SIGNATURE);
    kluis_close_quiet(&s.fd);

    s = sealed_package(stranger, &(struct sealed_options){ .stamped = false }); /* another organisation's device */
    v = judged(&s, no_receipt, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_CERTIFICATE);
    kluis_close_quiet(&s.fd);

    s = sealed_package(pki, &(struct sealed_options){ .stamped = true, .device = "ffeeddccbbaa99887766554433221100" });
    v = judged(&s, no_receipt, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_CERTIFICATE);
    kluis_close_quiet(&s.fd);

    /* The manifest is the same each time, so a signature made once fits the package made next. */
    struct kluis_trust strange_time = pki->trust;
    strange_time.tsa_cas = &stranger->root_anchor;
    v = judged(&good, no_receipt, &strange_time, now); /* a token of an authority nobody trusts */
    assert_only_invalid(&v, KLUIS_V_TIME);

    struct kluis_package_facts facts;
    kluis_package_facts_init(&facts);
    struct kluis_input_fd file = { good.fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    OK(kluis_package_read(&in, NULL, &facts, NULL));
    pki_sign(pki, &pki->device, &pki->device_ca, kluis_buf_bytes(&facts.manifest), false, &plain);
    uint8_t imprint[32] = { 9 };
    pki_token(pki->authority, &pki->root_anchor, imprint, &token);
    OK(kluis_seal_add_token(kluis_buf_bytes(&plain), kluis_buf_bytes(&token), &p7s, NULL));
    kluis_package_facts_clear(&facts);
    s = sealed_package(pki, &(struct sealed_options){ .signature = kluis_buf_bytes(&p7s) }); /* a token over other data */
    v = judged(&s, no_receipt, &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_TIME);
    kluis_close_quiet(&s.fd);

    sealed_receipt(pki, &twin, &(struct receipt_options){ .stamped = true }, &receipt); /* a receipt of another package */
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_RECEIPT);

    kluis_buf_clear(&receipt);
    sealed_receipt(pki, &good, &(struct receipt_options){ .stamped = true, .other_root = true }, &receipt); /* a proof against another root */
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_LEDGER);

    kluis_buf_clear(&receipt);
    sealed_receipt(pki, &good, &(struct receipt_options){ .stamped = true, .log_seed = stranger->log_seed }, &receipt); /* another log's key */
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_LEDGER);

    kluis_buf_clear(&receipt);
    sealed_receipt(pki, &good, &(struct receipt_options){ .stamped = true, .sealer = &stranger->seal }, &receipt);
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_CHECKPOINT);

    kluis_buf_clear(&receipt); /* a device that plays the vault */
    sealed_receipt(pki, &good, &(struct receipt_options){ .stamped = true, .sealer = &pki->device, .sealer_issuer = &pki->device_ca }, &receipt);
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_CHECKPOINT);

    kluis_buf_clear(&receipt);
    sealed_receipt(pki, &good, &(struct receipt_options){ .stamped = false, .say_otherwise = true }, &receipt);
    v = judged(&good, str_of(&receipt), &pki->trust, now);
    assert_only_invalid(&v, KLUIS_V_CHECKPOINT);

    kluis_close_quiet(&good.fd);
    kluis_close_quiet(&twin.fd);
    pki_free(stranger);
}

static void receipt_has_one_spelling(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true });
    KLUIS_AUTO_BUF(json, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO_BUF(again, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(16 << 20);
    struct kluis_receipt r;
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = true }, &json);
    OK(kluis_receipt_read(str_of(&json), arena, &r, NULL));
    assert_true(r.stamped);
    OK(kluis_receipt_write(&r, &again, NULL));
    assert_int_equal(again.len, json.len);
    static const char *const bad[] = { "", "{}", "null", "{\"version\":\"chatkluis-receipt-v1\"}" };
    for (size_t i = 0; i < 4; i++) { assert_int_equal(kluis_receipt_read(kluis_str_of(bad[i]), arena, &r, NULL), KLUIS_E_REJECT); }
    const struct {
        const char *find, *put;
    } edits[] = { { "{\"version\"", "{ \"version\"" }, { "\"time\":\"stamped\"}", "\"time\":\"stamped\",\"time\":\"stamped\"}" },
                  { "\"leaf\"", "\"Leaf\"" },          { "-v1\",", "-v2\"," },
                  { "stamped\"}", "maybe\"}" },        { "chat", "\\u0063hat" } };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        KLUIS_AUTO_BUF(changed, KLUIS_RECEIPT_MAX);
        kluis_buf_byte(&json, 0);
        const char *at = strstr((const char *)json.data, edits[i].find);
        json.len--;
        assert_non_null(at);
        size_t head = (size_t)(at - (const char *)json.data), skip = strlen(edits[i].find);
        kluis_buf_add(&changed, json.data, head);
        kluis_buf_cstr(&changed, edits[i].put);
        kluis_buf_add(&changed, json.data + head + skip, json.len - head - skip);
        assert_int_equal(kluis_receipt_read(str_of(&changed), arena, &r, NULL), KLUIS_E_REJECT);
    }
    /* The agent's check: facts it knows, facts it does not. */
    OK(kluis_receipt_read(str_of(&json), arena, &r, NULL));
    enum kluis_layer layer = KLUIS_V_LAYERS;
    OK(kluis_receipt_check(&r, &pki->trust, s.id, s.root, s.device, kluis_now_us(), NULL, &layer, NULL));
    OK(kluis_receipt_check(&r, &pki->trust, s.id, NULL, NULL, kluis_now_us(), NULL, &layer, NULL));
    assert_int_equal(kluis_receipt_check(&r, &pki->trust, s.root, NULL, NULL, kluis_now_us(), NULL, &layer, NULL), KLUIS_E_REJECT);
    assert_int_equal(layer, KLUIS_V_RECEIPT);
    struct kluis_trust none = { 0 };
    assert_int_equal(kluis_receipt_check(&r, &none, s.id, NULL, NULL, kluis_now_us(), NULL, &layer, NULL), KLUIS_E_REJECT);
    assert_int_equal(layer, KLUIS_V_LEDGER);
    kluis_close_quiet(&s.fd);
}

/* Flips bits spread evenly over the package; returns how many still are not refused. */
static size_t flips_passing(struct kluis_buf *bytes, struct kluis_str receipt, size_t tries)
{
    size_t passed = 0, bits = 8 * bytes->len;
    int64_t now = kluis_now_us();
    for (size_t i = 0; i < tries; i++) {
        size_t bit = tries >= bits ? i % bits : (size_t)((i * (unsigned long long)bits) / tries + i % 8) % bits;
        struct kluis_verdict v;
        bytes->data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        judge_bytes(kluis_buf_bytes(bytes), receipt, &pki->trust, now, &v);
        if (v.overall != KLUIS_INVALID) {
            passed++;
            print_message("bit %zu of %zu is not refused\n", bit, bits);
        }
        kluis_verdict_clear(&v);
        bytes->data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    }
    return passed;
}

static void flipped_bits_are_refused_with_and_without_a_receipt(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true, .attachment = 2000, .records = 20 });
    KLUIS_AUTO_BUF(bytes, 16 << 20);
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    sealed_bytes(&s, &bytes);
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = true }, &receipt);
    struct kluis_verdict v;
    judge_bytes(kluis_buf_bytes(&bytes), str_of(&receipt), &pki->trust, kluis_now_us(), &v);
    assert_int_equal(v.overall, KLUIS_VALID);
    kluis_verdict_clear(&v);
    bool all = getenv("KLUIS_EVERY_BIT") != NULL;
    size_t tries = all ? 8 * bytes.len : 2000;
    assert_int_equal(flips_passing(&bytes, str_of(&receipt), all ? 4000 : 1000), 0);
    assert_true(flips_passing(&bytes, no_receipt, tries) * 1000 <= tries);
    size_t cut = 0;
    for (size_t n = 0; n < bytes.len; n += bytes.len / 300 + 1, cut++) {
        judge_bytes((struct kluis_bytes){ bytes.data, n }, no_receipt, &pki->trust, kluis_now_us(), &v);
        assert_int_equal(v.overall, KLUIS_INVALID);
        kluis_verdict_clear(&v);
    }
    assert_true(cut > 200);
    kluis_close_quiet(&s.fd);
}

static void flipped_bits_of_a_receipt_are_refused(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true });
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(64 << 20);
    sealed_receipt(pki, &s, &(struct receipt_options){ .stamped = true }, &receipt);
    size_t passed = 0, tries = 0;
    for (size_t i = 0; i < 8 * receipt.len; i += 7, tries++) {
        struct kluis_receipt r;
        enum kluis_layer layer;
        kluis_arena_clear(arena);
        receipt.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        bool good = kluis_receipt_read(str_of(&receipt), arena, &r, NULL) == KLUIS_OK &&
                    kluis_receipt_check(&r, &pki->trust, s.id, s.root, s.device, kluis_now_us(), NULL, &layer, NULL) == KLUIS_OK;
        passed += good;
        receipt.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_true(tries > 3000);
    assert_int_equal(passed, 0);
    kluis_close_quiet(&s.fd);
}

static void verdict_is_one_json_line(void **state)
{
    (void)state;
    struct sealed s = sealed_package(pki, &(struct sealed_options){ .stamped = true });
    struct kluis_verdict v;
    struct kluis_input_fd file = { s.fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    OK(kluis_validate(&in, no_receipt, &pki->trust, NULL, kluis_now_us(), &v, NULL));
    KLUIS_AUTO_BUF(json, 1 << 16);
    OK(kluis_verdict_json(&v, &json, NULL));
    kluis_buf_byte(&json, 0);
    assert_int_equal(strncmp((const char *)json.data, "{\"verdict\":\"valid\",\"package\":\"", 30), 0);
    assert_non_null(strstr((const char *)json.data, "\"container\":{\"state\":\"valid\"}"));
    assert_non_null(strstr((const char *)json.data, "\"receipt\":{\"state\":\"absent\"}"));
    assert_ptr_equal(strchr((const char *)json.data, '\n'), json.data + json.len - 2);
    kluis_verdict_clear(&v);
    kluis_close_quiet(&s.fd);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamped_package_is_valid_only_with_trust),
        cmocka_unit_test(unstamped_package_needs_a_stamped_receipt),
        cmocka_unit_test(receipt_still_waiting_for_its_stamp_does_not_spoil_a_stamped_package),
        cmocka_unit_test(each_wrong_thing_is_named_by_its_own_layer),
        cmocka_unit_test(receipt_has_one_spelling),
        cmocka_unit_test(flipped_bits_are_refused_with_and_without_a_receipt),
        cmocka_unit_test(flipped_bits_of_a_receipt_are_refused),
        cmocka_unit_test(verdict_is_one_json_line),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
