/* texts.c - see texts.h. */
#include "texts.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>

enum { SUCCESSORS = 4, FREQUENT = 80, WORDS_MAX = 300000 };
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

double texts_uniform(void) { return (double)(next() >> 11) * 0x1p-53; }
uint32_t texts_below(uint32_t n) { return (uint32_t)(texts_uniform() * n); }

static double normal(void)
{
    double u = texts_uniform();
    return sqrt(-2.0 * log(u > 0 ? u : 0x1p-53)) * cos(6.283185307179586 * texts_uniform());
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
        fprintf(stderr, "bench: out of memory\n");
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
    uint32_t i = texts_below((uint32_t)n_words);
    return texts_uniform() < alias_p[i] ? i : alias_to[i];
}

void texts_begin(const char *path)
{
    uint64_t seed = SEED;
    for (int i = 0; i < 4; i++) { state[i] = splitmix(&seed); }
    FILE *f = fopen(path, "r");
    struct weighted *w = kluis_malloc(WORDS_MAX * sizeof *w);
    need(w);
    if (f == NULL) {
        fprintf(stderr, "bench: no word list at %s: install the package wdutch\n", path);
        exit(74);
    }
    size_t n = 0;
    char line[256];
    while (fgets(line, sizeof line, f) != NULL && n < WORDS_MAX - FREQUENT) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!usable(line)) { continue; }
        w[n].word = kluis_strdup(line);
        need(w[n].word);
        w[n].key = (double)strlen(line) + 9 * texts_uniform();
        n++;
    }
    if (ferror(f) || fclose(f) != 0) {
        fprintf(stderr, "bench: cannot read %s\n", path);
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
    if (at + n >= TEXTS_MAX) { return at; }
    memcpy(to + at, s, n);
    return at + n;
}

size_t texts_message(char out[TEXTS_MAX])
{
    static const char *const emoji[] = { "👍", "🙂", "😬", "🎉", "🙏", "✅" };
    int n = (int)exp(LOG_MEAN + LOG_SD * normal());
    n = n < 1 ? 1 : n > 120 ? 120 : n;
    size_t at = 0;
    uint32_t w = zipf();
    for (int i = 0; i < n; i++) {
        char special[64];
        double kind = texts_uniform();
        if (i > 0) { at = put(out, at, " "); }
        if (kind < 0.004) {
            (void)snprintf(special, sizeof special, "zk%04u-%06u", 2021 + texts_below(5), texts_below(1000000));
            at = put(out, at, special);
        } else if (kind < 0.012) {
            (void)snprintf(special, sizeof special, "%u", texts_below(1000));
            at = put(out, at, special);
        } else if (kind < 0.013) {
            (void)snprintf(special, sizeof special, "https://www.voorbeeld.nl/%s", words[zipf()]);
            at = put(out, at, special);
        } else {
            at = put(out, at, words[w]);
        }
        if (i + 1 < n && texts_uniform() < 0.05) { at = put(out, at, ","); }
        w = texts_uniform() < SUCCESSOR_P ? successor[w * SUCCESSORS + (next() & next() & (SUCCESSORS - 1))] : zipf();
    }
    if (out[0] >= 'a' && out[0] <= 'z') { out[0] = (char)(out[0] - 32); }
    double e = texts_uniform();
    if (e < 0.35) {
        at = put(out, at, ".");
    } else if (e < 0.45) {
        at = put(out, at, "?");
    } else if (e < 0.55) {
        at = put(out, at, " ");
        at = put(out, at, emoji[texts_below(6)]);
    } else if (e < 0.56) {
        at = put(out, at, "\n");
        at = put(out, at, words[zipf()]);
    }
    out[at] = '\0';
    return at;
}

FILE *texts_create(const char *dir, const char *name)
{
    char path[KLUIS_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "bench: cannot create %s: %s\n", path, strerror(errno));
        exit(74);
    }
    return f;
}

void texts_finish(FILE *f)
{
    if (ferror(f) || fclose(f) != 0) {
        fprintf(stderr, "bench: cannot write\n");
        exit(74);
    }
}

FILE *texts_create_in(const char *dir, const char *sub, unsigned number)
{
    char path[KLUIS_PATH_MAX], name[64];
    (void)snprintf(path, sizeof path, "%s/%s", dir, sub);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "bench: cannot create %s\n", path);
        exit(74);
    }
    (void)snprintf(path, sizeof path, "%s/%s/%04u", dir, sub, number);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "bench: cannot create %s\n", path);
        exit(74);
    }
    (void)snprintf(name, sizeof name, "WhatsApp-chat met chat-%04u.txt", number);
    return texts_create(path, name);
}

void texts_header(FILE *f, int64_t s, uint32_t sender)
{
    int y, m, d;
    kluis_civil_from_days(s / 86400, &y, &m, &d);
    int64_t of_day = s % 86400;
    fprintf(f, "%02d-%02d-%04d %02d:%02d - Afzender %04u: ", d, m, y, (int)(of_day / 3600), (int)(of_day / 60 % 60), sender);
}
