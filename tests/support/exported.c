/* tests/support/exported.c - exports of sealed packages of our own making. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "tests/support/exported.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

void exported_record(const struct pki *p, struct kluis_bytes group, struct kluis_buf *record)
{
    KLUIS_AUTO(kluis_evidence_batch) b = NULL;
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    struct kluis_imprint root;
    struct kit_object before = kit_object(1), after = kit_object(2);
    OK(kluis_evidence_batch_new(KLUIS_SHA256, &b, NULL));
    OK(kluis_evidence_batch_add(b, kit_digests(&before, KLUIS_SHA256), NULL));
    OK(kluis_evidence_batch_add(b, group, NULL));
    OK(kluis_evidence_batch_add(b, kit_digests(&after, KLUIS_SHA256), NULL));
    OK(kluis_evidence_batch_imprint(b, &root, NULL));
    kit_token(p->authority, &p->root_anchor, &root, &token);
    OK(kluis_evidence_batch_record(b, 1, group, kluis_buf_bytes(&token), record, NULL));
}

void exported_crl(const struct pki *p, int64_t made, int64_t since, struct kluis_buf *crl)
{
    const struct kluis_revoked r = { kluis_buf_bytes(&p->device.cert), since, 1 };
    OK(kluis_crl_issue(&r, since != KLUIS_TIME_ABSENT, 1, made, made + PKI_YEAR / 12, p->device_ca.key, kluis_buf_bytes(&p->device_ca.cert), crl,
                       NULL));
}

static void seal(const struct pki *p, const struct export_options *o, struct kluis_bytes manifest, struct kluis_buf *p7s)
{
    KLUIS_AUTO_BUF(bt, KLUIS_P7S_MAX);
    const struct pki_party *by = o->sealer ? o->sealer : &p->seal, *issuer = o->sealer_issuer ? o->sealer_issuer : &p->root;
    pki_sign(p, by, issuer, o->sign_instead.ptr ? o->sign_instead : manifest, !o->unstamped, &bt);
    if (o->n_crls) {
        OK(kluis_seal_add_crls(kluis_buf_bytes(&bt), o->crls, o->n_crls, p7s, NULL));
    } else {
        kluis_buf_add(p7s, bt.data, bt.len);
    }
}

void exported_package(const struct pki *p, const struct sealed *s, const struct export_options *o, struct kluis_buf *out, struct kluis_buf *group)
{
    char name[] = "/tmp/kluis-export-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    struct kluis_input_fd file = { s->fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&file);
    struct kluis_package_facts facts;
    KLUIS_AUTO(kluis_export) x = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(digests, 1 << 20);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    uint64_t size = 0;
    kluis_package_facts_init(&facts);
    OK(kluis_export_begin(&in, fd, &facts, &x, NULL));
    OK(kluis_export_manifest(x, &manifest, NULL));
    seal(p, o, kluis_buf_bytes(&manifest), &p7s);
    OK(kluis_export_seal(x, kluis_buf_bytes(&p7s), NULL));
    OK(kluis_export_group(x, &digests, NULL));
    if (group) { kluis_buf_add(group, digests.data, digests.len); }
    if (o->evidence && !o->record.ptr) { exported_record(p, kluis_buf_bytes(&digests), &record); }
    if (o->evidence) { OK(kluis_export_evidence(x, o->record.ptr ? o->record : kluis_buf_bytes(&record), NULL)); }
    OK(kluis_export_finish(x, &size, NULL));
    uint8_t *to = kluis_buf_reserve(out, (size_t)size);
    assert_non_null(to);
    OK(kluis_pread_all(fd, to, (size_t)size, 0, "export", NULL));
    out->len += (size_t)size;
    kluis_package_facts_clear(&facts);
    kluis_close_quiet(&fd);
}
