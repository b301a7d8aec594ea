/* export.c - a package with what the vault knows about it: seal and evidence record go behind its last entry.
 *
 * The package is copied while it is read.  Its entries stay where they are, byte for byte; its directory is cut off and written again
 * with the entries that were added.  A reader can therefore put the device's own file together again and take its digest. */
#include "entry_out.h"
#include "read.h"

#include <assert.h>
#include <errno.h>

enum stage { COPIED, LISTED, SEALED, COVERED, FINISHED, BROKEN };

struct kluis_export {
    enum stage stage;
    int fd;
    struct package_shape shape;
    uint64_t at;
    struct libdeflate_compressor *packer;
    struct entry_out out;
    struct kluis_buf work;
};

static kluis_status done(struct kluis_export *x, enum stage next, kluis_status rc)
{
    x->stage = rc == KLUIS_OK ? next : BROKEN;
    return rc;
}

struct tee {
    const struct kluis_input *from;
    int fd;
    uint64_t at;
};

static ssize_t copied(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct tee *t = ctx;
    ssize_t got = t->from->read(t->from->ctx, p, n, err);
    if (got <= 0) { return got; }
    if (entry_pwrite(t->fd, p, (size_t)got, t->at, err) != KLUIS_OK) { return -1; }
    t->at += (uint64_t)got;
    return got;
}

static kluis_status prepare(struct kluis_export *x, struct kluis_err *err)
{
    enum { LEVEL = 6 };
    kluis_buf_init(&x->work, KLUIS_MANIFEST_MAX);
    x->packer = libdeflate_alloc_compressor(LEVEL);
    if (x->packer == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for an export"); }
    return entry_out_init(&x->out, x->fd, LEVEL, x->packer, err);
}

static uint64_t directory_size(const struct form_entries *e)
{
    uint64_t n = FORM_END;
    for (size_t i = 0; i < e->n; i++) { n += FORM_CENTRAL + strlen(e->list[i].name); }
    return n;
}

kluis_status kluis_export_begin(const struct kluis_input *package, int fd, struct kluis_package_facts *facts, struct kluis_export **out,
                                struct kluis_err *err)
{
    *out = NULL;
    struct tee t = { package, fd, 0 };
    const struct kluis_input in = { .ctx = &t, .read = copied };
    KLUIS_AUTO(kluis_export) x = kluis_calloc(1, sizeof *x);
    if (x == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for an export"); }
    x->fd = fd;
    KLUIS_TRY(prepare(x, err));
    KLUIS_TRY(package_read_shape(&in, &x->shape, facts, err));
    x->at = facts->size - directory_size(&x->shape.entries);
    *out = x;
    x = NULL;
    return KLUIS_OK;
}

void kluis_export_free(struct kluis_export *x)
{
    if (x == NULL) { return; }
    entry_out_free(&x->out);
    libdeflate_free_compressor(x->packer);
    kluis_arena_free(x->shape.arena);
    kluis_free(x->shape.entries.list);
    kluis_buf_free(&x->work);
    kluis_free(x);
}

static kluis_status pack(struct kluis_export *x, uint16_t method, uint64_t at, struct kluis_bytes body, uint8_t sha256[32], struct kluis_err *err)
{
    entry_out_begin(&x->out, method, at, KLUIS_PACKAGE_BYTES_MAX + KLUIS_EXPORT_BYTES);
    KLUIS_TRY(entry_out_add(&x->out, body.ptr, body.len, err));
    return entry_out_end(&x->out, sha256, err);
}

static kluis_status put(struct kluis_export *x, const char *name, struct kluis_bytes body, struct kluis_err *err)
{
    struct form_entry *e = form_entries_add(&x->shape.entries);
    if (e == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for an export"); }
    size_t n = strlen(name);
    uint8_t head[FORM_LOCAL];
    *e = (struct form_entry){ .name = name, .method = FORM_DEFLATED, .offset = (uint32_t)x->at };
    KLUIS_TRY(pack(x, FORM_DEFLATED, x->at + FORM_LOCAL + n, body, e->sha256, err));
    if (x->out.packed >= body.len) {
        e->method = FORM_STORED;
        KLUIS_TRY(pack(x, FORM_STORED, x->at + FORM_LOCAL + n, body, e->sha256, err));
    }
    e->crc = x->out.crc;
    e->packed = (uint32_t)x->out.packed;
    e->size = (uint32_t)x->out.size;
    form_local(head, e, x->shape.clock);
    KLUIS_TRY(entry_pwrite(x->fd, head, sizeof head, x->at, err));
    KLUIS_TRY(entry_pwrite(x->fd, name, n, x->at + sizeof head, err));
    x->at += sizeof head + n + e->packed;
    return KLUIS_OK;
}

static kluis_status put_list(struct kluis_export *x, const char *name, void (*form)(const struct form_entries *, struct kluis_buf *),
                             struct kluis_err *err)
{
    kluis_buf_clear(&x->work);
    form(&x->shape.entries, &x->work);
    KLUIS_TRY(kluis_buf_ok(&x->work, err));
    return put(x, name, kluis_buf_bytes(&x->work), err);
}

kluis_status kluis_export_manifest(struct kluis_export *x, struct kluis_buf *manifest, struct kluis_err *err)
{
    assert(x->stage == COPIED);
    KLUIS_TRY(done(x, LISTED, put_list(x, FORM_SEAL_MANIFEST, form_seal_manifest, err)));
    kluis_buf_add(manifest, x->work.data, x->work.len);
    return kluis_buf_ok(manifest, err);
}

kluis_status kluis_export_seal(struct kluis_export *x, struct kluis_bytes p7s, struct kluis_err *err)
{
    assert(x->stage == LISTED);
    if (p7s.len == 0) { return done(x, BROKEN, KLUIS_FAIL(err, KLUIS_E_REJECT, "an export is not made without a seal")); }
    return done(x, SEALED, put(x, FORM_SEAL, p7s, err));
}

kluis_status kluis_export_group(const struct kluis_export *x, struct kluis_buf *digests, struct kluis_err *err)
{
    assert(x->stage == SEALED);
    for (size_t i = 0; i < x->shape.entries.n; i++) {
        if (kluis_export_covers(x->shape.entries.list[i].name)) { kluis_buf_add(digests, x->shape.entries.list[i].sha256, 32); }
    }
    return kluis_buf_ok(digests, err);
}

kluis_status kluis_export_evidence(struct kluis_export *x, struct kluis_bytes record, struct kluis_err *err)
{
    assert(x->stage == SEALED);
    if (record.len == 0 || record.len > KLUIS_EXPORT_EVIDENCE_MAX) {
        return done(x, BROKEN, KLUIS_FAIL(err, KLUIS_E_LIMIT, "an evidence record has 1 to %d bytes", KLUIS_EXPORT_EVIDENCE_MAX));
    }
    KLUIS_TRY(done(x, COVERED, put_list(x, FORM_EVIDENCE_MANIFEST, form_evidence_manifest, err)));
    return done(x, COVERED, put(x, FORM_EVIDENCE, record, err));
}

static kluis_status finish(struct kluis_export *x, uint64_t *size, struct kluis_err *err)
{
    const struct form_entries *all = &x->shape.entries;
    const uint64_t directory = x->at;
    uint8_t end[FORM_END];
    kluis_buf_clear(&x->work);
    for (size_t i = 0; i < all->n; i++) {
        uint8_t central[FORM_CENTRAL];
        form_central(central, &all->list[i], x->shape.clock);
        kluis_buf_add(&x->work, central, sizeof central);
        kluis_buf_cstr(&x->work, all->list[i].name);
    }
    form_end(end, all->n, (uint32_t)x->work.len, (uint32_t)directory);
    kluis_buf_add(&x->work, end, sizeof end);
    KLUIS_TRY(kluis_buf_ok(&x->work, err));
    KLUIS_TRY(entry_pwrite(x->fd, x->work.data, x->work.len, directory, err));
    *size = directory + x->work.len;
    if (kluis_io_ftruncate(x->fd, *size) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot cut the export"); }
    return KLUIS_OK;
}

kluis_status kluis_export_finish(struct kluis_export *x, uint64_t *size, struct kluis_err *err)
{
    assert(x->stage == SEALED || x->stage == COVERED);
    return done(x, FINISHED, finish(x, size, err));
}
