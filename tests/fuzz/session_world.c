/* tests/fuzz/session_world.c - see session_world.h.  Randomness is a counter while it is made, so that seeds fit every run. */
#include "tests/fuzz/session_world.h"

struct session_world session_world;

static struct session_row *find(struct session_store *s, enum kluis_store_table t, const char *key)
{
    for (size_t i = 0; i < SESSION_ROWS; i++) {
        if (s->rows[i].used && s->rows[i].table == t && strcmp(s->rows[i].key, key) == 0) { return &s->rows[i]; }
    }
    return NULL;
}
static kluis_status get(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    const struct session_row *r = find(ctx, t, key);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such row"); }
    kluis_buf_add(out, r->value, r->len);
    return kluis_buf_ok(out, err);
}
static kluis_status put(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    struct session_store *s = ctx;
    struct session_row *r = find(s, t, key);
    for (size_t i = 0; r == NULL && i < SESSION_ROWS; i++) {
        if (!s->rows[i].used) { r = &s->rows[i]; }
    }
    if (r == NULL || value.len > SESSION_ROW_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "store: full"); }
    r->used = true;
    r->table = t;
    memcpy(r->value, value.ptr, value.len);
    r->len = value.len;
    (void)snprintf(r->key, sizeof r->key, "%s", key);
    return KLUIS_OK;
}
static kluis_status del(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err)
{
    struct session_row *r = find(ctx, t, key);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no such row"); }
    r->used = false;
    return KLUIS_OK;
}

static void open_store(struct session_store *s) { s->api = (struct kluis_session_store){ s, get, put, del }; }

void session_store_copy(struct session_store *to, const struct session_store *from)
{
    open_store(to);
    for (size_t i = 0; i < SESSION_ROWS; i++) {
        const struct session_row *r = &from->rows[i];
        to->rows[i].used = r->used;
        if (!r->used) { continue; }
        to->rows[i].table = r->table;
        to->rows[i].len = r->len;
        memcpy(to->rows[i].key, r->key, sizeof r->key);
        memcpy(to->rows[i].value, r->value, r->len);
    }
}

static uint64_t state;
static void counted(void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        ((uint8_t *)p)[i] = (uint8_t)(state >> 56);
    }
}
static int64_t now(void) { return FUZZ_NOW; }

static void say(struct kluis_session *from, struct kluis_buf *out)
{
    kluis_buf_init(out, 64 << 10);
    MUST(kluis_session_encrypt(from, (struct kluis_bytes){ (const uint8_t *)SESSION_TEXT, sizeof SESSION_TEXT - 1 }, out, NULL) == KLUIS_OK);
}
static void hear(struct kluis_session *to, const struct kluis_buf *m)
{
    KLUIS_AUTO_BUF(plain, 64 << 10);
    uint32_t used = 0;
    MUST(kluis_session_decrypt(to, kluis_buf_bytes(m), &plain, &used, NULL) == KLUIS_OK);
}

void session_world_make(void)
{
    static const struct kluis_hooks counting = { .random = counted, .now_us = now }, clock = { .now_us = now };
    struct session_world *w = &session_world;
    struct kluis_session *device = NULL, *vault = NULL;
    struct kluis_bundle b = { .has_prekey = true, .epoch = 1, .expires_us = FUZZ_NOW + 1000000 };
    struct kluis_buf *m = w->message;
    state = 1;
    kluis_hooks_set(&counting);
    static struct session_store at_vault, at_device;
    open_store(&at_vault);
    open_store(&at_device);
    MUST(kluis_identity_new(&w->me, NULL) == KLUIS_OK && kluis_identity_new(&w->them, NULL) == KLUIS_OK);
    MUST(kluis_prekeys_new(&at_vault.api, 1, 1, &b.prekey, NULL) == KLUIS_OK);
    MUST(kluis_signed_prekey_new(&at_vault.api, &w->them, 1, FUZZ_NOW, &b.signed_prekey, NULL) == KLUIS_OK);
    memcpy(b.identity, w->them.public_key, 33);
    b.registration_id = w->them.registration_id;
    session_store_copy(&w->vault_new, &at_vault);
    MUST(kluis_session_open(&device, &at_device.api, &w->me, "vault", w->them.public_key, NULL) == KLUIS_OK);
    MUST(kluis_session_open(&vault, &at_vault.api, &w->them, "device", w->me.public_key, NULL) == KLUIS_OK);
    MUST(kluis_session_start(device, &b, NULL) == KLUIS_OK);
    say(device, &m[0]);
    hear(vault, &m[0]);
    struct kluis_buf answer;
    say(vault, &answer);
    hear(device, &answer);
    session_store_copy(&w->vault, &at_vault);
    say(device, &m[1]);
    session_store_copy(&w->device, &at_device);
    say(vault, &m[2]);
    say(vault, &m[3]);
    kluis_buf_free(&answer);
    kluis_session_free(device);
    kluis_session_free(vault);
    kluis_hooks_set(&clock);
}
