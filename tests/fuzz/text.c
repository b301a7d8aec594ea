/* What people and machines write down: enrolment codes, times, base64, base32, hex.  A decoder accepts one spelling. */
#include <strings.h>

#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 6);
    struct kluis_str s = fuzz_str(p, n);
    uint8_t raw[2048];
    char text[4200];
    size_t len = 0;
    if (n > 2000) { return 0; }
    if (which == 0) {
        struct kluis_code c, d;
        char out[KLUIS_CODE_TEXT];
        if (kluis_code_read(s, &c, NULL) != KLUIS_OK) { return 0; }
        kluis_code_write(&c, out);
        MUST(kluis_code_read(kluis_str_of(out), &d, NULL) == KLUIS_OK && memcmp(&c, &d, sizeof c) == 0);
    } else if (which == 1) {
        int64_t us;
        int offset, digits;
        char out[KLUIS_TIME_TEXT];
        if (!kluis_time_parse(s, &us, &offset, &digits)) { return 0; }
        size_t w = kluis_time_text(out, us, offset, digits);
        /* "+00:00" is "Z" when written. */
        bool zero = n > 6 && p[n - 1] != 'Z' && offset == 0;
        MUST(zero || (w == n && memcmp(out, p, n) == 0));
    } else if (which == 2) {
        if (kluis_unbase64(s, raw, sizeof raw, &len)) { MUST(kluis_base64(raw, len, text) == n && memcmp(text, p, n) == 0); }
    } else if (which == 3) {
        if (kluis_unbase64url(s, raw, sizeof raw, &len)) { MUST(kluis_base64url(raw, len, text) == n && memcmp(text, p, n) == 0); }
        (void)kluis_nonce_ok(s);
    } else if (which == 4) {
        if (kluis_unbase32(s, raw, sizeof raw, &len)) { MUST(kluis_base32(raw, len, text) == n && strncasecmp(text, s.ptr, n) == 0); }
    } else {
        if (kluis_unhex(s, raw, n / 2)) {
            kluis_hex(raw, n / 2, text);
            MUST(n % 2 == 0 && memcmp(text, p, n) == 0);
        }
        size_t valid = kluis_utf8_valid(s.ptr, n);
        MUST(valid <= n && kluis_utf8_valid(s.ptr, valid) == valid);
    }
    return 0;
}
