/* A session message, to a device and a vault that have one session: the library's own parsers sit behind this. */
#include "tests/fuzz/session_world.h"

void fuzz_setup(void) { session_world_make(); }

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 4); /* by whom: 0 a vault that knows nobody, 1 a vault in session, 2, 3 the device */
    struct session_store s;
    session_store_copy(&s, which == 0 ? &session_world.vault_new : which == 1 ? &session_world.vault : &session_world.device);
    bool device = which > 1;
    struct kluis_session *session = NULL;
    struct kluis_err err = { 0 };
    uint32_t used = 0;
    KLUIS_AUTO_BUF(plain, KLUIS_SESSION_PLAIN_MAX);
    MUST(kluis_session_open(&session, &s.api, device ? &session_world.me : &session_world.them, device ? "vault" : "device",
                            device ? session_world.them.public_key : session_world.me.public_key, &err) == KLUIS_OK);
    kluis_status rc = kluis_session_decrypt(session, (struct kluis_bytes){ p, n }, &plain, &used, &err);
    MUST(rc == err.code && (rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_EXISTS || rc == KLUIS_E_NOTFOUND || rc == KLUIS_E_LIMIT));
    /* Nothing that was not sent is ever opened: the seeds' text is all there is. */
    if (rc == KLUIS_OK) { MUST(plain.len == sizeof SESSION_TEXT - 1 && memcmp(plain.data, SESSION_TEXT, plain.len) == 0); }
    kluis_session_free(session);
    return 0;
}
