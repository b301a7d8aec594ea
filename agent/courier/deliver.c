/* agent/courier/deliver.c - waiting packages go up: ciphertext in chunks, then the message that opens it.  docs/PROTOCOL.md §4, §5.
 *
 * Upload id, ciphertext and message were made once and are on disk before their first byte leaves: a second attempt sends the same. */
#include "agent/courier/internal.h"

#include <errno.h>
#include <fcntl.h>

enum { CHUNK = 2 << 20, CHUNK_S = 300, MESSAGE_MAX = 65536, STAMP_S = 5, STAMP_PAUSE_S = 60, HANDS_MAX = 3 };

/* ---- opening ---- */

static kluis_status load_identity(struct courier *c, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(box, 512);
    KLUIS_AUTO_BUF(plain, 512);
    kluis_status rc = home_bytes(c->h, "identity", &box, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "'%s' is not enrolled: run 'chatkluis-agent enrol'", c->h->dir); }
    if (rc == KLUIS_OK) { rc = home_unbox(c->h, "identity", kluis_buf_bytes(&box), &plain, err); }
    if (rc == KLUIS_OK && plain.len != sizeof *c->me) {
        rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the session key of '%s' is damaged: enrol again", c->h->dir);
    }
    if (rc == KLUIS_OK && (c->me = kluis_secret_new(sizeof *c->me)) == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for keys"); }
    if (rc == KLUIS_OK) { memcpy(c->me, plain.data, sizeof *c->me); }
    if (plain.data != NULL) { kluis_wipe(plain.data, plain.cap); }
    return rc;
}

static kluis_status load_login(struct courier *c, struct kluis_err *err)
{
    char name[HOME_KEY_NAME];
    KLUIS_AUTO_BUF(pem, 8192);
    home_key_name("login", c->device, name);
    kluis_status rc = keystore_get(c->h->dir, name, &pem, err);
    if (rc == KLUIS_OK) { rc = kluis_key_from_pem(kluis_buf_bytes(&pem), &c->login, err); }
    if (pem.data != NULL) { kluis_wipe(pem.data, pem.cap); }
    return rc;
}

kluis_status courier_open(struct courier **out, struct home *h, const struct kluis_trust *trust, struct kluis_bytes device_cert,
                          struct kluis_err *err)
{
    char server[HTTP_HOST_MAX + 16];
    *out = NULL;
    struct courier *c = kluis_calloc(1, sizeof *c);
    if (c == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    c->h = h;
    c->trust = trust;
    kluis_buf_init(&c->root, KLUIS_CERT_MAX);
    kluis_sha256_of(device_cert.ptr, device_cert.len, c->device_cert_sha);
    kluis_status rc = load_identity(c, err);
    if (rc == KLUIS_OK) { rc = home_text(h, "device", c->device, sizeof c->device, err); }
    if (rc == KLUIS_OK) { rc = home_text(h, "server", server, sizeof server, err); }
    if (rc == KLUIS_OK) { rc = courier_fixed(h, "vault-identity", c->vault_identity, sizeof c->vault_identity, err); }
    if (rc == KLUIS_OK) { rc = load_login(c, err); }
    if (rc == KLUIS_OK) { rc = home_bytes(h, "certificate/root", &c->root, err); }
    if (rc == KLUIS_OK) {
        struct http_setup setup = { .server = server, .root = kluis_buf_bytes(&c->root), .device = c->device, .login = c->login };
        rc = http_new(&c->http, &setup, err);
    }
    c->store = courier_store(h);
    if (rc == KLUIS_OK) { rc = kluis_session_open(&c->session, &c->store, c->me, "vault", c->vault_identity, err); }
    if (rc != KLUIS_OK) {
        courier_free(c);
        return rc;
    }
    *out = c;
    return KLUIS_OK;
}

void courier_free(struct courier *c)
{
    if (c == NULL) { return; }
    kluis_session_free(c->session);
    http_free(c->http);
    kluis_key_free(c->login);
    kluis_secret_free(c->me, sizeof *c->me);
    kluis_buf_free(&c->root);
    kluis_free(c);
}

int64_t courier_retry_after(const struct courier *c) { return c->retry_after_s; }

kluis_status courier_time_stamp(void *ctx, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err)
{
    struct courier *c = ctx;
    if (kluis_monotonic_us() < c->no_stamp_before_us) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "no time-stamp: the gate did not answer a moment ago"); }
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, KLUIS_TOKEN_MAX);
    kluis_status rc = http_request(c->http, "POST", "/v1/timestamp", request, true, STAMP_S, &a, err);
    if (rc == KLUIS_OK && a.status != 200) { rc = http_refusal(&a, "no time-stamp", err); }
    if (rc == KLUIS_OK) {
        kluis_buf_add(response, a.body.data, a.body.len);
        rc = kluis_buf_ok(response, err);
    }
    if (rc != KLUIS_OK) { c->no_stamp_before_us = kluis_monotonic_us() + (int64_t)STAMP_PAUSE_S * 1000000; }
    kluis_buf_free(&a.body);
    return rc;
}

/* ---- upload ---- */

/* Where the gate stands: 0 when it knows nothing of this upload. */
static kluis_status ask_offset(struct courier *c, const char *id, uint64_t *offset, struct kluis_err *err)
{
    char path[96];
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    (void)snprintf(path, sizeof path, "/v1/upload/%s", id);
    kluis_status rc = http_request(c->http, "GET", path, (struct kluis_bytes){ NULL, 0 }, true, 60, &a, err);
    c->retry_after_s = a.retry_after_s;
    *offset = 0;
    if (rc == KLUIS_OK && a.status == 200 && a.has_offset) {
        *offset = a.offset;
    } else if (rc == KLUIS_OK && a.status != 404) {
        rc = http_refusal(&a, "the upload cannot go on", err);
    }
    kluis_buf_free(&a.body);
    return rc;
}

static kluis_status put_chunk(struct courier *c, const char *id, uint64_t *offset, uint64_t length, struct kluis_bytes chunk, struct kluis_err *err)
{
    char path[160];
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    (void)snprintf(path, sizeof path, "/v1/upload/%s?offset=%llu&length=%llu", id, (unsigned long long)*offset, (unsigned long long)length);
    kluis_status rc = http_request(c->http, "PUT", path, chunk, true, CHUNK_S, &a, err);
    c->retry_after_s = a.retry_after_s;
    if (rc == KLUIS_OK && a.has_offset && (a.status == 204 || a.status == 200 || a.status == 201 || a.status == 409)) {
        if (a.offset > length || (a.status != 409 && a.offset != *offset + chunk.len)) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate counts other bytes than were sent: tell your administrator");
        }
        *offset = a.offset;
    } else if (rc == KLUIS_OK && a.status == 204) {
        *offset += chunk.len;
    } else if (rc == KLUIS_OK) {
        rc = http_refusal(&a, "the upload was not taken", err);
    }
    kluis_buf_free(&a.body);
    return rc;
}

static bool stopped(const struct courier_watch *w) { return w != NULL && w->stop != NULL && *w->stop != 0; }

static kluis_status upload(struct courier *c, const struct stock_package *p, const struct courier_watch *w, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], id[33];
    uint64_t offset = 0;
    int same = 0;
    courier_hex16(p->upload, id);
    KLUIS_TRY(stock_file(c->h, p->id, path, err));
    KLUIS_TRY(ask_offset(c, id, &offset, err));
    if (offset > p->cipher_length) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the gate holds more of an upload than there is: tell your administrator");
    }
    int fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_CORRUPT : KLUIS_E_IO, "cannot read the package '%s'", path); }
    uint8_t *chunk = kluis_malloc(CHUNK);
    kluis_status rc = chunk == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to upload") : KLUIS_OK;
    while (rc == KLUIS_OK && offset < p->cipher_length && !stopped(w)) {
        uint64_t left = p->cipher_length - offset, before = offset;
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        rc = kluis_pread_all(fd, chunk, n, offset, path, err);
        if (rc == KLUIS_OK) { rc = put_chunk(c, id, &offset, p->cipher_length, (struct kluis_bytes){ chunk, n }, err); }
        if (rc == KLUIS_OK && offset <= before && ++same > 3) {
            rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate does not get on with an upload: it is tried again later");
        }
        if (rc == KLUIS_OK && offset > before && w != NULL && w->sent != NULL) { w->sent(w->ctx, offset - before, 0); }
    }
    kluis_free(chunk);
    kluis_close_quiet(&fd);
    if (rc == KLUIS_OK && offset < p->cipher_length) { return KLUIS_END; } /* stopped */
    return rc;
}

/* ---- message ---- */

static kluis_status stored_message(struct courier *c, const uint8_t package[32], uint8_t id[16], struct kluis_buf *body, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(c->h->db, &st, err, "SELECT message,body FROM outbox WHERE package=?1", "h", package));
    kluis_status rc = kluis_db_step(c->h->db, st, err);
    if (rc == KLUIS_OK) {
        struct kluis_bytes b = kluis_db_blob(st, 1);
        if (!kluis_db_fixed(st, 0, id, 16)) { rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a message in agent.db is damaged: restore the home folder"); }
        kluis_buf_add(body, b.ptr, b.len);
        if (rc == KLUIS_OK) { rc = kluis_buf_ok(body, err); }
    }
    kluis_db_done(st);
    return rc;
}

/* Of a package of an earlier enrolment: whose it is, and what its receipt says of the vault's log.  One that is too long for a message is left out:
 * the vault may still know the package by its own log. */
static kluis_status add_return(struct courier *c, const struct stock_package *p, struct kluis_arena *arena, struct kluis_delivery *d,
                               struct kluis_err *err)
{
    struct kluis_receipt r;
    KLUIS_AUTO_BUF(body, KLUIS_RECEIPT_MAX);
    if (strcmp(p->device, c->device) == 0) { return KLUIS_OK; }
    if (strlen(p->device) >= sizeof d->device) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a package's row in agent.db is damaged: restore the home folder");
    }
    memcpy(d->device, p->device, strlen(p->device));
    kluis_status rc = stock_receipt(c->h, p->id, &body, err);
    if (rc == KLUIS_END) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_receipt_read((struct kluis_str){ (const char *)body.data, body.len }, arena, &r, err));
    if (r.leaf.len > KLUIS_RETURN_LEAF_MAX || r.proof.len > KLUIS_RETURN_PROOF_MAX) { return KLUIS_OK; }
    d->leaf = r.leaf;
    d->proof = r.proof;
    return KLUIS_OK;
}

/* Session state and message in one transaction: the ratchet never moves without the bytes it moved for. */
static kluis_status make_message(struct courier *c, const struct stock_package *p, uint8_t id[16], struct kluis_buf *body, struct kluis_err *err)
{
    struct kluis_delivery d = { .sequence = p->sequence, .length = p->length };
    KLUIS_AUTO_BUF(plain, MESSAGE_MAX);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 * (size_t)KLUIS_RECEIPT_MAX);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to make a message"); }
    KLUIS_TRY(add_return(c, p, arena, &d, err));
    memcpy(d.package, p->id, sizeof d.package);
    memcpy(d.previous, p->previous, sizeof d.previous);
    memcpy(d.cipher_sha256, p->cipher, sizeof d.cipher_sha256);
    memcpy(d.upload, p->upload, sizeof d.upload);
    kluis_random(id, 16);
    kluis_status rc = stock_key(c->h, p->id, d.key, err);
    if (rc == KLUIS_OK) { rc = kluis_delivery_write(&d, &plain, err); }
    kluis_wipe(d.key, sizeof d.key);
    if (rc == KLUIS_OK) { rc = kluis_db_begin(c->h->db, err); }
    if (rc == KLUIS_OK) {
        rc = kluis_session_encrypt(c->session, kluis_buf_bytes(&plain), body, err);
        if (rc == KLUIS_OK) {
            rc = kluis_db_run(c->h->db, NULL, err, "INSERT INTO outbox(message,package,body) VALUES(?1,?2,?3)", "bhb", (struct kluis_bytes){ id, 16 },
                              p->id, kluis_buf_bytes(body));
        }
        if (rc == KLUIS_OK) {
            rc = kluis_db_commit(c->h->db, "agent.message.made", err);
        } else {
            kluis_db_rollback(c->h->db);
        }
    }
    if (plain.data != NULL) { kluis_wipe(plain.data, plain.cap); }
    return rc;
}

kluis_status courier_message(struct courier *c, const struct stock_package *p, uint8_t id[16], struct kluis_buf *body, struct kluis_err *err)
{
    kluis_status rc = stored_message(c, p->id, id, body, err);
    return rc == KLUIS_END ? make_message(c, p, id, body, err) : rc;
}

/* *gone: the gate no longer has the upload whole, or never had. */
static kluis_status post_message(struct courier *c, const struct stock_package *p, bool *gone, struct kluis_err *err)
{
    uint8_t id[16];
    char path[160], message[33], up[33];
    KLUIS_AUTO_BUF(body, MESSAGE_MAX);
    KLUIS_TRY(courier_message(c, p, id, &body, err));
    courier_hex16(id, message);
    courier_hex16(p->upload, up);
    (void)snprintf(path, sizeof path, "/v1/message/%s?upload=%s", message, up);
    struct http_answer a = { 0 };
    kluis_buf_init(&a.body, 4096);
    kluis_status rc = http_request(c->http, "POST", path, kluis_buf_bytes(&body), true, 60, &a, err);
    c->retry_after_s = a.retry_after_s;
    *gone = rc == KLUIS_OK && a.status == 409;
    if (rc == KLUIS_OK && a.status != 202 && a.status != 200) { rc = http_refusal(&a, "the message of a package was not taken", err); }
    kluis_buf_free(&a.body);
    KLUIS_TRY(rc);
    KLUIS_TRY(kluis_db_run(c->h->db, NULL, err, "UPDATE package SET state=2, handed=?2 WHERE id=?1 AND state=1", "hi", p->id, kluis_now_us()));
    kluis_durable_step("agent.package.handed");
    return KLUIS_OK;
}

/* KLUIS_END: stopped.  Between the question where an upload stands and its message, the vault may have taken both, which an earlier attempt had
 * brought: then the gate has forgotten them, and both are sent anew. */
static kluis_status hand_over(struct courier *c, const struct stock_package *p, const struct courier_watch *w, struct kluis_err *err)
{
    for (int tries = 1;; tries++) {
        bool gone = false;
        KLUIS_TRY(upload(c, p, w, err));
        kluis_status rc = post_message(c, p, &gone, err);
        if (!gone || tries == HANDS_MAX) { return rc; }
        kluis_err_clear(err);
    }
}

/* The next to go up: this device's own in order of number, then what the vault asked back of earlier enrolments.  KLUIS_END. */
static kluis_status next_up(struct courier *c, uint64_t *number, uint8_t back[32], struct stock_package *p, struct kluis_err *err)
{
    kluis_status rc = stock_next(c->h, c->device, STOCK_WAITING, *number, p, err);
    if (rc == KLUIS_OK) {
        *number = p->sequence;
    } else if (rc == KLUIS_END && (rc = stock_next_return(c->h, c->device, back, p, err)) == KLUIS_OK) {
        memcpy(back, p->id, sizeof p->id);
    }
    return rc;
}

static kluis_status deliver(struct courier *c, const struct courier_watch *w, struct courier_counts *counts, struct kluis_err *err)
{
    struct stock_package p;
    uint64_t number = 0;
    uint8_t back[32] = { 0 };
    c->retry_after_s = 0;
    int64_t standing = STANDING_GOOD;
    KLUIS_TRY(home_int(c->h, "suspended", STANDING_GOOD, &standing, err));
    if (standing == STANDING_SUSPENDED) {
        counts->suspended = true;
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the vault has suspended this device: ask your administrator for a new code and enrol again");
    }
    KLUIS_TRY(courier_ensure_session(c, err));
    KLUIS_TRY(courier_tell_holdings(c, counts, err));
    for (;;) {
        kluis_status rc = next_up(c, &number, back, &p, err);
        if (rc == KLUIS_END || stopped(w)) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        rc = hand_over(c, &p, w, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        counts->handed++;
        if (w != NULL && w->sent != NULL) { w->sent(w->ctx, 0, 1); }
    }
}

kluis_status courier_deliver(struct courier *c, const struct courier_watch *w, struct courier_counts *counts, struct kluis_err *err)
{
    uint64_t before = counts->handed;
    kluis_status rc = deliver(c, w, counts, err);
    /* Nothing to hand over says nothing about this device's standing. */
    return rc == KLUIS_OK && counts->handed == before ? rc : courier_standing(c, rc, err);
}
