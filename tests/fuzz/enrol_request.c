/* A stranger's request to be enrolled, behind its MAC: fields, keys, and the certificates that would be made of them. */
#include "server/ingest/enrol.c" /* its readers are its own */
#include "tests/fuzz/fuzz.h"

static struct vault_keys keys;

void fuzz_setup(void)
{
    KLUIS_AUTO_BUF(spki, 1024);
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    MUST(kluis_key_generate(&keys.device_ca, NULL) == KLUIS_OK && kluis_key_public(keys.device_ca, &spki, NULL) == KLUIS_OK);
    kluis_buf_init(&keys.device_ca_cert, KLUIS_CERT_MAX);
    const struct kluis_cert_request q = {
        .role = KLUIS_CERT_ROOT, .common_name = "root", .spki_der = kluis_buf_bytes(&spki), .from_us = FUZZ_NOW, .to_us = FUZZ_NOW + 1000000000
    };
    MUST(kluis_cert_issue(&q, keys.device_ca, (struct kluis_bytes){ NULL, 0 }, &keys.device_ca_cert, NULL) == KLUIS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_enrol_request r;
    struct kluis_err e = { 0 };
    char device[33] = "";
    if (kluis_enrol_request_read((struct kluis_bytes){ p, n }, &r, &e) != KLUIS_OK) {
        MUST(e.code == KLUIS_E_REJECT);
        return 0;
    }
    MUST(r.device_spki.len <= KLUIS_ENROL_SPKI_MAX && r.login_spki.len <= KLUIS_ENROL_SPKI_MAX);
    /* What was read is written back to the same bytes, but for the code's name and the MAC, which are the code's. */
    static struct kluis_code_keys code;
    KLUIS_AUTO_BUF(again, KLUIS_ENROL_REQUEST_MAX);
    memcpy(code.id, r.code_id, sizeof code.id);
    MUST(kluis_enrol_request_write(&r, &code, &again, NULL) == KLUIS_OK && again.len == n && memcmp(again.data, p, n - 32) == 0);
    MUST(kluis_enrol_request_check(kluis_buf_bytes(&again), &code, NULL) == KLUIS_OK);
    const struct kluis_bytes spki[] = { r.device_spki, r.login_spki };
    for (size_t i = 0; i < 2; i++) {
        KLUIS_AUTO_BUF(cert, KLUIS_CERT_MAX);
        struct kluis_err err = { 0 };
        kluis_status rc =
            issue(&keys, i == 0 ? KLUIS_CERT_DEVICE : KLUIS_CERT_LOGIN, "00112233445566778899aabbccddeeff", spki[i], FUZZ_NOW, &cert, &err);
        MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
        MUST(rc != KLUIS_OK || same_key(kluis_buf_bytes(&cert), spki[i], &err) == KLUIS_OK);
        if (rc != KLUIS_OK) { break; }
    }
    struct kluis_err other = { 0 };
    (void)reply_is_for((struct kluis_bytes){ p, n }, &r, device, &other);
    return 0;
}
