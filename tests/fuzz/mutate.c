/* tests/fuzz/mutate.c - see mutate.h. */
#include "tests/fuzz/mutate.h"

#include <time.h>

#include "tests/fuzz/fuzz.h"

struct piece {
    uint8_t *p;
    size_t n;
};
static struct piece seeds[MUTATE_SEEDS], words[MUTATE_WORDS];
static size_t n_seeds, n_words;
static uint64_t state;
static uint8_t input[MUTATE_MAX];
static size_t len;

static size_t below(size_t n)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return n == 0 ? 0 : (size_t)((state >> 33) % n);
}

static void keep(struct piece *to, const uint8_t *p, size_t n)
{
    to->p = kluis_malloc(n + 1);
    MUST(to->p != NULL);
    if (n > 0) { memcpy(to->p, p, n); }
    to->n = n;
}

static void let_go(void)
{
    for (size_t i = 0; i < n_seeds; i++) { kluis_free(seeds[i].p); }
    for (size_t i = 0; i < n_words; i++) { kluis_free(words[i].p); }
}

void mutate_seed(const uint8_t *p, size_t n)
{
    if (n_seeds == 0) { MUST(atexit(let_go) == 0); }
    if (n <= MUTATE_MAX && n_seeds < MUTATE_SEEDS) { keep(&seeds[n_seeds++], p, n); }
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* What stands between the quotes of a line; false: it is no word. */
static bool word(const char *s, const char *end)
{
    uint8_t w[256];
    size_t n = 0;
    if (end - s < 2 || *s != '"' || end[-1] != '"') { return false; }
    for (s++, end--; s < end; n++) {
        if (n == sizeof w) { return false; }
        if (*s != '\\') {
            w[n] = (uint8_t)*s++;
        } else if (end - s >= 2 && (s[1] == '\\' || s[1] == '"')) {
            w[n] = (uint8_t)s[1];
            s += 2;
        } else if (end - s >= 4 && s[1] == 'x' && digit(s[2]) >= 0 && digit(s[3]) >= 0) {
            w[n] = (uint8_t)(digit(s[2]) << 4 | digit(s[3]));
            s += 4;
        } else {
            return false;
        }
    }
    MUST(n_words < MUTATE_WORDS);
    keep(&words[n_words++], w, n);
    return true;
}

void mutate_words(const char *path)
{
    KLUIS_AUTO_BUF(b, 1 << 20);
    struct kluis_err err = { 0 };
    if (kluis_read_file(path, 1 << 20, &b, &err) != KLUIS_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    const char *s = (const char *)b.data, *end = s + b.len;
    for (unsigned line = 1; s < end; line++) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        if (stop == NULL) { stop = end; }
        if (stop > s && *s != '#' && !word(s, stop)) {
            (void)fprintf(stderr, "%s: line %u is no word of a dictionary\n", path, line);
            exit(1);
        }
        s = stop + 1;
    }
}

static void insert(size_t at, const uint8_t *p, size_t n)
{
    if (n > MUTATE_MAX - len) { return; }
    memmove(input + at + n, input + at, len - at);
    memcpy(input + at, p, n);
    len += n;
}

static void overwrite(size_t at, const uint8_t *p, size_t n)
{
    if (n > len - at) { n = len - at; }
    memmove(input + at, p, n);
}

static void change(void)
{
    static const uint8_t edge[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, '0', '"', '\n' };
    uint8_t own[64];
    size_t at = below(len), n = 1 + below(sizeof own), from = below(len);
    if (n > len - from) { n = len - from; }
    if (n > 0) { memcpy(own, input + from, n); }
    const struct piece *other = &seeds[below(n_seeds)], *w = n_words > 0 ? &words[below(n_words)] : NULL;
    switch (below(len == 0 ? 2 : 9)) {
    case 0: /* a word, or a piece of another seed */
        if (w != NULL) {
            insert(at, w->p, w->n);
        } else if (other->n > 0) {
            from = below(other->n);
            insert(at, other->p + from, 1 + below(other->n - from));
        }
        break;
    case 1: insert(at, &edge[below(sizeof edge)], 1); break;
    case 2: input[at] ^= (uint8_t)(1U << below(8)); break;
    case 3: input[at] = edge[below(sizeof edge)]; break;
    case 4: input[at] = (uint8_t)((size_t)input[at] + 249 + below(16)); break; /* up to eight more or seven less */
    case 5:                                                                    /* a piece less */
        n = 1 + below(len - at < 256 ? len - at : 256);
        memmove(input + at, input + at + n, len - at - n);
        len -= n;
        break;
    case 6: insert(at, own, n); break;
    case 7: overwrite(at, own, n); break;
    default: /* it goes on as another one does */
        from = below(other->n);
        len = at;
        if (other->n > 0) { insert(at, other->p + from, other->n - from < MUTATE_MAX - at ? other->n - from : MUTATE_MAX - at); }
    }
}

static uint64_t cpu_ms(void)
{
    struct timespec t = { 0, 0 };
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned long mutate_run(unsigned long n, unsigned ms, uint64_t start, void (*each)(const uint8_t *p, size_t n))
{
    uint64_t until = cpu_ms() + ms;
    unsigned long i = 0;
    for (; n_seeds > 0 && i < n && cpu_ms() < until; i++) {
        state = start + i * 0x9e3779b97f4a7c15U; /* each input is its own: one that fails is made again alone */
        const struct piece *s = &seeds[below(n_seeds)];
        memcpy(input, s->p, s->n);
        len = s->n;
        for (size_t k = 1 + below(6); k > 0; k--) { change(); }
        each(input, len);
    }
    return i;
}
