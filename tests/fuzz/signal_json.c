/* One line of a Signal export as a tree: every value lies where it says. */
#include "agent/source/json.h"
#include "tests/fuzz/fuzz.h"

static void walk(const struct json *v, const char *from, const char *to)
{
    MUST(v->raw.ptr >= from && v->raw.ptr + v->raw.len <= to && v->raw.len > 0);
    if (v->type == JSON_STRING) { MUST(kluis_utf8_valid(v->text.ptr, v->text.len) == v->text.len); }
    for (const struct json *c = v->child; c != NULL; c = c->next) { walk(c, v->raw.ptr, v->raw.ptr + v->raw.len); }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(20 << 20);
    struct json *v = NULL;
    struct kluis_err err = { 0 };
    uint64_t number;
    kluis_status rc = json_read(fuzz_str(p, n), arena, &v, &err);
    MUST(rc == err.code && (rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT));
    if (rc != KLUIS_OK) { return 0; }
    walk(v, (const char *)p, (const char *)p + n);
    (void)json_value_u64(v, &number);
    (void)json_u64(v, "id", &number);
    (void)json_string(v, "name");
    (void)json_true(v, "seen");
    json_ignore(v, "x");
    MUST(json_whole(v) == v);
    return 0;
}
