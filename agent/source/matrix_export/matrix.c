/* matrix.c - the matrix-export source: export.json of Element, one room each, alone, in a zip with its files, or in a folder of such. */
#include "agent/source/matrix_export/matrix.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }
static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

/* ---- people ---------------------------------------------------------------------------------------------------------------------- */

uint32_t matrix_party(struct matrix *x, struct kluis_str user)
{
    uint32_t u = user.len == 0 ? KLUIS_NO_PARTY : roster_note(&x->users, user, absent(), absent());
    return u == KLUIS_NO_PARTY ? u : x->now[u];
}

/* Everybody is known under his first name from the start. */
static void forget_names(struct matrix *x) { memcpy(x->now, x->first, sizeof x->now); }

void matrix_called(struct matrix *x, struct json *e)
{
    struct json *content = json_object(e, "content");
    struct kluis_str who = json_string(e, "state_key"), name = json_string(content, "displayname"), membership = json_string(content, "membership");
    if (!kluis_str_is(json_string(e, "type"), "m.room.member") || who.ptr == NULL) { return; }
    uint32_t u = roster_note(&x->users, who, absent(), absent());
    bool there = kluis_str_is(membership, "join") || kluis_str_is(membership, "invite");
    if (u == KLUIS_NO_PARTY || name.ptr == NULL || !there) { return; }
    uint32_t p = roster_find(&x->people, who, name);
    if (p != KLUIS_NO_PARTY) { x->now[u] = p; }
}

static void note_name(struct matrix *x, struct json *e)
{
    struct json *content = json_object(e, "content"), *u = json_object(e, "unsigned"), *prev = json_object(u, "prev_content");
    struct kluis_str who = json_string(e, "state_key"), name = json_string(content, "displayname"), before = json_string(prev, "displayname");
    if (!kluis_str_is(json_string(e, "type"), "m.room.member") || who.ptr == NULL) { return; }
    uint32_t user = roster_note(&x->users, who, absent(), absent()), p = KLUIS_NO_PARTY;
    x->direct |= json_true(content, "is_direct");
    if (before.ptr != NULL) { p = roster_note(&x->people, who, before, absent()); }
    if (name.ptr != NULL) {
        uint32_t q = roster_note(&x->people, who, name, absent());
        if (p == KLUIS_NO_PARTY) { p = q; }
    }
    if (user != KLUIS_NO_PARTY && x->first[user] == KLUIS_NO_PARTY) { x->first[user] = p; }
}

/* After pass 1: who is never named is known by his id. */
static void conclude_people(struct matrix *x)
{
    for (uint32_t u = 0; u < x->users.n; u++) {
        if (x->first[u] == KLUIS_NO_PARTY) { x->first[u] = roster_note(&x->people, x->users.list[u].id, absent(), absent()); }
    }
    forget_names(x);
}

/* ---- polls ------------------------------------------------------------------------------------------------------------------------- */

struct json *matrix_poll(struct json *content)
{
    struct json *p = json_object(content, "org.matrix.msc3381.poll.start");
    if (p == NULL) { p = json_object(content, "m.poll"); }
    return p != NULL ? p : json_object(content, "m.poll.start");
}

struct kluis_str matrix_words(struct json *o)
{
    static const char *const names[] = { "org.matrix.msc1767.text", "m.text", "body" };
    struct kluis_str s = absent();
    for (size_t i = 0; i < 3 && s.ptr == NULL; i++) {
        struct json *list = json_array(o, names[i]); /* "m.text": [{"body": …}] */
        s = list != NULL ? json_string(list->child, "body") : json_string(o, names[i]);
    }
    return s;
}

static uint32_t slot_of(struct kluis_str poll, struct kluis_str id)
{
    return (uint32_t)kluis_str_hash(id, kluis_str_hash(poll, 0)) & (ANSWER_SLOTS - 1);
}

const struct answer *matrix_answer(const struct matrix *x, struct kluis_str poll, struct kluis_str id)
{
    if (poll.ptr == NULL || id.ptr == NULL) { return NULL; }
    for (uint32_t k = slot_of(poll, id); x->answers[k].poll.ptr != NULL; k = (k + 1) & (ANSWER_SLOTS - 1)) {
        if (kluis_str_eq(x->answers[k].poll, poll) && kluis_str_eq(x->answers[k].id, id)) { return &x->answers[k]; }
    }
    return NULL;
}

static void note_poll(struct matrix *x, struct json *e)
{
    struct json *answers = json_array(matrix_poll(json_object(e, "content")), "answers");
    struct kluis_str poll = json_string(e, "event_id");
    for (struct json *a = answers == NULL || poll.ptr == NULL ? NULL : answers->child; a != NULL; a = a->next) {
        struct kluis_str id = json_string(a, "id"), words = matrix_words(a);
        if (id.ptr == NULL) { id = json_string(a, "m.id"); }
        if (id.ptr == NULL || words.ptr == NULL || x->n_answers * 2 >= ANSWER_SLOTS || matrix_answer(x, poll, id) != NULL) { continue; }
        struct answer kept = { kluis_arena_str(x->kept, poll), kluis_arena_str(x->kept, id), kluis_arena_str(x->kept, words) };
        if (kept.poll.ptr == NULL || kept.id.ptr == NULL || kept.text.ptr == NULL) { return; }
        uint32_t k = slot_of(poll, id);
        while (x->answers[k].poll.ptr != NULL) { k = (k + 1) & (ANSWER_SLOTS - 1); }
        x->answers[k] = kept;
        x->n_answers++;
    }
}

/* ---- going through the events -------------------------------------------------------------------------------------------------------- */

static bool is_event(struct json *m)
{
    return json_string(m, "type").ptr != NULL &&
           (json_get(m, "sender") != NULL || json_get(m, "event_id") != NULL || json_get(m, "origin_server_ts") != NULL);
}

static kluis_status note(void *ctx, struct json *e, KLUIS_UNUSED struct kluis_str raw, KLUIS_UNUSED uint64_t at, struct kluis_err *err)
{
    struct matrix *x = ctx;
    struct json *u = json_object(e, "unsigned"), *because = json_object(u, "redacted_because");
    struct kluis_str sender = json_string(e, "sender"), room = json_string(e, "room_id");
    if (because == NULL) { because = json_object(e, "redacted_because"); }
    x->n_events++;
    if (sender.ptr != NULL) { (void)roster_note(&x->users, sender, absent(), absent()); }
    sender = json_string(because, "sender");
    if (sender.ptr != NULL) { (void)roster_note(&x->users, sender, absent(), absent()); }
    sender = json_string(json_object(json_object(u, "m.relations"), "m.replace"), "sender");
    if (sender.ptr != NULL) { (void)roster_note(&x->users, sender, absent(), absent()); }
    if (x->room_id.ptr == NULL && room.ptr != NULL && room.len <= 1024) {
        x->room_id = kluis_arena_str(x->kept, room);
        if (x->room_id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    }
    note_name(x, e);
    note_poll(x, e);
    return KLUIS_OK;
}

static kluis_status note_damage(void *ctx, KLUIS_UNUSED uint64_t at, KLUIS_UNUSED uint64_t n, KLUIS_UNUSED bool to_end,
                                KLUIS_UNUSED struct kluis_err *err)
{
    struct matrix *x = ctx;
    x->damaged++;
    return KLUIS_OK;
}

static kluis_status send(void *ctx, struct json *e, struct kluis_str raw, KLUIS_UNUSED uint64_t at, struct kluis_err *err)
{
    return matrix_send(ctx, e, raw, err);
}

static kluis_status send_damage(void *ctx, uint64_t at, uint64_t n, KLUIS_UNUSED bool to_end, struct kluis_err *err)
{
    struct matrix *x = ctx;
    kluis_arena_clear(x->scratch);
    return build_gap(&x->build, x->scratch, x->sink, at, n, KLUIS_ZONE_STATED, err);
}

static kluis_status events(struct matrix *x, struct json_stream *s, bool sending, enum json_items_end *end, struct kluis_err *err)
{
    struct json_items i = { .stream = s, .tree = x->tree, .first = "type", .ctx = x, .is_one = is_event };
    i.item = sending ? send : note;
    i.damage = sending ? send_damage : note_damage;
    return json_items(&i, end, err);
}

/* ---- a room -------------------------------------------------------------------------------------------------------------------------- */

static void room_start(struct matrix *x)
{
    kluis_arena_clear(x->kept);
    roster_clear(&x->users);
    roster_clear(&x->people);
    memset(x->answers, 0, sizeof x->answers);
    for (uint32_t i = 0; i < KLUIS_PARTIES_MAX; i++) { x->first[i] = x->now[i] = KLUIS_NO_PARTY; }
    x->room_id = x->room_name = x->topic = x->exported_by = x->export_date = absent();
    x->messages_at = x->n_events = x->damaged = 0;
    x->n_answers = 0;
    x->has_messages = x->direct = false;
}

static kluis_status begin(struct matrix *x, struct kluis_err *err)
{
    static const char *const never[] = { "events-without-tile", "deleted-content", "edit-history", "read-receipts" };
    size_t n = 0;
    if (x->room_id.ptr == NULL) { /* nothing numbers the room: its name does */
        char id[64] = "unnumbered-";
        uint8_t d[32];
        KLUIS_AUTO_BUF(b, 1 << 20);
        kluis_buf_cstr(&b, "chatkluis-matrix-conversation-v1:");
        kluis_buf_str(&b, x->room_name);
        kluis_sha256_of(b.data, b.len, d);
        kluis_base32(d, 16, id + 11);
        x->room_id = kluis_arena_str(x->kept, kluis_str_of(id));
        if (x->room_id.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    }
    struct kluis_str self = x->self_option != NULL ? kluis_str_of(x->self_option) : x->exported_by;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { x->loss[n++] = kluis_str_of(never[i]); }
    if (x->people.several_names) { x->loss[n++] = KLUIS_STR_LIT("person-with-several-names"); }
    if (x->people.overflow || x->users.overflow) { x->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (!x->media_there) { x->loss[n++] = KLUIS_STR_LIT("attachments"); }
    x->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("matrix"),
                                       .conversation_id = x->room_id,
                                       .conversation_name = x->room_name,
                                       .type = x->direct && x->users.n <= 2 ? KLUIS_DIRECT : KLUIS_GROUP,
                                       .parties = x->people.list,
                                       .n_parties = x->people.n,
                                       .participants = x->people.members,
                                       .n_participants = x->people.n,
                                       .self = roster_called(&x->people, self),
                                       .provenance = { .source = KLUIS_STR_LIT("matrix-export"),
                                                       .app = KLUIS_STR_LIT("Element"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " matrix-export") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = x->loss,
                                       .n_loss = n };
    return x->sink->begin(x->sink->ctx, &x->header, err);
}

static kluis_status give(struct matrix *x, struct kluis_err *err)
{
    struct fileset_stream state;
    struct kluis_input in;
    struct json_stream s = { 0 };
    enum json_items_end end;
    if (x->n_events == 0 && x->damaged == 0) { return KLUIS_OK; }
    conclude_people(x);
    KLUIS_TRY(begin(x, err));
    KLUIS_TRY(fileset_input(&x->files, x->file, x->messages_at, &state, &in, err));
    KLUIS_TRY(json_stream_open(&s, &in, x->messages_at, x->files.list[x->file].name, MESSAGE_MAX, err));
    json_stream_inside(&s, '[');
    kluis_status rc = events(x, &s, true, &end, err);
    json_stream_close(&s);
    KLUIS_TRY(rc);
    x->rooms++;
    return x->sink->end(x->sink->ctx, err);
}

static kluis_status about(struct matrix *x, struct json_stream *s, struct kluis_str key, struct kluis_err *err)
{
    struct kluis_str *to = kluis_str_is(key, "room_name")     ? &x->room_name
                           : kluis_str_is(key, "topic")       ? &x->topic
                           : kluis_str_is(key, "exported_by") ? &x->exported_by
                           : kluis_str_is(key, "export_date") ? &x->export_date
                                                              : NULL;
    struct kluis_str raw;
    struct json *v = NULL;
    uint64_t at;
    if (to == NULL) { return json_stream_skip(s, err); }
    KLUIS_TRY(json_stream_take(s, &raw, &at, err));
    kluis_arena_clear(x->tree);
    if (json_read_loose(raw, x->tree, &v, NULL) != KLUIS_OK || v->type != JSON_STRING || v->text.len == 0 || v->text.len > 65536) { return KLUIS_OK; }
    *to = kluis_arena_str(x->kept, v->text);
    return to->ptr == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
}

static kluis_status walk(struct matrix *x, struct json_stream *s, struct kluis_err *err)
{
    struct kluis_str key;
    enum json_items_end end = JSON_ITEMS_CLOSED;
    kluis_status rc = KLUIS_OK;
    KLUIS_TRY(json_stream_enter(s, '{', err));
    while (end == JSON_ITEMS_CLOSED && (rc = json_stream_next(s, &key, err)) == KLUIS_OK) {
        if (kluis_str_is(key, "messages") && !x->has_messages) {
            KLUIS_TRY(json_stream_enter(s, '[', err));
            x->messages_at = json_stream_at(s);
            x->has_messages = true;
            KLUIS_TRY(events(x, s, false, &end, err));
        } else {
            KLUIS_TRY(about(x, s, key, err));
        }
    }
    return end != JSON_ITEMS_CLOSED || rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status read_one(struct matrix *x, uint32_t i, struct kluis_err *err)
{
    const char *name = x->files.list[i].name, *base = fileset_base(name);
    struct fileset_stream state;
    struct kluis_input in;
    struct json_stream s = { 0 };
    struct kluis_err why = { 0 };
    room_start(x);
    x->file = i;
    KLUIS_TRY(fileset_input(&x->files, i, 0, &state, &in, err));
    KLUIS_TRY(json_stream_open(&s, &in, 0, name, MESSAGE_MAX, err));
    kluis_status rc = walk(x, &s, &why);
    json_stream_close(&s);
    struct kluis_str folder = kluis_arena_str(x->kept, (struct kluis_str){ name, (size_t)(base - name) });
    char *in_folder = folder.len == 0 ? NULL : kluis_arena_strndup(x->kept, folder.ptr, folder.len);
    x->in = in_folder == NULL ? "" : in_folder;
    static const char *const kinds[] = { "images/", "videos/", "audio/", "files/", "stickers/" };
    x->media_there = false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct kluis_str prefix = build_fmt(x->kept, "%s%s", x->in, kinds[k]);
        uint32_t at = prefix.ptr == NULL ? x->files.n : fileset_from(&x->files, prefix);
        x->media_there |= at < x->files.n && strncmp(x->files.list[at].name, prefix.ptr, prefix.len) == 0;
    }
    if (rc != KLUIS_OK && !refusal(rc)) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    uint64_t before = x->rooms;
    if (x->has_messages) { KLUIS_TRY(give(x, err)); }
    if (rc == KLUIS_OK && x->has_messages) { return KLUIS_OK; }
    return build_skip(x->sink, x->rooms > before ? "the rest of an export" : "a file", name, rc == KLUIS_OK ? "it holds no messages" : why.msg, true,
                      err);
}

/* ---- the source ------------------------------------------------------------------------------------------------------------------------ */

static bool holds(struct kluis_bytes b, const char *part) { return memmem(b.ptr, b.len, part, strlen(part)) != NULL; }
static bool is_export(struct kluis_bytes head)
{
    return head.len > 0 && (head.ptr[0] == '{' || head.ptr[0] == 0xEF || head.ptr[0] == ' ' || head.ptr[0] == '\n') && holds(head, "\"room_name\"") &&
           holds(head, "\"messages\"") && (holds(head, "\"exported_by\"") || holds(head, "\"room_creator\""));
}
static bool is_json(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0;
}

static kluis_status read_all(struct matrix *x, const char *path, struct kluis_err *err)
{
    uint8_t *head = kluis_malloc(SOURCE_HEAD_MAX);
    kluis_status rc = head == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    uint64_t exports = 0;
    for (uint32_t i = 0; rc == KLUIS_OK && i < x->files.n; i++) {
        size_t n = 0;
        if (x->files.one != FILESET_NONE ? i != x->files.one : !is_json(x->files.list[i].name)) { continue; }
        rc = fileset_read_at(&x->files, i, head, SOURCE_HEAD_MAX, 0, &n, err);
        if (rc != KLUIS_OK || !is_export((struct kluis_bytes){ head, n })) { continue; }
        exports++;
        rc = read_one(x, i, err);
    }
    kluis_free(head);
    KLUIS_TRY(rc);
    if (x->files.ended_early) { KLUIS_TRY(build_skip(x->sink, "the rest of the archive", "", "it is cut off or damaged", true, err)); }
    return exports > 0 && x->rooms > 0
               ? KLUIS_OK
               : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no export of Element with messages: in Element choose \"Export chat\" and the format JSON",
                            path);
}

static const struct fileset_how how = { .what = "Element export", .keep = is_json };

static void matrix_free(struct matrix *x)
{
    fileset_close(&x->files);
    roster_close(&x->users);
    roster_close(&x->people);
    kluis_arena_free(x->kept);
    kluis_arena_free(x->tree);
    kluis_arena_free(x->scratch);
    kluis_buf_free(&x->text);
    kluis_free(x);
}

static kluis_status matrix_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") != 0) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "matrix-export: the option is self=@user:server or a name; \"%.40s\" is none", q->options[i].key);
        }
    }
    struct matrix *x = kluis_calloc(1, sizeof *x);
    if (x == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    x->sink = sink;
    x->self_option = source_option_get(q, "self");
    x->in = "";
    kluis_buf_init(&x->text, KLUIS_TEXT_MAX);
    x->kept = kluis_arena_new(POLLS_BYTES);
    x->tree = kluis_arena_new(TREE_MAX);
    x->scratch = kluis_arena_new(TREE_MAX);
    kluis_status rc =
        x->kept == NULL || x->tree == NULL || x->scratch == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again") : KLUIS_OK;
    if (rc == KLUIS_OK) { rc = roster_open(&x->users, PEOPLE_BYTES, err); }
    if (rc == KLUIS_OK) { rc = roster_open(&x->people, PEOPLE_BYTES, err); }
    if (rc == KLUIS_OK) { rc = fileset_open(&x->files, q->path, &how, err); }
    if (rc == KLUIS_OK) { rc = read_all(x, q->path, err); }
    matrix_free(x);
    return rc;
}

static kluis_status matrix_attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                       size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    return fileset_give(q->path, &how, wanted, n, sink, err); /* a reference is a path in the export */
}

static enum source_sure probe(const struct source_file *f)
{
    return (f->name[0] == '\0' || is_json(f->name)) && is_export(f->head) ? SOURCE_CERTAIN : SOURCE_NO;
}

static const char *const tells[] = { "messages", "authors", "account-ids",   "message-ids", "times",       "edits",     "edit-times", "deletions",
                                     "quotes",   "polls",   "group-changes", "calls",       "attachments", "locations", "names",      NULL };
static const char *const loss[] = { "events-without-tile", "deleted-content", "edit-history", "read-receipts", NULL };

const struct source_kind source_matrix_export = {
    .name = "matrix-export",
    .platform = "matrix",
    .about_nl = "Matrix (Element): de JSON van \"Chat exporteren\", los of als zip met de bestanden",
    .about_en = "Matrix (Element): the JSON of \"Export chat\", alone or as a zip with its files",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = matrix_read,
    .attachments = matrix_attachments,
};
