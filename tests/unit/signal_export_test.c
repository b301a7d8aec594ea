/* signal_export_test.c - the reader of Signal's plaintext export, on a chat made for it (tests/fixtures/eigen-signal) and on broken input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/source/json.h"
#include "agent/source/source.h"

#include <unistd.h>
#include "tests/support/test_dir.h"

#define EXPORT "tests/fixtures/eigen-signal"
enum { LINES = 2000, REFS = 64, TEXT = 4 << 20 };

/* ---- everything a read gave, as lines --------------------------------------------------------------- */

struct seen {
    struct kluis_header header;
    struct kluis_arena *arena;
    const char *line[LINES]; /* canonical records and headers */
    struct kluis_bytes raw[LINES];
    size_t n;
    unsigned conversations, ends, skips;
    struct kluis_str refs[REFS];
    size_t n_refs;
    uint8_t sha[REFS][32];
    struct kluis_buf skipped;
    kluis_status stop; /* what record() answers */
};

static kluis_status keep(struct seen *s, struct kluis_buf *b, struct kluis_bytes raw)
{
    if (s->n == LINES) { return KLUIS_E_LIMIT; }
    s->line[s->n] = kluis_arena_strndup(s->arena, (const char *)b->data, b->len - 1);
    const char *copy = kluis_arena_strndup(s->arena, (const char *)raw.ptr, raw.len);
    s->raw[s->n++] = (struct kluis_bytes){ (const uint8_t *)copy, raw.len };
    return s->line[s->n - 1] != NULL ? KLUIS_OK : KLUIS_E_NOMEM;
}

static kluis_status begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct seen *s = ctx;
    KLUIS_AUTO_BUF(b, TEXT);
    s->header = *h;
    s->conversations++;
    KLUIS_TRY(kluis_header_write(h, &b, err));
    return keep(s, &b, (struct kluis_bytes){ (const uint8_t *)"", 0 });
}

static kluis_status record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct seen *s = ctx;
    struct kluis_record back;
    KLUIS_AUTO_BUF(b, TEXT);
    if (s->stop != KLUIS_OK) { return KLUIS_FAIL(err, s->stop, "stopped"); }
    KLUIS_TRY(kluis_record_write(r, &s->header, &b, err));
    KLUIS_TRY(kluis_record_read((struct kluis_str){ (const char *)b.data, b.len - 1 }, &s->header, s->arena, &back, err)); /* strict */
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].source_ref.ptr == NULL || s->n_refs == REFS) { continue; }
        memcpy(s->sha[s->n_refs], r->attachments[i].sha256, 32);
        s->refs[s->n_refs++] = kluis_arena_str(s->arena, r->attachments[i].source_ref);
    }
    return keep(s, &b, raw);
}

static kluis_status end(void *ctx, KLUIS_UNUSED struct kluis_err *err)
{
    ((struct seen *)ctx)->ends++;
    return KLUIS_OK;
}

static kluis_status skipped(void *ctx, const struct source_skip *k, KLUIS_UNUSED struct kluis_err *err)
{
    struct seen *s = ctx;
    s->skips++;
    kluis_buf_fmt(&s->skipped, "[%s|%s|%s]", k->what, k->where, k->why);
    return KLUIS_OK;
}

static void seen_free(struct seen *s)
{
    kluis_arena_free(s->arena);
    kluis_buf_free(&s->skipped);
}

static kluis_status read_with(struct seen *s, const char *path, const struct source_option *o, size_t n, struct kluis_err *err)
{
    memset(s, 0, sizeof *s);
    s->arena = kluis_arena_new(64 << 20);
    kluis_buf_init(&s->skipped, 1 << 16);
    const struct source_request q = { .path = path, .options = o, .n_options = n };
    const struct source_sink sink = { .ctx = s, .begin = begin, .record = record, .end = end, .skipped = skipped };
    kluis_status rc = source_signal_export.read(&q, &sink, err);
    kluis_buf_byte(&s->skipped, 0);
    return rc;
}

static struct seen all; /* the fixture, read once */

static size_t with(const struct seen *s, const char *a, const char *b, const char *c)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += strstr(s->line[i], a) != NULL && (b == NULL || strstr(s->line[i], b) != NULL) && (c == NULL || strstr(s->line[i], c) != NULL);
    }
    return n;
}

static size_t place(const struct seen *s, const char *a, const char *b)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strstr(s->line[i], a) != NULL && (b == NULL || strstr(s->line[i], b) != NULL)) { return i; }
    }
    fail_msg("no line with %s", a);
    return 0;
}

#define JORIS "e1e1e1e1-0000-4000-8000-000000000003"
#define FATIMA "e1e1e1e1-0000-4000-8000-000000000004"
#define SANNE "e1e1e1e1-0000-4000-8000-000000000001"

/* ---- the fixture --------------------------------------------------------------------------------------- */

static void conversations_come_one_after_the_other_with_their_people(KLUIS_UNUSED void **state)
{
    assert_int_equal(all.conversations, 5);
    assert_int_equal(all.ends, 5);
    assert_int_equal(all.n, 5 + 37);
    assert_int_equal(place(&all, "\"schema\":1", "Nota stikstof"), 0);
    /* The group id is the one Signal derives; the key that opens the group is nowhere. */
    assert_non_null(
        strstr(all.line[0], "{\"id\":\"5UQMchE4xVco87VHcRlBAKFzj1ilO5wQNhin+iz6TL8=\",\"name\":\"Nota stikstof (proef)\",\"type\":\"group\"}"));
    assert_int_equal(with(&all, "bW1tbW1tbW1tbW1t", NULL, NULL), 0);
    /* The owner's account id is the group's one member without a contact; he may also give it. */
    assert_non_null(strstr(all.line[0], "\"parties\":[{\"id\":\"" SANNE "\",\"name\":\"Sanne de Vries\"},{\"id\":\"" JORIS
                                        "\",\"name\":\"J.\",\"number\":\"+31600000003\"},"
                                        "{\"id\":\"" FATIMA
                                        "\",\"name\":\"Fatima el Bedacht\"},{\"name\":\"recipient-99\"}],\"participants\":[0,1,2],\"self\":0"));
    assert_non_null(strstr(all.line[0], "\"app_version\":\"Verzonnen Signal 8.11\""));
    assert_int_equal(with(&all, "\"schema\":1", "\"type\":\"direct\"", "auto-delete-timer"), 1);
    assert_int_equal(with(&all, "\"schema\":1", "\"note-to-self:" SANNE "\"", "\"type\":\"self\""), 1);
    assert_int_equal(with(&all, "\"schema\":1", "signal-release-notes", "\"type\":\"channel\""), 1);
    assert_int_equal(with(&all, "\"schema\":1", "\"call-link:c3aaa479db71d909d2e6f62ca5a9d217\",\"name\":\"Ochtendoverleg\"", NULL), 1);
    assert_int_equal(with(&all, "cnJycnJycnJycnI", NULL, NULL), 0); /* nor the key of the call link */
}

static void messages_have_text_quote_mentions_and_times(KLUIS_UNUSED void **state)
{
    size_t i = place(&all, "\"id\":\"" JORIS ":1760000001000\"", NULL);
    assert_non_null(strstr(all.line[i], "\"sent\":\"2025-10-09T08:53:21.000Z\""));
    assert_non_null(strstr(all.line[i], "\"received\":\"2025-10-09T08:53:21.040Z\",\"server\":\"2025-10-09T08:53:21.020Z\""));
    assert_non_null(strstr(all.line[i], "de nota vóór 17.00 uur nalezen? 🙏\""));
    assert_non_null(strstr(all.line[i], "\"mentions\":\"4+1 " FATIMA "\""));
    assert_non_null(strstr(all.line[i], "\"styles\":\"9+4 BOLD\""));
    i = place(&all, "\"text\":\"Zie bijlage.\"", NULL);
    assert_non_null(
        strstr(all.line[i], "\"target\":\"" JORIS ":1760000001000\",\"target_author\":1,\"target_sent\":\"2025-10-09T08:53:21Z\",\"quote\":\"Kan "));
    assert_non_null(strstr(all.line[i], "\"link.0.url\":\"https://voorbeeld.example/nota\""));
    assert_non_null(strstr(all.line[i], JORIS " read 1760000003500; " FATIMA " delivered 1760000003300"));
}

static void reactions_edits_polls_and_votes_are_records_of_their_own(KLUIS_UNUSED void **state)
{
    assert_int_equal(with(&all, "\"kind\":\"reaction\"", NULL, NULL), 3);
    assert_int_equal(with(&all, "\"kind\":\"reaction\"", "\"target\":\"" JORIS ":1760000001000\"", "\"value\":\"👍\""), 1);
    size_t first = place(&all, "\"text\":\"Ik leest hem\"", NULL);
    assert_null(strstr(all.line[first], "\"kind\"")); /* a message */
    assert_non_null(strstr(all.line[first + 1], "\"kind\":\"edit\""));
    assert_non_null(strstr(all.line[first + 1], "\"text\":\"Ik lees hem\",\"target\":\"" FATIMA ":1760000004000\""));
    assert_non_null(strstr(all.line[first + 2], "\"text\":\"Ik lees hem nu.\",\"target\":\"" FATIMA ":1760000004000\""));
    assert_non_null(strstr(all.line[first + 3], "\"kind\":\"reaction\""));
    assert_non_null(strstr(all.line[first + 3], "\"target\":\"" FATIMA ":1760000004000\""));
    size_t poll = place(&all, "\"kind\":\"poll\"", NULL);
    assert_non_null(strstr(all.line[poll], "\"options\":[\"maandag\",\"dinsdag\",\"woensdag\"]"));
    assert_non_null(strstr(all.line[poll + 1], "\"kind\":\"vote\""));
    assert_non_null(strstr(all.line[poll + 1], "\"options\":[\"maandag\"]"));
    assert_non_null(strstr(all.line[poll + 2], "\"options\":[\"maandag\",\"dinsdag\"]"));
    assert_int_equal(with(&all, "\"kind\":\"vote\"", NULL, NULL), 2);
    assert_int_equal(with(&all, "\"event\":\"poll-ended\"", "\"target\":\"" SANNE ":1760000010000\"", NULL), 1);
}

static void deletions_calls_gaps_and_events_keep_what_is_told(KLUIS_UNUSED void **state)
{
    assert_int_equal(with(&all, "\"kind\":\"deletion\"", "\"target\":\"" JORIS ":1760000012000\"", "\"author\":1"), 1);
    assert_int_equal(with(&all, "\"kind\":\"deletion\"", "\"target\":\"" FATIMA ":1760000013000\"", "\"author\":0"), 1); /* by an administrator */
    assert_int_equal(with(&all, "\"kind\":\"call\"", "\"value\":\"video\",\"event\":\"missed\"", "\"call-id\":\"77\""), 1);
    assert_int_equal(with(&all, "\"kind\":\"gap\"", "\"event\":\"view-once\"", NULL), 1);
    assert_int_equal(with(&all, "\"kind\":\"gap\"", "\"event\":\"timer-changed\"", "\"timer-ms\":604800000"), 1);
    assert_int_equal(with(&all, "\"kind\":\"gap\"", "\"event\":\"timer-changed\"", "\"timer-ms\":86400000"), 1);
    assert_int_equal(with(&all, "\"event\":\"timer-changed\"", NULL, NULL), 4);
    assert_int_equal(with(&all, "\"event\":\"group-created\"", NULL, NULL), 1);
    assert_int_equal(with(&all, "\"event\":\"subject-changed\"", "\"text\":\"Nota stikstof (proef)\"", NULL), 1);
    assert_int_equal(with(&all, "\"event\":\"member-removed\"", "\"removed-aci\":\"" FATIMA "\"", NULL), 1);
    assert_int_equal(with(&all, "\"event\":\"security-code-changed\"", "IDENTITY_UPDATE", NULL), 1);
    assert_int_equal(with(&all, "\"event\":\"profile-changed\"", "\"new-name\":\"Joris Verzonnen\"", "\"previous-name\":\"Joris V.\""), 1);
    assert_int_equal(with(&all, "\"item\":\"sticker\"", "\"value\":\"🎉\"", NULL), 1);
    assert_int_equal(with(&all, "\"item\":\"contact\"", "Fictief", "+31600000099"), 1);
    assert_int_equal(with(&all, "\"item\":\"payment\"", "\"text\":\"lunch\"", "\"amount-mob\":\"1.5\""), 1);
    assert_int_equal(with(&all, "\"item\":\"gift-badge\"", "\"state\":\"opened\"", NULL), 1);
}

static void what_is_unknown_is_kept_raw_or_told(KLUIS_UNUSED void **state)
{
    assert_int_equal(with(&all, "\"event\":\"unknown\"", "\"code\":\"toekomstBericht\"", "nog onbekend"), 1);
    assert_int_equal(with(&all, "\"event\":\"unknown\"", "\"code\":\"groupToekomstUpdate\"", "[1,2]"), 1);
    assert_int_equal(with(&all, "\"signal.nieuwVeld\":\"{\\\"a\\\":\\\"b\\\"}\"", NULL, NULL), 1);
    assert_int_equal(with(&all, "Van iemand die niet in de uitvoer staat", "\"author\":3", NULL), 1);
    assert_int_equal(all.skips, 5);
    const char *s = (const char *)all.skipped.data;
    assert_non_null(strstr(s, "[story|1 items|"));
    assert_non_null(strstr(s, "[stickerPack|line 41|"));
    assert_non_null(strstr(s, "[chatFolder|line 42 and further|"));
    assert_non_null(strstr(s, "[toekomstFrame|line 44|"));
    assert_non_null(strstr(s, "[recipient|recipient 99|"));
}

static void evidence_of_a_record_is_its_own_bytes(KLUIS_UNUSED void **state)
{
    size_t edit = place(&all, "\"text\":\"Ik lees hem\",", NULL);
    assert_int_equal(all.raw[edit].ptr[0], '{');
    assert_non_null(strstr((const char *)all.raw[edit].ptr, "Ik lees hem"));
    assert_null(strstr((const char *)all.raw[edit].ptr, "Ik leest hem"));
    size_t vote = place(&all, "\"kind\":\"vote\"", NULL);
    assert_string_equal((const char *)all.raw[vote].ptr, "{\"voterId\":\"3\",\"voteCount\":1}");
    size_t reaction = place(&all, "\"kind\":\"reaction\"", NULL);
    assert_memory_equal(all.raw[reaction].ptr, "{\"emoji\":", 9);
    for (size_t i = 0; i < all.n; i++) {
        if (strstr(all.line[i], "\"schema\":1") == NULL) { assert_true(all.raw[i].len > 0); }
        assert_null(memchr(all.raw[i].ptr, '\n', all.raw[i].len));
    }
}

struct got {
    size_t n;
    struct seen *s;
};
static kluis_status one_attachment(void *ctx, size_t index, const struct kluis_input *in, struct kluis_err *err)
{
    struct got *g = ctx;
    uint8_t bytes[8192], sha[32];
    size_t n = 0;
    for (;;) {
        ssize_t r = in->read(in->ctx, bytes + n, sizeof bytes - n, err);
        if (r <= 0) { break; }
        n += (size_t)r;
    }
    kluis_sha256_of(bytes, n, sha);
    assert_memory_equal(sha, g->s->sha[index], 32);
    g->n++;
    return KLUIS_OK;
}

static void attachments_are_found_hashed_and_delivered(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    size_t i = place(&all, "\"text\":\"Zie bijlage.\"", NULL);
    assert_non_null(
        strstr(all.line[i],
               "{\"name\":\"nota "
               "v2.pdf\",\"type\":\"application/pdf\",\"size\":32,\"sha256\":\"f7de19d4fb672c9dcc53f4b04e4b31ecc7c40c820601b6e923af77c684ebe33f\"}"));
    assert_non_null(strstr(all.line[i], "\"name\":\"foto.jpg\",\"type\":\"image/jpeg\",\"size\":3,"));
    assert_non_null(strstr(all.line[i], "\"loss\":\"missing\""));
    assert_non_null(strstr(all.line[i], "\"loss\":\"not-downloaded\""));
    assert_non_null(strstr(all.line[i], "\"attachment.0.caption\":\"versie 2\""));
    assert_non_null(strstr(all.line[i], "\"attachment.1.flag\":\"voice-message\""));
    i = place(&all, "\"attachment.0.role\":\"long-text\"", NULL);
    assert_non_null(strstr(all.line[i], "verzonnen bericht. EINDE\"")); /* the whole text, from its file */
    assert_int_equal(all.n_refs, 3);
    struct kluis_str wanted[6] = { all.refs[0],
                                   all.refs[1],
                                   all.refs[2],
                                   KLUIS_STR_LIT("files/../main.jsonl"),
                                   KLUIS_STR_LIT("/etc/passwd"),
                                   KLUIS_STR_LIT("files/00/0000000000000000000000000000000000000000000000000000000000000000") };
    struct got g = { .s = &all };
    const struct source_request q = { .path = EXPORT "/main.jsonl" }; /* the file inside it does as well */
    const struct source_attachment_sink sink = { .ctx = &g, .attachment = one_attachment };
    assert_int_equal(source_signal_export.attachments(&q, KLUIS_STR_LIT("x"), wanted, 6, &sink, &err), KLUIS_OK);
    assert_int_equal(g.n, 3);
}

static void ids_are_unique(KLUIS_UNUSED void **state)
{
    for (size_t i = 0; i < all.n; i++) {
        const char *a = strstr(all.line[i], "\"id\":\"");
        assert_non_null(a);
        if (a == NULL || strstr(all.line[i], "\"schema\":1") != NULL) { continue; }
        size_t n = strcspn(a + 6, "\"") + 7;
        for (size_t k = 0; k < i; k++) {
            const char *b = strstr(all.line[k], "\"id\":\"");
            assert_true(b == NULL || strncmp(a, b, n + 6) != 0);
        }
    }
}

static void the_owner_may_be_named_by_options(KLUIS_UNUSED void **state)
{
    struct seen s;
    struct kluis_err err = { 0 };
    const struct source_option good[2] = { { .key = "number", .value = "+31612345678" },
                                           { .key = "account", .value = "aaaaaaaa-0000-4000-8000-000000000009" } };
    assert_int_equal(read_with(&s, EXPORT, good, 2, &err), KLUIS_OK);
    assert_non_null(strstr(s.line[0], "{\"id\":\"aaaaaaaa-0000-4000-8000-000000000009\",\"name\":\"Sanne de Vries\",\"number\":\"+31612345678\"}"));
    seen_free(&s);
    static const struct source_option bad[] = { { .key = "number", .value = "0612345678" },
                                                { .key = "number", .value = "+" },
                                                { .key = "account", .value = "nobody" },
                                                { .key = "colour", .value = "red" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kluis_err_clear(&err);
        assert_int_equal(read_with(&s, EXPORT, &bad[i], 1, &err), KLUIS_E_USAGE);
        assert_int_equal(s.n, 0);
        seen_free(&s);
    }
}

static void a_sink_that_stops_stops_the_read(KLUIS_UNUSED void **state)
{
    struct seen s = { .stop = KLUIS_E_BUSY };
    struct kluis_err err = { 0 };
    s.arena = kluis_arena_new(1 << 20);
    kluis_buf_init(&s.skipped, 1 << 10);
    const struct source_request q = { .path = EXPORT };
    const struct source_sink sink = { .ctx = &s, .begin = begin, .record = record, .end = end, .skipped = skipped };
    assert_int_equal(source_signal_export.read(&q, &sink, &err), KLUIS_E_BUSY);
    assert_int_equal(s.ends, 0);
    seen_free(&s);
}

/* ---- input that is made here ----------------------------------------------------------------------------- */

static char scratch[80];

static void write_input(const char *text, size_t n)
{
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_write_file(scratch, text, n, 0600, &err), KLUIS_OK);
}

#define INFO "{\"version\":\"1\",\"backupTimeMs\":\"1760000000000\"}\n"
#define PEOPLE                                                                                                                                       \
    "{\"recipient\":{\"id\":\"1\",\"self\":{}}}\n{\"recipient\":{\"id\":\"2\",\"contact\":{\"e164\":\"31600000002\"}}}\n{\"chat\":{\"id\":\"1\","    \
    "\"recipientId\":\"2\"}}\n"

static void input_that_is_no_export_is_refused_with_one_line_and_no_record(KLUIS_UNUSED void **state)
{
    static const struct {
        const char *text;
        size_t n;
        kluis_status rc;
    } bad[] = {
#define BAD(t) { t, sizeof(t) - 1, KLUIS_E_REJECT }
        BAD(""),
        BAD("\n"),
        BAD("\n\n\n"),
        BAD("geen uitvoer"),
        BAD("{}"),
        BAD("[]"),
        BAD("null"),
        BAD("{\"a\":1}"),
        BAD("09-10-2025 08:53 - Sanne: hoi\n"),
        BAD("{\"version\":\"1\"}\n"),
        BAD("{\"version\":\"2\",\"backupTimeMs\":\"1\"}\n"),
        BAD("{\"version\":\"1\",\"backupTimeMs\":\"x\"}\n"),
        BAD(INFO "{"),
        BAD(INFO "{\"chat\":"),
        BAD(INFO "{\"chat\":{\"id\":\"1\"}}"),
        BAD(INFO "{\"recipient\":{}}"),
        BAD(INFO "[1]"),
        BAD(INFO "1"),
        BAD(INFO "{\"a\":1,\"a\":2}"),
        BAD(INFO "{\"a\":\"\xff\"}"),
        BAD(INFO "{\"a\":\"\xed\xa0\x80\"}"),
        BAD(INFO "{\"a\":\"\x01\"}"),
        BAD(INFO "{\"a\":\"\\x\"}"),
        BAD(INFO "{\"a\":\"\\u12g4\"}"),
        BAD(INFO "{\"a\":01}"),
        BAD(INFO "{\"a\":1.}"),
        BAD(INFO "{\"a\":+1}"),
        BAD(INFO "{\"a\":tru}"),
        BAD(INFO "{\"a\":1}}"),
        BAD(INFO "{\"a\":1} x"),
        BAD(INFO "{\"a\" 1}"),
        BAD(INFO "{a:1}"),
        BAD(INFO "{\"a\":[1,]}"),
        BAD(INFO "{\"a\":1,}"),
        BAD(INFO "{\"a\":\"b"),
        BAD(INFO "{\"a\":\"b\\"),
        BAD(INFO "{\"a\":NaN}"),
        BAD(INFO "{\"chat\":{}}\0"),
        BAD(INFO PEOPLE "{\"recipient\":{\"id\":\"2\",\"contact\":{}}}"),
        BAD(INFO PEOPLE "{\"chat\":{\"id\":\"1\",\"recipientId\":\"2\"}}"),
        BAD(INFO PEOPLE "{\"chatItem\":{\"authorId\":\"2\"}}"),
        BAD(INFO PEOPLE "{\"chatItem\":{\"chatId\":\"1\",\"authorId\":\"2\",\"dateSent\":\"1\",\"standardMessage\":{\"text\":{\"body\":\"hal"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct seen s;
        struct kluis_err err = { 0 };
        write_input(bad[i].text, bad[i].n);
        kluis_status rc = read_with(&s, scratch, NULL, 0, &err);
        if (rc != bad[i].rc) { fail_msg("input %zu gave %s: %s", i, kluis_status_name(rc), err.msg); }
        assert_true(err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
        assert_non_null(strstr(err.msg, scratch)); /* where */
        assert_int_equal(s.n, 0);
        seen_free(&s);
    }
}

static void every_cut_of_an_export_is_refused_or_ends_at_a_line(KLUIS_UNUSED void **state)
{
    static const char whole[] = INFO PEOPLE
        "{\"chatItem\":{\"chatId\":\"1\",\"authorId\":\"2\",\"dateSent\":\"1760000000001\",\"standardMessage\":{\"text\":{\"body\":\"hallo é\"}}}}\n";
    for (size_t n = 0; n < sizeof whole; n++) {
        struct seen s;
        struct kluis_err err = { 0 };
        write_input(whole, n);
        bool line = n > 0 && (whole[n - 1] == '\n' || whole[n] == '\n');
        assert_int_equal(read_with(&s, scratch, NULL, 0, &err), line ? KLUIS_OK : KLUIS_E_REJECT);
        seen_free(&s);
    }
}

static void a_line_or_nesting_without_end_is_refused(KLUIS_UNUSED void **state)
{
    const size_t n = 6 << 20;
    char *p = kluis_malloc(n);
    assert_non_null(p);
    struct seen s;
    struct kluis_err err = { 0 };
    memset(p, ' ', n);
    memcpy(p, INFO "{\"a\":\"", sizeof INFO + 5);
    memset(p + sizeof INFO + 5, 'x', n - sizeof INFO - 5);
    write_input(p, n);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err), KLUIS_E_LIMIT);
    assert_non_null(strstr(err.msg, "line 2"));
    seen_free(&s);
    kluis_err_clear(&err);
    memset(p + sizeof INFO - 1, '[', 1000);
    write_input(p, sizeof INFO - 1 + 1000);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err), KLUIS_E_LIMIT);
    seen_free(&s);
    kluis_err_clear(&err);
    size_t at = sizeof INFO - 1;
    p[at++] = '{';
    for (unsigned i = 0; i < 5000; i++) { at += (size_t)snprintf(p + at, 32, "%s\"m%u\":1", i > 0 ? "," : "", i); }
    p[at++] = '}';
    write_input(p, at);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err), KLUIS_E_LIMIT);
    seen_free(&s);
    kluis_err_clear(&err);
    for (size_t i = sizeof INFO - 1; i + 2 < (3 << 20); i += 2) { memcpy(p + i, "1,", 2); } /* a tree that would not fit */
    memcpy(p + sizeof INFO - 1, "{\"a\":[", 6);
    p[sizeof INFO + 5] = '1';
    p[sizeof INFO + 6] = ',';
    write_input(p, 3 << 20);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err) == KLUIS_OK, false);
    assert_int_equal(s.n, 0);
    seen_free(&s);
    kluis_free(p);
}

static void odd_but_whole_input_is_read(KLUIS_UNUSED void **state)
{
    static const char text[] = INFO
        "\r\n" PEOPLE "\n"
        "{\"chatItem\":{\"chatId\":1,\"authorId\":2,\"dateSent\":1760000000001,\"standardMessage\":{\"text\":{\"body\":\"\\ud83d\\ude4f \\ud800 "
        "\\u00e9\\n\\/\"}}}}\r\n"
        "{\"chatItem\":{\"chatId\":\"1\",\"authorId\":\"2\",\"dateSent\":\"18446744073709551615\",\"standardMessage\":{\"text\":{\"body\":\"ooit\"}}}"
        "}\n"
        "{\"chatItem\":{\"chatId\":\"1\",\"authorId\":\"2\",\"dateSent\":\"5\",\"standardMessage\":{\"text\":\"geen object\"}}}\n"
        "{\"chatItem\":{\"chatId\":\"1\",\"authorId\":\"2\",\"dateSent\":\"6\"}}\n"
        "{\"chatItem\":{\"chatId\":\"8\",\"authorId\":\"2\",\"dateSent\":\"7\",\"updateMessage\":{\"simpleUpdate\":{}}}}\n"
        "{\"chatItem\":{\"chatId\":\"8\",\"authorId\":\"2\",\"dateSent\":\"8\",\"updateMessage\":{\"simpleUpdate\":{\"type\":\"NIEUW_SOORT\"}}}}\n"
        "{\"chatItem\":{\"chatId\":\"8\",\"authorId\":\"2\",\"dateSent\":\"9\",\"updateMessage\":{}}}\n{}\n";
    struct seen s;
    struct kluis_err err = { 0 };
    write_input(text, sizeof text - 1);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err), KLUIS_OK);
    assert_int_equal(s.n, 2 + 7);
    assert_int_equal(s.conversations, 2);
    assert_int_equal(with(&s, "\"id\":\"+31600000002:1760000000001\"", "\"text\":\"🙏 \xef\xbf\xbd é\\n/\",\"text_raw\"", NULL), 1);
    assert_int_equal(with(&s, "\"text\":\"ooit\"", "time-out-of-range", "\"date-sent\":\"18446744073709551615\""), 1);
    assert_int_equal(with(&s, "\"signal.standardMessage.text\":\"geen object\"", NULL, NULL), 1);
    assert_int_equal(with(&s, "\"event\":\"unknown\"", "\"code\":\"none\"", NULL), 2);
    assert_int_equal(with(&s, "\"event\":\"nieuw-soort\"", NULL, NULL), 1);
    assert_int_equal(with(&s, "\"schema\":1", "\"id\":\"chat-8\"", "\"type\":\"unknown\""), 1);
    assert_int_equal(with(&s, "\"schema\":1", "\"attachments\"", NULL), 2); /* no files/ beside it: said in the header */
    assert_non_null(strstr((const char *)s.skipped.data, "[empty|"));
    seen_free(&s);
}

static void many_chats_interleaved_come_out_apart_and_in_order(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, TEXT);
    struct seen s;
    struct kluis_err err = { 0 };
    kluis_buf_cstr(&b, INFO);
    for (unsigned c = 1; c <= 7; c++) {
        kluis_buf_fmt(&b,
                      "{\"recipient\":{\"id\":\"%u\",\"contact\":{\"e164\":\"3160000000%u\"}}}\n{\"chat\":{\"id\":\"%u\",\"recipientId\":\"%u\"}}\n",
                      c, c, c, c);
    }
    for (unsigned i = 0; i < 1400; i++) {
        unsigned c = i * i % 7 + 1;
        kluis_buf_fmt(&b,
                      "{\"chatItem\":{\"chatId\":\"%u\",\"authorId\":\"%u\",\"dateSent\":\"%u\",\"standardMessage\":{\"text\":{\"body\":\"chat %u "
                      "nummer %05u %.*s\"}}}}\n",
                      c, c, 1000 + i, c, i, (int)(i % 90),
                      "..........................................................................................");
    }
    write_input((const char *)b.data, b.len);
    assert_int_equal(read_with(&s, scratch, NULL, 0, &err), KLUIS_OK);
    assert_int_equal(s.n - s.conversations, 1400);
    unsigned chat = 0, last = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *t = strstr(s.line[i], "\"text\":\"chat ");
        if (t == NULL) {
            last = 0;
            chat = 0;
            continue;
        }
        unsigned c = (unsigned)(t[13] - '0'), n = (unsigned)strtoul(t + 22, NULL, 10);
        assert_true((chat == 0 || c == chat) && n >= last);
        chat = c;
        last = n + 1;
    }
    seen_free(&s);
}

static void a_folder_without_an_export_is_refused(KLUIS_UNUSED void **state)
{
    struct seen s;
    struct kluis_err err = { 0 };
    assert_int_equal(read_with(&s, "tests/fixtures", NULL, 0, &err), KLUIS_E_REJECT);
    assert_non_null(strstr(err.msg, "main.jsonl"));
    seen_free(&s);
    kluis_err_clear(&err);
    assert_int_equal(read_with(&s, "tests/fixtures/er-is-niets", NULL, 0, &err), KLUIS_E_REJECT);
    seen_free(&s);
    kluis_err_clear(&err);
    assert_int_equal(read_with(&s, "/dev/null", NULL, 0, &err), KLUIS_E_REJECT);
    seen_free(&s);
}

static int start(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    char dir[64];
    if (!test_dir("signal", dir, sizeof dir)) { return -1; }
    (void)snprintf(scratch, sizeof scratch, "%s/main.jsonl", dir);
    if (kluis_base_init(&err) != KLUIS_OK) { return -1; }
    if (read_with(&all, EXPORT, NULL, 0, &err) == KLUIS_OK) { return 0; }
    print_error("%s\n", err.msg);
    return -1;
}

static int stop(KLUIS_UNUSED void **state)
{
    seen_free(&all);
    return kluis_io_unlink(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_come_one_after_the_other_with_their_people),
        cmocka_unit_test(messages_have_text_quote_mentions_and_times),
        cmocka_unit_test(reactions_edits_polls_and_votes_are_records_of_their_own),
        cmocka_unit_test(deletions_calls_gaps_and_events_keep_what_is_told),
        cmocka_unit_test(what_is_unknown_is_kept_raw_or_told),
        cmocka_unit_test(evidence_of_a_record_is_its_own_bytes),
        cmocka_unit_test(attachments_are_found_hashed_and_delivered),
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test(the_owner_may_be_named_by_options),
        cmocka_unit_test(a_sink_that_stops_stops_the_read),
        cmocka_unit_test(input_that_is_no_export_is_refused_with_one_line_and_no_record),
        cmocka_unit_test(every_cut_of_an_export_is_refused_or_ends_at_a_line),
        cmocka_unit_test(a_line_or_nesting_without_end_is_refused),
        cmocka_unit_test(odd_but_whole_input_is_read),
        cmocka_unit_test(many_chats_interleaved_come_out_apart_and_in_order),
        cmocka_unit_test(a_folder_without_an_export_is_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
