/* wire.c - from protobuf to a tree, by the tables of schema.c.
 */
#include "agent/source/signal_archive/wire.h"

struct build {
    struct kluis_arena *arena;
    const char *damage;
    unsigned depth;
};

static struct json *full(struct build *b)
{
    b->damage = "more values than a frame may hold";
    return NULL;
}

static struct json *new_value(struct build *b, enum json_type type, struct kluis_bytes raw)
{
    struct json *v = kluis_arena_alloc(b->arena, sizeof *v);
    if (v == NULL) { return full(b); }
    v->type = type;
    v->wire = true;
    v->raw = (struct kluis_str){ (const char *)raw.ptr, raw.len };
    return v;
}

/* Integers are written here: the arena clears what it gives, and this is the commonest value. */
static struct kluis_str decimal(struct build *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    char *p = kluis_arena_alloc(b->arena, sizeof digits - at);
    if (p == NULL) {
        (void)full(b);
        return (struct kluis_str){ "", 0 };
    }
    memcpy(p, digits + at, sizeof digits - at);
    return (struct kluis_str){ p, sizeof digits - at };
}

static struct kluis_str base64(struct build *b, struct kluis_bytes bytes)
{
    char *p = kluis_arena_alloc(b->arena, kluis_base64_len(bytes.len) + 1);
    if (p == NULL) {
        (void)full(b);
        return (struct kluis_str){ "", 0 };
    }
    return (struct kluis_str){ p, kluis_base64(bytes.ptr, bytes.len, p) };
}

/* Text as it stands; what is no UTF-8 is shown as U+FFFD, byte by byte, and stays in raw. */
static void text(struct build *b, struct json *v, struct kluis_bytes bytes)
{
    const char *p = (const char *)bytes.ptr;
    size_t n = bytes.len, valid = kluis_utf8_valid(p, n);
    v->text = (struct kluis_str){ p, n };
    if (valid == n) { return; }
    v->damaged = true;
    char *out = kluis_arena_alloc(b->arena, n * 3), *w = out;
    if (out == NULL) {
        (void)full(b);
        return;
    }
    for (size_t at = 0; at < n;) {
        size_t ok = kluis_utf8_valid(p + at, n - at);
        memcpy(w, p + at, ok);
        w += ok;
        at += ok;
        if (at == n) { break; }
        memcpy(w, "\xef\xbf\xbd", 3);
        w += 3;
        at++;
    }
    v->text = (struct kluis_str){ out, (size_t)(w - out) };
}

static struct kluis_str enum_name(const char *names, uint64_t value)
{
    const char *p = names;
    for (; value > 0 && p != NULL; value--) {
        p = strchr(p, ' ');
        if (p != NULL) { p++; }
    }
    return p == NULL ? (struct kluis_str){ NULL, 0 } : (struct kluis_str){ p, strcspn(p, " ") };
}

static struct json *message(struct build *b, struct kluis_bytes bytes, const struct wire_message *type, struct json *into);

/* One number of a field of this kind. */
static struct json *number(struct build *b, const struct wire_field *f, uint64_t n, struct kluis_bytes raw)
{
    if (f->kind == WIRE_BOOL) { return new_value(b, n != 0 ? JSON_TRUE : JSON_FALSE, raw); }
    struct kluis_str name = f->kind == WIRE_ENUM ? enum_name(f->values, n) : (struct kluis_str){ NULL, 0 };
    struct json *v = new_value(b, f->kind == WIRE_U64 || name.ptr != NULL ? JSON_STRING : JSON_NUMBER, raw);
    if (v != NULL) { v->text = name.ptr != NULL ? name : decimal(b, f->kind == WIRE_U32 ? (uint32_t)n : n); }
    return v;
}

static bool fits(const struct wire_field *f, enum pb_type t)
{
    switch (f->kind) {
    case WIRE_STRING:
    case WIRE_BYTES:
    case WIRE_MESSAGE: return t == PB_BYTES;
    case WIRE_FIXED32: return t == PB_FIXED32;
    default: return t == PB_VARINT;
    }
}

static struct json *value(struct build *b, const struct wire_field *f, const struct pb_field *in, struct kluis_bytes raw, struct json *into)
{
    struct json *v = NULL;
    if (f->kind == WIRE_MESSAGE) { return message(b, in->bytes, f->of, into); }
    if (f->kind != WIRE_STRING && f->kind != WIRE_BYTES) { return number(b, f, in->value, raw); }
    v = new_value(b, JSON_STRING, in->bytes);
    if (v == NULL) { return NULL; }
    if (f->kind == WIRE_STRING) {
        text(b, v, in->bytes);
    } else {
        v->text = base64(b, in->bytes);
    }
    return v;
}

/* A field that no table knows, or of another type than the table says. */
static struct json *foreign(struct build *b, const struct pb_field *in, struct kluis_bytes raw)
{
    struct json *v = new_value(b, in->type == PB_BYTES ? JSON_STRING : JSON_NUMBER, raw);
    if (v == NULL) { return NULL; }
    v->foreign = true;
    v->text = in->type == PB_BYTES ? base64(b, in->bytes) : decimal(b, in->value);
    struct kluis_str n = decimal(b, in->number);
    char *key = kluis_arena_alloc(b->arena, n.len + 6);
    if (key == NULL) { return full(b); }
    memcpy(key, "field-", 6);
    memcpy(key + 6, n.ptr, n.len);
    v->key = (struct kluis_str){ key, n.len + 6 };
    return v;
}

static bool is_default(const struct wire_field *f, const struct pb_field *in)
{
    return f->presence == WIRE_PLAIN && (in->type == PB_BYTES ? in->bytes.len == 0 : in->value == 0);
}

/* Where values of a list go, and numbers packed into one field. */
struct list {
    struct json *array, **tail;
};

static bool append(struct build *b, struct list *l, struct json *v)
{
    if (v == NULL) { return false; }
    *l->tail = v;
    l->tail = &v->next;
    return b->damage == NULL;
}

static bool packed(struct build *b, const struct wire_field *f, const struct pb_field *in, struct list *l)
{
    const uint8_t *p = in->bytes.ptr, *end = p + in->bytes.len;
    while (p < end) {
        uint64_t n = 0;
        const uint8_t *start = p;
        if (f->kind == WIRE_FIXED32 && end - p >= 4) {
            n = (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
            p += 4;
        } else if (f->kind == WIRE_FIXED32 || !pb_varint(&p, end, &n)) {
            b->damage = "a list of numbers that ends in the middle";
            return false;
        }
        if (!append(b, l, number(b, f, n, (struct kluis_bytes){ start, (size_t)(p - start) }))) { return false; }
    }
    return true;
}

static const struct wire_field *field_of(const struct wire_message *type, uint32_t number_, unsigned *hint)
{
    for (unsigned k = 0; k < type->n; k++) { /* fields come in order, so the next one is mostly the one after the last */
        unsigned i = (*hint + k) % type->n;
        if (type->fields[i].number == number_) {
            *hint = i;
            return &type->fields[i];
        }
    }
    return NULL;
}

/* Names are those of the tables, so the same name is the same pointer. */
static struct json *find(struct json *object, const struct wire_field *f)
{
    for (struct json *m = object->child; m != NULL; m = m->next) {
        if (m->key.ptr == f->name) { return m; }
    }
    return NULL;
}

/* into: the value a field had before in the same message; a message that comes twice is one, as protobuf says. */
static struct json *message(struct build *b, struct kluis_bytes bytes, const struct wire_message *type, struct json *into)
{
    struct json *o = into != NULL ? into : new_value(b, JSON_OBJECT, bytes);
    struct pb m = pb_open(bytes);
    struct pb_field in;
    const struct wire_field *last = NULL;
    struct list list = { NULL, NULL };
    unsigned hint = 0;
    int more;
    if (o == NULL) { return NULL; }
    if (++b->depth > JSON_DEPTH_MAX) {
        b->damage = "nested deeper than 64 levels";
        return NULL;
    }
    struct json **tail = &o->child;
    while (*tail != NULL) { tail = &(*tail)->next; }
    for (const uint8_t *start = m.p; b->damage == NULL && (more = pb_next(&m, &in)) != 0; start = m.p) {
        if (more < 0) {
            b->damage = "no protobuf message";
            break;
        }
        const struct kluis_bytes raw = { start, (size_t)(m.p - start) };
        const struct wire_field *f = field_of(type, in.number, &hint);
        const bool many = f != NULL && f->presence == WIRE_MANY;
        const bool pack = many && in.type == PB_BYTES && !fits(f, PB_BYTES);
        struct json *v = NULL;
        if (f == NULL || (!pack && !fits(f, in.type))) {
            v = foreign(b, &in, raw);
        } else if (many) {
            if (f != last) {
                list.array = find(o, f);
                if (list.array == NULL) {
                    list.array = v = new_value(b, JSON_ARRAY, bytes);
                    if (v == NULL) { break; }
                }
                list.tail = &list.array->child;
                while (*list.tail != NULL) { list.tail = &(*list.tail)->next; }
                last = f;
            }
            if (pack ? !packed(b, f, &in, &list) : !append(b, &list, value(b, f, &in, raw, NULL))) { break; }
            if (v == NULL) { continue; }
        } else {
            if (is_default(f, &in)) { continue; }
            struct json *before = find(o, f);
            v = value(b, f, &in, raw, f->kind == WIRE_MESSAGE && before != NULL ? before : NULL);
            if (v == NULL) { break; }
            if (before != NULL) { /* the last one said counts */
                struct json *next = before->next;
                if (v != before) { *before = *v; }
                before->next = next;
                before->key = (struct kluis_str){ f->name, f->len };
                continue;
            }
        }
        if (v == NULL) { break; }
        if (f != NULL && !v->foreign) { v->key = (struct kluis_str){ f->name, f->len }; }
        *tail = v;
        tail = &v->next;
    }
    b->depth--;
    return b->damage == NULL ? o : NULL;
}

void wire_tree(struct kluis_bytes bytes, const struct wire_message *type, struct kluis_arena *arena, struct json **out, const char **damage)
{
    struct build b = { .arena = arena };
    *out = message(&b, bytes, type, NULL);
    *damage = b.damage;
    if (b.damage != NULL) { *out = NULL; }
}
