/* trust.json: what is read can be written, and then reads as the same. */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(16 << 20);
    KLUIS_AUTO_BUF(once, 16 << 20);
    KLUIS_AUTO_BUF(twice, 16 << 20);
    struct kluis_trust t, u;
    struct kluis_err err = { 0 };
    kluis_status rc = kluis_trust_read(fuzz_str(p, n), arena, &t, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    MUST(t.witness_threshold <= t.n_witnesses);
    MUST(kluis_trust_write(&t, &once, NULL) == KLUIS_OK);
    MUST(kluis_trust_read((struct kluis_str){ (const char *)once.data, once.len }, arena, &u, NULL) == KLUIS_OK);
    MUST(kluis_trust_write(&u, &twice, NULL) == KLUIS_OK);
    MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    return 0;
}
