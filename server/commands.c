/* server/commands.c - see commands.h. */
#include "server/commands.h"

#include "kluis/envelope.h"
#include "server/api/api.h"
#include "server/api/hit.h"
#include "server/options.h"
#include "server/vault.h"

enum { LINE_MAX = CONTROL_LINE_MAX };

static kluis_status say(const struct control_output *out, const char *line, struct kluis_err *err)
{
    return out->line(out->ctx, 'o', kluis_str_of(line), err);
}

static kluis_status fill(char *to, size_t cap, const char *command, const char *name, const char *value, struct kluis_err *err)
{
    /* A required option is never NULL here: options_parse saw to it through a pointer that the analyser does not follow. */
    size_t n = strlen(value); // cppcheck-suppress nullPointer
    if (n >= cap) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --%s is longer than %zu bytes", command, name, cap - 1); }
    memcpy(to, value, n + 1);
    return KLUIS_OK;
}

/* ---- official ---- */

static kluis_status official_add(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    static const char cmd[] = "official add";
    const char *home = NULL, *id = NULL, *name = NULL, *function = NULL, *from = NULL, *to = NULL, *grace = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "id", .required = true, .value = &id },
                                         { .name = "name", .required = true, .value = &name },
                                         { .name = "function", .required = true, .value = &function },
                                         { .name = "from", .required = true, .value = &from },
                                         { .name = "to", .value = &to },
                                         { .name = "grace-days", .value = &grace } };
    KLUIS_TRY(options_parse(cmd, argc, argv, spec, sizeof spec / sizeof *spec, NULL, 0, &words, err));
    struct reg_official o = { .grace_days = -1 };
    KLUIS_TRY(fill(o.id, sizeof o.id, cmd, "id", id, err));
    KLUIS_TRY(fill(o.name, sizeof o.name, cmd, "name", name, err));
    KLUIS_TRY(fill(o.function, sizeof o.function, cmd, "function", function, err));
    KLUIS_TRY(fill(o.from, sizeof o.from, cmd, "from", from, err));
    if (to != NULL) { KLUIS_TRY(fill(o.to, sizeof o.to, cmd, "to", to, err)); }
    int64_t days;
    KLUIS_TRY(kluis_options_number(cmd, "--grace-days", grace, 0, 3650, -1, &days, err));
    o.grace_days = (int)days;
    kluis_status rc = reg_official_add(vault_register(v), &o, err);
    if (rc == KLUIS_E_EXISTS) { rc = KLUIS_E_REJECT; } /* on the command line an id given twice is a mistake */
    KLUIS_TRY(rc);
    vault_register_changed(v);
    KLUIS_AUTO_BUF(b, 1024);
    kluis_buf_fmt(&b, "official %s added", o.id);
    kluis_buf_byte(&b, 0);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    return say(out, (const char *)b.data, err);
}

static kluis_status list_one(void *ctx, const struct reg_official *o, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, 2048);
    kluis_buf_fmt(&b, "%s\t%s\t%s\t%s\t%s", o->id, o->name, o->function, o->from, o->to);
    kluis_buf_byte(&b, 0);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    return say(ctx, (const char *)b.data, err);
}

static kluis_status official(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    if (argc > 0 && strcmp(argv[0], "add") == 0) { return official_add(v, argc - 1, argv + 1, out, err); }
    if (argc > 0 && strcmp(argv[0], "list") == 0) {
        struct control_output copy = *out; /* the callback's context is not const */
        return reg_officials(vault_register(v), &copy, list_one, err);
    }
    return KLUIS_FAIL(err, KLUIS_E_USAGE, "official: say 'add' or 'list'");
}

/* ---- enrol ---- */

static kluis_status enrol(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL, *id = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "official", .required = true, .value = &id } };
    KLUIS_TRY(options_parse("enrol", argc, argv, spec, 2, NULL, 0, &words, err));
    struct kluis_code code;
    struct kluis_code_keys keys;
    char text[KLUIS_CODE_TEXT];
    kluis_random(code.secret, sizeof code.secret);
    vault_root_fingerprint(v, code.root);
    kluis_status rc = kluis_code_derive(code.secret, &keys, err);
    if (rc == KLUIS_OK) { rc = reg_code_add(vault_register(v), id, keys.id, code.secret, kluis_now_us() + (int64_t)REG_CODE_SECONDS * 1000000, err); }
    if (rc == KLUIS_OK) {
        kluis_code_write(&code, text);
        rc = say(out, text, err);
        kluis_wipe(text, sizeof text);
    }
    kluis_wipe(&code, sizeof code);
    kluis_wipe(&keys, sizeof keys);
    return rc;
}

/* ---- status ---- */

static kluis_status status(const struct commands *all, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL, *json = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home }, { .name = "json", .flag = true, .value = &json } };
    KLUIS_TRY(options_parse("status", argc, argv, spec, 2, NULL, 0, &words, err));
    KLUIS_AUTO_BUF(b, LINE_MAX);
    struct desk_page at_desk = { 0 };
    if (all->desk != NULL) { desk_page(all->desk, &at_desk); }
    const struct vault_page page = { at_desk.connected, at_desk.walls, at_desk.user };
    KLUIS_TRY(vault_status_json(all->vault, &page, &b, err));
    if (json != NULL) { return out->line(out->ctx, 'o', (struct kluis_str){ (const char *)b.data, b.len }, err); }
    /* For people: the same facts, one member a line at the outer level. */
    size_t from = 1, depth = 0;
    bool quoted = false;
    for (size_t i = 1; i + 1 < b.len; i++) {
        char c = (char)b.data[i];
        if (c == '"' && b.data[i - 1] != '\\') { quoted = !quoted; }
        if (quoted) { continue; }
        if (c == '{' || c == '[') { depth++; }
        if (c == '}' || c == ']') { depth--; }
        if (c == ',' && depth == 0) {
            KLUIS_TRY(out->line(out->ctx, 'o', (struct kluis_str){ (const char *)b.data + from, i - from }, err));
            from = i + 1;
        }
    }
    return out->line(out->ctx, 'o', (struct kluis_str){ (const char *)b.data + from, b.len > from + 1 ? b.len - from - 1 : 0 }, err);
}

static kluis_status page_address(const struct commands *c, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL;
    size_t words;
    char line[DESK_URL_MAX + 16] = "page on ";
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home } };
    KLUIS_TRY(options_parse("page-address", argc, argv, spec, 1, NULL, 0, &words, err));
    if (c->desk == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the vault does not run: there is no page"); }
    KLUIS_TRY(desk_url(c->desk, line + strlen(line), err));
    kluis_status rc = say(out, line, err);
    kluis_wipe(line, sizeof line);
    return rc;
}

/* ---- search ---- */

struct index *commands_borrow(void *ctx) { return vault_index_hold(ctx); }
void commands_give_back(void *ctx, KLUIS_UNUSED struct index *ix) { vault_index_release(ctx); }

struct printing {
    const struct control_output *out;
    bool json;
};

static kluis_status print_hit(void *ctx, const struct index_hit *h, struct kluis_err *err)
{
    const struct printing *p = ctx;
    KLUIS_AUTO_BUF(b, LINE_MAX);
    if (p->json) {
        KLUIS_TRY(api_hit_json(h, &b, err));
    } else {
        char t[KLUIS_TIME_TEXT];
        kluis_time_text(t, h->sent_us, h->offset_min, 0);
        kluis_buf_fmt(&b, "%s  ", t);
        kluis_buf_str(&b, h->conversation_name);
        kluis_buf_cstr(&b, "  ");
        kluis_buf_str(&b, h->has_author ? (h->author.name.ptr != NULL ? h->author.name : h->author.number) : KLUIS_STR_LIT("-"));
        kluis_buf_cstr(&b, ": ");
        for (size_t i = 0; i < h->text.len; i++) { /* a terminal shows text, it does not obey it */
            uint8_t c = (uint8_t)h->text.ptr[i];
            kluis_buf_byte(&b, c < 0x20 || c == 0x7f ? ' ' : c);
        }
        KLUIS_TRY(kluis_buf_ok(&b, err));
    }
    return p->out->line(p->out->ctx, 'o', (struct kluis_str){ (const char *)b.data, b.len }, err);
}

static kluis_status search(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL, *purpose = NULL, *json = NULL, *conversation = NULL, *official_id = NULL, *from = NULL, *to = NULL, *limit = NULL,
               *order = NULL, *word = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "purpose", .required = true, .value = &purpose },
                                         { .name = "json", .flag = true, .value = &json },
                                         { .name = "conversation", .value = &conversation },
                                         { .name = "official", .value = &official_id },
                                         { .name = "from", .value = &from },
                                         { .name = "to", .value = &to },
                                         { .name = "limit", .value = &limit },
                                         { .name = "order", .value = &order } };
    KLUIS_TRY(options_parse("search", argc, argv, spec, sizeof spec / sizeof *spec, &word, 1, &words, err));
    if (words != 1) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "search: say what to search for, as one word of the command line: \"two words\""); }
    struct index_query q = { .text = kluis_str_of(word),
                             .conversation = kluis_str_of(conversation),
                             .official = kluis_str_of(official_id),
                             .from_us = KLUIS_TIME_ABSENT,
                             .to_us = KLUIS_TIME_ABSENT,
                             .limit = INDEX_PAGE_MAX };
    int64_t left;
    if (from != NULL) { KLUIS_TRY(access_instant(from, false, "search: --from", &q.from_us, err)); }
    if (to != NULL) { KLUIS_TRY(access_instant(to, true, "search: --to", &q.to_us, err)); }
    KLUIS_TRY(kluis_options_number("search", "--limit", limit, 1, 1000000, 1000000, &left, err));
    if (order != NULL) {
        if (strcmp(order, "oldest") == 0) {
            q.order = INDEX_OLDEST;
        } else if (strcmp(order, "relevance") == 0) {
            q.order = INDEX_RELEVANCE;
        } else if (strcmp(order, "newest") != 0) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "search: --order is newest, oldest or relevance");
        }
    }
    const struct api api = { v, commands_borrow, commands_give_back, vault_register(v) };
    const struct api_actor who = { "command", purpose };
    struct printing p = { out, json != NULL };
    struct index_sink sink = { &p, print_hit };
    char cursor[sizeof((struct index_result *)0)->next];
    for (;;) {
        struct index_result r = { 0 };
        q.limit = left < INDEX_PAGE_MAX ? (unsigned)left : INDEX_PAGE_MAX;
        KLUIS_TRY(api_search(&api, &who, &q, &sink, &r, err));
        left -= q.limit;
        if (r.next[0] == '\0' || left <= 0) { return KLUIS_OK; }
        memcpy(cursor, r.next, sizeof cursor);
        q.cursor = kluis_str_of(cursor);
    }
}

/* ---- audit ---- */

static kluis_status print_entry(void *ctx, const struct reg_audit_entry *e, struct kluis_err *err)
{
    const struct printing *p = ctx;
    char t[KLUIS_TIME_TEXT], hex[65];
    KLUIS_AUTO_BUF(b, LINE_MAX);
    kluis_time_text(t, e->time_us, 0, 3);
    kluis_hex(e->hash, 32, hex);
    const struct {
        const char *name;
        struct kluis_str value;
    } parts[] = { { "actor", e->actor }, { "action", e->action }, { "purpose", e->purpose }, { "detail", e->detail } };
    if (p->json) {
        kluis_buf_fmt(&b, "{\"entry\":%llu,\"time\":\"%s\"", (unsigned long long)e->seq, t);
    } else {
        kluis_buf_fmt(&b, "%llu  %s", (unsigned long long)e->seq, t);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (p->json) {
            kluis_buf_fmt(&b, ",\"%s\":", parts[i].name);
        } else {
            kluis_buf_cstr(&b, "  ");
        }
        kluis_buf_json(&b, parts[i].value); /* quoted: what was searched for may hold anything */
    }
    if (p->json) { kluis_buf_fmt(&b, ",\"hash\":\"%s\"}", hex); }
    KLUIS_TRY(kluis_buf_ok(&b, err));
    return p->out->line(p->out->ctx, 'o', (struct kluis_str){ (const char *)b.data, b.len }, err);
}

/* Who reads the trail stands in it too. */
static kluis_status audit(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL, *json = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home }, { .name = "json", .flag = true, .value = &json } };
    KLUIS_TRY(options_parse("audit", argc, argv, spec, 2, NULL, 0, &words, err));
    KLUIS_TRY(reg_audit(vault_register(v), "command", "audit.read", "", "", err));
    struct printing p = { out, json != NULL };
    uint64_t entries = 0;
    return reg_audit_each(vault_register(v), &p, print_entry, &entries, err);
}

/* ---- what `backup` asks of the vault (server/backup_command.c) ---- */

static kluis_status snapshot(struct vault *v, int argc, const char *const *argv, KLUIS_UNUSED const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home } };
    KLUIS_TRY(options_parse("snapshot", argc, argv, spec, 1, NULL, 0, &words, err));
    return vault_snapshot(v, err);
}

static kluis_status backed_up(struct vault *v, int argc, const char *const *argv, KLUIS_UNUSED const struct control_output *out,
                              struct kluis_err *err)
{
    static const char cmd[] = "backed-up";
    const char *home = NULL, *packages = NULL, *made = NULL, *detail = NULL;
    size_t words;
    int64_t n, at;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "packages", .required = true, .value = &packages },
                                         { .name = "made", .required = true, .value = &made },
                                         { .name = "detail", .required = true, .value = &detail } };
    KLUIS_TRY(options_parse(cmd, argc, argv, spec, sizeof spec / sizeof *spec, NULL, 0, &words, err));
    KLUIS_TRY(kluis_options_number(cmd, "--packages", packages, 0, INT64_MAX, 0, &n, err));
    KLUIS_TRY(kluis_options_number(cmd, "--made", made, 0, INT64_MAX, 0, &at, err));
    return vault_backed_up(v, (uint64_t)n, at, detail, err);
}

/* ---- check, rebuild-index ---- */

struct report {
    const struct control_output *out;
};

static void report_line(void *ctx, const char *text)
{
    const struct report *r = ctx;
    (void)r->out->line(r->out->ctx, 'e', kluis_str_of(text), NULL); /* who asked may be gone: the check goes on, its result counts */
}

static kluis_status check(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL, *read_data = NULL, *json = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home },
                                         { .name = "read-data", .flag = true, .value = &read_data },
                                         { .name = "json", .flag = true, .value = &json } };
    KLUIS_TRY(options_parse("check", argc, argv, spec, 3, NULL, 0, &words, err));
    struct report to = { out };
    const struct vault_report r = { &to, report_line };
    struct vault_check_result got = { 0 };
    uint64_t entries = 0;
    KLUIS_TRY(reg_audit_check(vault_register(v), &entries, err));
    kluis_status rc = vault_check(v, read_data != NULL, &r, &got, err);
    char line[256];
    (void)snprintf(line, sizeof line,
                   json != NULL ? "{\"packages\":%llu,\"records\":%llu,\"leaves\":%llu,\"audit\":%llu,\"problems\":%llu}"
                                : "%llu packages, %llu records, %llu ledger leaves, %llu audit entries: %llu problems",
                   (unsigned long long)got.packages, (unsigned long long)got.records, (unsigned long long)got.leaves, (unsigned long long)entries,
                   (unsigned long long)got.problems);
    if (rc == KLUIS_OK || rc == KLUIS_E_CORRUPT) {
        kluis_status said = say(out, line, err);
        if (rc == KLUIS_OK) { rc = said; }
    }
    return rc;
}

static kluis_status rebuild(struct vault *v, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    const char *home = NULL;
    size_t words;
    const struct kluis_option spec[] = { { .name = "home", .required = true, .value = &home } };
    KLUIS_TRY(options_parse("rebuild-index", argc, argv, spec, 1, NULL, 0, &words, err));
    struct report to = { out };
    const struct vault_report r = { &to, report_line };
    KLUIS_TRY(vault_rebuild_index(v, &r, err));
    struct index *ix = vault_index_hold(v);
    if (ix == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the index is being rebuilt: try again in a moment"); }
    uint8_t digest[32];
    char hex[65], line[160];
    struct index_stats s = { 0 };
    uint64_t watermark = index_watermark(ix);
    kluis_status rc = index_groups_digest(ix, digest, err);
    if (rc == KLUIS_OK) { rc = index_statistics(ix, &s, err); }
    vault_index_release(v);
    KLUIS_TRY(rc);
    kluis_hex(digest, 32, hex);
    (void)snprintf(line, sizeof line, "rebuilt to package %llu: %llu records, groups %s", (unsigned long long)watermark,
                   (unsigned long long)s.records, hex);
    return say(out, line, err);
}

kluis_status commands_run(void *ctx, int argc, const char *const *argv, const struct control_output *out, struct kluis_err *err)
{
    static const struct {
        const char *name;
        kluis_status (*run)(struct vault *, int, const char *const *, const struct control_output *, struct kluis_err *);
    } commands[] = { { "official", official }, { "enrol", enrol },           { "search", search },     { "audit", audit },
                     { "check", check },       { "rebuild-index", rebuild }, { "snapshot", snapshot }, { "backed-up", backed_up } };
    const struct commands *c = ctx;
    if (argc > 0 && strcmp(argv[0], "status") == 0) { return status(c, argc - 1, argv + 1, out, err); }
    if (argc > 0 && strcmp(argv[0], "page-address") == 0) { return page_address(c, argc - 1, argv + 1, out, err); }
    for (size_t i = 0; argc > 0 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[0], commands[i].name) == 0) { return commands[i].run(c->vault, argc - 1, argv + 1, out, err); }
    }
    return KLUIS_FAIL(err, KLUIS_E_USAGE, "unknown command: see 'chatkluis-server help'");
}
