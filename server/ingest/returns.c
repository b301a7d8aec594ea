/* server/ingest/returns.c - a package of an earlier enrolment that comes back through the present one.  docs/PROTOCOL.md §8.
 *
 * The session says who brings it, not who made it: what counts is that this vault took exactly this package once, as its own ledger says or its own
 * signature, and that it was the same official's.  No certificate or seal of a device's choosing is parsed for that: leaf, proof and checkpoint are
 * our own strict texts. */
#include "server/ingest/ingest_internal.h"

/* The leaf that this vault once gave the package.  *known false: none that it would have to believe. */
static kluis_status leaf_of(struct ingest *in, const struct kluis_delivery *del, struct kluis_leaf *leaf, bool *known, struct kluis_err *err)
{
    uint64_t index;
    struct kluis_err why = { 0 };
    struct kluis_checkpoint proven;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    *known = false;
    kluis_status rc = custody_awaited_get(in->c.custody, del->package, &index, err);
    if (rc == KLUIS_OK) {
        KLUIS_TRY(custody_leaf_get(in->c.custody, index, &text, err));
        KLUIS_TRY(kluis_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, leaf, err));
        *known = true;
        return KLUIS_OK;
    }
    if (rc != KLUIS_E_NOTFOUND) { return rc; }
    kluis_err_clear(err);
    const struct kluis_bytes data = { (const uint8_t *)del->leaf.ptr, del->leaf.len };
    rc = kluis_tlog_proof_check(del->proof, data, in->c.keys->trust.log_vkey, &proven, NULL, NULL, &why);
    if (rc == KLUIS_OK) { rc = kluis_leaf_read(del->leaf, leaf, &why); }
    *known = rc == KLUIS_OK;
    return rc == KLUIS_OK || rc == KLUIS_E_REJECT ? KLUIS_OK : KLUIS_FAIL(err, rc, "%s", why.msg);
}

/* Whose the device is that made it; one that enrolled after the newest backup may be unknown. */
static kluis_status same_official(struct ingest *in, const char *device, const char *official, const uint8_t cert[32], bool *same,
                                  struct kluis_err *err)
{
    struct reg_device made;
    uint8_t digest[32];
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot take a message: out of memory"); }
    *same = true;
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_device_get(in->c.reg, device, arena, &made, err);
    pthread_mutex_unlock(in->c.reg_lock);
    if (rc == KLUIS_E_NOTFOUND) {
        kluis_err_clear(err);
        return KLUIS_OK;
    }
    KLUIS_TRY(rc);
    kluis_sha256_of(made.cert.ptr, made.cert.len, digest);
    *same = strcmp(made.official, official) == 0 && memcmp(digest, cert, sizeof digest) == 0;
    return KLUIS_OK;
}

kluis_status ingest_returned(struct ingest *in, const struct kluis_delivery *del, const char *official, struct custody_delivery *d,
                             const char **refusal, struct kluis_err *err)
{
    struct kluis_leaf leaf;
    bool good;
    *refusal = NULL;
    if (strcmp(del->device, d->device) == 0) {
        *refusal = "this device made the package itself: it is to be delivered, not returned";
        return KLUIS_OK;
    }
    KLUIS_TRY(leaf_of(in, del, &leaf, &good, err));
    if (!good || memcmp(leaf.package, del->package, sizeof leaf.package) != 0) {
        *refusal = "this archive never took the package that comes back";
        return KLUIS_OK;
    }
    KLUIS_TRY(same_official(in, del->device, official, leaf.device, &good, err));
    if (!good) {
        *refusal = "the package that comes back was another official's";
        return KLUIS_OK;
    }
    (void)snprintf(d->via, sizeof d->via, "%s", d->device);
    (void)snprintf(d->device, sizeof d->device, "%s", del->device);
    memcpy(d->signer, leaf.device, sizeof d->signer);
    return KLUIS_OK;
}
