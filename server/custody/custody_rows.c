/* server/custody/custody_rows.c - inbox, packages, refusals, outbox, ledger rows. */
#include "server/custody/custody_internal.h"

#include <assert.h>

static kluis_status read_delivery(sqlite3_stmt *st, int at, struct custody_delivery *d, struct kluis_err *err)
{
    memset(d, 0, sizeof *d);
    d->number = (uint64_t)sqlite3_column_int64(st, at);
    KLUIS_TRY(custody_col_text(st, at + 1, d->device, sizeof d->device, err));
    KLUIS_TRY(custody_col_fixed(st, at + 2, d->message, sizeof d->message, err));
    KLUIS_TRY(custody_col_fixed(st, at + 3, d->body_sha256, sizeof d->body_sha256, err));
    KLUIS_TRY(custody_col_fixed(st, at + 4, d->package, sizeof d->package, err));
    d->sequence = (uint64_t)sqlite3_column_int64(st, at + 5);
    KLUIS_TRY(custody_col_fixed(st, at + 6, d->previous, sizeof d->previous, err));
    d->length = (uint64_t)sqlite3_column_int64(st, at + 7);
    d->cipher_length = (uint64_t)sqlite3_column_int64(st, at + 8);
    KLUIS_TRY(custody_col_fixed(st, at + 9, d->cipher_sha256, sizeof d->cipher_sha256, err));
    d->received_us = sqlite3_column_int64(st, at + 10);
    d->state = (enum custody_state)sqlite3_column_int(st, at + 11);
    struct kluis_bytes w = custody_col_bytes(st, at + 12);
    if (w.len > sizeof d->wrapped) {
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "custody.db: the wrapped key of delivery %llu is too long; restore it",
                          (unsigned long long)d->number);
    }
    memcpy(d->wrapped, w.ptr, w.len);
    d->wrapped_len = w.len;
    KLUIS_TRY(custody_col_text(st, at + 13, d->via, sizeof d->via, err));
    return d->via[0] == 0 ? KLUIS_OK : custody_col_fixed(st, at + 14, d->signer, sizeof d->signer, err);
}

static kluis_status one_delivery(struct custody *c, sqlite3_stmt *st, struct custody_delivery *out, struct kluis_err *err)
{
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) { rc = read_delivery(st, 0, out, err); }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_inbox_add(struct custody *c, struct custody_delivery *d, struct kluis_err *err)
{
    assert(c->in_transaction && d->wrapped_len > 0 && d->wrapped_len <= sizeof d->wrapped);
    CUSTODY_LOCKED(c);
    KLUIS_TRY(custody_run(c,
                          custody_bind(c, Q_INBOX_ADD, err, "tbbbibiibiitb", d->device, d->message, sizeof d->message, d->body_sha256,
                                       sizeof d->body_sha256, d->package, sizeof d->package, (sqlite3_int64)d->sequence, d->previous,
                                       sizeof d->previous, (sqlite3_int64)d->length, (sqlite3_int64)d->cipher_length, d->cipher_sha256,
                                       sizeof d->cipher_sha256, (sqlite3_int64)d->received_us, (sqlite3_int64)CUSTODY_WAITING, d->via, d->signer,
                                       d->via[0] == 0 ? (size_t)0 : sizeof d->signer),
                          err));
    d->number = (uint64_t)sqlite3_last_insert_rowid(kluis_db_handle(c->db));
    d->state = CUSTODY_WAITING;
    return custody_run(c, custody_bind(c, Q_KEY_ADD, err, "ib", (sqlite3_int64)d->number, d->wrapped, d->wrapped_len), err);
}

kluis_status custody_inbox_get(struct custody *c, uint64_t number, struct custody_delivery *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_delivery(c, custody_bind(c, Q_INBOX_GET, err, "i", (sqlite3_int64)number), out, err);
}

kluis_status custody_inbox_next(struct custody *c, uint64_t number, struct custody_delivery *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_delivery(c, custody_bind(c, Q_INBOX_NEXT, err, "i", (sqlite3_int64)number), out, err);
}

kluis_status custody_inbox_by_message(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32],
                                      struct custody_delivery *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    kluis_status rc = one_delivery(c, custody_bind(c, Q_INBOX_MESSAGE, err, "tb", device, message, (size_t)16), out, err);
    if (rc != KLUIS_E_NOTFOUND) { return rc; }
    return one_delivery(c, custody_bind(c, Q_INBOX_BODY, err, "bt", body_sha256, (size_t)32, device), out, err);
}

kluis_status custody_inbox_by_sequence(struct custody *c, const char *device, uint64_t sequence, struct custody_delivery *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_delivery(c, custody_bind(c, Q_INBOX_SEQUENCE, err, "ti", device, (sqlite3_int64)sequence), out, err);
}

kluis_status custody_inbox_by_package(struct custody *c, const uint8_t package[32], struct custody_delivery *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_delivery(c, custody_bind(c, Q_INBOX_PACKAGE, err, "b", package, (size_t)32), out, err);
}

kluis_status custody_handled_add(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32],
                                 const uint8_t package[32], struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_HANDLED_ADD, err, "tbbb", device, message, (size_t)16, body_sha256, (size_t)32, package, (size_t)32),
                       err);
}

kluis_status custody_handled_get(struct custody *c, const char *device, const uint8_t message[16], const uint8_t body_sha256[32], uint8_t package[32],
                                 struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_HANDLED_GET, err, "tbb", device, message, (size_t)16, body_sha256, (size_t)32);
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) { rc = custody_col_fixed(st, 0, package, 32, err); }
    if (st != NULL) { custody_done(st); }
    return rc;
}

static kluis_status read_package(sqlite3_stmt *st, struct custody_package *p, struct kluis_err *err)
{
    memset(p, 0, sizeof *p);
    p->sequence = (uint64_t)sqlite3_column_int64(st, 0);
    p->delivery = (uint64_t)sqlite3_column_int64(st, 1);
    KLUIS_TRY(custody_col_text(st, 2, p->official, sizeof p->official, err));
    KLUIS_TRY(custody_col_fixed(st, 3, p->records_root, sizeof p->records_root, err));
    KLUIS_TRY(custody_col_fixed(st, 4, p->device_cert, sizeof p->device_cert, err));
    p->n_records = (uint64_t)sqlite3_column_int64(st, 5);
    KLUIS_TRY(custody_col_text(st, 6, p->verdict, sizeof p->verdict, err));
    p->leaf = (uint64_t)sqlite3_column_int64(st, 7);
    p->receipt_size = (uint64_t)sqlite3_column_int64(st, 8);
    p->receipt_stamped = sqlite3_column_int(st, 9) != 0;
    return read_delivery(st, 10, &p->d, err);
}

static kluis_status one_package(struct custody *c, sqlite3_stmt *st, struct custody_package *out, struct kluis_err *err)
{
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) { rc = read_package(st, out, err); }
    if (st != NULL) { custody_done(st); }
    return rc;
}

/* A delivery is decided once: a second decision is a bug of ours, not a row to overwrite. */
static kluis_status decide(struct custody *c, uint64_t delivery, enum custody_state state, struct kluis_err *err)
{
    KLUIS_TRY(custody_run(c, custody_bind(c, Q_INBOX_STATE, err, "ii", (sqlite3_int64)delivery, (sqlite3_int64)state), err));
    if (sqlite3_changes(kluis_db_handle(c->db)) != 1) {
        return KLUIS_FAIL(err, KLUIS_E_BUG, "delivery %llu was decided twice", (unsigned long long)delivery);
    }
    return KLUIS_OK;
}

kluis_status custody_package_add(struct custody *c, struct custody_package *p, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    KLUIS_TRY(decide(c, p->delivery, CUSTODY_ACCEPTED, err));
    KLUIS_TRY(
        custody_run(c,
                    custody_bind(c, Q_PACKAGE_ADD, err, "itbbiti", (sqlite3_int64)p->delivery, p->official, p->records_root, sizeof p->records_root,
                                 p->device_cert, sizeof p->device_cert, (sqlite3_int64)p->n_records, p->verdict, (sqlite3_int64)p->leaf),
                    err));
    p->sequence = (uint64_t)sqlite3_last_insert_rowid(kluis_db_handle(c->db));
    return p->awaited ? custody_run(c, custody_bind(c, Q_AWAITED_DEL, err, "b", p->d.package, sizeof p->d.package), err) : KLUIS_OK;
}

kluis_status custody_awaited_add(struct custody *c, const uint8_t package[32], uint64_t leaf, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_AWAITED_ADD, err, "bi", package, (size_t)32, (sqlite3_int64)leaf), err);
}

kluis_status custody_awaited_get(struct custody *c, const uint8_t package[32], uint64_t *leaf, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_AWAITED_GET, err, "b", package, (size_t)32);
    kluis_status rc = custody_row(c, st, err);
    *leaf = rc == KLUIS_OK ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_package_get(struct custody *c, uint64_t sequence, struct custody_package *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_package(c, custody_bind(c, Q_PACKAGE_GET, err, "i", (sqlite3_int64)sequence), out, err);
}

kluis_status custody_package_by_delivery(struct custody *c, uint64_t delivery, struct custody_package *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_package(c, custody_bind(c, Q_PACKAGE_DELIVERY, err, "i", (sqlite3_int64)delivery), out, err);
}

kluis_status custody_owners(struct custody *c, uint64_t above, uint64_t upto, size_t most, void *ctx,
                            kluis_status (*each)(void *, uint64_t, const char *, const uint8_t[32], struct kluis_err *), struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_PACKAGE_OWNERS, err, "iii", (sqlite3_int64)above, (sqlite3_int64)upto, (sqlite3_int64)most);
    kluis_status rc;
    while ((rc = custody_row(c, st, err)) == KLUIS_OK) {
        char device[CUSTODY_DEVICE];
        uint8_t package[32];
        if ((rc = custody_col_text(st, 1, device, sizeof device, err)) != KLUIS_OK ||
            (rc = custody_col_fixed(st, 2, package, sizeof package, err)) != KLUIS_OK ||
            (rc = each(ctx, (uint64_t)sqlite3_column_int64(st, 0), device, package, err)) != KLUIS_OK) {
            break;
        }
    }
    if (st != NULL) { custody_done(st); }
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

kluis_status custody_last_package(struct custody *c, uint64_t *sequence, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_PACKAGE_LAST, err, "");
    kluis_status rc = custody_row(c, st, err);
    *sequence = rc == KLUIS_OK ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_package_receipt(struct custody *c, uint64_t sequence, uint64_t tree_size, bool stamped, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_PACKAGE_RECEIPT, err, "iii", (sqlite3_int64)sequence, (sqlite3_int64)tree_size, (sqlite3_int64)stamped),
                       err);
}

kluis_status custody_package_unstamped(struct custody *c, uint64_t sequence, uint64_t size, struct custody_package *out, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_package(c, custody_bind(c, Q_PACKAGE_UNSTAMPED, err, "ii", (sqlite3_int64)sequence, (sqlite3_int64)size), out, err);
}

kluis_status custody_refusal_add(struct custody *c, struct custody_refusal *r, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    if (r->delivery != 0) { KLUIS_TRY(decide(c, r->delivery, CUSTODY_REFUSED, err)); }
    KLUIS_TRY(
        custody_run(c,
                    custody_bind(c, Q_REFUSAL_ADD, err, "itbittib", (sqlite3_int64)r->delivery, r->device, r->package, sizeof r->package,
                                 (sqlite3_int64)r->sequence, r->layer, r->reason, (sqlite3_int64)r->refused_us, r->statement.ptr, r->statement.len),
                    err));
    r->number = (uint64_t)sqlite3_last_insert_rowid(kluis_db_handle(c->db));
    return KLUIS_OK;
}

kluis_status custody_refusals(struct custody *c, void *ctx, kluis_status (*each)(void *ctx, const struct custody_refusal *r, struct kluis_err *err),
                              struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_REFUSALS, err, "");
    kluis_status rc;
    while ((rc = custody_row(c, st, err)) == KLUIS_OK) {
        struct custody_refusal r;
        memset(&r, 0, sizeof r);
        r.number = (uint64_t)sqlite3_column_int64(st, 0);
        r.delivery = (uint64_t)sqlite3_column_int64(st, 1);
        r.sequence = (uint64_t)sqlite3_column_int64(st, 4);
        r.refused_us = sqlite3_column_int64(st, 7);
        r.statement = custody_col_bytes(st, 8);
        if ((rc = custody_col_text(st, 2, r.device, sizeof r.device, err)) != KLUIS_OK ||
            (rc = custody_col_fixed(st, 3, r.package, 32, err)) != KLUIS_OK ||
            (rc = custody_col_text(st, 5, r.layer, sizeof r.layer, err)) != KLUIS_OK ||
            (rc = custody_col_text(st, 6, r.reason, sizeof r.reason, err)) != KLUIS_OK || (rc = each(ctx, &r, err)) != KLUIS_OK) {
            break;
        }
    }
    if (st != NULL) { custody_done(st); }
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

kluis_status custody_outbox_add(struct custody *c, struct custody_answer *a, struct kluis_bytes body, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    kluis_random(a->message, sizeof a->message);
    a->state = CUSTODY_TO_MAKE;
    KLUIS_TRY(custody_run(c,
                          custody_bind(c, Q_OUTBOX_ADD, err, "btibiib", a->message, sizeof a->message, a->device, (sqlite3_int64)a->kind, a->package,
                                       sizeof a->package, (sqlite3_int64)a->package_sequence, (sqlite3_int64)a->tree_size, body.ptr, body.len),
                          err));
    a->number = (uint64_t)sqlite3_last_insert_rowid(kluis_db_handle(c->db));
    return KLUIS_OK;
}

kluis_status custody_outbox_next(struct custody *c, uint64_t number, enum custody_outbox_state state, struct custody_answer *out,
                                 struct kluis_buf *body, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    memset(out, 0, sizeof *out);
    sqlite3_stmt *st = custody_bind(c, Q_OUTBOX_NEXT, err, "ii", (sqlite3_int64)state, (sqlite3_int64)number);
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) {
        out->number = (uint64_t)sqlite3_column_int64(st, 0);
        out->kind = (uint32_t)sqlite3_column_int64(st, 3);
        out->package_sequence = (uint64_t)sqlite3_column_int64(st, 5);
        out->tree_size = (uint64_t)sqlite3_column_int64(st, 6);
        out->state = (enum custody_outbox_state)sqlite3_column_int(st, 7);
        if ((rc = custody_col_fixed(st, 1, out->message, 16, err)) == KLUIS_OK &&
            (rc = custody_col_text(st, 2, out->device, sizeof out->device, err)) == KLUIS_OK) {
            rc = custody_col_fixed(st, 4, out->package, 32, err);
        }
        if (rc == KLUIS_OK) {
            struct kluis_bytes b = custody_col_bytes(st, 8);
            kluis_buf_add(body, b.ptr, b.len);
            rc = kluis_buf_ok(body, err);
        }
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_outbox_encrypted(struct custody *c, uint64_t number, uint64_t tree_size, struct kluis_bytes body, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_OUTBOX_ENCRYPTED, err, "iib", (sqlite3_int64)number, (sqlite3_int64)tree_size, body.ptr, body.len), err);
}

kluis_status custody_outbox_posted(struct custody *c, uint64_t number, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_OUTBOX_POSTED, err, "i", (sqlite3_int64)number), err);
}

kluis_status custody_outbox_again(struct custody *c, const uint8_t package[32], struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_OUTBOX_FIND, err, "b", package, (size_t)32);
    kluis_status rc = custody_row(c, st, err);
    if (st != NULL) { custody_done(st); }
    KLUIS_TRY(rc);
    return custody_run(c, custody_bind(c, Q_OUTBOX_AGAIN, err, "b", package, (size_t)32), err);
}

kluis_status custody_leaf_add(struct custody *c, uint64_t index, struct kluis_bytes data, struct kluis_err *err)
{
    assert(c->in_transaction);
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_LEAF_ADD, err, "ib", (sqlite3_int64)index, data.ptr, data.len), err);
}

kluis_status custody_node_put(struct custody *c, unsigned level, uint64_t index, const uint8_t hash[32], struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return custody_run(c, custody_bind(c, Q_NODE_PUT, err, "iib", (sqlite3_int64)level, (sqlite3_int64)index, hash, (size_t)32), err);
}

kluis_status custody_node_get(struct custody *c, unsigned level, uint64_t index, uint8_t hash[32], struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_NODE_GET, err, "ii", (sqlite3_int64)level, (sqlite3_int64)index);
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) { rc = custody_col_fixed(st, 0, hash, 32, err); }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_checkpoint_put(struct custody *c, const struct custody_checkpoint *k, struct kluis_str text, struct kluis_bytes seal,
                                    struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    char z[8192];
    if (text.len >= sizeof z) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a checkpoint of %zu bytes is too long", text.len); }
    memcpy(z, text.ptr, text.len);
    z[text.len] = 0;
    return custody_run(c,
                       custody_bind(c, Q_CHECKPOINT_PUT, err, "iiitb", (sqlite3_int64)k->size, (sqlite3_int64)k->stamped, (sqlite3_int64)k->made_us,
                                    z, seal.ptr, seal.len),
                       err);
}

static kluis_status one_checkpoint(struct custody *c, sqlite3_stmt *st, struct custody_checkpoint *out, struct kluis_buf *text,
                                   struct kluis_buf *seal, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    kluis_status rc = custody_row(c, st, err);
    if (rc == KLUIS_OK) {
        out->size = (uint64_t)sqlite3_column_int64(st, 0);
        out->stamped = sqlite3_column_int(st, 1) != 0;
        out->made_us = sqlite3_column_int64(st, 2);
        struct kluis_bytes t = custody_col_bytes(st, 3), s = custody_col_bytes(st, 4);
        if (text != NULL) {
            kluis_buf_add(text, t.ptr, t.len);
            rc = kluis_buf_ok(text, err);
        }
        if (rc == KLUIS_OK && seal != NULL) {
            kluis_buf_add(seal, s.ptr, s.len);
            rc = kluis_buf_ok(seal, err);
        }
    }
    if (st != NULL) { custody_done(st); }
    return rc;
}

kluis_status custody_checkpoint_get(struct custody *c, uint64_t size, struct custody_checkpoint *out, struct kluis_buf *text, struct kluis_buf *seal,
                                    struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = size == 0 ? custody_bind(c, Q_CHECKPOINT_LAST, err, "") : custody_bind(c, Q_CHECKPOINT_GET, err, "i", (sqlite3_int64)size);
    return one_checkpoint(c, st, out, text, seal, err);
}

kluis_status custody_checkpoint_within(struct custody *c, uint64_t above, uint64_t most, struct custody_checkpoint *out, struct kluis_buf *text,
                                       struct kluis_buf *seal, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    return one_checkpoint(c, custody_bind(c, Q_CHECKPOINT_WITHIN, err, "ii", (sqlite3_int64)above, (sqlite3_int64)most), out, text, seal, err);
}

kluis_status custody_last_delivery(struct custody *c, const char *device, int64_t *us, struct kluis_err *err)
{
    CUSTODY_LOCKED(c);
    sqlite3_stmt *st = custody_bind(c, Q_LAST_DELIVERY, err, "t", device);
    kluis_status rc = custody_row(c, st, err);
    *us = KLUIS_TIME_ABSENT;
    if (rc == KLUIS_OK && sqlite3_column_type(st, 0) != SQLITE_NULL) { *us = sqlite3_column_int64(st, 0); }
    if (st != NULL) { custody_done(st); }
    return rc;
}
