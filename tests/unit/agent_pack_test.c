/* Promise: slices end where docs/PROTOCOL.md and pack.h say, attachments come along or leave a loss, and what does not fit is split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/pack/pack.h"
#include "kluis/envelope.h"
#include "kluis/package.h"
#include "tests/support/agent_home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/support/test_dir.h"

enum { FILE_A = 1000, FILE_BIG = 5000 };

static char top[64];
static struct pki *pki;

/* ---- a source made for the test: attachments by name ---- */

struct pattern {
    size_t left;
    bool breaks;
};

static ssize_t pattern_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct pattern *s = ctx;
    if (s->breaks && s->left < 500) {
        (void)KLUIS_FAIL(err, KLUIS_E_REJECT, "damaged");
        return -1;
    }
    if (n > s->left) { n = s->left; }
    for (size_t i = 0; i < n; i++) { ((uint8_t *)p)[i] = (uint8_t)(s->left - i); }
    s->left -= n;
    return (ssize_t)n;
}

static kluis_status attachments(const struct source_request *q, struct kluis_str id, const struct kluis_str *wanted, size_t n,
                                const struct source_attachment_sink *sink, struct kluis_err *err)
{
    (void)q;
    (void)id;
    for (size_t i = 0; i < n; i++) {
        struct pattern s = { FILE_A, false };
        struct kluis_input in = { &s, pattern_read };
        if (kluis_str_is(wanted[i], "gone")) { continue; }
        if (kluis_str_is(wanted[i], "big")) { s.left = FILE_BIG; }
        if (kluis_str_is(wanted[i], "broken")) { s.breaks = true; }
        KLUIS_TRY(sink->attachment(sink->ctx, i, &in, err));
    }
    return KLUIS_OK;
}

static kluis_status no_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    (void)q;
    (void)sink;
    return KLUIS_FAIL(err, KLUIS_E_BUG, "not read here");
}

static const struct source_kind kind = { .name = "test", .platform = "test", .read = no_read, .attachments = attachments };
static const struct source_request request = { .path = "/" };

/* ---- feeding and looking ---- */

struct fixture {
    struct home *h;
    struct pack_identity id;
    struct pack *p;
    struct journal_out out;
    int64_t conversation;
    uint64_t made;
};

static const struct kluis_party people[] = { { .name = { "Anna", 4 } }, { .name = { "Bram", 4 } } };
static const uint32_t members[] = { 0, 1 };
static const struct kluis_header header = { .platform = { "test", 4 },
                                            .conversation_id = { "c1", 2 },
                                            .type = KLUIS_DIRECT,
                                            .parties = people,
                                            .n_parties = 2,
                                            .participants = members,
                                            .n_participants = 2,
                                            .self = KLUIS_NO_PARTY,
                                            .provenance = { .source = { "test", 4 }, .reader = { "test", 4 } },
                                            .zone = KLUIS_ZONE_STATED,
                                            .precision = KLUIS_PRECISION_SECOND };

static void start(struct fixture *f, const char *name, uint64_t part_bytes)
{
    char dir[KLUIS_PATH_MAX];
    struct kluis_err err = { 0 };
    struct sqlite3_stmt *st = NULL;
    memset(f, 0, sizeof *f);
    assert_int_equal(kluis_path(dir, sizeof dir, top, name, &err), KLUIS_OK);
    agent_home_enrol(dir, "https://127.0.0.1:9", pki);
    assert_int_equal(home_open(&f->h, dir, HOME_LOCKED, &err), KLUIS_OK);
    assert_int_equal(pack_identity_load(f->h, &f->id, &err), KLUIS_OK);
    struct pack_setup s = { .home = f->h, .identity = &f->id, .kind = &kind, .request = &request, .part_bytes = part_bytes };
    assert_int_equal(pack_new(&f->p, &s, &err), KLUIS_OK);
    f->out = pack_sink(f->p);
    assert_int_equal(kluis_db_run(f->h->db, NULL, &err, "INSERT INTO conversation(key) VALUES(?1)", "b",
                                  (struct kluis_bytes){ (const uint8_t *)name, strlen(name) }),
                     KLUIS_OK);
    assert_int_equal(kluis_db_query(f->h->db, &st, &err, "SELECT max(id) FROM conversation", ""), KLUIS_OK);
    assert_int_equal(kluis_db_step(f->h->db, st, &err), KLUIS_OK);
    f->conversation = kluis_db_int(st, 0);
    kluis_db_done(st);
    assert_int_equal(f->out.begin(f->out.ctx, &header, f->conversation, &err), KLUIS_OK);
}

static void feed_file(struct fixture *f, const char *when, const char *text, const char *ref, int64_t size)
{
    struct kluis_err err = { 0 };
    struct align_entry e;
    struct kluis_attachment file = { .name = { "bijlage.bin", 11 }, .size = size, .source_ref = kluis_str_of(ref) };
    struct kluis_record r = { .kind = KLUIS_MESSAGE,
                              .author = 0,
                              .target_author = KLUIS_NO_PARTY,
                              .target_sent = { KLUIS_TIME_ABSENT, 0 },
                              .text = kluis_str_of(text),
                              .attachments = ref == NULL ? NULL : &file,
                              .n_attachments = ref == NULL ? 0 : 1 };
    int offset = 0, digits = 0;
    assert_true(kluis_time_parse(kluis_str_of(when), &r.sent.us, &offset, &digits));
    r.sent.offset_min = (int16_t)offset;
    journal_entry(f->h, &header, &r, &e);
    kluis_status rc = f->out.record(f->out.ctx, &r, (struct kluis_bytes){ (const uint8_t *)text, strlen(text) }, &e, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
}

static void feed(struct fixture *f, const char *when, const char *text) { feed_file(f, when, text, NULL, 0); }

static void finish(struct fixture *f)
{
    struct kluis_err err = { 0 };
    kluis_status rc = f->out.end(f->out.ctx, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    f->made = pack_counted(f->p).packages;
}

static void stop(struct fixture *f)
{
    pack_free(f->p);
    pack_identity_clear(&f->id);
    home_free(f->h);
}

struct seen {
    size_t messages, parts, with_digest;
    uint64_t bytes;
    char loss[64];
    struct kluis_package_facts facts;
};

static kluis_status on_record(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)ordinal;
    (void)line;
    (void)err;
    s->messages += r->kind == KLUIS_MESSAGE;
    s->parts += kluis_str_is(r->event, "attachment-part");
    for (size_t i = 0; i < r->n_attachments; i++) {
        s->with_digest += r->attachments[i].has_sha256;
        if (r->attachments[i].has_sha256) { s->bytes += (uint64_t)r->attachments[i].size; }
        if (r->attachments[i].loss.ptr != NULL) {
            (void)snprintf(s->loss, sizeof s->loss, "%.*s", (int)r->attachments[i].loss.len, r->attachments[i].loss.ptr);
        }
    }
    return KLUIS_OK;
}

/* Opens the nth package with its own key; it must be a whole one. */
static void look(struct fixture *f, uint64_t nth, struct seen *s)
{
    struct stock_package p;
    struct kluis_err err = { 0 };
    char path[KLUIS_PATH_MAX];
    uint8_t key[32];
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    memset(s, 0, sizeof *s);
    assert_int_equal(stock_at(f->h, nth, &p, &err), KLUIS_OK);
    assert_int_equal(stock_file(f->h, p.id, path, &err), KLUIS_OK);
    assert_int_equal(stock_key(f->h, p.id, key, &err), KLUIS_OK);
    int fd = kluis_io_open(path, O_RDONLY, 0);
    assert_true(fd >= 0);
    struct kluis_input_fd from = { fd, 0, "package" };
    struct kluis_input in = kluis_input_from_fd(&from);
    assert_int_equal(kluis_content_open(&r, key, &in, &err), KLUIS_OK);
    struct kluis_input plain = kluis_content_input(r);
    struct kluis_package_sink sink = { .ctx = s, .record = on_record };
    kluis_package_facts_init(&s->facts);
    kluis_status rc = kluis_package_read(&plain, &sink, &s->facts, &err);
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    assert_int_equal(s->facts.sequence, nth + 1);
    kluis_package_facts_clear(&s->facts);
    kluis_close_quiet(&fd);
}

/* ---- the tests ---- */

static void a_slice_ends_with_the_calendar_month_also_when_records_are_out_of_order(void **state)
{
    struct fixture f;
    struct seen s;
    (void)state;
    start(&f, "months", 0);
    feed(&f, "2025-01-10T10:00:00+01:00", "een");
    feed(&f, "2025-02-01T00:30:00+01:00", "twee"); /* still January in UTC: the writer's calendar counts */
    feed(&f, "2025-01-11T10:00:00+01:00", "te laat");
    feed(&f, "2025-02-03T10:00:00+01:00", "drie");
    finish(&f);
    assert_int_equal(f.made, 2);
    look(&f, 0, &s);
    assert_int_equal(s.messages, 2);
    look(&f, 1, &s);
    assert_int_equal(s.messages, 2);
    stop(&f);
}

static void a_slice_ends_at_ten_thousand_records(void **state)
{
    struct fixture f;
    struct seen s;
    (void)state;
    start(&f, "many", 0);
    for (int i = 0; i < 10005; i++) { feed(&f, "2025-01-10T10:00:00Z", "ja"); }
    finish(&f);
    assert_int_equal(f.made, 2);
    look(&f, 0, &s);
    assert_int_equal(s.messages, KLUIS_PACKAGE_RECORDS_MAX);
    look(&f, 1, &s);
    assert_int_equal(s.messages, 5);
    stop(&f);
}

static void a_slice_ends_before_it_outgrows_its_memory(void **state)
{
    struct fixture f;
    struct seen s;
    static char long_text[1 << 19];
    (void)state;
    memset(long_text, 'a', sizeof long_text - 1);
    start(&f, "long", 0);
    for (int i = 0; i < 40; i++) { feed(&f, "2025-01-10T10:00:00Z", long_text); } /* 20 MiB of text and as much evidence */
    finish(&f);
    assert_true(f.made >= 2);
    size_t all = 0;
    for (uint64_t i = 0; i < f.made; i++) {
        look(&f, i, &s);
        all += s.messages;
    }
    assert_int_equal(all, 40);
    stop(&f);
}

static void attachments_come_along_and_those_that_do_not_leave_their_loss(void **state)
{
    struct fixture f;
    struct seen s;
    (void)state;
    start(&f, "files", 0);
    feed_file(&f, "2025-01-10T10:00:00Z", "a", "a", FILE_A);
    feed_file(&f, "2025-01-10T10:00:01Z", "a again", "a", -1);
    feed_file(&f, "2025-02-10T10:00:00Z", "gone", "gone", 10);
    feed_file(&f, "2025-03-10T10:00:00Z", "broken", "broken", 10);
    feed_file(&f, "2025-03-10T10:00:01Z", "and a whole one", "a", -1);
    finish(&f);
    assert_int_equal(f.made, 3);
    look(&f, 0, &s);
    assert_int_equal(s.with_digest, 2);
    assert_int_equal(s.bytes, 2 * FILE_A);
    look(&f, 1, &s);
    assert_int_equal(s.with_digest, 0);
    assert_string_equal(s.loss, "missing");
    look(&f, 2, &s);
    assert_int_equal(s.with_digest, 1);
    assert_string_equal(s.loss, "unreadable");
    assert_int_equal(pack_counted(f.p).missing_attachments, 2);
    stop(&f);
}

static void an_attachment_beyond_the_part_size_is_split_over_consecutive_packages(void **state)
{
    struct fixture f;
    struct seen s;
    uint64_t bytes = 0;
    size_t messages = 0, parts = 0;
    (void)state;
    start(&f, "parts", 2048);
    feed(&f, "2025-01-10T10:00:00Z", "before");
    feed_file(&f, "2025-01-10T10:00:00Z", "see the film", "big", FILE_BIG);
    feed(&f, "2025-01-10T10:01:00Z", "after");
    finish(&f);
    assert_int_equal(f.made, 5); /* before; three parts; after */
    for (uint64_t i = 0; i < f.made; i++) {
        look(&f, i, &s);
        bytes += s.bytes;
        messages += s.messages;
        parts += s.parts;
    }
    assert_int_equal(bytes, FILE_BIG);
    assert_int_equal(messages, 3);
    assert_int_equal(parts, 2);
    stop(&f);
}

static void nothing_is_left_of_a_slice_whose_row_was_not_committed(void **state)
{
    struct fixture f;
    struct kluis_err err = { 0 };
    char dir[KLUIS_PATH_MAX];
    (void)state;
    start(&f, "failed", 0);
    feed(&f, "2025-01-10T10:00:00Z", "x");
    assert_int_equal(kluis_db_exec(f.h->db, "CREATE TRIGGER no BEFORE INSERT ON seen BEGIN SELECT raise(ABORT,'no'); END", &err), KLUIS_OK);
    assert_int_not_equal(f.out.end(f.out.ctx, &err), KLUIS_OK);
    assert_int_equal(home_path(f.h, "packages", dir, &err), KLUIS_OK);
    size_t files = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) { files += e->d_name[0] != '.'; }
    (void)closedir(d);
    assert_int_equal(files, 0);
    struct stock_counts n;
    kluis_err_clear(&err);
    assert_int_equal(stock_count(f.h, &n, &err), KLUIS_OK);
    assert_int_equal(n.packages, 0);
    stop(&f);
}

/* ---- groups: what became durable, in order ---- */

static char steps[4096];
static bool folder_fails;
static void note_step(const char *name)
{
    if (strncmp(name, "agent.pack.", 11) != 0) { return; }
    size_t n = strlen(steps);
    assert_true(n + 2 < sizeof steps);
    steps[n] = name[11]; /* encrypted, published, frozen */
    steps[n + 1] = '\0';
}
static int refuse_folder(const char *op, const char *path, int fd)
{
    struct stat st;
    (void)path;
    return folder_fails && strcmp(op, "fsync") == 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? EIO : 0;
}

static size_t files_in(const struct fixture *f)
{
    char path[KLUIS_PATH_MAX];
    size_t n = 0;
    assert_int_equal(home_path(f->h, "packages", path, NULL), KLUIS_OK);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) { n += e->d_name[0] != '.'; }
    assert_int_equal(closedir(d), 0);
    return n;
}

static void feed_months(struct fixture *f, int n)
{
    for (int i = 0; i < n; i++) {
        char when[40];
        (void)snprintf(when, sizeof when, "%04d-%02d-10T10:00:00+01:00", 2021 + i / 12, 1 + i % 12);
        feed(f, when, "maandelijks");
    }
}

/* Every file is on disk before any has its name, every name before a row: for each group of sixteen, and for what is left at the end. */
static void packages_are_durable_before_they_exist_sixteen_at_a_time(void **state)
{
    struct fixture f;
    struct seen s;
    (void)state;
    static const struct kluis_hooks watch = { .durable_step = note_step };
    start(&f, "groups", 0);
    steps[0] = '\0';
    kluis_hooks_set(&watch);
    feed_months(&f, 20);
    finish(&f);
    kluis_hooks_set(NULL);
    assert_string_equal(steps, "eeeeeeeeeeeeeeeepfeeeepf");
    assert_int_equal(f.made, 20);
    for (uint64_t i = 0; i < 20; i++) { look(&f, i, &s); } /* numbers and parts go on over the edge of a group */
    assert_int_equal(files_in(&f), 20);
    stop(&f);
}

static void a_group_that_cannot_be_made_durable_leaves_no_file_and_no_row(void **state)
{
    struct fixture f;
    struct kluis_err err = { 0 };
    struct stock_counts n;
    (void)state;
    static const struct kluis_hooks broken = { .io_fault = refuse_folder };
    start(&f, "broken", 0);
    feed_months(&f, 5);
    assert_true(files_in(&f) > 0); /* the control: ciphertext waits there under its passing name */
    kluis_hooks_set(&broken);
    folder_fails = true;
    assert_int_equal(f.out.end(f.out.ctx, &err), KLUIS_E_IO);
    folder_fails = false;
    kluis_hooks_set(NULL);
    assert_int_equal(files_in(&f), 0);
    assert_int_equal(stock_count(f.h, &n, &err), KLUIS_OK);
    assert_int_equal(n.packages, 0);
    assert_int_equal(pack_settle(f.p, &err), KLUIS_OK); /* nothing is left to commit */
    assert_int_equal(f.made, 0);
    stop(&f);
}

static void a_reading_that_breaks_off_keeps_the_packages_it_built(void **state)
{
    struct fixture f;
    struct kluis_err err = { 0 };
    struct seen s;
    (void)state;
    start(&f, "settled", 0);
    feed_months(&f, 5); /* three months are still being collected, two are built */
    assert_int_equal(f.made, 0);
    assert_int_equal(pack_settle(f.p, &err), KLUIS_OK);
    assert_int_equal(pack_counted(f.p).packages, 2);
    look(&f, 1, &s);
    assert_int_equal(s.messages, 1);
    stop(&f);
}

static void a_box_opens_only_in_its_own_place(void **state)
{
    struct fixture f;
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(box, 256);
    KLUIS_AUTO_BUF(plain, 256);
    (void)state;
    start(&f, "box", 0);
    assert_int_equal(home_box(f.h, "a", (struct kluis_bytes){ (const uint8_t *)"geheim", 6 }, &box, &err), KLUIS_OK);
    assert_int_equal(home_unbox(f.h, "a", kluis_buf_bytes(&box), &plain, &err), KLUIS_OK);
    assert_memory_equal(plain.data, "geheim", 6);
    assert_int_equal(home_unbox(f.h, "b", kluis_buf_bytes(&box), &plain, NULL), KLUIS_E_CORRUPT);
    box.data[14] ^= 1;
    assert_int_equal(home_unbox(f.h, "a", kluis_buf_bytes(&box), &plain, NULL), KLUIS_E_CORRUPT);
    struct home *second = NULL;
    assert_int_equal(home_open(&second, f.h->dir, HOME_LOCKED, &err), KLUIS_E_BUSY);
    stop(&f);
}

static void a_device_key_that_is_not_its_certificates_is_refused(void **state)
{
    struct fixture f;
    struct kluis_err err = { 0 };
    struct kluis_key *other = NULL;
    struct pack_identity id;
    char device[64], name[HOME_KEY_NAME];
    KLUIS_AUTO_BUF(pem, 8192);
    (void)state;
    start(&f, "keys", 0);
    assert_int_equal(pack_identity_load(f.h, &id, &err), KLUIS_OK); /* the control */
    pack_identity_clear(&id);
    assert_int_equal(home_text(f.h, "device", device, sizeof device, &err), KLUIS_OK);
    home_key_name("device", device, name);
    assert_int_equal(kluis_key_generate(&other, &err), KLUIS_OK);
    assert_int_equal(kluis_key_to_pem(other, &pem, &err), KLUIS_OK);
    kluis_key_free(other);
    assert_int_equal(keystore_put(f.h->dir, name, kluis_buf_bytes(&pem), &err), KLUIS_OK);
    assert_int_equal(pack_identity_load(f.h, &id, &err), KLUIS_E_CORRUPT);
    assert_non_null(strstr(err.msg, "not the one of its certificate"));
    stop(&f);
}

static void leftover_keys_go_and_those_of_this_enrolment_stay(void **state)
{
    static const char old[] = "00000000000000000000000000000001";
    struct fixture f;
    struct kluis_err err = { 0 };
    char device[64], name[HOME_KEY_NAME], left[HOME_KEY_NAME];
    KLUIS_AUTO_BUF(key, 8192);
    (void)state;
    start(&f, "stray", 0);
    assert_int_equal(home_text(f.h, "device", device, sizeof device, &err), KLUIS_OK);
    home_key_name("device", device, name);
    home_key_name("device", old, left);
    assert_int_equal(keystore_put(f.h->dir, left, (struct kluis_bytes){ (const uint8_t *)"x", 1 }, &err), KLUIS_OK);
    assert_int_equal(home_keys_stray(f.h, old, &err), KLUIS_OK);
    assert_int_equal(home_keys_stray(f.h, device, &err), KLUIS_OK);
    assert_int_equal(home_tidy(f.h, &err), KLUIS_OK);
    assert_int_equal(keystore_get(f.h->dir, left, &key, NULL), KLUIS_E_NOTFOUND);
    assert_int_equal(keystore_get(f.h->dir, name, &key, &err), KLUIS_OK);
    assert_int_equal(home_tidy(f.h, &err), KLUIS_OK);
    stop(&f);
}

static int set_up(void **state)
{
    (void)state;
    if (!test_dir("pack", top, sizeof top)) { return -1; }
    pki = pki_new(10);
    return pki == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_free(pki);
    return 0;
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_ends_with_the_calendar_month_also_when_records_are_out_of_order),
        cmocka_unit_test(a_slice_ends_at_ten_thousand_records),
        cmocka_unit_test(a_slice_ends_before_it_outgrows_its_memory),
        cmocka_unit_test(attachments_come_along_and_those_that_do_not_leave_their_loss),
        cmocka_unit_test(an_attachment_beyond_the_part_size_is_split_over_consecutive_packages),
        cmocka_unit_test(nothing_is_left_of_a_slice_whose_row_was_not_committed),
        cmocka_unit_test(packages_are_durable_before_they_exist_sixteen_at_a_time),
        cmocka_unit_test(a_group_that_cannot_be_made_durable_leaves_no_file_and_no_row),
        cmocka_unit_test(a_reading_that_breaks_off_keeps_the_packages_it_built),
        cmocka_unit_test(a_device_key_that_is_not_its_certificates_is_refused),
        cmocka_unit_test(leftover_keys_go_and_those_of_this_enrolment_stay),
        cmocka_unit_test(a_box_opens_only_in_its_own_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
