/* Delivery, answer and prekey bundle: one encoding each. */
#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 3);
    struct kluis_bytes data = { p, n };
    struct kluis_delivery d;
    struct kluis_answer a;
    struct kluis_bundle b;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(again, 2 << 20);
    kluis_status rc = which == 0   ? kluis_delivery_read(data, &d, &err)
                      : which == 1 ? kluis_answer_read(data, &a, &err)
                                   : kluis_bundle_read(data, &b, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    rc = which == 0   ? kluis_delivery_write(&d, &again, &err)
         : which == 1 ? kluis_answer_write(&a, &again, &err)
                      : kluis_bundle_write(&b, &again, &err);
    MUST(rc == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    return 0;
}
