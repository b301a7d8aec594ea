/* whatsapp_support.c - see whatsapp_support.h */
#include "whatsapp_support.h"

static kluis_status on_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct chat_read *c = ctx;
    c->h = *h;
    KLUIS_TRY(kluis_header_write(h, &c->header, err));
    kluis_buf_byte(&c->header, 0); /* tests look into it with strstr */
    KLUIS_TRY(kluis_buf_ok(&c->header, err));
    c->header.len--;
    return KLUIS_OK;
}

static kluis_status on_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct chat_read *c = ctx;
    c->n++;
    c->n_kind[r->kind]++;
    kluis_buf_add(&c->raw, raw.ptr, raw.len);
    return kluis_record_write(r, &c->h, &c->lines, err);
}

static kluis_status on_end(void *ctx, struct kluis_err *err)
{
    (void)ctx;
    (void)err;
    return KLUIS_OK;
}

static kluis_status on_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct chat_read *c = ctx;
    (void)err;
    kluis_buf_fmt(&c->skipped, "%s|%s|%s\n", s->what, s->where, s->why);
    return KLUIS_OK;
}

struct source_sink chat_sink(struct chat_read *c) { return (struct source_sink){ c, on_begin, on_record, on_end, on_skipped }; }

struct memory {
    const char *p;
    size_t n, at, step;
};

static ssize_t memory_read(void *ctx, void *to, size_t n, struct kluis_err *err)
{
    struct memory *m = ctx;
    (void)err;
    size_t k = m->n - m->at;
    if (m->step != 0 && k > m->step) { k = m->step; }
    if (k > n) { k = n; }
    memcpy(to, m->p + m->at, k);
    m->at += k;
    return (ssize_t)k;
}

static kluis_status memory_open(void *ctx, struct kluis_input *in, struct kluis_err *err)
{
    struct memory *m = ctx;
    (void)err;
    m->at = 0;
    *in = (struct kluis_input){ m, memory_read };
    return KLUIS_OK;
}

static void memory_close(void *ctx) { (void)ctx; }

static void start(struct chat_read *c)
{
    memset(c, 0, sizeof *c);
    kluis_buf_init(&c->header, 8 << 20);
    kluis_buf_init(&c->lines, 256 << 20);
    kluis_buf_init(&c->raw, 256 << 20);
    kluis_buf_init(&c->skipped, 1 << 20);
}

enum { OPTIONS = 8 };
static size_t options(va_list ap, struct source_option o[OPTIONS], char keys[OPTIONS][64])
{
    size_t n = 0;
    const char *s;
    while ((s = va_arg(ap, const char *)) != NULL) {
        const char *eq = strchr(s, '=');
        assert_non_null(eq);
        snprintf(keys[n], 64, "%.*s", (int)(eq - s), s);
        o[n] = (struct source_option){ .key = keys[n], .value = eq + 1 };
        n++;
    }
    return n;
}

void chat_read(struct chat_read *c, const char *text, size_t n, size_t step, const char *chat_name, ...)
{
    start(c);
    struct source_option o[OPTIONS];
    char keys[OPTIONS][64];
    va_list ap;
    va_start(ap, chat_name);
    struct source_request q = { "chat.txt", o, options(ap, o, keys) };
    va_end(ap);
    struct wa_settings set;
    c->rc = wa_settings_of(&q, &set, &c->err);
    if (c->rc != KLUIS_OK) { return; }
    struct memory m = { text, n, 0, step };
    struct wa_opener open = { &m, memory_open, memory_close };
    struct wa_place *none = kluis_calloc(1, sizeof *none);
    struct source_sink sink = chat_sink(c);
    c->rc = wa_read_chat(&open, "chat.txt", chat_name, &set, none, &sink, &c->err);
    kluis_free(none);
    wa_settings_close(&set);
    assert_true((c->rc == KLUIS_OK) == (c->err.code == KLUIS_OK));
}

void chat_read_path(struct chat_read *c, const char *path, ...)
{
    start(c);
    struct source_option o[OPTIONS];
    char keys[OPTIONS][64];
    va_list ap;
    va_start(ap, path);
    struct source_request q = { path, o, options(ap, o, keys) };
    va_end(ap);
    struct source_sink sink = chat_sink(c);
    c->rc = source_whatsapp_text.read(&q, &sink, &c->err);
    assert_true((c->rc == KLUIS_OK) == (c->err.code == KLUIS_OK));
}

void chat_free(struct chat_read *c)
{
    kluis_buf_free(&c->header);
    kluis_buf_free(&c->lines);
    kluis_buf_free(&c->raw);
    kluis_buf_free(&c->skipped);
}

struct kluis_str chat_line(const struct chat_read *c, size_t i)
{
    const char *p = (const char *)c->lines.data, *end = p + c->lines.len;
    for (; p != NULL && p < end; i--) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (i == 0) { return (struct kluis_str){ p, (size_t)(nl - p) }; }
        p = nl + 1;
    }
    return (struct kluis_str){ "", 0 };
}

bool chat_has(const struct chat_read *c, size_t i, const char *part)
{
    struct kluis_str l = chat_line(c, i);
    bool has = memmem(l.ptr, l.len, part, strlen(part)) != NULL;
    if (!has) { print_message("record %zu has no %s: %.*s\n", i, part, (int)l.len, l.ptr); }
    return has;
}

void chat_show(const struct chat_read *c)
{
    print_message("%s %s\n%.*s%.*s", kluis_status_name(c->rc), c->err.msg, (int)c->header.len, (const char *)c->header.data, (int)c->lines.len,
                  (const char *)c->lines.data);
}
