/* signal_export.c - Signal's own plaintext "export chat history": main.jsonl, metadata.json and files/, or the .jsonl alone.
 *
 * Frames are one JSON object a line: people and chats before the items that name them, items in the order of all chats together.  Records
 * come out chat by chat.  A message is named "<account id of its author>:<milliseconds>", which is how Signal itself names one.
 */
#include "agent/source/signal_export/model.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIND "signal-export"

static const char *const tells[] = { "text",          "edits",  "deletions",   "reactions",   "quotes",  "polls",    "calls",
                                     "group-changes", "timers", "attachments", "account-ids", "numbers", "delivery", NULL };
static const char *const loss[] = { "disappearing-messages", "view-once-content", "deleted-content", "time-of-vote", NULL };

/* ---- where the export is ---------------------------------------------------------------------------- */

static bool is_dir(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static kluis_status cannot_open(const char *path, struct kluis_err *err)
{
    return errno == ENOENT || errno == ENOTDIR
               ? KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not there; give the folder or main.jsonl of a Signal export", path)
               : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot open", path);
}

/* Opens the lines and the folder they lie in. */
static kluis_status locate(struct model *m, const char *path, struct kluis_err *err)
{
    struct stat st;
    if (strlen(path) >= sizeof m->path - 16) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the path is too long"); }
    (void)snprintf(m->path, sizeof m->path, "%s", path);
    int fd = kluis_io_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0) { return cannot_open(path, err); }
    if (is_dir(fd)) {
        m->dir = fd;
        KLUIS_TRY(kluis_path(m->path, sizeof m->path, path, "main.jsonl", err));
        m->fd = kluis_io_openat(fd, "main.jsonl", O_RDONLY | O_NONBLOCK, 0);
        if (m->fd < 0 && errno == ENOENT) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: no main.jsonl in it; give the folder that Signal's \"export chat history\" made", path);
        }
        if (m->fd < 0) { return cannot_open(m->path, err); }
    } else {
        char folder[KLUIS_PATH_MAX];
        m->fd = fd;
        const char *slash = strrchr(path, '/');
        size_t n = slash == NULL ? 0 : (size_t)(slash - path);
        (void)snprintf(folder, sizeof folder, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : slash != NULL ? "/" : ".");
        m->dir = kluis_io_open(folder, O_RDONLY | O_DIRECTORY, 0); /* without it there are only no attachments */
    }
    if (fstat(m->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: not a file; give main.jsonl of a Signal export", m->path);
    }
    int files = m->dir >= 0 ? kluis_io_openat(m->dir, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
    m->has_files = files >= 0;
    kluis_close_quiet(&files);
    return KLUIS_OK;
}

static bool account_id(const char *s)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (strlen(s) != sizeof form - 1) { return false; }
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
        if (form[i] == 'x' ? !hex : s[i] != '-') { return false; }
    }
    return true;
}

static bool phone_number(const char *s)
{
    size_t n = strlen(s);
    return s[0] == '+' && n >= 5 && n <= 16 && strspn(s + 1, "0123456789") == n - 1;
}

/* The export does not state its owner's number, and only sometimes lets his account id be found: both can be given. */
static kluis_status options(struct model *m, const struct source_request *q, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key, *v = q->options[i].value;
        if (strcmp(k, "number") == 0 && phone_number(v)) {
            m->self_number = kluis_str_of(v);
        } else if (strcmp(k, "account") == 0 && account_id(v)) {
            m->self_aci = kluis_str_of(v);
        } else {
            return KLUIS_FAIL(err, KLUIS_E_USAGE,
                              KIND ": options are number=+31… (your own) and account=<your account id, a UUID in lower case>; \"%.40s\" is not one",
                              k);
        }
    }
    return KLUIS_OK;
}

/* ---- conversations -------------------------------------------------------------------------------------- */

struct reading {
    struct model m;
    struct lines lines;
    const struct source_sink *sink;
    struct emit emit;
    uint32_t *party_of;         /* of n_who */
    struct kluis_arena *tables; /* header tables of the chat under way */
    struct kluis_arena *records;
};

static void mark(void *ctx, uint32_t who) { ((uint32_t *)ctx)[who] = 1; }

static void mark_members(const struct model *m, const struct who *g, uint32_t *flags)
{
    for (uint32_t k = 0; k < g->n_members; k++) {
        uint32_t w = model_who_aci(m, g->members[k]);
        if (w != NOBODY) { flags[w] |= 2; }
    }
}

/* party_of: first flags (1 occurs, 2 takes part), then indexes. */
static kluis_status header(struct reading *r, const struct chat *c, struct kluis_header *h, struct kluis_err *err)
{
    struct model *m = &r->m;
    const struct who *about = c->who == NOBODY ? NULL : &m->who[c->who];
    memset(r->party_of, 0, m->n_who * sizeof *r->party_of);
    for (uint32_t i = 0; i < c->n_refs; i++) { mark(r->party_of, c->refs[i]); }
    if (m->self != NOBODY) { r->party_of[m->self] |= 2; }
    if (about != NULL && about->kind == WHO_GROUP) {
        mark_members(m, about, r->party_of);
        r->party_of[c->who] = 0;
    } else if (about != NULL && about->kind == WHO_LINK) {
        r->party_of[c->who] = 0;
        if (m->self != NOBODY) { r->party_of[m->self] = 0; }
    } else if (c->who != NOBODY) {
        r->party_of[c->who] |= 2;
    }
    uint32_t n = 0, members = 0;
    for (uint32_t i = 0; i < m->n_who; i++) {
        n += r->party_of[i] != 0;
        members += (r->party_of[i] & 2) != 0;
    }
    if (n > KLUIS_PARTIES_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: a chat with more than %d people", m->path, (int)KLUIS_PARTIES_MAX); }
    kluis_arena_clear(r->tables);
    struct kluis_party *parties = kluis_arena_alloc(r->tables, (n + 1) * sizeof *parties);
    uint32_t *participants = kluis_arena_alloc(r->tables, (members + 1) * sizeof *participants);
    if (parties == NULL || participants == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    memset(h, 0, sizeof *h);
    h->self = KLUIS_NO_PARTY;
    for (uint32_t i = 0; i < m->n_who; i++) {
        uint32_t flags = r->party_of[i];
        r->party_of[i] = KLUIS_NO_PARTY;
        if (flags == 0) { continue; }
        if ((flags & 2) != 0) { participants[h->n_participants++] = h->n_parties; }
        if (i == m->self) { h->self = h->n_parties; }
        parties[h->n_parties] = m->who[i].party;
        r->party_of[i] = h->n_parties++;
    }
    h->parties = parties;
    h->participants = participants;
    h->platform = KLUIS_STR_LIT("signal");
    h->zone = KLUIS_ZONE_STATED;
    h->zone_name = KLUIS_STR_LIT("UTC");
    h->precision = KLUIS_PRECISION_MILLISECOND;
    h->provenance = (struct kluis_provenance){ .source = KLUIS_STR_LIT(KIND),
                                               .app = KLUIS_STR_LIT("Signal"),
                                               .app_version = m->app_version,
                                               .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " " KIND) };
    h->type = KLUIS_UNKNOWN_TYPE;
    if (about == NULL) {
        h->conversation_id = arena_fmt(r->tables, "chat-%llu", (unsigned long long)c->id);
    } else {
        h->conversation_id = about->kind == WHO_SELF ? arena_fmt(r->tables, "note-to-self:%.*s", (int)about->key.len, about->key.ptr) : about->key;
        h->conversation_name = about->party.name.ptr != NULL ? about->party.name : about->party.number;
        h->type = about->kind == WHO_CONTACT   ? KLUIS_DIRECT
                  : about->kind == WHO_GROUP   ? KLUIS_GROUP
                  : about->kind == WHO_SELF    ? KLUIS_SELF
                  : about->kind == WHO_RELEASE ? KLUIS_CHANNEL
                                               : KLUIS_UNKNOWN_TYPE;
    }
    if (h->conversation_id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    struct kluis_str *list = kluis_arena_alloc(r->tables, 8 * sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    list[h->n_loss++] = KLUIS_STR_LIT("disappearing-messages"); /* Signal leaves them out of an export without a trace */
    if (!m->has_files) { list[h->n_loss++] = KLUIS_STR_LIT("attachments"); }
    if (c->timer_ms > 0) { list[h->n_loss++] = KLUIS_STR_LIT("auto-delete-timer"); }
    h->loss = list;
    return KLUIS_OK;
}

static kluis_status one_item(struct reading *r, struct kluis_str line, uint32_t chat, struct kluis_err *err)
{
    struct json *frame, *item;
    kluis_arena_clear(r->m.tree);
    kluis_arena_clear(r->records);
    if (json_read(line, r->m.tree, &frame, NULL) != KLUIS_OK) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it changed while it was read; try again", r->m.path);
    }
    if (model_chat_of(&r->m, frame, &item) != chat) { return KLUIS_OK; }
    struct emit *e = &r->emit;
    e->line = line;
    e->err = err;
    e->rc = KLUIS_OK;
    if (kluis_str_is(item->key, "adHocCall")) {
        emit_adhoc(e, item);
    } else {
        emit_item(e, item);
    }
    return e->rc;
}

static bool varint(const struct chat *c, size_t *at, uint64_t *out)
{
    uint64_t v = 0;
    unsigned shift = 0;
    if (*at >= c->used) { return false; }
    for (uint8_t b = 0x80; (b & 0x80) != 0 && shift < 64; shift += 7) {
        b = c->offsets[(*at)++];
        v |= (uint64_t)(b & 0x7f) << shift;
    }
    *out = v;
    return true;
}

static kluis_status all_items(struct reading *r, uint32_t index, struct kluis_err *err)
{
    const struct chat *c = &r->m.chat[index];
    struct kluis_str line;
    uint64_t at = 0, step;
    size_t next = 0;
    if (c->offsets == NULL) { /* this one chat has too many items for an index: the whole file goes by */
        kluis_status rc;
        KLUIS_TRY(lines_seek(&r->lines, 0, err));
        while ((rc = lines_next(&r->lines, &line, &at, err)) == KLUIS_OK) {
            if (line.len > 1) { KLUIS_TRY(one_item(r, line, index, err)); }
        }
        return rc == KLUIS_END ? KLUIS_OK : rc;
    }
    while (varint(c, &next, &step)) {
        uint64_t seen;
        at += step;
        KLUIS_TRY(lines_seek(&r->lines, at, err));
        kluis_status rc = lines_next(&r->lines, &line, &seen, err);
        if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s: it changed while it was read; try again", r->m.path); }
        KLUIS_TRY(rc);
        KLUIS_TRY(one_item(r, line, index, err));
    }
    return KLUIS_OK;
}

static kluis_status skip(struct reading *r, const char *what, const char *where, const char *why, struct kluis_err *err)
{
    const struct source_skip s = { .what = what, .where = where, .why = why };
    return r->sink->skipped == NULL ? KLUIS_OK : r->sink->skipped(r->sink->ctx, &s, err);
}

static kluis_status one_chat(struct reading *r, uint32_t index, struct kluis_err *err)
{
    struct chat *c = &r->m.chat[index];
    struct kluis_header h;
    char where[64];
    if (c->items == 0) { return KLUIS_OK; }
    if (c->who != NOBODY && r->m.who[c->who].kind == WHO_LIST) {
        (void)snprintf(where, sizeof where, "%llu items", (unsigned long long)c->items);
        return skip(r, "story", where, "stories are shown for a day and are no conversation", err);
    }
    KLUIS_TRY(header(r, c, &h, err));
    KLUIS_TRY(r->sink->begin(r->sink->ctx, &h, err));
    r->emit.chat = c;
    r->emit.party_of = r->party_of;
    KLUIS_TRY(all_items(r, index, err));
    return r->sink->end(r->sink->ctx, err);
}

/* What the file holds besides conversations, one line a kind. */
static kluis_status tell_other_frames(struct reading *r, struct kluis_err *err)
{
    static const char *const known[] = { "stickerPack", "notificationProfile", "chatFolder" };
    for (unsigned i = 0; i < r->m.n_frames; i++) {
        const struct frame_count *f = &r->m.frames[i];
        char where[96];
        bool setting = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) { setting = setting || strcmp(f->name, known[k]) == 0; }
        (void)snprintf(where, sizeof where, "line %llu%s", (unsigned long long)f->first, f->n > 1 ? " and further" : "");
        KLUIS_TRY(skip(r, f->name, where,
                       setting ? "a setting of the app, no part of a conversation" : "unknown to this reader and in no conversation", err));
    }
    for (uint32_t i = 0; i < r->m.n_who; i++) {
        char where[64];
        if (r->m.who[i].kind != WHO_MISSING && r->m.who[i].kind != WHO_OTHER) { continue; }
        (void)snprintf(where, sizeof where, "recipient %llu", (unsigned long long)r->m.who[i].id);
        KLUIS_TRY(skip(r, "recipient", where,
                       r->m.who[i].kind == WHO_MISSING ? "named by an item, but not in the export" : "of a kind unknown to this reader", err));
    }
    return KLUIS_OK;
}

static kluis_status all_chats(struct reading *r, struct kluis_err *err)
{
    struct model *m = &r->m;
    for (uint32_t first = 0; first < m->n_chat;) {
        uint32_t n = 1;
        uint64_t bytes = m->chat[first].index_bytes;
        while (m->overflow && first + n < m->n_chat && bytes + m->chat[first + n].index_bytes <= OFFSETS_MAX / 2) {
            bytes += m->chat[first + n++].index_bytes;
        }
        if (m->overflow && bytes <= OFFSETS_MAX / 2) { KLUIS_TRY(model_offsets(m, &r->lines, first, n, err)); }
        for (uint32_t i = first; i < first + n; i++) { KLUIS_TRY(one_chat(r, i, err)); }
        first += n;
    }
    return tell_other_frames(r, err);
}

static kluis_status reading_begin(struct reading *r, const struct source_request *q, struct kluis_err *err)
{
    struct model *m = &r->m;
    m->fd = m->dir = -1;
    m->self = NOBODY;
    m->room = PEOPLE_MAX;
    KLUIS_TRY(options(m, q, err));
    KLUIS_TRY(locate(m, q->path, err));
    m->people = kluis_arena_new(PEOPLE_MAX);
    m->tree = kluis_arena_new(TREE_MAX);
    r->tables = kluis_arena_new(1 << 20);
    r->records = kluis_arena_new(RECORD_MAX);
    if (m->people == NULL || m->tree == NULL || r->tables == NULL || r->records == NULL) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    }
    KLUIS_TRY(lines_open(&r->lines, m->fd, m->path, err));
    KLUIS_TRY(model_index(m, &r->lines, err));
    r->party_of = kluis_calloc(m->n_who + 1, sizeof *r->party_of);
    if (r->party_of == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    r->emit.m = m;
    r->emit.arena = r->records;
    return KLUIS_OK;
}

static void reading_end(struct reading *r)
{
    lines_close(&r->lines);
    kluis_arena_free(r->tables);
    kluis_arena_free(r->records);
    kluis_free(r->party_of);
    model_free(&r->m);
    kluis_free(r);
}

static kluis_status read_export(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct reading *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    r->sink = sink;
    r->emit.sink = sink;
    kluis_status rc = reading_begin(r, q, err);
    if (rc == KLUIS_OK) { rc = all_chats(r, err); }
    reading_end(r);
    return rc;
}

static kluis_status attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct model *m = kluis_calloc(1, sizeof *m);
    if (m == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    m->fd = m->dir = -1;
    kluis_status rc = locate(m, q->path, err);
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        int fd = media_open(m->dir, wanted[i]);
        if (fd < 0) { continue; }
        struct kluis_input_fd state = { .fd = fd, .what = "attachment" };
        struct kluis_input in = kluis_input_from_fd(&state);
        rc = sink->attachment(sink->ctx, i, &in, err);
        kluis_close_quiet(&fd);
    }
    kluis_close_quiet(&m->fd);
    kluis_close_quiet(&m->dir);
    kluis_free(m);
    return rc;
}

/* The first line is a whole object that says which version of a backup this is, or a frame. */
static enum source_sure probe(const struct source_file *f)
{
    static const char *const frames[] = { "account", "recipient", "chat", "chatItem", "adHocCall", "stickerPack", "chatFolder" };
    if (f->path == NULL || (f->name[0] != '\0' && strcmp(f->name, "main.jsonl") != 0)) { return SOURCE_NO; }
    const char *p = (const char *)f->head.ptr, *nl = f->head.len == 0 ? NULL : memchr(p, '\n', f->head.len);
    if (f->head.len == 0 || p[0] != '{' || (nl == NULL && f->head.len == SOURCE_HEAD_MAX)) { return SOURCE_NO; }
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(TREE_MAX);
    struct json *v = NULL;
    struct kluis_err unread = { 0 };
    uint64_t n;
    if (arena == NULL || json_read((struct kluis_str){ p, nl == NULL ? f->head.len : (size_t)(nl - p) }, arena, &v, &unread) != KLUIS_OK) {
        return SOURCE_NO;
    }
    if (json_u64(v, "version", &n) && json_u64(v, "backupTimeMs", &n)) { return SOURCE_CERTAIN; }
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        if (json_object(v, frames[i]) != NULL && v->child->next == NULL) { return SOURCE_LIKELY; }
    }
    return SOURCE_NO;
}

const struct source_kind source_signal_export = {
    .name = KIND,
    .platform = "signal",
    .about_nl = "Signal: \"chatgeschiedenis exporteren\" (map met main.jsonl en files)",
    .about_en = "Signal: \"export chat history\" (folder with main.jsonl and files)",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = read_export,
    .attachments = attachments,
};
