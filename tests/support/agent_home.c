/* tests/support/agent_home.c - see agent_home.h. */
#include "tests/support/agent_home.h"

#include "kluis/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void put_key(const char *dir, const char *what, const struct kluis_key *k)
{
    struct kluis_err err = { 0 };
    char name[HOME_KEY_NAME];
    home_key_name(what, AGENT_DEVICE, name);
    KLUIS_AUTO_BUF(pem, 8192);
    assert_int_equal(kluis_key_to_pem(k, &pem, &err), KLUIS_OK);
    assert_int_equal(keystore_put(dir, name, kluis_buf_bytes(&pem), &err), KLUIS_OK);
}

void agent_home_enrol(const char *dir, const char *server, struct pki *p)
{
    struct kluis_err err = { 0 };
    struct kluis_identity me;
    struct kluis_key *login = NULL;
    uint8_t vault[33] = { 5 };
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
    assert_int_equal(home_set_bytes(h, "certificate/device", kluis_buf_bytes(&p->device.cert), &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "certificate/device-ca", kluis_buf_bytes(&p->device_ca.cert), &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "certificate/root", kluis_buf_bytes(&p->root.cert), &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "trust.json", kluis_buf_bytes(&trust), &err), KLUIS_OK);
    assert_int_equal(home_box(h, "identity", (struct kluis_bytes){ (const uint8_t *)&me, sizeof me }, &box, &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "identity", kluis_buf_bytes(&box), &err), KLUIS_OK);
    assert_int_equal(home_set_text(h, "device", AGENT_DEVICE, &err), KLUIS_OK);
    assert_int_equal(home_set_text(h, "server", server, &err), KLUIS_OK);
    assert_int_equal(home_set_bytes(h, "vault-identity", (struct kluis_bytes){ vault, sizeof vault }, &err), KLUIS_OK);
}
