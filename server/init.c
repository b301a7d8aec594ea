/* server/init.c - keys and certificates of a new home.  trust.json comes last: where it stands, everything else does. */
#include "server/init.h"

#include "kluis/ledger.h"
#include "kluis/seal.h"
#include "server/ingest/keys.h"

enum { HOSTS_MAX = 64 };
static const int64_t RELEASED_US = INT64_C(1767225600) * 1000000; /* 2026-01-01: any later day will do */
#define YEARS(n) ((int64_t)(n)*365 * 86400 * 1000000)

struct making {
    const struct vault_init_config *c;
    char root[KLUIS_PATH_MAX], vault[KLUIS_PATH_MAX], keys[KLUIS_PATH_MAX], gate[KLUIS_PATH_MAX], tsa[KLUIS_PATH_MAX];
    int64_t now;
    struct kluis_key *root_key;
    struct kluis_buf root_cert, device_ca, seal, tsa_cert, pull_spki;
    char vkey[KLUIS_VKEY_MAX];
};

/* A certificate for `key` as PEM file, its DER kept. */
static kluis_status certify(struct making *m, enum kluis_cert_role role, const struct kluis_key *key, const char *name, int64_t life_us,
                            const char *const *hosts, size_t n_hosts, const char *dir, const char *file, struct kluis_buf *der, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(spki, 4096);
    KLUIS_AUTO_BUF(pem, 65536);
    KLUIS_TRY(kluis_key_public(key, &spki, err));
    const struct kluis_cert_request q = { .role = role,
                                          .common_name = name,
                                          .hosts = hosts,
                                          .n_hosts = n_hosts,
                                          .organisation = role == KLUIS_CERT_TLS ? NULL : m->c->organisation,
                                          .spki_der = kluis_buf_bytes(&spki),
                                          .from_us = m->now - 3600LL * 1000000,
                                          .to_us = m->now + life_us };
    KLUIS_TRY(
        kluis_cert_issue(&q, m->root_key, role == KLUIS_CERT_ROOT ? (struct kluis_bytes){ NULL, 0 } : kluis_buf_bytes(&m->root_cert), der, err));
    KLUIS_TRY(kluis_cert_pem(kluis_buf_bytes(der), &pem, err));
    /* The gate shows its chain up to the root: a device that enrols knows only the root's fingerprint (PROTOCOL.md §3). */
    if (role == KLUIS_CERT_TLS) { KLUIS_TRY(kluis_cert_pem(kluis_buf_bytes(&m->root_cert), &pem, err)); }
    KLUIS_TRY(kluis_path(path, sizeof path, dir, file, err));
    return kluis_write_file(path, pem.data, pem.len, 0644, err);
}

static kluis_status new_key(const char *dir, const char *file, struct kluis_key **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, file, err));
    KLUIS_TRY(kluis_key_generate(out, err));
    return kluis_key_save_new(*out, path, err);
}

static kluis_status secret(const char *dir, const char *file, const void *p, size_t n, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, file, err));
    return kluis_write_file(path, p, n, 0600, err);
}

/* Random names: no certificate tells more than the organisation put into it. */
static void random_name(const char *what, char out[64])
{
    uint8_t id[8];
    char hex[17];
    kluis_random(id, sizeof id);
    kluis_hex(id, sizeof id, hex);
    (void)snprintf(out, 64, "%s %s", what, hex);
}

static kluis_status make_root(struct making *m, struct kluis_err *err)
{
    char name[64], path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(pem, 65536);
    random_name("root", name);
    KLUIS_TRY(new_key(m->root, "root.key", &m->root_key, err));
    KLUIS_TRY(certify(m, KLUIS_CERT_ROOT, m->root_key, name, YEARS(20), NULL, 0, m->root, "root.crt", &m->root_cert, err));
    KLUIS_TRY(kluis_cert_pem(kluis_buf_bytes(&m->root_cert), &pem, err));
    KLUIS_TRY(kluis_path(path, sizeof path, m->keys, "root.crt", err));
    return kluis_write_file(path, pem.data, pem.len, 0644, err);
}

static kluis_status make_one(struct making *m, enum kluis_cert_role role, const char *what, int64_t life, const char *dir, const char *key_file,
                             const char *cert_file, struct kluis_buf *der, struct kluis_err *err)
{
    char name[64];
    KLUIS_AUTO(kluis_key) k = NULL;
    random_name(what, name);
    KLUIS_TRY(new_key(dir, key_file, &k, err));
    return certify(m, role, k, name, life, NULL, 0, dir, cert_file, der, err);
}

static kluis_status make_secrets(struct making *m, struct kluis_err *err)
{
    uint8_t seed[32], public_key[32], wrapping[32], origin_id[8];
    char hex[17], origin[64];
    struct kluis_identity id;
    KLUIS_AUTO_BUF(identity, 256);
    KLUIS_AUTO(kluis_key) pull = NULL;
    kluis_random(wrapping, sizeof wrapping);
    kluis_status rc = secret(m->keys, "wrapping.key", wrapping, sizeof wrapping, err);
    if (rc == KLUIS_OK && (rc = kluis_ledger_keygen(seed, public_key, err)) == KLUIS_OK &&
        (rc = secret(m->keys, "log.seed", seed, sizeof seed, err)) == KLUIS_OK && (rc = kluis_identity_new(&id, err)) == KLUIS_OK &&
        (rc = vault_identity_write(&id, &identity, err)) == KLUIS_OK) {
        rc = secret(m->keys, "session.identity", identity.data, identity.len, err);
    }
    kluis_wipe(wrapping, sizeof wrapping);
    kluis_wipe(seed, sizeof seed);
    kluis_wipe(&id, sizeof id);
    kluis_wipe(identity.data, identity.len);
    KLUIS_TRY(rc);
    kluis_random(origin_id, sizeof origin_id);
    kluis_hex(origin_id, sizeof origin_id, hex);
    (void)snprintf(origin, sizeof origin, "chatkluis.invalid/log/%s", hex);
    KLUIS_TRY(kluis_vkey_write(origin, public_key, m->vkey, err));
    KLUIS_TRY(new_key(m->keys, "pull.key", &pull, err));
    return kluis_key_public(pull, &m->pull_spki, err);
}

static kluis_status make_gate(struct making *m, struct kluis_err *err)
{
    const char *hosts[HOSTS_MAX + 3] = { "127.0.0.1", "::1", "localhost" };
    size_t n = 3;
    char name[64], path[KLUIS_PATH_MAX], key64[2048];
    KLUIS_AUTO(kluis_key) tls = NULL;
    KLUIS_AUTO_BUF(der, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(json, 65536);
    char host[256];
    if (m->c->n_hosts >= HOSTS_MAX) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "more than %d host names", HOSTS_MAX); }
    for (size_t i = 0; i < m->c->n_hosts; i++) { hosts[n++] = m->c->hosts[i]; }
    if (m->c->name != NULL) {
        size_t len = m->c->name[0] == '[' ? strcspn(m->c->name, "]") : strcspn(m->c->name, ":"), from = m->c->name[0] == '[' ? 1 : 0;
        if (len <= from || len - from >= sizeof host) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the name is not HOST or HOST:PORT"); }
        (void)snprintf(host, sizeof host, "%.*s", (int)(len - from), m->c->name + from);
        bool known = false;
        for (size_t i = 0; i < n; i++) { known = known || strcmp(hosts[i], host) == 0; }
        if (!known) { hosts[n++] = host; }
    }
    random_name("gate", name);
    KLUIS_TRY(new_key(m->gate, "tls.key", &tls, err));
    KLUIS_TRY(certify(m, KLUIS_CERT_TLS, tls, name, YEARS(2), hosts, n, m->gate, "tls.crt", &der, err));
    /* The root goes along: a device that enrols knows nothing but its fingerprint (PROTOCOL.md §3). */
    KLUIS_AUTO_BUF(chain, (size_t)4 * KLUIS_CERT_MAX);
    KLUIS_TRY(kluis_cert_pem(kluis_buf_bytes(&der), &chain, err));
    KLUIS_TRY(kluis_cert_pem(kluis_buf_bytes(&m->root_cert), &chain, err));
    KLUIS_TRY(kluis_path(path, sizeof path, m->gate, "tls.crt", err));
    KLUIS_TRY(kluis_write_file(path, chain.data, chain.len, 0600, err));
    if (kluis_base64_len(m->pull_spki.len) >= sizeof key64) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the pull key is too long"); }
    (void)kluis_base64(m->pull_spki.data, m->pull_spki.len, key64);
    kluis_buf_cstr(&json, "{\n  \"tls_certificate\": \"tls.crt\",\n  \"tls_key\": \"tls.key\",\n  \"vault_key\": ");
    kluis_buf_json(&json, kluis_str_of(key64));
    kluis_buf_cstr(&json, ",\n  \"log_vkey\": ");
    kluis_buf_json(&json, kluis_str_of(m->vkey));
    if (m->c->listen != NULL) {
        kluis_buf_cstr(&json, ",\n  \"listen\": ");
        kluis_buf_json(&json, kluis_str_of(m->c->listen));
    }
    if (m->c->name != NULL) {
        kluis_buf_cstr(&json, ",\n  \"name\": ");
        kluis_buf_json(&json, kluis_str_of(m->c->name));
    }
    kluis_buf_cstr(&json, "\n}\n");
    KLUIS_TRY(kluis_buf_ok(&json, err));
    KLUIS_TRY(kluis_path(path, sizeof path, m->gate, "gate.json", err));
    return kluis_write_file(path, json.data, json.len, 0600, err);
}

/* Seal and time authority are named themselves, not by the root: the root also stands above the device CA, and a device must never
 * pass for a seal. */
static kluis_status make_trust(struct making *m, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(json, 1 << 20);
    const struct kluis_bytes device = kluis_buf_bytes(&m->device_ca), seal = kluis_buf_bytes(&m->seal), tsa = kluis_buf_bytes(&m->tsa_cert);
    const struct kluis_trust t = { .device_cas = &device,
                                   .n_device_cas = 1,
                                   .seal_cas = &seal,
                                   .n_seal_cas = 1,
                                   .tsa_cas = &tsa,
                                   .n_tsa_cas = 1,
                                   .log_vkey = m->vkey,
                                   .organisation = kluis_str_of(m->c->organisation) };
    KLUIS_TRY(kluis_trust_write(&t, &json, err));
    KLUIS_TRY(kluis_path(path, sizeof path, m->c->home, "trust.json", err));
    return kluis_write_file(path, json.data, json.len, 0644, err);
}

static kluis_status make_all(struct making *m, struct kluis_err *err)
{
    bool there;
    KLUIS_TRY(kluis_make_dir(m->c->home, err));
    KLUIS_TRY(kluis_path(m->root, sizeof m->root, m->c->home, "root", err));
    KLUIS_TRY(kluis_path(m->vault, sizeof m->vault, m->c->home, "vault", err));
    KLUIS_TRY(kluis_path(m->keys, sizeof m->keys, m->vault, "keys", err));
    KLUIS_TRY(kluis_path(m->gate, sizeof m->gate, m->c->home, "gate", err));
    KLUIS_TRY(kluis_path(m->tsa, sizeof m->tsa, m->c->home, "tsa", err));
    KLUIS_TRY(kluis_exists(m->keys, &there, err));
    if (there) {
        return KLUIS_FAIL(err, KLUIS_E_EXISTS, "'%s' holds a vault already; choose another home (or remove it, if its init was interrupted)",
                          m->c->home);
    }
    const char *const dirs[] = { m->root, m->vault, m->keys, m->gate, m->tsa };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) { KLUIS_TRY(kluis_make_dir(dirs[i], err)); }
    KLUIS_TRY(make_root(m, err));
    KLUIS_TRY(make_one(m, KLUIS_CERT_DEVICE_CA, "device-ca", YEARS(10), m->keys, "device-ca.key", "device-ca.crt", &m->device_ca, err));
    KLUIS_TRY(make_one(m, KLUIS_CERT_SEAL, "seal", YEARS(5), m->keys, "seal.key", "seal.crt", &m->seal, err));
    KLUIS_TRY(make_one(m, KLUIS_CERT_TSA, "time", YEARS(5), m->tsa, "tsa.key", "tsa.crt", &m->tsa_cert, err));
    KLUIS_TRY(make_secrets(m, err));
    KLUIS_TRY(make_gate(m, err));
    return make_trust(m, err);
}

kluis_status vault_init(const struct vault_init_config *c, struct kluis_err *err)
{
    if (c->organisation == NULL || c->organisation[0] == 0 || strlen(c->organisation) > 200 ||
        kluis_utf8_valid(c->organisation, strlen(c->organisation)) != strlen(c->organisation)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the organisation needs a name of at most 200 bytes, in UTF-8");
    }
    struct making *m = kluis_calloc(1, sizeof *m);
    if (m == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot make a home: out of memory"); }
    m->c = c;
    m->now = kluis_now_us();
    if (m->now < RELEASED_US) { /* certificates of that time would be nobody's */
        kluis_free(m);
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "this computer's clock stands before this program was made: set it first");
    }
    kluis_buf_init(&m->root_cert, KLUIS_CERT_MAX);
    kluis_buf_init(&m->device_ca, KLUIS_CERT_MAX);
    kluis_buf_init(&m->seal, KLUIS_CERT_MAX);
    kluis_buf_init(&m->tsa_cert, KLUIS_CERT_MAX);
    kluis_buf_init(&m->pull_spki, 4096);
    kluis_status rc = make_all(m, err);
    kluis_key_free(m->root_key);
    kluis_buf_free(&m->root_cert);
    kluis_buf_free(&m->device_ca);
    kluis_buf_free(&m->seal);
    kluis_buf_free(&m->tsa_cert);
    kluis_buf_free(&m->pull_spki);
    kluis_free(m);
    return rc;
}
