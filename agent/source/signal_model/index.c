/* index.c - pass 1: who and which chats there are, and where the items of each chat stand.
 */
#include "agent/source/signal_model/model.h"

/* ---- 64-bit id -> index, open addressing, never shrinks ------------------------------------------ */

struct map {
    uint64_t *ids;
    uint32_t *at;
    uint32_t n, cap;
};

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }

/* Everything outside the arena is paid from one budget. */
static kluis_status pay(struct model *m, size_t n, struct kluis_err *err)
{
    if (n > m->room) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: more people and chats than fit into memory; export fewer chats at a time", m->path);
    }
    m->room -= n;
    return KLUIS_OK;
}

static uint32_t slot(const struct map *h, uint64_t id)
{
    uint64_t x = id * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t i = (uint32_t)(x >> 32) & (h->cap - 1);
    while (h->at[i] != NOBODY && h->ids[i] != id) { i = (i + 1) & (h->cap - 1); }
    return i;
}

static uint32_t map_get(const struct map *h, uint64_t id) { return h == NULL || h->cap == 0 ? NOBODY : h->at[slot(h, id)]; }

static kluis_status map_put(struct model *m, struct map **map, uint64_t id, uint32_t index, struct kluis_err *err)
{
    if (*map == NULL) {
        *map = kluis_calloc(1, sizeof **map);
        if (*map == NULL) { return no_memory(err); }
    }
    struct map *h = *map;
    if ((h->n + 1) * 2 > h->cap) {
        struct map wider = { .cap = h->cap == 0 ? 64 : h->cap * 2 };
        KLUIS_TRY(pay(m, (size_t)(wider.cap - h->cap) * 12, err));
        wider.ids = kluis_calloc(wider.cap, sizeof *wider.ids);
        wider.at = kluis_malloc(wider.cap * sizeof *wider.at);
        if (wider.ids == NULL || wider.at == NULL) {
            kluis_free(wider.ids);
            kluis_free(wider.at);
            return no_memory(err);
        }
        memset(wider.at, 0xff, wider.cap * sizeof *wider.at);
        for (uint32_t i = 0; i < h->cap; i++) {
            if (h->at[i] == NOBODY) { continue; }
            uint32_t to = slot(&wider, h->ids[i]);
            wider.ids[to] = h->ids[i];
            wider.at[to] = h->at[i];
        }
        kluis_free(h->ids);
        kluis_free(h->at);
        wider.n = h->n;
        *h = wider;
    }
    uint32_t i = slot(h, id);
    if (h->at[i] == NOBODY) { h->n++; }
    h->ids[i] = id;
    h->at[i] = index;
    return KLUIS_OK;
}

static void map_free(struct map *h)
{
    if (h == NULL) { return; }
    kluis_free(h->ids);
    kluis_free(h->at);
    kluis_free(h);
}

/* ---- tables --------------------------------------------------------------------------------------- */

static kluis_status grow(struct model *m, void **p, uint32_t n, uint32_t *cap, size_t size, struct kluis_err *err)
{
    if (n < *cap) { return KLUIS_OK; }
    uint32_t wider = *cap == 0 ? 16 : *cap * 2;
    KLUIS_TRY(pay(m, (size_t)(wider - *cap) * size, err));
    void *q = kluis_realloc(*p, (size_t)wider * size);
    if (q == NULL) { return no_memory(err); }
    *p = q;
    *cap = wider;
    return KLUIS_OK;
}

static uint64_t aci_hash(const uint8_t aci[16])
{
    uint64_t h = 0;
    for (unsigned i = 0; i < 16; i++) { h = h * 1099511628211U + aci[i]; }
    return h;
}

uint32_t model_who(const struct model *m, uint64_t id) { return map_get(m->who_by_id, id); }

uint32_t model_who_aci(const struct model *m, const uint8_t aci[16])
{
    uint32_t i = map_get(m->who_by_aci, aci_hash(aci));
    return i != NOBODY && m->who[i].has_aci && memcmp(m->who[i].aci, aci, 16) == 0 ? i : NOBODY;
}

static kluis_status who_new(struct model *m, uint64_t id, uint32_t *out, struct kluis_err *err)
{
    KLUIS_TRY(grow(m, (void **)&m->who, m->n_who, &m->cap_who, sizeof *m->who, err));
    KLUIS_TRY(map_put(m, &m->who_by_id, id, m->n_who, err));
    struct who *w = &m->who[m->n_who];
    memset(w, 0, sizeof *w);
    w->id = id;
    w->key = arena_fmt(m->people, "recipient-%llu", (unsigned long long)id);
    w->party.name = w->key;
    if (w->key.ptr == NULL) { return no_memory(err); }
    *out = m->n_who++;
    return KLUIS_OK;
}

static kluis_status who_get(struct model *m, uint64_t id, uint32_t *out, struct kluis_err *err)
{
    *out = model_who(m, id);
    return *out != NOBODY ? KLUIS_OK : who_new(m, id, out, err);
}

static kluis_status chat_get(struct model *m, struct map **map, uint64_t id, struct chat **out, struct kluis_err *err)
{
    uint32_t i = map_get(*map, id);
    if (i == NOBODY) {
        KLUIS_TRY(grow(m, (void **)&m->chat, m->n_chat, &m->cap_chat, sizeof *m->chat, err));
        KLUIS_TRY(map_put(m, map, id, m->n_chat, err));
        i = m->n_chat++;
        memset(&m->chat[i], 0, sizeof m->chat[i]);
        m->chat[i].id = id;
        m->chat[i].who = NOBODY;
    }
    *out = &m->chat[i];
    return KLUIS_OK;
}

static kluis_status refer(struct model *m, struct chat *c, uint32_t who, struct kluis_err *err)
{
    uint32_t low = 0, high = c->n_refs;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c->refs[mid] < who) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low < c->n_refs && c->refs[low] == who) { return KLUIS_OK; }
    KLUIS_TRY(grow(m, (void **)&c->refs, c->n_refs, &c->cap_refs, sizeof *c->refs, err));
    memmove(c->refs + low + 1, c->refs + low, (c->n_refs - low) * sizeof *c->refs);
    c->refs[low] = who;
    c->n_refs++;
    return KLUIS_OK;
}

/* ---- offsets: differences, seven bits a byte ------------------------------------------------------- */

static unsigned varint(uint64_t v, uint8_t out[10])
{
    unsigned n = 0;
    do {
        out[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v != 0);
    return n;
}

bool chat_offset(const struct chat *c, size_t *next, uint64_t *at)
{
    uint64_t v = 0;
    unsigned shift = 0;
    if (*next >= c->used) { return false; }
    for (uint8_t b = 0x80; (b & 0x80) != 0 && shift < 64; shift += 7) {
        b = c->offsets[(*next)++];
        v |= (uint64_t)(b & 0x7f) << shift;
    }
    *at += v;
    return true;
}

static kluis_status keep_offset(struct chat *c, const uint8_t *p, unsigned n, size_t *held, struct kluis_err *err)
{
    size_t cap = c->used == 0 ? 0 : (size_t)16 << (c->used <= 16 ? 0 : 60 - (unsigned)__builtin_clzll(c->used - 1));
    if (c->used + n > cap) {
        size_t wider = cap == 0 ? 16 : cap * 2;
        uint8_t *q = kluis_realloc(c->offsets, wider);
        if (q == NULL) { return no_memory(err); }
        c->offsets = q;
        *held += wider - cap;
    }
    memcpy(c->offsets + c->used, p, n);
    c->used += n;
    return KLUIS_OK;
}

static void drop_offsets(struct model *m)
{
    for (uint32_t i = 0; i < m->n_chat; i++) {
        kluis_free(m->chat[i].offsets);
        m->chat[i].offsets = NULL;
        m->chat[i].used = 0;
    }
    m->offsets_held = 0;
}

static kluis_status item_at(struct model *m, struct chat *c, const struct frame *f, struct kluis_err *err)
{
    uint8_t bytes[10];
    unsigned n = varint(f->at - c->last, bytes);
    c->last = f->at;
    c->bytes += f->raw.len;
    c->items++;
    c->index_bytes += n;
    if (m->overflow) { return KLUIS_OK; }
    KLUIS_TRY(keep_offset(c, bytes, n, &m->offsets_held, err));
    if (m->offsets_held > OFFSETS_MAX) {
        drop_offsets(m);
        m->overflow = true;
    }
    return KLUIS_OK;
}

/* ---- people of an item ------------------------------------------------------------------------------ */

struct people_walk {
    const struct model *m;
    void (*fn)(void *ctx, uint32_t who);
    void (*unknown)(void *ctx, uint64_t id);
    void *ctx;
};

static bool ends_with(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

static bool names_recipient(struct kluis_str key)
{
    return kluis_str_is(key, "authorId") || kluis_str_is(key, "recipientId") || kluis_str_is(key, "voterId") || kluis_str_is(key, "adminId") ||
           ends_with(key, "RecipientId");
}

static void walk(const struct people_walk *w, const struct json *v)
{
    for (const struct json *m = v->child; m != NULL; m = m->next) {
        uint64_t id;
        uint8_t aci[16];
        if (m->type == JSON_OBJECT || m->type == JSON_ARRAY) {
            walk(w, m);
        } else if (v->type == JSON_OBJECT && names_recipient(m->key) && json_value_u64(m, &id)) {
            uint32_t who = model_who(w->m, id);
            if (who != NOBODY) {
                w->fn(w->ctx, who);
            } else if (w->unknown != NULL) {
                w->unknown(w->ctx, id);
            }
        } else if (v->type == JSON_OBJECT && m->type == JSON_STRING && m->text.len == 24 &&
                   (ends_with(m->key, "Aci") || kluis_str_is(m->key, "aci")) && json_bytes(m, aci, sizeof aci)) {
            uint32_t who = model_who_aci(w->m, aci);
            if (who != NOBODY) { w->fn(w->ctx, who); }
        }
    }
}

void item_people(const struct model *m, struct json *item, void (*fn)(void *ctx, uint32_t who), void *ctx)
{
    const struct people_walk w = { .m = m, .fn = fn, .ctx = ctx };
    walk(&w, item);
}

struct refer_ctx {
    struct model *m;
    uint32_t chat;
    uint64_t number;
    struct kluis_err *err;
    kluis_status rc;
};

static void refer_known(void *ctx, uint32_t who)
{
    struct refer_ctx *r = ctx;
    if (r->rc == KLUIS_OK) { r->rc = refer(r->m, &r->m->chat[r->chat], who, r->err); }
}

/* An export may lack a recipient that its items name: such a person is kept by number, and a later frame may still say who it is. */
static void refer_unknown(void *ctx, uint64_t id)
{
    struct refer_ctx *r = ctx;
    uint32_t who = NOBODY;
    if (r->rc == KLUIS_OK && r->m->strict) { r->rc = model_wrong(r->m, r->number, r->err, "it names a recipient that no frame before it tells of"); }
    if (r->rc == KLUIS_OK) { r->rc = who_get(r->m, id, &who, r->err); }
    if (r->rc == KLUIS_OK) { refer_known(ctx, who); }
}

/* ---- frames ------------------------------------------------------------------------------------------ */

static void count_frame(struct model *m, struct kluis_str name, uint64_t number)
{
    char shown[48];
    size_t n = name.len < sizeof shown - 1 ? name.len : sizeof shown - 1;
    if (name.ptr == NULL) { n = 0; }
    for (size_t i = 0; i < n; i++) { shown[i] = name.ptr[i] > ' ' && name.ptr[i] < 0x7f ? name.ptr[i] : '?'; }
    shown[n] = '\0';
    for (unsigned i = 0; i < m->n_others; i++) {
        if (strcmp(m->others[i].name, shown) == 0) {
            m->others[i].n++;
            return;
        }
    }
    if (m->n_others == FRAME_KINDS_MAX) { /* all further kinds under one name */
        m->others[FRAME_KINDS_MAX - 1].n++;
        return;
    }
    struct frame_count *f = &m->others[m->n_others++];
    memcpy(f->name, shown, n + 1);
    f->n = 1;
    f->first = number;
}

kluis_status model_wrong(const struct model *m, uint64_t number, struct kluis_err *err, const char *what)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: %s %llu: %s; let Signal make the %s again", m->path, m->frames.unit, (unsigned long long)number, what,
                      m->what);
}

static kluis_status take_recipient(struct model *m, struct json *r, uint64_t number, struct kluis_err *err)
{
    uint64_t id;
    uint32_t i;
    if (!json_u64(r, "id", &id)) { return model_wrong(m, number, err, "a recipient without id"); }
    KLUIS_TRY(who_get(m, id, &i, err));
    if (m->who[i].kind != WHO_MISSING) { return model_wrong(m, number, err, "a recipient id that occurred before"); }
    KLUIS_TRY(people_recipient(m, r, &m->who[i], err));
    if (m->who[i].kind == WHO_SELF) { m->self = i; }
    if (m->who[i].has_aci) { KLUIS_TRY(map_put(m, &m->who_by_aci, aci_hash(m->who[i].aci), i, err)); }
    return KLUIS_OK;
}

static kluis_status take_chat(struct model *m, struct json *chat, uint64_t number, struct kluis_err *err)
{
    uint64_t id, who_id;
    struct chat *c;
    if (!json_u64(chat, "id", &id) || !json_u64(chat, "recipientId", &who_id)) {
        return model_wrong(m, number, err, "a chat without id or recipient");
    }
    KLUIS_TRY(chat_get(m, &m->chat_by_id, id, &c, err));
    if (c->defined) { return model_wrong(m, number, err, "a chat id that occurred before"); }
    c->defined = true;
    (void)json_u64(chat, "expirationTimerMs", &c->timer_ms);
    uint32_t who;
    uint64_t pin;
    if (m->strict && model_who(m, who_id) == NOBODY) {
        return model_wrong(m, number, err, "a chat with a recipient that no frame before it tells of");
    }
    if (m->strict && json_u64(chat, "pinnedOrder", &pin)) {
        if (map_get(m->pins, pin) != NOBODY) { return model_wrong(m, number, err, "a place among the pinned chats that another chat has"); }
        KLUIS_TRY(map_put(m, &m->pins, pin, 0, err));
    }
    KLUIS_TRY(who_get(m, who_id, &who, err));
    c->who = who;
    return refer(m, c, who, err);
}

static kluis_status take_item(struct model *m, struct json *item, struct map **map, const char *id_name, const struct frame *f, struct kluis_err *err)
{
    uint64_t id = 0;
    struct chat *c;
    if (!json_u64(item, id_name, &id)) { return model_wrong(m, f->number, err, "an item without a chat"); }
    KLUIS_TRY(chat_get(m, map, id, &c, err));
    struct refer_ctx r = { .m = m, .chat = (uint32_t)(c - m->chat), .number = f->number, .err = err };
    if (m->strict) { KLUIS_TRY(model_check_item(m, item, f->number, err)); }
    const struct people_walk w = { .m = m, .fn = refer_known, .unknown = refer_unknown, .ctx = &r };
    if (map == &m->link_by_id && c->who == NOBODY) {
        uint32_t who;
        c->link = true;
        KLUIS_TRY(who_get(m, id, &who, err));
        c = &m->chat[r.chat];
        c->who = who;
    }
    walk(&w, item);
    KLUIS_TRY(r.rc);
    return item_at(m, &m->chat[r.chat], f, err);
}

static struct json *frame_item(struct json *frame)
{
    for (struct json *v = frame->child; v != NULL; v = v->next) {
        if (v->type == JSON_OBJECT) { return v; }
    }
    return NULL;
}

uint32_t model_chat_of(const struct model *m, struct json *frame, struct json **item)
{
    uint64_t id;
    *item = json_object(frame, "chatItem");
    if (*item != NULL) { return json_u64(*item, "chatId", &id) ? map_get(m->chat_by_id, id) : NOBODY; }
    *item = json_object(frame, "adHocCall");
    return *item != NULL && json_u64(*item, "recipientId", &id) ? map_get(m->link_by_id, id) : NOBODY;
}

static kluis_status take_frame(struct model *m, const struct frame *f, struct kluis_err *err)
{
    struct json *item = frame_item(f->tree);
    const uint64_t number = f->number;
    if (item == NULL) {
        count_frame(m, f->tree->child != NULL ? f->tree->child->key : KLUIS_STR_LIT("empty"), number);
        return KLUIS_OK;
    }
    if (kluis_str_is(item->key, "recipient")) { return take_recipient(m, item, number, err); }
    if (kluis_str_is(item->key, "chat")) { return take_chat(m, item, number, err); }
    if (kluis_str_is(item->key, "chatItem")) { return take_item(m, item, &m->chat_by_id, "chatId", f, err); }
    if (kluis_str_is(item->key, "adHocCall")) { return take_item(m, item, &m->link_by_id, "recipientId", f, err); }
    if (kluis_str_is(item->key, "account")) {
        if (m->accounts++ > 0 && m->strict) { return model_wrong(m, number, err, "a second account"); }
        return people_account(m, item, err);
    }
    count_frame(m, item->key, number);
    return KLUIS_OK;
}

static kluis_status take_info(struct model *m, struct json *first, struct kluis_err *err)
{
    uint64_t version = 0;
    if (!json_u64(first, "version", &version) || !json_u64(first, "backupTimeMs", &m->exported_ms)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no %s: its first %s states no version and time; give what Signal itself made", m->path, m->what,
                          m->frames.unit);
    }
    if (version != 1) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: version %llu of the %s is not known to this reader; update Chatkluis", m->path,
                          (unsigned long long)version, m->what);
    }
    struct kluis_str app = json_string(first, "currentAppVersion");
    if (app.ptr != NULL) {
        m->app_version = kluis_arena_str(m->people, app);
        if (m->app_version.ptr == NULL) { return no_memory(err); }
    }
    return KLUIS_OK;
}

/* Members of groups of whom the export tells nothing but the account id become people too. */
static kluis_status add_strangers(struct model *m, struct kluis_err *err)
{
    uint64_t id = UINT64_MAX;
    for (uint32_t i = 0, n = m->n_who; i < n; i++) {
        for (uint32_t k = 0; k < m->who[i].n_members; k++) {
            const uint8_t *aci = m->who[i].members[k];
            uint32_t at;
            if (model_who_aci(m, aci) != NOBODY) { continue; }
            while (model_who(m, id) != NOBODY) { id--; }
            KLUIS_TRY(who_new(m, id, &at, err));
            struct who *w = &m->who[at];
            memcpy(w->aci, aci, sizeof w->aci);
            w->has_aci = true;
            w->kind = WHO_CONTACT;
            w->party = (struct kluis_party){ .id = uuid_text(m->people, aci) };
            w->key = w->party.id;
            if (w->key.ptr == NULL) { return no_memory(err); }
            KLUIS_TRY(map_put(m, &m->who_by_aci, aci_hash(aci), at, err));
        }
    }
    return KLUIS_OK;
}

static void note_damage(struct model *m, const struct frame *f)
{
    if (m->n_damage == DAMAGES_MAX) {
        m->damage[DAMAGES_MAX - 1].n++;
        return;
    }
    m->damage[m->n_damage++] = (struct damage){ .at = f->at, .number = f->number, .why = f->damage, .n = 1 };
}

static kluis_status next_frame(struct model *m, struct frame *f, struct kluis_err *err)
{
    const struct frames *s = &m->frames;
    if (s->raw == NULL) { return s->next(s->ctx, m->tree, f, err); }
    KLUIS_TRY(s->raw(s->ctx, f, err));
    return s->tree(s->ctx, f, m->tree, err);
}

kluis_status model_index(struct model *m, struct kluis_err *err)
{
    struct frame f;
    kluis_status rc;
    uint64_t n = 0;
    while ((rc = next_frame(m, &f, err)) == KLUIS_OK) {
        n++;
        if (f.tree == NULL && n == 1) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no %s: %s", m->path, m->what, f.damage); }
        if (f.tree == NULL) {
            note_damage(m, &f);
        } else if (n == 1) {
            KLUIS_TRY(take_info(m, f.tree, err));
        } else {
            KLUIS_TRY(take_frame(m, &f, err));
        }
    }
    if (rc != KLUIS_END) { return rc; }
    if (n == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: the file is empty; let Signal make the %s again", m->path, m->what); }
    if (m->strict && m->accounts == 0 && m->n_damage == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no account frame in it; let Signal make the %s again", m->path, m->what);
    }
    people_find_self(m);
    if (m->self != NOBODY && m->who[m->self].has_aci) { KLUIS_TRY(map_put(m, &m->who_by_aci, aci_hash(m->who[m->self].aci), m->self, err)); }
    return add_strangers(m, err);
}

kluis_status model_again(struct model *m, struct frame *f, struct kluis_err *err)
{
    kluis_status rc;
    do {
        rc = next_frame(m, f, NULL);
    } while (rc == KLUIS_OK && f->tree == NULL);
    if (rc == KLUIS_OK || rc == KLUIS_END || rc == KLUIS_E_NOMEM) { return rc; }
    return KLUIS_FAIL(err, rc == KLUIS_E_IO ? rc : KLUIS_E_REJECT, "%s: it changed while it was read; try again", m->path);
}

kluis_status model_offsets(struct model *m, uint32_t first, uint32_t n, struct kluis_err *err)
{
    struct frame f;
    kluis_status rc;
    drop_offsets(m);
    for (uint32_t i = first; i < first + n; i++) { m->chat[i].last = 0; }
    KLUIS_TRY(m->frames.seek(m->frames.ctx, 0, err));
    while ((rc = model_again(m, &f, err)) == KLUIS_OK) {
        struct json *item;
        uint32_t c = model_chat_of(m, f.tree, &item);
        if (c < first || c >= first + n) { continue; }
        uint8_t bytes[10];
        unsigned k = varint(f.at - m->chat[c].last, bytes);
        m->chat[c].last = f.at;
        KLUIS_TRY(keep_offset(&m->chat[c], bytes, k, &m->offsets_held, err));
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

void model_free(struct model *m)
{
    for (uint32_t i = 0; i < m->n_chat; i++) {
        kluis_free(m->chat[i].offsets);
        kluis_free(m->chat[i].refs);
    }
    kluis_free(m->chat);
    kluis_free(m->who);
    map_free(m->who_by_id);
    map_free(m->who_by_aci);
    map_free(m->chat_by_id);
    map_free(m->link_by_id);
    kluis_arena_free(m->people);
    map_free(m->pins);
    kluis_arena_free(m->tree);
}
