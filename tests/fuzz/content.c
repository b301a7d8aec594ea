/* Encrypted content under a key that is known: what comes out whole is what went in, and its length is the only one possible. */
#include "kluis/envelope.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const uint8_t key[32] = { 'f', 'u', 'z', 'z' };
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    struct kluis_input_mem m = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&m);
    struct kluis_err err = { 0 };
    kluis_status rc = kluis_content_open(&r, key, &in, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    struct kluis_input plain = kluis_content_input(r);
    uint8_t piece[777];
    uint64_t got = 0;
    ssize_t some;
    while ((some = plain.read(plain.ctx, piece, sizeof piece, &err)) > 0) { got += (uint64_t)some; }
    MUST(got <= kluis_content_length(r));
    MUST((some < 0) == (err.code != KLUIS_OK));
    if (some == 0) { MUST(got == kluis_content_length(r) && kluis_content_cipher_length(got) == n); }
    return 0;
}
