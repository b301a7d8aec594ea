/* source_support.c - see source_support.h */
#include "source_support.h"

#include <dirent.h>
#include <sys/stat.h>

static kluis_status on_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct source_got *g = ctx;
    g->h = *h;
    g->conversations++;
    return kluis_header_write(h, &g->headers, err);
}

static kluis_status on_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct source_got *g = ctx;
    KLUIS_AUTO_BUF(canonical, 8 << 20);
    g->n++;
    g->n_kind[r->kind]++;
    kluis_buf_add(&g->raw, raw.ptr, raw.len);
    kluis_buf_byte(&g->raw, 0);
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].source_ref.ptr == NULL || g->n_refs == 64) { continue; }
        g->ref[g->n_refs++] = kluis_arena_str(g->refs, r->attachments[i].source_ref);
    }
    KLUIS_TRY(kluis_record_write(r, &g->h, &canonical, err)); /* whatever is given could also be packed */
    return kluis_record_write_expanded(r, &g->h, &g->lines, err);
}

static kluis_status on_end(void *ctx, struct kluis_err *err)
{
    (void)ctx;
    (void)err;
    return KLUIS_OK;
}

static kluis_status on_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct source_got *g = ctx;
    (void)err;
    g->refused += s->refused;
    kluis_buf_fmt(&g->skipped, "%s|%s|%s\n", s->what, s->where, s->why);
    return KLUIS_OK;
}

static void start(struct source_got *g)
{
    memset(g, 0, sizeof *g);
    kluis_buf_init(&g->headers, 64 << 20);
    kluis_buf_init(&g->lines, 256 << 20);
    kluis_buf_init(&g->raw, 256 << 20);
    kluis_buf_init(&g->skipped, 1 << 20);
    g->refs = kluis_arena_new(1 << 20);
    assert_non_null(g->refs);
}

void source_get(struct source_got *g, const struct source_kind *k, const char *path, ...)
{
    struct source_option o[8];
    char keys[8][64];
    size_t n = 0;
    const char *s;
    va_list ap;
    va_start(ap, path);
    while ((s = va_arg(ap, const char *)) != NULL) {
        const char *eq = strchr(s, '=');
        assert_non_null(eq);
        snprintf(keys[n], 64, "%.*s", (int)(eq - s), s);
        o[n] = (struct source_option){ .key = keys[n], .value = eq + 1 };
        n++;
    }
    va_end(ap);
    start(g);
    struct source_request q = { path, o, n };
    struct source_sink sink = { g, on_begin, on_record, on_end, on_skipped };
    g->rc = k->read(&q, &sink, &g->err);
    if ((g->rc == KLUIS_OK) != (g->err.code == KLUIS_OK)) { fail_msg("status %s, error %s", kluis_status_name(g->rc), g->err.msg); }
    kluis_buf_byte(&g->headers, 0);
    kluis_buf_byte(&g->skipped, 0);
}

void source_got_free(struct source_got *g)
{
    kluis_buf_free(&g->headers);
    kluis_buf_free(&g->lines);
    kluis_buf_free(&g->raw);
    kluis_buf_free(&g->skipped);
    kluis_arena_free(g->refs);
}

struct kluis_str source_line(const struct source_got *g, size_t i)
{
    const char *p = (const char *)g->lines.data, *end = p + g->lines.len;
    for (; p != NULL && p < end; i--) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (i == 0) { return (struct kluis_str){ p, (size_t)(nl - p) }; }
        p = nl + 1;
    }
    return (struct kluis_str){ "", 0 };
}

void source_has(const struct source_got *g, size_t i, const char *part)
{
    struct kluis_str l = source_line(g, i);
    if (memmem(l.ptr, l.len, part, strlen(part)) == NULL) { fail_msg("record %zu has no %s: %.*s", i, part, (int)l.len, l.ptr); }
}

void source_has_not(const struct source_got *g, size_t i, const char *part)
{
    struct kluis_str l = source_line(g, i);
    if (memmem(l.ptr, l.len, part, strlen(part)) != NULL) { fail_msg("record %zu has %s: %.*s", i, part, (int)l.len, l.ptr); }
}

void source_header_has(const struct source_got *g, const char *part)
{
    if (strstr((const char *)g->headers.data, part) == NULL) { fail_msg("no header has %s: %s", part, (const char *)g->headers.data); }
}

struct taken {
    uint8_t *to;
    size_t cap, n;
};

static kluis_status on_attachment(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    struct taken *t = ctx;
    (void)index;
    t->n = 0;
    for (;;) {
        ssize_t k = in->read(in->ctx, t->to + t->n, t->cap - t->n, err);
        if (k < 0) { return err->code; }
        if (k == 0) { return KLUIS_OK; }
        t->n += (size_t)k;
    }
}

size_t source_attachment(const struct source_kind *k, const char *path, struct kluis_str ref, uint8_t *to, size_t cap)
{
    struct taken t = { to, cap, SIZE_MAX };
    struct source_attachment_sink sink = { &t, on_attachment };
    struct source_request q = { path, NULL, 0 };
    struct kluis_err err = { 0 };
    assert_int_equal(k->attachments(&q, KLUIS_STR_LIT(""), &ref, 1, &sink, &err), KLUIS_OK);
    return t.n;
}

void source_put(const char *dir, const char *name, const void *p, size_t n, char path[KLUIS_PATH_MAX])
{
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_path(path, KLUIS_PATH_MAX, dir, name, &err), KLUIS_OK);
    if (kluis_write_file(path, p, n, 0600, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
}

static void sum_below(struct kluis_sha256 *h, const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char path[KLUIS_PATH_MAX];
        struct stat st;
        struct kluis_err err = { 0 };
        if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
            assert_int_equal(kluis_path(path, sizeof path, dir, list[i]->d_name, &err), KLUIS_OK);
            assert_int_equal(lstat(path, &st), 0);
            kluis_sha256_add(h, path, strlen(path) + 1);
            kluis_sha256_add(h, &st.st_mtim, sizeof st.st_mtim);
            kluis_sha256_add(h, &st.st_ctim, sizeof st.st_ctim);
            kluis_sha256_add(h, &st.st_size, sizeof st.st_size);
            if (S_ISDIR(st.st_mode)) { sum_below(h, path); }
            if (S_ISREG(st.st_mode)) {
                KLUIS_AUTO_BUF(b, 64 << 20);
                assert_int_equal(kluis_read_file(path, 64 << 20, &b, &err), KLUIS_OK);
                kluis_sha256_add(h, b.data, b.len);
            }
        }
        free(list[i]); /* scandir's own memory */
    }
    free(list);
}

void source_folder_sum(const char *dir, uint8_t out[32])
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    assert_non_null(h);
    sum_below(h, dir);
    kluis_sha256_end(h, out);
}

void source_refused(const struct source_kind *k, const char *dir, const char *name, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char path[KLUIS_PATH_MAX];
        struct source_got g;
        source_put(dir, name, texts[i], strlen(texts[i]), path);
        source_get(&g, k, path, (char *)NULL);
        if (g.rc != KLUIS_E_REJECT || g.n != 0 || strchr(g.err.msg, '\n') != NULL) {
            fail_msg("case %zu: %s %s", i, kluis_status_name(g.rc), g.err.msg);
        }
        source_got_free(&g);
    }
}

void source_nested(struct kluis_buf *b)
{
    enum { DEEP = 100000 };
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(b, '['); }
    for (int i = 0; i < DEEP; i++) { kluis_buf_byte(b, ']'); }
}

static void survives(const struct source_kind *k, const char *dir, const char *name, const void *p, size_t n)
{
    char path[KLUIS_PATH_MAX];
    struct source_got g;
    source_put(dir, name, p, n, path);
    source_get(&g, k, path, (char *)NULL);
    if (g.rc != KLUIS_OK && g.rc != KLUIS_E_REJECT && g.rc != KLUIS_E_LIMIT) { fail_msg("%zu bytes: %s %s", n, kluis_status_name(g.rc), g.err.msg); }
    source_got_free(&g);
}

void source_torture(const struct source_kind *k, const char *dir, const char *name, const void *p, size_t n, size_t step, unsigned flips)
{
    uint8_t *copy = kluis_malloc(n + 1);
    uint32_t seed = 12345;
    assert_non_null(copy);
    for (size_t cut = 0; cut < n; cut += step) { survives(k, dir, name, p, cut); }
    for (unsigned i = 0; i < flips && n > 0; i++) {
        memcpy(copy, p, n);
        for (unsigned j = 0; j <= i % 4; j++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 3) % n] ^= (uint8_t)(1u << (seed & 7));
        }
        survives(k, dir, name, copy, n);
    }
    kluis_free(copy);
}
