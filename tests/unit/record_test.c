/* record_test.c - canonical lines, the strict reader, records.root. */
#include "kluis/ledger.h"
#include "kluis/record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define S(text) KLUIS_STR_LIT(text)

static const struct kluis_party parties[] = {
    { .id = { "aci-1", 5 }, .name = { "J. de Vries", 11 }, .number = { "+31600000001", 12 } },
    { .name = { "Samira \xe2\x80\x9cS\xe2\x80\x9d", 14 } },
    { .number = { "+31600000003", 12 } },
};
static const uint32_t members[] = { 0, 1 };
static const struct kluis_str header_loss[] = { { "edits", 5 }, { "reactions", 9 } };

static struct kluis_header sample_header(void)
{
    struct kluis_header h = { .platform = S("whatsapp"),
                              .conversation_id = S("c-1"),
                              .conversation_name = S("Overleg \"dijk\""),
                              .type = KLUIS_GROUP,
                              .parties = parties,
                              .n_parties = 3,
                              .participants = members,
                              .n_participants = 2,
                              .self = 0,
                              .provenance = { .source = S("whatsapp-text"), .reader = S("chatkluis 0.1.0 whatsapp-text") },
                              .zone = KLUIS_ZONE_ASSUMED,
                              .zone_name = S("Europe/Amsterdam"),
                              .precision = KLUIS_PRECISION_MINUTE,
                              .loss = header_loss,
                              .n_loss = 2 };
    memset(h.salt, 0xab, sizeof h.salt);
    return h;
}

static const struct kluis_attachment files[] = {
    { .name = { "IMG-1.jpg", 9 }, .type = { "image/jpeg", 10 }, .size = 12345, .has_sha256 = true, .sha256 = { 1, 2, 3 } },
    { .size = -1, .loss = { "omitted", 7 } },
};
static const struct kluis_time_field other_times[] = {
    { .name = { "received", 8 }, .when = { 1740830700123000, 0 } },
    { .name = { "server", 6 }, .when = { 1740830700123456, -90 } },
};
static const struct kluis_field extra[] = {
    { .name = { "raw_code", 8 }, .number = -42, .is_int = true },
    { .name = { "raw_name", 8 }, .value = { "x\x01y", 3 } },
};
static const struct kluis_str choices[] = { { "ja", 2 }, { "", 0 } };
static const struct kluis_str losses[] = { { "view-once", 9 } };

static struct kluis_record empty_record(void)
{
    return (struct kluis_record){ .author = KLUIS_NO_PARTY,
                                  .sent = { KLUIS_TIME_ABSENT, 0 },
                                  .zone = KLUIS_ZONE_ASSUMED,
                                  .target_author = KLUIS_NO_PARTY,
                                  .target_sent = { KLUIS_TIME_ABSENT, 0 } };
}

static struct kluis_record full_record(void)
{
    static const uint8_t raw[] = { 'a', 0xff, 'b' };
    struct kluis_record r = empty_record();
    r.kind = KLUIS_POLL;
    r.id = S("m-1");
    r.author = 1;
    r.sent = (struct kluis_when){ 1740830700000000, 60 };
    r.zone = KLUIS_ZONE_STATED;
    r.times = other_times;
    r.n_times = 2;
    r.text = S("a\xef\xbf\xbd"
               "b\n\t\"\\\x1f/");
    r.text_raw = (struct kluis_bytes){ raw, sizeof raw };
    r.attachments = files;
    r.n_attachments = 2;
    r.target = S("m-0");
    r.target_author = 2;
    r.target_sent = (struct kluis_when){ 1740830640000000, 0 };
    r.quote = S("");
    r.value = S("\xf0\x9f\x91\x8d");
    r.event = S("missed");
    r.options = choices;
    r.n_options = 2;
    r.fields = extra;
    r.n_fields = 2;
    r.loss = losses;
    r.n_loss = 1;
    r.evidence = 77;
    return r;
}

static const char header_line[] =
    "{\"schema\":1,\"platform\":\"whatsapp\",\"conversation\":{\"id\":\"c-1\",\"name\":\"Overleg \\\"dijk\\\"\",\"type\":\"group\"},"
    "\"parties\":[{\"id\":\"aci-1\",\"name\":\"J. de Vries\",\"number\":\"+31600000001\"},"
    "{\"name\":\"Samira \xe2\x80\x9cS\xe2\x80\x9d\"},{\"number\":\"+31600000003\"}],\"participants\":[0,1],\"self\":0,"
    "\"provenance\":{\"source\":\"whatsapp-text\",\"reader\":\"chatkluis 0.1.0 whatsapp-text\"},\"zone\":\"assumed\","
    "\"zone_name\":\"Europe/Amsterdam\",\"precision\":\"minute\",\"loss\":[\"edits\",\"reactions\"],"
    "\"salt\":\"abababababababababababababababababababababababababababababababab\"}";

static const char full_line[] =
    "{\"kind\":\"poll\",\"id\":\"m-1\",\"author\":1,\"sent\":\"2025-03-01T13:05+01:00\",\"zone\":\"stated\","
    "\"times\":{\"received\":\"2025-03-01T12:05:00.123Z\",\"server\":\"2025-03-01T10:35:00.123456-01:30\"},"
    "\"text\":\"a\xef\xbf\xbd"
    "b\\n\\t\\\"\\\\\\u001f/\",\"text_raw\":\"Yf9i\","
    "\"attachments\":[{\"name\":\"IMG-1.jpg\",\"type\":\"image/jpeg\",\"size\":12345,"
    "\"sha256\":\"0102030000000000000000000000000000000000000000000000000000000000\"},{\"loss\":\"omitted\"}],"
    "\"target\":\"m-0\",\"target_author\":2,\"target_sent\":\"2025-03-01T12:04:00Z\",\"quote\":\"\",\"value\":\"\xf0\x9f\x91\x8d\","
    "\"event\":\"missed\",\"options\":[\"ja\",\"\"],\"fields\":{\"raw_code\":-42,\"raw_name\":\"x\\u0001y\"},"
    "\"loss\":[\"view-once\"],\"evidence\":77}";

static void a_header_has_one_form_and_comes_back(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct kluis_header h = sample_header(), back;
    KLUIS_AUTO_BUF(b, 1 << 20);
    assert_int_equal(kluis_header_write(&h, &b, &err), KLUIS_OK);
    assert_int_equal(b.len, sizeof header_line);
    assert_memory_equal(b.data, header_line, sizeof header_line - 1);
    assert_int_equal(b.data[b.len - 1], '\n');
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    assert_int_equal(kluis_header_read(S(header_line), a, &back, &err), KLUIS_OK);
    KLUIS_AUTO_BUF(again, 1 << 20);
    assert_int_equal(kluis_header_write(&back, &again, &err), KLUIS_OK);
    assert_int_equal(again.len, b.len);
    assert_memory_equal(again.data, b.data, b.len);
    assert_true(kluis_str_is(back.conversation_name, "Overleg \"dijk\""));
    assert_null(back.parties[1].id.ptr);
    assert_memory_equal(back.salt, h.salt, 32);
}

static void a_record_has_one_form_and_comes_back(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct kluis_header h = sample_header();
    struct kluis_record r = full_record(), back;
    KLUIS_AUTO_BUF(b, 1 << 20);
    assert_int_equal(kluis_record_write(&r, &h, &b, &err), KLUIS_OK);
    assert_int_equal(b.len, sizeof full_line);
    assert_memory_equal(b.data, full_line, sizeof full_line - 1);
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    assert_int_equal(kluis_record_read(S(full_line), &h, a, &back, &err), KLUIS_OK);
    assert_true(kluis_str_eq(back.text, r.text));
    assert_int_equal(back.text_raw.len, 3);
    assert_int_equal(back.fields[0].number, -42);
    assert_int_equal(back.times[1].when.us, 1740830700123456);
    assert_int_equal(back.times[1].when.offset_min, -90);
    KLUIS_AUTO_BUF(again, 1 << 20);
    assert_int_equal(kluis_record_write(&back, &h, &again, &err), KLUIS_OK);
    assert_memory_equal(again.data, b.data, b.len);
    assert_int_equal(again.len, b.len);
}

static void an_empty_record_is_two_braces(void **state)
{
    (void)state;
    struct kluis_err err = { 0 };
    struct kluis_header h = sample_header();
    struct kluis_record r = empty_record();
    KLUIS_AUTO_BUF(b, 100);
    assert_int_equal(kluis_record_write(&r, &h, &b, &err), KLUIS_OK);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "{}\n", 3);
}

/* Every line of this list must be refused; `good` proves that the list is not refused for another reason. */
static void records_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "{",
        "}",
        "[]",
        "null",
        "{}x",
        " {}",
        "{} ",
        "{ }",
        "{}\n",
        "{\"text\":\"a\",\"text\":\"a\"}", /* repeated              */
        "{\"text\":\"a\",\"id\":\"b\"}",   /* order                 */
        "{\"txt\":\"a\"}",
        "{\"text\":\"a\",\"x\":1}", /* unknown               */
        "{,\"text\":\"a\"}",
        "{\"text\":\"a\",}",
        "{\"text\" :\"a\"}",
        "{\"text\": \"a\"}",
        "{\"text\":null}",
        "{\"text\":1}",
        "{\"text\":[\"a\"]}",
        "{\"text\":true}",
        "{'text':'a'}",
        "{\"text\":\"a\xff\"}",
        "{\"text\":\"\xc0\xaf\"}",
        "{\"text\":\"\xed\xa0\x80\"}",
        "{\"text\":\"\xf4\x90\x80\x80\"}",
        "{\"text\":\"a\tb\"}",
        "{\"text\":\"a",
        "{\"text\":\"a\\",
        "{\"text\":\"a\\\"}",
        "{\"text\":\"\\u0041\"}",
        "{\"text\":\"\\u000a\"}",
        "{\"text\":\"\\u001F\"}",
        "{\"text\":\"\\/\"}",
        "{\"text\":\"\\u007f\"}",
        "{\"text\":\"\\ud83d\\udc4d\"}",
        "{\"text\":\"\\x41\"}",
        "{\"text\":\"\\u00\"}",
        "{\"author\":3}",
        "{\"author\":-1}",
        "{\"author\":01}",
        "{\"author\":1.0}",
        "{\"author\":1e0}",
        "{\"author\":\"1\"}",
        "{\"author\":4294967295}",
        "{\"author\":}",
        "{\"evidence\":9007199254740992}",
        "{\"evidence\":0}",
        "{\"evidence\":99999999999999999999}",
        "{\"kind\":\"message\"}",
        "{\"kind\":\"Poll\"}",
        "{\"kind\":\"\"}",
        "{\"sent\":\"2025-02-30T10:00Z\"}",
        "{\"sent\":\"2025-13-01T10:00Z\"}",
        "{\"sent\":\"2025-03-01T24:00Z\"}",
        "{\"sent\":\"2025-03-01T10:00:00Z\"}",
        "{\"sent\":\"2025-03-01t10:00Z\"}",
        "{\"sent\":\"2025-03-01T10:00z\"}",
        "{\"sent\":\"2025-03-01T10:00+00:00\"}",
        "{\"sent\":\"2025-03-01T10:00-00:00\"}",
        "{\"sent\":\"2025-03-01T10:00+24:00\"}",
        "{\"sent\":\"2025-03-01T10:00\"}",
        "{\"sent\":\"0000-03-01T10:00Z\"}",
        "{\"sent\":\"2025-03-01T10:00Z",
        "{\"sent\":\"\"}",
        "{\"zone\":\"assumed\"}",
        "{\"zone\":\"x\"}",
        "{\"times\":{}}",
        "{\"times\":{\"b\":\"2025-03-01T10:00:00Z\",\"a\":\"2025-03-01T10:00:00Z\"}}",
        "{\"times\":{\"a\":\"2025-03-01T10:00:00Z\",\"a\":\"2025-03-01T10:00:00Z\"}}",
        "{\"times\":{\"a\":\"2025-03-01T10:00Z\"}}",
        "{\"times\":{\"a\":\"2025-03-01T10:00:00.000Z\"}}",
        "{\"times\":{\"a\":\"2025-03-01T10:00:00.120000Z\"}}",
        "{\"times\":{\"a\":\"2025-03-01T10:00:00.12Z\"}}",
        "{\"times\":{\"\":\"2025-03-01T10:00:00Z\"}}",
        "{\"text_raw\":\"Yf9i\"}",
        "{\"text\":\"a\",\"text_raw\":\"\"}",
        "{\"text\":\"a\",\"text_raw\":\"Yf9\"}",
        "{\"text\":\"a\",\"text_raw\":\"YR==\"}",
        "{\"text\":\"a\",\"text_raw\":\"YQ\"}",
        "{\"attachments\":[]}",
        "{\"attachments\":[{}",
        "{\"attachments\":[{},]}",
        "{\"attachments\":[{\"size\":-1}]}",
        "{\"attachments\":[{\"size\":1,\"sha256\":\"00\"}]}",
        "{\"attachments\":[{\"loss\":\"a b\"}]}",
        "{\"attachments\":[{\"sha256\":\"0102030000000000000000000000000000000000000000000000000000000000\"}]}",
        "{\"attachments\":[{\"size\":1,\"sha256\":\"AB02030000000000000000000000000000000000000000000000000000000000\"}]}",
        "{\"options\":[]}",
        "{\"options\":[1]}",
        "{\"options\":\"a\"}",
        "{\"fields\":{}}",
        "{\"fields\":{\"a\":-0}}",
        "{\"fields\":{\"a\":1.5}}",
        "{\"fields\":{\"a\":true}}",
        "{\"fields\":{\"a\":{}}}",
        "{\"fields\":{\"b\":1,\"a\":1}}",
        "{\"fields\":{\"a\":1,\"a\":2}}",
        "{\"fields\":{\"a\":-9007199254740992}}",
        "{\"fields\":{\"ab\":1,\"a\":2}}",
        "{\"loss\":[\"\"]}",
        "{\"loss\":[\"a b\"]}",
        "{\"loss\":[]}",
        "{\"target_author\":9}",
        "{\"target_sent\":\"2025-03-01T10:00Z\"}",
    };
    static const char *const good[] = { "{}",
                                        "{\"author\":2}",
                                        "{\"fields\":{\"a\":9007199254740991,\"ab\":-9007199254740991}}",
                                        "{\"sent\":\"2024-02-29T23:59+14:00\"}",
                                        "{\"text\":\"\\u0000\"}",
                                        "{\"attachments\":[{}]}",
                                        "{\"evidence\":9007199254740991}",
                                        "{\"sent\":\"0001-01-01T00:00Z\"}" };
    struct kluis_header h = sample_header();
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    struct kluis_record r;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct kluis_err err = { 0 };
        kluis_arena_clear(a);
        if (kluis_record_read(kluis_str_of(refused[i]), &h, a, &r, &err) != KLUIS_E_REJECT) { fail_msg("was read: %s", refused[i]); }
        assert_int_equal(err.code, KLUIS_E_REJECT);
        assert_true(err.msg[0] != '\0');
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct kluis_err err = { 0 };
        if (kluis_record_read(kluis_str_of(good[i]), &h, a, &r, &err) != KLUIS_OK) { fail_msg("%s: %s", good[i], err.msg); }
        KLUIS_AUTO_BUF(b, 4096);
        assert_int_equal(kluis_record_write(&r, &h, &b, &err), KLUIS_OK);
        assert_int_equal(b.len, strlen(good[i]) + 1);
        assert_memory_equal(b.data, good[i], b.len - 1);
    }
}

static void headers_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const change[][2] = {
        { "\"schema\":1", "\"schema\":2" },
        { "\"schema\":1,", "" },
        { "\"whatsapp\"", "\"what sapp\"" },
        { "\"c-1\"", "\"\"" },
        { "\"type\":\"group\"", "\"type\":\"Group\"" },
        { "[0,1]", "[1,0]" },
        { "[0,1]", "[0,3]" },
        { "[0,1]", "[0,0]" },
        { "[0,1]", "[]" },
        { "\"self\":0", "\"self\":3" },
        { "\"zone\":\"assumed\",", "" },
        { "minute", "hour" },
        { "abab", "ABAB" },
        { "{\"number\":\"+31600000003\"}", "{}" },
        { "\"precision\"", "\"Precision\"" },
        { "\"salt\"", "\"x\":1,\"salt\"" },
    };
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    struct kluis_header h;
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        struct kluis_err err = { 0 };
        const char *at = strstr(header_line, change[i][0]);
        assert_non_null(at);
        KLUIS_AUTO_BUF(b, 1 << 16);
        kluis_buf_add(&b, header_line, (size_t)(at - header_line));
        kluis_buf_cstr(&b, change[i][1]);
        kluis_buf_cstr(&b, at + strlen(change[i][0]));
        kluis_arena_clear(a);
        if (kluis_header_read((struct kluis_str){ (const char *)b.data, b.len }, a, &h, &err) != KLUIS_E_REJECT) {
            fail_msg("was read with %s", change[i][1]);
        }
    }
}

static void no_prefix_and_no_bit_flip_is_read_as_something_else(void **state)
{
    (void)state;
    struct kluis_header h = sample_header();
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1 << 20);
    struct kluis_record r;
    struct kluis_err err = { 0 };
    const size_t n = sizeof full_line - 1;
    for (size_t i = 0; i < n; i++) {
        kluis_arena_clear(a);
        kluis_err_clear(&err);
        assert_int_equal(kluis_record_read((struct kluis_str){ full_line, i }, &h, a, &r, &err), KLUIS_E_REJECT);
    }
    char line[sizeof full_line];
    size_t accepted = 0;
    KLUIS_AUTO_BUF(b, 1 << 16);
    for (size_t bit = 0; bit < n * 8; bit++) {
        memcpy(line, full_line, sizeof line);
        line[bit / 8] = (char)(line[bit / 8] ^ (1 << bit % 8));
        kluis_arena_clear(a);
        kluis_err_clear(&err);
        if (kluis_record_read((struct kluis_str){ line, n }, &h, a, &r, &err) != KLUIS_OK) { continue; }
        accepted++; /* another letter in a text is another, equally canonical record */
        kluis_buf_clear(&b);
        assert_int_equal(kluis_record_write(&r, &h, &b, &err), KLUIS_OK);
        assert_int_equal(b.len, n + 1);
        assert_memory_equal(b.data, line, n);
    }
    assert_in_range(accepted, 100, n * 8 / 2);
}

static void the_writer_refuses_what_the_reader_would(void **state)
{
    (void)state;
    struct kluis_header h = sample_header();
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 8 << 20);
    kluis_buf_cstr(&b, "kept");
    static const struct kluis_field unsorted[] = { { .name = { "b", 1 }, .is_int = true }, { .name = { "a", 1 }, .is_int = true } };
    static const struct kluis_str spaced[] = { { "a b", 3 } };
    struct kluis_record bad[9];
    for (size_t i = 0; i < 9; i++) { bad[i] = full_record(); }
    bad[0].author = 3;
    bad[1].sent.us += 1000000;
    bad[2].text = S("\xff");
    bad[3].fields = unsorted;
    bad[4].loss = spaced;
    bad[5].text = (struct kluis_str){ NULL, 0 };
    bad[6].sent.us = INT64_MAX;
    bad[7].evidence = (uint64_t)1 << 60;
    bad[8].sent.offset_min = 1440;
    for (size_t i = 0; i < 9; i++) {
        kluis_err_clear(&err);
        assert_int_equal(kluis_record_write(&bad[i], &h, &b, &err), KLUIS_E_REJECT);
        assert_int_equal(b.len, 4);
        assert_int_equal(b.status, KLUIS_OK);
    }
    KLUIS_AUTO_BUF(small, 64);
    struct kluis_record r = full_record();
    kluis_err_clear(&err);
    assert_int_equal(kluis_record_write(&r, &h, &small, &err), KLUIS_E_LIMIT);
    assert_int_equal(small.len, 0);
}

static void the_expanded_form_names_people_and_conversation(void **state)
{
    (void)state;
    struct kluis_header h = sample_header();
    struct kluis_record r = empty_record();
    struct kluis_err err = { 0 };
    r.author = 0;
    r.sent = (struct kluis_when){ 1740830700000000, 60 };
    r.text = S("hoi");
    KLUIS_AUTO_BUF(b, 1 << 16);
    assert_int_equal(kluis_record_write_expanded(&r, &h, &b, &err), KLUIS_OK);
    kluis_buf_byte(&b, 0);
    assert_string_equal(
        (const char *)b.data,
        "{\"kind\":\"message\",\"platform\":\"whatsapp\",\"conversation\":{\"id\":\"c-1\",\"name\":\"Overleg \\\"dijk\\\"\",\"type\":\"group\","
        "\"participants\":[{\"id\":\"aci-1\",\"name\":\"J. de Vries\",\"number\":\"+31600000001\"},{\"name\":\"Samira \xe2\x80\x9cS\xe2\x80\x9d\"}]},"
        "\"author\":{\"id\":\"aci-1\",\"name\":\"J. de Vries\",\"number\":\"+31600000001\"},\"sent\":\"2025-03-01T13:05:00+01:00\","
        "\"zone\":\"assumed\",\"text\":\"hoi\",\"loss\":[\"edits\",\"reactions\"],"
        "\"provenance\":{\"source\":\"whatsapp-text\",\"reader\":\"chatkluis 0.1.0 whatsapp-text\"},"
        "\"precision\":\"minute\",\"zone_name\":\"Europe/Amsterdam\"}\n");
}

/* The head over n leaf hashes, straight from the recursive definition of RFC 6962 §2.1. */
static void head_of(const uint8_t (*leaf)[32], size_t n, uint8_t out[32])
{
    if (n == 1) {
        memcpy(out, leaf[0], 32);
        return;
    }
    size_t k = 1;
    while (k * 2 < n) { k *= 2; }
    uint8_t in[65] = { 1 };
    head_of(leaf, k, in + 1);
    head_of(leaf + k, n - k, in + 33);
    kluis_sha256_of(in, sizeof in, out);
}

static void the_root_is_the_rfc_6962_head_over_salted_leaves(void **state)
{
    (void)state;
    static uint8_t leaves[70][32];
    uint8_t salt[32], want[32], got[32];
    struct kluis_err err = { 0 };
    memset(salt, 7, sizeof salt);
    KLUIS_AUTO(kluis_root) r = kluis_root_new(salt);
    kluis_root_end(r, got);
    kluis_sha256_of("", 0, want);
    assert_memory_equal(got, want, 32);
    for (uint64_t i = 0; i < 70; i++) {
        char line[32];
        int n = snprintf(line, sizeof line, "{\"text\":\"%u\"}", (unsigned)i);
        struct kluis_str s = { line, (size_t)n };
        uint8_t number[8] = { 0, 0, 0, 0, 0, 0, 0, (uint8_t)i }, in[33 + 32] = { 0 };
        assert_int_equal(kluis_hmac_sha256(salt, 32, number, 8, in + 1, &err), KLUIS_OK);
        memcpy(in + 33, line, (size_t)n);
        kluis_sha256_of(in, 33 + (size_t)n, want);
        assert_int_equal(kluis_record_leaf(salt, i, s, leaves[i], &err), KLUIS_OK);
        assert_memory_equal(leaves[i], want, 32);
        assert_int_equal(kluis_root_add(r, s, &err), KLUIS_OK);
        kluis_root_end(r, got);
        head_of((const uint8_t(*)[32])leaves, (size_t)i + 1, want);
        assert_memory_equal(got, want, 32);
    }
}

static void a_root_in_parts_is_the_root_of_all_lines(void **state)
{
    (void)state;
    enum { PART = 8, MOST = 3 * PART + 5 };
    uint8_t salt[32] = { 5 }, want[32], got[32];
    char text[MOST][16];
    struct kluis_err err = { 0 };
    for (size_t lines = 1; lines <= MOST; lines++) {
        KLUIS_AUTO(kluis_root) whole = kluis_root_new(salt);
        KLUIS_AUTO(kluis_root) parts = kluis_root_new(salt);
        for (size_t i = 0; i < lines; i++) {
            int n = snprintf(text[i], sizeof text[i], "{\"text\":\"%03zu\"}", i);
            assert_int_equal(kluis_root_add(whole, (struct kluis_str){ text[i], (size_t)n }, &err), KLUIS_OK);
        }
        for (size_t from = 0; from < lines; from += PART) {
            char joined[PART * 16] = "";
            size_t at = 0;
            struct kluis_tree part;
            for (size_t i = from; i < lines && i < from + PART; i++) { at += (size_t)snprintf(joined + at, sizeof joined - at, "%s\n", text[i]); }
            assert_int_equal(kluis_root_part(salt, from, (struct kluis_str){ joined, at }, &part, &err), KLUIS_OK);
            kluis_root_join(parts, &part);
            assert_int_equal(kluis_root_part(salt, from, (struct kluis_str){ joined, at - 1 }, &part, NULL), KLUIS_E_BUG);
        }
        kluis_root_end(whole, want);
        kluis_root_end(parts, got);
        assert_memory_equal(got, want, 32);
    }
}

/* An extract keeps line 5 of 13 and proves it without showing the others. */
static kluis_status node_of(void *ctx, unsigned level, uint64_t index, kluis_hash *out, struct kluis_err *err)
{
    const uint8_t(*leaves)[32] = ctx;
    (void)err;
    head_of(leaves + (index << level), (size_t)1 << level, out->b);
    return KLUIS_OK;
}

static void one_line_is_proven_without_the_others(void **state)
{
    (void)state;
    enum { N = 13 };
    static uint8_t leaves[N][32];
    uint8_t salt[32] = { 3 };
    struct kluis_err err = { 0 };
    KLUIS_AUTO(kluis_root) r = kluis_root_new(salt);
    for (uint64_t i = 0; i < N; i++) {
        char line[] = { '{', (char)('a' + i), '}' };
        assert_int_equal(kluis_root_add(r, (struct kluis_str){ line, 3 }, &err), KLUIS_OK);
        assert_int_equal(kluis_record_leaf(salt, i, (struct kluis_str){ line, 3 }, leaves[i], &err), KLUIS_OK);
    }
    kluis_hash head, leaf, proof[KLUIS_PROOF_MAX];
    size_t n = 0;
    kluis_root_end(r, head.b);
    struct kluis_nodes nodes = { leaves, node_of };
    assert_int_equal(kluis_prove_inclusion(&nodes, 5, N, proof, &n, &err), KLUIS_OK);
    assert_int_equal(kluis_record_leaf(salt, 5, S("{f}"), leaf.b, &err), KLUIS_OK);
    assert_int_equal(kluis_check_inclusion(&leaf, 5, N, proof, n, &head, &err), KLUIS_OK);
    assert_int_equal(kluis_record_leaf(salt, 5, S("{g}"), leaf.b, &err), KLUIS_OK);
    assert_int_equal(kluis_check_inclusion(&leaf, 5, N, proof, n, &head, &err), KLUIS_E_REJECT);
}

static void derived_ids_depend_on_package_and_ordinal(void **state)
{
    (void)state;
    uint8_t id[32] = { 9 };
    char a[KLUIS_DERIVED_ID], b[KLUIS_DERIVED_ID], c[KLUIS_DERIVED_ID];
    kluis_derived_id(id, 1, a);
    kluis_derived_id(id, 1, b);
    kluis_derived_id(id, 2, c);
    assert_int_equal(strlen(a), KLUIS_DERIVED_ID - 1);
    assert_memory_equal(a, "d-", 2);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_has_one_form_and_comes_back),
        cmocka_unit_test(a_record_has_one_form_and_comes_back),
        cmocka_unit_test(an_empty_record_is_two_braces),
        cmocka_unit_test(records_of_another_form_are_refused),
        cmocka_unit_test(headers_of_another_form_are_refused),
        cmocka_unit_test(no_prefix_and_no_bit_flip_is_read_as_something_else),
        cmocka_unit_test(the_writer_refuses_what_the_reader_would),
        cmocka_unit_test(the_expanded_form_names_people_and_conversation),
        cmocka_unit_test(the_root_is_the_rfc_6962_head_over_salted_leaves),
        cmocka_unit_test(a_root_in_parts_is_the_root_of_all_lines),
        cmocka_unit_test(one_line_is_proven_without_the_others),
        cmocka_unit_test(derived_ids_depend_on_package_and_ordinal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
