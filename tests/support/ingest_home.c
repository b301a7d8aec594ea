/* tests/support/ingest_home.c - see ingest_home.h; every step is asserted. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/support/ingest_home.h"
#include "tests/support/test_dir.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return kluis_buf_ok(ctx, err);
}

void ingest_encrypt(const struct sealed *s, const uint8_t key[32], struct kluis_buf *out)
{
    uint8_t sha[32];
    struct kluis_input_fd from = { .fd = s->fd, .what = "package" };
    const struct kluis_input in = kluis_input_from_fd(&from);
    const struct kluis_output to = { out, to_buf };
    OK(kluis_content_encrypt(key, &in, s->size, &to, sha, NULL));
}

void ingest_home_open(struct ingest_home *h, const struct pki *p, struct zygote *z)
{
    struct kluis_err err = { 0 };
    static uint8_t wrapping[32] = { 9, 9, 9 };
    uint8_t code[16], secret[16] = { 1 };
    memset(h, 0, sizeof *h);
    assert_true(test_dir("ingest", h->dir, sizeof h->dir));
    pthread_mutex_init(&h->reg_lock, NULL);
    pthread_mutex_init(&h->in.lock, NULL);
    h->keys.wrapping = wrapping;
    h->keys.trust = p->trust;
    h->keys.seal = p->seal.key;
    h->keys.seal_cert = p->seal.cert;
    h->in.c.zygote = z;
    h->in.c.keys = &h->keys;
    h->in.c.reg_lock = &h->reg_lock;
    OK(storage_open_files(&h->in.c.storage, h->dir, &err));
    OK(reg_open(&h->in.c.reg, h->dir, &err));
    struct reg_official f = { .id = "jansen", .name = "J. Jansen", .function = "beleid", .from = "2020-01-01", .grace_days = -1 };
    OK(reg_official_add(h->in.c.reg, &f, &err));
    kluis_random(code, sizeof code);
    OK(reg_code_add(h->in.c.reg, "jansen", code, secret, kluis_now_us() + 1000000000, &err));
    KLUIS_AUTO_BUF(spki, 4096);
    OK(kluis_key_public(p->login.key, &spki, &err));
    struct reg_device d = { .id = PKI_DEVICE,
                            .official = "jansen",
                            .state = REG_DEVICE_ACTIVE,
                            .cert = kluis_buf_bytes(&p->device.cert),
                            .login_spki = kluis_buf_bytes(&spki),
                            .enrolled_us = kluis_now_us() };
    OK(reg_enrol(h->in.c.reg, code, &d, (struct kluis_bytes){ (const uint8_t *)"reply", 5 }, &err));
}

void ingest_home_close(struct ingest_home *h)
{
    reg_free(h->in.c.reg);
    storage_free(h->in.c.storage);
    pthread_mutex_destroy(&h->reg_lock);
    pthread_mutex_destroy(&h->in.lock);
}

void ingest_home_deliver(struct ingest_home *h, const struct sealed *s, struct decided *o)
{
    struct kluis_err err = { 0 };
    uint8_t key[32], upload[16], package[32];
    struct storage_writer *w = NULL;
    KLUIS_AUTO_BUF(cipher, 64 << 20);
    memset(o, 0, sizeof *o);
    kluis_random(key, sizeof key);
    kluis_random(upload, sizeof upload);
    memcpy(package, s->id, 32);
    ingest_encrypt(s, key, &cipher);
    OK(storage_begin(h->in.c.storage, upload, &w, &err));
    OK(storage_write(w, cipher.data, cipher.len, &err));
    storage_end(w, o->d.cipher_sha256, &o->d.cipher_length);
    OK(storage_sync(w, &err));
    OK(storage_publish(&w, package, &err));
    OK(storage_settle(h->in.c.storage, &err));
    o->d.number = 1;
    (void)snprintf(o->d.device, sizeof o->d.device, "%s", PKI_DEVICE);
    memcpy(o->d.package, package, 32);
    o->d.sequence = 1;
    o->d.length = s->size;
    o->d.received_us = kluis_now_us();
    OK(storage_wrap(h->keys.wrapping, package, key, o->d.wrapped, &err));
    o->d.wrapped_len = STORAGE_WRAPPED_LEN;
    kluis_buf_init(&o->statement, KLUIS_ANSWER_BODY_MAX);
}
