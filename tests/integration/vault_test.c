/* Promises of the vault as a whole: enrolled, delivered, receipted, found, checked; and what a stop at any step leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/integration/vault_world.h"

#define NONE ((struct kluis_bytes){ NULL, 0 })

static struct world w;

static int setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static void receipt_holds(const struct device *d, const struct sealed *s, const struct kluis_buf *body, bool stamped)
{
    struct kluis_err err = { 0 };
    struct kluis_receipt r;
    enum kluis_layer layer;
    uint8_t cert[32];
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    assert_int_equal(kluis_receipt_read((struct kluis_str){ (const char *)body->data, body->len }, arena, &r, &err), KLUIS_OK);
    assert_int_equal(r.stamped, stamped);
    kluis_sha256_of(d->pki.device.cert.data, d->pki.device.cert.len, cert);
    kluis_status rc = kluis_receipt_check(&r, &w.trust, s->id, s->root, cert, kluis_now_us(), NULL, &layer, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    /* The control: a receipt of another package is refused. */
    uint8_t other[32];
    memcpy(other, s->id, 32);
    other[3] ^= 1;
    kluis_err_clear(&err);
    assert_int_equal(kluis_receipt_check(&r, &w.trust, other, s->root, cert, kluis_now_us(), NULL, &layer, &err), KLUIS_E_REJECT);
}

static kluis_status count_hit(void *ctx, const struct index_hit *h, struct kluis_err *err)
{
    (void)h;
    (void)err;
    ++*(int *)ctx;
    return KLUIS_OK;
}

static int hits(const char *words)
{
    struct kluis_err err = { 0 };
    int n = 0;
    const struct index_query q = { .text = kluis_str_of(words), .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 100 };
    const struct index_sink sink = { &n, count_hit };
    struct index_result r;
    struct index *ix = vault_index_hold(w.vault);
    kluis_status rc = index_search(ix, &q, &sink, &r, &err);
    vault_index_release(w.vault);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    return n;
}

/* Packs, sends, and has the receipt; body: its. */
static void device_hands_over(struct device *d, struct sending *s, const struct sealed_options *o, struct kluis_buf *body)
{
    device_pack(d, s, o);
    assert_int_equal(device_send(d, s), 202);
    assert_int_equal(device_answer(d, s->s.id, 20, body), KLUIS_ANSWER_RECEIPT);
}

static void a_package_is_delivered_receipted_found_and_checked(void **state)
{
    (void)state;
    struct device d;
    struct sending s;
    char refusal[16];
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    assert_string_equal(refusal, "");
    device_session(&d);
    for (int i = 0; i < 3; i++) {
        device_hands_over(&d, &s, &(struct sealed_options){ .records = 5 }, &body);
        receipt_holds(&d, &s.s, &body, true);
        sending_close(&s);
    }
    assert_int_equal(world_number(&w, "\"packages\":"), 3);
    assert_int_equal(world_number(&w, "\"records\":"), 15);
    assert_int_equal(world_number(&w, "\"ledger\":{\"size\":"), 3);
    world_until_indexed(&w, 3);
    assert_true(hits("dijk") > 0);
    assert_int_equal(hits("onvindbaarwoord"), 0);
    world_check(&w, true);
    device_close(&d);
}

static void unknown_codes_are_refused(void **state)
{
    (void)state;
    struct device d;
    char refusal[16];
    device_enrol(&d, &w, NULL, refusal);
    assert_string_equal(refusal, "unknown");
    device_close(&d);
}

static void the_same_message_and_the_same_package_again_change_nothing_and_are_answered_alike(void **state)
{
    (void)state;
    struct device d;
    struct sending s;
    char refusal[16];
    uint64_t before = world_number(&w, "\"packages\":");
    KLUIS_AUTO_BUF(first, 1 << 20);
    KLUIS_AUTO_BUF(again, 1 << 20);
    KLUIS_AUTO_BUF(plain, 4096);
    struct kluis_err err = { 0 };
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    device_pack(&d, &s, &(struct sealed_options){ .records = 3 });
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 20, &first), KLUIS_ANSWER_RECEIPT);
    /* A new session, as after a loss on the device's side, and the same package in it. */
    device_session(&d);
    struct kluis_delivery del;
    memset(&del, 0, sizeof del);
    memcpy(del.package, s.s.id, 32);
    del.sequence = d.sequence;
    memcpy(del.key, s.key, 32);
    del.length = s.s.size;
    kluis_sha256_of(s.cipher.data, s.cipher.len, del.cipher_sha256);
    kluis_random(s.upload, 16);
    kluis_random(s.message, 16);
    memcpy(del.upload, s.upload, 16);
    assert_int_equal(kluis_delivery_write(&del, &plain, &err), KLUIS_OK);
    kluis_buf_clear(&s.body);
    assert_int_equal(kluis_session_encrypt(d.session, kluis_buf_bytes(&plain), &s.body, &err), KLUIS_OK);
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 20, &again), KLUIS_ANSWER_RECEIPT);
    assert_int_equal(again.len, first.len);
    assert_memory_equal(again.data, first.data, first.len);
    assert_int_equal(world_number(&w, "\"packages\":"), before + 1);
    sending_close(&s);
    device_close(&d);
}

/* Posts bytes that were sent before under another message id, as a gate could. */
static long replay(struct device *d, const struct sending *s, const uint8_t *upload)
{
    char path[160], message[33], up[33];
    uint8_t id[16];
    struct gate_reply r;
    kluis_random(id, sizeof id);
    kluis_hex(id, 16, message);
    kluis_hex(upload, 16, up);
    (void)snprintf(path, sizeof path, "/v1/upload/%s?offset=0&length=%zu", up, s->cipher.len);
    gate_client_ask(d->client, "PUT", path, kluis_buf_bytes(&s->cipher), NULL, &r);
    gate_reply_free(&r);
    (void)snprintf(path, sizeof path, "/v1/message/%s?upload=%s", message, up);
    gate_client_ask(d->client, "POST", path, kluis_buf_bytes(&s->body), NULL, &r);
    long status = r.status;
    gate_reply_free(&r);
    return status;
}

static void deliver_as(struct device *d, struct sending *s, uint64_t sequence, const uint8_t package[32])
{
    struct kluis_delivery del;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(plain, 4096);
    memset(&del, 0, sizeof del);
    memcpy(del.package, package, 32);
    del.sequence = sequence;
    if (sequence > 1) { memcpy(del.previous, d->previous, 32); }
    memcpy(del.key, s->key, 32);
    del.length = s->s.size;
    kluis_sha256_of(s->cipher.data, s->cipher.len, del.cipher_sha256);
    kluis_random(s->upload, 16);
    kluis_random(s->message, 16);
    memcpy(del.upload, s->upload, 16);
    assert_int_equal(kluis_delivery_write(&del, &plain, &err), KLUIS_OK);
    kluis_buf_clear(&s->body);
    assert_int_equal(kluis_session_encrypt(d->session, kluis_buf_bytes(&plain), &s->body, &err), KLUIS_OK);
    assert_int_equal(device_send(d, s), 202);
}

/* Of a first message (it begins a session) and a later one, by whoever carries them. */
static void what_is_handed_over_again_opens_nothing_and_suspends_nobody(void **state)
{
    (void)state;
    struct device d, other;
    struct sending first, second, next;
    char refusal[16];
    KLUIS_AUTO_BUF(body, 1 << 20);
    uint8_t upload[16];
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    device_pack(&d, &first, &(struct sealed_options){ .records = 1 });
    assert_int_equal(device_send(&d, &first), 202);
    assert_int_equal(first.body.data[0], 2); /* a prekey message */
    assert_int_equal(device_answer(&d, first.s.id, 20, &body), KLUIS_ANSWER_RECEIPT);
    device_hands_over(&d, &second, &(struct sealed_options){ .records = 1 }, &body);
    uint64_t packages = world_number(&w, "\"packages\":"), refused = world_number(&w, "\"refused\":"), leaves = world_number(&w, "\"size\":");
    for (int i = 0; i < 3; i++) {
        kluis_random(upload, sizeof upload);
        assert_int_equal(replay(&d, i == 1 ? &second : &first, upload), 202);
        if (i == 1) { world_restart_vault(&w); } /* nor does it forget */
    }
    /* The same bytes in another device's name are not even its message. */
    device_enrol(&other, &w, "jansen", refusal);
    device_session(&other);
    kluis_random(upload, sizeof upload);
    assert_int_equal(replay(&other, &first, upload), 202);
    /* Both go on: what came in between was seen, and changed nothing. */
    device_hands_over(&d, &next, &(struct sealed_options){ .records = 1 }, &body);
    sending_close(&next);
    device_hands_over(&other, &next, &(struct sealed_options){ .records = 1 }, &body);
    sending_close(&next);
    assert_int_equal(world_number(&w, "\"packages\":"), packages + 2);
    assert_int_equal(world_number(&w, "\"refused\":"), refused);
    assert_int_equal(world_number(&w, "\"size\":"), leaves + 2);
    sending_close(&first);
    sending_close(&second);
    device_close(&d);
    device_close(&other);
}

/* Bytes that the vault has, under another id, another number, or another device's name: refused, and what is there stays. */
static void the_same_upload_under_another_name_is_refused(void **state)
{
    (void)state;
    struct device d, other;
    struct sending s, t;
    char refusal[16];
    uint8_t another[32];
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    device_hands_over(&d, &s, &(struct sealed_options){ .records = 2 }, &body);
    uint64_t packages = world_number(&w, "\"packages\":"), leaves = world_number(&w, "\"size\":");
    /* another package id */
    memcpy(another, s.s.id, 32);
    another[0] ^= 1;
    deliver_as(&d, &s, d.sequence + 1, another);
    assert_int_equal(device_answer(&d, another, 20, &body), KLUIS_ANSWER_REFUSAL);
    /* another number */
    deliver_as(&d, &s, d.sequence + 2, s.s.id);
    assert_int_equal(device_answer(&d, s.s.id, 20, &body), KLUIS_ANSWER_REFUSAL);
    assert_non_null(memmem(body.data, body.len, "under another number or by another device", 41));
    /* another device */
    device_enrol(&other, &w, "jansen", refusal);
    device_session(&other);
    deliver_as(&other, &s, 1, s.s.id);
    assert_int_equal(device_answer(&other, s.s.id, 20, &body), KLUIS_ANSWER_REFUSAL);
    assert_int_equal(world_number(&w, "\"packages\":"), packages);
    assert_int_equal(world_number(&w, "\"size\":"), leaves);
    world_check(&w, true);
    device_pack(&other, &t, &(struct sealed_options){ .records = 1 }); /* nobody was suspended for it */
    assert_int_equal(device_send(&other, &t), 202);
    assert_int_equal(device_answer(&other, t.s.id, 20, &body), KLUIS_ANSWER_RECEIPT);
    sending_close(&s);
    sending_close(&t);
    device_close(&d);
    device_close(&other);
}

static void a_bad_package_is_refused_with_its_layer_and_the_next_is_taken(void **state)
{
    (void)state;
    struct device d;
    struct sending s;
    char refusal[16];
    uint64_t refused = world_number(&w, "\"refused\":");
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    device_pack(&d, &s, &(struct sealed_options){ .sign_instead = { (const uint8_t *)"something else", 14 } });
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 20, &body), KLUIS_ANSWER_REFUSAL);
    struct kluis_wire wire = kluis_wire_open(kluis_buf_bytes(&body));
    assert_true(kluis_wire_is(&wire, "chatkluis-refusal-v1"));
    struct kluis_bytes text = kluis_wire_get(&wire, 4096), seal = kluis_wire_get(&wire, KLUIS_P7S_MAX);
    assert_int_equal(kluis_wire_end(&wire, "refusal", NULL), KLUIS_OK);
    assert_non_null(memmem(text.ptr, text.len, "\nlayer signature\n", 17));
    struct kluis_seal_verdict v;
    assert_int_equal(kluis_seal_judge(seal, text, w.trust.seal_cas, w.trust.n_seal_cas, NULL, 0, kluis_now_us(), &v, NULL), KLUIS_OK);
    assert_int_equal(v.signature, KLUIS_VALID);
    sending_close(&s);
    device_hands_over(&d, &s, &(struct sealed_options){ .records = 2 }, &body);
    assert_int_equal(world_number(&w, "\"refused\":"), refused + 1);
    sending_close(&s);
    device_close(&d);
}

static void other_content_under_a_used_number_suspends_the_device(void **state)
{
    (void)state;
    struct device d;
    struct sending s;
    char refusal[16];
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    device_hands_over(&d, &s, &(struct sealed_options){ .records = 2 }, &body);
    sending_close(&s);
    d.sequence = 0;
    memset(d.previous, 0, 32);
    device_pack(&d, &s, &(struct sealed_options){ .records = 2, .salt = 77 });
    assert_int_equal(device_send(&d, &s), 202);
    struct reg_device dev = { 0 };
    struct kluis_err err = { 0 };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    bool suspended = false;
    for (int i = 0; i < 100 * world_patience() && !suspended; i++) {
        kluis_sleep_us(50000);
        vault_register_lock(w.vault);
        assert_int_equal(reg_device_get(vault_register(w.vault), d.id, arena, &dev, &err), KLUIS_OK);
        vault_register_unlock(w.vault);
        suspended = dev.state == REG_DEVICE_SUSPENDED;
    }
    assert_true(suspended);
    /* Its certificate stands on the device CA's list from now on; what it signed before stays good. */
    char path[KLUIS_PATH_MAX];
    struct kluis_revocation_verdict r = { .state = KLUIS_UNCHECKED };
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    assert_true(dev.suspended_us > 0);
    assert_int_equal(kluis_path(path, sizeof path, w.home, "vault/device-ca.crl", &err), KLUIS_OK);
    for (int i = 0; i < 100 * world_patience() && r.state != KLUIS_REVOKED; i++) {
        kluis_sleep_us(50000);
        kluis_buf_clear(&crl);
        assert_int_equal(kluis_read_file(path, KLUIS_CRL_MAX, &crl, &err), KLUIS_OK);
        struct kluis_bytes list = kluis_buf_bytes(&crl);
        assert_int_equal(kluis_revocation_judge(dev.cert, w.trust.device_cas, w.trust.n_device_cas, &list, 1, dev.suspended_us, &r, &err), KLUIS_OK);
    }
    assert_int_equal(r.state, KLUIS_REVOKED);
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    assert_int_equal(kluis_revocation_judge(dev.cert, w.trust.device_cas, w.trust.n_device_cas, &list, 1, dev.suspended_us - 5000000, &r, &err),
                     KLUIS_OK);
    assert_int_equal(r.state, KLUIS_REVOKED_LATER);
    bool told = false;
    for (int i = 0; i < 100 * world_patience() && !told; i++) {
        kluis_sleep_us(50000);
        told = gate_client_status(d.client, "GET", "/v1/bundle", NONE) == 403 || gate_client_status(d.client, "GET", "/v1/bundle", NONE) == 401;
    }
    assert_true(told);
    sending_close(&s);
    device_close(&d);
}

static void what_was_sent_while_the_vault_was_down_is_taken_when_it_is_back(void **state)
{
    (void)state;
    struct device d;
    struct sending s[4];
    char refusal[16];
    uint64_t before = world_number(&w, "\"packages\":");
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    vault_stop(w.vault);
    for (int i = 0; i < 4; i++) {
        device_pack(&d, &s[i], &(struct sealed_options){ .records = 4 });
        assert_int_equal(device_send(&d, &s[i]), 202);
    }
    world_restart_vault(&w);
    /* Two openers work at once: answers come in any order. */
    unsigned answered = 0;
    for (int64_t until = kluis_monotonic_us() + 20000000; answered != 15 && kluis_monotonic_us() < until;) {
        struct kluis_answer a;
        if (!device_any_answer(&d, 2, &a, &body)) { continue; }
        assert_int_equal(a.kind, KLUIS_ANSWER_RECEIPT);
        for (int i = 0; i < 4; i++) {
            if (memcmp(a.package, s[i].s.id, 32) == 0) {
                receipt_holds(&d, &s[i].s, &body, true);
                answered |= 1u << i;
            }
        }
    }
    assert_int_equal(answered, 15);
    for (int i = 0; i < 4; i++) { sending_close(&s[i]); }
    assert_int_equal(world_number(&w, "\"packages\":"), before + 4);
    device_close(&d);
}

static void without_a_time_authority_receipts_are_pending_and_a_stamped_one_follows(void **state)
{
    (void)state;
    struct device d;
    struct sending s;
    char refusal[16], dir[128];
    struct kluis_err err = { 0 };
    uint16_t port = 0;
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    tsa_stop(w.tsa);
    device_pack(&d, &s, &(struct sealed_options){ .records = 2 });
    assert_int_equal(device_send(&d, &s), 202);
    assert_int_equal(device_answer(&d, s.s.id, 30, &body), KLUIS_ANSWER_RECEIPT);
    receipt_holds(&d, &s.s, &body, false);
    /* The authority comes back on another port; the gate is told by being started anew on its address. */
    (void)snprintf(dir, sizeof dir, "%s/tsa", w.home);
    assert_int_equal(tsa_start(&w.tsa, dir, false, &port, &err), KLUIS_OK);
    (void)snprintf(w.tsa_url, sizeof w.tsa_url, "http://127.0.0.1:%u/", (unsigned)port);
    world_stop_gate(&w);
    world_start_gate(&w);
    kluis_buf_clear(&body);
    assert_int_equal(device_answer(&d, s.s.id, 40, &body), KLUIS_ANSWER_RECEIPT);
    receipt_holds(&d, &s.s, &body, true);
    sending_close(&s);
    device_close(&d);
}

/* The text of `trouble` in the vault's status, "null" while nothing is tried again. */
static void trouble(char out[256])
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(json, 1 << 20);
    assert_int_equal(vault_status_json(w.vault, NULL, &json, &err), KLUIS_OK);
    kluis_buf_byte(&json, 0);
    const char *at = strstr((const char *)json.data, "\"trouble\":");
    assert_non_null(at);
    (void)snprintf(out, 256, "%.200s", at + strlen("\"trouble\":"));
}

static bool in_trouble(const char *with)
{
    char text[256];
    for (int i = 0; i < 600 * world_patience(); i++) {
        trouble(text);
        if (strncmp(text, with, strlen(with)) == 0) { return true; }
        kluis_sleep_us(100000);
    }
    print_error("trouble is %s\n", text);
    return false;
}

static void what_is_tried_again_stands_in_the_status_until_it_is_over(void **state)
{
    (void)state;
    assert_true(in_trouble("null"));
    world_stop_gate(&w);
    assert_true(in_trouble("\"intake: the gate does not answer"));
    assert_null(vault_halted(w.vault));
    world_start_gate(&w);
    assert_true(in_trouble("null"));
}

static void a_rebuilt_index_says_the_same(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t before[32], after[32];
    world_until_indexed(&w, world_number(&w, "\"packages\":"));
    int found = hits("dijk");
    assert_int_equal(index_groups_digest(vault_index_hold(w.vault), before, &err), KLUIS_OK);
    vault_index_release(w.vault);
    kluis_status rc = vault_rebuild_index(w.vault, NULL, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    assert_int_equal(index_groups_digest(vault_index_hold(w.vault), after, &err), KLUIS_OK);
    vault_index_release(w.vault);
    assert_memory_equal(before, after, 32);
    assert_int_equal(hits("dijk"), found);
    world_check(&w, false);
}

/* Damaged, or of another schema: index_open says E_CORRUPT of both. */
static void an_index_that_is_no_good_is_made_anew_at_the_start(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    uint8_t before[32], after[32];
    uint64_t packages = world_number(&w, "\"packages\":");
    world_until_indexed(&w, packages);
    int found = hits("dijk");
    assert_int_equal(index_groups_digest(vault_index_hold(w.vault), before, &err), KLUIS_OK);
    vault_index_release(w.vault);
    char keys[KLUIS_PATH_MAX];
    (void)snprintf(keys, sizeof keys, "%s/vault/index/keys", w.home);
    assert_int_equal(truncate(keys, 10), 0);
    world_restart_vault(&w);
    world_until_indexed(&w, packages);
    assert_int_equal(index_groups_digest(vault_index_hold(w.vault), after, &err), KLUIS_OK);
    vault_index_release(w.vault);
    assert_memory_equal(before, after, 32);
    assert_int_equal(hits("dijk"), found);
    world_check(&w, false);
}

static atomic_bool stuck;      /* the index stops after its next commit */
static _Atomic(int64_t) moved; /* when it last committed */
enum { STILL_US = 5000000 };   /* a receipt waits so long for an index that does not move (server/ingest/ingest_internal.h) */

static void stand_still(const char *step)
{
    if (strcmp(step, "vault.index.commit") == 0) { moved = kluis_monotonic_us(); }
    for (int i = 0; i < 3000 && strcmp(step, "vault.index.commit") == 0 && atomic_load(&stuck); i++) { kluis_sleep_us(10000); }
}

static uint64_t watermark(void)
{
    uint64_t mark = index_watermark(vault_index_hold(w.vault));
    vault_index_release(w.vault);
    return mark;
}

/* Receipts wait for the index, which follows in batches: at any speed a record can be found when its receipt is there, unless the index stood still.
 */
static void a_receipt_says_that_the_package_can_be_found(void **state)
{
    (void)state;
    enum { BURST = 24 };
    struct device d;
    static struct sending s[BURST];
    char refusal[16];
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    uint64_t before = world_number(&w, "\"packages\":");
    world_until_indexed(&w, before);
    moved = kluis_monotonic_us();
    for (int i = 0; i < BURST; i++) {
        device_pack(&d, &s[i], &(struct sealed_options){ .records = 200 });
        assert_int_equal(device_send(&d, &s[i]), 202);
    }
    for (uint64_t receipts = 1; receipts <= BURST; receipts++) { /* two workers: not always in the order sent */
        struct kluis_answer a;
        assert_true(device_any_answer(&d, 20, &a, &body));
        assert_int_equal(a.kind, KLUIS_ANSWER_RECEIPT);
        int64_t at = moved; /* before the watermark: who is late here excuses nothing */
        assert_true(watermark() >= before + receipts || kluis_monotonic_us() - at >= STILL_US);
    }
    for (int i = 0; i < BURST; i++) { sending_close(&s[i]); }
    device_close(&d);
}

/* An index that stands still holds receipts back for a while, never for good: what a receipt promises is the package. */
static void an_index_that_stands_still_delays_receipts_and_no_more(void **state)
{
    (void)state;
    struct device d;
    struct sending first, second;
    struct kluis_answer a;
    char refusal[16];
    KLUIS_AUTO_BUF(body, 1 << 20);
    device_enrol(&d, &w, "jansen", refusal);
    device_session(&d);
    uint64_t before = world_number(&w, "\"packages\":");
    world_until_indexed(&w, before);
    atomic_store(&stuck, true);
    device_pack(&d, &first, &(struct sealed_options){ .records = 3 }); /* its commit is where the index stops */
    assert_int_equal(device_send(&d, &first), 202);
    assert_int_equal(device_answer(&d, first.s.id, 20, &body), KLUIS_ANSWER_RECEIPT);
    device_pack(&d, &second, &(struct sealed_options){ .records = 3 });
    assert_int_equal(device_send(&d, &second), 202);
    assert_false(device_any_answer(&d, 2, &a, &body)); /* it is held back … */
    assert_int_equal(device_answer(&d, second.s.id, 15, &body), KLUIS_ANSWER_RECEIPT);
    assert_int_equal(watermark(), before + 1); /* … and comes though the index has not moved */
    receipt_holds(&d, &second.s, &body, true);
    atomic_store(&stuck, false);
    world_until_indexed(&w, before + 2);
    sending_close(&first);
    sending_close(&second);
    device_close(&d);
}

/* One stored byte changed: check must say so (and say nothing before). */
static void check_names_a_changed_ciphertext(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct vault_check_result r;
    char pattern[256];
    glob_t found;
    uint8_t byte = 0;
    world_check(&w, false);
    (void)snprintf(pattern, sizeof pattern, "%s/vault/storage/[0-9a-f]*/*.ckc", w.home);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    int fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    assert_int_equal(close(fd), 0);
    globfree(&found);
    assert_int_equal(vault_check(w.vault, false, NULL, &r, &err), KLUIS_E_CORRUPT);
    assert_int_equal(r.problems, 1);
    kluis_err_clear(&err);
    assert_int_equal(vault_check(w.vault, true, NULL, &r, &err), KLUIS_E_CORRUPT);
    assert_int_equal(r.problems, 2); /* and it no longer opens */
}

int main(void)
{
    static const struct kluis_hooks hooks = { .durable_step = stand_still };
    kluis_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_package_is_delivered_receipted_found_and_checked),
        cmocka_unit_test(unknown_codes_are_refused),
        cmocka_unit_test(the_same_message_and_the_same_package_again_change_nothing_and_are_answered_alike),
        cmocka_unit_test(what_is_handed_over_again_opens_nothing_and_suspends_nobody),
        cmocka_unit_test(the_same_upload_under_another_name_is_refused),
        cmocka_unit_test(a_bad_package_is_refused_with_its_layer_and_the_next_is_taken),
        cmocka_unit_test(other_content_under_a_used_number_suspends_the_device),
        cmocka_unit_test(what_was_sent_while_the_vault_was_down_is_taken_when_it_is_back),
        cmocka_unit_test(without_a_time_authority_receipts_are_pending_and_a_stamped_one_follows),
        cmocka_unit_test(what_is_tried_again_stands_in_the_status_until_it_is_over),
        cmocka_unit_test(a_receipt_says_that_the_package_can_be_found),
        cmocka_unit_test(an_index_that_stands_still_delays_receipts_and_no_more),
        cmocka_unit_test(a_rebuilt_index_says_the_same),
        cmocka_unit_test(an_index_that_is_no_good_is_made_anew_at_the_start),
        cmocka_unit_test(check_names_a_changed_ciphertext),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
