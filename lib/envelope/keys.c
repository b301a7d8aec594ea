/* keys.c - Signal identities and prekeys: made here, kept by the caller's store (docs/PROTOCOL.md §4.1).
 */
#include "kluis/envelope.h"
#include "lib/envelope/signal.h"

enum { PUBLIC = 33, PRIVATE = 32, SIGNATURE = 64, RECORD_KEY = 16 };

static kluis_status failed(int rc, const char *what, struct kluis_err *err)
{
    return rc == SG_ERR_NOMEM ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "%s: out of memory; try again", what)
                              : KLUIS_FAIL(err, KLUIS_E_BUG, "%s: the Signal library failed (%d)", what, rc);
}

/* Copies a buffer of exactly n bytes and frees it. */
static int take(signal_buffer *b, uint8_t *out, size_t n)
{
    int rc = signal_buffer_len(b) == n ? 0 : SG_ERR_UNKNOWN;
    if (rc == 0) { memcpy(out, signal_buffer_const_data(b), n); }
    signal_buffer_bzero_free(b);
    return rc;
}

static int public_bytes(const ec_public_key *key, uint8_t out[PUBLIC])
{
    signal_buffer *b = NULL;
    int rc = ec_public_key_serialize(&b, key);
    return rc < 0 ? rc : take(b, out, PUBLIC);
}

static int private_bytes(const ec_private_key *key, uint8_t out[PRIVATE])
{
    signal_buffer *b = NULL;
    int rc = ec_private_key_serialize(&b, key);
    return rc < 0 ? rc : take(b, out, PRIVATE);
}

kluis_status kluis_identity_new(struct kluis_identity *out, struct kluis_err *err)
{
    struct signal_env env;
    ec_key_pair *pair = NULL;
    memset(out, 0, sizeof *out);
    KLUIS_TRY(signal_env_open(&env, err));
    int rc = curve_generate_key_pair(env.context, &pair);
    if (rc == 0) { rc = public_bytes(ec_key_pair_get_public(pair), out->public_key); }
    if (rc == 0) { rc = private_bytes(ec_key_pair_get_private(pair), out->private_key); }
    if (rc == 0) { rc = signal_protocol_key_helper_generate_registration_id(&out->registration_id, 0, env.context); }
    SIGNAL_UNREF(pair);
    signal_env_close(&env);
    if (rc == 0) { return KLUIS_OK; }
    kluis_wipe(out, sizeof *out);
    return failed(rc, "session identity", err);
}

static kluis_status put_record(const struct kluis_session_store *store, enum kluis_store_table table, uint32_t id, signal_buffer *record,
                               struct kluis_err *err)
{
    char key[RECORD_KEY];
    (void)snprintf(key, sizeof key, "%u", (unsigned)id);
    kluis_status rc = store->put(store->ctx, table, key, (struct kluis_bytes){ signal_buffer_const_data(record), signal_buffer_len(record) }, err);
    signal_buffer_bzero_free(record);
    return rc;
}

static kluis_status prekey_new(struct signal_env *env, const struct kluis_session_store *store, uint32_t id, struct kluis_prekey *out,
                               struct kluis_err *err)
{
    ec_key_pair *pair = NULL;
    session_pre_key *key = NULL;
    signal_buffer *record = NULL;
    int rc = curve_generate_key_pair(env->context, &pair);
    if (rc == 0) { rc = public_bytes(ec_key_pair_get_public(pair), out->public_key); }
    if (rc == 0) { rc = session_pre_key_create(&key, id, pair); }
    if (rc == 0) { rc = session_pre_key_serialize(&record, key); }
    out->id = id;
    SIGNAL_UNREF(key);
    SIGNAL_UNREF(pair);
    return rc == 0 ? put_record(store, KLUIS_STORE_PREKEY, id, record, err) : failed(rc, "prekey", err);
}

kluis_status kluis_prekeys_new(const struct kluis_session_store *store, uint32_t first_id, uint32_t count, struct kluis_prekey *out,
                               struct kluis_err *err)
{
    /* The id above the last one would be taken for a key of last resort, which the library never removes. */
    if (first_id == 0 || first_id > KLUIS_PREKEY_ID_MAX || count > KLUIS_PREKEY_ID_MAX - first_id + 1) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "prekeys: ids run from 1 to %d; start again at 1", (int)KLUIS_PREKEY_ID_MAX);
    }
    struct signal_env env;
    KLUIS_TRY(signal_env_open(&env, err));
    kluis_status rc = KLUIS_OK;
    for (uint32_t i = 0; rc == KLUIS_OK && i < count; i++) { rc = prekey_new(&env, store, first_id + i, &out[i], err); }
    signal_env_close(&env);
    return rc;
}

kluis_status kluis_signed_prekey_new(const struct kluis_session_store *store, const struct kluis_identity *me, uint32_t id, int64_t now_us,
                                     struct kluis_signed_prekey *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    if (id == 0 || id > KLUIS_PREKEY_ID_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "signed prekey: ids run from 1 to %d", (int)KLUIS_PREKEY_ID_MAX);
    }
    struct signal_env env;
    KLUIS_TRY(signal_env_open(&env, err));
    ec_key_pair *pair = NULL;
    ec_private_key *identity = NULL;
    session_signed_pre_key *key = NULL;
    signal_buffer *signature = NULL, *record = NULL;
    out->id = id;
    int rc = curve_generate_key_pair(env.context, &pair);
    if (rc == 0) { rc = public_bytes(ec_key_pair_get_public(pair), out->public_key); }
    if (rc == 0) { rc = curve_decode_private_point(&identity, me->private_key, PRIVATE, env.context); }
    if (rc == 0) { rc = curve_calculate_signature(env.context, &signature, identity, out->public_key, PUBLIC); }
    if (rc == 0) {
        rc = session_signed_pre_key_create(&key, id, (uint64_t)(now_us / 1000), pair, signal_buffer_const_data(signature),
                                           signal_buffer_len(signature));
    }
    if (rc == 0) { rc = session_signed_pre_key_serialize(&record, key); }
    if (rc == 0) {
        rc = take(signature, out->signature, SIGNATURE);
    } else {
        signal_buffer_free(signature);
    }
    SIGNAL_UNREF(key);
    SIGNAL_UNREF(identity);
    SIGNAL_UNREF(pair);
    kluis_status status;
    if (rc == 0) {
        status = put_record(store, KLUIS_STORE_SIGNED_PREKEY, id, record, err);
    } else {
        signal_buffer_bzero_free(record);
        status = failed(rc, "signed prekey", err);
    }
    signal_env_close(&env);
    if (status != KLUIS_OK) { memset(out, 0, sizeof *out); }
    return status;
}
