/* tests/fuzz/package_sink.h - reads a package from memory and keeps nothing. */
#ifndef FUZZ_PACKAGE_SINK_H
#define FUZZ_PACKAGE_SINK_H

#include "kluis/package.h"
#include "tests/fuzz/fuzz.h"

struct package_seen {
    uint64_t records, entries, open;
};

static kluis_status on_header(void *ctx, const struct kluis_header *h, struct kluis_str line, KLUIS_UNUSED struct kluis_err *err)
{
    MUST(((struct package_seen *)ctx)->records == 0 && h->n_parties <= KLUIS_PARTIES_MAX && line.len > 0);
    return KLUIS_OK;
}
static kluis_status on_record(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, KLUIS_UNUSED struct kluis_err *err)
{
    MUST(++((struct package_seen *)ctx)->records == ordinal && r->kind < KLUIS_KINDS && line.len > 0);
    return KLUIS_OK;
}
static kluis_status on_entry(void *ctx, const char *name, KLUIS_UNUSED struct kluis_err *err)
{
    MUST(((struct package_seen *)ctx)->open++ == 0 && strlen(name) <= KLUIS_PACKAGE_NAME_MAX && name[0] != '/' && strstr(name, "../") == NULL);
    return KLUIS_OK;
}
static kluis_status on_data(KLUIS_UNUSED void *ctx, const void *p, size_t n, KLUIS_UNUSED struct kluis_err *err)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) { sum ^= ((const uint8_t *)p)[i]; }
    static volatile uint8_t sink;
    sink = sum;
    (void)sink;
    return KLUIS_OK;
}
static kluis_status on_entry_end(void *ctx, KLUIS_UNUSED const char *name, KLUIS_UNUSED uint64_t size, KLUIS_UNUSED const uint8_t sha256[32],
                                 KLUIS_UNUSED struct kluis_err *err)
{
    struct package_seen *s = ctx;
    s->entries++;
    MUST(--s->open == 0);
    return KLUIS_OK;
}

static inline kluis_status package_read_memory(const uint8_t *p, size_t n)
{
    struct package_seen seen = { 0 };
    const struct kluis_package_sink sink = { &seen, on_header, on_record, on_entry, on_data, on_entry_end };
    struct kluis_input_mem m = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&m);
    struct kluis_package_facts facts;
    struct kluis_err err = { 0 };
    kluis_package_facts_init(&facts);
    kluis_status rc = kluis_package_read(&in, &sink, &facts, &err);
    MUST(rc == err.code);
    if (rc == KLUIS_OK) {
        MUST(facts.size == n && facts.n_records == seen.records && facts.sequence > 0 && facts.signature.len > 0 && facts.manifest.len > 0);
    } else {
        MUST((rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT) && facts.failed < KLUIS_PACKAGE_LAYERS && err.msg[0] != 0);
    }
    kluis_package_facts_clear(&facts);
    return rc;
}

#endif
