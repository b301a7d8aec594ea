/* source_dump.c - a source's whole output as text, for tests: each record expanded, then a summary line.
 *
 * source_dump KIND PATH [KEY=VALUE]…    exit codes as the programs have them; errors on stderr, one line.
 */
#include "agent/source/database/database.h"
#include "agent/source/source.h"

enum { OPTIONS_MAX = 16 };

struct dump {
    struct kluis_header header;
    uint64_t counts[KLUIS_KINDS], conversations, raw;
    bool headers;
    struct kluis_buf line;
};

static kluis_status print(struct dump *d)
{
    bool ok = fwrite(d->line.data, 1, d->line.len, stdout) == d->line.len;
    kluis_buf_clear(&d->line);
    return ok ? KLUIS_OK : KLUIS_E_IO;
}

static kluis_status begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct dump *d = ctx;
    d->header = *h; /* borrowed strings live until end */
    d->conversations++;
    KLUIS_TRY(kluis_header_write(h, &d->line, err));
    if (d->headers) { return print(d); }
    kluis_buf_clear(&d->line);
    return KLUIS_OK;
}

static kluis_status record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct dump *d = ctx;
    d->counts[r->kind]++;
    d->raw += raw.len;
    KLUIS_TRY(kluis_record_write(r, &d->header, &d->line, err)); /* whatever is shown could also be packed */
    kluis_buf_clear(&d->line);
    KLUIS_TRY(kluis_record_write_expanded(r, &d->header, &d->line, err));
    return print(d);
}

static kluis_status end(void *ctx, KLUIS_UNUSED struct kluis_err *err)
{
    (void)ctx;
    return KLUIS_OK;
}

static kluis_status skipped(void *ctx, const struct source_skip *s, KLUIS_UNUSED struct kluis_err *err)
{
    struct dump *d = ctx;
    kluis_buf_cstr(&d->line, "{\"kind\":\"skipped\",\"what\":");
    kluis_buf_json(&d->line, kluis_str_of(s->what));
    kluis_buf_cstr(&d->line, ",\"where\":");
    kluis_buf_json(&d->line, kluis_str_of(s->where));
    kluis_buf_cstr(&d->line, ",\"why\":");
    kluis_buf_json(&d->line, kluis_str_of(s->why));
    kluis_buf_cstr(&d->line, "}\n");
    return print(d);
}

/* The most memory this process has held; what getrusage says counts the parent's before exec. */
static void peak(struct dump *d)
{
#ifdef KLUIS_UNWALLED /* what a sanitizer keeps beside it is not ours */
    kluis_buf_cstr(&d->line, "null");
#else
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) { (void)sscanf(line, "VmHWM: %llu", &kib); }
    if (f != NULL) { (void)fclose(f); }
    kluis_buf_fmt(&d->line, "%llu", kib);
#endif
}

static kluis_status summary(struct dump *d)
{
    const char *comma = "";
    kluis_buf_cstr(&d->line, "{\"kind\":\"summary\",\"counts\":{");
    for (unsigned k = 0; k < KLUIS_KINDS; k++) {
        if (d->counts[k] == 0) { continue; }
        kluis_buf_fmt(&d->line, "%s\"%s\":%llu", comma, kluis_kind_name((enum kluis_kind)k), (unsigned long long)d->counts[k]);
        comma = ",";
    }
    kluis_buf_fmt(&d->line, "},\"conversations\":%llu,\"raw\":%llu,\"peak_kib\":", (unsigned long long)d->conversations, (unsigned long long)d->raw);
    peak(d);
    kluis_buf_cstr(&d->line, "}\n");
    return print(d);
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    struct source_option options[OPTIONS_MAX];
    struct source_request q = { .path = argc > 2 ? argv[2] : NULL, .options = options };
    const struct source_kind *kind = NULL;
    struct dump d = { .headers = getenv("SOURCE_DUMP_HEADERS") != NULL }; /* NOLINT(concurrency-mt-unsafe) */
    kluis_buf_init(&d.line, 64 << 20);
    kluis_status rc = kluis_base_init(&err);
    if (argc > 2) { kind = source_find(argv[1]); }
    if (rc == KLUIS_OK && kind == NULL) { rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "usage: source_dump KIND PATH [KEY=VALUE]..."); }
    for (int i = 3; rc == KLUIS_OK && i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL || q.n_options == OPTIONS_MAX) {
            rc = KLUIS_FAIL(&err, KLUIS_E_USAGE, "an option is KEY=VALUE");
            break;
        }
        *equals = '\0';
        const struct kluis_bytes as_file = { (const uint8_t *)equals + 1, strlen(equals + 1) }; /* so that tests may give secrets here */
        options[q.n_options++] = (struct source_option){ .key = argv[i], .value = equals + 1, .file = as_file };
    }
    const struct source_sink sink = { .ctx = &d, .begin = begin, .record = record, .end = end, .skipped = skipped };
    if (rc == KLUIS_OK) { rc = kind->read(&q, &sink, &err); }
    if (rc == KLUIS_OK) { rc = summary(&d); }
    database_forget();
    kluis_buf_free(&d.line);
    if (fflush(stdout) != 0 && rc == KLUIS_OK) { rc = KLUIS_E_IO; }
    if (rc != KLUIS_OK) { (void)fprintf(stderr, "source_dump: %s\n", err.msg[0] != '\0' ? err.msg : kluis_status_name(rc)); }
    return kluis_exit_code(rc);
}
