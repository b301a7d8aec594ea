/* tests/bench/workload.c - the workload of docs/PERFORMANCE.md: Dutch-like chats from stated parameters and one seed.
 *
 * workload MESSAGES DIR [WORDLIST]: writes DIR/texts.tsv (time s, conversation, sender, text: one line a message, in time order),
 * DIR/one (all of them as one WhatsApp export) and DIR/chats/NNNN/WhatsApp-chat met chat-NNNN.txt (grouped by conversation).
 *
 * A package ends with a calendar month, so how many messages it holds is a matter of how busy the chat is.  The same messages again,
 * dealt over fewer chats: DIR/m500 (about 500 a chat and month), DIR/m12 (about 12; at most 24,000 messages, evenly drawn), and
 * DIR/back (as m500,
 * each month of each chat a chat of its own, the last month first in order of name).
 * Invented text only.  The word list is Debian's wdutch; without it the run refuses: another vocabulary is another workload.
 */
#include "kluis/base.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>

enum { CONVERSATIONS = 2000, SENDERS = 5000, SUCCESSORS = 4, FREQUENT = 80, WORDS_MAX = 300000, TEXT = 2048 };
static const uint64_t SEED = 20260101;
static const double LOG_MEAN = 2.17, LOG_SD = 0.8, SUCCESSOR_P = 0.45;

static uint64_t state[4];

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static uint64_t next(void) /* xoshiro256** */
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

static double uniform(void) { return (double)(next() >> 11) * 0x1p-53; }
static uint32_t below(uint32_t n) { return (uint32_t)(uniform() * n); }

static double normal(void)
{
    double u = uniform();
    return sqrt(-2.0 * log(u > 0 ? u : 0x1p-53)) * cos(6.283185307179586 * uniform());
}

static const char *const frequent[FREQUENT] = { "ik",       "je",         "het",     "de",         "dat",      "is",        "een",        "en",
                                                "niet",     "van",        "we",      "in",         "op",       "te",        "maar",       "met",
                                                "voor",     "er",         "zijn",    "die",        "wel",      "ook",       "als",        "om",
                                                "nog",      "aan",        "dan",     "naar",       "kan",      "al",        "heb",        "wat",
                                                "goed",     "even",       "hebben",  "moet",       "nu",       "bij",       "dit",        "of",
                                                "uit",      "gaan",       "morgen",  "vandaag",    "graag",    "dank",      "over",       "weer",
                                                "zo",       "hij",        "ze",      "akkoord",    "nota",     "besluit",   "overleg",    "stuk",
                                                "kamer",    "minister",   "brief",   "vergunning", "dossier",  "planning",  "budget",     "vraag",
                                                "antwoord", "stuurgroep", "agenda",  "beleid",     "gemeente", "provincie", "waterschap", "advies",
                                                "concept",  "verslag",    "termijn", "procedure",  "bezwaar",  "motie",     "archief",    "bijlage" };

static char *words[WORDS_MAX];
static size_t n_words;
static double *alias_p;
static uint32_t *alias_to, *successor;

struct weighted {
    double key;
    char *word;
};

static int by_key(const void *a, const void *b)
{
    const struct weighted *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key ? 1 : strcmp(x->word, y->word);
}

static bool usable(const char *w)
{
    size_t n = strlen(w);
    for (size_t i = 0; i < FREQUENT; i++) {
        if (strcmp(w, frequent[i]) == 0) { return false; } /* it has its own rank already */
    }
    if (n < 2 || n > 14) { return false; }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)w[i];
        if ((c >= 'A' && c <= 'Z') || c == ' ' || c == '-' || c == '\'' || c == '.' || c == '/') { return false; }
    }
    return true;
}

static void need(const void *p)
{
    if (p == NULL) {
        fprintf(stderr, "workload: out of memory\n");
        exit(75);
    }
}

/* Walker's alias table over P(rank i) ~ (i + 2.7)^-1.05. */
static void make_alias(void)
{
    double sum = 0, *p = kluis_malloc(n_words * sizeof *p);
    uint32_t *small = kluis_malloc(n_words * sizeof *small), *large = kluis_malloc(n_words * sizeof *large);
    alias_p = kluis_malloc(n_words * sizeof *alias_p);
    alias_to = kluis_malloc(n_words * sizeof *alias_to);
    need(p);
    need(small);
    need(large);
    need(alias_p);
    need(alias_to);
    for (size_t i = 0; i < n_words; i++) { sum += p[i] = pow((double)i + 2.7, -1.05); }
    size_t ns = 0, nl = 0;
    for (size_t i = 0; i < n_words; i++) {
        p[i] *= (double)n_words / sum;
        if (p[i] < 1) {
            small[ns++] = (uint32_t)i;
        } else {
            large[nl++] = (uint32_t)i;
        }
    }
    while (ns > 0 && nl > 0) {
        uint32_t s = small[--ns], l = large[nl - 1];
        alias_p[s] = p[s];
        alias_to[s] = l;
        p[l] -= 1 - p[s];
        if (p[l] < 1) {
            nl--;
            small[ns++] = l;
        }
    }
    while (nl > 0) { alias_p[large[--nl]] = 1; }
    while (ns > 0) { alias_p[small[--ns]] = 1; }
    kluis_free(p);
    kluis_free(small);
    kluis_free(large);
}

static uint32_t zipf(void)
{
    uint32_t i = below((uint32_t)n_words);
    return uniform() < alias_p[i] ? i : alias_to[i];
}

static void load_words(const char *path)
{
    FILE *f = fopen(path, "r");
    struct weighted *w = kluis_malloc(WORDS_MAX * sizeof *w);
    need(w);
    if (f == NULL) {
        fprintf(stderr, "workload: no word list at %s: install the package wdutch\n", path);
        exit(74);
    }
    size_t n = 0;
    char line[256];
    while (fgets(line, sizeof line, f) != NULL && n < WORDS_MAX - FREQUENT) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!usable(line)) { continue; }
        w[n].word = kluis_strdup(line);
        need(w[n].word);
        w[n].key = (double)strlen(line) + 9 * uniform();
        n++;
    }
    if (ferror(f) || fclose(f) != 0) {
        fprintf(stderr, "workload: cannot read %s\n", path);
        exit(74);
    }
    qsort(w, n, sizeof *w, by_key);
    for (size_t i = 0; i < FREQUENT; i++) {
        words[n_words] = kluis_strdup(frequent[i]);
        need(words[n_words++]);
    }
    for (size_t i = 0; i < n; i++) { words[n_words++] = w[i].word; } /* the list itself has no word twice */
    kluis_free(w);
    make_alias();
    successor = kluis_malloc(n_words * SUCCESSORS * sizeof *successor);
    need(successor);
    for (size_t i = 0; i < n_words * SUCCESSORS; i++) { successor[i] = zipf(); }
}

static size_t put(char *to, size_t at, const char *s)
{
    size_t n = strlen(s);
    if (at + n >= TEXT) { return at; }
    memcpy(to + at, s, n);
    return at + n;
}

/* One message's text; '\n' marks a continuation line. */
static size_t message(char out[TEXT])
{
    static const char *const emoji[] = { "👍", "🙂", "😬", "🎉", "🙏", "✅" };
    int n = (int)exp(LOG_MEAN + LOG_SD * normal());
    n = n < 1 ? 1 : n > 120 ? 120 : n;
    size_t at = 0;
    uint32_t w = zipf();
    for (int i = 0; i < n; i++) {
        char special[64];
        double kind = uniform();
        if (i > 0) { at = put(out, at, " "); }
        if (kind < 0.004) {
            (void)snprintf(special, sizeof special, "zk%04u-%06u", 2021 + below(5), below(1000000));
            at = put(out, at, special);
        } else if (kind < 0.012) {
            (void)snprintf(special, sizeof special, "%u", below(1000));
            at = put(out, at, special);
        } else if (kind < 0.013) {
            (void)snprintf(special, sizeof special, "https://www.voorbeeld.nl/%s", words[zipf()]);
            at = put(out, at, special);
        } else {
            at = put(out, at, words[w]);
        }
        if (i + 1 < n && uniform() < 0.05) { at = put(out, at, ","); }
        w = uniform() < SUCCESSOR_P ? successor[w * SUCCESSORS + (next() & next() & (SUCCESSORS - 1))] : zipf();
    }
    if (out[0] >= 'a' && out[0] <= 'z') { out[0] = (char)(out[0] - 32); }
    double e = uniform();
    if (e < 0.35) {
        at = put(out, at, ".");
    } else if (e < 0.45) {
        at = put(out, at, "?");
    } else if (e < 0.55) {
        at = put(out, at, " ");
        at = put(out, at, emoji[below(6)]);
    } else if (e < 0.56) {
        at = put(out, at, "\n");
        at = put(out, at, words[zipf()]);
    }
    out[at] = '\0';
    return at;
}

static FILE *create(const char *dir, const char *name)
{
    char path[KLUIS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "workload: cannot create %s: %s\n", path, strerror(errno));
        exit(74);
    }
    return f;
}

static void finish(FILE *f)
{
    if (ferror(f) || fclose(f) != 0) {
        fprintf(stderr, "workload: cannot write\n");
        exit(74);
    }
}

static FILE *create_in(const char *dir, const char *sub, unsigned number)
{
    char path[KLUIS_PATH_MAX], name[64];
    (void)snprintf(path, sizeof path, "%s/%s", dir, sub);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "workload: cannot create %s\n", path);
        exit(74);
    }
    (void)snprintf(path, sizeof path, "%s/%s/%04u", dir, sub, number);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "workload: cannot create %s\n", path);
        exit(74);
    }
    (void)snprintf(name, sizeof name, "WhatsApp-chat met chat-%04u.txt", number);
    return create(path, name);
}

/* Naive local clock: the export's zone is declared as UTC by whoever reads it (option zone=UTC). */
static void header(FILE *f, int64_t s, uint32_t sender)
{
    int y, m, d;
    kluis_civil_from_days(s / 86400, &y, &m, &d);
    int64_t of_day = s % 86400;
    fprintf(f, "%02d-%02d-%04d %02d:%02d - Afzender %04u: ", d, m, y, (int)(of_day / 3600), (int)(of_day / 60 % 60), sender);
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    if (argc < 3 || kluis_base_init(&err) != KLUIS_OK) {
        fprintf(stderr, "usage: workload MESSAGES DIR [WORDLIST]\n");
        return 64;
    }
    uint64_t n = strtoull(argv[1], NULL, 10), seed = SEED;
    const char *dir = argv[2];
    for (int i = 0; i < 4; i++) { state[i] = splitmix(&seed); }
    load_words(argc > 3 ? argv[3] : "/usr/share/dict/dutch");
    /* Conversations ~ (i + 10)^-0.8; 70 % have two members, the rest 3 to 40. */
    static double cumulative[CONVERSATIONS];
    static uint32_t first_member[CONVERSATIONS], members[CONVERSATIONS];
    static FILE *chat[CONVERSATIONS];
    double sum = 0;
    for (int i = 0; i < CONVERSATIONS; i++) {
        cumulative[i] = sum += pow(i + 10, -0.8);
        members[i] = uniform() < 0.7 ? 2 : 3 + below(38);
        first_member[i] = below(SENDERS);
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "workload: cannot create %s\n", dir);
        return 74;
    }
    char path[KLUIS_PATH_MAX], text[TEXT];
    (void)snprintf(path, sizeof path, "%s/chats", dir);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
    (void)snprintf(path, sizeof path, "%s/back", dir);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
    FILE *tsv = create(dir, "texts.tsv"), *one = create_in(dir, "one", 0);
    enum { MONTHS = 60, MANY = 500, FEW = 12, FEW_MAX = 24000 };
    static FILE *m500[CONVERSATIONS], *m12[CONVERSATIONS], *back[CONVERSATIONS];
    uint64_t every = n > FEW_MAX ? n / FEW_MAX : 1;
    unsigned n500 = (unsigned)(n / (MONTHS * MANY)), n12 = (unsigned)(n / every / (MONTHS * FEW));
    n500 = n500 < 1 ? 1 : n500 > CONVERSATIONS ? CONVERSATIONS : n500;
    n12 = n12 < 1 ? 1 : n12;
    int month_now = -1;
    double t = 1609459200.0, step = 5 * 365.25 * 86400 / (double)n; /* five years from 2021-01-01 */
    for (uint64_t k = 0; k < n; k++) {
        t += -log(1 - uniform()) * step;
        double u = uniform() * sum;
        int lo = 0, hi = CONVERSATIONS - 1;
        while (lo < hi) {
            int mid = (lo + hi) / 2;
            if (cumulative[mid] < u) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        uint32_t sender = (first_member[lo] + below(members[lo]) * 7) % SENDERS;
        size_t len = message(text);
        int64_t s = (int64_t)t;
        if (chat[lo] == NULL) {
            (void)snprintf(path, sizeof path, "%s/chats/%04d", dir, lo);
            if (mkdir(path, 0755) != 0 && errno != EEXIST) { return 74; }
            char name[64];
            (void)snprintf(name, sizeof name, "WhatsApp-chat met chat-%04d.txt", lo);
            chat[lo] = create(path, name);
        }
        header(chat[lo], s, sender);
        fprintf(chat[lo], "%s\n", text);
        header(one, s, (first_member[0] + sender % 40 * 7) % SENDERS);
        fprintf(one, "%s\n", text);
        unsigned c500 = (unsigned)(k % n500), c12 = (unsigned)(k / every % n12);
        int y, month, d;
        kluis_civil_from_days(s / 86400, &y, &month, &d);
        month += 12 * (y - 2021) - 1;
        for (unsigned i = 0; month != month_now && i < n500; i++) {
            char sub[32];
            if (back[i] != NULL) { finish(back[i]); }
            (void)snprintf(sub, sizeof sub, "back/%02d", 99 - month);
            back[i] = create_in(dir, sub, (unsigned)month * 100 + i); /* a chat of its own */
        }
        month_now = month;
        FILE *into[3] = { m500[c500], back[c500], NULL };
        if (into[0] == NULL) { into[0] = m500[c500] = create_in(dir, "m500", c500); }
        if (k % every == 0) {
            if (m12[c12] == NULL) { m12[c12] = create_in(dir, "m12", c12); }
            into[2] = m12[c12];
        }
        for (size_t i = 0; i < 3; i++) {
            if (into[i] == NULL) { continue; }
            unsigned c = i == 2 ? c12 : c500; /* its own members, as of any chat */
            header(into[i], s, (first_member[c] + sender % members[c] * 7) % SENDERS);
            fprintf(into[i], "%s\n", text);
        }
        for (size_t i = 0; i < len; i++) {
            if (text[i] == '\n') { text[i] = ' '; }
        }
        fprintf(tsv, "%lld\t%d\t%u\t%s\n", (long long)s, lo, sender, text);
    }
    finish(tsv);
    finish(one);
    for (int i = 0; i < CONVERSATIONS; i++) {
        FILE *const all[4] = { chat[i], m500[i], m12[i], back[i] };
        for (size_t j = 0; j < 4; j++) {
            if (all[j] != NULL) { finish(all[j]); }
        }
    }
    return 0;
}
