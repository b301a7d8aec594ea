/* tests/bench/index_bench.c - records a second into the index against bare SQLite+FTS5 (variant B), and search latencies.
 *
 * index_bench DIRECTORY [RECORDS] [ROUNDS] [ORDER: time | conversation | reverse | random] [CONVERSATIONS].  Own workload: words of a Zipf
 * vocabulary with successors, 2,000 conversations unless said otherwise (fewer: larger packages), five years, packages of one conversation and month
 * of at most 500.  Variant B: plain file, external content, hash of 64 MB, batches of 50,000 in time order, the same tokenizer, an index on
 * (conversation, id).  Medians of alternating rounds.
 */
#include "server/index/internal.h"

#include <math.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WORDS = 60000, CONVERSATIONS_MAX = 2000, BATCH = 10000, YEARS = 5 };

static uint64_t state[4];
static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }
static uint64_t next(void)
{
    uint64_t r = rotl(state[1] * 5, 7) * 9, t = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotl(state[3], 45);
    return r;
}
static double uniform(void) { return (double)(next() >> 11) / 9007199254740992.0; }

static char word[WORDS][16];
static double cdf[WORDS];
static unsigned follow[WORDS][4];

static unsigned zipf(void)
{
    double u = uniform() * cdf[WORDS - 1];
    unsigned lo = 0, hi = WORDS - 1;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (cdf[mid] < u) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static void vocabulary(void)
{
    static const char *const syllables[] = { "be",  "ge",   "ver", "de",  "ka",  "lo",  "mi",  "ster", "dam",   "huis",
                                             "ren", "ting", "op",  "aan", "zo",  "wij", "kel", "den",  "broek", "land",
                                             "pad", "na",   "te",  "ri",  "sen", "vo",  "el",  "ik",   "ur",    "oom" };
    uint64_t seed = 20260101;
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        state[i] = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    }
    double sum = 0;
    for (unsigned i = 0; i < WORDS; i++) {
        unsigned n = i < 80 ? 1 : 2 + (unsigned)(next() % 3), at = 0, v = i;
        for (unsigned k = 0; k < n && at < 11; k++, v /= 30) { at += (unsigned)snprintf(word[i] + at, sizeof word[i] - at, "%s", syllables[v % 30]); }
        if (i >= 30) { (void)snprintf(word[i] + at, sizeof word[i] - at, "%c%c", 'a' + (char)(i % 26), 'a' + (char)(i / 26 % 26)); }
        sum += pow(i + 2.7, -1.05);
        cdf[i] = sum;
    }
    for (unsigned i = 0; i < WORDS; i++) {
        for (int k = 0; k < 4; k++) { follow[i][k] = zipf(); }
    }
}

struct message {
    int64_t at;
    uint32_t conv, text, len;
};
static int conversations = CONVERSATIONS_MAX;
static struct message *msg;
static char *texts;

static void messages(size_t n)
{
    double conv[CONVERSATIONS_MAX], sum = 0;
    for (int i = 0; i < conversations; i++) {
        sum += pow(i + 10, -0.8);
        conv[i] = sum;
    }
    msg = kluis_calloc(n, sizeof *msg);
    size_t cap = n * 110 + 4096, at = 0;
    texts = kluis_malloc(cap);
    if (msg == NULL || texts == NULL) { exit(74); }
    int64_t t = INT64_C(1609459200000000);
    double step = YEARS * 365.25 * 86400e6 / (double)n;
    for (size_t i = 0; i < n; i++) {
        t += (int64_t)(-log(1 - uniform()) * step);
        double u = uniform() * sum;
        uint32_t c = 0;
        while (conv[c] < u) { c++; }
        double normal = sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
        int words = (int)exp(2.17 + 0.8 * normal);
        words = words < 1 ? 1 : words > 120 ? 120 : words;
        msg[i] = (struct message){ t - t % 1000000, c, (uint32_t)at, 0 };
        unsigned w = zipf();
        for (int k = 0; k < words && at + 64 < cap; k++) {
            if (uniform() < 0.004) {
                at += (size_t)snprintf(texts + at, 64, "%szk%u-%06u", k == 0 ? "" : " ", 2021 + (unsigned)(next() % 5), (unsigned)(next() % 1000000));
            } else {
                at += (size_t)snprintf(texts + at, 64, "%s%s", k == 0 ? "" : " ", word[w]);
            }
            w = uniform() < 0.45 ? follow[w][next() % 4] : zipf();
        }
        msg[i].len = (uint32_t)(at - msg[i].text);
    }
}

static struct kluis_str text_of(const struct message *m) { return (struct kluis_str){ texts + m->text, m->len }; }

static void must(kluis_status rc, const struct kluis_err *err)
{
    if (rc == KLUIS_OK) { return; }
    (void)fprintf(stderr, "index_bench: %s\n", err->msg);
    exit(74);
}

static double cpu(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double thread_cpu(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_THREAD, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct cost {
    double wall, cpu;
};

static void clear_dir(const char *dir)
{
    char cmd[1200];
    (void)snprintf(cmd, sizeof cmd, "rm -rf '%s' && mkdir -p '%s'", dir, dir);
    if (system(cmd) != 0) { exit(74); }
}

static struct cost variant_b(const char *dir, size_t n)
{
    char path[600];
    clear_dir(dir);
    (void)snprintf(path, sizeof path, "%s/b.db", dir);
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK || itoken_register(db) != SQLITE_OK) { exit(74); }
    if (sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;"
                     "CREATE TABLE m(id INTEGER PRIMARY KEY, conv INTEGER, sent INTEGER, author INTEGER, text TEXT); CREATE INDEX mc ON m(conv, id);"
                     "CREATE VIRTUAL TABLE f USING fts5(text, content='m', content_rowid='id', tokenize='kluis'); INSERT INTO f(f, rank) "
                     "VALUES('hashsize', 67108864);",
                     NULL, NULL, NULL) != SQLITE_OK) {
        exit(74);
    }
    sqlite3_stmt *a = NULL, *b = NULL;
    if (sqlite3_prepare_v2(db, "INSERT INTO m VALUES(?1, ?2, ?3, ?4, ?5)", -1, &a, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "INSERT INTO f(rowid, text) VALUES(?1, ?2)", -1, &b, NULL) != SQLITE_OK) {
        exit(74);
    }
    struct cost c = { (double)kluis_monotonic_us(), cpu() };
    for (size_t i = 0; i < n; i++) {
        if (i % 50000 == 0) { (void)sqlite3_exec(db, "BEGIN", NULL, NULL, NULL); }
        struct kluis_str t = text_of(&msg[i]);
        (void)sqlite3_bind_int64(a, 1, (int64_t)i + 1);
        (void)sqlite3_bind_int64(a, 2, msg[i].conv);
        (void)sqlite3_bind_int64(a, 3, msg[i].at);
        (void)sqlite3_bind_int64(a, 4, msg[i].conv % 7);
        (void)sqlite3_bind_text(a, 5, t.ptr, (int)t.len, SQLITE_STATIC);
        (void)sqlite3_bind_int64(b, 1, (int64_t)i + 1);
        (void)sqlite3_bind_text(b, 2, t.ptr, (int)t.len, SQLITE_STATIC);
        if (sqlite3_step(a) != SQLITE_DONE || sqlite3_step(b) != SQLITE_DONE) { exit(74); }
        (void)sqlite3_reset(a);
        (void)sqlite3_reset(b);
        if (i % 50000 == 49999 || i + 1 == n) {
            if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) { exit(74); }
        }
    }
    c = (struct cost){ ((double)kluis_monotonic_us() - c.wall) / 1e6, cpu() - c.cpu };
    (void)sqlite3_finalize(a);
    (void)sqlite3_finalize(b);
    (void)sqlite3_close(db);
    return c;
}

/* Packages: one conversation, one month, at most 500. */
struct slice {
    size_t first, n;
    int64_t closed;
};
static uint32_t *order_of;
static struct slice *slices;
static size_t n_slices;

static int by_conversation(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    if (msg[*x].conv != msg[*y].conv) { return msg[*x].conv < msg[*y].conv ? -1 : 1; }
    return *x < *y ? -1 : *x > *y;
}
static int by_closing(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return x->closed < y->closed ? -1 : x->closed > y->closed;
}

static void slice_up(size_t n, const char *order)
{
    order_of = kluis_calloc(n, sizeof *order_of);
    slices = kluis_calloc(n, sizeof *slices);
    if (order_of == NULL || slices == NULL) { exit(74); }
    for (size_t i = 0; i < n; i++) { order_of[i] = (uint32_t)i; }
    qsort(order_of, n, sizeof *order_of, by_conversation);
    const int64_t month = INT64_C(30) * 86400000000;
    for (size_t i = 0; i < n;) {
        size_t k = i + 1;
        while (k < n && k - i < 500 && msg[order_of[k]].conv == msg[order_of[i]].conv && msg[order_of[k]].at / month == msg[order_of[i]].at / month) {
            k++;
        }
        slices[n_slices++] = (struct slice){ i, k - i, msg[order_of[k - 1]].at };
        i = k;
    }
    if (strcmp(order, "conversation") == 0) { return; }
    qsort(slices, n_slices, sizeof *slices, by_closing);
    for (size_t i = 0; strcmp(order, "reverse") == 0 && i < n_slices / 2; i++) {
        struct slice t = slices[i];
        slices[i] = slices[n_slices - 1 - i];
        slices[n_slices - 1 - i] = t;
    }
    for (size_t i = n_slices; strcmp(order, "random") == 0 && i > 1; i--) {
        size_t k = next() % i;
        struct slice t = slices[i - 1];
        slices[i - 1] = slices[k];
        slices[k] = t;
    }
}

static struct cost ours(const char *dir, struct index **out)
{
    static struct index_row rows[500];
    static const uint8_t master[32] = { 1 };
    static const struct kluis_party people[7] = { { .name = { "Een", 3 } },  { .name = { "Twee", 4 } }, { .name = { "Drie", 4 } },
                                                  { .name = { "Vier", 4 } }, { .name = { "Vijf", 4 } }, { .name = { "Zes", 3 } },
                                                  { .name = { "Zeven", 5 } } };
    struct kluis_err err = { 0 };
    clear_dir(dir);
    must(index_open(out, dir, master, &err), &err);
    struct cost c = { (double)kluis_monotonic_us(), cpu() };
    size_t batch = 0;
    for (size_t s = 0; s < n_slices; s++) {
        char id[32], official[32];
        const struct message *m = &msg[order_of[slices[s].first]];
        (void)snprintf(id, sizeof id, "gesprek-%u", m->conv);
        (void)snprintf(official, sizeof official, "ambtenaar-%u", m->conv % 20);
        for (size_t i = 0; i < slices[s].n; i++) {
            m = &msg[order_of[slices[s].first + i]];
            rows[i] =
                (struct index_row){ .ordinal = i + 1, .kind = KLUIS_MESSAGE, .author = (uint32_t)(i % 7), .sent_us = m->at, .text = text_of(m) };
        }
        struct index_package p = { .sequence = s + 1,
                                   .official = kluis_str_of(official),
                                   .device = kluis_str_of(official),
                                   .platform = KLUIS_STR_LIT("whatsapp"),
                                   .conversation_id = kluis_str_of(id),
                                   .conversation_name = kluis_str_of(id),
                                   .conversation_type = KLUIS_GROUP,
                                   .precision = KLUIS_PRECISION_SECOND,
                                   .provenance = KLUIS_STR_LIT("whatsapp-text"),
                                   .verdict = KLUIS_STR_LIT("valid"),
                                   .parties = people,
                                   .n_parties = 7,
                                   .self = KLUIS_NO_PARTY,
                                   .rows = rows,
                                   .n_rows = slices[s].n };
        kluis_sha256_of(&s, sizeof s, p.id);
        must(index_add(*out, &p, &err), &err);
        batch += slices[s].n;
        if (batch >= BATCH) {
            must(index_commit(*out, &err), &err);
            batch = 0;
        }
    }
    must(index_commit(*out, &err), &err);
    return (struct cost){ ((double)kluis_monotonic_us() - c.wall) / 1e6, cpu() - c.cpu };
}

static kluis_status ignore(KLUIS_UNUSED void *ctx, KLUIS_UNUSED const struct index_hit *h, KLUIS_UNUSED struct kluis_err *err)
{
    ++*(size_t *)ctx;
    return KLUIS_OK;
}

static int by_double(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void latencies(struct index *ix, const char *when, size_t n)
{
    static const char *const classes[] = { "rare",     "common",      "two common",      "common + conversation",
                                           "phrase",   "prefix of 4", "count of common", "relevance of common",
                                           "around 20" };
    for (size_t k = 0; k < sizeof classes / sizeof classes[0]; k++) {
        double ms[200];
        size_t found = 0, times = k == 7 ? 40 : 200;
        for (size_t i = 0; i < times; i++) {
            char text[64], id[32];
            struct kluis_err err = { 0 };
            struct index_query q = { .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT, .limit = 50 };
            struct index_result r;
            const struct index_sink sink = { &found, ignore };
            unsigned common = 1 + (unsigned)(next() % 40), rare = 20000 + (unsigned)(next() % 30000);
            (void)snprintf(text, sizeof text, "%s", word[common]);
            if (k == 0) { (void)snprintf(text, sizeof text, "%s", word[rare]); }
            if (k == 2) { (void)snprintf(text, sizeof text, "%s %s", word[common], word[(common + 3) % 60]); }
            if (k == 3) {
                (void)snprintf(id, sizeof id, "gesprek-%u", (unsigned)(next() % (unsigned)(conversations / 4 + 1)));
                q.conversation = kluis_str_of(id);
            }
            if (k == 4) { (void)snprintf(text, sizeof text, "\"%s %s\"", word[common + 50], word[follow[common + 50][0]]); }
            if (k == 5) { (void)snprintf(text, sizeof text, "%.4s*", word[rare]); }
            if (k == 6) { q.count = true; }
            if (k == 7) { q.order = INDEX_RELEVANCE; }
            q.text = kluis_str_of(text);
            int64_t t = kluis_monotonic_us();
            if (k == 8) {
                uint8_t package[32];
                size_t s = next() % n_slices;
                kluis_sha256_of(&s, sizeof s, package);
                must(index_around(ix, package, 1, 20, 20, &sink, &err), &err);
            } else {
                must(index_search(ix, &q, &sink, &r, &err), &err);
            }
            ms[i] = (double)(kluis_monotonic_us() - t) / 1000;
        }
        qsort(ms, times, sizeof ms[0], by_double);
        (void)printf("%zu %-10s %-22s p50 %7.3f ms  p99 %7.3f ms  (%zu hits)\n", n, when, classes[k], ms[times / 2], ms[times * 99 / 100], found);
    }
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    must(kluis_base_init(&err), &err);
    if (argc < 2) { return 64; }
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 300000, rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 5;
    const char *order = argc > 4 ? argv[4] : "time";
    if (argc > 5) { conversations = (int)strtol(argv[5], NULL, 10); }
    if (n == 0 || rounds == 0 || rounds > 20 || conversations < 1 || conversations > CONVERSATIONS_MAX) { return 64; }
    vocabulary();
    messages(n);
    slice_up(n, order);
    (void)printf("%zu records in %zu packages, %.1f bytes of text each, order: %s\n", n, n_slices,
                 (double)(msg[n - 1].text + msg[n - 1].len) / (double)n, order);
    double wall[20], proc[20];
    struct index *ix = NULL;
    for (size_t r = 0; r < rounds; r++) {
        char dir[512];
        (void)snprintf(dir, sizeof dir, "%s/b", argv[1]);
        struct cost b = variant_b(dir, n);
        (void)snprintf(dir, sizeof dir, "%s/index", argv[1]);
        index_close(ix);
        struct cost o = ours(dir, &ix);
        (void)printf("variant B %.2f us/record (cpu %.2f)   index %.2f us/record (cpu %.2f)   rate %.2f of B (cpu %.2f)\n", b.wall * 1e6 / (double)n,
                     b.cpu * 1e6 / (double)n, o.wall * 1e6 / (double)n, o.cpu * 1e6 / (double)n, b.wall / o.wall, b.cpu / o.cpu);
        wall[r] = b.wall / o.wall;
        proc[r] = b.cpu / o.cpu;
    }
    qsort(wall, rounds, sizeof wall[0], by_double);
    qsort(proc, rounds, sizeof proc[0], by_double);
    (void)printf("median of %zu: %.2f of variant B's rate, by CPU time %.2f\n", rounds, wall[rounds / 2], proc[rounds / 2]);
    latencies(ix, "hot", n);
    struct cost m = { (double)kluis_monotonic_us(), cpu() };
    double longest = 0, busiest = 0;
    for (bool more = true; more;) {
        int64_t t = kluis_monotonic_us();
        double own = thread_cpu();
        must(index_maintain(ix, &more, &err), &err);
        double ms = (double)(kluis_monotonic_us() - t) / 1000;
        own = (thread_cpu() - own) * 1000;
        longest = ms > longest ? ms : longest;
        busiest = own > busiest ? own : busiest;
    }
    (void)printf("moved to closed periods: %.2f us/record (cpu %.2f), longest call %.0f ms (of its own CPU %.0f ms)\n",
                 ((double)kluis_monotonic_us() - m.wall) / (double)n, (cpu() - m.cpu) * 1e6 / (double)n, longest, busiest);
    struct index_stats st;
    must(index_statistics(ix, &st, &err), &err);
    (void)printf("%.0f bytes a record on disk, %llu records, %llu sightings\n", (double)st.bytes / (double)n, (unsigned long long)st.records,
                 (unsigned long long)st.sightings);
    latencies(ix, "periods", n);
    index_close(ix);
    return 0;
}
