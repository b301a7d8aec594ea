/* lib/seal/trust.c - trust.json (docs/FORMAT.md §8): what a verifier believes.  Unknown members refuse. */
#include "chain.h"

#include <json-c/json.h>
#include <openssl/err.h>

enum { TRUST_MAX = 1 << 20, LIST_MAX = 64, WORD_MAX = 1024 };

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "trust file: out of memory"); }

static struct kluis_str text_of(json_object *v)
{
    if (!v || json_object_get_type(v) != json_type_string) { return (struct kluis_str){ NULL, 0 }; }
    return (struct kluis_str){ json_object_get_string(v), (size_t)json_object_get_string_len(v) };
}

static bool is_cert(struct kluis_bytes der)
{
    struct cert_view view;
    X509 *x = cert_view_read(der, &view) ? x509_from_der(der) : NULL;
    bool good = x && X509_get0_pubkey(x);
    X509_free(x);
    ERR_clear_error();
    return good;
}

static bool is_crl(struct kluis_bytes der) { return kluis_crl_check(der, NULL) == KLUIS_OK; }

static kluis_status der_list(json_object *v, struct kluis_arena *arena, bool (*is)(struct kluis_bytes), size_t max, const struct kluis_bytes **out,
                             size_t *n, const char *what, struct kluis_err *err)
{
    if (!v || json_object_get_type(v) != json_type_array || json_object_array_length(v) > LIST_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"%s\" must be a list of at most %d texts", what, LIST_MAX);
    }
    size_t count = json_object_array_length(v);
    struct kluis_bytes *list = kluis_arena_alloc(arena, (count + 1) * sizeof *list);
    if (!list) { return no_memory(err); }
    for (size_t i = 0; i < count; i++) {
        struct kluis_str s = text_of(json_object_array_get_idx(v, i));
        if (s.len > kluis_base64_len(max)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"%s\" holds something too large", what); }
        uint8_t *der = kluis_arena_alloc(arena, s.len + 1);
        size_t len = 0;
        if (!der) { return no_memory(err); }
        if (!s.ptr || !kluis_unbase64(s, der, s.len + 1, &len)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"%s\" holds no base64", what);
        }
        list[i] = (struct kluis_bytes){ der, len };
        if (!is(list[i])) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"%s\" holds something that is no %s", what,
                              is == is_cert ? "certificate" : "revocation list");
        }
    }
    *out = list;
    *n = count;
    return KLUIS_OK;
}

static char *word_of(json_object *v, struct kluis_arena *arena)
{
    struct kluis_str s = text_of(v);
    if (!s.ptr || s.len == 0 || s.len > WORD_MAX || memchr(s.ptr, 0, s.len)) { return NULL; }
    return kluis_arena_strndup(arena, s.ptr, s.len);
}

static kluis_status witnesses(json_object *v, struct kluis_arena *arena, struct kluis_trust *out, struct kluis_err *err)
{
    json_object *keys = NULL, *threshold = NULL;
    if (json_object_get_type(v) != json_type_object || json_object_object_length(v) != 2 || !json_object_object_get_ex(v, "keys", &keys) ||
        !json_object_object_get_ex(v, "threshold", &threshold) || json_object_get_type(keys) != json_type_array ||
        json_object_get_type(threshold) != json_type_int || json_object_array_length(keys) > LIST_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"witnesses\" must hold \"keys\" and \"threshold\"");
    }
    size_t n = json_object_array_length(keys);
    int64_t need = json_object_get_int64(threshold);
    if (need < 0 || (uint64_t)need > n) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: more witnesses demanded than named"); }
    const char **list = kluis_arena_alloc(arena, (n + 1) * sizeof *list);
    if (!list) { return no_memory(err); }
    for (size_t i = 0; i < n; i++) {
        list[i] = word_of(json_object_array_get_idx(keys, i), arena);
        if (!list[i]) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: witness key is no text"); }
    }
    out->witness_vkeys = list;
    out->n_witnesses = n;
    out->witness_threshold = (size_t)need;
    return KLUIS_OK;
}

static kluis_status read_members(json_object *o, struct kluis_arena *arena, struct kluis_trust *t, struct kluis_err *err)
{
    static const char *const known[] = { "version",          "organisation", "device_cas", "seal_cas",
                                         "time_authorities", "log",          "witnesses",  "revocation_lists" };
    json_object *v = NULL;
    if (!o || json_object_get_type(o) != json_type_object) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: no JSON object"); }
    struct json_object_iterator end = json_object_iter_end(o);
    for (struct json_object_iterator it = json_object_iter_begin(o); !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
        const char *key = json_object_iter_peek_name(&it);
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) { found = found || strcmp(key, known[i]) == 0; }
        if (!found) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: unknown member \"%.40s\"", key); }
    }
    if (!json_object_object_get_ex(o, "version", &v) || !kluis_str_is(text_of(v), "chatkluis-trust-v1")) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"version\" is not chatkluis-trust-v1");
    }
    if (json_object_object_get_ex(o, "organisation", &v)) {
        struct kluis_str s = text_of(v);
        t->organisation = kluis_arena_str(arena, s);
        if (!t->organisation.ptr) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"organisation\" is no text"); }
    }
    v = NULL;
    (void)json_object_object_get_ex(o, "device_cas", &v);
    KLUIS_TRY(der_list(v, arena, is_cert, KLUIS_CERT_MAX, &t->device_cas, &t->n_device_cas, "device_cas", err));
    v = NULL;
    (void)json_object_object_get_ex(o, "seal_cas", &v);
    KLUIS_TRY(der_list(v, arena, is_cert, KLUIS_CERT_MAX, &t->seal_cas, &t->n_seal_cas, "seal_cas", err));
    v = NULL;
    (void)json_object_object_get_ex(o, "time_authorities", &v);
    KLUIS_TRY(der_list(v, arena, is_cert, KLUIS_CERT_MAX, &t->tsa_cas, &t->n_tsa_cas, "time_authorities", err));
    if (json_object_object_get_ex(o, "revocation_lists", &v)) {
        KLUIS_TRY(der_list(v, arena, is_crl, KLUIS_CRL_MAX, &t->crls, &t->n_crls, "revocation_lists", err));
    }
    if (json_object_object_get_ex(o, "log", &v)) {
        t->log_vkey = word_of(v, arena);
        if (!t->log_vkey) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: \"log\" is no verifier key"); }
    }
    return json_object_object_get_ex(o, "witnesses", &v) ? witnesses(v, arena, t, err) : KLUIS_OK;
}

kluis_status kluis_trust_read(struct kluis_str json, struct kluis_arena *arena, struct kluis_trust *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    if (!json.ptr || json.len == 0 || json.len > TRUST_MAX || kluis_utf8_valid(json.ptr, json.len) != json.len) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: empty, too large or not UTF-8");
    }
    uint64_t mark = ossl_enter();
    struct json_tokener *tok = json_tokener_new_ex(8);
    if (!tok) { return no_memory(err); }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    json_object *o = json_tokener_parse_ex(tok, json.ptr, (int)json.len);
    size_t end = json_tokener_get_parse_end(tok);
    while (end < json.len && strchr(" \t\r\n", json.ptr[end]) && json.ptr[end]) { end++; }
    struct kluis_trust t;
    memset(&t, 0, sizeof t);
    kluis_status st = KLUIS_OK;
    if (kluis_memory_refused(mark)) { /* json-c then leaves a member out and goes on: a file without its witnesses or revocation lists */
        st = no_memory(err);
    } else if (json_tokener_get_error(tok) != json_tokener_success || end != json.len) {
        st = KLUIS_FAIL(err, KLUIS_E_REJECT, "trust file: malformed JSON");
    } else {
        st = read_members(o, arena, &t, err);
    }
    json_object_put(o);
    json_tokener_free(tok);
    st = ossl_leave(mark, st, "trust file", err);
    if (st == KLUIS_OK) { *out = t; }
    return st;
}

static void put_ders(struct kluis_buf *out, const char *name, const struct kluis_bytes *list, size_t n)
{
    kluis_buf_fmt(out, ",\n  \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        size_t len = kluis_base64_len(list[i].len);
        kluis_buf_cstr(out, i ? ",\n    \"" : "\n    \"");
        char *room = (char *)kluis_buf_reserve(out, len + 1);
        if (!room) { return; }
        out->len += kluis_base64(list[i].ptr, list[i].len, room);
        kluis_buf_byte(out, '"');
    }
    kluis_buf_cstr(out, n ? "\n  ]" : "]");
}

kluis_status kluis_trust_write(const struct kluis_trust *t, struct kluis_buf *out, struct kluis_err *err)
{
    kluis_buf_cstr(out, "{\n  \"version\": \"chatkluis-trust-v1\"");
    if (t->organisation.ptr) {
        kluis_buf_cstr(out, ",\n  \"organisation\": ");
        kluis_buf_json(out, t->organisation);
    }
    put_ders(out, "device_cas", t->device_cas, t->n_device_cas);
    put_ders(out, "seal_cas", t->seal_cas, t->n_seal_cas);
    put_ders(out, "time_authorities", t->tsa_cas, t->n_tsa_cas);
    if (t->n_crls) { put_ders(out, "revocation_lists", t->crls, t->n_crls); }
    if (t->log_vkey) {
        kluis_buf_cstr(out, ",\n  \"log\": ");
        kluis_buf_json(out, kluis_str_of(t->log_vkey));
    }
    if (t->n_witnesses) {
        kluis_buf_cstr(out, ",\n  \"witnesses\": {\n    \"keys\": [");
        for (size_t i = 0; i < t->n_witnesses; i++) {
            if (i) { kluis_buf_cstr(out, ", "); }
            kluis_buf_json(out, kluis_str_of(t->witness_vkeys[i]));
        }
        kluis_buf_fmt(out, "],\n    \"threshold\": %zu\n  }", t->witness_threshold);
    }
    kluis_buf_cstr(out, "\n}\n");
    return kluis_buf_ok(out, err);
}
