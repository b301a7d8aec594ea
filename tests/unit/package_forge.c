/* package_forge.c - see package_forge.h. */
#include "package_forge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

static uint32_t le(const uint8_t *p, int n)
{
    uint32_t v = 0;
    for (int i = n - 1; i >= 0; i--) { v = v << 8 | p[i]; }
    return v;
}

void forge_open(struct forge *f, struct kluis_bytes b)
{
    *f = (struct forge){ .n = 0 };
    for (size_t at = 0; at + 30 < b.len && le(b.ptr + at, 4) == 0x04034b50;) {
        const uint8_t *h = b.ptr + at;
        struct forge_file *e = &f->file[f->n++];
        size_t name = le(h + 26, 2), packed = le(h + 18, 4);
        f->clock = (struct form_clock){ (uint16_t)le(h + 10, 2), (uint16_t)le(h + 12, 2) };
        memcpy(e->name, h + 30, name);
        e->n = le(h + 22, 4);
        e->data = kluis_malloc(e->n + 1);
        e->stored = le(h + 8, 2) == 0;
        if (e->stored) {
            memcpy(e->data, h + 30 + name, e->n);
        } else {
            z_stream z = { .zalloc = NULL };
            assert_int_equal(inflateInit2(&z, -15), Z_OK);
            union {
                const uint8_t *in;
                uint8_t *z;
            } c = { .in = h + 30 + name };
            z.next_in = c.z;
            z.avail_in = (unsigned)packed;
            z.next_out = e->data;
            z.avail_out = (unsigned)e->n;
            assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
            assert_int_equal(inflateEnd(&z), Z_OK);
        }
        at += 30 + name + packed;
    }
    assert_in_range(f->n, 10, FORGE_FILES - 4);
}

void forge_free(struct forge *f)
{
    for (size_t i = 0; i < f->n; i++) { kluis_free(f->file[i].data); }
    f->n = 0;
}

struct forge_file *forge_find(struct forge *f, const char *suffix)
{
    for (size_t i = 0; i < f->n; i++) {
        size_t n = strlen(f->file[i].name), m = strlen(suffix);
        if (n >= m && strcmp(f->file[i].name + n - m, suffix) == 0) { return &f->file[i]; }
    }
    fail_msg("no file %s", suffix);
    return NULL;
}

void forge_replace(struct forge *f, const char *suffix, const char *find, const char *with)
{
    struct forge_file *e = forge_find(f, suffix);
    size_t m = strlen(find), w = strlen(with);
    const uint8_t *at = memmem(e->data, e->n, find, m);
    if (at == NULL) { fail_msg("%s does not hold %s", suffix, find); }
    size_t before = (size_t)(at - e->data), after = e->n - before - m;
    uint8_t *data = kluis_malloc(before + w + after + 1);
    memcpy(data, e->data, before);
    memcpy(data + before, with, w);
    memcpy(data + before + w, at + m, after);
    kluis_free(e->data);
    e->data = data;
    e->n = before + w + after;
}

void forge_insert(struct forge *f, size_t at, const char *name, const void *data, size_t n)
{
    assert_true(f->n < FORGE_FILES && at <= f->n);
    memmove(&f->file[at + 1], &f->file[at], (f->n - at) * sizeof f->file[0]);
    f->n++;
    f->file[at] = (struct forge_file){ .n = n, .data = kluis_malloc(n + 1) };
    memcpy(f->file[at].data, data, n);
    (void)snprintf(f->file[at].name, sizeof f->file[at].name, "%s", name);
}

void forge_remove(struct forge *f, const char *suffix)
{
    struct forge_file *e = forge_find(f, suffix);
    kluis_free(e->data);
    size_t at = (size_t)(e - f->file);
    memmove(e, e + 1, (f->n - at - 1) * sizeof *e);
    f->n--;
}

static void entries_of(const struct forge *f, struct form_entries *out)
{
    out->n = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct form_entry *e = form_entries_add(out);
        e->name = f->file[i].name;
        e->size = (uint32_t)f->file[i].n;
        kluis_sha256_of(f->file[i].data, f->file[i].n, e->sha256);
    }
}

static void relist(struct forge *f, const char *name, void (*form)(const struct form_entries *, struct kluis_buf *))
{
    struct form_entries list = { NULL, 0, 0 };
    KLUIS_AUTO_BUF(b, KLUIS_MANIFEST_MAX);
    entries_of(f, &list);
    form(&list, &b);
    struct forge_file *e = forge_find(f, name);
    kluis_free(e->data);
    e->data = kluis_malloc(b.len + 1);
    memcpy(e->data, b.data, b.len);
    e->n = b.len;
    kluis_free(list.list);
}

void forge_relist(struct forge *f)
{
    unsigned long long bytes = 0, files = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (strncmp(f->file[i].name, "data/", 5) == 0) {
            bytes += f->file[i].n;
            files++;
        }
    }
    struct forge_file *info = forge_find(f, "bag-info.txt");
    info->data[info->n] = '\0';
    const char *from = strstr((const char *)info->data, "Payload-Oxum: ");
    assert_non_null(from);
    char old[64], new[64];
    (void)snprintf(old, sizeof old, "%.*s", (int)strcspn(from, "\n"), from);
    (void)snprintf(new, sizeof new, "Payload-Oxum: %llu.%llu", bytes, files);
    forge_replace(f, "bag-info.txt", old, new);
    relist(f, "manifest-sha256.txt", form_payload_manifest);
    relist(f, "tagmanifest-sha256.txt", form_tag_manifest);
    relist(f, FORM_ASIC_MANIFEST, form_asic_manifest);
}

void forge_close(const struct forge *f, struct kluis_buf *out)
{
    struct form_entries list = { NULL, 0, 0 };
    struct kluis_err err = { 0 };
    struct entry_out o;
    int fd = memfd_create("forge", MFD_CLOEXEC);
    struct libdeflate_compressor *packer = libdeflate_alloc_compressor(FORGE_LEVEL);
    assert_true(fd >= 0);
    assert_int_equal(entry_out_init(&o, fd, FORGE_LEVEL, packer, &err), KLUIS_OK);
    entries_of(f, &list);
    kluis_buf_clear(out);
    for (size_t i = 0; i < f->n; i++) {
        struct form_entry *e = &list.list[i];
        const struct forge_file *from = &f->file[i];
        uint8_t head[FORM_LOCAL], sha[32];
        e->method = from->stored ? FORM_STORED : FORM_DEFLATED;
        e->offset = (uint32_t)out->len;
        entry_out_begin(&o, e->method, 0, KLUIS_PACKAGE_BYTES_MAX);
        assert_int_equal(entry_out_add(&o, from->data, from->n, &err), KLUIS_OK);
        assert_int_equal(entry_out_end(&o, sha, &err), KLUIS_OK);
        e->crc = o.crc;
        e->packed = (uint32_t)o.packed;
        form_local(head, e, f->clock);
        kluis_buf_add(out, head, sizeof head);
        kluis_buf_cstr(out, e->name);
        uint8_t *to = kluis_buf_reserve(out, e->packed);
        assert_non_null(to);
        assert_int_equal(kluis_pread_all(fd, to, e->packed, 0, "forge", &err), KLUIS_OK);
        out->len += e->packed;
    }
    entry_out_free(&o);
    libdeflate_free_compressor(packer);
    kluis_close_quiet(&fd);
    size_t directory = out->len;
    for (size_t i = 0; i < f->n; i++) {
        uint8_t head[FORM_CENTRAL];
        form_central(head, &list.list[i], f->clock);
        kluis_buf_add(out, head, sizeof head);
        kluis_buf_cstr(out, list.list[i].name);
    }
    uint8_t end[FORM_END];
    form_end(end, f->n, (uint32_t)(out->len - directory), (uint32_t)directory);
    kluis_buf_add(out, end, sizeof end);
    kluis_free(list.list);
    assert_int_equal(out->status, KLUIS_OK);
}
