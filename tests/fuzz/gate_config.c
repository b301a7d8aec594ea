/* gate.json. */
#include "server/gate/gate.h"
#include "tests/fuzz/fuzz.h"

static int fd = -1;

void fuzz_setup(void)
{
    char path[KLUIS_PATH_MAX];
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "tls.pem", NULL) == KLUIS_OK);
    MUST(kluis_write_file(path, "pem", 3, 0600, NULL) == KLUIS_OK);
    MUST(kluis_path(path, sizeof path, fuzz_dir(), "gate.json", NULL) == KLUIS_OK);
    fd = fuzz_file(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    /* Paths in it would be opened: only those of this folder. */
    if (n > 0 && (memchr(p, '/', n) != NULL || memmem(p, n, "\\u002", 5) != NULL)) { return 0; }
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(4 << 20);
    struct gate_config c;
    struct kluis_err err = { 0 };
    kluis_status rc = gate_config_read(fuzz_dir(), arena, &c, &err);
    MUST(rc == err.code);
    if (rc == KLUIS_OK) { MUST(c.tls_cert_pem.len > 0 && c.tls_key_pem.len > 0 && c.vault_spki.len > 0 && c.n_tsa <= 8); }
    return 0;
}
