/* chats.c - pass 1's notes and pass 2's order. */
#include "agent/source/teams/teams.h"

static kluis_status no_room(struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more chats than fit into memory: give a part of the export at a time");
}

static uint64_t hash(uint64_t h, struct kluis_str s)
{
    h = h == 0 ? UINT64_C(14695981039346656037) : h;
    for (size_t i = 0; i < s.len; i++) { h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(1099511628211); }
    return (h ^ 0xff) * UINT64_C(1099511628211);
}

static bool ends(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

static uint8_t type_of(struct kluis_str id)
{
    bool begins = id.len > 3;
    if (ends(id, "@unq.gbl.spaces") || (begins && (memcmp(id.ptr, "8:", 2) == 0 || memcmp(id.ptr, "28:", 3) == 0))) { return KLUIS_DIRECT; }
    if (ends(id, "@thread.tacv2")) { return KLUIS_CHANNEL; }
    if (ends(id, "@thread.v2") || ends(id, "@thread.skype")) { return KLUIS_GROUP; }
    return kluis_str_is(id, "48:notes") ? KLUIS_SELF : KLUIS_UNKNOWN_TYPE;
}

static kluis_status grow(struct teams *t, struct kluis_err *err)
{
    if (t->n_chats == t->cap_chats) {
        uint32_t cap = t->cap_chats == 0 ? 64 : t->cap_chats * 2;
        struct chat *p = cap > CHATS_MAX ? NULL : kluis_realloc(t->chats, cap * sizeof *p);
        if (p == NULL) { return no_room(err); }
        t->chats = p;
        t->cap_chats = cap;
    }
    if ((t->n_chats + 1) * 2 <= t->n_slots) { return KLUIS_OK; }
    uint32_t n = t->n_slots == 0 ? 128 : t->n_slots * 2, *s = kluis_calloc(n, sizeof *s);
    if (s == NULL) { return no_room(err); }
    for (uint32_t i = 0; i < t->n_chats; i++) {
        uint32_t k = (uint32_t)hash(0, t->chats[i].id) & (n - 1);
        while (s[k] != 0) { k = (k + 1) & (n - 1); }
        s[k] = i + 1;
    }
    kluis_free(t->slots);
    t->slots = s;
    t->n_slots = n;
    return KLUIS_OK;
}

kluis_status teams_chat_find(struct teams *t, struct kluis_str id, uint32_t *out, struct kluis_err *err)
{
    if (t->chat < t->n_chats && kluis_str_eq(t->chats[t->chat].id, id)) {
        *out = t->chat;
        return KLUIS_OK;
    }
    KLUIS_TRY(grow(t, err));
    uint32_t k = (uint32_t)hash(0, id) & (t->n_slots - 1);
    while (t->slots[k] != 0 && !kluis_str_eq(t->chats[t->slots[k] - 1].id, id)) { k = (k + 1) & (t->n_slots - 1); }
    if (t->slots[k] == 0) {
        t->chats[t->n_chats] = (struct chat){ .id = kluis_arena_str(t->kept, id), .type = type_of(id) };
        if (t->chats[t->n_chats].id.ptr == NULL) { return no_room(err); }
        t->slots[k] = ++t->n_chats;
    }
    *out = t->slots[k] - 1;
    return KLUIS_OK;
}

void teams_chat_call(struct teams *t, uint32_t chat, struct kluis_str name, int type)
{
    struct chat *c = &t->chats[chat];
    if (name.len > 0 && !kluis_str_eq(c->name, name)) {
        struct kluis_str kept = kluis_arena_str(t->kept, name);
        if (kept.ptr != NULL) { c->name = kept; }
    }
    if (type >= 0) { c->type = (uint8_t)type; }
    c->named = true;
}

kluis_status teams_chat_put(struct teams *t, uint32_t chat, uint64_t at, uint64_t bytes, bool damaged, struct kluis_err *err)
{
    t->n_messages += !damaged;
    return kluis_db_run(t->work, NULL, err, "INSERT INTO m VALUES (?,?,?,?,?)", "iiiii", (int64_t)chat, (int64_t)t->file, (int64_t)at, (int64_t)bytes,
                        (int64_t)damaged);
}

kluis_status teams_chat_person(struct teams *t, uint32_t chat, struct kluis_str id, struct kluis_str name, struct kluis_err *err)
{
    if (id.len == 0 && name.len == 0) { return KLUIS_OK; }
    uint64_t h = hash(hash(UINT64_C(0x9e3779b97f4a7c15) * (chat + 1), id), name), *slot = &t->noted[h % NOTED_SLOTS];
    if (*slot == h) { return KLUIS_OK; }
    *slot = h;
    return kluis_db_run(t->work, NULL, err, "INSERT OR IGNORE INTO p VALUES (?,?,?)", "itt", (int64_t)chat, id.len == 0 ? KLUIS_STR_LIT("") : id,
                        name.len == 0 ? KLUIS_STR_LIT("") : name);
}

/* ---- pass 2 --------------------------------------------------------------------------------------------------------------- */

/* A chat of two is called after both: "19:<id>_<id>@unq.gbl.spaces"; who never wrote in it is there all the same. */
static void both_of(struct teams *t, struct kluis_str id)
{
    static const char tail[] = "@unq.gbl.spaces";
    enum { ID = 36 };
    if (id.len != 3 + ID + 1 + ID + sizeof tail - 1 || memcmp(id.ptr, "19:", 3) != 0 || !ends(id, tail)) { return; }
    for (size_t at = 3; at <= 3 + ID + 1; at += ID + 1) {
        struct kluis_str one = { id.ptr + at, ID };
        if (roster_called(&t->people, one) == KLUIS_NO_PARTY) {
            (void)roster_note(&t->people, one, (struct kluis_str){ NULL, 0 }, (struct kluis_str){ NULL, 0 });
        }
    }
}

static kluis_status begin(struct teams *t, uint32_t chat, struct kluis_err *err)
{
    static const char *const never[] = { "deleted-content", "edit-history", "read-receipts", "drafts" };
    const struct chat *c = &t->chats[chat];
    struct sqlite3_stmt *st = NULL;
    kluis_status rc;
    size_t n = 0;
    roster_clear(&t->people);
    KLUIS_TRY(kluis_db_query(t->work, &st, err, "SELECT id,name FROM p WHERE c=? ORDER BY name='',rowid", "i", (int64_t)chat));
    while ((rc = kluis_db_step(t->work, st, err)) == KLUIS_OK) {
        struct kluis_str id = kluis_db_text(st, 0), name = kluis_db_text(st, 1);
        if (name.len == 0 && roster_called(&t->people, id) != KLUIS_NO_PARTY) { continue; } /* known by name */
        (void)roster_note(&t->people, id, name, (struct kluis_str){ NULL, 0 });
    }
    if (rc != KLUIS_END) { return rc; }
    if (c->type == KLUIS_DIRECT) { both_of(t, c->id); }
    struct kluis_str self = t->self_option != NULL ? kluis_str_of(t->self_option) : t->self;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (t->people.several_names) { t->loss[n++] = KLUIS_STR_LIT("person-with-several-names"); }
    if (t->people.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    t->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("teams"),
                                       .conversation_id = c->id,
                                       .conversation_name = c->name,
                                       .type = (enum kluis_conversation_type)c->type,
                                       .parties = t->people.list,
                                       .n_parties = t->people.n,
                                       .participants = t->people.members,
                                       .n_participants = t->people.n,
                                       .self = roster_called(&t->people, self),
                                       .provenance = { .source = KLUIS_STR_LIT("teams"),
                                                       .app = KLUIS_STR_LIT("Microsoft Teams"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " teams") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = t->loss,
                                       .n_loss = n };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

/* The bytes of one message. */
static kluis_status bytes_of(struct teams *t, uint32_t file, uint64_t at, size_t n, struct kluis_str *out, struct kluis_err *err)
{
    struct kluis_buf *w = &t->window;
    if (file != t->window_file || at < t->window_at || at + n > t->window_at + w->len) {
        uint64_t end = t->window_at + w->len; /* much is read at once only where messages of a chat follow each other */
        bool near = file == t->window_file && at >= t->window_at && at < end + WINDOW_STEP;
        t->window_step = !near ? WINDOW_STEP : t->window_step < WINDOW ? t->window_step * 2 : WINDOW;
        size_t want = n < t->window_step ? t->window_step : n, got = 0;
        kluis_buf_clear(w);
        uint8_t *p = kluis_buf_reserve(w, want);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        KLUIS_TRY(fileset_read_at(&t->files, file, p, want, at, &got, err));
        w->len = got;
        t->window_file = file;
        t->window_at = at;
    }
    size_t from = (size_t)(at - t->window_at);
    if (from + n > w->len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", t->files.path); }
    *out = (struct kluis_str){ (const char *)w->data + from, n };
    return KLUIS_OK;
}

static kluis_status one(struct teams *t, enum form form, uint32_t chat, uint32_t file, uint64_t at, size_t n, struct kluis_err *err)
{
    struct kluis_str raw;
    struct json *m = NULL;
    KLUIS_TRY(bytes_of(t, file, at, n, &raw, err));
    kluis_arena_clear(t->tree);
    kluis_arena_clear(t->scratch);
    if (json_read_loose(raw, t->tree, &m, NULL) != KLUIS_OK) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", t->files.path);
    }
    return form == FORM_GRAPH ? teams_graph_send(t, &t->chats[chat], m, raw, err) : teams_personal_send(t, &t->chats[chat], m, raw, err);
}

kluis_status teams_chat_give(struct teams *t, const uint8_t *forms, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    int64_t now = -1;
    kluis_status rc;
    KLUIS_TRY(kluis_db_query(t->work, &st, err, "SELECT c,f,at,n,bad FROM m ORDER BY c,rowid", ""));
    while ((rc = kluis_db_step(t->work, st, err)) == KLUIS_OK) {
        int64_t chat = kluis_db_int(st, 0), file = kluis_db_int(st, 1), at = kluis_db_int(st, 2), n = kluis_db_int(st, 3);
        if (chat != now) {
            if (now >= 0) { rc = t->sink->end(t->sink->ctx, err); }
            if (rc == KLUIS_OK) { rc = begin(t, (uint32_t)chat, err); }
            now = chat;
        }
        if (rc == KLUIS_OK) {
            rc = kluis_db_int(st, 4) != 0 ? build_gap(&t->build, t->scratch, t->sink, (uint64_t)at, (uint64_t)n, KLUIS_ZONE_STATED, err)
                                          : one(t, (enum form)forms[file], (uint32_t)chat, (uint32_t)file, (uint64_t)at, (size_t)n, err);
        }
        if (rc != KLUIS_OK) {
            kluis_db_done(st);
            return rc;
        }
    }
    if (rc != KLUIS_END) { return rc; }
    return now >= 0 ? t->sink->end(t->sink->ctx, err) : KLUIS_OK;
}
