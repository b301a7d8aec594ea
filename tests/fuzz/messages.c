/* Delivery, answer, prekey bundle, holdings and the state of the log: one encoding each. */
#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 5);
    struct kluis_bytes data = { p, n };
    struct kluis_delivery d;
    struct kluis_answer a;
    struct kluis_bundle b;
    static struct kluis_holding held[KLUIS_HOLDINGS_MAX];
    static struct kluis_log_note note;
    size_t n_held = 0;
    uint64_t log_size = 0;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(again, 2 << 20);
    kluis_status rc = which == 0   ? kluis_delivery_read(data, &d, &err)
                      : which == 1 ? kluis_answer_read(data, &a, &err)
                      : which == 2 ? kluis_bundle_read(data, &b, &err)
                      : which == 3 ? kluis_holdings_read(data, held, &n_held, &log_size, &err)
                                   : kluis_log_read(data, &note, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    rc = which == 0   ? kluis_delivery_write(&d, &again, &err)
         : which == 1 ? kluis_answer_write(&a, &again, &err)
         : which == 2 ? kluis_bundle_write(&b, &again, &err)
         : which == 3 ? kluis_holdings_write(held, n_held, log_size, &again, &err)
                      : kluis_log_write(&note, &again, &err);
    MUST(rc == KLUIS_OK && again.len == n && memcmp(again.data, p, n) == 0);
    return 0;
}
