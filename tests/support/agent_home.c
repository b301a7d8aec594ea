/* tests/support/agent_home.c - see agent_home.h. */
#include "tests/support/agent_home.h"

#include "kluis/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void put_file(const char *dir, const char *name, struct kluis_bytes b)
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(path, sizeof path, dir, name, &err), KLUIS_OK);
    assert_int_equal(kluis_write_file(path, b.ptr, b.len, 0600, &err), KLUIS_OK);
}

static void put_key(const char *dir, const char *name, const struct kluis_key *k)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(pem, 8192);
    assert_int_equal(kluis_key_to_pem(k, &pem, &err), KLUIS_OK);
    assert_int_equal(keystore_put(dir, name, kluis_buf_bytes(&pem), &err), KLUIS_OK);
}

void agent_home_enrol(const char *dir, const char *server, struct pki *p)
{
    struct kluis_err err = { 0 };
    struct kluis_identity me;
    struct kluis_key *login = NULL;
    uint8_t sha[32], vault[33] = { 5 };
    KLUIS_AUTO_BUF(trust, 1 << 20);
    KLUIS_AUTO_BUF(box, 512);
    KLUIS_AUTO(home) h = NULL;
    assert_int_equal(setenv("CHATKLUIS_KEYSTORE", "file", 1), 0);
    assert_int_equal(home_open(&h, dir, HOME_LOCKED, &err), KLUIS_OK);
    assert_int_equal(kluis_key_generate(&login, &err), KLUIS_OK);
    assert_int_equal(kluis_identity_new(&me, &err), KLUIS_OK);
    assert_int_equal(kluis_trust_write(&p->trust, &trust, &err), KLUIS_OK);
    put_key(dir, "device", p->device.key);
    put_key(dir, "login", login);
    kluis_key_free(login);
    put_file(dir, "certificates/device.der", kluis_buf_bytes(&p->device.cert));
    put_file(dir, "certificates/device-ca.der", kluis_buf_bytes(&p->device_ca.cert));
    put_file(dir, "certificates/root.der", kluis_buf_bytes(&p->root.cert));
    put_file(dir, "trust.json", kluis_buf_bytes(&trust));
    kluis_sha256_of(p->device.cert.data, p->device.cert.len, sha);
    assert_int_equal(home_box(h, "identity", (struct kluis_bytes){ (const uint8_t *)&me, sizeof me }, &box, &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "identity", kluis_buf_bytes(&box), &err), KLUIS_OK);
    assert_int_equal(home_set_text(h, "device", "0123456789abcdef0123456789abcdef", &err), KLUIS_OK);
    assert_int_equal(home_set_text(h, "server", server, &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "device-certificate", (struct kluis_bytes){ sha, sizeof sha }, &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "vault-identity", (struct kluis_bytes){ vault, sizeof vault }, &err), KLUIS_OK);
}
