/* agent/pack/freeze.c - a slice becomes a signed, encrypted package with a row.  See pack.h and docs/PROTOCOL.md §4.2, §7.1.
 *
 * Order: write in a nameless file, sign, stamp, freeze, encrypt under a name of its own; then, for a group of packages (group.c), fsync,
 * rename, fsync the folder, and one transaction with rows, keys, numbers and journal entries.  Killed before the commit: orphan files that the
 * next run removes, and the records are read again.  Killed after it: the packages are there in full. */
#include "agent/pack/internal.h"

#include "kluis/envelope.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Level 4: half of level 6's time on record lines, for a twentieth more bytes. */
enum { LEVEL = 4, RETRIES = 64 };

/* ---- the device's one signature ---- */

/* The only place where the device key signs; what it signs was built here from a digest, never handed in (PROTOCOL.md §2). */
static kluis_status sign_manifest(const struct pack_identity *id, const struct kluis_buf *manifest, int64_t at_us, struct kluis_buf *p7s,
                                  struct kluis_err *err)
{
    uint8_t sha[32];
    struct kluis_bytes cert = kluis_buf_bytes(&id->certificate), chain = kluis_buf_bytes(&id->chain);
    KLUIS_AUTO_BUF(attributes, 1 << 16);
    KLUIS_AUTO_BUF(signature, KLUIS_SIGNATURE_MAX);
    kluis_sha256_of(manifest->data, manifest->len, sha);
    KLUIS_TRY(kluis_seal_prepare((struct kluis_bytes){ sha, sizeof sha }, cert, at_us, &attributes, err));
    KLUIS_TRY(kluis_key_sign(id->key, kluis_buf_bytes(&attributes), &signature, err));
    return kluis_seal_finish(kluis_buf_bytes(&attributes), kluis_buf_bytes(&signature), cert, &chain, chain.len > 0 ? 1 : 0, p7s, err);
}

/* Once, at most 5 s: without a token the package is B-B and the ledger's checkpoint dates it. */
static bool stamp(struct pack *p, struct kluis_buf *p7s)
{
    uint8_t imprint[32];
    uint64_t nonce = 0;
    int64_t at = 0;
    struct kluis_err e = { 0 };
    const struct kluis_trust *t = &p->s.identity->trust;
    KLUIS_AUTO_BUF(request, 4096);
    KLUIS_AUTO_BUF(response, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    if (p->s.time_stamp == NULL) { return false; }
    kluis_random(&nonce, sizeof nonce);
    nonce &= INT64_MAX; /* stays positive in DER */
    if (kluis_seal_imprint(kluis_buf_bytes(p7s), imprint, &e) != KLUIS_OK || kluis_time_request(imprint, nonce, &request, &e) != KLUIS_OK) {
        return false;
    }
    if (p->s.time_stamp(p->s.time_ctx, kluis_buf_bytes(&request), &response, &e) != KLUIS_OK) { return false; }
    if (kluis_time_accept(kluis_buf_bytes(&response), imprint, nonce, t->tsa_cas, t->n_tsa_cas, &token, &at, &e) != KLUIS_OK) { return false; }
    if (kluis_seal_add_token(kluis_buf_bytes(p7s), kluis_buf_bytes(&token), &stamped, &e) != KLUIS_OK) { return false; }
    kluis_buf_clear(p7s);
    kluis_buf_add(p7s, stamped.data, stamped.len);
    return true;
}

/* ---- one package ---- */

static kluis_status scratch_file(const struct fill *f, int *fd, struct kluis_err *err)
{
    const struct slice *s = f->slice;
    const char *dir = f->p->s.home->dir;
    bool small = s->content_known && s->content + kluis_arena_used(s->arena) < PACK_SMALL;
    *fd = small ? memfd_create("chatkluis-package", MFD_CLOEXEC) : kluis_io_open(dir, O_RDWR | O_TMPFILE | O_EXCL, 0600);
    return *fd < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make a file without a name in '%s'", dir) : KLUIS_OK;
}

static void span_of(const struct fill *f, struct kluis_package_meta *m)
{
    m->first_us = INT64_MAX;
    m->last_us = INT64_MIN;
    for (size_t i = f->from; i < f->to; i++) {
        int64_t t = f->slice->items[i].r->sent.us;
        if (t == KLUIS_TIME_ABSENT) { continue; }
        if (t < m->first_us) { m->first_us = t; }
        if (t > m->last_us) { m->last_us = t; }
    }
    if (m->first_us > m->last_us) { m->first_us = m->last_us = m->closed_us; }
}

struct file_out {
    int fd;
    const char *path;
    uint64_t n;
};

static kluis_status file_write(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct file_out *o = ctx;
    o->n += n;
    return kluis_write_all(o->fd, p, n, o->path, err);
}

/* The frozen bytes go to packages/<id>.ckc.part under a key of their own. */
static kluis_status encrypt_frozen(struct pack *p, int fd, struct made *m, struct kluis_err *err)
{
    struct kluis_input_fd from = { fd, 0, "the frozen package" };
    struct kluis_input in = kluis_input_from_fd(&from);
    KLUIS_TRY(made_open(p, m, err));
    struct file_out to = { m->fd, "a package's ciphertext", 0 };
    struct kluis_output out = { &to, file_write };
    kluis_random(m->key, KLUIS_CONTENT_KEY);
    kluis_random(m->row.upload, sizeof m->row.upload);
    KLUIS_TRY(kluis_content_encrypt(m->key, &in, m->row.length, &out, m->row.cipher, err));
    m->row.cipher_length = to.n;
    return made_written(p, m, err);
}

static kluis_status build_in(struct fill *f, int fd, struct made *b, struct kluis_err *err)
{
    struct pack *p = f->p;
    const struct pack_identity *id = p->s.identity;
    struct kluis_header header = f->header;
    unsigned part = 0;
    KLUIS_AUTO(kluis_package_writer) w = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    KLUIS_TRY(journal_part(p->s.home, p->conversation, &part, err));
    kluis_random(header.salt, sizeof header.salt);
    struct kluis_package_meta meta = { .header = &header,
                                       .organisation = id->trust.organisation,
                                       .device = kluis_str_of(id->device),
                                       .sequence = b->row.sequence,
                                       .waardering = 'N',
                                       .closed_us = kluis_now_us() / 1000000 * 1000000,
                                       .part = part + group_parts(p) + (unsigned)f->part };
    memcpy(meta.previous, b->row.previous, sizeof meta.previous);
    span_of(f, &meta);
    KLUIS_TRY(kluis_package_begin(&w, fd, LEVEL, &meta, err));
    f->writer = w;
    KLUIS_TRY(fill_write(f, b->row.root, err));
    KLUIS_TRY(kluis_package_manifest(w, &manifest, err));
    KLUIS_TRY(sign_manifest(id, &manifest, meta.closed_us, &p7s, err));
    b->row.timed = stamp(p, &p7s);
    KLUIS_TRY(kluis_buf_ok(&p7s, err));
    KLUIS_TRY(kluis_package_finish(w, kluis_buf_bytes(&p7s), b->row.id, &b->row.length, err));
    b->row.records = fill_records(f);
    b->row.state = STOCK_WAITING;
    b->row.created_us = meta.closed_us;
    memcpy(b->row.device, id->device, sizeof b->row.device);
    return encrypt_frozen(p, fd, b, err);
}

static kluis_status build(struct fill *f, struct made *b, struct kluis_err *err)
{
    int fd = -1;
    KLUIS_TRY(scratch_file(f, &fd, err));
    kluis_status rc = build_in(f, fd, b, err);
    kluis_close_quiet(&fd); /* the plaintext goes with it */
    return rc;
}

/* ---- all packages of a slice ---- */

/* An attachment whose bytes the source cannot give is a loss of that attachment, not of the slice. */
static kluis_status build_all(struct fill *f, struct made *b, size_t *n, struct kluis_err *err)
{
    struct pack *p = f->p;
    *n = 0;
    KLUIS_TRY(group_next_number(p, &b[0].row.sequence, b[0].row.previous, err));
    for (unsigned tries = 0;;) {
        struct made *now = &b[*n];
        if (now->key == NULL) { now->key = kluis_secret_new(KLUIS_CONTENT_KEY); }
        if (now->key == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a key"); }
        f->part = *n;
        kluis_status rc = build(f, now, err);
        if (rc == KLUIS_E_REJECT && f->failed != SIZE_MAX && tries++ < RETRIES) {
            f->bad[f->failed] = true;
            kluis_err_clear(err);
            continue;
        }
        KLUIS_TRY(rc);
        (*n)++;
        for (size_t i = 0; i < f->n_wants && f->part == 0; i++) { p->counts.missing_attachments += f->wants[i].file->loss.ptr != NULL; }
        if (!f->split || !f->more) { return KLUIS_OK; }
        if (*n == PACK_PARTS_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "an attachment is larger than %d parts", PACK_PARTS_MAX); }
        b[*n].row.sequence = now->row.sequence + 1;
        memcpy(b[*n].row.previous, now->row.id, sizeof now->row.id);
    }
}

static kluis_status freeze(struct pack *p, struct slice *s, size_t from, size_t to, bool split, struct kluis_err *err)
{
    struct fill f = { .p = p, .slice = s, .from = from, .to = to, .split = split, .failed = SIZE_MAX };
    size_t n = 0, n_built = split ? PACK_PARTS_MAX : 1;
    struct made *b = kluis_calloc(n_built, sizeof *b);
    if (b == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to freeze a package"); }
    for (size_t i = 0; i < n_built; i++) { b[i].fd = -1; }
    kluis_status rc = fill_plan(&f, err);
    if (rc == KLUIS_OK) { rc = build_all(&f, b, &n, err); }
    if (rc == KLUIS_OK) { rc = group_add(p, b, n, s->items + from, to - from, err); }
    for (size_t i = 0; i < n_built; i++) { made_drop(p, &b[i]); } /* what the group did not take */
    kluis_free(b);
    fill_clear(&f);
    return rc == KLUIS_OK && p->group.n >= PACK_GROUP ? group_commit(p, err) : rc;
}

kluis_status pack_freeze(struct pack *p, struct slice *s, size_t from, size_t to, struct kluis_err *err)
{
    bool large = false;
    for (size_t i = from; i < to && to - from == 1; i++) {
        for (size_t k = 0; k < s->items[i].r->n_attachments; k++) { large = large || s->items[i].r->attachments[k].size > (int64_t)p->s.part_bytes; }
    }
    kluis_status rc = freeze(p, s, from, to, large, err);
    if (rc != KLUIS_E_LIMIT || large) { return rc; }
    kluis_err_clear(err);
    if (to - from == 1) { return freeze(p, s, from, to, true, err); }
    size_t mid = from + (to - from) / 2; /* sizes the source did not state: halves fit sooner or later */
    KLUIS_TRY(pack_freeze(p, s, from, mid, err));
    return pack_freeze(p, s, mid, to, err);
}

/* ---- identity ---- */

static kluis_status enrolled_bytes(struct home *h, const char *key, size_t max, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_buf_init(out, max);
    kluis_status rc = home_bytes(h, key, out, err);
    return rc == KLUIS_E_NOTFOUND ? KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the enrolment of '%s' is incomplete: enrol again with a new code", h->dir) : rc;
}

/* A signature by another key than the certificate's proves nothing and could not be told from a forgery. */
static kluis_status key_of_certificate(const struct home *h, const struct pack_identity *id, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(have, 1024);
    KLUIS_AUTO_BUF(want, 1024);
    KLUIS_TRY(kluis_key_public(id->key, &have, err));
    KLUIS_TRY(kluis_cert_spki(kluis_buf_bytes(&id->certificate), &want, err));
    if (have.len == want.len && memcmp(have.data, want.data, have.len) == 0) { return KLUIS_OK; }
    return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the device key of '%s' is not the one of its certificate: enrol again with a new code", h->dir);
}

/* Enrolment looked at all of it before it was stored: what is refused now was not refused then. */
static kluis_status damaged(const struct home *h, struct kluis_err *err)
{
    kluis_err_prefix(err, "what enrolment left in '%s' cannot be read; restore it, or enrol again with a new code", h->dir);
    if (err != NULL) { err->code = KLUIS_E_CORRUPT; }
    return KLUIS_E_CORRUPT;
}

kluis_status pack_identity_load(struct home *h, struct pack_identity *id, struct kluis_err *err)
{
    char name[HOME_KEY_NAME];
    KLUIS_AUTO_BUF(pem, 8192);
    KLUIS_AUTO_BUF(json, 1 << 20);
    memset(id, 0, sizeof *id);
    kluis_status rc = home_text(h, "device", id->device, sizeof id->device, err);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "'%s' is not enrolled: run 'chatkluis-agent enrol' with a code of your organisation", h->dir);
    }
    KLUIS_TRY(rc);
    home_key_name("device", id->device, name);
    rc = enrolled_bytes(h, "certificate/device", KLUIS_CERT_MAX, &id->certificate, err);
    if (rc == KLUIS_OK) { rc = enrolled_bytes(h, "certificate/device-ca", KLUIS_CERT_MAX, &id->chain, err); }
    if (rc == KLUIS_OK) { rc = keystore_get(h->dir, name, &pem, err); }
    if (rc == KLUIS_OK) { rc = kluis_key_from_pem(kluis_buf_bytes(&pem), &id->key, err); }
    if (pem.data != NULL) { kluis_wipe(pem.data, pem.cap); }
    if (rc == KLUIS_OK) { rc = key_of_certificate(h, id, err); }
    if (rc == KLUIS_OK) { rc = enrolled_bytes(h, "trust.json", 1 << 20, &json, err); }
    if (rc == KLUIS_OK && (id->arena = kluis_arena_new(4 << 20)) == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    if (rc == KLUIS_OK) { rc = kluis_trust_read((struct kluis_str){ (const char *)json.data, json.len }, id->arena, &id->trust, err); }
    if (rc == KLUIS_E_REJECT) { rc = damaged(h, err); }
    if (rc != KLUIS_OK) { pack_identity_clear(id); }
    return rc;
}

void pack_identity_clear(struct pack_identity *id)
{
    kluis_key_free(id->key);
    kluis_buf_free(&id->certificate);
    kluis_buf_free(&id->chain);
    kluis_arena_free(id->arena);
    id->key = NULL;
    id->arena = NULL;
}
