/* tests/unit/base_test.c - promises of kluis/base.h: errors stay one line, ceilings hold, decoders are strict, a durable write is
 * before-or-after at every failing call. */
#include "kluis/base.h"
#include "kluis/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/support/test_dir.h"

static int setup(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    return kluis_base_init(&err) == KLUIS_OK ? 0 : -1;
}

static void first_error_wins_and_stays_one_line(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    assert_int_equal(KLUIS_FAIL(&err, KLUIS_E_REJECT, "bad name '%s'", "a\nb\x1b[31m"), KLUIS_E_REJECT);
    assert_int_equal(KLUIS_FAIL(&err, KLUIS_E_IO, "second"), KLUIS_E_IO);
    assert_int_equal(err.code, KLUIS_E_REJECT);
    assert_string_equal(err.msg, "bad name 'a?b?[31m'");
    char longer[KLUIS_ERR_MSG + 50];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    kluis_err_prefix(&err, "%s", longer);
    assert_int_equal(strlen(err.msg), KLUIS_ERR_MSG - 1);
    kluis_err_clear(&err);
    errno = ENOSPC;
    (void)KLUIS_FAIL_SYS(&err, KLUIS_E_IO, "cannot write 'x'");
    assert_string_equal(err.msg, "cannot write 'x': No space left on device");
    kluis_err_prefix(&err, "file %d", 3);
    assert_string_equal(err.msg, "file 3: cannot write 'x': No space left on device");
}

static void buffers_and_arenas_stop_at_their_ceiling(KLUIS_UNUSED void **state)
{
    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(b, 300);
    for (int i = 0; i < 30; i++) { kluis_buf_cstr(&b, "0123456789"); }
    assert_int_equal(b.status, KLUIS_OK);
    kluis_buf_byte(&b, 'x');
    assert_int_equal(b.status, KLUIS_E_LIMIT);
    assert_int_equal(b.len, 300);
    assert_int_equal(kluis_buf_ok(&b, &err), KLUIS_E_LIMIT);
    kluis_buf_clear(&b);
    kluis_buf_fmt(&b, "%0250d", 7);
    assert_int_equal(b.len, 250);
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(1000);
    assert_non_null(kluis_arena_alloc(a, 992));
    assert_null(kluis_arena_alloc(a, 16));
    kluis_arena_clear(a);
    uint8_t *p = kluis_arena_alloc(a, 992);
    assert_non_null(p);
    for (int i = 0; i < 992; i++) { assert_int_equal(p[i], 0); }
    assert_null(kluis_arena_alloc(a, SIZE_MAX - 3));
}

static void pieces_become_one_and_numbers_are_written_out(KLUIS_UNUSED void **state)
{
    char out[KLUIS_DECIMAL];
    assert_true(kluis_str_is(kluis_decimal(0, out), "0") && kluis_str_is(kluis_decimal(10, out), "10"));
    assert_true(kluis_str_is(kluis_decimal(UINT64_MAX, out), "18446744073709551615"));
    assert_string_equal(out, "18446744073709551615");
    KLUIS_AUTO(kluis_arena) a = kluis_arena_new(64);
    const struct kluis_str pieces[] = { KLUIS_STR_LIT("een"), { NULL, 0 }, KLUIS_STR_LIT(""), KLUIS_STR_LIT(":2") };
    struct kluis_str all = kluis_arena_join(a, pieces, 4);
    assert_string_equal(all.ptr, "een:2");
    assert_int_equal(all.len, 5);
    assert_string_equal(kluis_arena_join(a, NULL, 0).ptr, "");
    const struct kluis_str vast[] = { { "x", SIZE_MAX - 1 }, { "y", 2 } };
    assert_null(kluis_arena_join(a, vast, 2).ptr);
    assert_null(kluis_arena_join(a, vast, 1).ptr);
}

/* Every byte and the length count, and what the hash goes on from: else a table would be a list. */
static void a_hash_sees_every_byte(KLUIS_UNUSED void **state)
{
    char text[40];
    uint64_t seen[41];
    memset(text, 'a', sizeof text);
    assert_true(kluis_str_hash((struct kluis_str){ NULL, 0 }, 7) == kluis_str_hash(KLUIS_STR_LIT(""), 7));
    for (size_t n = 0; n <= sizeof text; n++) {
        seen[n] = kluis_str_hash((struct kluis_str){ text, n }, 0);
        assert_true(seen[n] == kluis_str_hash((struct kluis_str){ text, n }, 0) && seen[n] != kluis_str_hash((struct kluis_str){ text, n }, 1));
        for (size_t k = 0; k < n; k++) {
            assert_true(seen[k] != seen[n]);
            text[k] = 'b';
            assert_true(kluis_str_hash((struct kluis_str){ text, n }, 0) != seen[n]);
            text[k] = 'a';
        }
    }
}

static void a_byte_that_is_no_text_is_found_at_any_place(KLUIS_UNUSED void **state)
{
    char text[80];
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(text, 'a', sizeof text);
            text[at] = '\xff';
            assert_int_equal(kluis_utf8_valid(text, n), at);
            if (at + 2 > n) { continue; }
            memcpy(text + at, "\xc3\xa9", 2);
            assert_int_equal(kluis_utf8_valid(text, n), n);
        }
    }
}

static void dates_of_no_calendar_are_refused_and_all_days_round_trip(KLUIS_UNUSED void **state)
{
    int64_t days, seen = 0;
    int y, m, d;
    for (int64_t k = -719162; k <= 2932896; k += 13) { /* years 1 to 9999 */
        kluis_civil_from_days(k, &y, &m, &d);
        assert_true(kluis_days_from_civil(y, m, d, &days));
        assert_int_equal(days, k);
        seen++;
    }
    assert_true(seen > 280000);
    assert_true(kluis_days_from_civil(1970, 1, 1, &days) && days == 0);
    static const int bad[][3] = { { 2023, 2, 29 }, { 1900, 2, 29 }, { 2024, 13, 1 }, { 2024, 0, 1 },
                                  { 2024, 4, 31 }, { 0, 1, 1 },     { 10000, 1, 1 }, { 2024, 1, 0 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) { assert_false(kluis_days_from_civil(bad[i][0], bad[i][1], bad[i][2], &days)); }
}

static void times_have_one_text_each(KLUIS_UNUSED void **state)
{
    char t[KLUIS_TIME_TEXT];
    int64_t us;
    int off, frac;
    static const char *const good[] = { "2026-03-12T14:31:05+01:00", "1969-12-31T23:59:59.999Z", "2026-03-12T14:31:05.123456-11:30",
                                        "0001-01-01T00:00:00Z" };
    for (size_t i = 0; i < 4; i++) {
        assert_true(kluis_time_parse(kluis_str_of(good[i]), &us, &off, &frac));
        assert_int_equal(kluis_time_text(t, us, off, frac), strlen(good[i]));
        assert_string_equal(t, good[i]);
    }
    static const char *const bad[] = {
        "2026-03-12 14:31:05Z",      "2026-03-12T14:31:05z",   "2026-02-30T00:00:00Z", "2026-03-12T24:00:00Z",  "2026-03-12T14:31:60Z",
        "2026-03-12T14:31:05+00:00", "2026-03-12T14:31:05.1Z", "2026-03-12T14:31:05",  "2026-03-12T14:31:05Zx", ""
    };
    for (size_t i = 0; i < 10; i++) { assert_false(kluis_time_parse(kluis_str_of(bad[i]), &us, &off, &frac)); }
}

static void digests_give_the_published_answers(KLUIS_UNUSED void **state)
{
    uint8_t h[42];
    char hex[85];
    struct kluis_err err = { 0 };
    kluis_sha256_of("abc", 3, h); /* FIPS 180-2, B.1 */
    kluis_hex(h, 32, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(kluis_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, h, &err), KLUIS_OK); /* RFC 4231, 4.3 */
    kluis_hex(h, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t ikm[22], salt[13], info[10]; /* RFC 5869, A.1 */
    memset(ikm, 0x0b, sizeof ikm);
    for (uint8_t i = 0; i < 13; i++) { salt[i] = i; }
    for (uint8_t i = 0; i < 10; i++) { info[i] = (uint8_t)(0xf0 + i); }
    assert_int_equal(
        kluis_hkdf_sha256((struct kluis_bytes){ ikm, 22 }, (struct kluis_bytes){ salt, 13 }, (struct kluis_bytes){ info, 10 }, h, 42, &err),
        KLUIS_OK);
    kluis_hex(h, 42, hex);
    assert_string_equal(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    KLUIS_AUTO(kluis_sha256) s = kluis_sha256_new();
    for (int round = 0; round < 2; round++) {
        kluis_sha256_add(s, "a", 1);
        kluis_sha256_add(s, "bc", 2);
        kluis_sha256_end(s, h);
        kluis_hex(h, 32, hex);
        assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

static void codings_round_trip_and_refuse_every_second_form(KLUIS_UNUSED void **state)
{
    uint8_t in[64], out[64];
    char text[200];
    size_t n;
    for (size_t len = 0; len <= sizeof in; len++) {
        kluis_random(in, len);
        kluis_hex(in, len, text);
        assert_true(kluis_unhex(kluis_str_of(text), out, len) && memcmp(in, out, len) == 0);
        assert_int_equal(kluis_base64(in, len, text), kluis_base64_len(len));
        assert_true(kluis_unbase64(kluis_str_of(text), out, sizeof out, &n) && n == len && memcmp(in, out, len) == 0);
        kluis_base64url(in, len, text);
        assert_true(kluis_unbase64url(kluis_str_of(text), out, sizeof out, &n) && n == len && memcmp(in, out, len) == 0);
        kluis_base32(in, len, text);
        assert_true(kluis_unbase32(kluis_str_of(text), out, sizeof out, &n) && n == len && memcmp(in, out, len) == 0);
    }
    assert_true(kluis_unbase64(kluis_str_of("Zm8="), out, sizeof out, &n) && n == 2);
    static const char *const bad64[] = { "Zm9", "Zm9=", "Zh==", "Z===", "====", "Zm 8", "Zm8=Zm8=", "Zm-_" };
    for (size_t i = 0; i < 8; i++) { assert_false(kluis_unbase64(kluis_str_of(bad64[i]), out, sizeof out, &n)); }
    assert_false(kluis_unbase64(kluis_str_of("Zm9v"), out, 2, &n));
    assert_false(kluis_unhex(kluis_str_of("AB"), out, 1));
    assert_false(kluis_unbase32(kluis_str_of("a1"), out, sizeof out, &n));
    assert_false(kluis_unbase32(kluis_str_of("ab7"), out, sizeof out, &n)); /* stray bits */
}

static void utf8_follows_unicode_table_3_7(KLUIS_UNUSED void **state)
{
    static const char *const good[] = { "gewoon ASCII dat langer is", "vóór", "😬", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf" };
    static const char *const bad[] = { "\xc0\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                                       "\x80",     "\xc3",         "abcdefgh\xff" };
    for (size_t i = 0; i < 5; i++) { assert_int_equal(kluis_utf8_valid(good[i], strlen(good[i])), strlen(good[i])); }
    for (size_t i = 0; i < 8; i++) { assert_true(kluis_utf8_valid(bad[i], strlen(bad[i])) < strlen(bad[i])); }
    assert_int_equal(kluis_utf8_valid("abcdefgh\xff", 9), 8);
    KLUIS_AUTO_BUF(b, 100);
    kluis_buf_json(&b, KLUIS_STR_LIT("a\"b\\\n\x01/é"));
    kluis_buf_byte(&b, 0);
    assert_string_equal((char *)b.data, "\"a\\\"b\\\\\\n\\u0001/é\"");
}

/* Sixteen bytes are looked at together: what needs an escape is seen wherever it stands, and nothing else is taken for it. */
static void a_json_string_escapes_what_it_must_at_any_place(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 1000);
    for (unsigned c = 0; c < 256; c++) {
        bool escaped = c < 0x20 || c == '"' || c == '\\';
        for (size_t at = 0; at < 39; at++) {
            char text[40];
            memset(text, at % 2 == 0 ? 'a' : '\x7f', sizeof text);
            text[at] = (char)c;
            assert_int_equal(kluis_json_plain(text, sizeof text), escaped ? at : sizeof text);
            kluis_buf_clear(&b);
            kluis_buf_json(&b, (struct kluis_str){ text, sizeof text });
            assert_int_equal(kluis_buf_ok(&b, NULL), KLUIS_OK);
            assert_memory_equal(b.data + 1, text, at);
            assert_int_equal(b.data[at + 1], escaped ? '\\' : c);
            size_t after = b.len - 1 - (sizeof text - 1 - at); /* the rest and the quote stand at the end */
            assert_memory_equal(b.data + after, text + at + 1, sizeof text - 1 - at);
            assert_int_equal(after, at + 1 + (!escaped ? 1 : c == '"' || c == '\\' || (c >= '\b' && c <= '\r' && c != '\v') ? 2 : 6));
        }
    }
}

static void wire_refuses_every_truncation_and_every_extra_byte(KLUIS_UNUSED void **state)
{
    KLUIS_AUTO_BUF(b, 1000);
    struct kluis_err err = { 0 };
    kluis_wire_label(&b, "chatkluis-test-v1");
    kluis_wire_u32(&b, 7);
    kluis_wire_u64(&b, UINT64_MAX);
    kluis_wire_str(&b, KLUIS_STR_LIT("vrij"));
    kluis_buf_byte(&b, 0); /* one too many */
    size_t whole = b.len - 1;
    for (size_t len = 0; len <= b.len; len++) {
        struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ b.data, len });
        kluis_wire_is(&w, "chatkluis-test-v1");
        uint32_t a = kluis_wire_get_u32(&w);
        uint64_t c = kluis_wire_get_u64(&w);
        struct kluis_bytes s = kluis_wire_get(&w, 10);
        kluis_err_clear(&err);
        kluis_status rc = kluis_wire_end(&w, "test", &err);
        assert_int_equal(rc, len == whole ? KLUIS_OK : KLUIS_E_REJECT);
        if (rc == KLUIS_OK) { assert_true(a == 7 && c == UINT64_MAX && s.len == 4); }
    }
    struct kluis_wire w = kluis_wire_open((struct kluis_bytes){ b.data, whole });
    assert_false(kluis_wire_is(&w, "chatkluis-test-v2"));
}

/* ---- durable write under injected failures ---- */

static int fail_at, calls;
static char dir[64];

static int fault(KLUIS_UNUSED const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd) { return calls++ == fail_at ? ENOSPC : 0; }

static void durable_write_is_before_or_after_at_every_failing_call(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = fault };
    char path[100];
    struct kluis_err err = { 0 };
    assert_true(test_dir("base", dir, sizeof dir));
    (void)snprintf(path, sizeof path, "%s/f", dir);
    assert_int_equal(kluis_write_file(path, "old", 3, 0600, &err), KLUIS_OK);
    int points = 0;
    for (fail_at = 0;; fail_at++) {
        calls = 0;
        kluis_hooks_set(&hooks);
        kluis_err_clear(&err);
        kluis_status rc = kluis_write_file(path, "new!", 4, 0600, &err);
        kluis_hooks_set(NULL);
        KLUIS_AUTO_BUF(b, 100);
        assert_int_equal(kluis_read_file(path, 100, &b, NULL), KLUIS_OK);
        if (calls <= fail_at) {
            assert_int_equal(rc, KLUIS_OK);
            assert_int_equal(b.len, 4);
            break;
        }
        points++;
        assert_int_equal(rc, KLUIS_E_IO);
        assert_true((b.len == 3 && memcmp(b.data, "old", 3) == 0) || (b.len == 4 && memcmp(b.data, "new!", 4) == 0));
        char cmd[160];
        (void)snprintf(cmd, sizeof cmd, "test \"$(ls %s | wc -l)\" = 1", dir);
        assert_int_equal(system(cmd), 0); /* no temporary is left */
        assert_int_equal(kluis_write_file(path, "old", 3, 0600, NULL), KLUIS_OK);
    }
    assert_true(points >= 7); /* open, write, fsync, close, rename, and the directory's open, fsync, close */
}

static int at_the_second(const char *op, KLUIS_UNUSED const char *path, KLUIS_UNUSED int fd)
{
    return (strcmp(op, "readdir") == 0 || strcmp(op, "stat") == 0 || strcmp(op, "open") == 0) && calls++ == fail_at ? EIO : 0;
}

static void a_folder_that_fails_is_not_a_shorter_one(KLUIS_UNUSED void **state)
{
    static const struct kluis_hooks hooks = { .io_fault = at_the_second };
    static const char *const files[] = { "a", "b", ".hidden" };
    char folder[100], path[120];
    struct kluis_err err = { 0 };
    (void)snprintf(folder, sizeof folder, "%s/folder", dir);
    assert_int_equal(kluis_make_dir(folder, &err), KLUIS_OK);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_int_equal(kluis_write_file(path, "x", 1, 0600, &err), KLUIS_OK);
    }
    int points = 0;
    for (fail_at = 0;; fail_at++) {
        const char *name;
        size_t n = 0;
        kluis_status rc = KLUIS_OK;
        calls = 0;
        kluis_err_clear(&err);
        DIR *d = opendir(folder);
        assert_non_null(d);
        kluis_hooks_set(&hooks);
        while (kluis_dir_next(d, folder, &name, &rc, &err)) {
            int below;
            struct stat st;
            assert_true(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
            if (!kluis_dir_look(d, folder, name, AT_SYMLINK_NOFOLLOW, &st, &rc, &err)) { continue; }
            assert_true(S_ISREG(st.st_mode));
            n++;
            assert_false(kluis_dir_down(d, folder, name, &below, &rc, &err)); /* a file: no folder, and no failure */
        }
        kluis_hooks_set(NULL);
        struct stat gone;
        kluis_status as_it_was = KLUIS_OK;
        assert_false(kluis_dir_look(d, folder, "gone", 0, &gone, &as_it_was, &err)); /* nor is what went meanwhile */
        assert_int_equal(as_it_was, KLUIS_OK);
        assert_false(kluis_dir_next(d, folder, &name, &(kluis_status){ KLUIS_E_BUSY }, NULL)); /* who failed reads no further */
        assert_int_equal(closedir(d), 0);
        if (calls <= fail_at) {
            assert_int_equal(rc, KLUIS_OK);
            assert_int_equal(n, 3);
            break;
        }
        points++;
        assert_int_equal(rc, KLUIS_E_IO);
        assert_int_equal(err.sys, EIO);
        assert_non_null(strstr(err.msg, folder));
    }
    assert_int_equal(points, 12); /* three names, the two of every folder, the end; a look at each and an attempt to go into it */
}

static void reading_a_file_respects_its_limit(KLUIS_UNUSED void **state)
{
    char path[100];
    struct kluis_err err = { 0 };
    (void)snprintf(path, sizeof path, "%s/g", dir);
    assert_int_equal(kluis_write_file(path, "0123456789", 10, 0600, &err), KLUIS_OK);
    KLUIS_AUTO_BUF(b, 10);
    assert_int_equal(kluis_read_file(path, 10, &b, &err), KLUIS_OK);
    assert_int_equal(b.len, 10);
    KLUIS_AUTO_BUF(c, 1000);
    assert_int_equal(kluis_read_file(path, 9, &c, NULL), KLUIS_E_LIMIT);
    KLUIS_AUTO_BUF(d, 9);
    assert_int_equal(kluis_read_file(path, 100, &d, NULL), KLUIS_E_LIMIT);
    assert_int_equal(kluis_read_file("/nonexistent/x", 9, &c, NULL), KLUIS_E_NOTFOUND);
}

/* What the kernel says of the mapping that holds p (proc(5), smaps): " lo " locked, " dd " in no dump, " wf " empty in a fork. */
static bool mapping_says(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    bool here = false, said = false;
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        char *dash = NULL, *end = NULL;
        uintptr_t from = strtoul(line, &dash, 16), to = *dash == '-' ? strtoul(dash + 1, &end, 16) : 0;
        if (to > from && *end == ' ') { here = from <= (uintptr_t)p && (uintptr_t)p < to; }
        if (here && strncmp(line, "VmFlags:", 8) == 0) { said = strstr(line, flag) != NULL; }
    }
    (void)fclose(f);
    return said;
}

static void secrets_are_locked_and_in_no_dump_and_no_fork(KLUIS_UNUSED void **state)
{
    uint8_t *p = kluis_secret_new(32), *plain = kluis_malloc(32);
    struct rlimit locked = { 0 }, core = { 0 };
    assert_true(p != NULL && plain != NULL && getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && getrlimit(RLIMIT_CORE, &core) == 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which answer mlock themselves, and lock nothing */
    if (locked.rlim_cur >= (64 << 10) || geteuid() == 0) { assert_true(mapping_says(p, " lo ")); }
#endif
    assert_true(mapping_says(p, " dd ") && mapping_says(p, " wf "));
    assert_false(mapping_says(plain, " dd ")); /* control */
#ifndef KLUIS_UNWALLED
    assert_true(core.rlim_cur == 0 && core.rlim_max == 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
#endif
    kluis_free(plain);
    kluis_secret_free(p, 32);
}

static void secrets_are_wiped_and_memory_can_be_made_to_fail(KLUIS_UNUSED void **state)
{
    uint8_t *p = kluis_secret_new(32);
    assert_non_null(p);
    memset(p, 7, 32);
    pid_t child = fork();
    if (child == 0) { _exit(p[0] == 0 ? 0 : 1); } /* a fork never inherits a key */
    int st = -1;
    assert_int_equal(waitpid(child, &st, 0), child);
    assert_int_equal(st, 0);
    kluis_secret_free(p, 32);
    assert_null(kluis_secret_new(0));
    assert_null(kluis_secret_new(1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_wins_and_stays_one_line),
        cmocka_unit_test(buffers_and_arenas_stop_at_their_ceiling),
        cmocka_unit_test(pieces_become_one_and_numbers_are_written_out),
        cmocka_unit_test(a_hash_sees_every_byte),
        cmocka_unit_test(a_byte_that_is_no_text_is_found_at_any_place),
        cmocka_unit_test(dates_of_no_calendar_are_refused_and_all_days_round_trip),
        cmocka_unit_test(times_have_one_text_each),
        cmocka_unit_test(digests_give_the_published_answers),
        cmocka_unit_test(codings_round_trip_and_refuse_every_second_form),
        cmocka_unit_test(utf8_follows_unicode_table_3_7),
        cmocka_unit_test(a_json_string_escapes_what_it_must_at_any_place),
        cmocka_unit_test(wire_refuses_every_truncation_and_every_extra_byte),
        cmocka_unit_test(durable_write_is_before_or_after_at_every_failing_call),
        cmocka_unit_test(a_folder_that_fails_is_not_a_shorter_one),
        cmocka_unit_test(reading_a_file_respects_its_limit),
        cmocka_unit_test(secrets_are_locked_and_in_no_dump_and_no_fork),
        cmocka_unit_test(secrets_are_wiped_and_memory_can_be_made_to_fail),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
