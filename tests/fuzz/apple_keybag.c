/* The keybag of an encrypted backup: read within its bounds, opened by no password it was not made with. */
#include "agent/source/apple_backup/backup.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct keybag b;
    struct class_keys keys;
    struct kluis_err err = { 0 };
    static const uint8_t word[] = "geheim";
    kluis_status rc = keybag_read((struct kluis_bytes){ p, n }, &b, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT);
    if (rc != KLUIS_OK) { return 0; }
    MUST(b.n > 0 && b.n <= BACKUP_CLASSES && b.iterations > 0);
    for (size_t i = 0; i < b.n; i++) {
        MUST(b.classes[i].wrapped.ptr == NULL ||
             (b.classes[i].wrapped.ptr >= p && b.classes[i].wrapped.ptr + 40 <= p + n && b.classes[i].wrapped.len == 40));
    }
    if (b.iterations > 2000 || b.double_iterations > 2000) { return 0; } /* time, not memory, is what rounds cost */
    rc = keybag_open(&b, (struct kluis_bytes){ word, 6 }, &keys, &err);
    MUST(rc == KLUIS_E_REJECT || (rc == KLUIS_OK && keys.n > 0));
    return 0;
}
