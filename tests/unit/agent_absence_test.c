/* Promise: a record that was archived from a source and is not in it any more is said to be gone once, of a whole reading alone, and never when
 * another form of it is there; an edited line gets its original when exactly one fits, and no guess otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/journal/journal.h"
#include "tests/support/agent_home.h"
#include "tests/support/test_dir.h"

enum { MANY = JOURNAL_SAID_MAX + 4000, SAID = 64, NOW = 1800000000, BASE = 1700000040 };

static char top[64];
static int homes;

/* ---- a source made for the test ---- */

struct say {
    const char *chat, *id, *author, *text;
    int minute;
    enum kluis_kind kind;
    bool edited;
    const char *target, *event;
};
enum { HAND_MAX = 32 };
struct hand {
    struct say s[HAND_MAX]; /* ends where chat is NULL; "|" as an id ends a file: the same chat may come again */
    size_t bulk;            /* so many records in chat "bulk", but for those from `cut` on */
    size_t cut;
    bool refused, breaks, changes;
    int readings;
};

static kluis_status one(const struct say *s, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct kluis_field edited[] = { { .name = { "edited", 6 }, .number = 1, .is_int = true },
                                                 { .name = { "zz", 2 }, .number = 1, .is_int = true } };
    static const struct kluis_str loss[] = { { "quote-unknown", 13 }, { JOURNAL_NO_ORIGINAL, sizeof JOURNAL_NO_ORIGINAL - 1 } };
    const struct kluis_record r = { .kind = s->kind,
                                    .id = s->id == NULL ? (struct kluis_str){ NULL, 0 } : kluis_str_of(s->id),
                                    .author = s->author == NULL     ? KLUIS_NO_PARTY
                                              : s->author[0] == 'A' ? 0
                                                                    : 1,
                                    .sent = { (BASE + (int64_t)s->minute * 60) * 1000000, 60 },
                                    .zone = KLUIS_ZONE_STATED,
                                    .text = s->text == NULL ? (struct kluis_str){ NULL, 0 } : kluis_str_of(s->text),
                                    .target = s->target == NULL ? (struct kluis_str){ NULL, 0 } : kluis_str_of(s->target),
                                    .target_author = KLUIS_NO_PARTY,
                                    .target_sent = { KLUIS_TIME_ABSENT, 0 },
                                    .event = s->event == NULL ? (struct kluis_str){ NULL, 0 } : kluis_str_of(s->event),
                                    .fields = edited,
                                    .n_fields = s->edited ? 2 : 0,
                                    .loss = loss,
                                    .n_loss = s->edited ? 2 : 0 };
    return sink->record(sink->ctx, &r, (struct kluis_bytes){ NULL, 0 }, err);
}

static kluis_status begin_chat(const char *chat, const struct source_sink *sink, struct kluis_err *err)
{
    static const struct kluis_party people[] = { { .name = { "Anna", 4 } }, { .name = { "Bram", 4 } } };
    const struct kluis_header h = { .platform = { "test", 4 },
                                    .conversation_id = kluis_str_of(chat),
                                    .conversation_name = kluis_str_of(chat),
                                    .type = KLUIS_DIRECT,
                                    .parties = people,
                                    .n_parties = 2,
                                    .self = KLUIS_NO_PARTY,
                                    .provenance = { .source = { "test", 4 }, .reader = { "test", 4 } },
                                    .zone = chat[0] == '~' ? KLUIS_ZONE_ASSUMED : KLUIS_ZONE_STATED,
                                    .precision = KLUIS_PRECISION_MINUTE };
    return sink->begin(sink->ctx, &h, err);
}

static kluis_status hand_read(void *ctx, const struct source_sink *sink, struct kluis_err *err)
{
    struct hand *h = ctx;
    const char *open = NULL;
    h->readings++;
    for (size_t i = 0; i < HAND_MAX && h->s[i].chat != NULL; i++) {
        const struct say *s = &h->s[i];
        bool ends = s->id != NULL && strcmp(s->id, "|") == 0;
        if (open != NULL && (ends || strcmp(open, s->chat) != 0)) {
            KLUIS_TRY(sink->end(sink->ctx, err));
            open = NULL;
        }
        if (ends) { continue; }
        if (open == NULL) {
            open = s->chat;
            KLUIS_TRY(begin_chat(open, sink, err));
        }
        if (h->changes && h->readings == 2 && i == 1) { continue; }
        KLUIS_TRY(one(s, sink, err));
    }
    if (open != NULL) { KLUIS_TRY(sink->end(sink->ctx, err)); }
    if (h->bulk > 0) { KLUIS_TRY(begin_chat("bulk", sink, err)); }
    for (size_t i = 0; i < h->bulk; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "b%zu", i);
        const struct say s = { "bulk", id, "A", "x", (int)(i / 7), KLUIS_MESSAGE, false, NULL, NULL };
        if (i < h->cut) { KLUIS_TRY(one(&s, sink, err)); }
    }
    if (h->bulk > 0) { KLUIS_TRY(sink->end(sink->ctx, err)); }
    if (h->refused) {
        const struct source_skip k = { "a chat", "x", "damaged", true };
        KLUIS_TRY(sink->skipped(sink->ctx, &k, err));
    }
    return h->breaks ? KLUIS_FAIL(err, KLUIS_E_REJECT, "breaks off") : KLUIS_OK;
}

/* ---- where it goes: noted as a package would be ---- */

struct told {
    char event[32], target[40], package[65], chat[16];
    int64_t record, sent, target_sent, author;
    enum kluis_kind kind;
    bool lost; /* original-unknown */
    size_t n_loss, n_fields;
};
struct collector {
    struct home *h;
    const struct journal_origin *origin;
    struct align_entry *entries;
    size_t n, taken;
    int64_t conversation;
    struct kluis_header header;
    char chat[16];
    uint8_t last[32], package[32];
    struct told told[SAID]; /* what the journal said, and the edits and edited lines that came through */
    size_t n_told, n_events;
    bool fails;
};

static kluis_status flush(struct collector *c, struct kluis_err *err)
{
    if (c->n == 0) { return KLUIS_OK; }
    kluis_random(c->package, sizeof c->package);
    const struct journal_taken t = { c->conversation, c->package, c->entries, c->n, c->header.precision, c->origin };
    KLUIS_TRY(kluis_db_begin(c->h->db, err));
    kluis_status rc = journal_take(c->h, &t, err);
    if (rc == KLUIS_OK && c->fails) { rc = KLUIS_FAIL(err, KLUIS_E_IO, "the disk is full"); }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(c->h->db);
        return rc;
    }
    c->taken += c->n;
    c->n = 0;
    return kluis_db_commit(c->h->db, "test.take", err);
}

static kluis_status on_begin(void *ctx, const struct kluis_header *h, int64_t conversation, struct kluis_err *err)
{
    struct collector *c = ctx;
    (void)err;
    c->header = *h;
    c->conversation = conversation;
    (void)snprintf(c->chat, sizeof c->chat, "%.*s", (int)h->conversation_id.len, h->conversation_id.ptr);
    return KLUIS_OK;
}

static void copy(char *out, size_t cap, struct kluis_str s) { (void)snprintf(out, cap, "%.*s", (int)s.len, s.ptr == NULL ? "" : s.ptr); }

static kluis_status on_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, const struct align_entry *e, struct kluis_err *err)
{
    struct collector *c = ctx;
    (void)raw;
    KLUIS_AUTO_BUF(line, 1 << 16);
    KLUIS_TRY(kluis_record_write(r, &c->header, &line, err)); /* what a package could not hold is no record */
    bool said = r->event.ptr != NULL && (kluis_str_is(r->event, "no-longer-in-source") || kluis_str_is(r->event, "in-source-again"));
    c->n_events += said;
    if ((said || r->kind == KLUIS_EDIT || r->n_loss > 0) && c->n_told < SAID) {
        struct told *t = &c->told[c->n_told++];
        memset(t, 0, sizeof *t);
        copy(t->event, sizeof t->event, r->event);
        copy(t->target, sizeof t->target, r->target);
        memcpy(t->chat, c->chat, sizeof t->chat);
        t->kind = r->kind;
        t->sent = r->sent.us;
        t->target_sent = r->target_sent.us;
        t->author = r->author;
        t->n_loss = r->n_loss;
        t->n_fields = r->n_fields;
        for (size_t i = 0; i < r->n_fields; i++) {
            if (kluis_str_is(r->fields[i].name, "package")) { copy(t->package, sizeof t->package, r->fields[i].value); }
            if (kluis_str_is(r->fields[i].name, "record")) { t->record = r->fields[i].number; }
        }
        for (size_t i = 0; i < r->n_loss; i++) { t->lost = t->lost || kluis_str_is(r->loss[i], JOURNAL_NO_ORIGINAL); }
    }
    c->entries[c->n++] = *e;
    return c->n == ALIGN_CHUNK_MAX ? flush(c, err) : KLUIS_OK;
}

static kluis_status on_end(void *ctx, struct kluis_err *err) { return flush(ctx, err); }

static kluis_status heard(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    (void)ctx;
    (void)s;
    (void)err;
    return KLUIS_OK;
}

static struct collector box;
static struct align_entry room[ALIGN_CHUNK_MAX];
static struct journal_counts counts;

static void fresh_home(void)
{
    char name[32], dir[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    home_free(box.h);
    memset(&box, 0, sizeof box);
    box.entries = room;
    (void)snprintf(name, sizeof name, "home%d", ++homes);
    assert_int_equal(kluis_path(dir, sizeof dir, top, name, &err), KLUIS_OK);
    assert_int_equal(home_open(&box.h, dir, HOME_LOCKED, &err), KLUIS_OK);
}

static const struct journal_origin whole = { 1, 11, true, INT64_MAX, (int64_t)NOW * 1000000 },
                                   window = { 1, 11, false, INT64_MAX, (int64_t)NOW * 1000000 };

static kluis_status pass(struct hand *h, const struct journal_origin *o)
{
    struct kluis_err err = { 0 };
    const struct journal_reader reader = { h, hand_read };
    const struct journal_out out = { &box, on_begin, on_record, on_end };
    const struct source_sink skips = { .skipped = heard };
    box.origin = o;
    box.n = box.taken = box.n_told = box.n_events = 0;
    memset(&counts, 0, sizeof counts);
    h->readings = 0;
    return journal_read(box.h, "test", o, &reader, &out, &skips, &counts, &err);
}

static size_t events(struct hand *h, const struct journal_origin *o)
{
    kluis_status rc = pass(h, o);
    assert_int_equal(rc, KLUIS_OK);
    assert_int_equal(counts.gone + counts.back, box.n_events);
    return box.n_events;
}

static void without(struct hand *h, size_t i) { memmove(&h->s[i], &h->s[i + 1], (HAND_MAX - 1 - i) * sizeof h->s[0]); }

/* clang-format off */
#define M(c, i, a, t, at) { .chat = (c), .id = (i), .author = (a), .text = (t), .minute = (at), .kind = KLUIS_MESSAGE }
/* clang-format on */
#define IDS                                                                                                                                          \
    {                                                                                                                                                \
        M("c", "1", "A", "een", 0), M("c", "2", "B", "twee", 10), M("c", "3", "A", "drie", 20), M("c", "4", "B", "vier", 30),                        \
            M("d", "5", "A", "vijf", 40)                                                                                                             \
    }
#define TEXTS                                                                                                                                        \
    {                                                                                                                                                \
        M("c", NULL, "A", "een", 0), M("c", NULL, "B", "twee", 10), M("c", NULL, "A", "drie", 20), M("c", NULL, "B", "vier", 30)                     \
    }

/* ---- the tests ---- */

static void what_is_gone_is_said_once_and_what_is_back_is_said_once(void **state)
{
    (void)state;
    char id[KLUIS_DERIVED_ID], hex[65];
    struct hand all = { .s = IDS }, less = { .s = IDS };
    without(&less, 2);
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(box.taken, 5);
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(all.readings, 2); /* nothing seemed gone: no third reading */

    assert_int_equal(events(&less, &whole), 1);
    assert_int_equal(box.taken, 1);
    const struct told *t = &box.told[0];
    assert_string_equal(t->event, "no-longer-in-source");
    assert_string_equal(t->chat, "c");
    assert_int_equal(t->kind, KLUIS_EVENT);
    assert_int_equal(t->author, KLUIS_NO_PARTY);
    assert_int_equal(t->sent, (int64_t)NOW * 1000000);
    assert_int_equal(t->target_sent, (int64_t)(BASE + 1200) * 1000000);
    assert_int_equal(t->record, 3);
    /* The name any reader of the package can recompute. */
    uint8_t package[32];
    assert_true(kluis_unhex((struct kluis_str){ t->package, 64 }, package, sizeof package));
    kluis_derived_id(package, 3, id);
    assert_string_equal(t->target, id);
    kluis_hex(box.package, 32, hex);
    assert_string_not_equal(t->package, hex); /* the earlier package, not the one that says so */

    for (int i = 0; i < 3; i++) { assert_int_equal(events(&less, &whole), 0); }
    assert_int_equal(events(&all, &whole), 1);
    assert_string_equal(box.told[0].event, "in-source-again");
    assert_string_equal(box.told[0].target, id);
    assert_int_equal(box.taken, 1); /* it is not archived a second time */
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(events(&less, &whole), 0); /* once and once */
    assert_int_equal(events(&all, &whole), 0);
}

static void nothing_is_said_of_a_reading_that_was_not_whole(void **state)
{
    (void)state;
    struct journal_origin options = whole, other = whole, grace = whole;
    options.settings = 12;
    other.source = 2;
    grace.due_before_us = (int64_t)BASE * 1000000;
    for (int how = 0; how < 8; how++) {
        struct hand all = { .s = IDS }, less = { .s = IDS };
        const struct journal_origin *o = how == 3 ? &options : how == 4 ? &other : how == 5 ? &grace : &whole;
        without(&less, 2);
        fresh_home();
        assert_int_equal(events(&all, &whole), 0);
        less.refused = how == 0;
        less.breaks = how == 1;
        if (how == 2) { less.s[4] = (struct say){ .chat = "d", .kind = KLUIS_GAP, .event = "damaged", .minute = 41 }; }
        if (how == 6) { memset(less.s, 0, sizeof less.s); } /* a folder that is not there, and its reader does not mind */
        if (how == 7) { less.changes = true; }
        assert_int_equal(pass(&less, o), how == 1 ? KLUIS_E_REJECT : KLUIS_OK);
        assert_int_equal(box.n_events, 0);
        /* The control: whole, it is said. */
        struct hand again = { .s = IDS };
        without(&again, 2);
        assert_int_equal(events(&again, &whole), 1);
        assert_int_equal(events(&again, &whole), 0);
    }
    /* A timer or a view-once message is in the chat: no reason to be silent. */
    struct hand all = { .s = IDS }, less = { .s = IDS };
    without(&less, 2);
    less.s[4] = (struct say){ .chat = "d", .id = "t", .kind = KLUIS_GAP, .event = "auto-delete-timer", .minute = 41 };
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(events(&less, &whole), 1);
}

static void somebody_elses_file_says_nothing(void **state)
{
    (void)state;
    struct hand all = { .s = IDS }, strange = { .s = { M("x", "91", "A", "een", 0), M("x", "92", "B", "twee", 1) } };
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(events(&strange, &whole), 0);
    assert_int_equal(events(&all, &whole), 2); /* what was taken from the strange one is gone again */
}

static void other_options_begin_anew(void **state)
{
    (void)state;
    struct journal_origin options = whole;
    options.settings = 12;
    struct hand all = { .s = IDS }, less = { .s = IDS };
    without(&less, 2);
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(events(&all, &options), 0); /* found again, all of it: followed under these options from now on */
    assert_int_equal(events(&less, &options), 1);
    assert_int_equal(events(&less, &options), 0);
}

static void another_form_of_it_is_no_absence(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct hand all = { .s = IDS }, other = { .s = IDS }, less = { .s = IDS };
        without(&less, 2);
        if (how == 0) { other.s[2].text = "drie, verbeterd"; }                         /* same id */
        if (how == 1) { other.s[2].kind = KLUIS_GAP, other.s[2].event = "view-once"; } /* same id, another kind */
        if (how == 2) { other.s[2] = (struct say){ .chat = "c", .id = "3d", .kind = KLUIS_DELETION, .target = "3", .minute = 21 }; }
        if (how == 3) { other.s[2].chat = other.s[3].chat = "e"; } /* another conversation */
        fresh_home();
        assert_int_equal(events(&all, &whole), 0);
        assert_int_equal(events(&other, &whole), 0);
        assert_int_equal(other.readings, 3);
        assert_int_equal(events(&other, &whole), 0);
        assert_int_equal(other.readings, 2); /* settled: not looked for again */
        if (how != 0) { continue; }
        assert_int_equal(events(&less, &whole), 1); /* both forms are one record */
        assert_int_equal(events(&less, &whole), 0);
    }
    /* Edited and gone between two passes that saw both forms. */
    struct hand all = { .s = IDS }, other = { .s = IDS }, less = { .s = IDS };
    other.s[2].text = "drie, verbeterd";
    other.refused = true;
    without(&less, 2);
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(events(&other, &whole), 0);
    assert_int_equal(events(&less, &whole), 1);
    assert_int_equal(events(&less, &whole), 0);
}

static void a_conversation_that_is_gone_is_gone_from_a_store_but_not_from_a_window(void **state)
{
    (void)state;
    for (int w = 0; w < 2; w++) {
        struct hand all = { .s = IDS }, less = { .s = { M("d", "5", "A", "vijf", 40) } };
        fresh_home();
        assert_int_equal(events(&all, w == 0 ? &whole : &window), 0);
        assert_int_equal(events(&less, w == 0 ? &whole : &window), w == 0 ? 4 : 0);
        for (size_t i = 0; i < box.n_told; i++) {
            assert_string_equal(box.told[i].chat, "c");
            assert_int_equal(box.told[i].record, (int64_t)i + 1);
        }
        assert_int_equal(events(&less, w == 0 ? &whole : &window), 0);
    }
}

static void a_window_says_nothing_of_what_lies_outside_it(void **state)
{
    (void)state;
    struct hand all = { .s = TEXTS }, head = { .s = TEXTS }, tail = { .s = TEXTS }, middle = { .s = TEXTS };
    without(&head, 0);
    without(&tail, 3);
    without(&middle, 1);
    fresh_home();
    assert_int_equal(events(&all, &window), 0);
    assert_int_equal(events(&head, &window), 0);
    assert_int_equal(events(&tail, &window), 0);
    assert_int_equal(events(&middle, &window), 1);
    assert_int_equal(box.told[0].record, 2);
    assert_int_equal(events(&middle, &window), 0);
}

static void two_files_of_one_chat_are_one_source(void **state)
{
    (void)state;
    struct hand two = { .s = { M("c", NULL, "A", "een", 0), M("c", NULL, "B", "twee", 10), M("c", NULL, "A", "drie", 20), M("c", "|", NULL, NULL, 0),
                               M("c", NULL, "A", "een", 0), M("c", NULL, "B", "twee", 10), M("c", NULL, "A", "drie", 20),
                               M("c", NULL, "B", "vier", 30) } };
    struct hand first = two, second = two, neither = two;
    without(&first, 1);
    without(&second, 5);
    without(&neither, 5);
    without(&neither, 1);
    fresh_home();
    assert_int_equal(events(&two, &window), 0);
    assert_int_equal(box.taken, 4);
    assert_int_equal(events(&first, &window), 0);
    assert_int_equal(events(&second, &window), 0);
    assert_int_equal(events(&neither, &window), 1);
    assert_int_equal(events(&neither, &window), 0);
    assert_int_equal(events(&second, &window), 1);
    assert_string_equal(box.told[0].event, "in-source-again");
    assert_int_equal(events(&two, &window), 0);
}

/* Without ids, a new line by the same author at the same time may be the missed one in other words. */
static void a_line_that_reads_otherwise_is_not_said_to_be_gone(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct hand all = { .s = TEXTS }, other = { .s = TEXTS };
        if (how == 0) { other.s[1].text = "twee met @Bram erin"; }
        if (how == 1) { other.s[1].kind = KLUIS_DELETION, other.s[1].text = NULL; }
        if (how == 2) { other.s[1].minute = 10 + 60; } /* the same words in another zone */
        fresh_home();
        assert_int_equal(events(&all, &whole), 0);
        assert_int_equal(events(&other, &whole), 0);
        assert_int_equal(box.taken, 1);
        for (int i = 0; i < 2; i++) { assert_int_equal(events(&other, &whole), 0); } /* nor later, when the new line is known */
    }
}

static void a_statement_that_was_not_committed_is_said_again(void **state)
{
    (void)state;
    struct hand all = { .s = IDS }, less = { .s = IDS };
    without(&less, 2);
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    box.fails = true;
    assert_int_equal(pass(&less, &whole), KLUIS_E_IO);
    box.fails = false;
    assert_int_equal(events(&less, &whole), 1);
    assert_int_equal(events(&less, &whole), 0);
}

static void a_lost_phone_is_said_in_bounded_steps(void **state)
{
    (void)state;
    struct hand all = { .s = IDS, .bulk = MANY, .cut = MANY }, less = { .s = IDS, .bulk = MANY, .cut = 10 };
    fresh_home();
    assert_int_equal(events(&all, &whole), 0);
    assert_int_equal(box.taken, MANY + 5);
    assert_int_equal(events(&less, &whole), JOURNAL_SAID_MAX);
    assert_int_equal(events(&less, &whole), MANY - 10 - JOURNAL_SAID_MAX);
    assert_int_equal(events(&less, &whole), 0);
}

/* ---- edited lines ---- */

static const struct told *edit(struct hand *h, const struct journal_origin *o)
{
    assert_int_equal(pass(h, o), KLUIS_OK);
    assert_int_equal(box.n_told, 1 + box.n_events); /* new lines come before what is gone */
    return &box.told[0];
}

static void an_edited_line_points_at_the_one_it_was(void **state)
{
    (void)state;
    char id[KLUIS_DERIVED_ID];
    struct hand all = { .s = TEXTS }, now = { .s = TEXTS }, then = { .s = TEXTS };
    now.s[1].text = "twee, verbeterd";
    now.s[1].edited = true;
    fresh_home();
    assert_int_equal(events(&all, &window), 0);
    kluis_derived_id(box.package, 2, id);
    const struct told *t = edit(&now, &window);
    assert_int_equal(t->kind, KLUIS_EDIT);
    assert_string_equal(t->target, id);
    assert_false(t->lost);
    assert_int_equal(t->n_loss, 1);   /* its other loss stays */
    assert_int_equal(t->n_fields, 3); /* edited, target-basis */
    assert_int_equal(counts.paired, 1);
    assert_int_equal(events(&now, &window), 0); /* known, and the original is not gone */
    assert_int_equal(box.taken, 0);
    /* Edited once more: still that message. */
    then.s[1].text = "twee, nogmaals";
    then.s[1].edited = true;
    t = edit(&then, &window);
    assert_int_equal(t->kind, KLUIS_EDIT);
    assert_string_equal(t->target, id);
    assert_int_equal(events(&then, &window), 0);
    assert_int_equal(box.taken, 0);
}

static void an_edited_line_without_exactly_one_original_keeps_its_loss(void **state)
{
    (void)state;
    for (int how = 0; how < 7; how++) {
        struct hand all = { .s = TEXTS }, now = { .s = TEXTS };
        now.s[1].text = "twee, verbeterd";
        now.s[1].edited = true;
        if (how == 0) { all.s[1].minute = now.s[1].minute + 1; }                 /* another time */
        if (how == 1) { all.s[1].author = "A"; }                                 /* another author */
        if (how == 2) { all.s[1].chat = "e"; }                                   /* another conversation */
        if (how == 3) { all.s[4] = all.s[1], all.s[4].text = "twee of drie"; }   /* two that it may have been */
        if (how == 4) { all.s[1].id = "2"; }                                     /* an id would have been kept */
        if (how == 5) { all.s[1].kind = KLUIS_CALL, all.s[1].event = "missed"; } /* not a message */
        if (how == 6) { without(&all, 1); }                                      /* never archived */
        fresh_home();
        (void)pass(&all, &window);
        const struct told *t = edit(&now, &window);
        assert_int_equal(t->kind, KLUIS_MESSAGE);
        assert_true(t->lost);
        assert_string_equal(t->target, "");
        assert_int_equal(counts.paired, 0);
    }
    /* Two edited lines of one author and minute, two originals. */
    struct hand all = { .s = TEXTS }, now = { .s = TEXTS };
    all.s[4] = now.s[4] = (struct say)M("c", NULL, "B", "twee en een half", 10);
    now.s[1].text = "x";
    now.s[4].text = "y";
    now.s[1].edited = now.s[4].edited = true;
    fresh_home();
    assert_int_equal(events(&all, &window), 0);
    assert_int_equal(events(&now, &window), 0);
    assert_int_equal(box.n_told, 2);
    assert_true(box.told[0].lost && box.told[1].lost);
    /* One of two in a minute: the other stands where it stood. */
    now.s[4] = all.s[4];
    fresh_home();
    assert_int_equal(events(&all, &window), 0);
    assert_int_equal(edit(&now, &window)->kind, KLUIS_EDIT);
    /* Edited again while its neighbour disappeared: either may have become this line. */
    struct hand later = now;
    later.s[1].text = "z";
    without(&later, 4);
    assert_true(edit(&later, &window)->lost);
}

static int set_up(void **state)
{
    (void)state;
    return test_dir("absence", top, sizeof top) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    home_free(box.h);
    return 0;
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_gone_is_said_once_and_what_is_back_is_said_once),
        cmocka_unit_test(nothing_is_said_of_a_reading_that_was_not_whole),
        cmocka_unit_test(somebody_elses_file_says_nothing),
        cmocka_unit_test(other_options_begin_anew),
        cmocka_unit_test(another_form_of_it_is_no_absence),
        cmocka_unit_test(a_conversation_that_is_gone_is_gone_from_a_store_but_not_from_a_window),
        cmocka_unit_test(a_window_says_nothing_of_what_lies_outside_it),
        cmocka_unit_test(two_files_of_one_chat_are_one_source),
        cmocka_unit_test(a_line_that_reads_otherwise_is_not_said_to_be_gone),
        cmocka_unit_test(a_statement_that_was_not_committed_is_said_again),
        cmocka_unit_test(a_lost_phone_is_said_in_bounded_steps),
        cmocka_unit_test(an_edited_line_points_at_the_one_it_was),
        cmocka_unit_test(an_edited_line_without_exactly_one_original_keeps_its_loss),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
