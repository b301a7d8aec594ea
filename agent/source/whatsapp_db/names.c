/* names.c - what people are called.  See wdb.h. */
#include "agent/source/whatsapp_db/wdb.h"

enum { BUCKETS = 65536, NAMES_MAX = 16 << 20 };
struct name {
    const char *jid, *shown;
    struct name *next;
};
struct wdb_names {
    struct kluis_arena *arena;
    struct name *bucket[BUCKETS];
};

kluis_status wdb_names_new(struct wdb_names **out, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    if (*out != NULL) { (*out)->arena = kluis_arena_new(NAMES_MAX); }
    if (*out != NULL && (*out)->arena != NULL) { return KLUIS_OK; }
    wdb_names_free(*out);
    *out = NULL;
    return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void wdb_names_free(struct wdb_names *n)
{
    if (n == NULL) { return; }
    kluis_arena_free(n->arena);
    kluis_free(n);
}

static size_t hash(struct kluis_str s) { return (size_t)(kluis_str_hash(s, 0) % BUCKETS); }

struct kluis_str wdb_name(const struct wdb_names *n, struct kluis_str jid)
{
    for (struct name *x = jid.len == 0 ? NULL : n->bucket[hash(jid)]; x != NULL; x = x->next) {
        if (kluis_str_is(jid, x->jid)) { return kluis_str_of(x->shown); }
    }
    return (struct kluis_str){ NULL, 0 };
}

void wdb_learn(struct wdb_names *n, struct kluis_str jid, struct kluis_str shown)
{
    char plain[WDB_JID_MAX];
    jid = wdb_jid_plain(jid, plain);
    if (jid.ptr == NULL || shown.len == 0 || shown.len > 4096 || wdb_name(n, jid).ptr != NULL) { return; }
    struct name *x = kluis_arena_alloc(n->arena, sizeof *x);
    if (x == NULL) { return; }
    x->jid = kluis_arena_strndup(n->arena, jid.ptr, jid.len);
    x->shown = kluis_arena_strndup(n->arena, shown.ptr, shown.len);
    if (x->jid == NULL || x->shown == NULL) { return; }
    x->next = n->bucket[hash(jid)];
    n->bucket[hash(jid)] = x;
}
