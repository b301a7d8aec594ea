/* Promise: a JSON document of any size is gone through in pieces of any size with the same result; what exporters write against RFC 8259 is
 * taken where "loose" says so and refused where it does not; damage is said with its byte and what follows can be found again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "agent/source/json.h"
#include "agent/source/json_items.h"

struct pieces {
    struct kluis_str text;
    size_t at, step;
};

static ssize_t read_piece(void *ctx, void *p, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    struct pieces *m = ctx;
    size_t k = m->text.len - m->at;
    if (k > m->step) { k = m->step; }
    if (k > n) { k = n; }
    memcpy(p, m->text.ptr + m->at, k);
    m->at += k;
    return (ssize_t)k;
}

static struct json *loose(struct kluis_arena *a, const char *text)
{
    struct json *v = NULL;
    struct kluis_err err = { 0 };
    if (json_read_loose(kluis_str_of(text), a, &v, &err) != KLUIS_OK) { fail_msg("%s: %s", text, err.msg); }
    return v;
}

static void loose_takes_what_exporters_write(void **state)
{
    (void)state;
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    struct json *v = NULL;
    static const char *const odd[] = { "\"a\\x1fb\\xe9\"", "\"a\tb\"", "{\"a\":1,\"a\":2}", "\"a\xff\"" };
    for (size_t i = 0; i < 4; i++) {
        struct kluis_err err = { 0 };
        assert_int_equal(json_read(kluis_str_of(odd[i]), a, &v, &err), KLUIS_E_REJECT);
    }
    assert_string_equal(kluis_arena_strndup(a, loose(a, odd[0])->text.ptr, 5), "a\x1f"
                                                                               "b\xC3\xA9");
    assert_true(kluis_str_is(loose(a, odd[1])->text, "a\tb"));
    uint64_t n = 0;
    v = loose(a, odd[2]);
    assert_true(json_u64(v, "a", &n) && n == 1 && v->child->next != NULL);
    v = loose(a, odd[3]);
    assert_true(v->damaged && kluis_str_is(v->text, "a\xEF\xBF\xBD"));
    int64_t s = 0;
    assert_true(json_i64(loose(a, "{\"a\":-5}"), "a", &s) && s == -5);
    assert_true(json_i64(loose(a, "{\"a\":\"-5\"}"), "a", &s) && s == -5);
    assert_false(json_i64(loose(a, "{\"a\":1.5}"), "a", &s));
    static const char *const bad[] = { "\"\\x1\"", "\"\\x1g\"", "\"\\q\"", "{\"a\" 1}", "" };
    for (size_t i = 0; i < 5; i++) { assert_int_equal(json_read_loose(kluis_str_of(bad[i]), a, &v, NULL), KLUIS_E_REJECT); }
}

/* A string is gone through many bytes at a time: whatever stands in it counts at each place alike, in lines and beyond them. */
static void what_stands_in_a_string_counts_at_any_place(void **state)
{
    (void)state;
    static const struct {
        const char *in, *text;
        bool strict, damaged;
    } odd[] = { { "\\\"", "\"", true, false },           { "\\u0041", "A", true, false },         { "\x01", "\x01", false, false },
                { "\xc3\xa9", "\xc3\xa9", true, false }, { "\xff", "\xEF\xBF\xBD", false, true }, { "\\\\", "\\", true, false } };
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (int before = 0; before < 40; before++) {
            for (int after = 0; after < 40; after += 3) {
                char in[128], want[128];
                struct json *v = NULL;
                struct kluis_err err = { 0 };
                (void)snprintf(in, sizeof in, "\"%.*s%s%.*s\" ", before, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", odd[i].in, after,
                               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
                (void)snprintf(want, sizeof want, "%.*s%s%.*s", before, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", odd[i].text, after,
                               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
                kluis_arena_clear(a);
                assert_int_equal(json_read(kluis_str_of(in), a, &v, &err), odd[i].strict ? KLUIS_OK : KLUIS_E_REJECT);
                if (odd[i].strict) { assert_true(kluis_str_is(v->text, want)); }
                char place[40]; /* a control character is said with its place, other bytes with the string's end */
                (void)snprintf(place, sizeof place, "byte %d:", odd[i].in[0] == '\x01' ? before + 2 : before + after + 4);
                if (!odd[i].strict) { assert_non_null(strstr(err.msg, place)); }
                v = loose(a, in);
                assert_true(kluis_str_is(v->text, want) && v->damaged == odd[i].damaged);
                in[strlen(in) - 2] = '\0';
                assert_int_equal(json_read_loose(kluis_str_of(in), a, &v, NULL), KLUIS_E_REJECT);
            }
        }
    }
    size_t used = 0;
    struct json *v = NULL;
    assert_int_equal(json_read_first(KLUIS_STR_LIT(" {\"a\":[1]},{\"b\":2}"), a, &v, &used, NULL), KLUIS_OK);
    assert_int_equal(used, 10);
    assert_int_equal(json_read_first(KLUIS_STR_LIT("{\"a\":[1]"), a, &v, &used, NULL), KLUIS_E_REJECT);
}

/* Goes through {…,"list":[…],…} and writes down what it meets. */
static void walk(const char *text, size_t step, struct kluis_buf *out)
{
    struct pieces m = { kluis_str_of(text), 0, step };
    struct kluis_input in = { &m, read_piece };
    struct kluis_err err = { 0 };
    struct json_stream s = { 0 };
    struct kluis_str key, v;
    uint64_t at;
    kluis_status rc = json_stream_open(&s, &in, 0, "test", 64, &err);
    if (rc == KLUIS_OK) { rc = json_stream_enter(&s, '{', &err); }
    while (rc == KLUIS_OK && (rc = json_stream_next(&s, &key, &err)) == KLUIS_OK) {
        kluis_buf_str(out, key);
        kluis_buf_byte(out, '=');
        char c = 0;
        rc = json_stream_peek(&s, &c, &err);
        if (rc == KLUIS_OK && c == '[') {
            rc = json_stream_enter(&s, '[', &err);
            while (rc == KLUIS_OK && (rc = json_stream_next(&s, &key, &err)) == KLUIS_OK) {
                rc = json_stream_take(&s, &v, &at, &err);
                if (rc == KLUIS_OK) {
                    assert_memory_equal(v.ptr, text + at, v.len);
                    kluis_buf_str(out, v);
                    kluis_buf_byte(out, ';');
                }
            }
            if (rc == KLUIS_END) { rc = KLUIS_OK; }
        } else if (rc == KLUIS_OK) {
            rc = json_stream_skip(&s, &err);
        }
    }
    if (rc != KLUIS_END) { kluis_buf_fmt(out, "!%s %s", kluis_status_name(rc), err.msg); }
    json_stream_close(&s);
}

static void pieces_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "\xEF\xBB\xBF{\"a\":{\"x\":[1,{}],\"y\":\"]}\\\"\"},\"list\":[1, {\"q\":[2]} ,\"s\\\\\",true,[]],\"z\":-1.5e3}",
          "a=list=1;{\"q\":[2]};\"s\\\\\";true;[];z=" },
        { " { } ", "" },
        { "{\"list\":[]}", "list=" },
        { "{\"list\":[1", "list=1;!" },
        { "{\"list\":[1 2]}", "list=1;!" },
        { "{\"list\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}", "list=!" },
        { "[]", "!" },
        { "{\"a\":}", "a=!" },
        { "{\"a\"", "!" },
        { "", "!" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        KLUIS_AUTO_BUF(whole, 1 << 16);
        walk(cases[i].text, 1 << 16, &whole);
        size_t n = strlen(cases[i].want);
        if (whole.len < n || (n > 0 && memcmp(whole.data, cases[i].want, n) != 0) || (whole.len > n && cases[i].want[n > 0 ? n - 1 : 0] != '!')) {
            fail_msg("%s gives %.*s", cases[i].text, (int)whole.len, (char *)whole.data);
        }
        for (size_t step = 1; step < 5; step++) {
            KLUIS_AUTO_BUF(part, 1 << 16);
            walk(cases[i].text, step, &part);
            assert_int_equal(part.len, whole.len);
            if (part.len > 0) { assert_memory_equal(part.data, whole.data, part.len); }
        }
    }
}

static void after_damage_the_next_is_found(void **state)
{
    (void)state;
    static const char text[] = "{\"m\":[{\"id\":1},{\"id\":2,\"t\":\"lost quote},\n  {\n \"id\": 3,\"t\":\"x\"},{\"idx\":9},{\"id\":4}]}";
    for (size_t step = 1; step < 200; step += 33) {
        struct pieces m = { { text, sizeof text - 1 }, 0, step };
        struct kluis_input in = { &m, read_piece };
        struct kluis_err err = { 0 };
        struct json_stream s;
        struct kluis_str key, v;
        uint64_t at;
        bool above = false;
        static const char *const keys[] = { "id", NULL };
        assert_int_equal(json_stream_open(&s, &in, 0, "test", 4096, &err), KLUIS_OK);
        assert_int_equal(json_stream_enter(&s, '{', &err), KLUIS_OK);
        assert_int_equal(json_stream_next(&s, &key, &err), KLUIS_OK);
        assert_int_equal(json_stream_enter(&s, '[', &err), KLUIS_OK);
        assert_int_equal(json_stream_next(&s, &key, &err), KLUIS_OK);
        assert_int_equal(json_stream_take(&s, &v, &at, &err), KLUIS_OK);
        assert_int_equal(json_stream_next(&s, &key, &err), KLUIS_OK);
        kluis_status rc = json_stream_take(&s, &v, &at, &err); /* {"id":2…: the quotes pair up differently, so it may end too late or never */
        if (rc == KLUIS_OK) { fail_msg("took %.*s", (int)v.len, v.ptr); }
        assert_int_equal(json_stream_at(&s), 15);
        assert_int_equal(json_stream_resync(&s, keys, NULL, &above, &err), KLUIS_OK);
        assert_int_equal(json_stream_take(&s, &v, &at, &err), KLUIS_OK);
        assert_true(memmem(v.ptr, v.len, "\"id\": 3", 7) != NULL);
        assert_int_equal(json_stream_resync(&s, keys, NULL, &above, &err), KLUIS_OK); /* over the one that begins otherwise */
        assert_int_equal(json_stream_take(&s, &v, &at, &err), KLUIS_OK);
        assert_true(kluis_str_is(v, "{\"id\":4}"));
        assert_int_equal(json_stream_next(&s, &key, &err), KLUIS_END);
        assert_int_equal(json_stream_resync(&s, keys, NULL, &above, &err), KLUIS_END);
        json_stream_close(&s);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *deep = kluis_malloc(2 * DEEP + 2);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    struct json *v = NULL;
    assert_int_equal(json_read_loose((struct kluis_str){ deep, 2 * DEEP }, a, &v, NULL), KLUIS_E_LIMIT);
    struct pieces m = { { deep, 2 * DEEP }, 0, 1 << 16 };
    struct kluis_input in = { &m, read_piece };
    struct json_stream s;
    assert_int_equal(json_stream_open(&s, &in, 0, "test", 1 << 20, NULL), KLUIS_OK);
    assert_int_equal(json_stream_skip(&s, NULL), KLUIS_OK);
    assert_int_equal(json_stream_at(&s), 2 * DEEP);
    json_stream_close(&s);
    m.at = 0;
    assert_int_equal(json_stream_open(&s, &in, 0, "test", 1 << 20, NULL), KLUIS_OK);
    kluis_status rc = KLUIS_OK;
    for (int i = 0; i < DEEP && rc == KLUIS_OK; i++) { rc = json_stream_enter(&s, '[', NULL); }
    assert_int_equal(rc, KLUIS_E_LIMIT);
    json_stream_close(&s);
    kluis_free(deep);
}

struct seen {
    unsigned items, damages;
    uint64_t bytes;
    char ids[64];
};
static bool has_id(struct json *m) { return json_get(m, "id") != NULL; }
static kluis_status on_item(void *ctx, struct json *m, struct kluis_str raw, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct seen *s = ctx;
    assert_true(raw.ptr[0] == '{' && raw.ptr[raw.len - 1] == '}');
    if (s->items++ < 16) { strncat(s->ids, json_get(m, "id")->text.ptr, 1); }
    return KLUIS_OK;
}
static kluis_status on_damage(void *ctx, KLUIS_UNUSED uint64_t at, uint64_t bytes, KLUIS_UNUSED bool to_end, KLUIS_UNUSED struct kluis_err *err)
{
    struct seen *s = ctx;
    s->damages++;
    s->bytes += bytes;
    return KLUIS_OK;
}
static enum json_items_end go_through(const char *text, size_t n, struct seen *seen)
{
    struct pieces m = { { text, n }, 0, 4096 };
    struct kluis_input in = { &m, read_piece };
    struct json_stream s = { 0 };
    struct kluis_err err = { 0 };
    enum json_items_end end = JSON_ITEMS_OUTER;
    KLUIS_AUTO(kluis_arena) tree = kluis_arena_new(8 << 20);
    *seen = (struct seen){ .items = 0 };
    assert_int_equal(json_stream_open(&s, &in, 0, "test", 4 << 20, &err), KLUIS_OK);
    assert_int_equal(json_stream_enter(&s, '[', &err), KLUIS_OK);
    struct json_items i = { .stream = &s, .tree = tree, .first = "id", .ctx = seen, .is_one = has_id, .item = on_item, .damage = on_damage };
    assert_int_equal(json_items(&i, &end, &err), KLUIS_OK);
    json_stream_close(&s);
    return end;
}

/* Whatever is broken, what stands around it comes, broken things are told once each, and nothing is taken for an element that is none. */
static void items_around_damage_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *ids;
        unsigned damages;
        enum json_items_end end;
    } cases[] = {
        { "[]", "", 0, JSON_ITEMS_CLOSED },
        { "[{\"id\":1},{\"a\":0,\"id\":2}]", "12", 0, JSON_ITEMS_CLOSED },
        { "[{\"id\":1},{\"id\":2,},{\"id\":3}]", "13", 1, JSON_ITEMS_CLOSED },
        { "[{\"a\":0,\"id\":1},{\"id\":2 x},{\"a\":0,\"id\":3}]", "13", 1, JSON_ITEMS_CLOSED }, /* begins otherwise than told */
        { "[{\"id\":1},{\"b\":{\"id\":}},{\"id\":3}]", "13", 1, JSON_ITEMS_CLOSED },
        { "[{\"id\":1},{\"b\":0},7,null,{\"id\":3}]", "13", 1, JSON_ITEMS_CLOSED },
        { "[{\"id\":1},{\"id\":2,\"t\":\"open},{\"id\":3}", "13", 1, JSON_ITEMS_DOCUMENT },
        { "[{\"id\":1},{\"id\":2", "1", 1, JSON_ITEMS_DOCUMENT },
        { "[{\"id\":1}", "1", 1, JSON_ITEMS_DOCUMENT },
    };
    struct seen seen;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum json_items_end end = go_through(cases[i].text, strlen(cases[i].text), &seen);
        if (end != cases[i].end || seen.damages < cases[i].damages || strcmp(seen.ids, cases[i].ids) != 0) {
            fail_msg("case %zu: ids %s, %u damages, end %d", i, seen.ids, seen.damages, (int)end);
        }
    }
}

/* Places that may be an element inside others that may be: looking at them all would take as many times longer as they are deep. */
static void hostile_nesting_costs_no_more_than_its_length(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    KLUIS_AUTO_BUF(b, 8 << 20);
    struct seen seen;
    for (int closed = 0; closed < 2; closed++) {
        kluis_buf_clear(&b);
        kluis_buf_cstr(&b, "[{\"id\":1},");
        for (int i = 0; i < DEEP; i++) { kluis_buf_cstr(&b, "{\"id\":"); }
        for (int i = 0; i < DEEP && closed; i++) { kluis_buf_byte(&b, '}'); }
        kluis_buf_cstr(&b, ",{\"id\":3}]");
        clock_t before = clock(); /* its own time: others run too */
        (void)go_through((const char *)b.data, b.len, &seen);
        assert_true(seen.items >= 2 && seen.damages >= 1);
        assert_true((clock() - before) / CLOCKS_PER_SEC < 60); /* minutes of it otherwise */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loose_takes_what_exporters_write),
        cmocka_unit_test(pieces_change_nothing),
        cmocka_unit_test(what_stands_in_a_string_counts_at_any_place),
        cmocka_unit_test(after_damage_the_next_is_found),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(items_around_damage_are_found),
        cmocka_unit_test(hostile_nesting_costs_no_more_than_its_length),
    };
    return kluis_base_init(NULL) != KLUIS_OK ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
