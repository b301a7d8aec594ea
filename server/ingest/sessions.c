/* server/ingest/sessions.c - an append-only list of changes over the stored rows; the newest one of a key counts. */
#include "server/ingest/sessions.h"

#include <pthread.h>

enum { CHANGES_MAX = 4096, KEY_MAX = 80, ROW_MAX = 1 << 20 };

struct change {
    enum kluis_store_table table;
    char key[KEY_MAX];
    bool gone;
    struct kluis_buf value;
};
struct sessions {
    struct custody *custody;
    struct kluis_session_store store;
    pthread_mutex_t lock;
    struct change *change;
    size_t n, cap;
};

static struct change *find(struct sessions *s, enum kluis_store_table t, const char *key)
{
    for (size_t i = s->n; i > 0; i--) {
        if (s->change[i - 1].table == t && strcmp(s->change[i - 1].key, key) == 0) { return &s->change[i - 1]; }
    }
    return NULL;
}

static kluis_status get(void *ctx, enum kluis_store_table t, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    struct sessions *s = ctx;
    const struct change *c = find(s, t, key);
    if (c == NULL) { return custody_session_get(s->custody, (int)t, key, out, err); }
    if (c->gone) { return KLUIS_E_NOTFOUND; }
    kluis_buf_add(out, c->value.data, c->value.len);
    return kluis_buf_ok(out, err);
}

static kluis_status add(struct sessions *s, enum kluis_store_table t, const char *key, struct kluis_bytes value, bool gone, struct kluis_err *err)
{
    if (strlen(key) >= KEY_MAX || s->n >= CHANGES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "too many session changes at once"); }
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 64 : s->cap * 2;
        struct change *p = kluis_realloc(s->change, cap * sizeof *p);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot keep a session: out of memory"); }
        s->change = p;
        s->cap = cap;
    }
    struct change *c = &s->change[s->n];
    memset(c, 0, sizeof *c);
    c->table = t;
    c->gone = gone;
    (void)snprintf(c->key, sizeof c->key, "%s", key);
    kluis_buf_init(&c->value, ROW_MAX);
    kluis_buf_add(&c->value, value.ptr, value.len);
    kluis_status rc = kluis_buf_ok(&c->value, err);
    if (rc != KLUIS_OK) {
        kluis_buf_free(&c->value);
        return rc;
    }
    s->n++;
    return KLUIS_OK;
}

static kluis_status put(void *ctx, enum kluis_store_table t, const char *key, struct kluis_bytes value, struct kluis_err *err)
{
    return add(ctx, t, key, value, false, err);
}

static kluis_status del(void *ctx, enum kluis_store_table t, const char *key, struct kluis_err *err)
{
    return add(ctx, t, key, (struct kluis_bytes){ (const uint8_t *)"", 0 }, true, err);
}

kluis_status sessions_open(struct sessions **out, struct custody *c, struct kluis_err *err)
{
    struct sessions *s = *out = kluis_calloc(1, sizeof *s);
    if (s == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open the sessions: out of memory"); }
    s->custody = c;
    s->store = (struct kluis_session_store){ .ctx = s, .get = get, .put = put, .del = del };
    pthread_mutex_init(&s->lock, NULL);
    return KLUIS_OK;
}

void sessions_undo(struct sessions *s, size_t mark)
{
    while (s->n > mark) {
        struct kluis_buf *b = &s->change[--s->n].value;
        if (b->data != NULL) { kluis_wipe(b->data, b->len); /* ratchet and prekey secrets */ }
        kluis_buf_free(b);
    }
}

void sessions_free(struct sessions *s)
{
    if (s != NULL) {
        sessions_undo(s, 0);
        kluis_free(s->change);
        pthread_mutex_destroy(&s->lock);
        kluis_free(s);
    }
}

void sessions_lock(struct sessions *s) { pthread_mutex_lock(&s->lock); }

void sessions_unlock(struct sessions *s)
{
    sessions_undo(s, 0);
    pthread_mutex_unlock(&s->lock);
}

const struct kluis_session_store *sessions_store(struct sessions *s) { return &s->store; }

size_t sessions_mark(struct sessions *s) { return s->n; }

kluis_status sessions_flush(struct sessions *s, struct kluis_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct change *c = &s->change[i];
        if (find(s, c->table, c->key) != c) { continue; /* a later change of the same row follows */ }
        KLUIS_TRY(c->gone ? custody_session_del(s->custody, (int)c->table, c->key, err)
                          : custody_session_put(s->custody, (int)c->table, c->key, kluis_buf_bytes(&c->value), err));
    }
    return KLUIS_OK;
}
