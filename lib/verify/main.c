/* lib/verify/main.c - chatkluis-verify: judges packages for someone who trusts nobody.  Reads, computes, prints.
 *
 * Where there are two processors, a helper (kluis_lane) gets OpenSSL and the trust file ready and then hashes, while this thread reads,
 * inflates and parses.  Of large packages another thread reads ahead, so that the disk and the hashing do not wait for each other. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#include "readahead.h"
#include "words.h"

enum { EXIT_VALID = 0, EXIT_INVALID = 1, EXIT_INDETERMINATE = 2, TRUST_MAX = 1 << 20, READ_AHEAD_FROM = 8 << 20 };

struct options {
    enum lang lang;
    bool json;
    const char *trust, *receipt;
    const char *list[KLUIS_CRLS_MAX]; /* revocation lists */
    size_t n_lists;
    int64_t at_us; /* KLUIS_TIME_ABSENT: now */
};

/* One line on stderr: what, where, what to do. */
static int complain(const struct kluis_err *err)
{
    fprintf(stderr, "chatkluis-verify: %s\n", err->msg);
    return kluis_exit_code(err->code);
}

static int usage(const char *why, const char *what)
{
    fprintf(stderr, "chatkluis-verify: %s%s; see --help\n", why, what ? what : "");
    return kluis_exit_code(KLUIS_E_USAGE);
}

/* 74 before 1 before 75 before 2 before 0: what could not be looked at at all is worst. */
static int worse(int a, int b)
{
    static const int order[] = { 74, EXIT_INVALID, 75, EXIT_INDETERMINATE };
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (a == order[i] || b == order[i]) { return order[i]; }
    }
    return EXIT_VALID;
}

/* Names come from elsewhere and go to a terminal: what could move its cursor is shown as "?". */
static void print_plain(const char *s)
{
    size_t n = strlen(s), good = kluis_utf8_valid(s, n);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool c1 = c == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0;
        putchar(c < 0x20 || c == 0x7f || i >= good || c1 ? '?' : c);
        if (c1) { i++; }
    }
}

static void print_time(const char *what, int64_t us)
{
    char when[KLUIS_TIME_TEXT];
    if (us == KLUIS_TIME_ABSENT) { return; }
    (void)kluis_time_text(when, us, 0, 0);
    printf("  %s %s\n", what, when);
}

static void print_text(const char *path, const struct kluis_verdict *v, const struct options *o)
{
    const enum lang lang = o->lang;
    print_plain(path);
    printf(": %s\n", word_verdict(lang, v->overall));
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        printf("  %-50s %s", word_layer(lang, (enum kluis_layer)l), word_state(lang, v->layer[l].state));
        if (v->layer[l].reason[0]) {
            printf(": ");
            print_plain(v->layer[l].reason);
        }
        putchar('\n');
    }
    print_time(word_proven(lang), v->proven_us);
    print_time(word_at(lang), o->at_us);
}

/* What a verdict is measured by, made ready by `load`: in the lane, while the first package is read. */
struct belief {
    const struct options *o;
    struct kluis_trust trust;
    struct kluis_arena *arena;
    struct kluis_buf text;
    int code; /* EXIT_VALID, or what the program ends with: load has complained */
};

static int judge(const char *path, struct kluis_str receipt, const struct belief *b, struct kluis_lane *lane)
{
    const struct options *o = b->o;
    struct kluis_err err = { 0 };
    struct kluis_verdict v;
    struct stat st;
    int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)(fd < 0 ? KLUIS_FAIL_SYS(&err, KLUIS_E_IO, "cannot read %s", path)
                      : KLUIS_FAIL(&err, KLUIS_E_IO, "cannot read %s: not a regular file", path));
        kluis_close_quiet(&fd);
        kluis_lane_wait(lane);
        return b->code != EXIT_VALID ? b->code : complain(&err);
    }
    /* A thread that reads ahead costs a small package more than it saves. */
    bool ahead = st.st_size > READ_AHEAD_FROM;
    struct readahead *ra = ahead ? readahead_start(fd, path) : NULL;
    kluis_status rc = KLUIS_E_NOMEM;
    memset(&v, 0, sizeof v);
    struct kluis_input_fd first = { fd, 0, path }, second = { fd, 0, path };
    struct kluis_input in = ra ? readahead_input(ra) : kluis_input_from_fd(&first), again = kluis_input_from_fd(&second);
    if (ra || !ahead) {
        rc = kluis_validate_content(&in, lane, NULL, o->at_us == KLUIS_TIME_ABSENT ? kluis_now_us() : o->at_us, &v, &err);
    } else {
        (void)KLUIS_FAIL(&err, KLUIS_E_NOMEM, "out of memory");
    }
    kluis_lane_wait(lane);
    if (rc == KLUIS_OK && b->code == EXIT_VALID) { rc = kluis_validate_proofs(&again, receipt, o->trust ? &b->trust : NULL, &v, &err); }
    readahead_stop(ra);
    kluis_close_quiet(&fd);
    int code = b->code;
    if (code != EXIT_VALID) {
        /* Without knowing whom to believe nothing is said about any package. */
    } else if (rc != KLUIS_OK) {
        kluis_err_prefix(&err, "%s", path);
        code = complain(&err);
    } else {
        KLUIS_AUTO_BUF(line, 64 << 10);
        if (o->json && kluis_verdict_json(&v, &line, &err) != KLUIS_OK) {
            code = complain(&err);
        } else {
            if (o->json) {
                (void)fwrite(line.data, 1, line.len, stdout); /* main asks stdout itself at the end */
            } else {
                print_text(path, &v, o);
            }
            code = v.overall == KLUIS_VALID ? EXIT_VALID : v.overall == KLUIS_INVALID ? EXIT_INVALID : EXIT_INDETERMINATE;
        }
    }
    kluis_verdict_clear(&v);
    return code;
}

/* Puts a revocation list beside those of the trust file.  The exit code, 0 when it is there. */
static int add_list(const char *path, struct kluis_arena *arena, struct kluis_trust *trust, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(der, KLUIS_CRL_MAX);
    if (kluis_read_file(path, KLUIS_CRL_MAX, &der, err) != KLUIS_OK) {
        (void)complain(err);
        return kluis_exit_code(KLUIS_E_IO);
    }
    kluis_status form = kluis_crl_check(kluis_buf_bytes(&der), err);
    if (form != KLUIS_OK) {
        kluis_err_prefix(err, "%s", path);
        (void)complain(err);
        return kluis_exit_code(form == KLUIS_E_NOMEM ? form : KLUIS_E_USAGE); /* not the package's fault */
    }
    struct kluis_bytes *more = kluis_arena_alloc(arena, (trust->n_crls + 1) * sizeof *more);
    uint8_t *copy = kluis_arena_alloc(arena, der.len);
    if (!more || !copy) { return kluis_exit_code(KLUIS_E_NOMEM); }
    memcpy(copy, der.data, der.len);
    if (trust->n_crls) { memcpy(more, trust->crls, trust->n_crls * sizeof *more); }
    more[trust->n_crls] = (struct kluis_bytes){ copy, der.len };
    trust->crls = more;
    trust->n_crls++;
    return EXIT_VALID;
}

/* Of the option's file.  Exit codes: what is no trust file is not the package's fault. */
static int load_trust(struct belief *b, struct kluis_err *err)
{
    const char *path = b->o->trust;
    b->arena = kluis_arena_new(4 * (size_t)TRUST_MAX + (KLUIS_CRLS_MAX + 1) * (size_t)KLUIS_CRL_MAX);
    if (!b->arena) { return kluis_exit_code(KLUIS_E_NOMEM); }
    if (kluis_read_file(path, TRUST_MAX, &b->text, err) != KLUIS_OK) {
        (void)complain(err);
        return kluis_exit_code(KLUIS_E_IO);
    }
    kluis_status read = kluis_trust_read((struct kluis_str){ (const char *)b->text.data, b->text.len }, b->arena, &b->trust, err);
    if (read != KLUIS_OK) {
        (void)complain(err);
        return kluis_exit_code(read == KLUIS_E_NOMEM ? read : KLUIS_E_USAGE);
    }
    return EXIT_VALID;
}

static void load(void *ctx, const uint8_t *p, size_t n)
{
    struct belief *b = ctx;
    struct kluis_err err = { 0 };
    (void)p, (void)n;
    if (kluis_seal_start(&err) != KLUIS_OK) {
        b->code = complain(&err);
        return;
    }
    if (b->o->trust) { b->code = load_trust(b, &err); }
    for (size_t i = 0; i < b->o->n_lists && b->code == EXIT_VALID; i++) { b->code = add_list(b->o->list[i], b->arena, &b->trust, &err); }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        { "trust", required_argument, NULL, 't' }, { "receipt", required_argument, NULL, 'r' }, { "at", required_argument, NULL, 'a' },
        { "crl", required_argument, NULL, 'c' },   { "json", no_argument, NULL, 'j' },          { "lang", required_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },        { "version", no_argument, NULL, 'V' },       { NULL, 0, NULL, 0 }
    };
    struct options o = { .lang = LANG_EN, .at_us = KLUIS_TIME_ABSENT };
    bool help = false;
    int offset = 0, digits = 0; /* of --at: any will do */
    opterr = 0;
    kluis_memory_keep();
    for (int c; (c = getopt_long(argc, argv, ":", longs, NULL)) != -1;) { // NOLINT(concurrency-mt-unsafe): no thread runs yet
        switch (c) {
        case 't': o.trust = optarg; break;
        case 'r': o.receipt = optarg; break;
        case 'c':
            if (o.n_lists == KLUIS_CRLS_MAX) { return usage("too many --crl", NULL); }
            o.list[o.n_lists++] = optarg;
            break;
        case 'a':
            if (!kluis_time_parse(kluis_str_of(optarg), &o.at_us, &offset, &digits)) {
                return usage("--at is no time such as 2046-01-31T12:00:00Z", NULL);
            }
            break;
        case 'j': o.json = true; break;
        case 'h': help = true; break;
        case 'l':
            if (strcmp(optarg, "nl") != 0 && strcmp(optarg, "en") != 0) { return usage("--lang is en or nl", NULL); }
            o.lang = optarg[0] == 'n' ? LANG_NL : LANG_EN;
            break;
        case 'V': puts("chatkluis-verify " KLUIS_VERSION); return EXIT_VALID;
        case ':': return usage("a value is missing after ", argv[optind - 1]);
        default: return usage("unknown option ", argv[optind - 1]);
        }
    }
    if (help) { return fputs(word_help(o.lang), stdout) == EOF ? kluis_exit_code(KLUIS_E_IO) : EXIT_VALID; }
    if (optind == argc) { return usage("name at least one package", NULL); }
    if (o.n_lists && !o.trust) { return usage("a --crl is believed for an authority of a --trust file: name one", NULL); }
    if (o.receipt && argc - optind > 1) { return usage("a receipt belongs to one package: name only that one", NULL); }

    struct kluis_err err = { 0 };
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    if (kluis_base_init(&err) != KLUIS_OK) { return complain(&err); }
    struct belief b = { .o = &o };
    kluis_buf_init(&b.text, TRUST_MAX);
    struct kluis_lane *lane = kluis_lane_new();
    kluis_lane_give(lane, load, &b, NULL, 0);
    int code = EXIT_VALID;
    if (o.receipt && kluis_read_file(o.receipt, KLUIS_RECEIPT_MAX, &receipt, &err) != KLUIS_OK) {
        kluis_lane_wait(lane);
        if (b.code == EXIT_VALID) {
            (void)complain(&err);
            b.code = kluis_exit_code(KLUIS_E_IO);
        }
        argc = optind; /* nothing is judged without it */
    }
    struct kluis_str text = { o.receipt ? (receipt.data ? (const char *)receipt.data : "") : NULL, receipt.len };
    for (int i = optind; i < argc; i++) {
        code = worse(code, judge(argv[i], text, &b, lane));
        if (b.code != EXIT_VALID) { break; } /* known since the lane was waited for */
    }
    kluis_lane_free(lane);
    kluis_arena_free(b.arena);
    kluis_buf_free(&b.text);
    if (b.code != EXIT_VALID) { return b.code; }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        (void)KLUIS_FAIL_SYS(&err, KLUIS_E_IO, "cannot write the verdict");
        return complain(&err);
    }
    return code;
}
