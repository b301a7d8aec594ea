/* whatsapp_crypt.c - other people's encrypted backups open to exactly the database beside them, and to nothing when cut, altered or under a wrong
 * key.
 *
 * whatsapp_crypt FIXTURES (ElDavoo/wa-crypt-tools, tests/res), or $KLUIS_FIXTURES/whatsapp-crypt.  Every msgstore*.crypt12/14/15 in the folder is
 * opened.  Exit 77: not there.
 */
#include "agent/source/whatsapp_android/crypt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX = 64 << 20 };
static int checks;
#define CHECK(ok, ...)                                                                                                                               \
    do {                                                                                                                                             \
        checks++;                                                                                                                                    \
        if (!(ok)) {                                                                                                                                 \
            (void)fprintf(stderr, "whatsapp_crypt: " __VA_ARGS__);                                                                                   \
            (void)fprintf(stderr, "\n");                                                                                                             \
            exit(1);                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    kluis_buf_add(ctx, p, n);
    return kluis_buf_ok(ctx, err);
}

static kluis_status open_bytes(const uint8_t *p, size_t n, struct kluis_bytes given, struct kluis_buf *out, struct kluis_err *err)
{
    struct crypt_head h;
    uint8_t key[32];
    KLUIS_AUTO_BUF(packed, MAX);
    const struct kluis_output to = { &packed, to_buf }, plain = { out, to_buf };
    KLUIS_TRY(crypt_head_read((struct kluis_bytes){ p, n < CRYPT_HEAD ? n : CRYPT_HEAD }, n, "it", &h, err));
    KLUIS_TRY(crypt_key(&h, given, "it", key, err));
    int fd = memfd_create("crypt", MFD_CLOEXEC);
    kluis_status rc = kluis_write_all(fd, p, n, "copy", err);
    if (rc == KLUIS_OK) { rc = crypt_open(&h, fd, n, "it", key, &to, err); }
    kluis_close_quiet(&fd);
    KLUIS_TRY(rc);
    struct kluis_input_mem state = { .data = kluis_buf_bytes(&packed) };
    const struct kluis_input in = kluis_input_from_mem(&state);
    return crypt_unpack(&in, "it", &plain, err);
}

static void one(const char *dir, const char *name, const uint8_t want[32])
{
    char path[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    uint8_t sha[32];
    KLUIS_AUTO_BUF(file, MAX);
    KLUIS_AUTO_BUF(key, CRYPT_KEY_MAX);
    KLUIS_AUTO_BUF(out, MAX);
    const bool c15 = strstr(name, "crypt15") != NULL;
    CHECK(kluis_path(path, sizeof path, dir, name, &err) == KLUIS_OK, "%s", err.msg);
    CHECK(kluis_read_file(path, MAX, &file, &err) == KLUIS_OK, "%s", err.msg);
    CHECK(kluis_path(path, sizeof path, dir, c15 ? "encrypted_backup.key" : "key", &err) == KLUIS_OK, "%s", err.msg);
    CHECK(kluis_read_file(path, CRYPT_KEY_MAX, &key, &err) == KLUIS_OK, "%s", err.msg);
    CHECK(open_bytes(file.data, file.len, kluis_buf_bytes(&key), &out, &err) == KLUIS_OK, "%s: %s", name, err.msg);
    kluis_sha256_of(out.data, out.len, sha);
    CHECK(memcmp(sha, want, 32) == 0, "%s: opens to something else than msgstore.db", name);
    if (c15) {
        static const char digits[] = "6730a595a1484d0c39c101dc0ac82ec5e401bb6f0e1b8ee2dc104a6b3687f017";
        kluis_buf_clear(&out);
        CHECK(open_bytes(file.data, file.len, (struct kluis_bytes){ (const uint8_t *)digits, 64 }, &out, &err) == KLUIS_OK, "64 digits: %s", err.msg);
    }
    uint8_t other[32] = { 1, 2, 3 };
    kluis_err_clear(&err);
    kluis_buf_clear(&out);
    CHECK(open_bytes(file.data, file.len, (struct kluis_bytes){ other, 32 }, &out, &err) == KLUIS_E_REJECT && out.len == 0 &&
              strstr(err.msg, "wrong key") != NULL,
          "%s: a wrong key is not told: %s", name, err.msg);
    for (size_t n = 0; n < file.len; n += 1024) {
        kluis_err_clear(&err);
        kluis_buf_clear(&out);
        CHECK(open_bytes(file.data, n, kluis_buf_bytes(&key), &out, &err) == KLUIS_E_REJECT && out.len == 0, "%s cut at %zu is taken", name, n);
    }
    for (size_t i = 0; i < 300; i++) { /* the head bit by bit, then spread over the rest; the MD5 and what stands after it are no seal */
        size_t at = i < 150 ? i : 150 + (i - 150) * (file.len - 200) / 150;
        file.data[at] ^= (uint8_t)(1u << (i % 8));
        kluis_err_clear(&err);
        kluis_buf_clear(&out);
        kluis_status rc = open_bytes(file.data, file.len, kluis_buf_bytes(&key), &out, &err);
        if (rc == KLUIS_OK) { /* a statement about the app that nothing here depends on */
            kluis_sha256_of(out.data, out.len, sha);
            CHECK(i < 200 && memcmp(sha, want, 32) == 0, "%s with bit %zu changed opens to something else", name, i);
        } else {
            CHECK(rc == KLUIS_E_REJECT && out.len == 0, "%s with bit %zu changed: status %d", name, i, rc);
        }
        file.data[at] ^= (uint8_t)(1u << (i % 8));
    }
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    char folder[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    uint8_t want[32];
    KLUIS_AUTO_BUF(db, MAX);
    const char *given = getenv("KLUIS_FIXTURES");
    if (argc != 2 || kluis_base_init(&err) != KLUIS_OK) { return 64; }
    (void)snprintf(folder, sizeof folder, "%s%s", given != NULL ? given : argv[1], given != NULL ? "/whatsapp-crypt" : "");
    CHECK(kluis_path(path, sizeof path, folder, "msgstore.db", &err) == KLUIS_OK, "%s", err.msg);
    if (access(path, R_OK) != 0) {
        (void)printf("whatsapp_crypt: %s is not on this machine: skipped\n", folder);
        return 77;
    }
    CHECK(kluis_read_file(path, MAX, &db, &err) == KLUIS_OK, "%s", err.msg);
    kluis_sha256_of(db.data, db.len, want);
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, "msgstore", 8) == 0 && strstr(e->d_name, ".crypt1") != NULL) {
            one(folder, e->d_name, want);
            n++;
        }
    }
    if (d != NULL) { (void)closedir(d); }
    CHECK(n >= 2, "only %d backups seen", n);
    (void)printf("whatsapp_crypt: %d backups, %d checks\n", n, checks);
    return 0;
}
