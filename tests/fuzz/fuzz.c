/* tests/fuzz/fuzz.c - see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#pragma weak fuzz_setup

static int64_t fixed_now(void) { return FUZZ_NOW; }
static const struct kluis_hooks HOOKS = { .now_us = fixed_now };

void fuzz_must(bool held, const char *what, const char *where)
{
    if (held) { return; }
    (void)fprintf(stderr, "%s: does not hold: %s\n", where, what);
    abort();
}

int LLVMFuzzerInitialize(KLUIS_UNUSED int *argc, KLUIS_UNUSED char ***argv)
{
    kluis_hooks_set(&HOOKS);
    MUST(kluis_base_init(NULL) == KLUIS_OK);
    if (fuzz_setup != NULL) { fuzz_setup(); }
    return 0;
}

struct kluis_bytes fuzz_world(const char *name)
{
    static struct kluis_buf kept[32];
    static size_t n;
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    MUST(n < 32);
    struct kluis_buf *b = &kept[n++];
    kluis_buf_init(b, 1 << 20);
    MUST(kluis_path(path, sizeof path, FUZZ_WORLD, name, &err) == KLUIS_OK);
    if (kluis_read_file(path, 1 << 20, b, &err) != KLUIS_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    size_t len = b->len;
    kluis_buf_byte(b, 0);
    MUST(b->status == KLUIS_OK);
    return (struct kluis_bytes){ b->data, len };
}

static struct kluis_arena *lasting;
static void release(void) { kluis_arena_free(lasting); }

struct kluis_arena *fuzz_arena(size_t bytes)
{
    MUST(lasting == NULL);
    lasting = kluis_arena_new(bytes);
    MUST(lasting != NULL && atexit(release) == 0);
    return lasting;
}

static char dir[64];

static int gone(const char *path, KLUIS_UNUSED const struct stat *st, KLUIS_UNUSED int type, KLUIS_UNUSED struct FTW *at) { return remove(path); }
static void sweep(void) { (void)nftw(dir, gone, 8, FTW_DEPTH | FTW_PHYS); }

const char *fuzz_dir(void)
{
    if (dir[0] != 0) { return dir; }
    (void)snprintf(dir, sizeof dir, "%s/kluis-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    MUST(mkdtemp(dir) != NULL);
    MUST(atexit(sweep) == 0);
    return dir;
}

static int kept_fd = -1;
static void let_go(void) { kluis_close_quiet(&kept_fd); }

int fuzz_file(const char *path)
{
    MUST(kept_fd < 0);
    kept_fd = kluis_io_open(path, O_RDWR | O_CREAT, 0600);
    MUST(kept_fd >= 0 && atexit(let_go) == 0);
    return kept_fd;
}
