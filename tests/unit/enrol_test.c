/* enrol_test.c - the messages of an enrolment are read strictly, and only the code's own MAC makes one believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kluis/envelope.h"

static struct kluis_code_keys code, other;

static struct kluis_bytes bytes(const char *s) { return (struct kluis_bytes){ (const uint8_t *)s, strlen(s) }; }

static void assert_bytes(struct kluis_bytes b, const char *want)
{
    assert_int_equal(b.len, strlen(want));
    assert_memory_equal(b.ptr, want, b.len);
}

static void make_request(struct kluis_buf *out)
{
    struct kluis_enrol_request r = {
        .device_spki = bytes("device key"), .login_spki = bytes("login key"), .registration_id = 77, .made_us = INT64_C(1760000000000000)
    };
    memset(r.identity, 5, sizeof r.identity);
    assert_int_equal(kluis_enrol_request_write(&r, &code, out, NULL), KLUIS_OK);
}

static void make_reply(struct kluis_bytes request, struct kluis_buf *out)
{
    struct kluis_enrol_reply r = { .device = "00112233445566778899aabbccddeeff",
                                   .device_cert = bytes("dc"),
                                   .login_cert = bytes("lc"),
                                   .ca_cert = bytes("ca"),
                                   .root_cert = bytes("root"),
                                   .trust_json = bytes("{}"),
                                   .session_seal = bytes("seal") };
    memset(r.vault, 6, sizeof r.vault);
    assert_int_equal(kluis_enrol_reply_write(&r, request, &code, out, NULL), KLUIS_OK);
}

/* PROTOCOL.md §3, spelled out beside the codec. */
static void a_request_stands_on_the_wire_as_the_protocol_says(void **state)
{
    (void)state;
    uint8_t identity[33], mac[32];
    KLUIS_AUTO_BUF(raw, KLUIS_ENROL_REQUEST_MAX);
    KLUIS_AUTO_BUF(want, KLUIS_ENROL_REQUEST_MAX);
    make_request(&raw);
    memset(identity, 5, sizeof identity);
    kluis_wire_label(&want, "chatkluis-enrol-request-v1");
    kluis_wire_field(&want, code.id, 16);
    kluis_wire_str(&want, KLUIS_STR_LIT("device key"));
    kluis_wire_str(&want, KLUIS_STR_LIT("login key"));
    kluis_wire_field(&want, identity, sizeof identity);
    kluis_wire_u32(&want, 77);
    kluis_wire_u64(&want, 1760000000);
    assert_int_equal(kluis_hmac_sha256(code.request, 32, want.data, want.len, mac, NULL), KLUIS_OK);
    kluis_wire_field(&want, mac, 32);
    assert_int_equal(raw.len, want.len);
    assert_memory_equal(raw.data, want.data, want.len);
    struct kluis_enrol_request r;
    assert_int_equal(kluis_enrol_request_read(kluis_buf_bytes(&raw), &r, NULL), KLUIS_OK);
    assert_memory_equal(r.code_id, code.id, 16);
    assert_bytes(r.device_spki, "device key");
    assert_bytes(r.login_spki, "login key");
    assert_memory_equal(r.identity, identity, sizeof identity);
    assert_int_equal(r.registration_id, 77);
    assert_true(r.made_us == INT64_C(1760000000000000));
}

/* Whatever bit is turned, wherever it is cut or lengthened: it is not read, or its MAC does not fit. */
static void no_changed_message_is_believed(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(request, KLUIS_ENROL_REQUEST_MAX);
    KLUIS_AUTO_BUF(reply, KLUIS_ENROL_REPLY_MAX);
    make_request(&request);
    make_reply(kluis_buf_bytes(&request), &reply);
    struct kluis_enrol_request q;
    struct kluis_enrol_reply p;
    size_t refused = 0, tried = 0;
    assert_int_equal(kluis_enrol_request_check(kluis_buf_bytes(&request), &code, NULL), KLUIS_OK);
    for (size_t bit = 0; bit < request.len * 8; bit++, tried++) {
        request.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct kluis_bytes b = kluis_buf_bytes(&request);
        refused += kluis_enrol_request_read(b, &q, NULL) == KLUIS_E_REJECT || kluis_enrol_request_check(b, &code, NULL) == KLUIS_E_REJECT;
        request.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < request.len; n++, tried++) {
        refused += kluis_enrol_request_read((struct kluis_bytes){ request.data, n }, &q, NULL) == KLUIS_E_REJECT && q.device_spki.ptr == NULL;
    }
    struct kluis_bytes asked = kluis_buf_bytes(&request);
    assert_int_equal(kluis_enrol_reply_read(kluis_buf_bytes(&reply), &p, NULL), KLUIS_OK);
    assert_bytes(p.root_cert, "root");
    assert_string_equal(p.device, "00112233445566778899aabbccddeeff");
    assert_int_equal(kluis_enrol_reply_check(kluis_buf_bytes(&reply), asked, &code, NULL), KLUIS_OK);
    for (size_t bit = 0; bit < reply.len * 8; bit++, tried++) {
        reply.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct kluis_bytes b = kluis_buf_bytes(&reply);
        refused += kluis_enrol_reply_read(b, &p, NULL) == KLUIS_E_REJECT || kluis_enrol_reply_check(b, asked, &code, NULL) == KLUIS_E_REJECT;
        reply.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    kluis_buf_byte(&reply, 0);
    tried++;
    refused += kluis_enrol_reply_read(kluis_buf_bytes(&reply), &p, NULL) == KLUIS_E_REJECT;
    assert_int_equal(refused, tried);
    assert_true(tried > 2000);
}

static void a_mac_binds_code_and_request(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(request, KLUIS_ENROL_REQUEST_MAX);
    KLUIS_AUTO_BUF(reply, KLUIS_ENROL_REPLY_MAX);
    make_request(&request);
    make_reply(kluis_buf_bytes(&request), &reply);
    assert_int_equal(kluis_enrol_request_check(kluis_buf_bytes(&request), &other, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_enrol_reply_check(kluis_buf_bytes(&reply), kluis_buf_bytes(&request), &other, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_enrol_reply_check(kluis_buf_bytes(&reply), bytes("another request"), &code, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_enrol_request_check(bytes("short"), &code, NULL), KLUIS_E_REJECT);
}

static void refusals_are_told_apart_from_replies(void **state)
{
    (void)state;
    for (int i = KLUIS_ENROL_UNKNOWN; i < KLUIS_ENROL_OTHER; i++) {
        enum kluis_enrol_refusal why;
        KLUIS_AUTO_BUF(raw, 256);
        assert_int_equal(kluis_enrol_refusal_write((enum kluis_enrol_refusal)i, &raw, NULL), KLUIS_OK);
        assert_true(kluis_enrol_refusal_read(kluis_buf_bytes(&raw), &why));
        assert_int_equal(why, i);
        kluis_buf_byte(&raw, 0);
        assert_false(kluis_enrol_refusal_read(kluis_buf_bytes(&raw), &why));
    }
    enum kluis_enrol_refusal why;
    KLUIS_AUTO_BUF(request, KLUIS_ENROL_REQUEST_MAX);
    KLUIS_AUTO_BUF(unknown, 256);
    make_request(&request);
    assert_false(kluis_enrol_refusal_read(kluis_buf_bytes(&request), &why));
    kluis_wire_label(&unknown, "chatkluis-enrol-refusal-v1");
    kluis_wire_str(&unknown, KLUIS_STR_LIT("tuesday"));
    assert_true(kluis_enrol_refusal_read(kluis_buf_bytes(&unknown), &why));
    assert_int_equal(why, KLUIS_ENROL_OTHER);
}

int main(void)
{
    static const uint8_t secret[16] = "sixteen bytes ok", second[16] = "another sixteen!";
    if (kluis_code_derive(secret, &code, NULL) != KLUIS_OK || kluis_code_derive(second, &other, NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_stands_on_the_wire_as_the_protocol_says),
        cmocka_unit_test(no_changed_message_is_believed),
        cmocka_unit_test(a_mac_binds_code_and_request),
        cmocka_unit_test(refusals_are_told_apart_from_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
