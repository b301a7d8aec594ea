/* config.c - gate.json: what an operator may set.  Strict: a key that this gate does not know is a mistake, not a wish. */
#include <json-c/json.h>

#include "server/gate/gate.h"

enum { CONFIG_MAX = 64 << 10, PEM_MAX = 256 << 10, AUTHORITIES_MAX = 8 };

static const struct {
    const char *name;
    size_t at;
} LIMITS[] = {
#define LIMIT(field)                                                                                                                                 \
    {                                                                                                                                                \
#field, offsetof(struct gate_limits, field)                                                                                                  \
    }
    LIMIT(threads),     LIMIT(connections),        LIMIT(connections_per_ip),
    LIMIT(timeout_s),   LIMIT(request_s),          LIMIT(nonce_s),
    LIMIT(waiters),     LIMIT(refused_per_minute), LIMIT(uploads_per_device),
    LIMIT(upload_days), LIMIT(enrol_waiting),      LIMIT(relay_workers),
    LIMIT(queue),       LIMIT(queue_per_device),   LIMIT(outbox),
#undef LIMIT
};

static kluis_status wrong(struct kluis_err *err, const char *key, const char *is)
{
    return KLUIS_FAIL(err, KLUIS_E_USAGE, "gate.json: \"%.40s\" must be %s", key, is);
}

static kluis_status get_text(struct json_object *o, const char *key, struct kluis_arena *arena, const char **out, struct kluis_err *err)
{
    if (!json_object_is_type(o, json_type_string)) { return wrong(err, key, "a string"); }
    size_t n = (size_t)json_object_get_string_len(o);
    *out = kluis_arena_strndup(arena, json_object_get_string(o), n);
    if (*out == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    return n > 0 && strlen(*out) == n ? KLUIS_OK : wrong(err, key, "a string that is not empty");
}

static kluis_status get_number(struct json_object *o, const char *key, uint64_t max, uint64_t *out, struct kluis_err *err)
{
    if (!json_object_is_type(o, json_type_int)) { return wrong(err, key, "an integer"); }
    int64_t v = json_object_get_int64(o);
    if (v <= 0 || (uint64_t)v > max) { return wrong(err, key, "a positive integer that is not too large"); }
    *out = (uint64_t)v;
    return KLUIS_OK;
}

static kluis_status get_file(struct json_object *o, const char *key, const char *dir, struct kluis_arena *arena, struct kluis_bytes *out,
                             struct kluis_err *err)
{
    const char *name = NULL;
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(get_text(o, key, arena, &name, err));
    if (name[0] == '/') {
        if ((size_t)snprintf(path, sizeof path, "%s", name) >= sizeof path) { return wrong(err, key, "a shorter path"); }
    } else {
        KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    }
    KLUIS_AUTO_BUF(text, PEM_MAX);
    kluis_status rc = kluis_read_file(path, PEM_MAX, &text, err);
    if (rc != KLUIS_OK) {
        kluis_err_prefix(err, "gate.json \"%.40s\"", key);
        return rc;
    }
    char *copy = kluis_arena_strndup(arena, (const char *)text.data, text.len);
    if (text.len > 0) { kluis_wipe(text.data, text.len); } /* it may be the key */
    if (copy == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    *out = (struct kluis_bytes){ (const uint8_t *)copy, text.len };
    return KLUIS_OK;
}

static kluis_status get_key(struct json_object *o, const char *key, struct kluis_arena *arena, struct kluis_bytes *out, struct kluis_err *err)
{
    const char *text = NULL;
    KLUIS_TRY(get_text(o, key, arena, &text, err));
    size_t cap = strlen(text);
    size_t n = 0;
    uint8_t *der = kluis_arena_alloc(arena, cap + 1);
    if (der == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    if (!kluis_unbase64(kluis_str_of(text), der, cap, &n)) { return wrong(err, key, "base64"); }
    *out = (struct kluis_bytes){ der, n };
    return KLUIS_OK;
}

static kluis_status get_urls(struct json_object *o, const char *key, struct kluis_arena *arena, struct gate_config *out, struct kluis_err *err)
{
    if (!json_object_is_type(o, json_type_array)) { return wrong(err, key, "an array of URLs"); }
    size_t n = json_object_array_length(o);
    if (n > AUTHORITIES_MAX) { return wrong(err, key, "an array of at most 8 URLs"); }
    const char **urls = kluis_arena_alloc(arena, (n + 1) * sizeof *urls);
    if (urls == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    for (size_t i = 0; i < n; i++) { KLUIS_TRY(get_text(json_object_array_get_idx(o, i), key, arena, &urls[i], err)); }
    out->tsa_urls = urls;
    out->n_tsa = n;
    return KLUIS_OK;
}

static kluis_status get_limits(struct json_object *o, struct gate_limits *out, struct kluis_err *err)
{
    if (!json_object_is_type(o, json_type_object)) { return wrong(err, "limits", "an object"); }
    struct json_object_iterator end = json_object_iter_end(o);
    for (struct json_object_iterator at = json_object_iter_begin(o); !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *key = json_object_iter_peek_name(&at);
        struct json_object *value = json_object_iter_peek_value(&at);
        uint64_t v = 0;
        bool found = false;
        if (strcmp(key, "upload_bytes") == 0) {
            KLUIS_TRY(get_number(value, key, (uint64_t)1 << 40, &out->upload_bytes, err));
            continue;
        }
        for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0] && !found; i++) {
            if (strcmp(key, LIMITS[i].name) != 0) { continue; }
            KLUIS_TRY(get_number(value, key, 10000000, &v, err));
            uint32_t limit = (uint32_t)v;
            memcpy((char *)out + LIMITS[i].at, &limit, sizeof limit);
            found = true;
        }
        if (!found) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "gate.json: unknown limit \"%.40s\"", key); }
    }
    return KLUIS_OK;
}

static kluis_status get_all(struct json_object *o, const char *dir, struct kluis_arena *arena, struct gate_config *out, struct kluis_err *err)
{
    struct json_object_iterator end = json_object_iter_end(o);
    for (struct json_object_iterator at = json_object_iter_begin(o); !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
        const char *key = json_object_iter_peek_name(&at);
        struct json_object *value = json_object_iter_peek_value(&at);
        kluis_status rc = KLUIS_OK;
        if (strcmp(key, "listen") == 0) {
            rc = get_text(value, key, arena, &out->listen, err);
        } else if (strcmp(key, "name") == 0) {
            rc = get_text(value, key, arena, &out->name, err);
        } else if (strcmp(key, "log_vkey") == 0) {
            rc = get_text(value, key, arena, &out->log_vkey, err);
        } else if (strcmp(key, "tls_certificate") == 0) {
            rc = get_file(value, key, dir, arena, &out->tls_cert_pem, err);
        } else if (strcmp(key, "tls_key") == 0) {
            rc = get_file(value, key, dir, arena, &out->tls_key_pem, err);
        } else if (strcmp(key, "vault_key") == 0) {
            rc = get_key(value, key, arena, &out->vault_spki, err);
        } else if (strcmp(key, "time_authorities") == 0) {
            rc = get_urls(value, key, arena, out, err);
        } else if (strcmp(key, "disk_reserve") == 0) {
            rc = get_number(value, key, INT64_MAX, &out->disk_reserve, err);
        } else if (strcmp(key, "limits") == 0) {
            rc = get_limits(value, &out->limits, err);
        } else {
            rc = KLUIS_FAIL(err, KLUIS_E_USAGE, "gate.json: unknown key \"%.40s\"", key);
        }
        if (rc != KLUIS_OK) { return rc; }
    }
    if (out->tls_cert_pem.len == 0 || out->tls_key_pem.len == 0 || out->vault_spki.len == 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "gate.json: \"tls_certificate\", \"tls_key\" and \"vault_key\" must be there");
    }
    return KLUIS_OK;
}

static kluis_status parse(const char *dir, struct json_object **out, struct kluis_err *err)
{
    *out = NULL;
    char path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(text, CONFIG_MAX);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "gate.json", err));
    KLUIS_TRY(kluis_read_file(path, CONFIG_MAX - 1, &text, err));
    uint64_t mark = kluis_memory_mark();
    struct json_tokener *tok = json_tokener_new();
    if (tok == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(tok, (const char *)text.data, (int)text.len);
    if (o == NULL && json_tokener_get_error(tok) == json_tokener_continue) { o = json_tokener_parse_ex(tok, "", -1); }
    bool starved = kluis_memory_refused(mark); /* json-c then leaves a member out and goes on */
    bool whole = o != NULL && json_object_is_type(o, json_type_object);
    json_tokener_free(tok);
    if (!whole || starved) {
        json_object_put(o);
        if (starved) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "'%.200s' is not one JSON object", path);
    }
    *out = o;
    return KLUIS_OK;
}

kluis_status gate_config_read(const char *dir, struct kluis_arena *arena, struct gate_config *out, struct kluis_err *err)
{
    struct json_object *o = NULL;
    memset(out, 0, sizeof *out);
    out->dir = kluis_arena_strndup(arena, dir, strlen(dir));
    if (out->dir == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for gate.json"); }
    KLUIS_TRY(parse(dir, &o, err));
    kluis_status rc = get_all(o, dir, arena, out, err);
    json_object_put(o);
    return rc;
}

kluis_status gate_config_name(const char *dir, char out[GATE_NAME_MAX], struct kluis_err *err)
{
    struct json_object *o = NULL, *v = NULL;
    out[0] = '\0';
    KLUIS_TRY(parse(dir, &o, err));
    kluis_status rc = KLUIS_OK;
    if (json_object_object_get_ex(o, "name", &v)) {
        bool fits = json_object_is_type(v, json_type_string) && json_object_get_string_len(v) > 0 && json_object_get_string_len(v) < GATE_NAME_MAX;
        if (fits) {
            (void)snprintf(out, GATE_NAME_MAX, "%s", json_object_get_string(v));
        } else {
            rc = wrong(err, "name", "a string that is not empty and not too long");
        }
    }
    json_object_put(o);
    return rc;
}
