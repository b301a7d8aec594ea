/* server/ingest/keys.c - loads the vault's keys; server/init.c makes them. */
#include "server/ingest/keys.h"

static kluis_status secret_file(const char *dir, const char *name, size_t n, uint8_t **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, 4096);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    KLUIS_TRY(kluis_read_file(path, 4096, &b, err));
    kluis_status rc = KLUIS_OK;
    if (b.len != n) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' has %zu bytes instead of %zu; restore it", path, b.len, n);
    } else if ((*out = kluis_secret_new(n)) == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot keep a key in memory");
    } else {
        memcpy(*out, b.data, n);
    }
    kluis_wipe(b.data, b.len);
    return rc;
}

static kluis_status cert_file(const char *dir, const char *name, struct kluis_buf *der, struct kluis_buf *pem_or_null, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(pem, 65536);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    KLUIS_TRY(kluis_read_file(path, 65536, &pem, err));
    if (pem_or_null != NULL) {
        kluis_buf_add(pem_or_null, pem.data, pem.len);
        KLUIS_TRY(kluis_buf_ok(pem_or_null, err));
    }
    return kluis_cert_from_pem(kluis_buf_bytes(&pem), der, err);
}

static kluis_status key_file(const char *dir, const char *name, struct kluis_key **out, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    return kluis_key_load(path, out, err);
}

kluis_status vault_identity_write(const struct kluis_identity *id, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_wire_label(out, VAULT_IDENTITY_LABEL);
    kluis_wire_field(out, id->public_key, sizeof id->public_key);
    kluis_wire_field(out, id->private_key, sizeof id->private_key);
    kluis_wire_u32(out, id->registration_id);
    return kluis_buf_ok(out, err);
}

static kluis_status load_identity(struct vault_keys *k, const char *dir, struct kluis_err *err)
{
    uint8_t *raw = NULL;
    KLUIS_TRY(secret_file(dir, "session.identity", VAULT_IDENTITY_LEN, &raw, err));
    kluis_status rc = KLUIS_OK;
    if ((k->identity = kluis_secret_new(sizeof *k->identity)) == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot keep a key in memory");
    } else {
        struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ raw, VAULT_IDENTITY_LEN });
        bool ok = kluis_wire_is(&w, VAULT_IDENTITY_LABEL);
        (void)kluis_wire_fixed(&w, k->identity->public_key, sizeof k->identity->public_key);
        (void)kluis_wire_fixed(&w, k->identity->private_key, sizeof k->identity->private_key);
        k->identity->registration_id = kluis_wire_get_u32(&w);
        rc = !ok ? KLUIS_FAIL(err, KLUIS_E_CORRUPT, "session.identity is no identity; restore it") : kluis_wire_end(&w, "session.identity", err);
    }
    kluis_secret_free(raw, VAULT_IDENTITY_LEN);
    return rc;
}

static kluis_status load_trust(struct vault_keys *k, const char *home, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, home, "trust.json", err));
    KLUIS_TRY(kluis_read_file(path, k->trust_json.max, &k->trust_json, err));
    KLUIS_TRY(kluis_trust_read((struct kluis_str){ (const char *)k->trust_json.data, k->trust_json.len }, k->arena, &k->trust, err));
    const char *plus = k->trust.log_vkey == NULL ? NULL : strchr(k->trust.log_vkey, '+');
    if (plus == NULL || (size_t)(plus - k->trust.log_vkey) >= sizeof k->origin) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "'%s' names no ledger; restore it", path);
    }
    memcpy(k->origin, k->trust.log_vkey, (size_t)(plus - k->trust.log_vkey));
    return KLUIS_OK;
}

static kluis_status load(struct vault_keys *k, const char *home, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(dir, sizeof dir, home, "vault/keys", err));
    KLUIS_TRY(load_trust(k, home, err));
    KLUIS_TRY(secret_file(dir, "wrapping.key", 32, &k->wrapping, err));
    KLUIS_TRY(secret_file(dir, "log.seed", 32, &k->seed, err));
    KLUIS_TRY(load_identity(k, dir, err));
    KLUIS_TRY(key_file(dir, "seal.key", &k->seal, err));
    KLUIS_TRY(key_file(dir, "pull.key", &k->pull, err));
    KLUIS_TRY(key_file(dir, "device-ca.key", &k->device_ca, err));
    KLUIS_TRY(cert_file(dir, "seal.crt", &k->seal_cert, NULL, err));
    KLUIS_TRY(cert_file(dir, "device-ca.crt", &k->device_ca_cert, NULL, err));
    KLUIS_TRY(cert_file(dir, "root.crt", &k->root_cert, &k->root_pem, err));
    if ((k->index_master = kluis_secret_new(32)) == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot keep a key in memory"); }
    static const char info[] = "chatkluis-index-master-v1";
    return kluis_hkdf_sha256((struct kluis_bytes){ k->wrapping, 32 }, (struct kluis_bytes){ NULL, 0 },
                             (struct kluis_bytes){ (const uint8_t *)info, sizeof info - 1 }, k->index_master, 32, err);
}

kluis_status vault_keys_load(struct vault_keys **out, const char *home, struct kluis_err *err)
{
    *out = NULL;
    struct vault_keys *k = kluis_calloc(1, sizeof *k);
    if (k == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot load the vault's keys: out of memory"); }
    kluis_buf_init(&k->seal_cert, KLUIS_CERT_MAX);
    kluis_buf_init(&k->device_ca_cert, KLUIS_CERT_MAX);
    kluis_buf_init(&k->root_cert, KLUIS_CERT_MAX);
    kluis_buf_init(&k->trust_json, 1 << 20);
    kluis_buf_init(&k->root_pem, 65536);
    k->arena = kluis_arena_new(4 << 20);
    kluis_status rc = k->arena == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot load the vault's keys: out of memory") : load(k, home, err);
    if (rc != KLUIS_OK) {
        vault_keys_free(k);
        return rc;
    }
    *out = k;
    return KLUIS_OK;
}

void vault_keys_free(struct vault_keys *k)
{
    if (k == NULL) { return; }
    kluis_secret_free(k->wrapping, 32);
    kluis_secret_free(k->seed, 32);
    kluis_secret_free(k->index_master, 32);
    kluis_secret_free(k->identity, sizeof *k->identity);
    kluis_key_free(k->seal);
    kluis_key_free(k->pull);
    kluis_key_free(k->device_ca);
    kluis_buf_free(&k->seal_cert);
    kluis_buf_free(&k->device_ca_cert);
    kluis_buf_free(&k->root_cert);
    kluis_buf_free(&k->trust_json);
    kluis_buf_free(&k->root_pem);
    kluis_arena_free(k->arena);
    kluis_free(k);
}
