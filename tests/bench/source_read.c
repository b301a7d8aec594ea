/* source_read.c - what reading a source costs: nothing is written, records are only counted.
 *
 * source_read KIND PATH [KEY=VALUE]…: prints "RECORDS EVIDENCE-BYTES CPU-SECONDS PEAK-KIB OPENED", once the source was read whole.  OPENED:
 * the CPU-SECONDS when the first conversation began, opening and a look at all of them behind it.
 */
#include "agent/source/source.h"

#include <stdio.h>
#include <sys/resource.h>

enum { OPTIONS_MAX = 8 };

struct count {
    unsigned long long records, raw;
    double opened;
};

static double cpu_seconds(long *peak_kib)
{
    struct rusage u = { 0 };
    if (getrusage(RUSAGE_SELF, &u) != 0) { return 0; }
    *peak_kib = u.ru_maxrss;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static kluis_status begin(void *ctx, KLUIS_UNUSED const struct kluis_header *h, KLUIS_UNUSED struct kluis_err *err)
{
    struct count *c = ctx;
    long peak;
    if (c->opened <= 0) { c->opened = cpu_seconds(&peak); }
    return KLUIS_OK;
}

static kluis_status record(void *ctx, KLUIS_UNUSED const struct kluis_record *r, struct kluis_bytes raw, KLUIS_UNUSED struct kluis_err *err)
{
    struct count *c = ctx;
    c->records++;
    c->raw += raw.len;
    return KLUIS_OK;
}

static kluis_status end(KLUIS_UNUSED void *ctx, KLUIS_UNUSED struct kluis_err *err) { return KLUIS_OK; }

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    struct source_option options[OPTIONS_MAX];
    struct source_request q = { .path = argc > 2 ? argv[2] : NULL, .options = options };
    struct count c = { 0 };
    const struct source_kind *kind = argc > 2 ? source_find(argv[1]) : NULL;
    kluis_status rc = kluis_base_init(&err);
    if (rc == KLUIS_OK && kind == NULL) { rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "usage: source_read KIND PATH [KEY=VALUE]..."); }
    for (int i = 3; rc == KLUIS_OK && i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL || q.n_options == OPTIONS_MAX) {
            rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "an option is KEY=VALUE");
            break;
        }
        *equals = '\0';
        options[q.n_options++] =
            (struct source_option){ argv[i], equals + 1, { (const uint8_t *)equals + 1, strlen(equals + 1) } }; /* a key of the workload's own */
    }
    const struct source_sink sink = { .ctx = &c, .begin = begin, .record = record, .end = end };
    if (rc == KLUIS_OK) { rc = kind->read(&q, &sink, &err); }
    if (rc == KLUIS_OK) {
        long peak = 0;
        double cpu = cpu_seconds(&peak);
        (void)printf("%llu %llu %.4f %ld %.4f\n", c.records, c.raw, cpu, peak, c.opened);
    }
    if (rc != KLUIS_OK) { (void)fprintf(stderr, "source_read: %s\n", err.msg); }
    return kluis_exit_code(rc);
}
