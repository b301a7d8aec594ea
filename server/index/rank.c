/* server/index/rank.c - order by relevance: how long records are, one byte each, and the function kluis_rank.  See internal.h.
 *
 * Relevance needs a record's length for every hit, and a look-up for every hit is what makes FTS5's own bm25 slow.  So the length is one byte, and
 * the bytes of a file's records stand in memory side by side: of the hot file beside its keys, of a period as one blob that is made with the file,
 * read by the first search by relevance and kept until the file goes.
 */
#include "server/index/internal.h"

#include <sqlite3.h>

/* ---- lengths ---- */

static int count_word(void *ctx, KLUIS_UNUSED const char *word, KLUIS_UNUSED int n, KLUIS_UNUSED int start, KLUIS_UNUSED int end)
{
    ++*(uint32_t *)ctx;
    return 0;
}

/* Exact below 128; from there three bits behind the leading one, so at most an eighth too short. */
uint8_t inorm_code(uint32_t words)
{
    if (words < 128) { return (uint8_t)words; }
    unsigned octave = 31 - (unsigned)__builtin_clz(words);
    if (octave > 22) { return 255; }
    return (uint8_t)(128 + (octave - 7) * 8 + (words >> (octave - 3) & 7));
}

uint32_t inorm_words(uint8_t code) { return code < 128 ? code : (uint32_t)(8 + (code & 7)) << ((unsigned)(code - 128) / 8 + 4); }

uint8_t inorm_of(struct kluis_str text, struct kluis_str side)
{
    uint32_t words = 0;
    (void)itoken_each(text.ptr, text.len, &words, count_word);
    (void)itoken_each(side.ptr, side.len, &words, count_word);
    return inorm_code(words);
}

/* ---- of a period ---- */

static bool kept(struct index *ix, int64_t file, struct inorms *out)
{
    for (size_t i = 0; i < ix->n_norms; i++) {
        if (ix->norms[i].file == file) {
            *out = ix->norms[i];
            return true;
        }
    }
    return false;
}

/* Under the lock: keeps it if there is room. */
static bool keep(struct index *ix, const struct inorms *n)
{
    if (ix->norms_bytes + n->n > ix->norms_max || ix->n_norms == IPERIODS_MAX) { return false; }
    if (ix->norms == NULL) { ix->norms = kluis_calloc(IPERIODS_MAX, sizeof *ix->norms); }
    if (ix->norms == NULL) { return false; }
    ix->norms[ix->n_norms++] = *n;
    ix->norms_bytes += n->n;
    return true;
}

static kluis_status read_blob(struct kluis_db *unit, const struct iperiod *p, struct inorms *out, struct kluis_err *err)
{
    sqlite3_stmt *q = NULL;
    KLUIS_TRY(kluis_db_query(unit, &q, err, "SELECT words FROM norm", ""));
    kluis_status st = kluis_db_step(unit, q, err);
    if (st != KLUIS_OK && st != KLUIS_END) { return st; }
    *out = (struct inorms){ .file = p->file, .first = 1, .n = (size_t)p->rows };
    out->words = kluis_malloc(out->n + 1);
    if (out->words == NULL) {
        kluis_db_done(q);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory");
    }
    bool whole = st == KLUIS_OK && kluis_db_fixed(q, 0, out->words, out->n);
    kluis_db_done(q);
    if (whole) { return KLUIS_OK; }
    kluis_free(out->words);
    out->words = NULL;
    return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "index file %s lacks the lengths of its records: delete the index and rebuild it", p->name);
}

kluis_status inorms_take(struct index *ix, struct kluis_db *unit, const struct iperiod *p, struct inorms *out, struct kluis_err *err)
{
    (void)pthread_mutex_lock(&ix->lock);
    bool there = kept(ix, p->file, out);
    (void)pthread_mutex_unlock(&ix->lock);
    if (there) { return KLUIS_OK; }
    struct inorms mine = { 0 };
    KLUIS_TRY(read_blob(unit, p, &mine, err)); /* nobody waits meanwhile; two who read the same keep one */
    (void)pthread_mutex_lock(&ix->lock);
    there = kept(ix, p->file, out);
    if (!there) {
        *out = mine;
        out->lent = !keep(ix, &mine);
    }
    (void)pthread_mutex_unlock(&ix->lock);
    if (there) { kluis_free(mine.words); }
    return KLUIS_OK;
}

void inorms_done(struct inorms *n)
{
    if (n->lent) { kluis_free(n->words); }
    *n = (struct inorms){ 0 };
}

void inorms_drop(struct index *ix, int64_t file)
{
    (void)pthread_mutex_lock(&ix->lock);
    for (size_t i = 0; i < ix->n_norms; i++) {
        if (ix->norms[i].file != file) { continue; }
        ix->norms_bytes -= ix->norms[i].n;
        kluis_free(ix->norms[i].words);
        ix->norms[i] = ix->norms[--ix->n_norms];
        break;
    }
    (void)pthread_mutex_unlock(&ix->lock);
}

void inorms_free(struct index *ix)
{
    for (size_t i = 0; i < ix->n_norms; i++) { kluis_free(ix->norms[i].words); }
    kluis_free(ix->norms);
    ix->norms = NULL;
    ix->n_norms = ix->norms_bytes = 0;
}

/* ---- kluis_rank ---- */

static const char NORMS[] = "kluis_norms";

kluis_status irank_bind(struct sqlite3_stmt *q, int at, const struct inorms *n, struct kluis_err *err)
{
    if (sqlite3_bind_pointer(q, at, (void *)(uintptr_t)n, NORMS, NULL) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    return KLUIS_OK;
}

/* BM25's share of one phrase, with the parameters that Xapian takes unless told otherwise (class BM25Weight: k1 = 1, b = 0.5, and no length counts
 * for less than half of the mean): f / (f + k1 (1 - b + b max(length / mean, 0.5))), here over 2 mean.  Two things are left out on purpose.  The mean
 * is fixed, and rarity, which for one word is the same for every record, does not count: so a score depends on the record alone, and pages keep their
 * order while the archive grows.  MEAN: words of a message, as in chats and in the workload of the benchmark (11.6). */
enum {
    RANK_MEAN = 12,
    RANK_ONE = 1 << 20,
    RANK_NEAR_BITS = 7,
    RANK_PHRASES = 64,    /* further ones do not count, */
    RANK_INSTANCES = 256, /* nor do further times       */
    RANK_TOKENS = 2       /* the column of conversation, official and platform, which says nothing of relevance */
};

static int64_t share(uint32_t words, int64_t times)
{
    const int64_t mean = RANK_MEAN, length = words < RANK_MEAN / 2 ? mean / 2 : (int64_t)words, f = 2 * mean * times;
    return RANK_ONE * f / (f + mean + length);
}

/* How close together different phrases stand, in words. */
static int nearness(const Fts5ExtensionApi *api, Fts5Context *fts, int *near)
{
    int instances = 0, last_phrase = -1, last_at = 0, last_column = -1, rc = api->xInstCount(fts, &instances);
    for (int i = 0; rc == SQLITE_OK && i < instances && i < RANK_INSTANCES; i++) {
        int phrase = 0, column = 0, at = 0;
        rc = api->xInst(fts, i, &phrase, &column, &at);
        if (rc != SQLITE_OK || column == RANK_TOKENS) { continue; }
        if (last_phrase >= 0 && last_phrase != phrase && column == last_column && at - last_at < 8) { *near += 8 - (at - last_at); }
        last_phrase = phrase;
        last_at = at;
        last_column = column;
    }
    return rc;
}

/* kluis_rank(fts, norms).  Below that sum, so that it only tells equals apart: how close together several phrases stand. */
static void f_rank(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *sql, int n, sqlite3_value **args)
{
    const struct inorms *norms = n == 1 ? sqlite3_value_pointer(args[0], NORMS) : NULL;
    int phrases = api->xPhraseCount(fts), matched = 0, near = 0, rc = norms == NULL ? SQLITE_MISUSE : SQLITE_OK;
    const int64_t row = norms == NULL ? 0 : api->xRowid(fts) - norms->first; /* one that is not there is on no page */
    const uint32_t words = norms == NULL || row < 0 || (uint64_t)row >= norms->n ? 0 : inorm_words(norms->words[row]);
    int64_t score = 0;
    for (int i = 0; rc == SQLITE_OK && i < phrases && i < RANK_PHRASES; i++) {
        Fts5PhraseIter at;
        int column = 0, offset = 0, times = 0;
        rc = api->xPhraseFirst(fts, i, &at, &column, &offset);
        while (rc == SQLITE_OK && column >= 0 && times < RANK_INSTANCES) {
            times += column != RANK_TOKENS;
            api->xPhraseNext(fts, &at, &column, &offset);
        }
        matched += times > 0;
        if (times > 0) { score += share(words, times); }
    }
    if (rc == SQLITE_OK && matched > 1) { rc = nearness(api, fts, &near); }
    if (rc != SQLITE_OK) {
        sqlite3_result_error_code(sql, rc);
        return;
    }
    enum { NEAREST = (1 << RANK_NEAR_BITS) - 1 };
    sqlite3_result_int64(sql, score << RANK_NEAR_BITS | (near > NEAREST ? NEAREST : near));
}

/* ---- rows that SQLite need not hand over one by one ---- */

static const char EACH[] = "kluis_each";

kluis_status ieach_bind(struct sqlite3_stmt *q, int at, const struct ieach *each, struct kluis_err *err)
{
    if (sqlite3_bind_pointer(q, at, (void *)(uintptr_t)each, EACH, NULL) != SQLITE_OK) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    return KLUIS_OK;
}

static int each_row(const Fts5ExtensionApi *api, Fts5Context *fts, void *ctx)
{
    const struct ieach *each = ctx;
    return each->fn(each->ctx, api->xRowid(fts)) ? SQLITE_DONE : SQLITE_OK;
}

/* kluis_each(fts, each): FTS5 itself repeats one phrase of a question, with its columns, and no more than one. */
static void f_each(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *sql, int n, sqlite3_value **args)
{
    struct ieach *each = n == 1 ? sqlite3_value_pointer(args[0], EACH) : NULL;
    int rc = each == NULL ? SQLITE_MISUSE : SQLITE_OK;
    if (each != NULL && api->xPhraseCount(fts) != 1) { return; }
    if (rc == SQLITE_OK) { rc = api->xQueryPhrase(fts, 0, each, each_row); }
    if (rc != SQLITE_OK) {
        sqlite3_result_error_code(sql, rc);
    } else {
        sqlite3_result_int(sql, 1);
    }
}

int irank_register(struct fts5_api *api)
{
    static const struct {
        const char *name;
        fts5_extension_function fn;
    } all[] = { { "kluis_rank", f_rank }, { "kluis_each", f_each } };
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && rc == SQLITE_OK; i++) { rc = api->xCreateFunction(api, all[i].name, NULL, all[i].fn, NULL); }
    return rc;
}
