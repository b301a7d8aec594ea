/* session.c - one Double Ratchet with one peer, on the caller's store (docs/PROTOCOL.md §4.1).
 *
 * libsignal-protocol-c calls back into the store from inside its own calls.  Two rules of ours are enforced there: the peer's
 * identity is the pinned one, in every record read or written; and a message never brings back a session that another replaced.
 */
#include "kluis/envelope.h"
#include "lib/envelope/signal.h"

enum { PUBLIC = 33, PRIVATE = 32, PEER_MAX = 128, RECORD_MAX = 16 << 20, MESSAGE_MAX = KLUIS_SESSION_PLAIN_MAX + 4096, DEVICE = 1 };
enum wire_type { WIRE_RATCHET = 1, WIRE_PREKEY = 2 };

struct kluis_session {
    struct signal_env env;
    signal_protocol_store_context *store_context;
    session_cipher *cipher;
    signal_protocol_address address;
    char peer[PEER_MAX + 1];
    uint8_t pinned[PUBLIC];
    const struct kluis_session_store *store;
    const struct kluis_identity *me;

    /* of the call under way */
    struct kluis_err *err;
    uint64_t memory;     /* kluis_memory_mark at the call's begin */
    bool starved;        /* memory was refused since then, as far as a callback saw */
    kluis_status failed; /* what a callback met; wins over the library's own code */
    bool decrypting;
    bool had_session; /* a record was loaded, and its current state began with … */
    uint8_t base[PUBLIC];
    bool starts; /* the message is a prekey message of a session not in the record, which begins with … */
    uint8_t new_base[PUBLIC];
    const pre_key_signal_message *first;
    bool older;
    uint32_t used_prekey;
};

static void call_begin(struct kluis_session *s, struct kluis_err *err)
{
    s->err = err;
    s->memory = kluis_memory_mark();
    s->failed = KLUIS_OK;
    s->starved = s->decrypting = s->had_session = s->starts = s->older = false;
    s->first = NULL;
    s->used_prekey = 0;
}

/* Remembers a callback's failure and gives the library something negative. */
static int callback_failed(struct kluis_session *s, kluis_status rc)
{
    if (s->failed == KLUIS_OK) { s->failed = rc; }
    return rc == KLUIS_E_NOMEM ? SG_ERR_NOMEM : SG_ERR_UNKNOWN;
}

/* Asked in every callback: a call that is made there may forget what the last one of the library met. */
static bool starved(struct kluis_session *s)
{
    s->starved = s->starved || kluis_memory_refused(s->memory);
    return s->starved;
}

static kluis_status call_end(struct kluis_session *s, int rc, const char *what)
{
    struct kluis_err *err = s->err;
    s->err = NULL;
    if (s->failed != KLUIS_OK) { return s->failed; }
    if (rc >= 0) { return KLUIS_OK; }
    /* Out of memory, the library takes the next thing: an earlier session of the record, another reading of the message. */
    switch (starved(s) ? SG_ERR_NOMEM : rc) {
    case SG_ERR_NOMEM: return KLUIS_FAIL(err, KLUIS_E_NOMEM, "%s: out of memory; try again", what);
    case SG_ERR_DUPLICATE_MESSAGE: return KLUIS_FAIL(err, KLUIS_E_EXISTS, "%s: this message was opened before", what);
    case SG_ERR_NO_SESSION: return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: there is no session with this peer yet", what);
    case SG_ERR_UNTRUSTED_IDENTITY:
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the peer's identity key is not the one enrolled; enrol again if it was replaced", what);
    case SG_ERR_INVALID_KEY_ID: return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it names a prekey that was used or never given out", what);
    case SG_ERR_INVALID_KEY: return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: a key is malformed or its signature is wrong", what);
    default: return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it does not belong to this session or was changed on the way (%d)", what, rc);
    }
}

static int point_bytes(const ec_public_key *key, uint8_t out[PUBLIC])
{
    signal_buffer *b = NULL;
    if (key == NULL) { return SG_ERR_INVALID_KEY; }
    int rc = ec_public_key_serialize(&b, key);
    if (rc < 0) { return rc; }
    rc = signal_buffer_len(b) == PUBLIC ? 0 : SG_ERR_INVALID_KEY;
    if (rc == 0) { memcpy(out, signal_buffer_const_data(b), PUBLIC); }
    signal_buffer_free(b);
    return rc;
}

/* ---- store callbacks ---------------------------------------------------------------------------- */

/* 1 found, 0 not there, negative failed. */
static int get_row(struct kluis_session *s, enum kluis_store_table table, const char *key, signal_buffer **out)
{
    KLUIS_AUTO_BUF(row, RECORD_MAX);
    struct kluis_err quiet = { 0 };
    *out = NULL;
    (void)starved(s);
    kluis_status rc = s->store->get(s->store->ctx, table, key, &row, &quiet);
    if (rc == KLUIS_E_NOTFOUND) { return 0; }
    if (rc == KLUIS_OK) { rc = kluis_buf_ok(&row, &quiet); }
    if (rc != KLUIS_OK) {
        (void)KLUIS_FAIL(s->err, rc, "%s", quiet.msg[0] != '\0' ? quiet.msg : "session store: cannot read");
        return callback_failed(s, rc);
    }
    *out = signal_buffer_create(row.data, row.len);
    if (row.data != NULL) { kluis_wipe(row.data, row.len); }
    return *out == NULL ? SG_ERR_NOMEM : 1;
}

static int put_row(struct kluis_session *s, enum kluis_store_table table, const char *key, const uint8_t *p, size_t n)
{
    if (n > RECORD_MAX) {
        return callback_failed(s, KLUIS_FAIL(s->err, KLUIS_E_LIMIT, "session: its record grew past %d bytes; start a new session", (int)RECORD_MAX));
    }
    kluis_status rc = s->store->put(s->store->ctx, table, key, (struct kluis_bytes){ p, n }, s->err);
    return rc == KLUIS_OK ? 0 : callback_failed(s, rc);
}

static void id_key(uint32_t id, char out[16]) { (void)snprintf(out, 16, "%u", (unsigned)id); }

/* Identity and first key of a record's current state. */
static int look_into(struct kluis_session *s, const uint8_t *p, size_t n, session_record **record, uint8_t base[PUBLIC])
{
    uint8_t remote[PUBLIC];
    *record = NULL;
    int rc = session_record_deserialize(record, p, n, s->env.context);
    if (rc < 0) {
        return rc == SG_ERR_NOMEM || starved(s)
                   ? SG_ERR_NOMEM
                   : callback_failed(s, KLUIS_FAIL(s->err, KLUIS_E_CORRUPT, "session store: a session record is damaged"));
    }
    const session_state *state = session_record_get_state(*record);
    rc = state == NULL ? SG_ERR_UNKNOWN : point_bytes(session_state_get_remote_identity_key(state), remote);
    if (rc == 0 && memcmp(remote, s->pinned, PUBLIC) != 0) {
        rc = callback_failed(s, KLUIS_FAIL(s->err, KLUIS_E_REJECT, "session: it was made with another identity key than the one enrolled"));
    }
    if (rc == 0) { rc = point_bytes(session_state_get_alice_base_key(state), base); }
    if (rc < 0) { SIGNAL_UNREF(*record); }
    return rc;
}

static int load_session(signal_buffer **record, signal_buffer **user_record, KLUIS_UNUSED const signal_protocol_address *address, void *user)
{
    struct kluis_session *s = user;
    session_record *parsed = NULL;
    *user_record = NULL;
    int rc = get_row(s, KLUIS_STORE_SESSION, s->peer, record);
    if (rc <= 0) { return rc; }
    rc = look_into(s, signal_buffer_const_data(*record), signal_buffer_len(*record), &parsed, s->base);
    if (rc == 0) {
        s->had_session = true;
        if (s->first != NULL) {
            s->starts = session_record_has_session_state(parsed, pre_key_signal_message_get_message_version(s->first),
                                                         pre_key_signal_message_get_base_key(s->first)) == 0;
        }
        SIGNAL_UNREF(parsed);
        return 1;
    }
    signal_buffer_bzero_free(*record);
    *record = NULL;
    return rc;
}

static int store_session(KLUIS_UNUSED const signal_protocol_address *address, uint8_t *record, size_t n, KLUIS_UNUSED uint8_t *user_record,
                         KLUIS_UNUSED size_t user_n, void *user)
{
    struct kluis_session *s = user;
    session_record *parsed = NULL;
    uint8_t base[PUBLIC];
    int rc = look_into(s, record, n, &parsed, base);
    if (rc < 0) { return rc; }
    bool whole = session_state_has_sender_chain(session_record_get_state(parsed)) != 0;
    SIGNAL_UNREF(parsed);
    /* Copying a session without memory, the library leaves keys out and goes on: kept, such a session could never answer. */
    if (!whole || starved(s)) { return callback_failed(s, KLUIS_FAIL(s->err, KLUIS_E_NOMEM, "session: out of memory; try again")); }
    /* The library keeps replaced sessions and promotes one of them when a message of it arrives.  Kept, they let a replayed first
     * message be recognised; promoted, they would let a device that was set back go on as if nothing had happened. */
    if (s->decrypting && s->had_session && memcmp(base, s->base, PUBLIC) != 0 && !(s->starts && memcmp(base, s->new_base, PUBLIC) == 0)) {
        s->older = true;
        return callback_failed(s, KLUIS_FAIL(s->err, KLUIS_E_REJECT, "session: the message belongs to an older session than the one in use"));
    }
    return put_row(s, KLUIS_STORE_SESSION, s->peer, record, n);
}

static int contains_row(struct kluis_session *s, enum kluis_store_table table, const char *key)
{
    signal_buffer *row = NULL;
    int rc = get_row(s, table, key, &row);
    signal_buffer_bzero_free(row);
    return rc;
}

static int contains_session(KLUIS_UNUSED const signal_protocol_address *address, void *user)
{
    struct kluis_session *s = user;
    return contains_row(s, KLUIS_STORE_SESSION, s->peer);
}

static int delete_session(KLUIS_UNUSED const signal_protocol_address *address, void *user)
{
    struct kluis_session *s = user;
    kluis_status rc = s->store->del(s->store->ctx, KLUIS_STORE_SESSION, s->peer, s->err);
    return rc == KLUIS_OK ? 1 : rc == KLUIS_E_NOTFOUND ? 0 : callback_failed(s, rc);
}

/* Several devices under one name do not occur here. */
static int sub_sessions(signal_int_list **out, KLUIS_UNUSED const char *name, KLUIS_UNUSED size_t n, KLUIS_UNUSED void *user)
{
    *out = signal_int_list_alloc();
    return *out == NULL ? SG_ERR_NOMEM : 0;
}
static int delete_all(KLUIS_UNUSED const char *name, KLUIS_UNUSED size_t n, void *user) { return delete_session(NULL, user); }

static int load_key(struct kluis_session *s, enum kluis_store_table table, uint32_t id, signal_buffer **record)
{
    char key[16];
    id_key(id, key);
    int rc = get_row(s, table, key, record);
    return rc == 1 ? SG_SUCCESS : rc == 0 ? SG_ERR_INVALID_KEY_ID : rc;
}

static int store_key(struct kluis_session *s, enum kluis_store_table table, uint32_t id, const uint8_t *p, size_t n)
{
    char key[16];
    id_key(id, key);
    return put_row(s, table, key, p, n);
}

static int contains_key(struct kluis_session *s, enum kluis_store_table table, uint32_t id)
{
    char key[16];
    id_key(id, key);
    return contains_row(s, table, key);
}

static int remove_key(struct kluis_session *s, enum kluis_store_table table, uint32_t id)
{
    char key[16];
    id_key(id, key);
    kluis_status rc = s->store->del(s->store->ctx, table, key, s->err);
    return rc == KLUIS_OK ? 0 : callback_failed(s, rc);
}

static int load_prekey(signal_buffer **record, uint32_t id, void *user) { return load_key(user, KLUIS_STORE_PREKEY, id, record); }
static int store_prekey(uint32_t id, uint8_t *p, size_t n, void *user) { return store_key(user, KLUIS_STORE_PREKEY, id, p, n); }
static int contains_prekey(uint32_t id, void *user) { return contains_key(user, KLUIS_STORE_PREKEY, id); }
static int remove_prekey(uint32_t id, void *user)
{
    struct kluis_session *s = user;
    s->used_prekey = id;
    return remove_key(s, KLUIS_STORE_PREKEY, id);
}
static int load_signed(signal_buffer **record, uint32_t id, void *user) { return load_key(user, KLUIS_STORE_SIGNED_PREKEY, id, record); }
static int store_signed(uint32_t id, uint8_t *p, size_t n, void *user) { return store_key(user, KLUIS_STORE_SIGNED_PREKEY, id, p, n); }
static int contains_signed(uint32_t id, void *user) { return contains_key(user, KLUIS_STORE_SIGNED_PREKEY, id); }
static int remove_signed(uint32_t id, void *user) { return remove_key(user, KLUIS_STORE_SIGNED_PREKEY, id); }

static int own_identity(signal_buffer **public_data, signal_buffer **private_data, void *user)
{
    const struct kluis_session *s = user;
    *public_data = signal_buffer_create(s->me->public_key, PUBLIC);
    *private_data = signal_buffer_create(s->me->private_key, PRIVATE);
    if (*public_data != NULL && *private_data != NULL) { return 0; }
    signal_buffer_free(*public_data);
    signal_buffer_bzero_free(*private_data);
    *public_data = *private_data = NULL;
    return SG_ERR_NOMEM;
}

static int own_registration(void *user, uint32_t *id)
{
    *id = ((const struct kluis_session *)user)->me->registration_id;
    return 0;
}

static int is_pinned(KLUIS_UNUSED const signal_protocol_address *address, uint8_t *key, size_t n, void *user)
{
    const struct kluis_session *s = user;
    return key != NULL && n == PUBLIC && memcmp(key, s->pinned, PUBLIC) == 0 ? 1 : 0;
}

/* Nothing to keep: the pinned key is the caller's. */
static int save_identity(const signal_protocol_address *address, uint8_t *key, size_t n, void *user)
{
    return is_pinned(address, key, n, user) == 1 ? 0 : SG_ERR_UNTRUSTED_IDENTITY;
}

static kluis_status wire_stores(struct kluis_session *s, struct kluis_err *err)
{
    const signal_protocol_session_store sessions = { .load_session_func = load_session,
                                                     .get_sub_device_sessions_func = sub_sessions,
                                                     .store_session_func = store_session,
                                                     .contains_session_func = contains_session,
                                                     .delete_session_func = delete_session,
                                                     .delete_all_sessions_func = delete_all,
                                                     .user_data = s };
    const signal_protocol_pre_key_store prekeys = { .load_pre_key = load_prekey,
                                                    .store_pre_key = store_prekey,
                                                    .contains_pre_key = contains_prekey,
                                                    .remove_pre_key = remove_prekey,
                                                    .user_data = s };
    const signal_protocol_signed_pre_key_store signed_prekeys = { .load_signed_pre_key = load_signed,
                                                                  .store_signed_pre_key = store_signed,
                                                                  .contains_signed_pre_key = contains_signed,
                                                                  .remove_signed_pre_key = remove_signed,
                                                                  .user_data = s };
    const signal_protocol_identity_key_store identities = { .get_identity_key_pair = own_identity,
                                                            .get_local_registration_id = own_registration,
                                                            .save_identity = save_identity,
                                                            .is_trusted_identity = is_pinned,
                                                            .user_data = s };
    if (signal_protocol_store_context_create(&s->store_context, s->env.context) < 0 ||
        signal_protocol_store_context_set_session_store(s->store_context, &sessions) < 0 ||
        signal_protocol_store_context_set_pre_key_store(s->store_context, &prekeys) < 0 ||
        signal_protocol_store_context_set_signed_pre_key_store(s->store_context, &signed_prekeys) < 0 ||
        signal_protocol_store_context_set_identity_key_store(s->store_context, &identities) < 0 ||
        session_cipher_create(&s->cipher, s->store_context, &s->address, s->env.context) < 0) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "session: cannot set up the Signal library; try again");
    }
    return KLUIS_OK;
}

/* ---- the contract -------------------------------------------------------------------------------- */

kluis_status kluis_session_open(struct kluis_session **out, const struct kluis_session_store *store, const struct kluis_identity *me,
                                const char *peer, const uint8_t peer_identity[33], struct kluis_err *err)
{
    *out = NULL;
    size_t n = strlen(peer);
    if (n == 0 || n > PEER_MAX) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "session: a peer's name has 1 to %d bytes", (int)PEER_MAX); }
    struct kluis_session *s = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "session: out of memory; try again"); }
    memcpy(s->peer, peer, n + 1);
    memcpy(s->pinned, peer_identity, PUBLIC);
    s->address = (signal_protocol_address){ .name = s->peer, .name_len = n, .device_id = DEVICE };
    s->store = store;
    s->me = me;
    kluis_status rc = signal_env_open(&s->env, err);
    if (rc == KLUIS_OK) { rc = wire_stores(s, err); }
    if (rc != KLUIS_OK) {
        kluis_session_free(s);
        return rc;
    }
    *out = s;
    return KLUIS_OK;
}

bool kluis_session_exists(struct kluis_session *s)
{
    struct kluis_err err = { 0 };
    call_begin(s, &err);
    bool there = contains_session(&s->address, s) == 1;
    s->err = NULL;
    return there;
}

static int point(struct kluis_session *s, const uint8_t bytes[PUBLIC], ec_public_key **out)
{
    return curve_decode_point(out, bytes, PUBLIC, s->env.context);
}

kluis_status kluis_session_start(struct kluis_session *s, const struct kluis_bundle *b, struct kluis_err *err)
{
    ec_public_key *identity = NULL, *signed_prekey = NULL, *prekey = NULL;
    session_pre_key_bundle *bundle = NULL;
    session_builder *builder = NULL;
    call_begin(s, err);
    int rc = point(s, b->identity, &identity);
    if (rc >= 0) { rc = point(s, b->signed_prekey.public_key, &signed_prekey); }
    if (rc >= 0 && b->has_prekey) { rc = point(s, b->prekey.public_key, &prekey); }
    if (rc >= 0) {
        rc = session_pre_key_bundle_create(&bundle, b->registration_id, DEVICE, b->has_prekey ? b->prekey.id : 0, prekey, b->signed_prekey.id,
                                           signed_prekey, b->signed_prekey.signature, sizeof b->signed_prekey.signature, identity);
    }
    if (rc >= 0) { rc = session_builder_create(&builder, s->store_context, &s->address, s->env.context); }
    if (rc >= 0) { rc = session_builder_process_pre_key_bundle(builder, bundle); }
    if (builder != NULL) { session_builder_free(builder); }
    SIGNAL_UNREF(bundle);
    SIGNAL_UNREF(prekey);
    SIGNAL_UNREF(signed_prekey);
    SIGNAL_UNREF(identity);
    return call_end(s, rc, "prekey bundle");
}

kluis_status kluis_session_encrypt(struct kluis_session *s, struct kluis_bytes plain, struct kluis_buf *out, struct kluis_err *err)
{
    if (plain.len > KLUIS_SESSION_PLAIN_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "session: a message holds at most %d bytes", (int)KLUIS_SESSION_PLAIN_MAX);
    }
    call_begin(s, err);
    int rc = contains_session(&s->address, s);
    if (rc == 0) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "session: none with this peer yet; start one from a prekey bundle"); }
    ciphertext_message *message = NULL;
    if (rc > 0) { rc = session_cipher_encrypt(s->cipher, plain.ptr != NULL ? plain.ptr : (const uint8_t *)"", plain.len, &message); }
    if (rc >= 0) {
        const signal_buffer *bytes = ciphertext_message_get_serialized(message);
        kluis_buf_byte(out, ciphertext_message_get_type(message) == CIPHERTEXT_PREKEY_TYPE ? WIRE_PREKEY : WIRE_RATCHET);
        kluis_buf_add(out, signal_buffer_const_data(bytes), signal_buffer_len(bytes));
    }
    SIGNAL_UNREF(message);
    KLUIS_TRY(call_end(s, rc, "session"));
    return kluis_buf_ok(out, err);
}

kluis_status kluis_session_decrypt(struct kluis_session *s, struct kluis_bytes message, struct kluis_buf *plain, uint32_t *used_prekey,
                                   struct kluis_err *err)
{
    *used_prekey = 0;
    if (message.len > MESSAGE_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "session: a message of more than %d bytes", (int)MESSAGE_MAX); }
    if (message.len < 2 || (message.ptr[0] != WIRE_RATCHET && message.ptr[0] != WIRE_PREKEY)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "session: not a session message");
    }
    const uint8_t *p = message.ptr + 1;
    size_t n = message.len - 1;
    signal_buffer *opened = NULL;
    int rc;
    call_begin(s, err);
    s->decrypting = true;
    if (message.ptr[0] == WIRE_PREKEY) {
        pre_key_signal_message *m = NULL;
        rc = pre_key_signal_message_deserialize(&m, p, n, s->env.context);
        if (rc >= 0) { rc = point_bytes(pre_key_signal_message_get_base_key(m), s->new_base); }
        if (rc >= 0) {
            s->first = m;
            rc = session_cipher_decrypt_pre_key_signal_message(s->cipher, m, NULL, &opened);
            s->first = NULL;
        }
        SIGNAL_UNREF(m);
    } else {
        signal_message *m = NULL;
        rc = signal_message_deserialize(&m, p, n, s->env.context);
        if (rc >= 0) { rc = session_cipher_decrypt_signal_message(s->cipher, m, NULL, &opened); }
        SIGNAL_UNREF(m);
    }
    uint32_t used = s->used_prekey;
    kluis_status status = call_end(s, rc, "session message");
    if (status == KLUIS_OK) {
        kluis_buf_add(plain, signal_buffer_const_data(opened), signal_buffer_len(opened));
        status = kluis_buf_ok(plain, err);
        *used_prekey = used;
    }
    if (rc >= 0) { signal_buffer_bzero_free(opened); }
    return status;
}

bool kluis_session_was_older(const struct kluis_session *s) { return s->older; }

void kluis_session_free(struct kluis_session *s)
{
    if (s == NULL) { return; }
    if (s->cipher != NULL) { session_cipher_free(s->cipher); }
    if (s->store_context != NULL) { signal_protocol_store_context_destroy(s->store_context); }
    signal_env_close(&s->env);
    kluis_wipe(s, sizeof *s);
    kluis_free(s);
}
