/* zip_in.c - strict forward reader of the one zip profile (FORMAT.md §4).
 *
 * A header is not interpreted field by field: the few free fields are taken out, the header that the profile makes of them is
 * written again, and the two must be the same bytes. */
#include "zip_in.h"

#include <libdeflate.h>
#include <sys/mman.h>
#include <unistd.h>

static void *z_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return kluis_calloc(items, size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    kluis_free(p);
}

/* A digest that is being made, for the entry with this index: entries move when their list grows. */
struct zip_digest {
    struct zip_digest *before;
    size_t entry;
    struct kluis_sha256 *of;
    uint8_t sha256[32];
};

kluis_status zip_in_init(struct zip_in *z, const struct kluis_input *in, struct kluis_lane *lane, struct kluis_err *err)
{
    *z = (struct zip_in){ .in = in, .lane = lane, .entries_max = KLUIS_PACKAGE_ENTRIES_MAX, .ceiling = KLUIS_PACKAGE_BYTES_MAX };
    z->block = z->blocks = kluis_malloc((size_t)ZIP_BLOCK * ZIP_BLOCKS);
    z->out = kluis_malloc(ZIP_BLOCK);
    z->whole = kluis_sha256_new();
    z->content = kluis_sha256_new();
    z->behind = kluis_sha256_new();
    z->arena = kluis_arena_new((size_t)16 << 20);
    z->fast = libdeflate_alloc_decompressor();
    z->z.zalloc = z_alloc;
    z->z.zfree = z_free;
    if (z->block == NULL || z->out == NULL || z->whole == NULL || z->content == NULL || z->behind == NULL || z->arena == NULL || z->fast == NULL ||
        inflateInit2(&z->z, -15) != Z_OK) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for reading a package");
    }
    z->z_ready = true;
    return KLUIS_OK;
}

void zip_in_free(struct zip_in *z)
{
    if (z->z_ready) { (void)inflateEnd(&z->z); }
    libdeflate_free_decompressor(z->fast);
    kluis_free(z->whole_in);
    kluis_free(z->whole_out[0].p);
    kluis_free(z->whole_out[1].p);
    kluis_sha256_free(z->whole);
    kluis_sha256_free(z->inner);
    kluis_sha256_free(z->content);
    kluis_sha256_free(z->behind);
    kluis_arena_free(z->arena);
    kluis_free(z->blocks);
    kluis_free(z->out);
    kluis_free(z->entries.list);
    *z = (struct zip_in){ .in = NULL };
}

static kluis_status refuse(const struct zip_in *z, struct kluis_err *err, const char *why)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "not a package, at byte %llu: %s", (unsigned long long)z->position, why);
}

static size_t block_of(const struct zip_in *z, const uint8_t *p) { return (size_t)(p - z->blocks) / ZIP_BLOCK; }

static void add_content(void *ctx, const uint8_t *p, size_t n) { kluis_sha256_add(ctx, p, n); }

/* Gives [p, p + n), which stands in the blocks, to the lane for this digest: until that is done nobody writes there. */
static void give_blocks(struct zip_in *z, struct kluis_sha256 *to, const uint8_t *p, size_t n)
{
    kluis_lane_give(z->lane, add_content, to, p, n);
    for (size_t i = block_of(z, p); i <= block_of(z, p + n - 1); i++) { z->block_until[i] = kluis_lane_given(z->lane); }
}

/* Everything in the block up to `to` has been looked at by somebody: into the digest with it. */
static void hash_to(struct zip_in *z, size_t to)
{
    kluis_lane_until(z->lane, z->whole_until);
    kluis_sha256_add(z->whole, z->block + z->hashed, to - z->hashed);
    z->hashed = to;
}

/* The same by a lane that has nothing else to do yet: it waits for what is being inflated here. */
static void hash_aside(struct zip_in *z, size_t to)
{
    if (z->lane == NULL || to - z->hashed < ZIP_LANE_FROM || kluis_lane_behind(z->lane) > 1) { return; }
    give_blocks(z, z->whole, z->block + z->hashed, to - z->hashed);
    z->whole_until = kluis_lane_given(z->lane);
    z->hashed = to;
}

/* Gets all pages at once, which costs a third of as many faults.  Best effort; not in a sandbox, which may not allow the call. */
static void populate(uint8_t *p, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = (page - (uintptr_t)p % page) % page;
    if (n > skip + page) { (void)madvise(p + skip, (n - skip) / page * page, MADV_POPULATE_WRITE); }
}

/* Reads behind what is there, to the end of that block or all of the next one.  The ring goes on behind [block, n). */
static kluis_status read_on(struct zip_in *z, struct kluis_err *err)
{
    uint8_t *to = z->block + z->n;
    const size_t i = block_of(z, to), in_block = (size_t)(to - z->blocks) % ZIP_BLOCK;
    if (in_block == 0) {
        kluis_lane_until(z->lane, z->block_until[i]);
        if (z->lane != NULL && i == z->got) { populate(z->blocks + ZIP_BLOCK * z->got++, ZIP_BLOCK); }
    }
    ssize_t got = z->in->read(z->in->ctx, to, ZIP_BLOCK - in_block, err);
    if (got < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_FAIL(err, KLUIS_E_IO, "cannot read the package"); }
    z->n += (size_t)got;
    return KLUIS_OK;
}

/* Makes sure that something is in the block unless the input is at its end. */
static kluis_status fill(struct zip_in *z, struct kluis_err *err)
{
    if (z->at < z->n) { return KLUIS_OK; }
    hash_to(z, z->n);
    /* Behind the last block in use, since the lane may still be in that one; alone always the first, which the cache knows. */
    const size_t next = z->lane == NULL || z->n == 0 ? 0 : (block_of(z, z->block + z->n - 1) + 1) % ZIP_BLOCKS;
    z->block = z->blocks + next * ZIP_BLOCK;
    z->at = z->n = z->hashed = 0;
    return read_on(z, err);
}

static void used(struct zip_in *z, size_t n)
{
    z->at += n;
    z->position += n;
}

static kluis_status take(struct zip_in *z, uint8_t *p, size_t n, struct kluis_err *err)
{
    while (n > 0) {
        KLUIS_TRY(fill(z, err));
        if (z->at == z->n) { return refuse(z, err, "it ends too early"); }
        size_t part = z->n - z->at < n ? z->n - z->at : n;
        memcpy(p, z->block + z->at, part);
        used(z, part);
        p += part;
        n -= part;
    }
    return KLUIS_OK;
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static bool is_path(const char *p, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && p[i] != '/') { continue; }
        if (!form_is_name(p + from, i - from)) { return false; }
        from = i + 1;
    }
    return true;
}

kluis_status zip_in_next(struct zip_in *z, struct kluis_err *err)
{
    uint8_t head[FORM_LOCAL], want[FORM_LOCAL];
    char name[KLUIS_PACKAGE_NAME_MAX + 1];
    uint64_t offset = z->position;
    KLUIS_TRY(take(z, head, 4, err));
    if (get32(head) == 0x02014b50) { return KLUIS_END; }
    KLUIS_TRY(take(z, head + 4, sizeof head - 4, err));
    size_t name_len = get16(head + 26);
    if (z->entries.n == 0) { z->clock = (struct form_clock){ get16(head + 10), get16(head + 12) }; }
    if (get32(head) != 0x04034b50 || name_len == 0 || name_len > KLUIS_PACKAGE_NAME_MAX) { return refuse(z, err, "no entry where one must begin"); }
    if (z->entries.n == z->entries_max) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more than %d files in one package", KLUIS_PACKAGE_ENTRIES_MAX); }
    if (offset > z->ceiling) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a package of more than 2 GiB"); }
    KLUIS_TRY(take(z, (uint8_t *)name, name_len, err));
    name[name_len] = '\0';
    if (memchr(name, 0, name_len) != NULL || !is_path(name, name_len)) { return refuse(z, err, "a file name outside the rules of FORMAT.md 4.2"); }
    char *kept = kluis_arena_strndup(z->arena, name, name_len);
    struct form_entry *e = kept == NULL ? NULL : form_entries_add(&z->entries);
    if (e == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package's list of files"); }
    *e = (struct form_entry){ .name = kept,
                              .method = get16(head + 8),
                              .crc = get32(head + 14),
                              .packed = get32(head + 18),
                              .size = get32(head + 22),
                              .offset = (uint32_t)offset };
    form_local(want, e, z->clock);
    if (memcmp(head, want, sizeof head) != 0) { return refuse(z, err, "a local header outside the profile of FORMAT.md 4.1"); }
    if (e->method != FORM_STORED && e->method != FORM_DEFLATED) { return refuse(z, err, "a compression method other than stored and deflated"); }
    if (e->method == FORM_STORED && e->packed != e->size) { return refuse(z, err, "a stored entry with two sizes"); }
    z->total += e->size;
    if (z->total > z->ceiling || offset + e->packed > z->ceiling) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a package of more than 2 GiB"); }
    return KLUIS_OK;
}

struct measure {
    zip_in_fn *fn;
    void *ctx;
    uint32_t crc;
    uint64_t size;
    bool lane; /* the lane makes its digest */
};

static void end_content(void *ctx, const uint8_t *p, size_t n)
{
    struct zip_digest *d = ctx;
    (void)p, (void)n;
    kluis_sha256_end(d->of, d->sha256);
}

static kluis_status give(struct zip_in *z, struct measure *m, const uint8_t *p, size_t n, struct kluis_err *err)
{
    if (n == 0) { return KLUIS_OK; }
    m->crc = form_crc32(m->crc, p, n);
    m->size += n;
    if (m->lane && z->out_now == NULL) { /* a stored entry stands in the blocks themselves */
        give_blocks(z, z->behind, p, n);
    } else if (m->lane) {
        kluis_lane_give(z->lane, add_content, z->behind, p, n);
    } else {
        kluis_sha256_add(z->content, p, n);
    }
    return m->fn(m->ctx, p, n, err);
}

static kluis_status stored(struct zip_in *z, const struct form_entry *e, struct measure *m, struct kluis_err *err)
{
    while (m->size < e->size) {
        KLUIS_TRY(fill(z, err));
        if (z->at == z->n) { return refuse(z, err, "it ends in the middle of a file"); }
        size_t n = z->n - z->at;
        if (n > e->size - m->size) { n = (size_t)(e->size - m->size); }
        const uint8_t *p = z->block + z->at;
        KLUIS_TRY(give(z, m, p, n, err));
        used(z, n);
    }
    return KLUIS_OK;
}

/* Inflates block by block (Z_BLOCK), because only between blocks zlib tells how many bits of the last byte are padding: those must be
 * zero, or the same content would have many forms. */
static kluis_status deflated(struct zip_in *z, const struct form_entry *e, struct measure *m, struct kluis_err *err)
{
    uint64_t left = e->packed;
    uint8_t last = 0;
    int rc = Z_OK;
    unsigned stalls = 0;
    if (inflateReset(&z->z) != Z_OK) { return KLUIS_FAIL(err, KLUIS_E_BUG, "the inflater cannot be reset"); }
    while (rc != Z_STREAM_END) {
        KLUIS_TRY(fill(z, err));
        size_t n = z->n - z->at < left ? z->n - z->at : (size_t)left;
        if (n == 0 && left > 0) { return refuse(z, err, "it ends in the middle of a file"); }
        z->z.next_in = z->block + z->at;
        z->z.avail_in = (unsigned)n;
        z->z.next_out = z->out;
        z->z.avail_out = ZIP_BLOCK;
        rc = inflate(&z->z, Z_BLOCK);
        size_t consumed = n - z->z.avail_in, made = ZIP_BLOCK - z->z.avail_out;
        stalls = consumed + made > 0 ? 0 : stalls + 1; /* one call may do nothing: it stood at the edge of a block */
        if (rc == Z_MEM_ERROR) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory while inflating"); }
        if ((rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) || stalls > 2) {
            return refuse(z, err, "deflated data that is damaged or ends too early");
        }
        if (made > e->size - m->size) { return refuse(z, err, "a file that unpacks to more than it states"); }
        if (consumed > 0) { last = z->block[z->at + consumed - 1]; }
        used(z, consumed);
        left -= consumed;
        KLUIS_TRY(give(z, m, z->out, made, err));
        unsigned padding = (unsigned)z->z.data_type & 7;
        if ((z->z.data_type & 192) == 192 && padding > 0 && last >> (8 - padding) != 0) { return refuse(z, err, "padding bits that are not zero"); }
    }
    if (left != 0) { return refuse(z, err, "bytes after the end of deflated data"); }
    return KLUIS_OK;
}

static bool room(const struct zip_in *z, uint8_t **p, size_t *cap, size_t n)
{
    if (n <= *cap) { return true; }
    kluis_free(*p);
    *p = kluis_malloc(n);
    *cap = *p == NULL ? 0 : n;
    if (*p != NULL && z->lane != NULL) { populate(*p, n); }
    return *p != NULL;
}

/* The next n bytes in one piece: where they stand, or else copied.  NULL: there is no memory for that. */
static kluis_status in_one_piece(struct zip_in *z, size_t n, const uint8_t **p, struct kluis_err *err)
{
    *p = NULL;
    KLUIS_TRY(fill(z, err));
    const bool fits = (size_t)(z->block - z->blocks) + z->at + n <= (size_t)ZIP_BLOCKS * ZIP_BLOCK;
    for (size_t had = 0; fits && z->n - z->at < n && z->n != had;) {
        had = z->n;
        KLUIS_TRY(read_on(z, err));
    }
    if (z->n - z->at >= n) {
        *p = z->block + z->at;
        used(z, n);
        hash_aside(z, z->at);
        return KLUIS_OK;
    }
    if (!room(z, &z->whole_in, &z->whole_in_cap, n)) { return KLUIS_OK; }
    *p = z->whole_in;
    return take(z, z->whole_in, n, err);
}

/* The same in one go, about twice as fast: for records and evidence of an ordinary slice.  Padding bits stay unseen here. */
static kluis_status inflated_whole(struct zip_in *z, const struct form_entry *e, const uint8_t *packed, struct measure *m, struct kluis_err *err)
{
    size_t consumed = 0, made = 0;
    uint8_t *out = z->out_now->p;
    enum libdeflate_result rc = libdeflate_deflate_decompress_ex(z->fast, packed, e->packed, out, e->size, &consumed, &made);
    if (rc == LIBDEFLATE_INSUFFICIENT_SPACE) { return refuse(z, err, "a file that unpacks to more than it states"); }
    if (rc != LIBDEFLATE_SUCCESS) { return refuse(z, err, "deflated data that is damaged or ends too early"); }
    if (consumed != e->packed) { return refuse(z, err, "bytes after the end of deflated data"); }
    const size_t piece = z->lane != NULL ? made : ZIP_WHOLE_MIN; /* alone: so that digest, CRC and callback find them in the cache */
    for (size_t at = 0; at < made;) {
        size_t n = made - at < piece ? made - at : piece;
        KLUIS_TRY(give(z, m, out + at, n, err));
        at += n;
    }
    return KLUIS_OK;
}

/* Room for such an entry's content in z->out_now; false: it is not of that kind, or there is no memory. */
static bool out_whole(struct zip_in *z, const struct form_entry *e)
{
    if (e->size <= ZIP_WHOLE_MIN || e->size > ZIP_WHOLE_MAX || e->packed == 0 || e->packed > ZIP_WHOLE_MAX) { return false; }
    struct zip_whole *w = &z->whole_out[z->lane != NULL && z->out_last == 0 ? 1 : 0];
    kluis_lane_until(z->lane, w->until);
    if (!room(z, &w->p, &w->cap, e->size)) { return false; }
    z->out_last = w == &z->whole_out[1];
    z->out_now = w;
    return true;
}

/* Only what stays where it is goes to the lane: blocks of the file, and entries that are inflated whole. */
static kluis_status body(struct zip_in *z, const struct form_entry *e, bool later, struct measure *m, struct kluis_err *err)
{
    m->lane = later && z->lane != NULL && e->size > ZIP_LANE_FROM && kluis_lane_behind(z->lane) <= ZIP_BEHIND_MAX;
    if (e->method == FORM_STORED) { return stored(z, e, m, err); }
    if (out_whole(z, e)) {
        const uint8_t *packed;
        KLUIS_TRY(in_one_piece(z, e->packed, &packed, err));
        if (packed != NULL) { return inflated_whole(z, e, packed, m, err); }
        z->out_now = NULL;
    }
    m->lane = false;
    return deflated(z, e, m, err);
}

kluis_status zip_in_body(struct zip_in *z, bool later, zip_in_fn *fn, void *ctx, struct kluis_err *err)
{
    struct form_entry *e = &z->entries.list[z->entries.n - 1];
    struct measure m = { .fn = fn, .ctx = ctx };
    z->out_now = NULL;
    KLUIS_TRY(body(z, e, later, &m, err));
    if (m.lane) {
        struct zip_digest *d = kluis_arena_alloc(z->arena, sizeof *d);
        if (d == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a package's list of files"); }
        *d = (struct zip_digest){ .before = z->waiting, .entry = z->entries.n - 1, .of = z->behind };
        z->waiting = d;
        kluis_lane_give(z->lane, end_content, d, NULL, 0);
    } else {
        kluis_sha256_end(z->content, e->sha256);
    }
    if (z->out_now != NULL) { z->out_now->until = kluis_lane_given(z->lane); } /* with what the callback gave */
    if (m.size != e->size) { return refuse(z, err, "a file that unpacks to less than it states"); }
    if (m.crc != e->crc) { return refuse(z, err, "a file with a wrong CRC-32"); }
    return KLUIS_OK;
}

void zip_in_settle(struct zip_in *z)
{
    if (z->waiting == NULL) { return; }
    kluis_lane_wait(z->lane);
    for (; z->waiting != NULL; z->waiting = z->waiting->before) { memcpy(z->entries.list[z->waiting->entry].sha256, z->waiting->sha256, 32); }
}

kluis_status zip_in_fork(struct zip_in *z, struct kluis_err *err)
{
    hash_to(z, z->at);
    z->inner = kluis_sha256_copy(z->whole);
    if (z->inner == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for reading a package"); }
    z->inner_entries = z->entries.n;
    z->inner_at = z->position;
    z->entries_max += KLUIS_EXPORT_ENTRIES;
    z->ceiling += KLUIS_EXPORT_BYTES;
    return KLUIS_OK;
}

void zip_in_inner(struct zip_in *z, uint8_t id[32], uint64_t *size)
{
    uint8_t head[FORM_CENTRAL], end[FORM_END];
    uint64_t directory = 0;
    for (size_t i = 0; i < z->inner_entries; i++) {
        const struct form_entry *e = &z->entries.list[i];
        form_central(head, e, z->clock);
        kluis_sha256_add(z->inner, head, sizeof head);
        kluis_sha256_add(z->inner, e->name, strlen(e->name));
        directory += sizeof head + strlen(e->name);
    }
    form_end(end, z->inner_entries, (uint32_t)directory, (uint32_t)z->inner_at);
    kluis_sha256_add(z->inner, end, sizeof end);
    kluis_sha256_end(z->inner, id);
    *size = z->inner_at + directory + sizeof end;
}

kluis_status zip_in_end(struct zip_in *z, uint8_t whole[32], uint64_t *size, struct kluis_err *err)
{
    /* zip_in_next has taken the first signature already. */
    const uint64_t directory = z->position - 4;
    uint8_t got[FORM_CENTRAL + KLUIS_PACKAGE_NAME_MAX], want[FORM_CENTRAL + KLUIS_PACKAGE_NAME_MAX];
    for (size_t i = 0; i < z->entries.n; i++) {
        const struct form_entry *e = &z->entries.list[i];
        size_t name = strlen(e->name), skip = i == 0 ? 4 : 0;
        form_central(want, e, z->clock);
        memcpy(want + FORM_CENTRAL, e->name, name);
        KLUIS_TRY(take(z, got + skip, FORM_CENTRAL + name - skip, err));
        if (memcmp(got + skip, want + skip, FORM_CENTRAL + name - skip) != 0) {
            return refuse(z, err, "a central directory that does not repeat the local headers");
        }
    }
    form_end(want, z->entries.n, (uint32_t)(z->position - directory), (uint32_t)directory);
    KLUIS_TRY(take(z, got, FORM_END, err));
    if (memcmp(got, want, FORM_END) != 0) { return refuse(z, err, "an end record that does not follow from the entries"); }
    KLUIS_TRY(fill(z, err));
    if (z->at != z->n) { return refuse(z, err, "bytes after the end record"); }
    if (z->position > z->ceiling) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a package of more than 2 GiB"); }
    hash_to(z, z->n);
    kluis_sha256_end(z->whole, whole);
    *size = z->position;
    return KLUIS_OK;
}
