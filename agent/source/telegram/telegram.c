/* telegram.c - the telegram source: result.json of Telegram Desktop's export, one chat or a whole account, and the media beside it.
 *
 * The file is gone through once; each chat's messages once more when who is in it is known.  Damage inside a chat costs what lies between two
 * messages that can be told apart; damage that swallows a chat's end costs the rest of that chat, never mixes two.
 */
#include "agent/source/telegram/telegram.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { EXPORTS_MAX = 256, SMALL_MAX = 64 << 10 };

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }

static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

static kluis_status note_skip(struct telegram *t, const char *what, const char *why, bool refused, struct kluis_err *err)
{
    const char *slash = strrchr(t->path, '/');
    return build_skip(t->sink, what, slash == NULL ? t->path : slash + 1, why, refused, err);
}

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

static kluis_status note(void *ctx, struct json *m, KLUIS_UNUSED struct kluis_str raw, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED struct kluis_err *err)
{
    struct telegram *t = ctx;
    t->chat.n_messages++;
    t->chat.undecided_zone |= json_get(m, "date_unixtime") == NULL && json_get(m, "date") != NULL;
    people_of_message(t, m);
    return KLUIS_OK;
}

static kluis_status note_damage(void *ctx, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED uint64_t n, KLUIS_UNUSED bool to_end,
                                KLUIS_UNUSED struct kluis_err *err)
{
    struct telegram *t = ctx;
    t->chat.damaged++;
    return KLUIS_OK;
}

static kluis_status send(void *ctx, struct json *m, struct kluis_str raw, KLUIS_UNUSED uint64_t at, struct kluis_err *err)
{
    return message_send(ctx, m, raw, err);
}

static kluis_status send_damage(void *ctx, uint64_t at, uint64_t n, bool to_end, struct kluis_err *err)
{
    char text[96];
    (void)snprintf(text, sizeof text, "%llu bytes are damaged%s", (unsigned long long)n, to_end ? " or missing up to the end" : "");
    return message_gap(ctx, at, text, err);
}

/* Inside the list. */
static kluis_status messages(struct telegram *t, struct json_stream *s, bool sending, bool single, enum json_items_end *end, struct kluis_err *err)
{
    struct json_items i = { .stream = s, .tree = t->tree, .first = "id", .outer = single ? NULL : "name", .ctx = t };
    i.item = sending ? send : note;
    i.damage = sending ? send_damage : note_damage;
    return json_items(&i, end, err);
}

/* ---- a chat ---------------------------------------------------------------------------------------------------------------- */

/* A small value, in the tree arena. */
static kluis_status small(struct telegram *t, struct json_stream *s, struct json **out, struct kluis_err *err)
{
    struct kluis_str raw;
    uint64_t at;
    *out = NULL;
    KLUIS_TRY(json_stream_take(s, &raw, &at, err));
    kluis_arena_clear(t->tree);
    if (raw.len > SMALL_MAX || json_read_loose(raw, t->tree, out, NULL) != KLUIS_OK) { *out = NULL; }
    return KLUIS_OK;
}

static kluis_status give(struct telegram *t, bool single, struct kluis_err *err)
{
    struct kluis_input_fd state = { t->fd, t->chat.messages_at, t->path };
    struct kluis_input in = kluis_input_from_fd(&state);
    struct json_stream s = { 0 };
    enum json_items_end end;
    chat_conclude(t);
    if (t->chat.n_messages == 0 && t->chat.damaged == 0) { return KLUIS_OK; }
    KLUIS_TRY(chat_begin(t, err));
    KLUIS_TRY(json_stream_open(&s, &in, t->chat.messages_at, t->path, MESSAGE_MAX, err));
    json_stream_inside(&s, '[');
    kluis_status rc = messages(t, &s, true, single, &end, err);
    json_stream_close(&s);
    KLUIS_TRY(rc);
    t->chats++;
    return t->sink->end(t->sink->ctx, err);
}

/* One member of a chat's object. */
static kluis_status chat_member(struct telegram *t, struct json_stream *s, struct kluis_str key, bool single, enum json_items_end *end,
                                struct kluis_err *err)
{
    struct chat *c = &t->chat;
    struct json *v = NULL;
    *end = JSON_ITEMS_CLOSED;
    if (kluis_str_is(key, "messages") && !c->has_messages) {
        KLUIS_TRY(json_stream_enter(s, '[', err));
        c->messages_at = json_stream_at(s);
        c->has_messages = true;
        return messages(t, s, false, single, end, err);
    }
    bool name = kluis_str_is(key, "name"), type = kluis_str_is(key, "type");
    if (!name && !type && !kluis_str_is(key, "id")) { return json_stream_skip(s, err); }
    KLUIS_TRY(small(t, s, &v, err));
    if (v == NULL || (v->type != JSON_STRING && v->type != JSON_NUMBER) || v->text.len == 0) { return KLUIS_OK; }
    struct kluis_str *to = name ? &c->name : type ? &c->type : &c->own_id;
    *to = kluis_arena_str(c->people.arena, v->text);
    return to->ptr == NULL ? no_memory(err) : KLUIS_OK;
}

/* "chats": {"about": …, "list": [ chat, … ]} */
static kluis_status chats(struct telegram *t, struct json_stream *s, bool *ended, struct kluis_err *err)
{
    struct kluis_str key;
    enum json_items_end end = JSON_ITEMS_CLOSED;
    kluis_status rc;
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        if (!kluis_str_is(key, "list")) {
            KLUIS_TRY(json_stream_skip(s, err));
            continue;
        }
        KLUIS_TRY(json_stream_enter(s, '[', err));
        while (end == JSON_ITEMS_OUTER || (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
            end = JSON_ITEMS_CLOSED;
            chat_start(t);
            KLUIS_TRY(json_stream_enter(s, '{', err));
            while (end == JSON_ITEMS_CLOSED && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
                KLUIS_TRY(chat_member(t, s, key, false, &end, err));
            }
            if (rc != KLUIS_OK && rc != KLUIS_END && t->chat.n_messages == 0) { return rc; }
            KLUIS_TRY(give(t, false, err));
            *ended = end == JSON_ITEMS_DOCUMENT;
            if (*ended) { return KLUIS_OK; }
            if (end != JSON_ITEMS_OUTER && rc != KLUIS_END) { return rc; }
        }
        if (rc != KLUIS_END) { return rc; }
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* ---- the account ----------------------------------------------------------------------------------------------------------- */

static struct kluis_str number_of(struct kluis_str s, struct kluis_arena *arena)
{
    char d[24];
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if ((c >= '0' && c <= '9') || (c == '+' && n == 0)) {
            if (n == 20) { return (struct kluis_str){ NULL, 0 }; }
            d[n++] = c;
        } else if (c != ' ' && c != '-' && c != '(' && c != ')') {
            return (struct kluis_str){ NULL, 0 };
        }
    }
    if (n > 7 && d[0] == '+' && n <= 16) { return build_fmt(arena, "%.*s", (int)n, d); }
    return n > 8 && n <= 17 && d[0] == '0' && d[1] == '0' ? build_fmt(arena, "+%.*s", (int)n - 2, d + 2) : (struct kluis_str){ NULL, 0 };
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct contact *)a)->id, y = ((const struct contact *)b)->id;
    return x < y ? -1 : x > y;
}

static kluis_status contact(struct telegram *t, struct json *v, struct kluis_err *err)
{
    uint64_t id = 0;
    struct kluis_str n = json_string(v, "phone_number");
    if (!json_u64(v, "user_id", &id) || n.ptr == NULL) { return KLUIS_OK; }
    n = number_of(n, t->contacts_arena);
    if (n.ptr == NULL) { return KLUIS_OK; } /* no number, or no more room: the party goes without */
    if (t->n_contacts == t->cap_contacts) {
        size_t cap = t->cap_contacts == 0 ? 256 : t->cap_contacts * 2;
        struct contact *p = cap > 1 << 18 ? NULL : kluis_realloc(t->contacts, cap * sizeof *p);
        if (p == NULL) { return no_memory(err); }
        t->contacts = p;
        t->cap_contacts = cap;
    }
    t->contacts[t->n_contacts++] = (struct contact){ id, n };
    return KLUIS_OK;
}

static kluis_status contacts(struct telegram *t, struct json_stream *s, struct kluis_err *err)
{
    struct kluis_str key;
    struct json *v = NULL;
    kluis_status rc;
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        if (!kluis_str_is(key, "list")) {
            KLUIS_TRY(json_stream_skip(s, err));
            continue;
        }
        KLUIS_TRY(json_stream_enter(s, '[', err));
        while ((rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
            KLUIS_TRY(small(t, s, &v, err));
            if (v != NULL) { KLUIS_TRY(contact(t, v, err)); }
        }
        if (rc != KLUIS_END) { return rc; }
    }
    if (t->n_contacts > 1) { qsort(t->contacts, t->n_contacts, sizeof *t->contacts, by_id); }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status owner(struct telegram *t, struct json_stream *s, struct kluis_err *err)
{
    struct json *v = NULL;
    uint64_t id = 0;
    KLUIS_TRY(small(t, s, &v, err));
    if (v == NULL || !json_u64(v, "user_id", &id)) { return KLUIS_OK; }
    (void)snprintf(t->self_id, sizeof t->self_id, "user%llu", (unsigned long long)id);
    struct kluis_str first = json_string(v, "first_name"), last = json_string(v, "last_name"), n = json_string(v, "phone_number");
    t->self_name = build_fmt(t->contacts_arena, "%.*s%s%.*s", (int)first.len, first.ptr == NULL ? "" : first.ptr,
                             first.len > 0 && last.len > 0 ? " " : "", (int)last.len, last.ptr == NULL ? "" : last.ptr);
    if (n.ptr != NULL) { t->self_number = number_of(n, t->contacts_arena); }
    return KLUIS_OK;
}

static kluis_status walk(struct telegram *t, struct json_stream *s, bool *any, struct kluis_err *err)
{
    struct kluis_str key;
    enum json_items_end end = JSON_ITEMS_CLOSED;
    bool ended = false;
    kluis_status rc;
    chat_start(t);
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while (!ended && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        if (kluis_str_is(key, "chats") || kluis_str_is(key, "left_chats")) {
            *any = true;
            KLUIS_TRY(chats(t, s, &ended, err));
            chat_start(t);
        } else if (kluis_str_is(key, "contacts")) {
            KLUIS_TRY(contacts(t, s, err));
        } else if (kluis_str_is(key, "personal_information")) {
            KLUIS_TRY(owner(t, s, err));
        } else {
            KLUIS_TRY(chat_member(t, s, key, true, &end, err));
            ended = end == JSON_ITEMS_DOCUMENT;
        }
    }
    if (t->chat.has_messages) {
        *any = true;
        struct kluis_err why = { 0 };
        bool broken = !ended && rc != KLUIS_END;
        if (broken && err != NULL) {
            why = *err;
            kluis_err_clear(err);
        }
        KLUIS_TRY(give(t, true, err));
        return broken ? KLUIS_FAIL(err, why.code, "%s", why.msg) : KLUIS_OK;
    }
    return ended || rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status read_all(struct telegram *t, struct kluis_err *err)
{
    struct kluis_input_fd state = { t->fd, 0, t->path };
    struct kluis_input in = kluis_input_from_fd(&state);
    struct json_stream s = { 0 };
    struct kluis_err why = { 0 };
    bool any = false;
    KLUIS_TRY(json_stream_open(&s, &in, 0, t->path, MESSAGE_MAX, err));
    kluis_status rc = walk(t, &s, &any, &why);
    json_stream_close(&s);
    if (rc == KLUIS_OK && !any) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no export of Telegram Desktop: give result.json, exported as JSON", t->path);
    }
    if (refusal(rc) && t->chats > 0) { return note_skip(t, "the rest of the export", why.msg, true, err); }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    if (rc == KLUIS_E_REJECT && !any && err != NULL) {
        kluis_err_clear(err);
        return KLUIS_FAIL(err, rc, "%s is no export of Telegram Desktop (%.160s): give result.json, exported as JSON", t->path, why.msg);
    }
    return rc;
}

/* ---- where it lies ------------------------------------------------------------------------------------------------------------ */

struct settings {
    const char *zone, *self;
};

static kluis_status options(const struct source_request *q, struct settings *s, struct kluis_err *err)
{
    *s = (struct settings){ "Europe/Amsterdam", NULL };
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key, *v = q->options[i].value;
        if (strcmp(k, "zone") == 0) {
            s->zone = v;
        } else if (strcmp(k, "self") == 0 && v[0] != '\0') {
            s->self = v;
        } else {
            return KLUIS_FAIL(
                err, KLUIS_E_USAGE,
                "telegram: options are zone=Europe/Amsterdam (of exports without instants) and self=user123 or a name; \"%.40s\" is not one", k);
        }
    }
    return KLUIS_OK;
}

static kluis_status read_file(const char *path, const char *below, const struct settings *set, const struct source_sink *sink, struct kluis_err *err)
{
    struct telegram *t = kluis_calloc(1, sizeof *t);
    struct stat st;
    char folder[KLUIS_PATH_MAX];
    if (t == NULL) { return no_memory(err); }
    t->path = path;
    t->below = below;
    t->sink = sink;
    t->zone_name = set->zone;
    t->self_option = set->self;
    t->fd = t->dir = -1;
    kluis_buf_init(&t->text, KLUIS_TEXT_MAX);
    t->contacts_arena = kluis_arena_new(CONTACTS_BYTES);
    t->tree = kluis_arena_new(TREE_MAX);
    t->scratch = kluis_arena_new(MESSAGE_MAX);
    kluis_status rc =
        t->contacts_arena == NULL || t->tree == NULL || t->scratch == NULL ? no_memory(err) : roster_open(&t->chat.people, PEOPLE_BYTES, err);
    if (rc == KLUIS_OK) { rc = zone_open(set->zone, &t->zone, err); }
    if (rc == KLUIS_OK) {
        t->fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        if (t->fd < 0) {
            rc = errno == ENOENT || errno == ENOTDIR
                     ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is nothing at %s: give the export's folder or its result.json", path)
                     : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", path);
        } else if (fstat(t->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
            rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no file: give the export's folder or its result.json", path);
        }
    }
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    if (rc == KLUIS_OK) { t->dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0); } /* without it there are only no attachments */
    if (rc == KLUIS_OK) { rc = read_all(t, err); }
    kluis_close_quiet(&t->fd);
    kluis_close_quiet(&t->dir);
    zone_free(t->zone);
    kluis_arena_free(t->contacts_arena);
    kluis_arena_free(t->tree);
    kluis_arena_free(t->scratch);
    roster_close(&t->chat.people);
    kluis_free(t->contacts);
    kluis_buf_free(&t->text);
    kluis_free(t);
    return rc;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The folders below `path` that hold a result.json, with '/' behind; "" for its own. */
static kluis_status exports(const char *path, struct kluis_arena *arena, const char *list[EXPORTS_MAX], size_t *n, bool *folder,
                            struct kluis_err *err)
{
    char full[KLUIS_PATH_MAX];
    struct stat st;
    DIR *d = opendir(path);
    *n = 0;
    *folder = d != NULL;
    if (d == NULL) {
        list[(*n)++] = "";
        return KLUIS_OK;
    }
    kluis_status rc = KLUIS_OK;
    if (kluis_dir_look(d, path, "result.json", 0, &st, &rc, err)) { list[(*n)++] = ""; }
    for (const char *entry; kluis_dir_next(d, path, &entry, &rc, err);) {
        int w = snprintf(full, sizeof full, "%s/result.json", entry);
        if (entry[0] == '.' || w < 0 || (size_t)w >= sizeof full || !kluis_dir_look(d, path, full, 0, &st, &rc, err) || !S_ISREG(st.st_mode)) {
            continue;
        }
        if (*n == EXPORTS_MAX) { rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s holds more than %d exports: keep the newest", path, (int)EXPORTS_MAX); }
        struct kluis_str name = rc == KLUIS_OK ? build_fmt(arena, "%s/", entry) : (struct kluis_str){ NULL, 0 };
        if (rc == KLUIS_OK && name.ptr == NULL) { rc = no_memory(err); }
        if (rc == KLUIS_OK) { list[(*n)++] = name.ptr; }
    }
    (void)closedir(d); /* only read */
    if (rc == KLUIS_OK && *n == 0) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no result.json: in Telegram Desktop choose \"Machine-readable JSON\" when exporting", path);
    }
    if (rc == KLUIS_OK) { qsort(list, *n, sizeof *list, by_text); }
    return rc;
}

static kluis_status telegram_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct settings set;
    const char *list[EXPORTS_MAX];
    size_t n = 0, good = 0;
    bool folder = false;
    KLUIS_TRY(options(q, &set, err));
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(1 << 20);
    if (arena == NULL) { return no_memory(err); }
    KLUIS_TRY(exports(q->path, arena, list, &n, &folder, err));
    struct kluis_err last = { 0 };
    for (size_t i = 0; i < n; i++) {
        char full[KLUIS_PATH_MAX];
        struct kluis_err one_err = { 0 };
        int w = folder ? snprintf(full, sizeof full, "%s/%sresult.json", q->path, list[i]) : snprintf(full, sizeof full, "%s", q->path);
        kluis_status rc = w < 0 || (size_t)w >= sizeof full ? KLUIS_FAIL(&one_err, KLUIS_E_USAGE, "the path is too long")
                                                            : read_file(full, list[i], &set, sink, &one_err);
        if (rc == KLUIS_OK) {
            good++;
            continue;
        }
        last = one_err;
        if (n == 1 || !refusal(rc)) { break; }
        KLUIS_TRY(build_skip(sink, "an export", list[i], one_err.msg, true, err));
        last.code = KLUIS_OK;
    }
    if (last.code == KLUIS_OK && good > 0) { return KLUIS_OK; }
    if (last.code == KLUIS_OK) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no export that can be read", q->path); }
    if (err != NULL && err->code == KLUIS_OK) { *err = last; }
    return last.code;
}

static kluis_status telegram_attachments(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted, size_t n,
                                         const struct source_attachment_sink *sink, struct kluis_err *err)
{
    enum kluis_at what;
    char folder[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_what_at(q->path, &what, err));
    const bool is_folder = what == KLUIS_AT_FOLDER;
    const char *slash = strrchr(q->path, '/');
    (void)conversation_id; /* a reference is a path in the export */
    (void)snprintf(folder, sizeof folder, "%.*s",
                   is_folder          ? (int)strlen(q->path)
                   : slash == NULL    ? 1
                   : slash == q->path ? 1
                                      : (int)(slash - q->path),
                   !is_folder && slash == NULL ? "." : q->path);
    int dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0);
    kluis_status rc = KLUIS_OK;
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        int64_t size = 0;
        struct kluis_input_fd file = { .fd = telegram_open(dir, wanted[i], &size), .what = "an attachment" };
        if (file.fd < 0) { continue; }
        struct kluis_input in = kluis_input_from_fd(&file);
        rc = sink->attachment(sink->ctx, i, &in, err);
        kluis_close_quiet(&file.fd);
    }
    kluis_close_quiet(&dir);
    return rc;
}

static bool holds(const struct source_file *f, const char *part) { return memmem(f->head.ptr, f->head.len, part, strlen(part)) != NULL; }

static enum source_sure probe(const struct source_file *f)
{
    const char *slash = strchr(f->name, '/');
    bool ours = f->name[0] == '\0' || strcmp(f->name, "result.json") == 0 || (slash != NULL && strcmp(slash + 1, "result.json") == 0);
    if (f->path == NULL || !ours || json_begins(f->head) != '{') { return SOURCE_NO; }
    bool list = holds(f, "\"messages\":") || holds(f, "\"messages\" :");
    if (holds(f, "\"personal_information\"") && holds(f, "\"user_id\"")) { return SOURCE_CERTAIN; }
    if (list && (holds(f, "\"date_unixtime\"") || (holds(f, "\"from_id\"") && holds(f, "\"text_entities\"")))) { return SOURCE_CERTAIN; }
    return list && (holds(f, "\"from_id\"") || holds(f, "\"actor_id\"")) ? SOURCE_LIKELY : SOURCE_NO;
}

static const char *const tells[] = { "messages", "authors", "account-ids",   "times",  "edit-times",  "quotes",    "reactions",
                                     "polls",    "calls",   "group-changes", "timers", "attachments", "locations", NULL };
static const char *const loss[] = { "deletions", "edit-history", "former-members", "read-receipts", "secret-chats", NULL };

const struct source_kind source_telegram = {
    .name = "telegram",
    .platform = "telegram",
    .about_nl = "Telegram Desktop: export als JSON (result.json en media), een chat of het hele account",
    .about_en = "Telegram Desktop: export as JSON (result.json and media), one chat or the whole account",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = telegram_read,
    .attachments = telegram_attachments,
};
