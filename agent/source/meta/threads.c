/* threads.c - the files of one conversation: where its messages stand, who is in it; then its records in the order of time. */
#include "agent/source/meta/meta.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }
static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

struct going {
    struct meta *t;
    uint32_t index;
    int64_t last; /* time of the message before */
};

static void note(struct meta *t, struct kluis_str name) { (void)roster_note(&t->c.people, absent(), meta_words(name, t->words), absent()); }

static kluis_status one(void *ctx, struct json *m, struct kluis_str raw, uint64_t at, struct kluis_err *err)
{
    struct going *g = ctx;
    struct meta *t = g->t;
    kluis_arena_clear(t->words);
    note(t, meta_sender(m));
    struct json *reactions = json_array(m, "reactions");
    for (struct json *r = reactions == NULL ? NULL : reactions->child; r != NULL; r = r->next) { note(t, json_string(r, "actor")); }
    struct order_item it = { .file = g->index, .at = at, .len = (uint32_t)raw.len, .when = g->last };
    int64_t when = 0;
    if (meta_when(m, &when)) { it.when = g->last = when; } /* without a time it stays beside its neighbour */
    t->c.n_messages++;
    return order_add(t->order, &it, err);
}

static kluis_status damaged(void *ctx, uint64_t at, uint64_t bytes, bool to_end, struct kluis_err *err)
{
    struct going *g = ctx;
    struct order_item it = { .file = g->index, .at = at, .when = g->last, .lost = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes };
    (void)to_end;
    g->t->c.n_damaged++;
    return order_add(g->t->order, &it, err);
}

/* A small value, in the tree arena; absent when it is large or no value. */
static kluis_status small(struct meta *t, struct json_stream *s, struct json **out, struct kluis_err *err)
{
    struct kluis_str raw;
    uint64_t at;
    *out = NULL;
    KLUIS_TRY(json_stream_take(s, &raw, &at, err));
    kluis_arena_clear(t->tree);
    if (raw.len > (256 << 10) || json_read_loose(raw, t->tree, out, NULL) != KLUIS_OK) { *out = NULL; }
    return KLUIS_OK;
}

static void each_participant(struct meta *t, struct json *list, void (*each)(void *, struct kluis_str), void *ctx)
{
    for (struct json *v = list == NULL || list->type != JSON_ARRAY ? NULL : list->child; v != NULL; v = v->next) {
        struct kluis_str name = v->type == JSON_STRING ? v->text : json_string(v, "name");
        kluis_arena_clear(t->words);
        if (name.len > 0) { each(ctx, meta_words(name, t->words)); }
    }
}

static void add_member(void *ctx, struct kluis_str name)
{
    struct conversation *c = ctx;
    uint32_t i = roster_note(&c->people, absent(), name, absent());
    if (i != KLUIS_NO_PARTY) { c->member[i] = true; }
}

static kluis_status member(struct meta *t, struct going *g, struct json_stream *s, struct kluis_str key, bool *listed, bool *ended,
                           struct kluis_err *err)
{
    struct conversation *c = &t->c;
    struct json *v = NULL;
    if (kluis_str_is(key, "messages")) {
        *listed = true;
        KLUIS_TRY(json_stream_enter(s, '[', err));
        struct json_items items = { .stream = s, .tree = t->tree, .first = "sender_name", .ctx = g, .item = one, .damage = damaged };
        enum json_items_end end;
        kluis_status rc = json_items(&items, &end, err);
        *ended = rc == KLUIS_OK && end == JSON_ITEMS_DOCUMENT;
        return rc;
    }
    struct kluis_str *to = kluis_str_is(key, "title") || kluis_str_is(key, "threadName") ? &c->title
                           : kluis_str_is(key, "thread_path")                            ? &c->path
                           : kluis_str_is(key, "thread_type")                            ? &c->type
                                                                                         : NULL;
    bool people = kluis_str_is(key, "participants"), still = kluis_str_is(key, "is_still_participant");
    if (to == NULL && !people && !still && !kluis_str_is(key, "joinable_mode")) { return json_stream_skip(s, err); }
    KLUIS_TRY(small(t, s, &v, err));
    if (v == NULL) { return KLUIS_OK; }
    if (people) {
        each_participant(t, v, add_member, c);
    } else if (still) {
        c->left = v->type == JSON_FALSE;
    } else if (to == NULL) {
        c->joinable = v->type == JSON_OBJECT;
    } else if (v->type == JSON_STRING && to->ptr == NULL) {
        kluis_arena_clear(t->words);
        *to = kluis_arena_str(c->people.arena, meta_words(v->text, t->words));
    }
    return KLUIS_OK;
}

/* One file.  *listed: it has a list of messages. */
static kluis_status survey(struct meta *t, const struct part *p, uint32_t index, bool *listed, struct kluis_err *err)
{
    struct download_input state = { &t->d, p->file, 0 };
    struct kluis_input in = download_input(&state);
    struct json_stream s = { 0 };
    struct kluis_str key;
    struct going g = { .t = t, .index = index, .last = INT64_MAX };
    bool ended = false;
    *listed = false;
    KLUIS_TRY(json_stream_open(&s, &in, 0, p->file->name.ptr, MESSAGE_MAX, err));
    kluis_status rc = json_stream_enter(&s, '{', err);
    while (rc == KLUIS_OK && !ended) {
        rc = json_stream_next(&s, &key, err);
        if (rc == KLUIS_OK) { rc = member(t, &g, &s, key, listed, &ended, err); }
    }
    json_stream_close(&s);
    return rc == KLUIS_END || ended ? KLUIS_OK : rc;
}

kluis_status meta_participants(struct meta *t, const struct part *p, void (*each)(void *ctx, struct kluis_str name), void *ctx, struct kluis_err *err)
{
    struct kluis_str head, key, raw;
    uint64_t at;
    struct json *v = NULL;
    struct json_stream s = { 0 };
    KLUIS_TRY(download_bytes(&t->d, p->file, 0, 64 << 10, &head, err));
    struct kluis_input_mem mem = { { (const uint8_t *)head.ptr, head.len }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    KLUIS_TRY(json_stream_open(&s, &in, 0, p->file->name.ptr, 64 << 10, err));
    kluis_status rc = json_stream_enter(&s, '{', NULL);
    while (rc == KLUIS_OK && json_stream_next(&s, &key, NULL) == KLUIS_OK) {
        bool found = kluis_str_is(key, "participants");
        rc = found ? json_stream_take(&s, &raw, &at, NULL) : json_stream_skip(&s, NULL);
        if (rc != KLUIS_OK || !found) { continue; }
        kluis_arena_clear(t->tree);
        if (json_read_loose(raw, t->tree, &v, NULL) == KLUIS_OK) { each_participant(t, v, each, ctx); }
        break;
    }
    json_stream_close(&s);
    return KLUIS_OK; /* what is wrong with the file is said when it is read */
}

/* ---- giving ---- */

/* The number Meta gave the thread stands behind its name ("anna_1234567890"); a name changes, a number does not. */
static void conclude(struct meta *t, const struct part *p)
{
    struct conversation *c = &t->c;
    struct kluis_str id = c->path.ptr != NULL ? build_base_name(c->path) : p->thread;
    size_t digits = 0;
    if (c->path.ptr == NULL && id.len > 5 && memcmp(id.ptr + id.len - 5, ".json", 5) == 0) { id = absent(); } /* a file that was moved */
    while (digits < id.len && id.ptr[id.len - 1 - digits] >= '0' && id.ptr[id.len - 1 - digits] <= '9') { digits++; }
    if (digits >= 8 && digits < id.len && id.ptr[id.len - 1 - digits] == '_') { id = (struct kluis_str){ id.ptr + id.len - digits, digits }; }
    if (p->sealed && c->title.ptr != NULL) { id = c->title; }
    if (id.len > 0 && id.len < sizeof c->id && memchr(id.ptr, 0, id.len) == NULL) {
        (void)snprintf(c->id, sizeof c->id, "%.*s", (int)id.len, id.ptr);
    } else { /* nothing short names it: a digest of its name, or of its first people */
        KLUIS_AUTO_BUF(b, 1 << 20);
        uint8_t d[32];
        kluis_buf_cstr(&b, "chatkluis-meta-conversation-v1:");
        kluis_buf_str(&b, id);
        for (uint32_t i = 0; id.len == 0 && i < c->people.n && i < 2; i++) {
            kluis_buf_str(&b, c->people.list[i].name);
            kluis_buf_byte(&b, 0);
        }
        kluis_sha256_of(b.data, b.len, d);
        memcpy(c->id, "unnumbered-", 11);
        kluis_base32(d, 16, c->id + 11);
    }
    if (p->sealed && c->title.ptr != NULL) { /* "Anna de Vries_12" */
        size_t k = c->title.len;
        while (k > 0 && c->title.ptr[k - 1] >= '0' && c->title.ptr[k - 1] <= '9') { k--; }
        if (k > 1 && k < c->title.len && c->title.ptr[k - 1] == '_') { c->title.len = k - 1; }
    }
}

static kluis_status begin(struct meta *t, const struct part *p, struct kluis_err *err)
{
    static const char *const never[] = { "account-ids", "message-ids", "edit-history", "quotes", "polls", "read-receipts", "group-changes-as-text" };
    struct conversation *c = &t->c;
    uint32_t n = 0;
    size_t k = 0;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[k++] = kluis_str_of(never[i]); }
    if (c->people.overflow) { t->loss[k++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (t->d.full) { t->loss[k++] = KLUIS_STR_LIT("file-names-beyond-131072"); }
    uint32_t self = roster_called(&c->people, t->self_option != NULL ? kluis_str_of(t->self_option) : t->self_name);
    for (uint32_t i = 0; i < c->people.n; i++) {
        if (c->member[i]) { c->members[n++] = i; }
    }
    bool group = n > 2 || c->joinable || kluis_str_is(c->type, "RegularGroup");
    t->header = (struct kluis_header){ .platform = kluis_str_of(c->platform),
                                       .conversation_id = kluis_str_of(c->id),
                                       .conversation_name = c->title,
                                       .type = group    ? KLUIS_GROUP
                                               : n == 2 ? KLUIS_DIRECT
                                                        : KLUIS_UNKNOWN_TYPE,
                                       .parties = c->people.list,
                                       .n_parties = c->people.n,
                                       .participants = c->members,
                                       .n_participants = n,
                                       .self = self,
                                       .provenance = { .source = KLUIS_STR_LIT("meta"),
                                                       .app = p->sealed ? KLUIS_STR_LIT("Messenger, end-to-end encrypted download")
                                                                        : KLUIS_STR_LIT("Download your information"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " meta") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = t->loss,
                                       .n_loss = k };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

static kluis_status give(struct meta *t, const struct part *first, struct kluis_err *err)
{
    struct order_item it;
    kluis_status rc;
    while ((rc = order_next(t->order, &it, err)) == KLUIS_OK) {
        const struct part *p = &first[it.file];
        struct kluis_str raw;
        struct json *m = NULL;
        if (it.len == 0) {
            kluis_arena_clear(t->words);
            KLUIS_TRY(build_gap(&t->build, t->words, t->sink, it.at, it.lost, KLUIS_ZONE_STATED, err));
            continue;
        }
        KLUIS_TRY(download_bytes(&t->d, p->file, it.at, it.len, &raw, err));
        kluis_arena_clear(t->tree);
        if (json_read_loose(raw, t->tree, &m, NULL) != KLUIS_OK || m->type != JSON_OBJECT) {
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "%.200s changed while it was read: try again", p->file->name.ptr);
        }
        KLUIS_TRY(meta_message(t, p, m, raw, err));
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status meta_conversation(struct meta *t, const struct part *first, size_t n, struct kluis_err *err)
{
    struct conversation *c = &t->c;
    roster_clear(&c->people);
    memset(c->member, 0, KLUIS_PARTIES_MAX * sizeof *c->member);
    c->title = c->path = c->type = absent();
    c->id[0] = '\0';
    c->joinable = c->left = false;
    c->n_messages = c->n_damaged = 0;
    c->platform = first->platform;
    order_clear(t->order);
    for (size_t i = 0; i < n; i++) {
        struct kluis_err why = { 0 };
        uint64_t before = c->n_messages + c->n_damaged;
        bool listed = false;
        kluis_status rc = survey(t, &first[i], (uint32_t)i, &listed, &why);
        if (rc != KLUIS_OK && !refusal(rc)) {
            if (err != NULL) { *err = why; }
            return rc;
        }
        if (rc != KLUIS_OK && (c->n_messages + c->n_damaged == before)) {
            KLUIS_TRY(build_skip(t->sink, "a file of messages", first[i].file->name.ptr, why.msg, true, err));
        } else if (rc != KLUIS_OK) {
            KLUIS_TRY(build_skip(t->sink, "the end of a file of messages", first[i].file->name.ptr, why.msg, true, err));
        } else if (!listed) {
            KLUIS_TRY(build_skip(t->sink, "a file", first[i].file->name.ptr, "it holds no list of messages", false, err));
        }
    }
    if (c->n_messages == 0 && c->n_damaged == 0) { return KLUIS_OK; }
    KLUIS_TRY(order_done(t->order, err));
    conclude(t, first);
    KLUIS_TRY(begin(t, first, err));
    KLUIS_TRY(give(t, first, err));
    t->conversations++;
    return t->sink->end(t->sink->ctx, err);
}
