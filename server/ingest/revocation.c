/* revocation.c - the device CA's revocation list: every device that was ever suspended, since when.
 *
 * What a suspended device signed and had stamped before stays good; what it signs afterwards is refused here and, with this list, by any
 * verifier.  The file is for whoever asks: the vault itself looks at the register. */
#include "server/ingest/ingest_internal.h"

enum { ARENA = 64 << 20 };
static const int64_t DAY = INT64_C(86400) * 1000000;

struct suspended {
    struct kluis_revoked *list;
    size_t n;
};

static kluis_status note(void *ctx, const struct reg_device *d, struct kluis_err *err)
{
    struct suspended *s = ctx;
    if (d->state != REG_DEVICE_SUSPENDED) { return KLUIS_OK; }
    if (s->n == KLUIS_REVOKED_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d suspended devices: the device authority must be replaced", KLUIS_REVOKED_MAX);
    }
    s->list[s->n++] = (struct kluis_revoked){ .cert_der = d->cert, .at_us = d->suspended_us };
    return KLUIS_OK;
}

static kluis_status publish(struct ingest *in, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    const struct vault_keys *k = in->c.keys;
    int64_t now = kluis_now_us();
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(ARENA);
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    struct suspended s = { arena == NULL ? NULL : kluis_arena_alloc(arena, KLUIS_REVOKED_MAX * sizeof *s.list), 0 };
    if (s.list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "revocation list: out of memory"); }
    pthread_mutex_lock(in->c.reg_lock);
    kluis_status rc = reg_devices(in->c.reg, arena, &s, note, err);
    pthread_mutex_unlock(in->c.reg_lock);
    KLUIS_TRY(rc);
    /* The clock numbers the lists: no state that could be lost, and greater each second. */
    KLUIS_TRY(
        kluis_crl_issue(s.list, s.n, (uint64_t)(now / 1000000), now, now + 30 * DAY, k->device_ca, kluis_buf_bytes(&k->device_ca_cert), &crl, err));
    KLUIS_TRY(kluis_path(path, sizeof path, in->c.dir, "device-ca.crl", err));
    KLUIS_TRY(kluis_write_file(path, crl.data, crl.len, 0644, err));
    kluis_log(KLUIS_LOG_INFO, "revocation.list", "devices=%zu", s.n);
    return KLUIS_OK;
}

kluis_status revocation_keep(struct ingest *in, bool at_once, struct kluis_err *err)
{
    if (!at_once && in->list_us != 0 && kluis_monotonic_us() - in->list_us < DAY) { return KLUIS_OK; }
    KLUIS_TRY(publish(in, err));
    in->list_us = kluis_monotonic_us();
    return KLUIS_OK;
}
