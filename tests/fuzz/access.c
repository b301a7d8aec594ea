/* What the page server asks of the vault: the first byte is the kind, the rest the body.  What is read is within its ceilings and written again the
 * same. */
#include "server/access/access.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct access_request r;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(again, ACCESS_REQUEST_MAX);
    if (n == 0 || n > ACCESS_REQUEST_MAX) { return 0; }
    kluis_status rc = access_request_read((char)p[0], (struct kluis_bytes){ p + 1, n - 1 }, &r, &err);
    MUST(rc == err.code && (rc == KLUIS_OK || rc == KLUIS_E_REJECT));
    if (rc != KLUIS_OK) { return 0; }
    MUST((char)r.what == (char)p[0] && r.limit <= ACCESS_PAGE_MAX && r.before <= ACCESS_AROUND_MAX && r.after <= ACCESS_AROUND_MAX);
    MUST(r.key.len == 0 || r.key.len == ACCESS_KEY_LEN);
    MUST(r.what != ACCESS_HELLO || (r.address.len > 0 && r.address.len < ACCESS_ADDRESS_MAX));
    MUST(access_request_write(&r, &again, NULL) == KLUIS_OK && again.len == n - 1 && memcmp(again.data, p + 1, n - 1) == 0);
    return 0;
}
