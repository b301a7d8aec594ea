/* envelope_session_test.c - Signal sessions between a device and a vault, on stores that live in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kluis/envelope.h"

enum { ROWS = 64, MESSAGE_MAX = 2 << 20 };

/* ---- a store that can be copied, as a backup is -------------------------------------------------- */

struct row {
    bool used;
    enum kluis_store_table table;
    char key[160];
    uint8_t *value;
    size_t len;
};
struct store {
    struct row rows[ROWS];
    unsigned puts, dels;
    kluis_status fail_put, fail_get;
    struct kluis_session_store api;
};

static struct row *find(struct store *s, enum kluis_store_table t, const char *key)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (s->rows[i].used && s->rows[i].table == t && strcmp(s->rows[i].key, key) == 0) { return &s->rows[i]; }
    }
    return NULL;
}

static kluis_status get(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    struct store *s = ctx;
    if (s->fail_get != KLUIS_OK) { return KLUIS_FAIL(err, s->fail_get, "store: simulated"); }
    struct row *r = find(s, t, key);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "store: no such row"); }
    kluis_buf_add(out, r->value, r->len);
    return kluis_buf_ok(out, err);
}

static kluis_status put(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    struct store *s = ctx;
    if (s->fail_put != KLUIS_OK) { return KLUIS_FAIL(err, s->fail_put, "store: simulated"); }
    struct row *r = find(s, t, key);
    for (size_t i = 0; r == NULL && i < ROWS; i++) {
        if (!s->rows[i].used) { r = &s->rows[i]; }
    }
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "store: full"); }
    kluis_free(r->value);
    r->value = kluis_malloc(value.len);
    assert_non_null(r->value);
    memcpy(r->value, value.ptr, value.len);
    r->len = value.len;
    r->table = t;
    r->used = true;
    (void)snprintf(r->key, sizeof r->key, "%s", key);
    s->puts++;
    return KLUIS_OK;
}

static kluis_status del(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err)
{
    struct store *s = ctx;
    struct row *r = find(s, t, key);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "store: no such row"); }
    kluis_free(r->value);
    memset(r, 0, sizeof *r);
    s->dels++;
    return KLUIS_OK;
}

static void store_clear(struct store *s)
{
    for (size_t i = 0; i < ROWS; i++) { kluis_free(s->rows[i].value); }
    memset(s, 0, sizeof *s);
}
static void store_open(struct store *s)
{
    memset(s, 0, sizeof *s);
    s->api = (struct kluis_session_store){ .ctx = s, .get = get, .put = put, .del = del };
}
static void store_copy(struct store *to, const struct store *from)
{
    store_clear(to);
    store_open(to);
    for (size_t i = 0; i < ROWS; i++) {
        if (!from->rows[i].used) { continue; }
        to->rows[i] = from->rows[i];
        to->rows[i].value = kluis_malloc(from->rows[i].len);
        assert_non_null(to->rows[i].value);
        memcpy(to->rows[i].value, from->rows[i].value, from->rows[i].len);
    }
}

/* ---- device and vault ---------------------------------------------------------------------------- */

struct side {
    struct store store;
    struct kluis_identity me;
    struct kluis_session *session;
};
struct pair {
    struct side device, vault;
    struct kluis_prekey prekeys[4];
    struct kluis_bundle bundle;
};

static const char DEVICE_NAME[] = "00112233445566778899aabbccddeeff";

static void make(struct pair *p)
{
    struct kluis_err err = { 0 };
    memset(p, 0, sizeof *p);
    store_open(&p->device.store);
    store_open(&p->vault.store);
    assert_int_equal(kluis_identity_new(&p->device.me, &err), KLUIS_OK);
    assert_int_equal(kluis_identity_new(&p->vault.me, &err), KLUIS_OK);
    assert_memory_not_equal(p->device.me.private_key, p->vault.me.private_key, 32);
    assert_int_equal(kluis_prekeys_new(&p->vault.store.api, 1, 4, p->prekeys, &err), KLUIS_OK);
    p->bundle.registration_id = p->vault.me.registration_id;
    memcpy(p->bundle.identity, p->vault.me.public_key, 33);
    assert_int_equal(kluis_signed_prekey_new(&p->vault.store.api, &p->vault.me, 1, 1700000000000000, &p->bundle.signed_prekey, &err), KLUIS_OK);
    p->bundle.has_prekey = true;
    p->bundle.prekey = p->prekeys[0];
    assert_int_equal(kluis_session_open(&p->device.session, &p->device.store.api, &p->device.me, "vault", p->vault.me.public_key, &err), KLUIS_OK);
    assert_int_equal(kluis_session_open(&p->vault.session, &p->vault.store.api, &p->vault.me, DEVICE_NAME, p->device.me.public_key, &err), KLUIS_OK);
}

static void unmake(struct pair *p)
{
    kluis_session_free(p->device.session);
    kluis_session_free(p->vault.session);
    store_clear(&p->device.store);
    store_clear(&p->vault.store);
}

static void begin(struct pair *p)
{
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_session_start(p->device.session, &p->bundle, &err), KLUIS_OK);
}

static void send(struct side *from, const char *text, struct kluis_buf *out)
{
    struct kluis_err err = { 0 };
    kluis_buf_clear(out);
    assert_int_equal(kluis_session_encrypt(from->session, (struct kluis_bytes){ (const uint8_t *)text, strlen(text) }, out, &err), KLUIS_OK);
}

static kluis_status receive(struct side *to, const struct kluis_buf *m, const char *want, uint32_t *prekey)
{
    struct kluis_err err = { 0 };
    uint32_t used = 99;
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    kluis_status rc = kluis_session_decrypt(to->session, kluis_buf_bytes(m), &plain, &used, &err);
    if (rc == KLUIS_OK) {
        assert_int_equal(plain.len, strlen(want));
        assert_memory_equal(plain.data, want, plain.len);
    } else {
        assert_int_equal(plain.len, 0);
        assert_int_equal(used, 0);
        assert_int_equal(err.code, rc);
        assert_true(err.msg[0] != '\0');
    }
    if (prekey != NULL) { *prekey = used; }
    return rc;
}

static void messages_go_both_ways_and_the_first_consumes_its_prekey(KLUIS_UNUSED void **state)
{
    struct pair p;
    uint32_t used = 0;
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    assert_false(kluis_session_exists(p.device.session));
    begin(&p);
    assert_true(kluis_session_exists(p.device.session));
    assert_false(kluis_session_exists(p.vault.session));
    assert_non_null(find(&p.vault.store, KLUIS_STORE_PREKEY, "1"));
    send(&p.device, "een", &m);
    assert_int_equal(m.data[0], 2);
    assert_int_equal(receive(&p.vault, &m, "een", &used), KLUIS_OK);
    assert_int_equal(used, 1);
    assert_null(find(&p.vault.store, KLUIS_STORE_PREKEY, "1"));
    assert_non_null(find(&p.vault.store, KLUIS_STORE_PREKEY, "2"));
    assert_non_null(find(&p.vault.store, KLUIS_STORE_SESSION, DEVICE_NAME));
    send(&p.device, "twee", &m); /* until an answer comes the device sends prekey messages: the session stays one */
    assert_int_equal(m.data[0], 2);
    assert_int_equal(receive(&p.vault, &m, "twee", &used), KLUIS_OK);
    assert_int_equal(used, 0);
    for (int i = 0; i < 20; i++) {
        send(&p.vault, "ontvangen", &m);
        assert_int_equal(m.data[0], 1);
        assert_int_equal(receive(&p.device, &m, "ontvangen", &used), KLUIS_OK);
        assert_int_equal(used, 0);
        send(&p.device, "", &m);
        assert_int_equal(m.data[0], 1);
        assert_int_equal(receive(&p.vault, &m, "", NULL), KLUIS_OK);
    }
    unmake(&p);
}

static void a_session_outlives_the_process(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    begin(&p);
    for (int i = 0; i < 5; i++) {
        send(&p.device, "heen", &m);
        kluis_session_free(p.vault.session);
        assert_int_equal(kluis_session_open(&p.vault.session, &p.vault.store.api, &p.vault.me, DEVICE_NAME, p.device.me.public_key, &err), KLUIS_OK);
        assert_int_equal(receive(&p.vault, &m, "heen", NULL), KLUIS_OK);
        send(&p.vault, "terug", &m);
        kluis_session_free(p.device.session);
        assert_int_equal(kluis_session_open(&p.device.session, &p.device.store.api, &p.device.me, "vault", p.vault.me.public_key, &err), KLUIS_OK);
        assert_int_equal(receive(&p.device, &m, "terug", NULL), KLUIS_OK);
    }
    unmake(&p);
}

static void a_bundle_without_one_time_prekey_works(KLUIS_UNUSED void **state)
{
    struct pair p;
    uint32_t used = 5;
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    p.bundle.has_prekey = false;
    begin(&p);
    send(&p.device, "een", &m);
    assert_int_equal(receive(&p.vault, &m, "een", &used), KLUIS_OK);
    assert_int_equal(used, 0);
    assert_int_equal(p.vault.store.dels, 0);
    unmake(&p);
}

static void messages_out_of_order_open_and_replays_are_named(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct kluis_buf m[6];
    KLUIS_AUTO_BUF(a, MESSAGE_MAX);
    static const char *const text[6] = { "0", "1", "2", "3", "4", "5" };
    static const size_t order[6] = { 3, 0, 5, 1, 2, 4 };
    make(&p);
    begin(&p);
    for (size_t i = 0; i < 6; i++) { kluis_buf_init(&m[i], MESSAGE_MAX); }
    for (size_t i = 0; i < 3; i++) { send(&p.device, text[i], &m[i]); }
    assert_int_equal(receive(&p.vault, &m[0], "0", NULL), KLUIS_OK);
    assert_int_equal(receive(&p.vault, &m[0], "0", NULL), KLUIS_E_EXISTS); /* a replayed first message, prekey gone */
    send(&p.vault, "antwoord", &a);
    assert_int_equal(receive(&p.device, &a, "antwoord", NULL), KLUIS_OK);
    assert_int_equal(receive(&p.device, &a, "antwoord", NULL), KLUIS_E_EXISTS);
    for (size_t i = 3; i < 6; i++) { send(&p.device, text[i], &m[i]); }
    for (size_t k = 0; k < 6; k++) {
        size_t i = order[k];
        assert_int_equal(receive(&p.vault, &m[i], text[i], NULL), i == 0 ? KLUIS_E_EXISTS : KLUIS_OK);
        unsigned puts = p.vault.store.puts;
        assert_int_equal(receive(&p.vault, &m[i], text[i], NULL), KLUIS_E_EXISTS);
        assert_int_equal(p.vault.store.puts, puts); /* a replay writes nothing */
        assert_false(kluis_session_was_older(p.vault.session));
    }
    for (size_t i = 0; i < 6; i++) { kluis_buf_free(&m[i]); }
    unmake(&p);
}

static void a_forged_signed_prekey_or_another_identity_starts_nothing(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct kluis_err err = { 0 };
    struct kluis_identity stranger;
    make(&p);
    struct kluis_bundle forged = p.bundle;
    forged.signed_prekey.signature[10] ^= 1;
    assert_int_equal(kluis_session_start(p.device.session, &forged, &err), KLUIS_E_REJECT);
    forged = p.bundle;
    memcpy(forged.signed_prekey.public_key, p.prekeys[1].public_key, 33); /* a genuine key that nobody signed */
    kluis_err_clear(&err);
    assert_int_equal(kluis_session_start(p.device.session, &forged, &err), KLUIS_E_REJECT);
    kluis_err_clear(&err);
    assert_int_equal(kluis_identity_new(&stranger, &err), KLUIS_OK);
    forged = p.bundle;
    memcpy(forged.identity, stranger.public_key, 33);
    assert_int_equal(kluis_signed_prekey_new(&p.vault.store.api, &stranger, 9, 0, &forged.signed_prekey, &err), KLUIS_OK);
    assert_int_equal(kluis_session_start(p.device.session, &forged, &err), KLUIS_E_REJECT); /* all genuine, but not the one enrolled */
    kluis_err_clear(&err);
    forged = p.bundle;
    forged.identity[0] = 6;
    assert_int_equal(kluis_session_start(p.device.session, &forged, &err), KLUIS_E_REJECT);
    assert_false(kluis_session_exists(p.device.session));
    assert_int_equal(p.device.store.puts, 0);
    unmake(&p);
}

static void a_device_with_another_identity_than_enrolled_is_refused(KLUIS_UNUSED void **state)
{
    struct pair p, q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    begin(&p);
    send(&p.device, "een", &m);
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_OK);
    /* The same vault pins another key under that name: neither a new first message nor the session that exists is good any more. */
    make(&q);
    kluis_session_free(p.vault.session);
    assert_int_equal(kluis_session_open(&p.vault.session, &p.vault.store.api, &p.vault.me, DEVICE_NAME, q.device.me.public_key, &err), KLUIS_OK);
    unsigned puts = p.vault.store.puts;
    send(&p.device, "twee", &m);
    assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_E_REJECT);
    KLUIS_AUTO_BUF(out, MESSAGE_MAX);
    assert_int_equal(kluis_session_encrypt(p.vault.session, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, &out, &err), KLUIS_E_REJECT);
    assert_int_equal(out.len, 0);
    assert_int_equal(p.vault.store.puts, puts);
    unmake(&q);
    unmake(&p);
}

static void cut_and_changed_messages_are_refused_and_leave_the_session_whole(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct store before;
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    begin(&p);
    store_open(&before);
    for (int round = 0; round < 2; round++) { /* a prekey message, then a ratchet message */
        send(&p.device, "tekst", &m);
        assert_int_equal(m.data[0], round == 0 ? 2 : 1);
        store_copy(&before, &p.vault.store);
        size_t n = m.len, refused = 0, taken = 0;
        for (m.len = 0; m.len < n; m.len++) { assert_int_equal(receive(&p.vault, &m, "", NULL), KLUIS_E_REJECT); }
        for (size_t bit = 0; bit < n * 8; bit++) {
            m.data[bit / 8] = (uint8_t)(m.data[bit / 8] ^ 1U << bit % 8);
            unsigned puts = p.vault.store.puts;
            kluis_status rc = receive(&p.vault, &m, "tekst", NULL);
            if (rc == KLUIS_OK) {
                struct kluis_err err = { 0 };
                taken++;
                kluis_session_free(p.vault.session);
                store_copy(&p.vault.store, &before);
                assert_int_equal(kluis_session_open(&p.vault.session, &p.vault.store.api, &p.vault.me, DEVICE_NAME, p.device.me.public_key, &err),
                                 KLUIS_OK);
            } else {
                assert_int_equal(rc, KLUIS_E_REJECT);
                assert_int_equal(p.vault.store.puts, puts);
                refused++;
            }
            m.data[bit / 8] = (uint8_t)(m.data[bit / 8] ^ 1U << bit % 8);
        }
        /* Around the ratchet message a first message carries the sender's registration id, which nothing authenticates and nothing uses. */
        if (round == 0) {
            assert_true(taken > 0 && taken <= 24);
        } else {
            assert_int_equal(taken, 0);
        }
        assert_int_equal(refused + taken, n * 8);
        assert_int_equal(receive(&p.vault, &m, "tekst", NULL), KLUIS_OK);
        send(&p.vault, "ok", &m);
        assert_int_equal(receive(&p.device, &m, "ok", NULL), KLUIS_OK);
    }
    store_clear(&before);
    unmake(&p);
}

static void a_vault_set_back_cannot_read_until_a_new_session(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct store backup;
    uint32_t used = 0;
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    begin(&p);
    store_open(&backup);
    for (int i = 0; i < 6; i++) {
        if (i == 2) { store_copy(&backup, &p.vault.store); }
        send(&p.device, "heen", &m);
        assert_int_equal(receive(&p.vault, &m, "heen", NULL), KLUIS_OK);
        send(&p.vault, "terug", &m);
        assert_int_equal(receive(&p.device, &m, "terug", NULL), KLUIS_OK);
    }
    kluis_session_free(p.vault.session);
    store_copy(&p.vault.store, &backup);
    store_clear(&backup);
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_session_open(&p.vault.session, &p.vault.store.api, &p.vault.me, DEVICE_NAME, p.device.me.public_key, &err), KLUIS_OK);
    for (int i = 0; i < 3; i++) {
        send(&p.device, "heen", &m);
        assert_int_equal(receive(&p.vault, &m, "heen", NULL), KLUIS_E_REJECT);
    }
    p.bundle.prekey = p.prekeys[2]; /* X3DH anew mends it, both ways */
    begin(&p);
    send(&p.device, "opnieuw", &m);
    assert_int_equal(receive(&p.vault, &m, "opnieuw", &used), KLUIS_OK);
    assert_int_equal(used, 3);
    send(&p.vault, "gezien", &m);
    assert_int_equal(receive(&p.device, &m, "gezien", NULL), KLUIS_OK);
    unmake(&p);
}

static void a_device_set_back_is_recognised_and_never_revives_the_older_session(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct store backup;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    KLUIS_AUTO_BUF(late, MESSAGE_MAX);
    make(&p);
    store_open(&backup);
    begin(&p);
    send(&p.device, "een", &m);
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_OK);
    send(&p.vault, "terug", &m);
    assert_int_equal(receive(&p.device, &m, "terug", NULL), KLUIS_OK);
    store_copy(&backup, &p.device.store);
    send(&p.device, "laat", &late); /* of the first session, delivered after the second began */
    p.bundle.prekey = p.prekeys[1];
    begin(&p);
    send(&p.device, "twee", &m);
    assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_OK);
    assert_int_equal(receive(&p.vault, &late, "laat", NULL), KLUIS_E_REJECT);
    assert_true(kluis_session_was_older(p.vault.session));
    send(&p.device, "drie", &m); /* and the newer one goes on */
    assert_int_equal(receive(&p.vault, &m, "drie", NULL), KLUIS_OK);
    assert_false(kluis_session_was_older(p.vault.session));

    kluis_session_free(p.device.session); /* the device comes back from a copy made before the second session */
    store_copy(&p.device.store, &backup);
    assert_int_equal(kluis_session_open(&p.device.session, &p.device.store.api, &p.device.me, "vault", p.vault.me.public_key, &err), KLUIS_OK);
    send(&p.device, "oud", &m);
    assert_int_equal(receive(&p.vault, &m, "oud", NULL), KLUIS_E_REJECT);
    assert_true(kluis_session_was_older(p.vault.session));
    store_clear(&backup);
    unmake(&p);
}

static void a_replayed_first_message_does_not_push_the_newer_session_aside(KLUIS_UNUSED void **state)
{
    struct pair p;
    KLUIS_AUTO_BUF(first, MESSAGE_MAX);
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    p.bundle.has_prekey = false; /* the case in which no used-up prekey stops it */
    begin(&p);
    send(&p.device, "een", &first);
    assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_OK);
    begin(&p);
    send(&p.device, "twee", &m);
    assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_OK);
    unsigned puts = p.vault.store.puts;
    assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_E_EXISTS);
    assert_int_equal(p.vault.store.puts, puts);
    send(&p.device, "drie", &m);
    assert_int_equal(receive(&p.vault, &m, "drie", NULL), KLUIS_OK);
    unmake(&p);
}

/* The vault lost everything but its identity, and made new prekeys under the ids that it had used before. */
static void a_first_message_opens_nothing_at_a_vault_that_lost_its_sessions(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    for (int one_time = 0; one_time < 2; one_time++) {
        struct pair p;
        KLUIS_AUTO_BUF(first, MESSAGE_MAX);
        KLUIS_AUTO_BUF(m, MESSAGE_MAX);
        make(&p);
        p.bundle.has_prekey = one_time == 1;
        begin(&p);
        send(&p.device, "een", &first);
        assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_OK);
        kluis_session_free(p.vault.session);
        store_clear(&p.vault.store);
        store_open(&p.vault.store);
        assert_int_equal(kluis_session_open(&p.vault.session, &p.vault.store.api, &p.vault.me, DEVICE_NAME, p.device.me.public_key, &err), KLUIS_OK);
        assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_E_REJECT); /* no prekey yet */
        assert_int_equal(kluis_prekeys_new(&p.vault.store.api, 1, 4, p.prekeys, &err), KLUIS_OK);
        assert_int_equal(kluis_signed_prekey_new(&p.vault.store.api, &p.vault.me, 1, 1700000000000000, &p.bundle.signed_prekey, &err), KLUIS_OK);
        unsigned puts = p.vault.store.puts;
        assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_E_REJECT);
        assert_int_equal(p.vault.store.puts, puts); /* and leaves no session behind */
        p.bundle.has_prekey = true;
        p.bundle.prekey = p.prekeys[0];
        begin(&p); /* by the new bundle all goes on */
        send(&p.device, "twee", &m);
        assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_OK);
        assert_int_equal(receive(&p.vault, &first, "een", NULL), KLUIS_E_REJECT);
        send(&p.device, "drie", &m);
        assert_int_equal(receive(&p.vault, &m, "drie", NULL), KLUIS_OK);
        unmake(&p);
    }
}

static void a_used_or_unknown_prekey_is_refused(KLUIS_UNUSED void **state)
{
    struct pair p, q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    make(&q);
    begin(&p);
    send(&p.device, "een", &m);
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_OK);
    begin(&p); /* the gate hands out the same one-time prekey twice */
    send(&p.device, "twee", &m);
    assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_E_REJECT);
    struct kluis_prekey out[2];
    assert_int_equal(kluis_prekeys_new(&p.vault.store.api, 0, 1, out, &err), KLUIS_E_USAGE);
    assert_int_equal(kluis_prekeys_new(&p.vault.store.api, KLUIS_PREKEY_ID_MAX, 2, out, &err), KLUIS_E_USAGE);
    assert_int_equal(kluis_prekeys_new(&p.vault.store.api, KLUIS_PREKEY_ID_MAX, 1, out, &err), KLUIS_OK);
    unmake(&q);
    unmake(&p);
}

static void a_failing_store_fails_the_call_with_its_own_error(KLUIS_UNUSED void **state)
{
    struct pair p;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    p.device.store.fail_put = KLUIS_E_IO;
    assert_int_equal(kluis_session_start(p.device.session, &p.bundle, &err), KLUIS_E_IO);
    p.device.store.fail_put = KLUIS_OK;
    begin(&p);
    send(&p.device, "een", &m);
    p.vault.store.fail_get = KLUIS_E_BUSY;
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_E_BUSY);
    p.vault.store.fail_get = KLUIS_OK;
    p.vault.store.fail_put = KLUIS_E_IO;
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_E_IO);
    p.vault.store.fail_put = KLUIS_OK;
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_OK); /* nothing was lost */
    kluis_buf_clear(&m);
    p.device.store.fail_put = KLUIS_E_IO;
    kluis_err_clear(&err);
    assert_int_equal(kluis_session_encrypt(p.device.session, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, &m, &err), KLUIS_E_IO);
    assert_int_equal(m.len, 0); /* no ciphertext leaves whose state was not kept */
    unmake(&p);
}

static void a_damaged_session_record_is_named_as_ours(KLUIS_UNUSED void **state)
{
    struct pair p;
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    begin(&p);
    send(&p.device, "een", &m);
    assert_int_equal(receive(&p.vault, &m, "een", NULL), KLUIS_OK);
    struct row *r = find(&p.vault.store, KLUIS_STORE_SESSION, DEVICE_NAME);
    assert_non_null(r);
    if (r != NULL) { r->len /= 2; }
    send(&p.device, "twee", &m);
    assert_int_equal(receive(&p.vault, &m, "twee", NULL), KLUIS_E_CORRUPT);
    unmake(&p);
}

static void without_a_session_nothing_is_sent_or_read(KLUIS_UNUSED void **state)
{
    struct pair p, q;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(m, MESSAGE_MAX);
    make(&p);
    make(&q);
    assert_int_equal(kluis_session_encrypt(p.device.session, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, &m, &err), KLUIS_E_NOTFOUND);
    begin(&q);
    send(&q.device, "een", &m);
    assert_int_equal(receive(&q.vault, &m, "een", NULL), KLUIS_OK);
    send(&q.vault, "terug", &m);
    assert_int_equal(receive(&p.device, &m, "terug", NULL), KLUIS_E_REJECT);
    static uint8_t large[KLUIS_SESSION_PLAIN_MAX + 1];
    kluis_err_clear(&err);
    kluis_buf_clear(&m);
    assert_int_equal(kluis_session_encrypt(q.device.session, (struct kluis_bytes){ large, sizeof large }, &m, &err), KLUIS_E_LIMIT);
    assert_int_equal(kluis_session_encrypt(q.device.session, (struct kluis_bytes){ large, sizeof large - 1 }, &m, &err), KLUIS_OK);
    uint32_t used;
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    assert_int_equal(kluis_session_decrypt(q.vault.session, kluis_buf_bytes(&m), &plain, &used, &err), KLUIS_OK);
    assert_int_equal(plain.len, sizeof large - 1);
    unmake(&q);
    unmake(&p);
}

static int start(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    return kluis_base_init(&err) == KLUIS_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_both_ways_and_the_first_consumes_its_prekey),
        cmocka_unit_test(a_session_outlives_the_process),
        cmocka_unit_test(a_bundle_without_one_time_prekey_works),
        cmocka_unit_test(messages_out_of_order_open_and_replays_are_named),
        cmocka_unit_test(a_forged_signed_prekey_or_another_identity_starts_nothing),
        cmocka_unit_test(a_device_with_another_identity_than_enrolled_is_refused),
        cmocka_unit_test(cut_and_changed_messages_are_refused_and_leave_the_session_whole),
        cmocka_unit_test(a_vault_set_back_cannot_read_until_a_new_session),
        cmocka_unit_test(a_device_set_back_is_recognised_and_never_revives_the_older_session),
        cmocka_unit_test(a_replayed_first_message_does_not_push_the_newer_session_aside),
        cmocka_unit_test(a_first_message_opens_nothing_at_a_vault_that_lost_its_sessions),
        cmocka_unit_test(a_used_or_unknown_prekey_is_refused),
        cmocka_unit_test(a_failing_store_fails_the_call_with_its_own_error),
        cmocka_unit_test(a_damaged_session_record_is_named_as_ours),
        cmocka_unit_test(without_a_session_nothing_is_sent_or_read),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
