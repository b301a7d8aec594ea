/* lists.c - users.json, and channels.json, groups.json, dms.json, mpims.json. */
#include "agent/source/slack/slack.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

static uint32_t hash(struct kluis_str s) { return (uint32_t)kluis_str_hash(s, 0); }

static void put_slot(struct list *l, uint32_t *slots, uint32_t n, struct kluis_str key, uint32_t i)
{
    (void)l;
    uint32_t k = hash(key) & (n - 1);
    while (slots[k] != 0) { k = (k + 1) & (n - 1); }
    slots[k] = i + 1;
}

/* false: no more room; such an entry goes without. */
static bool add(struct list *l, const struct entry *e)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap == 0 ? 256 : l->cap * 2;
        struct entry *p = cap > LIST_MAX ? NULL : kluis_realloc(l->at, cap * sizeof *p);
        if (p == NULL) { return false; }
        l->at = p;
        l->cap = cap;
    }
    if ((l->n + 1) * 4 > l->n_slots) { /* two slots an entry at most: id and name */
        uint32_t n = l->n_slots == 0 ? 1024 : l->n_slots * 2, *s = kluis_calloc(n, sizeof *s);
        if (s == NULL) { return false; }
        for (uint32_t i = 0; i < l->n; i++) {
            put_slot(l, s, n, l->at[i].id, i);
            if (l->at[i].name.ptr != NULL) { put_slot(l, s, n, l->at[i].name, i); }
        }
        kluis_free(l->slots);
        l->slots = s;
        l->n_slots = n;
    }
    l->at[l->n] = *e;
    put_slot(l, l->slots, l->n_slots, e->id, l->n);
    if (e->name.ptr != NULL) { put_slot(l, l->slots, l->n_slots, e->name, l->n); }
    l->n++;
    return true;
}

static const struct entry *find(const struct list *l, struct kluis_str key, bool by_name)
{
    if (l->n_slots == 0 || key.len == 0) { return NULL; }
    for (uint32_t k = hash(key) & (l->n_slots - 1); l->slots[k] != 0; k = (k + 1) & (l->n_slots - 1)) {
        const struct entry *e = &l->at[l->slots[k] - 1];
        if (kluis_str_eq(e->id, key) || (by_name && kluis_str_eq(e->name, key))) { return e; }
    }
    return NULL;
}
const struct entry *slack_user(const struct slack *s, struct kluis_str id) { return find(&s->users, id, false); }
const struct entry *slack_channel(const struct slack *s, struct kluis_str key) { return find(&s->channels, key, true); }

void slack_lists_free(struct slack *s)
{
    kluis_free(s->users.at);
    kluis_free(s->users.slots);
    kluis_free(s->channels.at);
    kluis_free(s->channels.slots);
}

static bool has_id(struct json *m) { return json_string(m, "id").ptr != NULL; }

static kluis_status on_user(void *ctx, struct json *m, KLUIS_UNUSED struct kluis_str raw, KLUIS_UNUSED uint64_t at,
                            KLUIS_UNUSED struct kluis_err *err)
{
    struct slack *s = ctx;
    struct json *p = json_object(m, "profile");
    struct kluis_str id = json_string(m, "id"), name = json_string(p, "display_name");
    if (name.ptr == NULL) { name = json_string(p, "real_name"); }
    if (name.ptr == NULL) { name = json_string(m, "real_name"); }
    if (name.ptr == NULL) { name = json_string(m, "name"); }
    struct entry e = { .id = kluis_arena_str(s->kept, id), .name = kluis_arena_str(s->kept, name) };
    if (e.id.ptr != NULL && slack_user(s, id) == NULL) { (void)add(&s->users, &e); }
    return KLUIS_OK;
}

struct channels {
    struct slack *s;
    enum kluis_conversation_type type;
};
static kluis_status on_channel(void *ctx, struct json *m, KLUIS_UNUSED struct kluis_str raw, KLUIS_UNUSED uint64_t at,
                               KLUIS_UNUSED struct kluis_err *err)
{
    const struct channels *c = ctx;
    struct slack *s = c->s;
    struct kluis_str id = json_string(m, "id"), name = json_string(m, "name"), only = absent();
    struct json *list = json_array(m, "members");
    unsigned n = 0;
    kluis_buf_clear(&s->text);
    struct entry e = { .type = (uint8_t)c->type };
    bool same = true;
    for (struct json *p = list == NULL ? NULL : list->child; p != NULL; p = p->next) {
        if (p->type != JSON_STRING || p->text.len == 0 || memchr(p->text.ptr, ' ', p->text.len) != NULL) { continue; }
        if (n++ == MEMBERS_MAX) {
            e.more_members = true;
            break;
        }
        if (n > 1) { kluis_buf_byte(&s->text, ' '); }
        kluis_buf_str(&s->text, p->text);
        same = same && (only.ptr == NULL || kluis_str_eq(only, p->text));
        only = p->text;
    }
    if (c->type == KLUIS_DIRECT && n > 1 && same) { e.type = KLUIS_SELF; }
    e.id = kluis_arena_str(s->kept, id);
    e.name = kluis_arena_str(s->kept, name);
    if (s->text.len > 0) { e.members = kluis_arena_str(s->kept, (struct kluis_str){ (const char *)s->text.data, s->text.len }); }
    if (e.id.ptr != NULL && find(&s->channels, id, false) == NULL) { (void)add(&s->channels, &e); }
    return KLUIS_OK;
}

static kluis_status list_of(struct slack *s, const char *name, void *ctx,
                            kluis_status (*item)(void *, struct json *, struct kluis_str, uint64_t, struct kluis_err *), struct kluis_err *err)
{
    kluis_arena_clear(s->scratch);
    struct kluis_str full = build_fmt(s->scratch, "%s%s", s->root, name);
    uint32_t i = fileset_find(&s->files, full);
    struct fileset_stream state;
    struct kluis_input in;
    struct json_stream js = { 0 };
    struct kluis_err why = { 0 };
    enum json_items_end end;
    char c = 0;
    if (i == FILESET_NONE) { return KLUIS_OK; }
    KLUIS_TRY(fileset_input(&s->files, i, 0, &state, &in, err));
    KLUIS_TRY(json_stream_open(&js, &in, 0, s->files.list[i].name, MESSAGE_MAX, err));
    kluis_status rc = json_stream_peek(&js, &c, &why);
    if (rc == KLUIS_OK && c == '[') {
        rc = json_stream_enter(&js, '[', &why);
        struct json_items items = { .stream = &js, .tree = s->tree, .first = "id", .ctx = ctx, .is_one = has_id, .item = item };
        if (rc == KLUIS_OK) { rc = json_items(&items, &end, &why); }
    }
    json_stream_close(&js);
    if (rc == KLUIS_OK || rc == KLUIS_END) { return KLUIS_OK; }
    if (err != NULL) { *err = why; }
    return rc;
}

kluis_status slack_lists(struct slack *s, struct kluis_err *err)
{
    static const struct {
        const char *name;
        enum kluis_conversation_type type;
    } lists[] = { { "channels.json", KLUIS_CHANNEL }, { "groups.json", KLUIS_GROUP }, { "dms.json", KLUIS_DIRECT }, { "mpims.json", KLUIS_GROUP } };
    KLUIS_TRY(list_of(s, "users.json", s, on_user, err));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct channels c = { s, lists[i].type };
        KLUIS_TRY(list_of(s, lists[i].name, &c, on_channel, err));
    }
    return KLUIS_OK;
}
