/* What an opener says is in a package: read as a stranger's, written again the same. */
#include "server/index/index.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(32 << 20);
    KLUIS_AUTO_BUF(again, 32 << 20);
    struct index_package out;
    struct kluis_err err = { 0 };
    kluis_status rc = index_package_read((struct kluis_bytes){ p, n }, arena, &out, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    MUST(index_package_write(&out, &again, NULL) == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    return 0;
}
