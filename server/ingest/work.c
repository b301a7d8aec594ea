/* server/ingest/work.c - a worker: one delivery at a time through opener and judge to a decision.
 *
 * What opener and judge claim is held against what the session and the register know: a child that lies can only refuse, or vouch
 * for content of the very device that sent it. */
#include "server/ingest/ingest_internal.h"

#include <unistd.h>

kluis_status ingest_statement(const struct vault_keys *k, const uint8_t package[32], const char *layer, const char *reason, int64_t now_us,
                              struct kluis_buf *out, struct kluis_err *err)
{
    char hex[65], when[KLUIS_TIME_TEXT];
    KLUIS_AUTO_BUF(text, 4096);
    KLUIS_AUTO_BUF(seal, KLUIS_P7S_MAX);
    kluis_hex(package, 32, hex);
    (void)kluis_time_text(when, now_us / 1000000 * 1000000, 0, 0);
    kluis_buf_fmt(&text, "chatkluis-refusal-v1\npackage %s\nlayer %s\nreason %s\ntime %s\n", hex, layer, reason, when);
    KLUIS_TRY(kluis_buf_ok(&text, err));
    KLUIS_TRY(kluis_seal_sign(k->seal, kluis_buf_bytes(&text), kluis_buf_bytes(&k->seal_cert), NULL, 0, now_us, &seal, err));
    kluis_wire_label(out, "chatkluis-refusal-v1");
    kluis_wire_field(out, text.data, text.len);
    kluis_wire_field(out, seal.data, seal.len);
    return kluis_buf_ok(out, err);
}

kluis_status open_stored(const struct ingest_config *c, const struct custody_delivery *d, struct kluis_buf *result, struct opened *out,
                         struct kluis_err *err)
{
    uint8_t key[32];
    int fd = -1;
    uint64_t size = 0;
    KLUIS_TRY(storage_fetch(c->storage, d->package, &fd, &size, err));
    kluis_status rc = size == d->cipher_length
                          ? storage_unwrap(c->keys->wrapping, d->package, d->wrapped, d->wrapped_len, key, err)
                          : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a stored package has another length than custody says; restore the store");
    if (rc == KLUIS_OK) {
        rc = opener_run(c->zygote, fd, key, result, out, err);
        kluis_wipe(key, sizeof key);
    }
    kluis_close_quiet(&fd);
    return rc;
}

static kluis_status refused(struct decided *o, const char *layer, const char *reason)
{
    o->accepted = false;
    (void)snprintf(o->layer, sizeof o->layer, "%s", layer);
    (void)snprintf(o->reason, sizeof o->reason, "%s", reason);
    return KLUIS_OK;
}

/* The opener's facts against the delivery, which came out of the device's own session. */
static const char *disagreement(const struct opened *f, const struct custody_delivery *d)
{
    if (memcmp(f->id, d->package, 32) != 0) { return "the package has another id than the delivery says"; }
    if (f->size != d->length) { return "the package has another length than the delivery says"; }
    if (f->sequence != d->sequence || memcmp(f->previous, d->previous, 32) != 0) {
        return "the package has another number or predecessor than the delivery says";
    }
    return strcmp(f->device, d->device) == 0 ? NULL : "the package names another device than the one that delivered it";
}

static kluis_status judge_signature(struct ingest *in, const struct opened *f, const uint8_t device_cert[32], struct decided *o,
                                    struct kluis_err *err)
{
    struct kluis_seal_verdict v;
    const struct kluis_trust *t = &in->c.keys->trust;
    kluis_status rc =
        judge_run(in->c.zygote, f->manifest, f->signature, t->device_cas, t->n_device_cas, t->tsa_cas, t->n_tsa_cas, kluis_now_us(), &v, err);
    if (rc == KLUIS_E_REJECT) { return refused(o, LAYER_JUDGE, v.reason); }
    KLUIS_TRY(rc);
    if (v.signature != KLUIS_VALID) { return refused(o, LAYER_SIGNATURE, v.reason[0] != 0 ? v.reason : "the device's signature is not valid"); }
    if (v.certificate != KLUIS_VALID) {
        return refused(o, LAYER_CERTIFICATE, v.reason[0] != 0 ? v.reason : "the device's certificate is not of this organisation");
    }
    /* Whatever opener and judge made of it: only the certificate of the device whose session brought the package counts. */
    if (memcmp(v.cert_sha256, device_cert, 32) != 0) {
        return refused(o, LAYER_CERTIFICATE, "the signature is another device's than the one that delivered it");
    }
    if (v.has_token && v.time == KLUIS_INVALID) { return refused(o, LAYER_TIME, v.reason[0] != 0 ? v.reason : "the time stamp is not valid"); }
    o->accepted = true;
    (void)snprintf(o->p.verdict, sizeof o->p.verdict, "%s", v.time == KLUIS_VALID ? "valid" : "indeterminate");
    return KLUIS_OK;
}

kluis_status ingest_decide(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    struct opened f;
    struct reg_device dev;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory"); }
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_device_get(in->c.reg, o->d.device, arena, &dev, err);
    pthread_mutex_unlock(in->c.reg_lock);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the register lacks device %s, which delivered a package; restore register.db", o->d.device);
    }
    KLUIS_TRY(rc);
    rc = open_stored(&in->c, &o->d, &o->result, &f, err);
    if (rc == KLUIS_E_REJECT) { return refused(o, f.layer, f.reason); }
    KLUIS_TRY(rc);
    const char *differs = disagreement(&f, &o->d);
    if (differs != NULL) { return refused(o, LAYER_DELIVERY, differs); }
    kluis_sha256_of(dev.cert.ptr, dev.cert.len, o->p.device_cert);
    (void)snprintf(o->p.official, sizeof o->p.official, "%s", dev.official);
    o->p.d = o->d;
    o->p.delivery = o->d.number;
    memcpy(o->p.records_root, f.records_root, 32);
    o->p.n_records = f.n_records;
    KLUIS_TRY(judge_signature(in, &f, o->p.device_cert, o, err));
    if (o->accepted) {
        /* The rows must be readable before the package is accepted: the index could not be built from it otherwise. */
        struct kluis_err why = { 0 };
        if (o->arena == NULL && (o->arena = kluis_arena_new(OPENER_TEXT_MAX + (64 << 20))) == NULL) {
            return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
        }
        kluis_arena_clear(o->arena);
        rc = index_package_read(f.index, o->arena, &o->rows, &why);
        if (rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT) { return refused(o, LAYER_OPENER, "the opener's rows are malformed"); }
        if (rc != KLUIS_OK) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        if (o->rows.n_rows != f.n_records) { return refused(o, LAYER_OPENER, "the opener's rows and counts differ"); }
    }
    return KLUIS_OK;
}

void decided_free(struct decided *o)
{
    if (o != NULL) {
        kluis_buf_free(&o->statement);
        kluis_buf_free(&o->result);
        kluis_arena_free(o->arena);
        kluis_free(o);
    }
}

/* The next delivery that nobody has, or NULL when stopping. */
static struct decided *next_delivery(struct ingest *in, struct kluis_err *err)
{
    struct decided *o = kluis_calloc(1, sizeof *o);
    if (o == NULL) {
        (void)KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
        return NULL;
    }
    kluis_buf_init(&o->statement, KLUIS_ANSWER_BODY_MAX);
    kluis_buf_init(&o->result, ZYGOTE_RESULT_MAX + (512 << 10));
    pthread_mutex_lock(&in->lock);
    for (;;) {
        if (ingest_stopping(in)) { break; }
        bool room = in->held_bytes < HELD_MAX && in->held_packages < HELD_PACKAGES;
        if (room && in->inbox_more) {
            bool again = in->n_retry > 0;
            kluis_status rc = again ? custody_inbox_get(in->c.custody, in->retry[in->n_retry - 1], &o->d, err)
                                    : custody_inbox_next(in->c.custody, in->cursor, &o->d, err);
            if (rc == KLUIS_OK) {
                if (again) {
                    in->n_retry--;
                } else {
                    in->cursor = o->d.number;
                }
                in->at_work++;
                in->held_packages++;
                pthread_mutex_unlock(&in->lock);
                return o;
            }
            if (rc != KLUIS_E_NOTFOUND) { break; }
            in->inbox_more = false;
            pthread_cond_broadcast(&in->changed); /* the committer need not wait for more */
        }
        ingest_wait(in, 1000000);
    }
    pthread_mutex_unlock(&in->lock);
    decided_free(o);
    return NULL;
}

void *worker_main(void *arg)
{
    struct ingest *in = arg;
    while (!ingest_stopping(in)) {
        struct kluis_err err = { 0 };
        struct decided *o = next_delivery(in, &err);
        if (o == NULL) {
            if (err.code != KLUIS_OK) { ingest_trouble(in, "worker", &err); }
            continue;
        }
        kluis_status rc = ingest_decide(in, o, &err);
        for (int i = 1; i < TRIES && (rc == KLUIS_E_BUSY || rc == KLUIS_E_NOMEM) && !ingest_stopping(in); i++) {
            ingest_trouble(in, "worker", &err);
            kluis_err_clear(&err);
            rc = ingest_decide(in, o, &err);
        }
        if (rc == KLUIS_E_BUSY && !ingest_stopping(in)) { rc = refused(o, LAYER_OPENER, "no opener for this package lived long enough to begin"); }
        kluis_buf_free(&o->result); /* what counts of it was copied */
        if (rc == KLUIS_OK && !o->accepted) {
            kluis_arena_free(o->arena);
            o->arena = NULL;
            rc = ingest_statement(in->c.keys, o->d.package, o->layer, o->reason, kluis_now_us(), &o->statement, &err);
        }
        pthread_mutex_lock(&in->lock);
        in->at_work--;
        if (rc == KLUIS_OK) {
            if (in->ready == NULL) { in->ready_since = kluis_monotonic_us(); }
            o->next = NULL;
            *in->ready_end = o;
            in->ready_end = &o->next;
            in->ready_records += o->accepted ? o->p.n_records : 1;
            in->held_bytes += o->arena == NULL ? 0 : kluis_arena_used(o->arena);
        } else {
            /* Local trouble: the row is still waiting in the inbox and is given out again. No more can wait than workers hold. */
            in->held_packages--;
            in->retry[in->n_retry++] = o->d.number;
            in->inbox_more = true;
        }
        pthread_cond_broadcast(&in->changed);
        pthread_mutex_unlock(&in->lock);
        if (rc != KLUIS_OK) {
            decided_free(o);
            ingest_trouble(in, "worker", &err);
        }
    }
    return NULL;
}
