/* A header line and record lines: what is accepted is written again byte for byte, and can be expanded. */
#include "kluis/record.h"
#include "tests/fuzz/fuzz.h"

static struct kluis_str line_of(struct kluis_str *rest)
{
    const char *nl = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    struct kluis_str line = { rest->ptr, nl == NULL ? rest->len : (size_t)(nl - rest->ptr) };
    size_t taken = nl == NULL ? line.len : line.len + 1;
    rest->ptr += taken;
    rest->len -= taken;
    return line;
}

static void same(struct kluis_str line, const struct kluis_buf *b)
{
    MUST(b->len == line.len + 1 && memcmp(b->data, line.ptr, line.len) == 0 && b->data[line.len] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct kluis_str rest = fuzz_str(p, n), line = line_of(&rest);
    struct kluis_header h;
    struct kluis_err err = { 0 };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(32 << 20);
    KLUIS_AUTO(kluis_arena) each = kluis_arena_new(32 << 20);
    KLUIS_AUTO_BUF(again, 16 << 20);
    kluis_status rc = kluis_header_read(line, arena, &h, &err);
    MUST(rc == err.code);
    if (rc != KLUIS_OK) { return 0; }
    MUST(kluis_header_write(&h, &again, NULL) == KLUIS_OK);
    same(line, &again);
    while (rest.len > 0) {
        struct kluis_record r;
        line = line_of(&rest);
        kluis_err_clear(&err);
        kluis_arena_clear(each);
        rc = kluis_record_read(line, &h, each, &r, &err);
        MUST(rc == err.code);
        if (rc != KLUIS_OK) { continue; }
        kluis_buf_clear(&again);
        MUST(kluis_record_write(&r, &h, &again, NULL) == KLUIS_OK);
        same(line, &again);
        kluis_buf_clear(&again);
        MUST(kluis_record_write_expanded(&r, &h, &again, NULL) == KLUIS_OK);
        MUST(kluis_utf8_valid((const char *)again.data, again.len) == again.len && memchr(again.data, '\n', again.len - 1) == NULL);
    }
    return 0;
}
