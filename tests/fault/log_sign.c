/* Promise: whatever allocation fails while the log's key is read out or a checkpoint is signed, nothing wrong is given out as right: the public key
 * is the key's, a checkpoint opens with it, or it is said that there was no memory.
 *
 * libgcrypt signs with what it has when memory is refused to it at two of its places, and says that all is well: a checkpoint like that was kept,
 * and no gate would ever take it. */
#include "tests/fault/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "kluis/ledger.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static const uint8_t seed[32] = { 1, 2, 3 };
static char right[KLUIS_VKEY_MAX];

static kluis_status vkey(char out[KLUIS_VKEY_MAX], struct kluis_err *err)
{
    uint8_t public_key[32];
    KLUIS_TRY(kluis_ledger_public(seed, public_key, err));
    return kluis_vkey_write("log.example.nl/1", public_key, out, err);
}

static void prepare(void *ctx, const char *dir) { (void)ctx, (void)dir; }

static kluis_status make(const char *dir, struct kluis_err *err)
{
    struct kluis_checkpoint c = { .origin = "log.example.nl/1", .size = 6, .head = { { 7 } } };
    char key[KLUIS_VKEY_MAX], path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_TRY(vkey(key, err));
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "vkey", NULL));
    KLUIS_TRY(kluis_write_file(path, key, strlen(key), 0600, err));
    KLUIS_TRY(kluis_checkpoint_sign(&c, seed, &text, err));
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "checkpoint", NULL));
    return kluis_write_file(path, text.data, text.len, 0600, err);
}

static int act(void *ctx, const char *dir)
{
    struct kluis_err err = { 0 };
    (void)ctx;
    kluis_status rc = make(dir, &err);
    return rc == KLUIS_OK ? 0 : kluis_exit_code(rc);
}

/* False: not there. */
static bool made(const char *dir, const char *name, struct kluis_buf *out)
{
    char path[KLUIS_PATH_MAX];
    OK(kluis_path(path, sizeof path, dir, name, NULL));
    kluis_status rc = kluis_read_file(path, KLUIS_CHECKPOINT_MAX, out, NULL);
    assert_true(rc == KLUIS_OK || rc == KLUIS_E_NOTFOUND);
    return rc == KLUIS_OK;
}

static void judge(void *ctx, const char *dir, const struct fault_outcome *o)
{
    struct kluis_checkpoint c;
    KLUIS_AUTO_BUF(key, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    (void)ctx;
    bool has_key = made(dir, "vkey", &key), has_text = made(dir, "checkpoint", &text);
    if (has_key) {
        assert_int_equal(key.len, strlen(right));
        assert_memory_equal(key.data, right, key.len);
    }
    if (has_text) { OK(kluis_checkpoint_open((struct kluis_str){ (const char *)text.data, text.len }, right, &c, NULL)); }
    if (!o->died && o->code == 0) { assert_true(has_key && has_text); }
}

int main(int argc, char **argv)
{
    const struct fault_subject s = {
        .name = "log signature", .prepare = prepare, .act = act, .judge = judge, .minimum = { [FAULT_ALLOC] = 300 }, .warm = 1
    };
    OK(kluis_base_init(NULL));
    OK(vkey(right, NULL));
    return fault_main(argc, argv, &s, 1);
}
