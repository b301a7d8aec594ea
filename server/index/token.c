/* server/index/token.c - text to search words: case and diacritics folded, nothing dropped that a phrase needs.  See internal.h.
 *
 * A word is a run of letters, digits and marks.  Han, kana and Hangul syllables, emoji and other symbols are a word each; a pair of regional
 * indicators is one.  Skin tones, variation selectors, joiners and invisible marks do not count.  Composed and decomposed forms
 * give the same words.  No stop words, no stemming: an archive must find "de" in a phrase.
 */
#include "server/index/fold.h"
#include "server/index/internal.h"

#include <pthread.h>
#include <sqlite3.h>

enum { FAST = 0x2100, WORD_MAX = 128, ROOM = WORD_MAX + 40 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t fast_class[FAST];
static uint16_t fast_fold[FAST]; /* 0: to several, or beyond 16 bits */
static uint8_t ascii[256];       /* folded letter or digit, or 0; what is not ASCII, too */

static uint8_t slow_class(uint32_t c)
{
    size_t lo = 0, hi = FOLD_CLASSES_N;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (FOLD_CLASSES[mid].last < c) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < FOLD_CLASSES_N && FOLD_CLASSES[lo].first <= c ? FOLD_CLASSES[lo].what : FOLD_SEPARATOR;
}

static uint32_t slow_fold(uint32_t c)
{
    size_t lo = 0, hi = FOLD_RUNS_N;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (FOLD_RUNS[mid].last < c) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo < FOLD_RUNS_N && FOLD_RUNS[lo].first <= c && (c - FOLD_RUNS[lo].first) % FOLD_RUNS[lo].step == 0) {
        return (uint32_t)((int64_t)c + FOLD_RUNS[lo].delta);
    }
    return c;
}

static const char *many_fold(uint32_t c)
{
    size_t lo = 0, hi = FOLD_MANY_N;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (FOLD_MANY[mid].from < c) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < FOLD_MANY_N && FOLD_MANY[lo].from == c ? FOLD_MANY[lo].to : NULL;
}

static void fill(void)
{
    for (uint32_t c = 0; c < 128; c++) {
        bool upper = c >= 'A' && c <= 'Z', other = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        ascii[c] = (uint8_t)(upper ? c + 32 : other ? c : 0);
    }
    for (uint32_t c = 128; c < FAST; c++) {
        fast_class[c] = slow_class(c);
        uint32_t to = slow_fold(c);
        fast_fold[c] = (uint16_t)(many_fold(c) != NULL || to > 0xffff ? 0 : to);
    }
}

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* One code point; a byte that starts none is U+FFFD, one byte long. */
static uint32_t decode(const uint8_t *p, size_t n, size_t *len)
{
    *len = 1;
    if (p[0] < 0x80) { return p[0]; }
    size_t more = p[0] >= 0xf0 && p[0] < 0xf5 ? 3 : p[0] >= 0xe0 ? 2 : 1;
    if (p[0] < 0xc2 || p[0] > 0xf4 || more >= n) { return 0xfffd; }
    uint32_t c = more == 1 ? p[0] & 0x1f : more == 2 ? p[0] & 0xf : p[0] & 7;
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) { return 0xfffd; }
        c = c << 6 | (p[i] & 0x3f);
    }
    *len = more + 1;
    return c;
}

struct word {
    char text[ROOM];
    size_t n, start, end;
    void *ctx;
    itoken_fn *fn;
};

static int flush(struct word *w)
{
    if (w->n == 0) { return 0; }
    int rc = w->fn(w->ctx, w->text, (int)w->n, (int)w->start, (int)w->end);
    w->n = 0;
    return rc;
}

static void append(struct word *w, uint32_t c, size_t at, size_t end)
{
    if (w->n == 0) { w->start = at; }
    w->end = end;
    if (w->n >= WORD_MAX) { return; } /* longer words match by their first 128 bytes */
    uint32_t to = c < FAST ? fast_fold[c] : 0;
    const char *many = to == 0 ? many_fold(c) : NULL;
    if (many != NULL) {
        size_t n = strlen(many);
        memcpy(w->text + w->n, many, n);
        w->n += n;
        return;
    }
    w->n += encode(to != 0 ? to : slow_fold(c), w->text + w->n);
}

/* A decomposed Hangul syllable; gives the syllable and where it ends, or 0. */
static uint32_t hangul(const uint8_t *p, size_t n, size_t at, uint32_t lead, size_t *end)
{
    if (lead < 0x1100 || lead > 0x1112 || *end >= n) { return 0; }
    size_t len = 0;
    uint32_t vowel = decode(p + *end, n - *end, &len);
    if (vowel < 0x1161 || vowel > 0x1175) { return 0; }
    (void)at;
    *end += len;
    uint32_t syllable = 0xac00 + ((lead - 0x1100) * 21 + (vowel - 0x1161)) * 28;
    if (*end < n) {
        uint32_t tail = decode(p + *end, n - *end, &len);
        if (tail > 0x11a7 && tail <= 0x11c2) {
            *end += len;
            syllable += tail - 0x11a7;
        }
    }
    return syllable;
}

int itoken_each(const char *text, size_t n, void *ctx, itoken_fn *fn)
{
    (void)pthread_once(&once, fill);
    const uint8_t *p = (const uint8_t *)text;
    struct word w;
    w.n = 0;
    w.start = w.end = 0;
    w.ctx = ctx;
    w.fn = fn;
    size_t i = 0;
    while (i < n) {
        uint8_t letter = ascii[p[i]];
        if (letter != 0) {
            size_t k = w.n;
            if (k == 0) { w.start = i; }
            do {
                if (k < WORD_MAX) { w.text[k++] = (char)letter; }
                i++;
            } while (i < n && (letter = ascii[p[i]]) != 0);
            w.n = k;
            w.end = i;
            continue;
        }
        if (p[i] < 0x80) {
            int rc = flush(&w);
            if (rc != 0) { return rc; }
            i++;
            continue;
        }
        size_t len = 1, at = i;
        uint32_t c = decode(p + i, n - i, &len);
        i += len;
        uint8_t what = c < FAST ? fast_class[c] : c == 0xfffd ? FOLD_SEPARATOR : slow_class(c);
        uint32_t syllable = hangul(p, n, at, c, &i);
        if (syllable != 0) {
            c = syllable;
            what = FOLD_SINGLE;
        }
        if (what == FOLD_LETTER) {
            append(&w, c, at, i);
            continue;
        }
        if (what == FOLD_IGNORED) {
            if (w.n > 0) { w.end = i; }
            continue;
        }
        int rc = flush(&w);
        if (rc == 0 && what != FOLD_SEPARATOR) {
            append(&w, c, at, i);
            if (what == FOLD_REGIONAL && i < n) {
                uint32_t second = decode(p + i, n - i, &len);
                if (second >= 0x1f1e6 && second <= 0x1f1ff) {
                    append(&w, second, at, i + len);
                    i += len;
                }
            }
            rc = flush(&w);
        }
        if (rc != 0) { return rc; }
    }
    return flush(&w);
}

/* ---- to FTS5 ---- */

struct bridge {
    void *ctx;
    int (*fn)(void *ctx, int flags, const char *word, int n, int start, int end);
};

static int pass(void *ctx, const char *word, int n, int start, int end)
{
    struct bridge *b = ctx;
    return b->fn(b->ctx, 0, word, n, start, end);
}

static int f_create(KLUIS_UNUSED void *ctx, KLUIS_UNUSED const char **args, KLUIS_UNUSED int n, Fts5Tokenizer **out)
{
    static char nothing; /* no state: any address that is not NULL */
    *out = (Fts5Tokenizer *)(void *)&nothing;
    return SQLITE_OK;
}
static void f_delete(KLUIS_UNUSED Fts5Tokenizer *t) {}
static int f_tokenize(KLUIS_UNUSED Fts5Tokenizer *t, void *ctx, KLUIS_UNUSED int flags, const char *text, int n,
                      int (*fn)(void *, int, const char *, int, int, int))
{
    struct bridge b = { ctx, fn };
    return itoken_each(text, n > 0 ? (size_t)n : 0, &b, pass);
}

int itoken_register(sqlite3 *db)
{
    static fts5_tokenizer tokenizer = { f_create, f_delete, f_tokenize };
    fts5_api *api = NULL;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &st, NULL);
    if (rc != SQLITE_OK) { return rc; }
    (void)sqlite3_bind_pointer(st, 1, (void *)&api, "fts5_api_ptr", NULL);
    (void)sqlite3_step(st);
    rc = sqlite3_finalize(st);
    if (rc != SQLITE_OK) { return rc; }
    if (api == NULL) { return SQLITE_ERROR; }
    rc = api->xCreateTokenizer(api, "kluis", NULL, &tokenizer, NULL);
    return rc == SQLITE_OK ? irank_register(api) : rc;
}
