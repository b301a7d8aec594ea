/* agent/settings.c - options of a source, and the secrets among them.  See command.h. */
#include "agent/command.h"
#include "agent/select/select.h"
#include "agent/source/keyring.h"

#include <limits.h>

enum { FILE_MAX = 1 << 16 };
static const char of_keyring[] = "keyring:";

kluis_status settings_typed(const struct args *a, struct kluis_buf *out, struct kluis_err *err)
{
    for (size_t i = 0; i < a->n_options; i++) {
        const char *eq = strchr(a->options[i], '=');
        kluis_buf_add(out, a->options[i], (size_t)(eq - a->options[i]));
        kluis_buf_byte(out, 0);
        const char *value = eq + 1;
        char full[PATH_MAX];
        if (value[0] == '@' && realpath(value + 1, full) != NULL) { /* found again from any folder */
            kluis_buf_byte(out, '@');
            value = full;
        }
        kluis_buf_add(out, value, strlen(value) + 1);
    }
    return kluis_buf_ok(out, err);
}

/* One key and value of what was typed.  KLUIS_END: no more. */
static kluis_status next(struct kluis_bytes typed, size_t *at, const char **key, const char **value, struct kluis_err *err)
{
    const char *all = (const char *)typed.ptr;
    if (*at >= typed.len) { return KLUIS_END; }
    const char **to[] = { key, value };
    for (size_t i = 0; i < 2; i++) {
        size_t n = *at < typed.len ? strnlen(all + *at, typed.len - *at) : 0;
        if (*at + n >= typed.len) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the options of a source are damaged: remove and add it again"); }
        *to[i] = all + *at;
        *at += n + 1;
    }
    return KLUIS_OK;
}

static bool asks(const char *key, const char *value) { return strcmp(value, "?") == 0 && !select_owns_option(key); }

/* ---- what was typed once ---- */

/* The same for the same option of the same source, and none of its words. */
static kluis_status answer_name(const struct settings_of *of, const char *key, char out[HOME_KEY_NAME], struct kluis_err *err)
{
    uint8_t sha[32];
    char hex[33];
    KLUIS_AUTO_BUF(b, 1 << 17);
    kluis_wire_label(&b, "chatkluis-agent-source-secret-v1");
    kluis_wire_str(&b, kluis_str_of(of->kind));
    kluis_wire_str(&b, kluis_str_of(of->path));
    kluis_wire_str(&b, kluis_str_of(key));
    KLUIS_TRY(kluis_buf_ok(&b, err));
    kluis_sha256_of(b.data, b.len, sha);
    kluis_hex(sha, 16, hex);
    (void)snprintf(out, HOME_KEY_NAME, "source-%s", hex);
    return KLUIS_OK;
}

static kluis_status ask(const struct settings_of *of, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    char what[80], otherwise[160];
    const char *slash = strrchr(of->path, '/');
    const char *name = slash == NULL || slash[1] == '\0' ? of->path : slash + 1;
    (void)snprintf(what, sizeof what, "%.24s of %.*s", key, (int)kluis_utf8_valid(name, strnlen(name, 40)), name);
    (void)snprintf(otherwise, sizeof otherwise, "--option %.40s=@FILE or --option %.40s=keyring:NAME", key, key);
    return terminal_ask(what, otherwise, out, err);
}

kluis_status settings_ask(struct kluis_bytes typed, const struct settings_of *of, struct kluis_err *err)
{
    const char *key = NULL, *value = NULL;
    kluis_status rc = KLUIS_OK;
    for (size_t at = 0; (rc = next(typed, &at, &key, &value, err)) == KLUIS_OK;) {
        char name[HOME_KEY_NAME];
        KLUIS_AUTO_BUF(answer, SECRET_TEXT_MAX);
        if (!asks(key, value)) { continue; }
        KLUIS_TRY(answer_name(of, key, name, err));
        rc = ask(of, key, &answer, err);
        if (rc == KLUIS_OK) { rc = keystore_put(of->home, name, kluis_buf_bytes(&answer), err); }
        if (answer.data != NULL) { kluis_wipe(answer.data, answer.cap); }
        KLUIS_TRY(rc);
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static bool still_asks(struct kluis_bytes typed, const char *key)
{
    const char *k = NULL, *v = NULL;
    for (size_t at = 0; next(typed, &at, &k, &v, NULL) == KLUIS_OK;) {
        if (strcmp(k, key) == 0 && asks(k, v)) { return true; }
    }
    return false;
}

kluis_status settings_forget(struct kluis_bytes typed, struct kluis_bytes still, const struct settings_of *of, struct kluis_err *err)
{
    const char *key = NULL, *value = NULL;
    kluis_status rc = KLUIS_OK;
    for (size_t at = 0; (rc = next(typed, &at, &key, &value, err)) == KLUIS_OK;) {
        char name[HOME_KEY_NAME];
        if (!asks(key, value) || still_asks(still, key)) { continue; }
        KLUIS_TRY(answer_name(of, key, name, err));
        KLUIS_TRY(keystore_remove(of->home, name, err));
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- values ---- */

static kluis_status kept_answer(const struct settings_of *of, const char *key, struct kluis_buf *out, struct kluis_err *err)
{
    char name[HOME_KEY_NAME];
    KLUIS_TRY(answer_name(of, key, name, err));
    kluis_status rc = keystore_get(of->home, name, out, err);
    if (rc != KLUIS_E_NOTFOUND) { return rc; }
    kluis_err_clear(err);
    return KLUIS_FAIL(err, KLUIS_E_BUSY, "option %.60s was typed once and is in a keyring that cannot be reached: unlock it, or add the source again",
                      key);
}

static kluis_status of_service(const char *key, const char *name, struct kluis_buf *out, struct kluis_err *err)
{
    const struct keyring_item item = { "nl.chatkluis.option", true, { { "chatkluis", name } } };
    if (name[0] == '\0') { return KLUIS_FAIL(err, KLUIS_E_USAGE, "option %.60s: say which item: keyring:NAME", key); }
    kluis_status rc = keyring_get(&item, out, err);
    if (rc == KLUIS_E_NOTFOUND) {
        return KLUIS_FAIL(err, KLUIS_E_NOTFOUND,
                          "option %.60s: the keyring holds no '%.60s': put it there with: secret-tool store --label=Chatkluis chatkluis '%.60s'", key,
                          name, name);
    }
    if (rc != KLUIS_OK) { kluis_err_prefix(err, "option %.60s", key); }
    return rc;
}

static kluis_status value_of(struct source_settings *s, const char *key, const char *typed, const struct settings_of *of, struct source_option *out,
                             struct kluis_err *err)
{
    const bool from_service = strncmp(typed, of_keyring, sizeof of_keyring - 1) == 0 && !select_owns_option(key);
    out->value = typed;
    if (typed[0] != '@' && !asks(key, typed) && !from_service) { return KLUIS_OK; }
    KLUIS_AUTO_BUF(b, typed[0] == '@' ? FILE_MAX : SECRET_TEXT_MAX);
    kluis_status rc = typed[0] == '@'    ? kluis_read_file(typed + 1, FILE_MAX, &b, err)
                      : from_service     ? of_service(key, typed + sizeof of_keyring - 1, &b, err)
                      : of->home == NULL ? ask(of, key, &b, err)
                                         : kept_answer(of, key, &b, err);
    if (rc == KLUIS_OK) {
        const char *all = kluis_arena_strndup(s->arena, (const char *)b.data, b.len);
        out->file = (struct kluis_bytes){ (const uint8_t *)all, all == NULL ? 0 : b.len };
        while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r')) { b.len--; }
        out->value = kluis_arena_strndup(s->arena, (const char *)b.data, b.len);
        if (out->value == NULL || all == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for an option"); }
    }
    if (b.data != NULL) { kluis_wipe(b.data, b.cap); }
    return rc;
}

kluis_status settings_read(struct source_settings *s, struct kluis_bytes typed, const struct settings_of *of, struct kluis_err *err)
{
    memset(s, 0, sizeof *s);
    s->arena = kluis_arena_new((size_t)(2 * OPTIONS_MAX) * FILE_MAX);
    const char *copy = s->arena == NULL ? NULL : kluis_arena_strndup(s->arena, (const char *)typed.ptr, typed.len);
    if (copy == NULL) {
        settings_clear(s);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for options");
    }
    const char *key = NULL, *value = NULL;
    kluis_status rc = KLUIS_OK;
    for (size_t at = 0; (rc = next((struct kluis_bytes){ (const uint8_t *)copy, typed.len }, &at, &key, &value, err)) == KLUIS_OK;) {
        struct source_option o = { .key = key };
        if (s->n_all == OPTIONS_MAX) { rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the options of a source are damaged: remove and add it again"); }
        if (rc == KLUIS_OK) { rc = value_of(s, key, value, of, &o, err); }
        if (rc != KLUIS_OK) { break; }
        s->all[s->n_all++] = o;
        if (!select_owns_option(key)) { s->own[s->n_own++] = o; }
    }
    if (rc == KLUIS_END) { return KLUIS_OK; }
    settings_clear(s);
    return rc;
}

void settings_clear(struct source_settings *s)
{
    for (size_t i = 0; i < s->n_all; i++) { /* both are the arena's own copies */
        if (s->all[i].file.ptr == NULL) { continue; }
        kluis_wipe((void *)(uintptr_t)s->all[i].value, strlen(s->all[i].value));
        kluis_wipe((void *)(uintptr_t)s->all[i].file.ptr, s->all[i].file.len);
    }
    kluis_arena_free(s->arena);
    s->arena = NULL;
    s->n_all = s->n_own = 0;
}
