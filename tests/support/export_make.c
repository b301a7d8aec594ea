/* export_make HOME PACKAGE OUT [REVOKED] - an export of a real package with the keys of a real home, as the vault will make one: seal, token,
 * the device CA's list, evidence record.  REVOKED: a time at which the package's device is said to have been revoked. */
#include <fcntl.h>
#include <stdio.h>

#include "kluis/evidence.h"
#include "kluis/package.h"

static struct kluis_err err;

static void must(kluis_status rc, const char *what)
{
    if (rc == KLUIS_OK) { return; }
    (void)fprintf(stderr, "export_make: %s: %s\n", what, err.msg);
    _Exit(1);
}

struct party {
    struct kluis_key *key;
    struct kluis_buf cert;
};

static struct party load(const char *home, const char *key, const char *cert)
{
    struct party p = { .key = NULL };
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(pem, 1 << 16);
    must(kluis_path(path, sizeof path, home, key, &err), key);
    must(kluis_key_load(path, &p.key, &err), key);
    must(kluis_path(path, sizeof path, home, cert, &err), cert);
    must(kluis_read_file(path, 1 << 16, &pem, &err), cert);
    kluis_buf_init(&p.cert, KLUIS_CERT_MAX);
    must(kluis_cert_from_pem(kluis_buf_bytes(&pem), &p.cert, &err), cert);
    return p;
}

static void stamp(struct kluis_tsa *tsa, struct kluis_bytes anchor, const struct kluis_imprint *imprint, struct kluis_buf *token)
{
    KLUIS_AUTO_BUF(request, 256);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    must(kluis_time_request_of(imprint, 9, &request, &err), "request");
    must(kluis_tsa_respond(tsa, kluis_buf_bytes(&request), &response, &err), "answer");
    must(kluis_time_accept_of(kluis_buf_bytes(&response), imprint, 9, &anchor, 1, token, NULL, &err), "token");
}

static void seal(const struct party *by, const struct party *ca, struct kluis_tsa *tsa, struct kluis_bytes anchor, struct kluis_bytes manifest,
                 const struct kluis_revoked *revoked, struct kluis_buf *out)
{
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(crl, KLUIS_CRL_MAX);
    struct kluis_imprint imprint = { .digest = KLUIS_SHA256 };
    const int64_t week = INT64_C(7) * 86400 * 1000000;
    must(kluis_seal_sign(by->key, manifest, kluis_buf_bytes(&by->cert), NULL, 0, kluis_now_us(), &plain, &err), "seal");
    must(kluis_seal_imprint(kluis_buf_bytes(&plain), imprint.value, &err), "seal");
    stamp(tsa, anchor, &imprint, &token);
    must(kluis_seal_add_token(kluis_buf_bytes(&plain), kluis_buf_bytes(&token), &stamped, &err), "token");
    must(kluis_crl_issue(revoked, revoked->at_us != KLUIS_TIME_ABSENT, 1, kluis_now_us(), kluis_now_us() + week, ca->key, kluis_buf_bytes(&ca->cert),
                         &crl, &err),
         "list");
    struct kluis_bytes list = kluis_buf_bytes(&crl);
    must(kluis_seal_add_crls(kluis_buf_bytes(&stamped), &list, 1, out, &err), "list");
}

int main(int argc, char **argv)
{
    struct kluis_revoked revoked = { { NULL, 0 }, KLUIS_TIME_ABSENT, 1 };
    int offset = 0, digits = 0;
    if (argc < 4 || argc > 5 || (argc == 5 && !kluis_time_parse(kluis_str_of(argv[4]), &revoked.at_us, &offset, &digits)) ||
        kluis_base_init(&err) != KLUIS_OK || kluis_seal_start(&err) != KLUIS_OK) {
        return 64;
    }
    struct party sealer = load(argv[1], "vault/keys/seal.key", "vault/keys/seal.crt");
    struct party ca = load(argv[1], "vault/keys/device-ca.key", "vault/keys/device-ca.crt");
    struct party time = load(argv[1], "tsa/tsa.key", "tsa/tsa.crt");
    struct kluis_bytes anchor = kluis_buf_bytes(&time.cert);
    struct kluis_tsa *tsa = NULL;
    must(kluis_tsa_new(time.key, anchor, &tsa, &err), "time authority");
    int in_fd = kluis_io_open(argv[2], O_RDONLY, 0), out_fd = kluis_io_open(argv[3], O_RDWR | O_CREAT | O_EXCL, 0644);
    if (in_fd < 0 || out_fd < 0) { return 74; }
    struct kluis_input_fd file = { in_fd, 0, argv[2] };
    struct kluis_input in = kluis_input_from_fd(&file);
    struct kluis_package_facts facts;
    struct kluis_export *x = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(device, KLUIS_CERT_MAX);
    KLUIS_AUTO_BUF(group, 1 << 20);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    kluis_package_facts_init(&facts);
    must(kluis_export_begin(&in, out_fd, &facts, &x, &err), "package");
    must(kluis_export_manifest(x, &manifest, &err), "manifest");
    must(kluis_seal_signer(kluis_buf_bytes(&facts.signature), &device, &err), "device");
    revoked.cert_der = kluis_buf_bytes(&device);
    seal(&sealer, &ca, tsa, anchor, kluis_buf_bytes(&manifest), &revoked, &p7s);
    must(kluis_export_seal(x, kluis_buf_bytes(&p7s), &err), "seal");
    must(kluis_export_group(x, &group, &err), "group");
    struct kluis_evidence_batch *b = NULL;
    struct kluis_imprint root;
    uint8_t other[64];
    kluis_random(other, sizeof other);
    must(kluis_evidence_batch_new(KLUIS_SHA256, &b, &err), "batch");
    must(kluis_evidence_batch_add(b, kluis_buf_bytes(&group), &err), "batch");
    must(kluis_evidence_batch_add(b, (struct kluis_bytes){ other, sizeof other }, &err), "batch");
    must(kluis_evidence_batch_imprint(b, &root, &err), "batch");
    stamp(tsa, anchor, &root, &token);
    must(kluis_evidence_batch_record(b, 0, kluis_buf_bytes(&group), kluis_buf_bytes(&token), &record, &err), "record");
    must(kluis_export_evidence(x, kluis_buf_bytes(&record), &err), "record");
    uint64_t size = 0;
    must(kluis_export_finish(x, &size, &err), "export");
    must(kluis_close_durable(&out_fd, argv[3], &err), "export");
    kluis_evidence_batch_free(b);
    kluis_export_free(x);
    kluis_package_facts_clear(&facts);
    kluis_tsa_free(tsa);
    struct party *all[] = { &sealer, &ca, &time };
    for (size_t i = 0; i < 3; i++) {
        kluis_key_free(all[i]->key);
        kluis_buf_free(&all[i]->cert);
    }
    kluis_close_quiet(&in_fd);
    return 0;
}
