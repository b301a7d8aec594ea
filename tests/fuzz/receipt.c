/* A receipt: one spelling; then leaf, proof, seal and witnesses are judged, alone and as part of a package's verdict. */
#include "kluis/validation.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_trust trust;
static struct kluis_bytes id, package;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    kluis_package_warm();
    package = fuzz_world("package.asice");
    struct kluis_bytes json = fuzz_world("trust.json");
    MUST(kluis_trust_read(fuzz_str(json.ptr, json.len), fuzz_arena(1 << 20), &trust, NULL) == KLUIS_OK);
    id = fuzz_world("package.id");
    MUST(id.len == 32);
}

/* What the package's verdict says of the receipt. */
static void with_package(struct kluis_str receipt, bool form, bool holds)
{
    struct kluis_input_mem m = { package, 0 };
    struct kluis_input in = kluis_input_from_mem(&m);
    struct kluis_verdict v;
    MUST(kluis_validate(&in, receipt, &trust, NULL, FUZZ_NOW, &v, NULL) == KLUIS_OK && v.layer[KLUIS_V_SIGNATURE].state == KLUIS_L_VALID);
    MUST(form || receipt.len == 0 || v.layer[KLUIS_V_RECEIPT].state == KLUIS_L_INVALID);
    MUST(!holds || (v.layer[KLUIS_V_RECEIPT].state == KLUIS_L_VALID && v.layer[KLUIS_V_LEDGER].state == KLUIS_L_VALID));
    kluis_verdict_clear(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(8 << 20);
    KLUIS_AUTO_BUF(again, 8 << 20);
    struct kluis_receipt r;
    struct kluis_err err = { 0 };
    enum kluis_layer layer = KLUIS_V_LAYERS;
    kluis_status rc = kluis_receipt_read(fuzz_str(p, n), arena, &r, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) {
        if (n < 64 || n % 16 == 0) { with_package(fuzz_str(p, n), false, false); } /* a package takes its time: of what is no receipt only some */
        return 0;
    }
    MUST(kluis_receipt_write(&r, &again, NULL) == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    rc = kluis_receipt_check(&r, &trust, id.ptr, NULL, NULL, FUZZ_NOW, NULL, &layer, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
    with_package(fuzz_str(p, n), true, rc == KLUIS_OK);
    return 0;
}
