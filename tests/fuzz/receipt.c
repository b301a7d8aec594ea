/* A receipt: one spelling; then leaf, proof, seal and witnesses are judged. */
#include "kluis/validation.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_trust trust;
static struct kluis_bytes id;

void fuzz_setup(void)
{
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    struct kluis_bytes json = fuzz_world("trust.json");
    MUST(kluis_trust_read(fuzz_str(json.ptr, json.len), fuzz_arena(1 << 20), &trust, NULL) == KLUIS_OK);
    id = fuzz_world("package.id");
    MUST(id.len == 32);
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
    if (rc != KLUIS_OK) { return 0; }
    MUST(kluis_receipt_write(&r, &again, NULL) == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    rc = kluis_receipt_check(&r, &trust, id.ptr, NULL, NULL, FUZZ_NOW, NULL, &layer, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
    return 0;
}
