/* jid.c - JIDs, and the people of one conversation.  See wdb.h. */
#include "agent/source/whatsapp_db/wdb.h"

enum { SLOTS = 16384, BOOK_ARENA = 8 << 20 };

enum wdb_server wdb_server_of(struct kluis_str jid)
{
    static const struct {
        const char *name;
        enum wdb_server is;
    } known[] = { { "s.whatsapp.net", WDB_PERSON }, { "c.us", WDB_PERSON }, { "lid", WDB_HIDDEN },
                  { "hosted.lid", WDB_HIDDEN },     { "g.us", WDB_GROUP },  { "broadcast", WDB_BROADCAST },
                  { "newsletter", WDB_CHANNEL } };
    const char *at = jid.len == 0 ? NULL : memrchr(jid.ptr, '@', jid.len);
    if (at == NULL) { return WDB_OTHER; }
    const struct kluis_str server = { at + 1, (size_t)(jid.ptr + jid.len - at - 1) };
    if (kluis_str_is(jid, "status@broadcast")) { return WDB_STATUS; }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(server, known[i].name)) { return known[i].is; }
    }
    return WDB_OTHER;
}

struct kluis_str wdb_jid_plain(struct kluis_str jid, char out[WDB_JID_MAX])
{
    const char *at = jid.len == 0 ? NULL : memrchr(jid.ptr, '@', jid.len);
    if (at == NULL || at == jid.ptr || jid.len >= WDB_JID_MAX || kluis_utf8_valid(jid.ptr, jid.len) != jid.len) {
        return (struct kluis_str){ NULL, 0 };
    }
    size_t user = (size_t)(at - jid.ptr), keep = user;
    enum wdb_server s = wdb_server_of(jid);
    if (s == WDB_PERSON || s == WDB_HIDDEN) {
        for (size_t i = 0; i < user; i++) {
            if (jid.ptr[i] == ':' || jid.ptr[i] == '.' || jid.ptr[i] == '_') {
                keep = i;
                break;
            }
        }
    }
    memcpy(out, jid.ptr, keep);
    memcpy(out + keep, at, jid.len - user);
    if (keep == 0) { return (struct kluis_str){ NULL, 0 }; }
    return (struct kluis_str){ out, keep + jid.len - user };
}

struct kluis_str wdb_number(struct kluis_str jid, char out[32])
{
    size_t n = 0;
    if (wdb_server_of(jid) != WDB_PERSON) { return (struct kluis_str){ NULL, 0 }; }
    while (n < jid.len && jid.ptr[n] >= '0' && jid.ptr[n] <= '9') { n++; }
    if (n < 5 || n > 15 || jid.ptr[n] != '@' || jid.ptr[0] == '0') { return (struct kluis_str){ NULL, 0 }; }
    out[0] = '+';
    memcpy(out + 1, jid.ptr, n);
    return (struct kluis_str){ out, n + 1 };
}

struct kluis_str wdb_utf8(struct kluis_arena *a, struct kluis_str s)
{
    size_t good = s.ptr == NULL ? 0 : kluis_utf8_valid(s.ptr, s.len);
    if (good == s.len) { return s; }
    char *out = kluis_arena_alloc(a, s.len * 3 + 1);
    if (out == NULL) { return (struct kluis_str){ NULL, 0 }; }
    size_t w = 0;
    for (size_t at = 0; s.ptr != NULL && at < s.len;) {
        good = kluis_utf8_valid(s.ptr + at, s.len - at);
        memcpy(out + w, s.ptr + at, good);
        w += good;
        at += good;
        if (at < s.len) {
            memcpy(out + w, "\xef\xbf\xbd", 3);
            w += 3;
            at++;
        }
    }
    return (struct kluis_str){ out, w };
}

struct wdb_book {
    struct kluis_arena *arena;
    struct kluis_party parties[KLUIS_PARTIES_MAX];
    bool member[KLUIS_PARTIES_MAX];
    uint16_t slot[SLOTS];           /* index + 1 */
    uint16_t at[KLUIS_PARTIES_MAX]; /* which slot each has */
    uint32_t participants[KLUIS_PARTIES_MAX];
    uint32_t n;
    bool full;
};

kluis_status wdb_book_new(struct wdb_book **out, struct kluis_err *err)
{
    *out = kluis_calloc(1, sizeof **out);
    if (*out != NULL) { (*out)->arena = kluis_arena_new(BOOK_ARENA); }
    if (*out != NULL && (*out)->arena != NULL) { return KLUIS_OK; }
    wdb_book_free(*out);
    *out = NULL;
    return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void wdb_book_free(struct wdb_book *b)
{
    if (b == NULL) { return; }
    kluis_arena_free(b->arena);
    kluis_free(b);
}

void wdb_book_clear(struct wdb_book *b)
{
    kluis_arena_clear(b->arena);
    for (uint32_t i = 0; i < b->n; i++) { b->slot[b->at[i]] = 0; }
    b->n = 0;
    b->full = false;
}

bool wdb_book_full(const struct wdb_book *b) { return b->full; }
struct kluis_str wdb_book_keep(struct wdb_book *b, struct kluis_str s) { return kluis_arena_str(b->arena, s); }

static struct kluis_str key_of(const struct kluis_party *p) { return p->id.ptr != NULL ? p->id : p->name; }

static size_t slot_of(const struct wdb_book *b, struct kluis_str key, bool named)
{
    size_t at = (size_t)(kluis_str_hash(key, 0) % SLOTS);
    while (b->slot[at] != 0) {
        const struct kluis_party *p = &b->parties[b->slot[at] - 1];
        if ((p->id.ptr == NULL) == named && kluis_str_eq(key_of(p), key)) { break; }
        at = (at + 1) % SLOTS;
    }
    return at;
}

static uint32_t add(struct wdb_book *b, struct kluis_party p, bool member)
{
    const bool named = p.id.ptr == NULL;
    size_t at = slot_of(b, key_of(&p), named);
    if (b->slot[at] != 0) {
        uint32_t i = b->slot[at] - 1u;
        b->member[i] |= member;
        if (b->parties[i].name.ptr == NULL && p.name.len > 0) { b->parties[i].name = kluis_arena_str(b->arena, wdb_utf8(b->arena, p.name)); }
        return i;
    }
    if (b->n == KLUIS_PARTIES_MAX) {
        b->full = true;
        return KLUIS_NO_PARTY;
    }
    struct kluis_party *to = &b->parties[b->n];
    *to = (struct kluis_party){ .id = kluis_arena_str(b->arena, p.id), .number = kluis_arena_str(b->arena, p.number) };
    if (p.name.len > 0) { to->name = kluis_arena_str(b->arena, wdb_utf8(b->arena, p.name)); }
    if (key_of(to).ptr == NULL) {
        b->full = true; /* the arena's ceiling */
        return KLUIS_NO_PARTY;
    }
    b->member[b->n] = member;
    b->slot[at] = (uint16_t)(b->n + 1);
    b->at[b->n] = (uint16_t)at;
    return b->n++;
}

uint32_t wdb_party(struct wdb_book *b, struct kluis_str jid, struct kluis_str name, bool member)
{
    char number[32];
    if (jid.len == 0) { return KLUIS_NO_PARTY; }
    return add(b, (struct kluis_party){ .id = jid, .name = name, .number = wdb_number(jid, number) }, member);
}

uint32_t wdb_party_named(struct wdb_book *b, struct kluis_str name, bool member)
{
    if (name.len == 0) { return KLUIS_NO_PARTY; }
    return add(b, (struct kluis_party){ .name = name }, member);
}

uint32_t wdb_find(const struct wdb_book *b, struct kluis_str jid)
{
    size_t at = jid.len == 0 ? 0 : slot_of(b, jid, false);
    return jid.len == 0 || b->slot[at] == 0 ? KLUIS_NO_PARTY : b->slot[at] - 1u;
}

kluis_status wdb_book_header(struct wdb_book *b, struct kluis_header *h, struct kluis_err *err)
{
    if (b->full) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a chat with more than %d people", (int)KLUIS_PARTIES_MAX); }
    h->parties = b->parties;
    h->n_parties = b->n;
    h->participants = b->participants;
    h->n_participants = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->member[i]) { b->participants[h->n_participants++] = i; }
    }
    return KLUIS_OK;
}
