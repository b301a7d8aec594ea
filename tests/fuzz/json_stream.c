/* A JSON document, gone through in whole and in pieces: the same steps, the same values, the same end; strict is loose's subset. */
#include "agent/source/json_stream.h"

#include "agent/source/json.h"
#include "tests/fuzz/fuzz.h"

struct pieces {
    const uint8_t *p;
    size_t n, at, step;
};

static ssize_t read_piece(void *ctx, void *to, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    struct pieces *m = ctx;
    size_t k = m->n - m->at;
    if (k > m->step) { k = m->step; }
    if (k > n) { k = n; }
    if (k > 0) { memcpy(to, m->p + m->at, k); }
    m->at += k;
    return (ssize_t)k;
}

/* Enters everything down to four levels, takes what is below; after damage looks for the next "id". */
static void walk(const uint8_t *p, size_t n, size_t step, struct kluis_buf *out)
{
    struct pieces m = { p, n, 0, step };
    struct kluis_input in = { &m, read_piece };
    struct json_stream s = { 0 };
    struct kluis_str key, v;
    uint64_t at;
    static const char *const keys[] = { "id", "type", NULL };
    bool above = false;
    char c = 0;
    MUST(json_stream_open(&s, &in, 0, "fuzz", 4096, NULL) == KLUIS_OK);
    kluis_status rc = json_stream_peek(&s, &c, NULL);
    if (rc == KLUIS_OK && (c == '{' || c == '[')) { rc = json_stream_enter(&s, c, NULL); }
    kluis_buf_fmt(out, "%d ", (int)rc);
    for (unsigned steps = 0; steps < 100000 && s.depth > 0; steps++) {
        rc = json_stream_next(&s, &key, NULL);
        if (rc == KLUIS_OK) { rc = json_stream_peek(&s, &c, NULL); }
        if (rc == KLUIS_OK && (c == '{' || c == '[') && s.depth < 4) {
            rc = json_stream_enter(&s, c, NULL);
        } else if (rc == KLUIS_OK) {
            rc = json_stream_take(&s, &v, &at, NULL);
            if (rc == KLUIS_OK) {
                MUST(at + v.len <= n && memcmp(v.ptr, p + at, v.len) == 0);
                kluis_buf_fmt(out, "%llu+%zu ", (unsigned long long)at, v.len);
            } else if (rc == KLUIS_E_LIMIT) {
                rc = json_stream_skip(&s, NULL);
            }
        }
        kluis_buf_fmt(out, "%d@%llu ", (int)rc, (unsigned long long)json_stream_at(&s));
        if (rc == KLUIS_E_REJECT && json_stream_resync(&s, keys, "name", &above, NULL) == KLUIS_OK) { continue; }
        if (rc != KLUIS_OK && rc != KLUIS_END) { break; }
    }
    json_stream_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO_BUF(whole, 16 << 20);
    KLUIS_AUTO_BUF(parts, 16 << 20);
    walk(p, n, 1 << 20, &whole);
    walk(p, n, 3, &parts);
    MUST(whole.len == parts.len && (whole.len == 0 || memcmp(whole.data, parts.data, whole.len) == 0));
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(8 << 20);
    struct json *v = NULL;
    if (json_read(fuzz_str(p, n), a, &v, NULL) == KLUIS_OK) { MUST(json_read_loose(fuzz_str(p, n), a, &v, NULL) != KLUIS_E_REJECT); }
    return 0;
}
