/* agent/command_packages.c - packages --export: what was taken, for the person it was taken from and for any verifier. */
#include "agent/command.h"

#include "agent/journal/stock.h"
#include "kluis/envelope.h"
#include "kluis/validation.h"

#include <errno.h>
#include <fcntl.h>

enum { BLOCK = 65536 };

/* Decrypts packages/<id>.ckc; what comes out must be the package of that id. */
static kluis_status decrypt(struct home *h, const struct stock_package *p, int out, const char *name, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    uint8_t sha[32];
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    KLUIS_AUTO(kluis_sha256) hash = kluis_sha256_new();
    KLUIS_TRY(stock_file(h, p->id, path, err));
    int fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_CORRUPT, "cannot read the package '%s'", path); }
    struct kluis_input_fd from = { fd, 0, path };
    struct kluis_input in = kluis_input_from_fd(&from);
    uint8_t *key = kluis_secret_new(32), *block = kluis_malloc(BLOCK);
    kluis_status rc =
        key == NULL || block == NULL || hash == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to export") : stock_key(h, p->id, key, err);
    if (rc == KLUIS_OK) { rc = kluis_content_open(&r, key, &in, err); }
    kluis_secret_free(key, 32);
    if (rc == KLUIS_OK) {
        struct kluis_input plain = kluis_content_input(r);
        for (ssize_t n = 1; rc == KLUIS_OK && n > 0;) {
            n = plain.read(plain.ctx, block, BLOCK, err);
            if (n < 0) { rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the package '%s' is damaged: restore the home folder", path); }
            if (n > 0) {
                kluis_sha256_add(hash, block, (size_t)n);
                rc = kluis_write_all(out, block, (size_t)n, name, err);
            }
        }
    }
    kluis_free(block);
    kluis_close_quiet(&fd);
    KLUIS_TRY(rc);
    kluis_sha256_end(hash, sha);
    return memcmp(sha, p->id, sizeof sha) == 0 ? KLUIS_OK
                                               : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the package '%s' is damaged: restore the home folder", path);
}

static kluis_status export_package(struct home *h, const struct stock_package *p, const char *dir, struct kluis_err *err)
{
    char hex[65], name[96], tmp[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    kluis_hex(p->id, 32, hex);
    (void)snprintf(name, sizeof name, "%s.asice.part", hex);
    KLUIS_TRY(kluis_path(tmp, sizeof tmp, dir, name, err));
    (void)snprintf(name, sizeof name, "%s.asice", hex);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    int fd = kluis_io_open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make '%s'", tmp); }
    kluis_status rc = decrypt(h, p, fd, tmp, err);
    if (rc == KLUIS_OK) { rc = kluis_close_durable(&fd, tmp, err); }
    if (rc == KLUIS_OK) { rc = kluis_publish_file(tmp, path, "agent.export.renamed", err); }
    if (rc != KLUIS_OK) {
        kluis_close_quiet(&fd);
        if (kluis_io_unlink(tmp) != 0 && errno != ENOENT) { kluis_err_prefix(err, "an unfinished file stays"); }
    }
    return rc;
}

static kluis_status export_receipt(struct home *h, const uint8_t id[32], const char *dir, bool *have, struct kluis_err *err)
{
    char hex[65], name[96], path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(body, KLUIS_RECEIPT_MAX);
    kluis_status rc = stock_receipt(h, id, &body, err);
    *have = rc == KLUIS_OK;
    if (rc == KLUIS_END) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    kluis_hex(id, 32, hex);
    (void)snprintf(name, sizeof name, "%s.receipt.json", hex);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    return kluis_write_file(path, body.data, body.len, 0600, err);
}

/* What shows that the archive's log was not believed: both checkpoints, each a signed note with its seal, so that anybody can check them. */
static kluis_status export_conflict(struct home *h, const char *dir, struct kluis_err *err)
{
    static const char *const name[2] = { "log-known", "log-shown" };
    char path[KLUIS_PATH_MAX], file[32];
    KLUIS_AUTO_BUF(both, 4 << 20);
    kluis_status rc = home_bytes(h, "log-conflict", &both, err);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_OK; }
    KLUIS_TRY(rc);
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&both));
    struct kluis_bytes note[2] = { kluis_wire_get(&w, 2 << 20), kluis_wire_get(&w, 2 << 20) };
    KLUIS_TRY(kluis_wire_end(&w, "what is kept of the archive's log", err));
    for (size_t i = 0; i < 2; i++) {
        struct kluis_log_note n;
        if (note[i].len == 0) { continue; } /* an empty log, or one of before this was kept */
        KLUIS_TRY(kluis_log_read(note[i], &n, err));
        const struct kluis_bytes part[2] = { n.checkpoint, n.seal };
        for (size_t k = 0; k < 2; k++) {
            (void)snprintf(file, sizeof file, "%s.%s", name[i], k == 0 ? "checkpoint" : "p7s");
            KLUIS_TRY(kluis_path(path, sizeof path, dir, file, err));
            KLUIS_TRY(kluis_write_file(path, part[k].ptr, part[k].len, 0600, err));
        }
    }
    return KLUIS_OK;
}

kluis_status command_packages(const struct args *a, int *exit_code, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    struct stock_package p;
    uint64_t n = 0, receipts = 0, gone = 0;
    KLUIS_AUTO(home) h = NULL;
    KLUIS_AUTO_BUF(trust, 1 << 20);
    if (a->export_dir == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "packages: say where to: --export FOLDER"); }
    KLUIS_TRY(args_home(a, false, dir, err));
    KLUIS_TRY(home_open(&h, dir, HOME_SHARED, err));
    KLUIS_TRY(kluis_make_dir(a->export_dir, err));
    for (uint64_t i = 0;; i++) {
        bool have = false;
        kluis_status rc = stock_at(h, i, &p, err);
        if (rc == KLUIS_END) { break; }
        KLUIS_TRY(rc);
        if (p.released) {
            gone++;
        } else {
            KLUIS_TRY(export_package(h, &p, a->export_dir, err));
            n++;
        }
        KLUIS_TRY(export_receipt(h, p.id, a->export_dir, &have, err));
        receipts += have ? 1 : 0;
    }
    KLUIS_TRY(export_conflict(h, a->export_dir, err));
    bool enrolled = false;
    KLUIS_TRY(home_enrolled(h, &enrolled, err));
    if (enrolled) {
        KLUIS_TRY(home_bytes(h, "trust.json", &trust, err));
        KLUIS_TRY(kluis_path(path, sizeof path, a->export_dir, "trust.json", err));
        KLUIS_TRY(kluis_write_file(path, trust.data, trust.len, 0600, err));
    }
    (void)exit_code;
    KLUIS_TRY(put_line(err, "%llu packages and %llu receipts in %s", (unsigned long long)n, (unsigned long long)receipts, a->export_dir));
    return gone == 0
               ? KLUIS_OK
               : put_line(err, "%llu packages are with the vault alone: their copies here were released after backup", (unsigned long long)gone);
}
