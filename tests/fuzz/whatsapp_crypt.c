/* An encrypted WhatsApp backup, and what it holds: whatever the bytes, a status of the input's fault, and nothing given out that was not verified. */
#include <sys/mman.h>

#include "agent/source/whatsapp_android/crypt.h"
#include "tests/fuzz/fuzz.h"

static int fd = -1;

static void let_go(void) { kluis_close_quiet(&fd); }

void fuzz_setup(void)
{
    fd = memfd_create("crypt", MFD_CLOEXEC);
    MUST(fd >= 0 && atexit(let_go) == 0);
}

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return kluis_buf_ok(ctx, err);
}

static void head_and_key(const uint8_t *p, size_t n)
{
    struct crypt_head h;
    struct kluis_err err = { 0 };
    uint8_t key[32];
    KLUIS_AUTO_BUF(out, 64 << 20);
    const struct kluis_output to = { &out, to_buf };
    kluis_status rc = crypt_head_read((struct kluis_bytes){ p, n < CRYPT_HEAD ? n : CRYPT_HEAD }, n, "it", &h, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
    if (rc != KLUIS_OK) { return; }
    MUST((h.form == 12 || h.form == 14 || h.form == 15) && h.length > 0 && h.length < n && h.length <= CRYPT_HEAD);
    MUST(memchr(h.app_version, 0, sizeof h.app_version) != NULL && memchr(h.suffix, 0, sizeof h.suffix) != NULL);
    /* A key is its own input: the file's tail. */
    kluis_err_clear(&err);
    rc = crypt_key(&h, (struct kluis_bytes){ p + n - (n > 158 ? 158 : n), n > 158 ? 158 : n }, "it", key, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
    memset(key, 7, sizeof key);
    MUST(kluis_io_ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n);
    kluis_err_clear(&err);
    rc = crypt_open(&h, fd, n, "it", key, &to, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT);
}

static void content(const uint8_t *p, size_t n)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(out, 96 << 20);
    const struct kluis_output to = { &out, to_buf };
    struct kluis_input_mem state = { .data = { p, n } };
    const struct kluis_input in = kluis_input_from_mem(&state);
    kluis_status rc = crypt_unpack(&in, "it", &to, &err);
    MUST(rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (fuzz_which(&p, &n, 2) == 0) {
        head_and_key(p, n);
    } else {
        content(p, n);
    }
    return 0;
}
