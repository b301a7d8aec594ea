/* login_test.c - the Authorization header of a signed request: what is written is read back, what is changed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kluis/envelope.h"
#include "kluis/login.h"

static const char ID[] = "00112233445566778899aabbccddeeff";
static const char GATE[] = "gate.example:8443";

struct fixture {
    struct kluis_key *key;
    struct kluis_buf spki;
    char nonce[44];
    struct kluis_buf header;
};

static void begin(struct fixture *f)
{
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_base_init(&err), KLUIS_OK);
    memset(f, 0, sizeof *f);
    kluis_buf_init(&f->spki, 4096);
    kluis_buf_init(&f->header, KLUIS_LOGIN_HEADER_MAX);
    assert_int_equal(kluis_key_generate(&f->key, &err), KLUIS_OK);
    assert_int_equal(kluis_key_public(f->key, &f->spki, &err), KLUIS_OK);
    kluis_nonce_new(f->nonce);
    assert_int_equal(kluis_login_header_write(ID, f->key, GATE, "PUT", "/v1/upload/x?offset=0", NULL, f->nonce, 1700000000, &f->header, &err),
                     KLUIS_OK);
}

static void end(struct fixture *f)
{
    kluis_key_free(f->key);
    kluis_buf_free(&f->spki);
    kluis_buf_free(&f->header);
}

static struct kluis_str text_of(const struct kluis_buf *b) { return (struct kluis_str){ (const char *)b->data, b->len }; }

static void a_written_header_is_read_back_and_its_signature_holds(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct kluis_err err = { 0 };
    struct kluis_login got;
    assert_int_equal(kluis_login_header_read(text_of(&f.header), &got, &err), KLUIS_OK);
    assert_string_equal(got.id, ID);
    assert_string_equal(got.nonce, f.nonce);
    assert_int_equal(got.time_s, 1700000000);
    uint8_t empty[32];
    kluis_sha256_of("", 0, empty);
    assert_memory_equal(got.body_sha256, empty, 32);
    assert_int_equal(kluis_login_check(&got, kluis_buf_bytes(&f.spki), GATE, "PUT", "/v1/upload/x?offset=0", &err), KLUIS_OK);
    end(&f);
}

static void another_gate_method_path_time_body_or_nonce_breaks_the_signature(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct kluis_err err = { 0 };
    struct kluis_login good;
    struct kluis_login bad;
    assert_int_equal(kluis_login_header_read(text_of(&f.header), &good, &err), KLUIS_OK);
    struct kluis_bytes spki = kluis_buf_bytes(&f.spki);
    assert_int_equal(kluis_login_check(&good, spki, "gate.example:8444", "PUT", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_login_check(&good, spki, GATE, "GET", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_login_check(&good, spki, GATE, "PUT", "/v1/upload/x?offset=1", NULL), KLUIS_E_REJECT);
    bad = good;
    bad.time_s++;
    assert_int_equal(kluis_login_check(&bad, spki, GATE, "PUT", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
    bad = good;
    bad.body_sha256[0] ^= 1;
    assert_int_equal(kluis_login_check(&bad, spki, GATE, "PUT", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
    bad = good;
    bad.nonce[0] = bad.nonce[0] == 'A' ? 'B' : 'A';
    assert_int_equal(kluis_login_check(&bad, spki, GATE, "PUT", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
    end(&f);
}

static void every_truncation_and_every_appended_byte_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct kluis_login got;
    size_t refused = 0;
    for (size_t n = 0; n < f.header.len; n++) {
        struct kluis_str cut = { (const char *)f.header.data, n };
        assert_int_equal(kluis_login_header_read(cut, &got, NULL), KLUIS_E_REJECT);
        refused++;
    }
    assert_int_equal(refused, f.header.len);
    assert_true(refused > 200);
    for (unsigned c = 0; c < 256; c++) {
        KLUIS_AUTO_BUF(longer, 2048);
        kluis_buf_add(&longer, f.header.data, f.header.len);
        kluis_buf_byte(&longer, (uint8_t)c);
        assert_int_equal(kluis_login_header_read(text_of(&longer), &got, NULL), KLUIS_E_REJECT);
    }
    end(&f);
}

static void no_changed_byte_still_passes(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct kluis_login got;
    size_t unread = 0;
    size_t broken = 0;
    for (size_t i = 0; i < f.header.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            f.header.data[i] ^= (uint8_t)(1u << bit);
            if (kluis_login_header_read(text_of(&f.header), &got, NULL) != KLUIS_OK) {
                unread++;
            } else if (strcmp(got.id, ID) == 0) { /* the id is not signed: it chooses the key */
                assert_int_equal(kluis_login_check(&got, kluis_buf_bytes(&f.spki), GATE, "PUT", "/v1/upload/x?offset=0", NULL), KLUIS_E_REJECT);
                broken++;
            }
            f.header.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(unread > 500);
    assert_true(broken > 200);
    end(&f);
}

static void a_nonce_that_could_be_signed_attributes_is_not_signed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    uint8_t der[32] = { 0x31, 30 };
    char nonce[44];
    assert_int_equal(kluis_base64url(der, sizeof der, nonce), 43);
    size_t before = f.header.len;
    assert_int_equal(kluis_login_header_write(ID, f.key, GATE, "GET", "/v1/bundle", NULL, nonce, 1, &f.header, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_login_header_write(ID, f.key, GATE, "GET", "/v1/bundle", NULL, "short", 1, &f.header, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_login_header_write("ABC", f.key, GATE, "GET", "/v1/bundle", NULL, f.nonce, 1, &f.header, NULL), KLUIS_E_USAGE);
    assert_int_equal(kluis_login_header_write(ID, f.key, GATE, "GET", "/v1/a b", NULL, f.nonce, 1, &f.header, NULL), KLUIS_E_USAGE);
    assert_int_equal(f.header.len, before);
    end(&f);
}

static void an_id_is_32_hex_digits_or_the_vault(void **state)
{
    (void)state;
    assert_true(kluis_login_id_ok(kluis_str_of(ID)));
    assert_true(kluis_login_id_ok(kluis_str_of("vault")));
    assert_false(kluis_login_id_ok(kluis_str_of("vaults")));
    assert_false(kluis_login_id_ok(kluis_str_of("")));
    assert_false(kluis_login_id_ok(kluis_str_of(NULL)));
    assert_false(kluis_login_id_ok(kluis_str_of("00112233445566778899AABBCCDDEEFF")));
    assert_false(kluis_login_id_ok(kluis_str_of("00112233445566778899aabbccddeef")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_header_is_read_back_and_its_signature_holds),
        cmocka_unit_test(another_gate_method_path_time_body_or_nonce_breaks_the_signature),
        cmocka_unit_test(every_truncation_and_every_appended_byte_is_refused),
        cmocka_unit_test(no_changed_byte_still_passes),
        cmocka_unit_test(a_nonce_that_could_be_signed_attributes_is_not_signed),
        cmocka_unit_test(an_id_is_32_hex_digits_or_the_vault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
