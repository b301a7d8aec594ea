/* make.c - see make.h.
 */
#include "agent/source/signal_model/make.h"

static struct json *new_value(struct make *k, enum json_type type)
{
    struct json *v = kluis_arena_alloc(k->arena, sizeof *v);
    if (v == NULL) {
        k->full = true;
        return NULL;
    }
    v->type = type;
    v->wire = true;
    return v;
}

struct json *make_object(struct make *k) { return new_value(k, JSON_OBJECT); }
struct json *make_array(struct make *k) { return new_value(k, JSON_ARRAY); }

struct json *make_push(struct json *array, struct json *v)
{
    if (array == NULL || v == NULL) { return v; }
    struct json **tail = &array->child;
    while (*tail != NULL) { tail = &(*tail)->next; }
    *tail = v;
    return v;
}

struct json *make_put(KLUIS_UNUSED struct make *k, struct json *object, const char *key, struct json *v)
{
    if (v == NULL) { return NULL; }
    v->key = kluis_str_of(key);
    return make_push(object, v);
}

struct json *make_in(struct make *k, struct json *object, const char *key) { return make_put(k, object, key, make_object(k)); }
struct json *make_list(struct make *k, struct json *object, const char *key) { return make_put(k, object, key, make_array(k)); }

void make_text(struct make *k, struct json *object, const char *key, struct kluis_str text)
{
    if (text.ptr == NULL || text.len == 0) { return; }
    struct json *v = make_put(k, object, key, new_value(k, JSON_STRING));
    struct kluis_str copy = kluis_arena_str(k->arena, text);
    if (copy.ptr == NULL) { k->full = true; }
    if (v != NULL) { v->text = copy.ptr != NULL ? copy : KLUIS_STR_LIT(""); }
}

void make_u64(struct make *k, struct json *object, const char *key, uint64_t n)
{
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    make_text(k, object, key, kluis_str_of(digits));
}

void make_true(struct make *k, struct json *object, const char *key, bool said)
{
    if (said) { (void)make_put(k, object, key, new_value(k, JSON_TRUE)); }
}

void make_base64(struct make *k, struct json *object, const char *key, struct kluis_bytes bytes)
{
    char *text = kluis_arena_alloc(k->arena, kluis_base64_len(bytes.len) + 1);
    if (text == NULL) {
        k->full = true;
        return;
    }
    make_text(k, object, key, (struct kluis_str){ text, kluis_base64(bytes.ptr, bytes.len, text) });
}

void make_uuid(struct make *k, struct json *object, const char *key, struct kluis_str uuid)
{
    char hex[33];
    uint8_t id[16];
    size_t n = 0;
    if (uuid.ptr == NULL) { return; }
    if (uuid.len > 4 && memcmp(uuid.ptr, "PNI:", 4) == 0) { uuid = (struct kluis_str){ uuid.ptr + 4, uuid.len - 4 }; }
    for (size_t i = 0; i < uuid.len && n < 32; i++) {
        char c = uuid.ptr[i];
        if (c == '-') { continue; }
        hex[n++] = c >= 'A' && c <= 'F' ? (char)(c + 32) : c;
    }
    hex[n] = '\0';
    if (kluis_unhex((struct kluis_str){ hex, n }, id, sizeof id)) { make_base64(k, object, key, (struct kluis_bytes){ id, sizeof id }); }
}
