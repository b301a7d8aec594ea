/* A time authority's answer to a request that is known. */
#include "kluis/seal.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_bytes imprint, root;
static int64_t clock_us = FUZZ_NOW;

static int64_t moving_now(void) { return clock_us; }
static const struct kluis_hooks MOVING = { .now_us = moving_now };

void fuzz_setup(void)
{
    kluis_hooks_set(&MOVING);
    MUST(kluis_seal_warm(NULL) == KLUIS_OK);
    imprint = fuzz_world("imprint.bin");
    MUST(imprint.len == 32);
    root = fuzz_world("root.der");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    struct kluis_err err = { 0 };
    int64_t when = KLUIS_TIME_ABSENT;
    kluis_status rc = kluis_time_accept((struct kluis_bytes){ p, n }, imprint.ptr, 0x8123456789abcdef, &root, 1, &token, &when, &err);
    MUST(rc == err.code && (rc == KLUIS_OK) == (token.len > 0));
    MUST(rc != KLUIS_OK || when != KLUIS_TIME_ABSENT);
    /* What this computer's clock contradicts is not accepted. */
    clock_us = (rc == KLUIS_OK ? when : FUZZ_NOW) + 2 * KLUIS_TIME_SLACK_US;
    kluis_buf_clear(&token);
    MUST(kluis_time_accept((struct kluis_bytes){ p, n }, imprint.ptr, 0x8123456789abcdef, &root, 1, &token, &when, NULL) != KLUIS_OK ||
         rc != KLUIS_OK);
    clock_us = FUZZ_NOW;
    /* With another imprint nothing is accepted. */
    uint8_t other[32] = { 1 };
    kluis_buf_clear(&token);
    MUST(kluis_time_accept((struct kluis_bytes){ p, n }, other, 0x8123456789abcdef, &root, 1, &token, &when, NULL) != KLUIS_OK);
    return 0;
}
