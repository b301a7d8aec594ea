/* Promise: an opener that a package took over gets nothing: no other device's signature, no file, no socket, no word of the vault. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/descendant.h"
#include "tests/support/ingest_home.h"
#include "tests/unit/lying_opener.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

static struct zygote *z;
static struct pki *p;
static struct sealed s;
static struct kluis_buf manifest, own_signature, other_signature, rows;

static int setup(void **state)
{
    struct kluis_err err = { 0 };
    (void)state;
    OK(kluis_base_init(&err));
    p = pki_new(10);
    s = sealed_package(p, &(struct sealed_options){ .stamped = false });
    kluis_buf_init(&manifest, 1000);
    kluis_buf_init(&own_signature, KLUIS_P7S_MAX);
    kluis_buf_init(&other_signature, KLUIS_P7S_MAX);
    kluis_buf_init(&rows, 1 << 20);
    kluis_buf_cstr(&manifest, "<a manifest of somebody else/>");
    struct pki_party other = { 0 };
    pki_issue(&other, KLUIS_CERT_DEVICE, &p->device_ca, kluis_now_us() - 1000000, kluis_now_us() + PKI_YEAR);
    pki_sign(p, &other, &p->device_ca, kluis_buf_bytes(&manifest), true, &other_signature);
    pki_sign(p, &p->device, &p->device_ca, kluis_buf_bytes(&manifest), true, &own_signature);
    pki_party_clear(&other);
    static const struct kluis_party party = { .name = { "A", 1 } };
    static const struct index_row row = { .ordinal = 1, .kind = KLUIS_MESSAGE, .author = 0, .sent_us = 1740830700000000, .text = { "x", 1 } };
    const struct index_package ip = { .sequence = 1,
                                      .official = KLUIS_STR_LIT("-"),
                                      .device = KLUIS_STR_LIT("-"),
                                      .platform = KLUIS_STR_LIT("whatsapp"),
                                      .conversation_id = KLUIS_STR_LIT("c"),
                                      .verdict = KLUIS_STR_LIT("valid"),
                                      .parties = &party,
                                      .n_parties = 1,
                                      .self = KLUIS_NO_PARTY,
                                      .rows = &row,
                                      .n_rows = 1,
                                      .provenance = KLUIS_STR_LIT("test") };
    OK(index_package_write(&ip, &rows, &err));
    memcpy(lie.truth.id, s.id, 32);
    lie.truth.size = s.size;
    lie.truth.n_records = 1;
    lie.truth.sequence = 1;
    (void)snprintf(lie.truth.device, sizeof lie.truth.device, "%s", PKI_DEVICE);
    lie.truth.index = kluis_buf_bytes(&rows);
    lie.truth.manifest = lie.manifest = kluis_buf_bytes(&manifest);
    lie.truth.signature = kluis_buf_bytes(&own_signature);
    lie.signature = kluis_buf_bytes(&other_signature);
    lie.runs = mmap(NULL, sizeof *lie.runs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lie.runs == MAP_FAILED) { return 1; }
    return zygote_start(&z, NULL, &err) == KLUIS_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    zygote_free(z);
    pki_free(p);
    kluis_buf_free(&manifest);
    kluis_buf_free(&own_signature);
    kluis_buf_free(&other_signature);
    kluis_buf_free(&rows);
    kluis_close_quiet(&s.fd);
    (void)munmap(lie.runs, sizeof *lie.runs);
    return 0;
}

/* Decides one delivery whose content key tells the opener how to lie. */
static void decide(enum lie how, bool accepted, const char *layer, char reason[KLUIS_ERR_MSG])
{
    struct ingest_home h;
    struct decided o;
    struct kluis_err err = { 0 };
    uint8_t key[32] = { (uint8_t)how };
    ingest_home_open(&h, p, z);
    ingest_home_deliver(&h, &s, &o);
    OK(storage_wrap(h.keys.wrapping, o.d.package, key, o.d.wrapped, &err));
    struct decided *const one = &o;
    kluis_status rc = ingest_open(&h.in, &o, &err);
    if (rc == KLUIS_OK) { rc = ingest_judge(&h.in, &one, 1, &err); }
    if (rc != KLUIS_OK) { print_error("%s\n", err.msg); }
    assert_int_equal(rc, KLUIS_OK);
    if (o.accepted != accepted) { print_error("%s: %s\n", o.layer, o.reason); }
    assert_int_equal(o.accepted, accepted);
    assert_string_equal(o.layer, layer);
    (void)snprintf(reason, KLUIS_ERR_MSG, "%s", o.reason);
    kluis_arena_free(o.arena);
    ingest_home_close(&h);
}

static void a_lying_opener_gets_no_other_devices_signature_accepted(void **state)
{
    (void)state;
    char reason[KLUIS_ERR_MSG];
    decide(LIE_OTHER_SIGNATURE, false, LAYER_CERTIFICATE, reason);
    assert_non_null(strstr(reason, "another device"));
    decide(LIE_NOT, true, "", reason); /* the control: the same answer with the own device's signature passes */
}

static void another_id_than_the_deliverys_is_refused(void **state)
{
    (void)state;
    char reason[KLUIS_ERR_MSG];
    decide(LIE_OTHER_ID, false, LAYER_DELIVERY, reason);
}

static void half_an_answer_malformed_rows_a_flood_and_death_are_refused(void **state)
{
    (void)state;
    char reason[KLUIS_ERR_MSG];
    const enum lie lies[] = { LIE_HALF, LIE_ROWS, LIE_FLOOD, LIE_DIE };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) { decide(lies[i], false, LAYER_OPENER, reason); }
}

static void a_package_whose_opener_was_ended_is_opened_once_more(void **state)
{
    (void)state;
    char reason[KLUIS_ERR_MSG];
    *lie.runs = 0;
    decide(LIE_ENDED_ONCE, true, "", reason);
    assert_int_equal(*lie.runs, 2);
}

static void the_walls_hold_against_files_sockets_processes_code_and_memory(void **state)
{
    (void)state;
#ifdef KLUIS_UNWALLED
    skip();
#endif
    char reason[KLUIS_ERR_MSG];
    const enum lie lies[] = { LIE_OPEN, LIE_SOCKET, LIE_FORK, LIE_KILL, LIE_EXEC_PAGE, LIE_MEMORY, LIE_DESCRIPTORS };
    unsigned held = 0;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        decide(lies[i], false, LAYER_OPENER, reason);
        assert_string_equal(reason, "the opener ended without an answer"); /* not "escaped" */
        held++;
    }
    assert_int_equal(held, 7);
    assert_true(zygote_walls(z) & ZYGOTE_WALL_CALLS);
    a_lying_opener_gets_no_other_devices_signature_accepted(state); /* and the zygote lives on */
}

/* Looks at an opener while it hangs: what the kernel holds it to, and what it has.  Then ends it, as its package might, and the second one. */
struct onlooker {
    char limits[4096];
    size_t n_fds;
    pid_t second;
};

/* The opener that hangs as the nth one, and not the one before; 0: none came within 20 s.  Who is ended before he began counts as one that could not
 * be made at all. */
static pid_t hanging(unsigned nth, pid_t before)
{
    for (int i = 0; i < 4000; i++) {
        const pid_t pid = __atomic_load_n(lie.runs, __ATOMIC_SEQ_CST) >= nth ? descendant("opener") : 0;
        if (pid > 0 && pid != before) { return pid; }
        (void)usleep(5000);
    }
    return 0;
}

static void *look_on(void *arg)
{
    struct onlooker *o = arg;
    char path[64];
    const pid_t pid = hanging(1, 0);
    if (pid <= 0) { return NULL; }
    (void)snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        o->limits[fread(o->limits, 1, sizeof o->limits - 1, f)] = '\0';
        (void)fclose(f);
    }
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) { /* what watches for errors has its own where no process may have any */
        if (e->d_name[0] != '.' && strtol(e->d_name, NULL, 10) < sysconf(_SC_OPEN_MAX)) { o->n_fds++; }
    }
    if (d != NULL) { (void)closedir(d); }
    (void)kill(pid, SIGKILL);
    o->second = hanging(2, pid);
    if (o->second > 0) { (void)kill(o->second, SIGKILL); }
    return NULL;
}

static bool limit_is(const char *limits, const char *what, const char *value)
{
    const char *line = strstr(limits, what);
    char soft[32] = "", hard[32] = "";
    return line != NULL && sscanf(line + strlen(what), " %31s %31s", soft, hard) == 2 && strcmp(soft, value) == 0 && strcmp(hard, value) == 0;
}

#ifndef KLUIS_UNWALLED
/* Both, when they are the same number; else 0. */
static uint64_t limit_of(const char *limits, const char *what)
{
    const char *line = strstr(limits, what);
    unsigned long long soft = 0, hard = 0;
    return line != NULL && sscanf(line + strlen(what), " %llu %llu", &soft, &hard) == 2 && soft == hard ? soft : 0;
}
#endif

static void an_opener_has_ceilings_and_three_descriptors_and_the_next_package_is_taken(void **state)
{
    char reason[KLUIS_ERR_MSG];
    struct onlooker seen = { 0 };
    pthread_t t;
    *lie.runs = 0;
    assert_int_equal(pthread_create(&t, NULL, look_on, &seen), 0);
    decide(LIE_HANG, false, LAYER_OPENER, reason);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_string_equal(reason, "the opener ended without an answer");
    assert_true(seen.second > 0);
    decide(LIE_NOT, true, "", reason);
    (void)state;
#ifndef KLUIS_UNWALLED
    /* What the zygote has mapped itself, this program with its libraries, comes on top. */
    assert_in_range(limit_of(seen.limits, "Max address space"), ((uint64_t)1 << 30) + 1, (uint64_t)3 << 29);
    assert_true(limit_is(seen.limits, "Max data size", "1073741824"));
    assert_true(limit_is(seen.limits, "Max file size", "0"));
    assert_true(limit_is(seen.limits, "Max processes", "0"));
#endif
    assert_true(limit_is(seen.limits, "Max cpu time", "120"));
    assert_true(limit_is(seen.limits, "Max core file size", "0"));
    if (geteuid() == 0) { assert_int_equal(seen.n_fds, 6); /* 0 to 2 are /dev/null; ciphertext, key, answer */ }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lying_opener_gets_no_other_devices_signature_accepted),
        cmocka_unit_test(another_id_than_the_deliverys_is_refused),
        cmocka_unit_test(half_an_answer_malformed_rows_a_flood_and_death_are_refused),
        cmocka_unit_test(a_package_whose_opener_was_ended_is_opened_once_more),
        cmocka_unit_test(the_walls_hold_against_files_sockets_processes_code_and_memory),
        cmocka_unit_test(an_opener_has_ceilings_and_three_descriptors_and_the_next_package_is_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
