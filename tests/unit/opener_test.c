/* Promises of opener and judge, behind their real walls: what is right is read, what was touched is refused with its layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/ingest_home.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static struct zygote *z;
static struct pki *p;
static const uint8_t key[32] = { 1, 2, 3 };

static int setup(void **state)
{
    struct kluis_err err = { 0 };
    (void)state;
    if (kluis_base_init(&err) != KLUIS_OK || zygote_start(&z, NULL, &err) != KLUIS_OK) {
        print_error("%s\n", err.msg);
        return 1;
    }
    p = pki_new(10);
    return p == NULL;
}

static int teardown(void **state)
{
    (void)state;
    zygote_free(z);
    pki_free(p);
    return 0;
}

static int memory_file(struct kluis_bytes b)
{
    struct kluis_err err = { 0 };
    int fd = memfd_create("cipher", MFD_CLOEXEC);
    assert_true(fd >= 0);
    OK(kluis_write_all(fd, b.ptr, b.len, "cipher", &err));
    return fd;
}

/* Opens these ciphertext bytes; the status and what was said. */
static kluis_status open_bytes(struct kluis_bytes cipher, const uint8_t with[32], struct kluis_buf *result, struct opened *f)
{
    struct kluis_err err = { 0 };
    int fd = memory_file(cipher);
    kluis_status rc = opener_run(z, fd, with, result, f, &err);
    kluis_close_quiet(&fd);
    return rc;
}

static void a_sealed_package_is_opened_and_its_facts_and_rows_come_out(void **state)
{
    (void)state;
    struct sealed s = sealed_package(p, &(struct sealed_options){ .records = 40, .attachment = 100000, .stamped = true });
    struct opened f;
    struct index_package rows;
    KLUIS_AUTO_BUF(cipher, 16 << 20);
    KLUIS_AUTO_BUF(result, 64 << 20);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(64 << 20);
    ingest_encrypt(&s, key, &cipher);
    kluis_status rc = open_bytes(kluis_buf_bytes(&cipher), key, &result, &f);
    if (rc != KLUIS_OK) { print_error("%s: %s\n", f.layer, f.reason); }
    assert_int_equal(rc, KLUIS_OK);
    assert_memory_equal(f.id, s.id, 32);
    assert_memory_equal(f.records_root, s.root, 32);
    assert_int_equal(f.size, s.size);
    assert_int_equal(f.n_records, 40);
    assert_int_equal(f.n_attachments, 1);
    assert_string_equal(f.device, PKI_DEVICE);
    assert_true(f.manifest.len > 100 && f.signature.len > 100);
    OK(index_package_read(f.index, arena, &rows, NULL));
    assert_int_equal(rows.n_rows, 40);
    assert_true(kluis_str_is(rows.conversation_id, "c-1"));
    assert_true(rows.rows[0].text.len > 0);
    kluis_close_quiet(&s.fd);
}

static void every_touched_or_shortened_ciphertext_is_refused(void **state)
{
    (void)state;
    struct sealed s = sealed_package(p, &(struct sealed_options){ .records = 5 });
    struct opened f;
    unsigned refused = 0;
    KLUIS_AUTO_BUF(cipher, 16 << 20);
    KLUIS_AUTO_BUF(result, 64 << 20);
    ingest_encrypt(&s, key, &cipher);
    for (size_t i = 0; i < 60; i++) {
        size_t at = i * (cipher.len - 1) / 59;
        cipher.data[at] ^= (uint8_t)(1u << (i % 8));
        assert_int_equal(open_bytes(kluis_buf_bytes(&cipher), key, &result, &f), KLUIS_E_REJECT);
        assert_true(f.layer[0] != 0 && f.reason[0] != 0);
        cipher.data[at] ^= (uint8_t)(1u << (i % 8));
        refused++;
    }
    const size_t lengths[] = { 0, 1, 16, 100, cipher.len / 2, cipher.len - 1 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(open_bytes((struct kluis_bytes){ cipher.data, lengths[i] }, key, &result, &f), KLUIS_E_REJECT);
        refused++;
    }
    const uint8_t other[32] = { 7 };
    assert_int_equal(open_bytes(kluis_buf_bytes(&cipher), other, &result, &f), KLUIS_E_REJECT);
    assert_int_equal(refused, 66);
    OK(open_bytes(kluis_buf_bytes(&cipher), key, &result, &f)); /* untouched again: it was the touch that was refused */
    kluis_close_quiet(&s.fd);
}

static void something_that_is_no_package_is_refused_by_the_container_layer(void **state)
{
    (void)state;
    struct opened f;
    uint8_t noise[5000];
    KLUIS_AUTO_BUF(cipher, 1 << 20);
    KLUIS_AUTO_BUF(result, 64 << 20);
    memset(noise, 'x', sizeof noise);
    struct sealed s = { .fd = memory_file((struct kluis_bytes){ noise, sizeof noise }), .size = sizeof noise };
    ingest_encrypt(&s, key, &cipher);
    assert_int_equal(open_bytes(kluis_buf_bytes(&cipher), key, &result, &f), KLUIS_E_REJECT);
    assert_string_equal(f.layer, "container");
    kluis_close_quiet(&s.fd);
}

static void judge_list(struct judging *list, size_t n, const struct kluis_bytes *anchor)
{
    struct kluis_err err = { 0 };
    const struct judge_anchors a = { anchor, p->trust.tsa_cas, 1, p->trust.n_tsa_cas };
    OK(judge_run(z, &a, list, n, kluis_now_us(), &err));
}

static kluis_status judge(struct kluis_bytes manifest, struct kluis_bytes p7s, const struct kluis_bytes *anchor, struct kluis_seal_verdict *v)
{
    struct judging j = { .manifest = manifest, .signature = p7s };
    judge_list(&j, 1, anchor);
    *v = j.verdict;
    return j.judged ? KLUIS_OK : KLUIS_E_REJECT;
}

static void the_judge_tells_right_from_wrong_signatures(void **state)
{
    (void)state;
    static const char text[] = "<manifest/>", other[] = "<Manifest/>";
    const struct kluis_bytes m = { (const uint8_t *)text, sizeof text - 1 }, o = { (const uint8_t *)other, sizeof other - 1 };
    const struct kluis_bytes stranger = kluis_buf_bytes(&p->tls.cert);
    struct kluis_seal_verdict v;
    uint8_t cert[32];
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    pki_sign(p, &p->device, &p->device_ca, m, true, &p7s);
    pki_sign(p, &p->device, &p->device_ca, m, false, &plain);
    OK(judge(m, kluis_buf_bytes(&p7s), &p->device_anchor, &v));
    assert_string_equal(v.reason, "");
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_VALID);
    kluis_sha256_of(p->device.cert.data, p->device.cert.len, cert);
    assert_memory_equal(v.cert_sha256, cert, 32);
    OK(judge(m, kluis_buf_bytes(&plain), &p->device_anchor, &v));
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.time, KLUIS_INDETERMINATE);
    OK(judge(o, kluis_buf_bytes(&p7s), &p->device_anchor, &v));
    assert_int_equal(v.signature, KLUIS_INVALID);
    OK(judge(m, kluis_buf_bytes(&p7s), &stranger, &v));
    assert_int_not_equal(v.certificate, KLUIS_VALID);
    OK(judge(m, o, &p->device_anchor, &v));
    assert_int_equal(v.signature, KLUIS_INVALID);
}

static void decide(const struct sealed *s, const char *layer)
{
    struct ingest_home h;
    struct decided o;
    struct kluis_err err = { 0 };
    ingest_home_open(&h, p, z);
    ingest_home_deliver(&h, s, &o);
    struct decided *const one = &o;
    kluis_status rc = ingest_open(&h.in, &o, &err);
    if (rc == KLUIS_OK) { rc = ingest_judge(&h.in, &one, 1, &err); }
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    assert_string_equal(o.layer, layer);
    assert_int_equal(o.accepted, layer[0] == 0);
    if (o.accepted) {
        assert_string_equal(o.p.official, "jansen");
        assert_int_equal(o.p.n_records, 5);
        assert_int_equal(o.rows.n_rows, 5);
    }
    kluis_arena_free(o.arena);
    ingest_home_close(&h);
    int fd = s->fd;
    kluis_close_quiet(&fd);
}

static void a_good_package_is_accepted(void **state)
{
    (void)state;
    struct sealed s = sealed_package(p, &(struct sealed_options){ .stamped = true });
    decide(&s, "");
}

static void a_package_that_names_another_device_is_refused(void **state)
{
    (void)state;
    struct sealed s = sealed_package(p, &(struct sealed_options){ .device = "ffffffffffffffffffffffffffffffff" });
    decide(&s, LAYER_DELIVERY);
}

static void a_package_signed_over_something_else_is_refused(void **state)
{
    (void)state;
    struct sealed s = sealed_package(p, &(struct sealed_options){ .sign_instead = { (const uint8_t *)"else", 4 } });
    decide(&s, LAYER_SIGNATURE);
}

static void a_package_signed_by_another_party_is_refused(void **state)
{
    (void)state;
    struct pki *foreign = pki_new(10); /* another organisation altogether */
    struct sealed s = sealed_package(foreign, &(struct sealed_options){ .stamped = false });
    pki_free(foreign);
    decide(&s, LAYER_CERTIFICATE);
}

static void a_second_zygote_stands_beside_the_first_with_its_own_walls(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct zygote *mine = NULL;
    struct opened f;
    KLUIS_AUTO_BUF(result, 1 << 20);
    OK(zygote_start(&mine, NULL, &err));
    assert_true(zygote_walls(mine) & ZYGOTE_WALL_PRIVILEGES);
    int fd = memory_file((struct kluis_bytes){ (const uint8_t *)"x", 1 });
    assert_int_equal(opener_run(mine, fd, key, &result, &f, &err), KLUIS_E_REJECT);
    zygote_free(mine);
    kluis_close_quiet(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_package_is_opened_and_its_facts_and_rows_come_out),
        cmocka_unit_test(every_touched_or_shortened_ciphertext_is_refused),
        cmocka_unit_test(something_that_is_no_package_is_refused_by_the_container_layer),
        cmocka_unit_test(the_judge_tells_right_from_wrong_signatures),
        cmocka_unit_test(a_good_package_is_accepted),
        cmocka_unit_test(a_package_that_names_another_device_is_refused),
        cmocka_unit_test(a_package_signed_over_something_else_is_refused),
        cmocka_unit_test(a_package_signed_by_another_party_is_refused),
        cmocka_unit_test(a_second_zygote_stands_beside_the_first_with_its_own_walls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
