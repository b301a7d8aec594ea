/* server/ingest/work.c - a worker: deliveries of one device, each through an opener of its own, then together through a judge.
 *
 * What opener and judge claim is held against what the session and the register know: a child that lies can only refuse, or vouch
 * for content of the very device that sent it. */
#include "server/ingest/ingest_internal.h"

#include <assert.h>
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

static void refused(struct decided *o, const char *layer, const char *reason)
{
    o->settled = true;
    o->accepted = false;
    (void)snprintf(o->layer, sizeof o->layer, "%s", layer);
    (void)snprintf(o->reason, sizeof o->reason, "%s", reason);
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

/* What the judge says of a package that is right otherwise. */
static void weigh(struct decided *o, const struct judging *j)
{
    const struct kluis_seal_verdict *v = &j->verdict;
    o->accepted = false;
    if (!j->judged) {
        refused(o, LAYER_JUDGE, v->reason);
    } else if (v->signature != KLUIS_VALID) {
        refused(o, LAYER_SIGNATURE, v->reason[0] != 0 ? v->reason : "the device's signature is not valid");
    } else if (v->certificate ==
               KLUIS_INVALID) { /* one that expired meanwhile is flagged: a device may have lain in a drawer, or this clock be ahead */
        refused(o, LAYER_CERTIFICATE, v->reason[0] != 0 ? v->reason : "the device's certificate is not of this organisation");
    } else if (memcmp(v->cert_sha256, o->p.device_cert, 32) != 0) {
        /* Whatever opener and judge made of it: only the certificate of the device whose session brought the package counts. */
        refused(o, LAYER_CERTIFICATE, "the signature is another device's than the one that delivered it");
    } else if (v->has_token && v->time == KLUIS_INVALID) {
        refused(o, LAYER_TIME, v->reason[0] != 0 ? v->reason : "the time stamp is not valid");
    } else {
        o->accepted = true;
        (void)snprintf(o->p.verdict, sizeof o->p.verdict, "%s", v->time == KLUIS_VALID && v->certificate == KLUIS_VALID ? "valid" : "indeterminate");
    }
}

/* Manifest and signature stay beside the rows until the judge has spoken; the opener's answer itself may be large and goes. */
static struct kluis_bytes keep(struct kluis_arena *arena, struct kluis_bytes b)
{
    uint8_t *copy = kluis_arena_alloc(arena, b.len + 1);
    if (copy != NULL && b.len > 0) { memcpy(copy, b.ptr, b.len); }
    return (struct kluis_bytes){ copy, copy == NULL ? 0 : b.len };
}

kluis_status ingest_open(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    struct opened f;
    struct reg_device dev;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    o->settled = o->accepted = false;
    if (arena == NULL || (o->arena == NULL && (o->arena = kluis_arena_new(OPENER_TEXT_MAX + (64 << 20))) == NULL)) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
    }
    kluis_arena_clear(o->arena);
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_device_get(in->c.reg, custody_bringer(&o->d), arena, &dev, err);
    pthread_mutex_unlock(in->c.reg_lock);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the register lacks device %s, which delivered a package; restore register.db",
                          custody_bringer(&o->d));
    }
    KLUIS_TRY(rc);
    KLUIS_AUTO_BUF(result, ZYGOTE_RESULT_MAX + (512 << 10));
    rc = open_stored(&in->c, &o->d, &result, &f, err);
    if (rc == KLUIS_E_REJECT) {
        refused(o, f.layer, f.reason);
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    const char *differs = disagreement(&f, &o->d);
    if (differs != NULL) {
        refused(o, LAYER_DELIVERY, differs);
        return KLUIS_OK;
    }
    o->enrolled_us = dev.enrolled_us;
    /* Of a package that came back the ledger said whose signature it bears; the device that made it may be unknown by now. */
    if (o->d.via[0] != 0) {
        memcpy(o->p.device_cert, o->d.signer, sizeof o->p.device_cert);
    } else {
        kluis_sha256_of(dev.cert.ptr, dev.cert.len, o->p.device_cert);
    }
    (void)snprintf(o->p.official, sizeof o->p.official, "%s", dev.official);
    o->p.d = o->d;
    o->p.delivery = o->d.number;
    memcpy(o->p.records_root, f.records_root, 32);
    o->p.n_records = f.n_records;
    /* The rows must be readable before the package is accepted: the index could not be built from it otherwise. */
    struct kluis_err why = { 0 };
    rc = index_package_read(f.index, o->arena, &o->rows, &why);
    if (rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT) {
        refused(o, LAYER_OPENER, "the opener's rows are malformed");
        return KLUIS_OK;
    }
    if (rc != KLUIS_OK) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    if (o->rows.n_rows != f.n_records) {
        refused(o, LAYER_OPENER, "the opener's rows and counts differ");
        return KLUIS_OK;
    }
    o->manifest = keep(o->arena, f.manifest);
    o->signature = keep(o->arena, f.signature);
    return o->manifest.ptr != NULL && o->signature.ptr != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
}

kluis_status ingest_judge(struct ingest *in, struct decided *const *list, size_t n, struct kluis_err *err)
{
    const struct kluis_trust *t = &in->c.keys->trust;
    const struct judge_anchors anchors = { t->device_cas, t->tsa_cas, t->n_device_cas, t->n_tsa_cas };
    struct judging j[RUN_MAX];
    struct decided *of[RUN_MAX];
    size_t waiting = 0;
    assert(n <= RUN_MAX);
    for (size_t i = 0; i < n; i++) {
        if (list[i]->settled) { continue; }
        j[waiting] = (struct judging){ .manifest = list[i]->manifest, .signature = list[i]->signature };
        of[waiting++] = list[i];
    }
    if (waiting == 0) { return KLUIS_OK; }
    /* All of one device, whose certificate this vault made: a clock that is behind does not undo that. */
    const int64_t now = kluis_now_us(), since = of[0]->enrolled_us;
    KLUIS_TRY(judge_run(in->c.zygote, &anchors, j, waiting, now > since ? now : since, err));
    for (size_t i = 0; i < waiting; i++) {
        weigh(of[i], &j[i]);
        of[i]->settled = true;
    }
    return KLUIS_OK;
}

void decided_free(struct decided *o)
{
    if (o != NULL) {
        kluis_buf_free(&o->statement);
        kluis_arena_free(o->arena);
        kluis_free(o);
    }
}

/* A new one for the inbox row that is next, NULL when there is none; the lock is held. */
static struct decided *take_row(struct ingest *in, const char *device, struct kluis_err *err)
{
    struct custody_delivery d;
    bool again = in->n_retry > 0;
    kluis_status rc =
        again ? custody_inbox_get(in->c.custody, in->retry[in->n_retry - 1], &d, err) : custody_inbox_next(in->c.custody, in->cursor, &d, err);
    if (rc == KLUIS_E_NOTFOUND) {
        in->inbox_more = false;
        pthread_cond_broadcast(&in->changed); /* the committer need not wait for more */
    }
    if (rc != KLUIS_OK || (device != NULL && strcmp(device, d.device) != 0)) { return NULL; }
    struct decided *o = kluis_calloc(1, sizeof *o);
    if (o == NULL) {
        (void)KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open a package: out of memory");
        return NULL;
    }
    o->d = d;
    kluis_buf_init(&o->statement, KLUIS_ANSWER_BODY_MAX);
    if (again) {
        in->n_retry--;
    } else {
        in->cursor = d.number;
    }
    in->at_work++;
    in->held_packages++;
    return o;
}

bool ingest_room(const struct ingest *in) { return in->held_bytes < HELD_MAX && in->held_packages < HELD_PACKAGES; }

/* The next deliveries that nobody has: of one device, because one judge is to see them all; at least one, or none when stopping. */
static size_t next_run(struct ingest *in, struct decided *run[RUN_MAX], struct kluis_err *err)
{
    size_t n = 0;
    pthread_mutex_lock(&in->lock);
    while (n == 0 && err->code == KLUIS_OK && !ingest_stopping(in)) {
        while (in->joined && ingest_clock_right(in) && n < RUN_MAX && ingest_room(in) && in->inbox_more) {
            struct decided *o = take_row(in, n == 0 ? NULL : run[0]->d.device, err);
            if (o == NULL) { break; }
            run[n++] = o;
        }
        if (err->code == KLUIS_E_NOTFOUND) { kluis_err_clear(err); }
        if (n == 0 && err->code == KLUIS_OK) { ingest_wait(in, 1000000); }
    }
    pthread_mutex_unlock(&in->lock);
    return n;
}

/* Local trouble: the row is still waiting in the inbox and is given out again.  No more can wait than workers hold. */
static void give_back(struct ingest *in, struct decided *o)
{
    pthread_mutex_lock(&in->lock);
    in->at_work--;
    in->held_packages--;
    in->retry[in->n_retry++] = o->d.number;
    in->inbox_more = true;
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
    decided_free(o);
}

static void hand_on(struct ingest *in, struct decided *const *list, size_t n)
{
    if (n == 0) { return; }
    pthread_mutex_lock(&in->lock);
    if (in->ready == NULL) { in->ready_since = kluis_monotonic_us(); }
    for (size_t i = 0; i < n; i++) {
        struct decided *o = list[i];
        in->at_work--;
        o->next = NULL;
        *in->ready_end = o;
        in->ready_end = &o->next;
        in->ready_records += o->accepted ? o->p.n_records : 1;
        in->held_bytes += o->arena == NULL ? 0 : kluis_arena_used(o->arena);
    }
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

/* Opens, and once more after a moment when nothing could be made to open it with. */
static kluis_status open_patiently(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    kluis_status rc = ingest_open(in, o, err);
    for (int i = 1; i < TRIES && (rc == KLUIS_E_BUSY || rc == KLUIS_E_NOMEM) && !ingest_stopping(in); i++) {
        ingest_trouble(in, "worker", err);
        kluis_err_clear(err);
        rc = ingest_open(in, o, err);
    }
    return rc;
}

static kluis_status judge_patiently(struct ingest *in, struct decided *const *run, size_t n, struct kluis_err *err)
{
    kluis_status rc = ingest_judge(in, run, n, err);
    for (int i = 1; i < TRIES && (rc == KLUIS_E_BUSY || rc == KLUIS_E_NOMEM) && !ingest_stopping(in); i++) {
        ingest_trouble(in, "worker", err);
        kluis_err_clear(err);
        rc = ingest_judge(in, run, n, err);
    }
    return rc;
}

/* A package that the vault had before it was set back: its leaf stands, and what was found then still holds. */
static kluis_status recall(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    struct kluis_leaf leaf;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    kluis_status rc = custody_awaited_get(in->c.custody, o->d.package, &o->p.leaf, err);
    o->p.awaited = rc == KLUIS_OK;
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    KLUIS_TRY(custody_leaf_get(in->c.custody, o->p.leaf, &text, err));
    KLUIS_TRY(kluis_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, &leaf, err));
    if (memcmp(leaf.records_root, o->p.records_root, 32) != 0 || memcmp(leaf.device, o->p.device_cert, 32) != 0) {
        refused(o, LAYER_OPENER, "the ledger says something else of this package");
        return KLUIS_OK;
    }
    (void)snprintf(o->p.verdict, sizeof o->p.verdict, "%.15s", leaf.verdict);
    return KLUIS_OK;
}

/* A refusal keeps nothing of the package but its sealed statement. */
static kluis_status conclude(struct ingest *in, struct decided *o, struct kluis_err *err)
{
    if (o->accepted) { KLUIS_TRY(recall(in, o, err)); }
    if (o->accepted) { return KLUIS_OK; }
    kluis_arena_free(o->arena);
    o->arena = NULL;
    return ingest_statement(in->c.keys, o->d.package, o->layer, o->reason, kluis_now_us(), &o->statement, err);
}

/* Judges what is open and hands it on, or gives it back; false: some of it. */
static bool settle_run(struct ingest *in, struct decided *const *run, size_t n)
{
    struct kluis_err err = { 0 };
    struct decided *settled[RUN_MAX];
    size_t good = 0;
    kluis_status rc = n == 0 ? KLUIS_OK : judge_patiently(in, run, n, &err);
    bool judged = rc == KLUIS_OK;
    for (size_t i = 0; i < n; i++) {
        if (judged) { rc = conclude(in, run[i], &err); }
        if (rc == KLUIS_OK) {
            settled[good++] = run[i];
        } else {
            give_back(in, run[i]);
        }
    }
    hand_on(in, settled, good);
    if (err.code != KLUIS_OK) { ingest_trouble(in, "worker", &err); }
    return err.code == KLUIS_OK;
}

/* Whoever holds rows but has not opened them can wait: what is to be indexed first is open already. */
static void wait_for_room(struct ingest *in)
{
    pthread_mutex_lock(&in->lock);
    while (in->held_bytes >= HELD_MAX && !ingest_stopping(in)) { ingest_wait(in, 1000000); }
    pthread_mutex_unlock(&in->lock);
}

void *worker_main(void *arg)
{
    struct ingest *in = arg;
    while (!ingest_stopping(in)) {
        struct kluis_err err = { 0 };
        struct decided *run[RUN_MAX], *open[RUN_MAX];
        uint64_t bytes = 0;
        size_t n = next_run(in, run, &err), opened = 0;
        bool well = n > 0 && err.code == KLUIS_OK;
        if (err.code != KLUIS_OK) { ingest_trouble(in, "worker", &err); }
        for (size_t i = 0; i < n; i++) {
            kluis_err_clear(&err);
            wait_for_room(in);
            if (open_patiently(in, run[i], &err) == KLUIS_OK) {
                open[opened++] = run[i];
                bytes += kluis_arena_used(run[i]->arena);
            } else {
                give_back(in, run[i]);
                ingest_trouble(in, "worker", &err);
                well = false;
            }
            if (bytes >= RUN_BYTES || i + 1 == n) {
                well = settle_run(in, open, opened) && well;
                opened = 0;
                bytes = 0;
            }
        }
        if (well) { ingest_well(in, "worker"); }
    }
    return NULL;
}
