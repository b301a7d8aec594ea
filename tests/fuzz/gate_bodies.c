/* Bodies that the vault sends to the gate, a stranger's as far as the gate knows: done, bundle, outbox, mirror, register, on a real database. */
#include "server/gate/store.h"
#include "tests/fuzz/fuzz.h"

enum { FRESH_EVERY = 4096 };
static struct gate_store *store;
static char path[KLUIS_PATH_MAX];
static const struct gate_limits LIMITS = {
    .queue = 1000, .queue_per_device = 1000, .outbox = 1000, .enrol_waiting = 16, .uploads_per_device = 8, .upload_days = 7, .upload_bytes = 1 << 20
};

static void fresh(void)
{
    static const char *const tails[] = { "", "-wal", "-shm" };
    gate_store_free(store);
    store = NULL;
    for (size_t i = 0; i < 3; i++) {
        char file[KLUIS_PATH_MAX + 8];
        (void)snprintf(file, sizeof file, "%s%s", path, tails[i]);
        (void)remove(file);
    }
    struct kluis_err err = { 0 };
    MUST(gate_store_open(&store, path, &LIMITS, (const char *)fuzz_world("vkey.txt").ptr, &err) == KLUIS_OK);
}

static void let_go(void) { gate_store_free(store); }

void fuzz_setup(void)
{
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "gate.db", NULL) == KLUIS_OK && atexit(let_go) == 0);
    fresh();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static unsigned runs;
    if (++runs % FRESH_EVERY == 0 && runs / FRESH_EVERY < 20) { fresh(); }
    unsigned which = fuzz_which(&p, &n, 5);
    struct kluis_bytes body = { p, n };
    struct kluis_err err = { 0 };
    uint64_t count = 0;
    bool lower = false;
    KLUIS_AUTO_BUF(out, 8 << 20);
    kluis_status rc = which == 0   ? gate_store_done(store, body, &out, &err)
                      : which == 1 ? gate_store_bundle_put(store, body, &count, &lower, &err)
                      : which == 2 ? gate_store_outbox_put(store, body, &out, &err)
                      : which == 3 ? gate_mirror_append(store, body, &count, &out, &err)
                                   : gate_journal_append(store, body, &count, &err);
    MUST(rc == err.code);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT || rc == KLUIS_E_BUSY || rc == KLUIS_E_EXISTS);
    if (which == 3) {
        uint64_t size = 0;
        kluis_buf_clear(&out);
        rc = gate_mirror_read(store, 0, &out, &size, NULL);
        MUST((rc == KLUIS_OK || rc == KLUIS_END) && size <= count);
    }
    if (which == 4) {
        uint64_t size = 0;
        kluis_buf_clear(&out);
        kluis_status read = gate_journal_read(store, 0, &out, &size, NULL);
        MUST((read == KLUIS_OK || read == KLUIS_END) && (rc != KLUIS_OK || size == count));
    }
    struct gate_status s;
    MUST(gate_store_status(store, &s, NULL) == KLUIS_OK);
    return 0;
}
