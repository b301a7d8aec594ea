/* tests/integration/vault_world.c - see vault_world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <unistd.h>

#include "server/init.h"
#include "tests/integration/vault_world.h"
#include "tests/support/test_dir.h"

#define OK(expr) world_ok((expr), &err, #expr)

static void world_ok(kluis_status rc, const struct kluis_err *err, const char *what)
{
    if (rc != KLUIS_OK) { print_error("%s: %s\n", what, err->msg); }
    assert_int_equal(rc, KLUIS_OK);
}

void world_start_gate(struct world *w)
{
    struct kluis_err err = { 0 };
    char dir[128];
    struct gate_config c;
    const char *urls[1] = { w->tsa_url };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    (void)snprintf(dir, sizeof dir, "%s/gate", w->home);
    OK(gate_config_read(dir, arena, &c, &err));
    c.listen = w->address[0] != 0 ? w->address : "127.0.0.1:0";
    c.tsa_urls = urls;
    c.n_tsa = 1;
    OK(gate_start(&w->gate, &c, &err));
    gate_address(w->gate, w->address);
    (void)snprintf(w->url, sizeof w->url, "https://%s", w->address);
}

void world_stop_gate(struct world *w)
{
    gate_stop(w->gate);
    w->gate = NULL;
}

static void read_file(const struct world *w, const char *name, size_t max, struct kluis_buf *out)
{
    struct kluis_err err = { 0 };
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", w->home, name);
    kluis_buf_init(out, max);
    OK(kluis_read_file(path, max, out, &err));
}

void world_read(struct world *w)
{
    struct kluis_err err = { 0 };
    read_file(w, "root/root.crt", 65536, &w->root_pem);
    read_file(w, "trust.json", 1 << 20, &w->trust_json);
    kluis_buf_init(&w->root_der, 65536);
    OK(kluis_cert_from_pem(kluis_buf_bytes(&w->root_pem), &w->root_der, &err));
    w->arena = kluis_arena_new(4 << 20);
    OK(kluis_trust_read((struct kluis_str){ (const char *)w->trust_json.data, w->trust_json.len }, w->arena, &w->trust, &err));
}

void world_start_tsa(struct world *w)
{
    struct kluis_err err = { 0 };
    char path[128];
    uint16_t port = 0;
    (void)snprintf(path, sizeof path, "%s/tsa", w->home);
    OK(tsa_start(&w->tsa, path, false, &port, &err));
    (void)snprintf(w->tsa_url, sizeof w->tsa_url, "http://127.0.0.1:%u/", (unsigned)port);
}

void world_open_at(struct world *w, const char *home)
{
    struct kluis_err err = { 0 };
    memset(w, 0, sizeof *w);
    (void)snprintf(w->home, sizeof w->home, "%s", home);
    const struct vault_init_config c = { .home = w->home, .organisation = "Testministerie" };
    OK(vault_init(&c, &err));
    assert_int_equal(vault_init(&c, &err), KLUIS_E_EXISTS);
    kluis_err_clear(&err);
    OK(vault_open(&w->vault, w->home, NULL, NULL, &err));
    world_start_tsa(w);
    world_read(w);
    struct reg_official f = { .id = "jansen", .name = "J. Jansen", .function = "beleid", .from = "2020-01-01", .grace_days = -1 };
    vault_register_lock(w->vault);
    OK(reg_official_add(vault_register(w->vault), &f, &err));
    vault_register_unlock(w->vault);
    world_start_gate(w);
}

void world_open(struct world *w)
{
    struct kluis_err err = { 0 };
    char home[64];
    OK(kluis_base_init(&err));
    assert_true(test_dir("vault", home, sizeof home));
    world_open_at(w, home);
}

void world_start(struct world *w)
{
    struct kluis_err err = { 0 };
    OK(vault_start(w->vault, w->url, NULL, &err));
}

void world_restart_vault(struct world *w)
{
    struct kluis_err err = { 0 };
    vault_close(w->vault);
    w->vault = NULL;
    OK(vault_open(&w->vault, w->home, NULL, NULL, &err));
    world_start(w);
}

void world_close(struct world *w)
{
    vault_close(w->vault);
    world_stop_gate(w);
    tsa_stop(w->tsa);
    kluis_arena_free(w->arena);
    kluis_buf_free(&w->root_pem);
    kluis_buf_free(&w->root_der);
    kluis_buf_free(&w->trust_json);
}

uint64_t world_number(struct world *w, const char *key)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(json, 1 << 20);
    OK(vault_status_json(w->vault, NULL, &json, &err));
    kluis_buf_byte(&json, 0);
    const char *at = strstr((const char *)json.data, key);
    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

int world_patience(void)
{
    const char *text = getenv("KLUIS_PATIENCE");
    long n = text == NULL ? 1 : strtol(text, NULL, 10);
    return n >= 1 && n <= 100 ? (int)n : 1;
}

void world_until_indexed(struct world *w, uint64_t packages)
{
    for (int i = 0; i < 100 * world_patience(); i++) {
        if (world_number(w, "\"watermark\":") >= packages) { return; }
        kluis_sleep_us(50000);
    }
    fail_msg("not indexed within %d s", 5 * world_patience());
}

static void say_line(void *ctx, const char *text)
{
    (void)ctx;
    print_error("check: %s\n", text);
}

void world_check(struct world *w, bool read_data)
{
    struct kluis_err err = { 0 };
    struct vault_check_result r;
    const struct vault_report report = { NULL, say_line };
    OK(vault_check(w->vault, read_data, &report, &r, &err));
    assert_int_equal(r.packages, world_number(w, "\"packages\":"));
}

/* ---- a device ---- */

static struct row *find(struct device *d, enum kluis_store_table t, const char *key)
{
    for (size_t i = 0; i < d->rows; i++) {
        if (d->row[i].table == t && strcmp(d->row[i].key, key) == 0) { return &d->row[i]; }
    }
    return NULL;
}

static kluis_status get(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    const struct row *r = find(ctx, t, key);
    if (r == NULL || r->value.len == 0) { return KLUIS_E_NOTFOUND; }
    kluis_buf_add(out, r->value.data, r->value.len);
    return kluis_buf_ok(out, err);
}

static kluis_status put(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    struct device *d = ctx;
    struct row *r = find(d, t, key);
    if (r == NULL) {
        assert_true(d->rows < ROWS);
        r = &d->row[d->rows++];
        r->table = t;
        (void)snprintf(r->key, sizeof r->key, "%s", key);
        kluis_buf_init(&r->value, 1 << 20);
    }
    kluis_buf_clear(&r->value);
    kluis_buf_add(&r->value, value.ptr, value.len);
    return kluis_buf_ok(&r->value, err);
}

static kluis_status del(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err)
{
    struct row *r = find(ctx, t, key);
    (void)err;
    if (r != NULL) { kluis_buf_clear(&r->value); }
    return KLUIS_OK;
}

void device_store(struct device *d) { d->store = (struct kluis_session_store){ d, get, put, del }; }

static void make_request(struct device *d, const struct kluis_code_keys *keys, struct kluis_buf *out)
{
    struct kluis_err err = { 0 };
    uint8_t mac[32];
    KLUIS_AUTO_BUF(spki, 4096);
    KLUIS_AUTO_BUF(login, 4096);
    OK(kluis_key_public(d->pki.device.key, &spki, &err));
    OK(kluis_key_public(d->login, &login, &err));
    kluis_wire_label(out, "chatkluis-enrol-request-v1");
    kluis_wire_field(out, keys->id, 16);
    kluis_wire_field(out, spki.data, spki.len);
    kluis_wire_field(out, login.data, login.len);
    kluis_wire_field(out, d->identity.public_key, 33);
    kluis_wire_u32(out, d->identity.registration_id);
    kluis_wire_u64(out, (uint64_t)(kluis_now_us() / 1000000));
    OK(kluis_hmac_sha256(keys->request, 32, out->data, out->len, mac, &err));
    kluis_wire_field(out, mac, 32);
}

static void take_reply(struct device *d, const struct kluis_code_keys *keys, const struct kluis_buf *request, struct kluis_bytes reply,
                       char refusal[16])
{
    struct kluis_err err = { 0 };
    uint8_t mac[32], theirs[32], digest[32];
    struct kluis_wire r = kluis_wire_open(reply);
    if (kluis_wire_is(&r, "chatkluis-enrol-refusal-v1")) {
        struct kluis_bytes word = kluis_wire_get(&r, 15);
        OK(kluis_wire_end(&r, "refusal", &err));
        memcpy(refusal, word.ptr, word.len);
        refusal[word.len] = 0;
        return;
    }
    struct kluis_wire w = kluis_wire_open(reply);
    assert_true(kluis_wire_is(&w, "chatkluis-enrol-reply-v1"));
    struct kluis_bytes id = kluis_wire_get(&w, 32), cert = kluis_wire_get(&w, KLUIS_CERT_MAX);
    (void)kluis_wire_get(&w, KLUIS_CERT_MAX);
    struct kluis_bytes ca = kluis_wire_get(&w, KLUIS_CERT_MAX), root = kluis_wire_get(&w, KLUIS_CERT_MAX), trust = kluis_wire_get(&w, 1 << 20);
    assert_true(kluis_wire_fixed(&w, d->vault_identity, 33));
    struct kluis_bytes seal = kluis_wire_get(&w, KLUIS_P7S_MAX);
    assert_true(kluis_wire_fixed(&w, theirs, 32));
    OK(kluis_wire_end(&w, "reply", &err));
    assert_int_equal(root.len, d->w->root_der.len);
    assert_int_equal(trust.len, d->w->trust_json.len);
    KLUIS_AUTO_BUF(bound, 2 << 20);
    kluis_sha256_of(request->data, request->len, digest);
    kluis_buf_add(&bound, digest, 32);
    kluis_buf_add(&bound, reply.ptr, reply.len - 36);
    OK(kluis_hmac_sha256(keys->reply, 32, bound.data, bound.len, mac, &err));
    assert_memory_equal(mac, theirs, 32);
    /* The session's seal, as a device checks it. */
    char hex[67];
    struct kluis_seal_verdict v;
    KLUIS_AUTO_BUF(text, 200);
    kluis_hex(d->vault_identity, 33, hex);
    kluis_buf_fmt(&text, "chatkluis-session-v1\n%s\n", hex);
    OK(kluis_seal_judge(seal, kluis_buf_bytes(&text), d->w->trust.seal_cas, d->w->trust.n_seal_cas, NULL, 0, kluis_now_us(), &v, &err));
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_int_equal(v.certificate, KLUIS_VALID);
    memcpy(d->id, id.ptr, 32);
    kluis_buf_free(&d->pki.device.cert); /* of the first of two same replies */
    kluis_buf_free(&d->pki.device_ca.cert);
    kluis_buf_init(&d->pki.device.cert, KLUIS_CERT_MAX);
    kluis_buf_init(&d->pki.device_ca.cert, KLUIS_CERT_MAX);
    kluis_buf_add(&d->pki.device.cert, cert.ptr, cert.len);
    kluis_buf_add(&d->pki.device_ca.cert, ca.ptr, ca.len);
    OK(kluis_cert_check(cert, KLUIS_CERT_DEVICE, d->w->trust.device_cas, d->w->trust.n_device_cas, kluis_now_us(), &err));
}

void device_new(struct device *d, struct world *w)
{
    struct kluis_err err = { 0 };
    memset(d, 0, sizeof *d);
    d->w = w;
    device_store(d);
    OK(kluis_key_generate(&d->pki.device.key, &err));
    OK(kluis_key_generate(&d->login, &err));
    OK(kluis_identity_new(&d->identity, &err));
}

void device_request(struct device *d, const uint8_t secret[16], struct kluis_buf *request)
{
    struct kluis_err err = { 0 };
    struct kluis_code_keys keys;
    OK(kluis_code_derive(secret, &keys, &err));
    make_request(d, &keys, request);
}

void device_reply(struct device *d, const uint8_t secret[16], const struct kluis_buf *request, char refusal[16])
{
    char path[96], ticket[64];
    struct gate_reply r;
    struct kluis_err err = { 0 };
    struct kluis_code_keys keys;
    OK(kluis_code_derive(secret, &keys, &err));
    refusal[0] = 0;
    struct gate_client *c = gate_client_new(d->w->address, kluis_buf_bytes(&d->w->root_der), NULL, NULL);
    gate_client_ask(c, "POST", "/v1/enrol", kluis_buf_bytes(request), NULL, &r);
    assert_int_equal(r.status, 202);
    assert_true(r.body.len >= 32 && r.body.len < sizeof ticket);
    memcpy(ticket, r.body.data, 32);
    ticket[32] = 0;
    gate_reply_free(&r);
    (void)snprintf(path, sizeof path, "/v1/enrol/%s?wait=20", ticket);
    gate_client_ask(c, "GET", path, (struct kluis_bytes){ NULL, 0 }, NULL, &r);
    assert_int_equal(r.status, 200);
    take_reply(d, &keys, request, kluis_buf_bytes(&r.body), refusal);
    gate_reply_free(&r);
    gate_client_free(c);
    gate_client_free(d->client);
    d->client = gate_client_new(d->w->address, kluis_buf_bytes(&d->w->root_der), d->id, d->login);
}

void device_enrol(struct device *d, struct world *w, const char *official, char refusal[16])
{
    struct kluis_err err = { 0 };
    uint8_t secret[16];
    struct kluis_code_keys keys;
    KLUIS_AUTO_BUF(request, 16 << 10);
    device_new(d, w);
    kluis_random(secret, sizeof secret);
    OK(kluis_code_derive(secret, &keys, &err));
    if (official != NULL) {
        vault_register_lock(w->vault);
        OK(reg_code_add(vault_register(w->vault), official, keys.id, secret, kluis_now_us() + 3600000000LL, &err));
        vault_register_unlock(w->vault);
    }
    device_request(d, secret, &request);
    device_reply(d, secret, &request, refusal);
    /* The same request twice: the second stands for a lost answer. */
    if (refusal[0] == 0) { device_reply(d, secret, &request, refusal); }
}

void device_session(struct device *d)
{
    struct kluis_err err = { 0 };
    struct gate_reply r;
    struct kluis_bundle b;
    struct kluis_seal_verdict v;
    gate_client_ask(d->client, "GET", "/v1/bundle", (struct kluis_bytes){ NULL, 0 }, NULL, &r);
    assert_int_equal(r.status, 200);
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
    assert_true(kluis_wire_is(&w, "chatkluis-bundle-v1"));
    struct kluis_bytes bundle = kluis_wire_get(&w, 4096), seal = kluis_wire_get(&w, KLUIS_P7S_MAX);
    uint32_t one = kluis_wire_get_u32(&w);
    struct kluis_bytes key = kluis_wire_get(&w, 33);
    OK(kluis_wire_end(&w, "bundle", &err));
    OK(kluis_bundle_read(bundle, &b, &err));
    OK(kluis_seal_judge(seal, bundle, d->w->trust.seal_cas, d->w->trust.n_seal_cas, NULL, 0, kluis_now_us(), &v, &err));
    assert_int_equal(v.signature, KLUIS_VALID);
    assert_memory_equal(b.identity, d->vault_identity, 33);
    assert_true(one != 0 && key.len == 33);
    b.has_prekey = true;
    b.prekey.id = one;
    memcpy(b.prekey.public_key, key.ptr, 33);
    gate_reply_free(&r);
    kluis_session_free(d->session);
    d->session = NULL;
    OK(kluis_session_open(&d->session, &d->store, &d->identity, "vault", d->vault_identity, &err));
    OK(kluis_session_start(d->session, &b, &err));
}

void device_close(struct device *d)
{
    kluis_session_free(d->session);
    gate_client_free(d->client);
    kluis_key_free(d->pki.device.key);
    kluis_key_free(d->login);
    kluis_buf_free(&d->pki.device.cert);
    kluis_buf_free(&d->pki.device_ca.cert);
    for (size_t i = 0; i < d->rows; i++) { kluis_buf_free(&d->row[i].value); }
}

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return kluis_buf_ok(ctx, err);
}

void device_number(struct device *d, struct sealed_options *o)
{
    d->sequence++;
    o->device = o->device == NULL ? d->id : o->device;
    o->sequence = d->sequence;
    o->previous = d->previous;
    o->salt = o->salt != 0 ? o->salt : (uint8_t)d->sequence;
}

/* del: what a delivery or a return says beside this package's own. */
static void wrap(struct device *d, struct sending *s, struct sealed sealed, struct kluis_delivery *del)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(plain, 4096);
    memset(s, 0, sizeof *s);
    s->s = sealed;
    kluis_random(s->key, 32);
    kluis_random(s->upload, 16);
    kluis_random(s->message, 16);
    kluis_buf_init(&s->cipher, 64 << 20);
    kluis_buf_init(&s->body, 64 << 10);
    struct kluis_input_fd from = { .fd = s->s.fd, .what = "package" };
    const struct kluis_input in = kluis_input_from_fd(&from);
    const struct kluis_output to = { &s->cipher, to_buf };
    OK(kluis_content_encrypt(s->key, &in, s->s.size, &to, del->cipher_sha256, &err));
    memcpy(del->package, s->s.id, 32);
    memcpy(del->key, s->key, 32);
    del->length = s->s.size;
    memcpy(del->upload, s->upload, 16);
    OK(kluis_delivery_write(del, &plain, &err));
    OK(kluis_session_encrypt(d->session, kluis_buf_bytes(&plain), &s->body, &err));
}

void device_wrap(struct device *d, struct sending *s, struct sealed sealed)
{
    struct kluis_delivery del = { .sequence = d->sequence };
    memcpy(del.previous, d->previous, 32);
    wrap(d, s, sealed, &del);
    memcpy(d->previous, s->s.id, 32);
}

void device_return(struct device *d, struct sending *s, struct sealed sealed, const char *maker, uint64_t sequence, const uint8_t previous[32])
{
    struct kluis_delivery del = { .sequence = sequence, .leaf = KLUIS_STR_LIT(""), .proof = KLUIS_STR_LIT("") };
    memcpy(del.previous, previous, 32);
    (void)snprintf(del.device, sizeof del.device, "%s", maker);
    wrap(d, s, sealed, &del);
}

void device_pack(struct device *d, struct sending *s, const struct sealed_options *o)
{
    struct sealed_options mine = *o;
    device_number(d, &mine);
    device_wrap(d, s, sealed_package(&d->pki, &mine));
}

long device_send(struct device *d, struct sending *s)
{
    char upload[33], message[33], path[160];
    kluis_hex(s->upload, 16, upload);
    kluis_hex(s->message, 16, message);
    (void)snprintf(path, sizeof path, "/v1/upload/%s?offset=0&length=%zu", upload, s->cipher.len);
    long status = gate_client_status(d->client, "PUT", path, kluis_buf_bytes(&s->cipher));
    if (status != 204 && status != 409) { return status; }
    (void)snprintf(path, sizeof path, "/v1/message/%s?upload=%s", message, upload);
    return gate_client_status(d->client, "POST", path, kluis_buf_bytes(&s->body));
}

void sending_close(struct sending *s)
{
    kluis_close_quiet(&s->s.fd);
    kluis_buf_free(&s->cipher);
    kluis_buf_free(&s->body);
}

bool device_any_answer(struct device *d, int seconds, struct kluis_answer *out, struct kluis_buf *body)
{
    struct kluis_err err = { 0 };
    char path[96], hex[33];
    struct gate_reply r;
    uint8_t id[16];
    uint32_t used;
    bool got = false;
    (void)snprintf(path, sizeof path, "/v1/inbox?wait=%d", seconds);
    gate_client_ask(d->client, "GET", path, (struct kluis_bytes){ NULL, 0 }, NULL, &r);
    assert_true(r.status == 200 || r.status == 204);
    if (r.status == 200) {
        struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&r.body));
        assert_true(kluis_wire_is(&w, "chatkluis-inbox-v1"));
        assert_true(kluis_wire_fixed(&w, id, 16));
        struct kluis_bytes message = kluis_wire_get(&w, 1 << 20);
        KLUIS_AUTO_BUF(plain, 1 << 20);
        kluis_status rc = kluis_session_decrypt(d->session, message, &plain, &used, &err);
        if (rc == KLUIS_OK) {
            OK(kluis_answer_read(kluis_buf_bytes(&plain), out, &err));
            kluis_buf_clear(body);
            kluis_buf_add(body, out->body.ptr, out->body.len);
            got = true;
        } else {
            assert_int_equal(rc, KLUIS_E_EXISTS); /* the same answer once more: harmless */
        }
        kluis_hex(id, 16, hex);
        (void)snprintf(path, sizeof path, "/v1/inbox/%s", hex);
        assert_int_equal(gate_client_status(d->client, "DELETE", path, (struct kluis_bytes){ NULL, 0 }), 204);
    }
    gate_reply_free(&r);
    return got;
}

uint32_t device_answer(struct device *d, const uint8_t package[32], int seconds, struct kluis_buf *body)
{
    seconds *= world_patience();
    int64_t until = kluis_monotonic_us() + (int64_t)seconds * 1000000;
    while (kluis_monotonic_us() < until) {
        struct kluis_answer a;
        if (device_any_answer(d, 2, &a, body) && memcmp(a.package, package, 32) == 0) { return a.kind; }
        const char *why = d->w->vault == NULL ? NULL : vault_halted(d->w->vault);
        if (why != NULL) { print_error("%s\n", why); }
        assert_null(why);
    }
    fail_msg("no answer within %d s", seconds);
    return 0;
}
