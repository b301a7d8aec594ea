/* The reply to an enrolment, its MAC made to fit: everything that is checked behind it. */
#include "agent/courier/enrol.c" /* its readers are its own */
#include "tests/fuzz/fuzz.h"

static struct kluis_buf request;
static struct kluis_code code;
static struct kluis_code_keys keys;
static struct fresh mine;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    kluis_buf_init(&request, 64);
    kluis_buf_cstr(&request, "request");
    KLUIS_AUTO_BUF(spki, 4096);
    uint8_t sha[32];
    MUST(kluis_cert_spki(fuzz_world("root.der"), &spki, NULL) == KLUIS_OK);
    kluis_sha256_of(spki.data, spki.len, sha);
    memcpy(code.root, sha, sizeof code.root);
    MUST(kluis_code_derive(code.secret, &keys, NULL) == KLUIS_OK);
    kluis_buf_init(&mine.device_spki, 1024);
    kluis_buf_init(&mine.login_spki, 1024);
    MUST(kluis_cert_spki(fuzz_world("device.der"), &mine.device_spki, NULL) == KLUIS_OK);
    MUST(kluis_cert_spki(fuzz_world("login.der"), &mine.login_spki, NULL) == KLUIS_OK);
}

/* Input: a reply up to its MAC, which is added here, or a whole refusal. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_enrol_reply r = { .device = "" };
    struct kluis_err err = { 0 };
    uint8_t mac[32], sha[32];
    if (n > 200000) { return 0; }
    KLUIS_AUTO_BUF(bound, KLUIS_ENROL_REPLY_MAX + 64);
    KLUIS_AUTO_BUF(raw, KLUIS_ENROL_REPLY_MAX);
    kluis_buf_add(&raw, p, n);
    kluis_sha256_of(request.data, request.len, sha);
    kluis_buf_add(&bound, sha, 32);
    kluis_buf_add(&bound, p, n);
    MUST(kluis_hmac_sha256(keys.reply, sizeof keys.reply, bound.data, bound.len, mac, NULL) == KLUIS_OK);
    if (n > 0) {
        if (memcmp(p, "\0\0\0\x1a", n < 4 ? n : 4) != 0 || n < 31 || memmem(p, 31, "reply", 5) != NULL) { kluis_wire_field(&raw, mac, 32); }
    }
    kluis_status rc = read_reply(kluis_buf_bytes(&raw), &request, &keys, &r, &err);
    MUST(rc == err.code);
    if (rc == KLUIS_OK) { /* one spelling */
        kluis_buf_clear(&bound);
        MUST(kluis_enrol_reply_write(&r, kluis_buf_bytes(&request), &keys, &bound, NULL) == KLUIS_OK);
        MUST(bound.len == raw.len && memcmp(bound.data, raw.data, raw.len) == 0);
    }
    if (rc == KLUIS_OK) {
        rc = check_reply(&r, &mine, &code, &err);
        MUST(rc == err.code && (rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT));
    }
    return 0;
}
