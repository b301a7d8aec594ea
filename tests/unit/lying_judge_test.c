/* Promise: a signature that takes its judge over, or kills it, decides about no other one that was judged beside it.
 *
 * The judge behind the walls is this test's: it does what the signature's text tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/ingest/children.h"
#include "tests/support/descendant.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

enum { MANY = 7 };

static void say(int result, struct kluis_bytes manifest, enum kluis_outcome outcome)
{
    uint8_t digest[32];
    static const uint8_t cert[32] = { 4 };
    KLUIS_AUTO_BUF(out, 4096);
    kluis_sha256_of(manifest.ptr, manifest.len, digest);
    kluis_wire_field(&out, digest, 32);
    for (int i = 0; i < 3; i++) { kluis_wire_u32(&out, (uint32_t)outcome); }
    kluis_wire_u32(&out, 1);
    kluis_wire_u64(&out, 1);
    kluis_wire_u64(&out, 1);
    kluis_wire_field(&out, cert, 32);
    kluis_wire_str(&out, KLUIS_STR_LIT(""));
    child_say(result, kluis_buf_bytes(&out));
}

/* For ever, without a call that the walls refuse and without processor time. */
static void child_hang(void)
{
    static uint32_t never;
    for (;;) { (void)syscall(SYS_futex, &never, FUTEX_WAIT, 0, NULL); }
}

static bool is(struct kluis_bytes b, const char *word) { return b.len == strlen(word) && memcmp(b.ptr, word, b.len) == 0; }

void judge_child(int request, int result)
{
    KLUIS_AUTO_BUF(asked, ZYGOTE_REQUEST_MAX);
    KLUIS_AUTO_BUF(out, 4096);
    if (!child_hear(request, &asked)) { return; }
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(&asked));
    (void)kluis_wire_is(&w, JUDGE_LABEL);
    (void)kluis_wire_get_u64(&w);
    for (int list = 0; list < 2; list++) {
        uint32_t n = kluis_wire_get_u32(&w);
        for (uint32_t i = 0; i < n && !w.bad; i++) { (void)kluis_wire_get(&w, KLUIS_CERT_MAX); }
    }
    kluis_wire_label(&out, JUDGED_LABEL);
    child_say(result, kluis_buf_bytes(&out));
    while (!w.bad && kluis_wire_more(&w)) {
        struct kluis_bytes manifest = kluis_wire_get(&w, KLUIS_MANIFEST_MAX), signature = kluis_wire_get(&w, KLUIS_P7S_MAX);
        if (is(signature, "die")) { _exit(1); }
        if (is(signature, "hang")) { child_hang(); }
        if (is(signature, "other")) { manifest = (struct kluis_bytes){ (const uint8_t *)"?", 1 }; }
        say(result, manifest, is(signature, "wrong") ? KLUIS_INVALID : KLUIS_VALID);
        if (is(signature, "twice")) { say(result, manifest, KLUIS_VALID); }
    }
}

/* The second-last of MANY says `word`; a control before and after it. */
static void judged_beside(const char *word, bool judged, enum kluis_outcome outcome)
{
    struct zygote *z = NULL;
    struct kluis_err err = { 0 };
    struct judging j[MANY];
    const struct judge_anchors none = { NULL, NULL, 0, 0 };
    static const char *const text[MANY] = { "a", "b", "c", "d", "e", "f", "g" };
    OK(kluis_base_init(&err));
    OK(zygote_start(&z, NULL, &err));
    for (size_t i = 0; i < MANY; i++) {
        const char *signature = i == MANY - 2 ? word : "good";
        j[i] = (struct judging){ .manifest = { (const uint8_t *)text[i], 1 }, .signature = { (const uint8_t *)signature, strlen(signature) } };
    }
    OK(judge_run(z, &none, j, MANY, kluis_now_us(), &err));
    for (size_t i = 0; i < MANY; i++) {
        bool good = i != MANY - 2;
        assert_int_equal(j[i].judged, good || judged);
        assert_int_equal(j[i].verdict.signature, good ? KLUIS_VALID : outcome);
        if (!j[i].judged) { assert_string_equal(j[i].verdict.reason, "the judge ended without a verdict"); }
    }
    zygote_free(z);
}

static void one_that_kills_its_judge_is_refused_and_the_others_are_judged(void **state)
{
    (void)state;
    judged_beside("die", false, KLUIS_INVALID);
}

static void a_verdict_on_another_manifest_is_none(void **state)
{
    (void)state;
    judged_beside("other", false, KLUIS_INVALID);
}

static void a_verdict_too_many_speaks_for_no_neighbour_and_alone_is_none(void **state)
{
    struct zygote *z = NULL;
    struct kluis_err err = { 0 };
    struct judging j = { .manifest = { (const uint8_t *)"a", 1 }, .signature = { (const uint8_t *)"twice", 5 } };
    const struct judge_anchors none = { NULL, NULL, 0, 0 };
    (void)state;
    judged_beside("twice", true, KLUIS_VALID); /* its own verdict is what this judge makes of it; the next one's is not */
    OK(zygote_start(&z, NULL, &err));
    OK(judge_run(z, &none, &j, 1, kluis_now_us(), &err));
    assert_false(j.judged);
    assert_int_equal(j.verdict.signature, KLUIS_INVALID);
    zygote_free(z);
}

/* Forty seconds of waiting: the time that the kernel gives one judge, and its second one. */
static void one_that_never_ends_is_ended(void **state)
{
    struct zygote *z = NULL;
    struct kluis_err err = { 0 };
    struct judging j[2] = { { .manifest = { (const uint8_t *)"a", 1 }, .signature = { (const uint8_t *)"hang", 4 } },
                            { .manifest = { (const uint8_t *)"b", 1 }, .signature = { (const uint8_t *)"good", 4 } } };
    const struct judge_anchors none = { NULL, NULL, 0, 0 };
    (void)state;
    OK(zygote_start(&z, NULL, &err));
    int64_t begun = kluis_monotonic_us();
    OK(judge_run(z, &none, &j[0], 1, kluis_now_us(), &err));
    int64_t took = (kluis_monotonic_us() - begun) / 1000000;
    assert_true(took >= 2 * ZYGOTE_JUDGE_SECONDS - 1 && took < 3 * ZYGOTE_JUDGE_SECONDS);
    assert_false(j[0].judged);
    OK(judge_run(z, &none, &j[1], 1, kluis_now_us(), &err));
    assert_true(j[1].judged);
    /* And it is gone, not only forgotten: a zygote's children die of their own clock. */
    pid_t left = 1;
    for (int i = 0; i < 500 && left > 0; i++) {
        kluis_sleep_us(10000);
        left = descendant("judge");
    }
    assert_int_equal(left, 0);
    zygote_free(z);
}

static void a_wrong_signature_among_good_ones_is_the_only_wrong_one(void **state)
{
    (void)state;
    judged_beside("wrong", true, KLUIS_INVALID);
    judged_beside("good", true, KLUIS_VALID); /* the control */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_kills_its_judge_is_refused_and_the_others_are_judged), cmocka_unit_test(a_verdict_on_another_manifest_is_none),
        cmocka_unit_test(a_verdict_too_many_speaks_for_no_neighbour_and_alone_is_none),  cmocka_unit_test(one_that_never_ends_is_ended),
        cmocka_unit_test(a_wrong_signature_among_good_ones_is_the_only_wrong_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
