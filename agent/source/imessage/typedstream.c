/* typedstream.c - see typedstream.h.
 */
#include "agent/source/imessage/typedstream.h"

enum { INT16 = 0x81, INT32 = 0x82, REAL = 0x83, NEW = 0x84, NIL = 0x85, END = 0x86, FIRST_REFERENCE = 0x92 };
enum { STRINGS_MAX = 2048, OBJECTS_MAX = 8192, FIRST_ROOM = 32 };

struct object;
struct value {
    char type;
    int64_t n;
    struct kluis_bytes bytes; /* of + and of byte arrays */
    struct object *o;
    struct value *next;
};
struct object {              /* an object, a class, or a C string: they are numbered together */
    struct kluis_bytes name; /* of the class, or of the object's class */
    struct value *first, **tail;
};
struct parse {
    const uint8_t *p, *end;
    struct kluis_arena *arena;
    struct kluis_bytes *string;
    struct object **object;
    size_t n_strings, strings, n_objects, objects, values; /* how many there are, and for how many there is room */
    unsigned depth;
};

static bool byte(struct parse *s, uint8_t *out)
{
    if (s->p == s->end) { return false; }
    *out = *s->p++;
    return true;
}

static int64_t with_sign(uint8_t b) { return b <= INT8_MAX ? b : (int64_t)b - 256; }

/* A number: one byte, or a mark and two or four in the writer's order, which is little-endian on everything since 2006. */
static bool number(struct parse *s, int64_t *out)
{
    uint8_t b;
    if (!byte(s, &b)) { return false; }
    const size_t n = b == INT16 ? 2 : b == INT32 ? 4 : 0;
    if (n == 0) {
        *out = with_sign(b);
        return b < REAL || b >= FIRST_REFERENCE || b == 0;
    }
    if ((size_t)(s->end - s->p) < n) { return false; }
    *out = n == 2 ? (int16_t)(s->p[0] | s->p[1] << 8)
                  : (int32_t)((uint32_t)s->p[0] | (uint32_t)s->p[1] << 8 | (uint32_t)s->p[2] << 16 | (uint32_t)s->p[3] << 24);
    s->p += n;
    return true;
}

/* What was written without a sign. */
static int64_t unsigned_of(int64_t n) { return n >= 0 ? n : n >= INT16_MIN ? n + (1 << 16) : n + (INT64_C(1) << 32); }

/* Behind a first byte that is no mark: which number it refers to. */
static bool reference(struct parse *s, uint8_t first, size_t *out)
{
    int64_t n = with_sign(first);
    if (first == INT16 || first == INT32) {
        s->p--;
        if (!number(s, &n)) { return false; }
    } else if (first < FIRST_REFERENCE) {
        return false;
    }
    n -= (int8_t)FIRST_REFERENCE;
    *out = (size_t)n;
    return n >= 0;
}

static bool unshared(struct parse *s, struct kluis_bytes *out)
{
    int64_t n;
    if (!number(s, &n)) { return false; }
    n = unsigned_of(n);
    const bool whole = n <= s->end - s->p;
    *out = (struct kluis_bytes){ s->p, whole ? (size_t)n : (size_t)(s->end - s->p) }; /* what is there of one that is cut */
    s->p += out->len;
    return whole;
}

/* Twice as many; most texts hold a dozen. */
static bool room(struct kluis_arena *arena, void **list, size_t each, size_t *n, size_t most)
{
    const size_t more = *n == 0 ? FIRST_ROOM : *n * 2 < most ? *n * 2 : most;
    void *p = *n == most ? NULL : kluis_arena_bare(arena, more * each);
    if (p == NULL) { return false; }
    if (*n > 0) { memcpy(p, *list, *n * each); }
    *list = p;
    *n = more;
    return true;
}

static bool shared(struct parse *s, uint8_t first, struct kluis_bytes *out)
{
    size_t at;
    *out = (struct kluis_bytes){ NULL, 0 };
    if (first == NIL) { return true; }
    if (first == NEW) {
        if (s->n_strings == s->strings && !room(s->arena, (void **)&s->string, sizeof *s->string, &s->strings, STRINGS_MAX)) { return false; }
        if (!unshared(s, out)) { return false; }
        s->string[s->n_strings++] = *out;
        return true;
    }
    if (!reference(s, first, &at) || at >= s->n_strings) { return false; }
    *out = s->string[at];
    return true;
}

static struct object *new_object(struct parse *s)
{
    if (s->n_objects == s->objects && !room(s->arena, (void **)&s->object, sizeof *s->object, &s->objects, OBJECTS_MAX)) { return NULL; }
    struct object *o = kluis_arena_alloc(s->arena, sizeof *o);
    if (o == NULL) { return NULL; }
    o->tail = &o->first;
    s->object[s->n_objects++] = o;
    return o;
}

static bool old_object(struct parse *s, uint8_t first, struct object **out)
{
    size_t at;
    if (!reference(s, first, &at) || at >= s->n_objects) { return false; }
    *out = s->object[at];
    return true;
}

/* A class: its name, a version, the class above it, and so on up. */
static bool class_of(struct parse *s, struct kluis_bytes *name)
{
    struct kluis_bytes own;
    struct object *o = NULL;
    uint8_t b;
    int64_t version;
    for (unsigned up = 0; up < TYPED_DEPTH_MAX; up++) {
        if (!byte(s, &b)) { return false; }
        if (b == NIL) { return up > 0; }
        if (b != NEW) {
            if (!old_object(s, b, &o)) { return false; }
            if (up == 0) { *name = o->name; }
            return true;
        }
        o = new_object(s);
        if (o == NULL || !byte(s, &b) || !shared(s, b, &own) || own.ptr == NULL || !number(s, &version)) { return false; }
        o->name = own;
        if (up == 0) { *name = own; }
    }
    return false;
}

static bool object(struct parse *s, struct object **out);

/* "[12c]": so many bytes. */
static bool array(struct parse *s, const uint8_t **type, const uint8_t *end, struct kluis_bytes *out)
{
    size_t n = 0;
    while (*type < end && **type >= '0' && **type <= '9' && n < 1 << 24) { n = n * 10 + (size_t)(*(*type)++ - '0'); }
    if (end - *type < 2 || ((*type)[0] != 'c' && (*type)[0] != 'C') || (*type)[1] != ']' || n > (size_t)(s->end - s->p)) { return false; }
    *type += 2;
    *out = (struct kluis_bytes){ s->p, n };
    s->p += n;
    return true;
}

static bool c_string(struct parse *s, struct value *v)
{
    uint8_t b;
    if (!byte(s, &b)) { return false; }
    if (b == NIL) { return true; }
    if (b != NEW) { return old_object(s, b, &v->o); }
    v->o = new_object(s);
    return v->o != NULL && byte(s, &b) && shared(s, b, &v->bytes);
}

static bool real(struct parse *s, size_t n)
{
    uint8_t b;
    int64_t whole;
    if (!byte(s, &b)) { return false; }
    if (b != REAL) {
        s->p--;
        return number(s, &whole);
    }
    if ((size_t)(s->end - s->p) < n) { return false; }
    s->p += n; /* nobody here asks what it says */
    return true;
}

static bool one_value(struct parse *s, char type, const uint8_t **rest, const uint8_t *end, struct value *v)
{
    uint8_t b;
    v->type = type;
    switch (type) {
    case 'i':
    case 'I':
    case 's':
    case 'S':
    case 'l':
    case 'L':
    case 'q':
    case 'Q': return number(s, &v->n);
    case 'c':
    case 'C':
    case 'B':
        if (!byte(s, &b)) { return false; }
        v->n = b;
        return true;
    case 'f': return real(s, 4);
    case 'd': return real(s, 8);
    case '+': return unshared(s, &v->bytes);
    case '*': return c_string(s, v);
    case '@': return object(s, &v->o);
    case '[': return array(s, rest, end, &v->bytes);
    default: return false;
    }
}

/* The values of one type string, added to an object. */
static bool group(struct parse *s, uint8_t first, struct object *to)
{
    struct kluis_bytes type;
    if (!shared(s, first, &type) || type.ptr == NULL) { return false; }
    const uint8_t *end = type.ptr + type.len;
    for (const uint8_t *t = type.ptr; t < end;) {
        struct value *v = s->values++ == TYPED_VALUES_MAX ? NULL : kluis_arena_alloc(s->arena, sizeof *v);
        if (v == NULL) { return false; }
        const char c = (char)*t++;
        *to->tail = v; /* hung in before it is read: what can be read of it stays */
        to->tail = &v->next;
        if (!one_value(s, c, &t, end, v)) { return false; }
    }
    return true;
}

static bool object(struct parse *s, struct object **out)
{
    uint8_t b;
    if (!byte(s, &b)) { return false; }
    if (b == NIL) { return true; }
    if (b != NEW) { return old_object(s, b, out); }
    if (s->depth == TYPED_DEPTH_MAX) { return false; }
    struct object *o = *out = new_object(s);
    if (o == NULL || !class_of(s, &o->name)) { return false; }
    s->depth++;
    while (byte(s, &b)) {
        if (b == END) {
            s->depth--;
            return true;
        }
        if (!group(s, b, o)) { return false; }
    }
    return false;
}

/* ---- what is wanted of it ------------------------------------------------------------------------------------------------ */

static bool is(struct kluis_bytes b, const char *word) { return b.len == strlen(word) && memcmp(b.ptr, word, b.len) == 0; }

static struct kluis_str string_of(const struct object *o)
{
    if (o != NULL && (is(o->name, "NSString") || is(o->name, "NSMutableString")) && o->first != NULL && o->first->type == '+' &&
        o->first->bytes.ptr != NULL) {
        return (struct kluis_str){ (const char *)o->first->bytes.ptr, o->first->bytes.len };
    }
    return (struct kluis_str){ NULL, 0 };
}

static int64_t integer_of(const struct object *o)
{
    int64_t n = -1;
    for (const struct value *v = o != NULL && is(o->name, "NSNumber") ? o->first : NULL; v != NULL; v = v->next) {
        if (v->type != '*') { n = v->n; }
    }
    return n;
}

/* { count, key, value, key, value, … } */
static void attributes(const struct object *dictionary, struct typed_run *run)
{
    const struct value *v = dictionary != NULL ? dictionary->first : NULL;
    run->part = -1;
    for (v = v != NULL ? v->next : NULL; v != NULL && v->next != NULL; v = v->next->next) {
        const struct kluis_str key = string_of(v->o);
        if (kluis_str_is(key, "__kIMMessagePartAttributeName")) { run->part = integer_of(v->next->o); }
        if (kluis_str_is(key, "__kIMFileTransferGUIDAttributeName")) { run->file = string_of(v->next->o); }
        if (kluis_str_is(key, "__kIMMentionConfirmedMention")) { run->mention = string_of(v->next->o); }
    }
}

/* Behind the text: runs { which attributes, length }, and the attributes themselves where a number is new. */
static void runs(const struct value *v, struct typed_text *out)
{
    const struct object *known[TYPED_RUNS_MAX] __attribute__((uninitialized)); /* only what is below n_known is looked at */
    size_t n_known = 0;
    uint64_t at = 0;
    while (v != NULL && v->type == 'i' && v->next != NULL && v->next->type == 'I' && out->n < TYPED_RUNS_MAX) {
        const int64_t which = v->n, length = unsigned_of(v->next->n);
        struct typed_run *run = &out->run[out->n++];
        *run = (struct typed_run){ .start = at, .length = (uint64_t)length, .part = -1 };
        at += (uint64_t)length;
        v = v->next->next;
        if (v != NULL && v->type == '@') {
            if (n_known < TYPED_RUNS_MAX) { known[n_known++] = v->o; }
            v = v->next;
        }
        if (which >= 1 && (size_t)which <= n_known) { attributes(known[which - 1], run); }
    }
}

bool typed_read(struct kluis_bytes bytes, struct kluis_arena *arena, struct typed_text *out)
{
    static const uint8_t magic[] = "\x04\x0bstreamtyped";
    struct parse s = { .p = bytes.ptr, .arena = arena };
    struct object root = { .tail = &root.first };
    int64_t version;
    uint8_t b;
    out->text = (struct kluis_str){ NULL, 0 };
    out->whole = false;
    out->n = 0;
    if (bytes.len < sizeof magic || memcmp(bytes.ptr, magic, sizeof magic - 1) != 0) { return false; }
    s.end = bytes.ptr + bytes.len;
    s.p += sizeof magic - 1;
    if (!number(&s, &version) || !byte(&s, &b)) { return false; }
    out->whole = group(&s, b, &root);
    const struct object *top = root.first != NULL ? root.first->o : NULL;
    if (top == NULL) { return false; }
    out->text = string_of(top);
    if (out->text.ptr == NULL && top->first != NULL && top->first->type == '@') {
        out->text = string_of(top->first->o);
        runs(top->first->next, out);
    }
    return out->text.ptr != NULL;
}
