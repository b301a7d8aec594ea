/* draft.c - one record being put together: lists kept within their ceilings, sorted and unique when it is sent.
 */
#include "agent/source/signal_model/model.h"

/* Milliseconds of 31 December 9999; beyond it a time is kept as a number. */
#define MS_MAX UINT64_C(253402300799999)

struct draft *draft_new(struct emit *e, enum kluis_kind kind)
{
    struct draft *d = &e->draft;
    memset(&d->r, 0, sizeof d->r);
    d->r.kind = kind;
    d->r.author = d->r.target_author = KLUIS_NO_PARTY;
    d->r.sent.us = d->r.target_sent.us = KLUIS_TIME_ABSENT;
    d->r.zone = KLUIS_ZONE_STATED;
    d->r.times = d->times;
    d->r.fields = d->fields;
    d->r.loss = d->loss;
    d->r.attachments = d->attachments;
    return d;
}

struct kluis_when when_ms(uint64_t ms) { return (struct kluis_when){ .us = ms > MS_MAX ? KLUIS_TIME_ABSENT : (int64_t)ms * 1000 }; }

void draft_loss(struct draft *d, const char *token)
{
    for (size_t i = 0; i < d->r.n_loss; i++) {
        if (kluis_str_is(d->loss[i], token)) { return; }
    }
    if (d->r.n_loss < DRAFT_LOSS) { d->loss[d->r.n_loss++] = kluis_str_of(token); }
}

void draft_time(struct draft *d, const char *name, uint64_t ms)
{
    if (ms > MS_MAX) {
        draft_loss(d, "time-out-of-range");
    } else if (ms > 0 && d->r.n_times < DRAFT_TIMES) {
        d->times[d->r.n_times++] = (struct kluis_time_field){ .name = kluis_str_of(name), .when = when_ms(ms) };
    }
}

static void add_field(struct draft *d, struct kluis_field f)
{
    if (f.name.ptr == NULL || d->r.n_fields == KLUIS_FIELDS_MAX) {
        draft_loss(d, "fields-beyond-256");
    } else {
        d->fields[d->r.n_fields++] = f;
    }
}

static void text_field(struct emit *e, struct draft *d, struct kluis_str name, struct kluis_str value)
{
    if (value.ptr == NULL) { return; }
    if (value.len > KLUIS_TEXT_MAX || e->rc != KLUIS_OK) {
        draft_loss(d, "field-too-long");
    } else {
        add_field(d, (struct kluis_field){ .name = name, .value = value });
    }
}

void draft_text(struct emit *e, struct draft *d, const char *name, struct kluis_str value) { text_field(e, d, kluis_str_of(name), value); }

void draft_number(struct emit *e, struct draft *d, const char *name, uint64_t n)
{
    char digits[KLUIS_DECIMAL];
    if (n <= (uint64_t)KLUIS_INT_MAX_JSON) {
        add_field(d, (struct kluis_field){ .name = kluis_str_of(name), .number = (int64_t)n, .is_int = true });
    } else {
        text_field(e, d, kluis_str_of(name), kluis_arena_str(e->arena, kluis_decimal(n, digits)));
    }
}

struct kluis_str kebab(struct kluis_arena *a, struct kluis_str s)
{
    char *out = kluis_arena_alloc(a, s.len * 2 + 1), *w = out;
    if (out == NULL) { return (struct kluis_str){ NULL, 0 }; }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool upper = c >= 'A' && c <= 'Z';
        if (upper && i > 0 && s.ptr[i - 1] >= 'a' && s.ptr[i - 1] <= 'z') { *w++ = '-'; }
        *w++ = c == '_' ? '-' : upper ? (char)(c + 32) : c;
    }
    return (struct kluis_str){ out, (size_t)(w - out) };
}

/* An element of a list counts as looked at when one of its members was. */
static bool looked_at(const struct json *list, const struct json *m)
{
    if (m->used != 0 || list->type != JSON_ARRAY || (m->type != JSON_OBJECT && m->type != JSON_ARRAY)) { return m->used == 1; }
    for (const struct json *c = m->child; c != NULL; c = c->next) {
        if (c->used != 0) { return true; }
    }
    return false;
}

void draft_rest(struct emit *e, struct draft *d, const char *path, struct json *v)
{
    unsigned i = 0;
    for (struct json *m = v->child; m != NULL; m = m->next, i++) {
        const bool holder = m->type == JSON_OBJECT || m->type == JSON_ARRAY;
        const bool looked = looked_at(v, m);
        if (m->used == 2 || m->type == JSON_NULL || (looked && (!holder || m->child == NULL))) { continue; }
        char digits[KLUIS_DECIMAL];
        struct kluis_str below = v->type == JSON_ARRAY ? kluis_decimal(i, digits) : m->key;
        if (below.len > 200) { below.len = 200; }
        struct kluis_str name = kluis_arena_join(e->arena, (const struct kluis_str[]){ kluis_str_of(path), KLUIS_STR_LIT("."), below }, 3);
        if (name.ptr == NULL || name.len > 240) {
            draft_loss(d, "fields-too-deep");
        } else if (looked) {
            draft_rest(e, d, name.ptr, m);
        } else {
            text_field(e, d, name, m->type == JSON_STRING ? m->text : json_shown(m, e->arena));
        }
    }
}

static int by_name(struct kluis_str a, struct kluis_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}
static int field_order(const void *a, const void *b) { return by_name(((const struct kluis_field *)a)->name, ((const struct kluis_field *)b)->name); }
static int time_order(const void *a, const void *b)
{
    return by_name(((const struct kluis_time_field *)a)->name, ((const struct kluis_time_field *)b)->name);
}

/* Two things under one name: the second gets a name of its own, nothing is lost. */
static void make_unique(struct emit *e, struct draft *d)
{
    for (int round = 0; round < 8; round++) {
        bool again = false;
        qsort(d->fields, d->r.n_fields, sizeof *d->fields, field_order);
        for (size_t i = 1; i < d->r.n_fields; i++) {
            if (field_order(&d->fields[i - 1], &d->fields[i]) != 0) { continue; }
            struct kluis_str n = d->fields[i].name;
            struct kluis_str other = arena_fmt(e->arena, "%.*s.%zu", (int)n.len, n.ptr, i);
            if (other.ptr != NULL) { d->fields[i].name = other; }
            again = true;
        }
        if (!again) { return; }
    }
}

void draft_send(struct emit *e, struct draft *d, struct kluis_str raw)
{
    if (e->rc != KLUIS_OK) { return; }
    if (d->r.n_fields > 1) { make_unique(e, d); }
    if (d->r.n_times > 1) { qsort(d->times, d->r.n_times, sizeof *d->times, time_order); }
    if (d->r.text.ptr != NULL && d->r.text.len > KLUIS_TEXT_MAX) {
        e->rc = KLUIS_FAIL(e->err, KLUIS_E_LIMIT, "%s: a message of more than 1 MiB of text; remove it from the export", e->m->path);
        return;
    }
    e->rc = e->sink->record(e->sink->ctx, &d->r, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, e->err);
}

struct kluis_str message_id(struct emit *e, uint32_t who, uint64_t ms, const char *suffix)
{
    struct kluis_str key = who == NOBODY ? KLUIS_STR_LIT("unknown") : e->m->who[who].key;
    char digits[KLUIS_DECIMAL];
    const struct kluis_str pieces[] = { key, KLUIS_STR_LIT(":"), kluis_decimal(ms, digits), kluis_str_of(suffix) };
    struct kluis_str id = kluis_arena_join(e->arena, pieces, 4);
    if (id.ptr == NULL && e->rc == KLUIS_OK) { e->rc = KLUIS_FAIL(e->err, KLUIS_E_NOMEM, "out of memory; try again"); }
    return id;
}

uint32_t party_index(const struct emit *e, uint32_t who) { return who == NOBODY ? KLUIS_NO_PARTY : e->party_of[who]; }

uint32_t who_member(struct emit *e, struct json *object, const char *name)
{
    uint64_t id;
    return json_u64(object, name, &id) ? model_who(e->m, id) : NOBODY;
}
