/* reading.c - pass 2: one chat after the other, its header and its records; then what the source holds besides.
 */
#include "agent/source/signal_model/model.h"

enum { LOSS_MAX = 16 };

struct reading {
    struct model *m;
    const struct signal_form *form;
    const struct source_sink *sink;
    struct emit emit;
    uint32_t *party_of;         /* of n_who */
    struct kluis_arena *tables; /* header tables of the chat under way */
    struct kluis_arena *records;
    struct gather gather;
};

static void mark(void *ctx, uint32_t who) { ((uint32_t *)ctx)[who] = 1; }

static void mark_members(const struct model *m, const struct who *g, uint32_t *flags)
{
    for (uint32_t k = 0; k < g->n_members; k++) {
        uint32_t w = model_who_aci(m, g->members[k]);
        if (w != NOBODY) { flags[w] |= 2; }
    }
}

/* party_of: first flags (1 occurs, 2 takes part), then indexes. */
static kluis_status header(struct reading *r, const struct chat *c, struct kluis_header *h, struct kluis_err *err)
{
    struct model *m = r->m;
    const struct who *about = c->who == NOBODY ? NULL : &m->who[c->who];
    memset(r->party_of, 0, m->n_who * sizeof *r->party_of);
    for (uint32_t i = 0; i < c->n_refs; i++) { mark(r->party_of, c->refs[i]); }
    if (m->self != NOBODY) { r->party_of[m->self] |= 2; }
    if (about != NULL && about->kind == WHO_GROUP) {
        mark_members(m, about, r->party_of);
        r->party_of[c->who] = 0;
    } else if (about != NULL && about->kind == WHO_LINK) {
        r->party_of[c->who] = 0;
        if (m->self != NOBODY) { r->party_of[m->self] = 0; }
    } else if (c->who != NOBODY) {
        r->party_of[c->who] |= 2;
    }
    uint32_t n = 0, members = 0;
    for (uint32_t i = 0; i < m->n_who; i++) {
        n += r->party_of[i] != 0;
        members += (r->party_of[i] & 2) != 0;
    }
    if (n > KLUIS_PARTIES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: a chat with more than %d people", m->path, (int)KLUIS_PARTIES_MAX); }
    kluis_arena_clear(r->tables);
    struct kluis_party *parties = kluis_arena_alloc(r->tables, (n + 1) * sizeof *parties);
    uint32_t *participants = kluis_arena_alloc(r->tables, (members + 1) * sizeof *participants);
    if (parties == NULL || participants == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    memset(h, 0, sizeof *h);
    h->self = KLUIS_NO_PARTY;
    for (uint32_t i = 0; i < m->n_who; i++) {
        uint32_t flags = r->party_of[i];
        r->party_of[i] = KLUIS_NO_PARTY;
        if (flags == 0) { continue; }
        if ((flags & 2) != 0) { participants[h->n_participants++] = h->n_parties; }
        if (i == m->self) { h->self = h->n_parties; }
        parties[h->n_parties] = m->who[i].party;
        if (m->who[i].party.id.ptr == NULL && m->who[i].party.name.ptr == NULL && m->who[i].party.number.ptr == NULL) {
            parties[h->n_parties].name = m->who[i].key; /* whom the source does not name at all */
        }
        r->party_of[i] = h->n_parties++;
    }
    h->parties = parties;
    h->participants = participants;
    h->platform = KLUIS_STR_LIT("signal");
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_MILLISECOND;
    h->provenance = (struct kluis_provenance){ .source = kluis_str_of(r->form->kind),
                                               .app = kluis_str_of(r->form->app),
                                               .app_version = m->app_version,
                                               .reader = arena_fmt(r->tables, "chatkluis %s %s", KLUIS_VERSION, r->form->kind) };
    h->type = KLUIS_UNKNOWN_TYPE;
    if (about == NULL) {
        h->conversation_id = arena_fmt(r->tables, "chat-%llu", (unsigned long long)c->id);
    } else {
        h->conversation_id = about->kind == WHO_SELF ? arena_fmt(r->tables, "note-to-self:%.*s", (int)about->key.len, about->key.ptr) : about->key;
        h->conversation_name = about->party.name.ptr != NULL ? about->party.name : about->party.number;
        h->type = about->kind == WHO_CONTACT   ? KLUIS_DIRECT
                  : about->kind == WHO_GROUP   ? KLUIS_GROUP
                  : about->kind == WHO_SELF    ? KLUIS_SELF
                  : about->kind == WHO_RELEASE ? KLUIS_CHANNEL
                                               : KLUIS_UNKNOWN_TYPE;
    }
    if (h->conversation_id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    struct kluis_str *list = kluis_arena_alloc(r->tables, LOSS_MAX * sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    for (size_t i = 0; i < LOSS_MAX - 3 && r->form->loss[i] != NULL; i++) { list[h->n_loss++] = kluis_str_of(r->form->loss[i]); }
    if (m->media.find == NULL) { list[h->n_loss++] = KLUIS_STR_LIT("attachments"); }
    if (c->timer_ms > 0) { list[h->n_loss++] = KLUIS_STR_LIT("auto-delete-timer"); }
    if (m->n_damage > 0) { list[h->n_loss++] = KLUIS_STR_LIT("source-damaged"); }
    h->loss = list;
    return KLUIS_OK;
}

static kluis_status one_item(struct reading *r, const struct frame *f, uint32_t chat, struct kluis_err *err)
{
    struct json *item;
    kluis_arena_clear(r->records);
    if (model_chat_of(r->m, f->tree, &item) != chat) { return KLUIS_OK; }
    struct emit *e = &r->emit;
    e->line = f->raw;
    e->err = err;
    e->rc = KLUIS_OK;
    if (kluis_str_is(item->key, "adHocCall")) {
        emit_adhoc(e, item);
    } else {
        emit_item(e, item);
    }
    return e->rc;
}

static kluis_status all_items(struct reading *r, uint32_t index, struct kluis_err *err)
{
    struct model *m = r->m;
    const struct chat *c = &m->chat[index];
    struct frame f;
    uint64_t at = 0;
    size_t next = 0;
    if (gather_holds(&r->gather, index)) {
        kluis_status rc;
        gather_turn(&r->gather, m, index);
        while ((rc = gather_next(&r->gather, m, &f, err)) == KLUIS_OK) { KLUIS_TRY(one_item(r, &f, index, err)); }
        return rc == KLUIS_END ? KLUIS_OK : rc;
    }
    if (c->offsets == NULL) { /* this one chat has too many items for an index: the whole source goes by */
        kluis_status rc;
        KLUIS_TRY(m->frames.seek(m->frames.ctx, 0, err));
        while ((rc = model_again(m, &f, err)) == KLUIS_OK) { KLUIS_TRY(one_item(r, &f, index, err)); }
        return rc == KLUIS_END ? KLUIS_OK : rc;
    }
    while (chat_offset(c, &next, &at)) {
        KLUIS_TRY(m->frames.seek(m->frames.ctx, at, err));
        kluis_status rc = model_again(m, &f, err);
        if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it changed while it was read; try again", m->path); }
        KLUIS_TRY(rc);
        KLUIS_TRY(one_item(r, &f, index, err));
    }
    return KLUIS_OK;
}

/* What could not be read may have been of any chat: each of them says so. */
static kluis_status tell_damage(struct reading *r, struct kluis_err *err)
{
    const struct model *m = r->m;
    struct emit *e = &r->emit;
    for (unsigned i = 0; i < m->n_damage; i++) {
        const struct damage *g = &m->damage[i];
        kluis_arena_clear(r->records);
        e->err = err;
        e->rc = KLUIS_OK;
        struct draft *d = draft_new(e, KLUIS_GAP);
        d->r.id = arena_fmt(r->records, "gap:damaged:%llu", (unsigned long long)g->at);
        d->r.event = KLUIS_STR_LIT("source-damaged");
        draft_text(e, d, "why", kluis_str_of(g->why));
        draft_number(e, d, m->frames.unit, g->number);
        if (g->n > 1) { draft_number(e, d, "further", g->n - 1); }
        draft_send(e, d, KLUIS_STR_LIT(""));
        KLUIS_TRY(e->rc);
    }
    return KLUIS_OK;
}

static kluis_status skip(struct reading *r, const char *what, const char *where, const char *why, struct kluis_err *err)
{
    const struct source_skip s = { .what = what, .where = where, .why = why };
    return r->sink->skipped == NULL ? KLUIS_OK : r->sink->skipped(r->sink->ctx, &s, err);
}

static kluis_status one_chat(struct reading *r, uint32_t index, struct kluis_err *err)
{
    struct chat *c = &r->m->chat[index];
    struct kluis_header h;
    char where[64];
    if (c->items == 0) { return KLUIS_OK; }
    if (c->who != NOBODY && r->m->who[c->who].kind == WHO_LIST) {
        (void)snprintf(where, sizeof where, "%llu items", (unsigned long long)c->items);
        return skip(r, "story", where, "stories are shown for a day and are no conversation", err);
    }
    KLUIS_TRY(header(r, c, &h, err));
    KLUIS_TRY(r->sink->begin(r->sink->ctx, &h, err));
    r->emit.chat = c;
    KLUIS_TRY(all_items(r, index, err));
    KLUIS_TRY(tell_damage(r, err));
    return r->sink->end(r->sink->ctx, err);
}

/* What the file holds besides conversations, one line a kind. */
static kluis_status tell_other_frames(struct reading *r, struct kluis_err *err)
{
    static const char setting[] = "a setting of the app, no part of a conversation";
    static const struct {
        const char *name, *why;
    } known[] = { { "stickerPack", setting },
                  { "notificationProfile", setting },
                  { "chatFolder", setting },
                  { "draft", "not sent when the source was made" },
                  { "story", "stories are shown for a day and are no conversation" } };
    for (unsigned i = 0; i < r->m->n_others; i++) {
        const struct frame_count *f = &r->m->others[i];
        char where[96];
        const char *why = "unknown to this reader and in no conversation";
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
            if (strcmp(f->name, known[k].name) == 0) { why = known[k].why; }
        }
        (void)snprintf(where, sizeof where, "%s %llu%s", r->m->frames.unit, (unsigned long long)f->first, f->n > 1 ? " and further" : "");
        KLUIS_TRY(skip(r, f->name, where, why, err));
    }
    for (uint32_t i = 0; i < r->m->n_who; i++) {
        char where[64];
        if (r->m->who[i].kind != WHO_MISSING && r->m->who[i].kind != WHO_OTHER) { continue; }
        (void)snprintf(where, sizeof where, "recipient %llu", (unsigned long long)r->m->who[i].id);
        KLUIS_TRY(skip(r, "recipient", where,
                       r->m->who[i].kind == WHO_MISSING ? "named by an item, but not in the source" : "of a kind unknown to this reader", err));
    }
    return KLUIS_OK;
}

static kluis_status all_chats(struct reading *r, struct kluis_err *err)
{
    struct model *m = r->m;
    for (uint32_t first = 0; first < m->n_chat;) {
        uint32_t n = m->overflow ? 1 : m->n_chat - first;
        uint64_t bytes = m->chat[first].index_bytes;
        while (m->overflow && first + n < m->n_chat && bytes + m->chat[first + n].index_bytes <= OFFSETS_MAX / 2) {
            bytes += m->chat[first + n++].index_bytes;
        }
        if (m->overflow && bytes <= OFFSETS_MAX / 2) { KLUIS_TRY(model_offsets(m, first, n, err)); }
        for (uint32_t i = first; i < first + n; i++) {
            if (!gather_holds(&r->gather, i)) { KLUIS_TRY(gather_fill(&r->gather, m, i, first + n, err)); }
            KLUIS_TRY(one_chat(r, i, err));
        }
        first += n;
    }
    return tell_other_frames(r, err);
}

void model_init(struct model *m, const char *path, const char *what)
{
    memset(m, 0, sizeof *m);
    m->path = path;
    m->what = what;
    m->self = NOBODY;
    m->room = PEOPLE_MAX;
}

static kluis_status begin(struct reading *r, struct kluis_err *err)
{
    struct model *m = r->m;
    m->people = kluis_arena_new(PEOPLE_MAX);
    m->tree = kluis_arena_new(TREE_MAX);
    r->tables = kluis_arena_new(1 << 20);
    r->records = kluis_arena_new(RECORD_MAX);
    if (m->people == NULL || m->tree == NULL || r->tables == NULL || r->records == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    KLUIS_TRY(model_index(m, err));
    r->party_of = kluis_calloc(m->n_who + 1, sizeof *r->party_of);
    if (r->party_of == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    r->emit.m = m;
    r->emit.arena = r->records;
    r->emit.sink = r->sink;
    r->emit.party_of = r->party_of;
    return KLUIS_OK;
}

kluis_status model_read(struct model *m, const struct signal_form *form, const struct source_sink *sink, struct kluis_err *err)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    kluis_status rc = r == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    if (rc == KLUIS_OK) {
        r->m = m;
        r->form = form;
        r->sink = sink;
        rc = begin(r, err);
        if (rc == KLUIS_OK) { rc = all_chats(r, err); }
        gather_free(&r->gather);
        kluis_arena_free(r->tables);
        kluis_arena_free(r->records);
        kluis_free(r->party_of);
        kluis_free(r);
    }
    model_free(m);
    return rc;
}

/* ---- options that every source of Signal takes ---------------------------------------------------------- */

static bool account_id(const char *s)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(s) != sizeof form - 1) { return false; }
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (form[i] == 'x' ? !hex : s[i] != '-') { return false; }
    }
    return true;
}

static bool phone_number(const char *s)
{
    size_t n = strlen(s);
    return s[0] == '+' && n >= 5 && n <= 16 && strspn(s + 1, "0123456789") == n - 1;
}

bool model_option(struct model *m, const struct source_option *o)
{
    if (strcmp(o->key, "number") == 0 && phone_number(o->value)) {
        m->self_number = kluis_str_of(o->value);
        return true;
    }
    if (strcmp(o->key, "account") == 0 && account_id(o->value)) {
        m->self_aci = kluis_str_of(o->value);
        return true;
    }
    return false;
}
