/* agent/command_source.c - enrol, and the sources of a home: kinds, list, add, remove. */
#include "agent/command.h"

#include "agent/courier/courier.h"

#include <limits.h>
#include <unistd.h>

enum { CODE_FILE_MAX = 512 };

static void json_str(struct kluis_buf *b, const char *s) { kluis_buf_json(b, (struct kluis_str){ s, kluis_utf8_valid(s, strlen(s)) }); }

static kluis_status tokens_json(struct kluis_buf *b, const char *name, const char *const *t)
{
    kluis_buf_fmt(b, ",\"%s\":[", name);
    for (size_t i = 0; t != NULL && t[i] != NULL; i++) {
        if (i > 0) { kluis_buf_byte(b, ','); }
        json_str(b, t[i]);
    }
    kluis_buf_byte(b, ']');
    return KLUIS_OK;
}

static void words(struct kluis_buf *b, const char *what, const char *const *t, bool dutch)
{
    for (size_t i = 0; t != NULL && t[i] != NULL; i++) {
        if (i == 0) { kluis_buf_fmt(b, "%-16s %s: ", "", what); }
        const char *said = source_ability(t[i], dutch);
        kluis_buf_fmt(b, "%s%s", i == 0 ? "" : ", ", said != NULL ? said : t[i]);
    }
    if (t != NULL && t[0] != NULL) { kluis_buf_byte(b, '\n'); }
}

static kluis_status kinds(const struct args *a, struct kluis_err *err)
{
    size_t n = 0;
    const struct source_kind *const *k = source_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        KLUIS_AUTO_BUF(b, 1 << 16);
        if (a->json) {
            kluis_buf_cstr(&b, "{\"kind\":");
            json_str(&b, k[i]->name);
            kluis_buf_cstr(&b, ",\"platform\":");
            json_str(&b, k[i]->platform);
            kluis_buf_cstr(&b, ",\"about\":");
            json_str(&b, k[i]->about_en);
            kluis_buf_cstr(&b, ",\"about_nl\":");
            json_str(&b, k[i]->about_nl);
            KLUIS_TRY(tokens_json(&b, "tells", k[i]->tells));
            KLUIS_TRY(tokens_json(&b, "loss", k[i]->loss));
            kluis_buf_cstr(&b, "}\n");
        } else {
            kluis_buf_fmt(&b, "%-16s %s\n", k[i]->name, k[i]->about_nl);
            kluis_buf_fmt(&b, "%-16s %s\n", "", k[i]->about_en);
            words(&b, "vertelt", k[i]->tells, true);
            words(&b, "vertelt niet", k[i]->loss, true);
            words(&b, "tells", k[i]->tells, false);
            words(&b, "cannot tell", k[i]->loss, false);
        }
        KLUIS_TRY(put(&b, err));
    }
    return KLUIS_OK;
}

static kluis_status list(struct home *h, bool json, struct kluis_err *err)
{
    struct home_source s;
    int64_t after = 0;
    for (;;) {
        kluis_status rc = home_source_next(h, after, &s, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        after = s.id;
        KLUIS_AUTO_BUF(b, 1 << 18);
        if (json) {
            kluis_buf_fmt(&b, "{\"id\":%lld,\"kind\":", (long long)s.id);
            json_str(&b, s.kind);
            kluis_buf_cstr(&b, ",\"path\":");
            json_str(&b, s.path);
            kluis_buf_cstr(&b, "}\n");
        } else {
            kluis_buf_fmt(&b, "%4lld  %-16s %s\n", (long long)s.id, s.kind, s.path);
        }
        home_source_clear(&s);
        KLUIS_TRY(put(&b, err));
    }
}

/* The source of this home with that kind and path, or (of NULL) that id.  KLUIS_END: none; else *out is the caller's to clear. */
static kluis_status find(struct home *h, const struct settings_of *of, int64_t id, struct home_source *out, struct kluis_err *err)
{
    for (int64_t after = 0;;) {
        KLUIS_TRY(home_source_next(h, after, out, err));
        after = out->id;
        if (of == NULL ? out->id == id : strcmp(out->kind, of->kind) == 0 && strcmp(out->path, of->path) == 0) { return KLUIS_OK; }
        home_source_clear(out);
    }
}

static kluis_status add(struct home *h, const struct args *a, struct kluis_err *err)
{
    const struct source_kind *kind = NULL;
    char full[PATH_MAX];
    int64_t id = 0;
    KLUIS_AUTO_BUF(typed, 1 << 16);
    struct source_settings set;
    struct home_source before;
    enum source_sure sure;
    KLUIS_TRY(kind_of(a->words[1], a->words[2], &kind, &sure, err));
    if (realpath(a->words[2], full) == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is nothing at '%.200s': give the export's file or folder", a->words[2]);
    }
    const struct settings_of of = { h->dir, kind->name, full };
    KLUIS_TRY(settings_typed(a, &typed, err));
    KLUIS_TRY(settings_ask(kluis_buf_bytes(&typed), &of, err));
    KLUIS_TRY(settings_read(&set, kluis_buf_bytes(&typed), &of, err)); /* a value that cannot be read is told now, not at night */
    settings_clear(&set);
    kluis_status rc = find(h, &of, 0, &before, err);
    if (rc == KLUIS_OK) {
        rc = settings_forget(kluis_buf_bytes(&before.options), kluis_buf_bytes(&typed), &of, err);
        home_source_clear(&before);
    }
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    KLUIS_TRY(home_source_add(h, kind->name, full, kluis_buf_bytes(&typed), &id, err));
    return put_line(err, "source %lld added: %s %s", (long long)id, kind->name, full);
}

/* Its secrets go first: cut off in between, the source is still there to be removed. */
static kluis_status drop(struct home *h, int64_t id, struct kluis_err *err)
{
    struct home_source s;
    kluis_status rc = find(h, NULL, id, &s, err);
    if (rc == KLUIS_OK) {
        const struct settings_of of = { h->dir, s.kind, s.path };
        rc = settings_forget(kluis_buf_bytes(&s.options), (struct kluis_bytes){ NULL, 0 }, &of, err);
        home_source_clear(&s);
    }
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    return home_source_remove(h, id, err);
}

kluis_status command_source(const struct args *a, int *exit_code, struct kluis_err *err)
{
    const char *verb = a->words[0];
    char dir[KLUIS_PATH_MAX];
    (void)exit_code;
    size_t want = strcmp(verb, "add") == 0 ? 3 : strcmp(verb, "remove") == 0 ? 2 : 1;
    if (a->n_words != want) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "source %.20s: wrong number of arguments: see 'chatkluis-agent help'", verb); }
    if (strcmp(verb, "kinds") == 0) { return kinds(a, err); }
    bool adds = want == 3;
    if (!adds && want != 2 && strcmp(verb, "list") != 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "source knows kinds, list, add and remove, not '%.40s'", verb);
    }
    KLUIS_AUTO(home) h = NULL;
    int64_t id = 0;
    KLUIS_TRY(args_home(a, adds, dir, err));
    KLUIS_TRY(home_open(&h, dir, HOME_SHARED, err));
    if (adds) { return add(h, a, err); }
    if (want == 1) { return list(h, a->json, err); }
    KLUIS_TRY(kluis_options_number("source remove", "ID", a->words[1], 1, INT64_MAX, 0, &id, err));
    KLUIS_TRY(drop(h, id, err));
    return put_line(err, "source %lld removed; what was archived from it stays", (long long)id);
}

/* ---- enrol ---- */

/* The code is a secret: a file, standard input, or the terminal without echo; never an argument. */
static kluis_status code_of(const struct args *a, struct kluis_buf *out, struct kluis_err *err)
{
    if (a->code == NULL) { return terminal_ask("code", "--code @FILE or --code -", out, err); }
    if (a->code[0] == '@') { return kluis_read_file(a->code + 1, CODE_FILE_MAX, out, err); }
    if (strcmp(a->code, "-") != 0) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "a code is a secret and not given as an argument: use --code @FILE, --code - or the prompt");
    }
    for (;;) {
        uint8_t *p = kluis_buf_reserve(out, 64);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "what comes from the standard input is no code"); }
        ssize_t n = kluis_io_read(STDIN_FILENO, p, 64);
        if (n < 0) { return KLUIS_FAIL(err, KLUIS_E_IO, "cannot read the code from the standard input"); }
        if (n == 0) { return KLUIS_OK; }
        out->len += (size_t)n;
    }
}

kluis_status command_enrol(const struct args *a, int *exit_code, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX], device[64];
    (void)exit_code;
    if (a->server == NULL) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "enrol: say which gate: --server https://HOST:PORT"); }
    KLUIS_TRY(args_home(a, true, dir, err));
    KLUIS_AUTO_BUF(code, CODE_FILE_MAX);
    KLUIS_AUTO(home) h = NULL;
    kluis_status rc = code_of(a, &code, err);
    while (rc == KLUIS_OK && code.len > 0 && (code.data[code.len - 1] == '\n' || code.data[code.len - 1] == '\r')) { code.len--; }
    if (rc == KLUIS_OK) { rc = home_open(&h, dir, HOME_LOCKED, err); }
    if (rc == KLUIS_OK) { rc = courier_enrol(h, a->server, (struct kluis_str){ (const char *)code.data, code.len }, err); }
    if (code.data != NULL) { kluis_wipe(code.data, code.cap); }
    KLUIS_TRY(rc);
    KLUIS_TRY(home_text(h, "device", device, sizeof device, err));
    return put_line(err, "enrolled as device %s at %s; keys: %s", device, a->server, keystore_kind(dir));
}
