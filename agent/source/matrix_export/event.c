/* event.c - one event of the room to records: messages, edits, reactions, deletions, polls; what it does not know goes through state.c. */
#include "agent/source/matrix_export/matrix.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

void matrix_when(struct build *b, struct json *e)
{
    uint64_t ms = 0;
    b->r.zone = KLUIS_ZONE_STATED;
    if (json_u64(e, "origin_server_ts", &ms) && ms <= INT64_MAX) { b->r.sent = (struct kluis_when){ build_ms((int64_t)ms), 0 }; }
    if (b->r.sent.us != KLUIS_TIME_ABSENT) { return; }
    build_loss(b, "time-unknown");
    build_text(b, "date", json_text(e, "origin_server_ts"));
}

static kluis_status send(struct matrix *x, struct kluis_str raw, struct kluis_err *err)
{
    return build_send(&x->build, x->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err);
}

/* ---- deletions ---------------------------------------------------------------------------------------------------------------- */

struct told { /* of the event that others point at */
    struct kluis_str id, type;
    uint32_t author;
    struct kluis_when sent;
};

static kluis_status deletion(struct matrix *x, struct json *because, const struct told *of, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &x->build;
    struct json *content = json_object(because, "content");
    build_new(b, x->scratch, KLUIS_DELETION);
    struct kluis_str id = json_string(because, "event_id");
    b->r.id = id.ptr != NULL ? id : of->id.ptr == NULL ? absent() : build_fmt(x->scratch, "%.*s:deleted", (int)of->id.len, of->id.ptr);
    b->r.author = matrix_party(x, json_string(because, "sender"));
    b->r.target = of->id;
    b->r.target_author = of->author;
    b->r.target_sent = of->sent;
    matrix_when(b, because);
    build_text(b, "reason", json_string(content, "reason"));
    if (!kluis_str_is(of->type, "m.room.message")) { build_text(b, "target-type", of->type); }
    build_loss(b, "original-unknown");
    return send(x, raw, err);
}

/* ---- text ------------------------------------------------------------------------------------------------------------------------ */

/* "> <@a:b> quoted\n> more\n\nown words": the quotation is a fallback for programs that know no replies. */
static struct kluis_str without_fallback(struct matrix *x, struct build *b, struct kluis_str body)
{
    size_t i = 0;
    kluis_buf_clear(&x->text);
    while (i + 1 < body.len && body.ptr[i] == '>' && body.ptr[i + 1] == ' ') {
        const char *nl = memchr(body.ptr + i, '\n', body.len - i);
        size_t end = nl == NULL ? body.len : (size_t)(nl - body.ptr), from = i + 2;
        if (x->text.len == 0 && from < end && body.ptr[from] == '<') { /* who it was */
            const char *gt = memchr(body.ptr + from, '>', end - from);
            if (gt != NULL && gt[1] == ' ') { from = (size_t)(gt - body.ptr) + 2; }
        }
        if (i > 0) { kluis_buf_byte(&x->text, '\n'); }
        kluis_buf_add(&x->text, body.ptr + from, end > from ? end - from : 0);
        i = nl == NULL ? body.len : end + 1;
    }
    if (i == 0 || i >= body.len || body.ptr[i] != '\n') { return body; } /* somebody's own ">" */
    if (x->text.len > 0 && x->text.status == KLUIS_OK) {
        b->r.quote = kluis_arena_str(x->scratch, (struct kluis_str){ (const char *)x->text.data, x->text.len });
    }
    return (struct kluis_str){ body.ptr + i + 1, body.len - i - 1 };
}

static void relations(struct matrix *x, struct build *b, struct json *content)
{
    struct json *rel = json_object(content, "m.relates_to"), *reply = json_object(rel, "m.in_reply_to");
    struct kluis_str type = json_string(rel, "rel_type"), of = json_string(rel, "event_id"), to = json_string(reply, "event_id");
    bool falling_back = json_true(rel, "is_falling_back");
    (void)x;
    if (kluis_str_is(type, "m.thread")) {
        build_text(b, "thread", of);
        b->r.target = to.ptr == NULL || falling_back ? of : to;
    } else if (to.ptr != NULL) {
        b->r.target = to;
    } else if (kluis_str_is(type, "m.reference")) {
        b->r.target = of;
    }
}

static const char *folder_of(struct kluis_str msgtype)
{
    return kluis_str_is(msgtype, "m.image")   ? "images"
           : kluis_str_is(msgtype, "m.video") ? "videos"
           : kluis_str_is(msgtype, "m.audio") ? "audio"
           : kluis_str_is(msgtype, "m.file")  ? "files"
                                              : NULL;
}

/* What a message says: of itself, or of the content that replaces it. */
static void says(struct matrix *x, struct build *b, struct json *content, int64_t sent_us)
{
    struct kluis_str type = json_string(content, "msgtype"), body = json_string(content, "body"), name = json_string(content, "filename");
    struct json *v = json_get(content, "body"), *html = json_get(content, "formatted_body");
    const char *folder = folder_of(type);
    if (b->r.target.ptr != NULL) { body = without_fallback(x, b, body); }
    if (folder != NULL) {
        matrix_file(x, b, content, folder, name.ptr != NULL ? name : body, sent_us);
        if (name.ptr != NULL && body.ptr != NULL && !kluis_str_eq(name, body)) { build_body(b, body); } /* a caption */
    } else if (body.ptr != NULL) {
        build_body(b, body);
    }
    if (v != NULL && v->damaged && b->r.text.ptr != NULL) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }; }
    if (!kluis_str_is(type, "m.text") && folder == NULL) { build_text(b, "msgtype", type); }
    struct kluis_str geo = json_string(content, "geo_uri");
    if (geo.len > 4 && memcmp(geo.ptr, "geo:", 4) == 0) { build_text(b, "location", (struct kluis_str){ geo.ptr + 4, geo.len - 4 }); }
    if (html != NULL && html->type == JSON_STRING && memmem(html->text.ptr == NULL ? "" : html->text.ptr, html->text.len, "href=", 5) == NULL) {
        (void)json_whole(html); /* the same once more; with links it says more than the text */
    }
    json_ignore(content, "format");
    json_ignore(content, "org.matrix.msc1767.text");
    json_ignore(content, "org.matrix.msc1767.message");
    json_ignore(content, "org.matrix.msc1767.file");
}

/* ---- kinds of messages -------------------------------------------------------------------------------------------------------------- */

static void poll(struct matrix *x, struct build *b, struct json *p)
{
    struct json *answers = json_array(p, "answers"), *q = json_object(p, "question");
    struct kluis_str question = matrix_words(q);
    uint64_t n = 0;
    (void)x;
    b->r.kind = KLUIS_POLL;
    if (question.ptr != NULL) { build_body(b, question); }
    for (struct json *a = answers == NULL ? NULL : answers->child; a != NULL; a = a->next) {
        build_option(b, matrix_words(a));
        (void)json_whole(a);
    }
    if (json_u64(p, "max_selections", &n)) { build_number(b, "max-selections", n > INT64_MAX ? INT64_MAX : (int64_t)n); }
    build_text(b, "poll-kind", json_string(p, "kind"));
    (void)json_whole(q);
}

static bool vote(struct matrix *x, struct build *b, struct json *content)
{
    static const char *const names[] = { "org.matrix.msc3381.poll.response", "m.poll.response", "m.selections" };
    struct json *r = NULL, *list = json_array(content, "m.selections");
    for (size_t i = 0; i < 2 && list == NULL; i++) {
        r = json_object(content, names[i]);
        list = json_array(r, "answers");
    }
    struct kluis_str of = json_string(json_object(content, "m.relates_to"), "event_id");
    b->r.kind = KLUIS_VOTE;
    b->r.target = of;
    for (struct json *a = list == NULL ? NULL : list->child; a != NULL; a = a->next) {
        const struct answer *known = a->type == JSON_STRING ? matrix_answer(x, of, a->text) : NULL;
        if (known == NULL) { build_loss(b, "option-unknown"); }
        build_option(b, known != NULL ? known->text : a->type == JSON_STRING ? a->text : absent());
    }
    (void)json_whole(list);
    return list != NULL;
}

/* What servers put beside an event of what others said of it. */
static void bundled(struct build *b, struct json *e, struct json **replaced)
{
    struct json *u = json_object(e, "unsigned"), *rel = json_object(u, "m.relations");
    struct json *annotations = json_object(rel, "m.annotation"), *chunk = json_array(annotations, "chunk");
    *replaced = json_object(rel, "m.replace");
    for (struct json *c = chunk == NULL ? NULL : chunk->child; c != NULL; c = c->next) {
        struct kluis_str key = json_string(c, "key");
        uint64_t n = 0;
        if (key.ptr == NULL || key.len > 200 || !json_u64(c, "count", &n)) { continue; }
        struct kluis_str name = build_fmt(b->arena, "reactions.%.*s", (int)key.len, key.ptr);
        build_loss(b, "reactors-unknown");
        if (name.ptr != NULL && kluis_utf8_valid(name.ptr, name.len) == name.len) {
            build_number(b, name.ptr, n > INT64_MAX ? INT64_MAX : (int64_t)n);
        }
    }
    json_ignore(rel, "m.thread"); /* of the thread that begins here: its messages say it */
}

static kluis_status edit_of(struct matrix *x, struct json *replace, const struct told *of, struct kluis_err *err)
{
    struct build *b = &x->build;
    struct json *content = json_object(replace, "content"), *fresh = json_object(content, "m.new_content");
    build_new(b, x->scratch, KLUIS_EDIT);
    b->r.id = json_string(replace, "event_id");
    b->r.author = matrix_party(x, json_string(replace, "sender"));
    b->r.target = of->id;
    b->r.target_author = of->author;
    b->r.target_sent = of->sent;
    matrix_when(b, replace);
    says(x, b, fresh, b->r.sent.us);
    return send(x, replace->raw, err);
}

static void gap(struct build *b, struct kluis_str why)
{
    b->r.kind = KLUIS_GAP;
    b->r.event = KLUIS_STR_LIT("undecryptable");
    build_loss(b, "content-unknown");
    build_text(b, "reason", why);
}

static bool is_poll_response(struct kluis_str type)
{
    return kluis_str_is(type, "m.poll.response") || kluis_str_is(type, "org.matrix.msc3381.poll.response");
}

/* The kind of record and what is in it. */
static void fill(struct matrix *x, struct build *b, struct json *e, struct kluis_str type, struct json *content)
{
    struct json *rel = json_object(content, "m.relates_to"), *p = matrix_poll(content);
    struct kluis_str rel_type = json_string(rel, "rel_type"), of = json_string(rel, "event_id"), msgtype = json_string(content, "msgtype");
    if (kluis_str_is(type, "m.room.message") && kluis_str_is(msgtype, "m.bad.encrypted")) {
        gap(b, json_string(content, "body"));
    } else if (kluis_str_is(type, "m.room.encrypted")) {
        gap(b, absent());
        relations(x, b, content);
        json_ignore(content, "ciphertext");
        json_ignore(content, "sender_key");
        json_ignore(content, "device_id");
    } else if (kluis_str_is(type, "m.room.message") && kluis_str_is(msgtype, "m.key.verification.request")) {
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("verification-requested");
        build_text(b, "type", msgtype);
    } else if (kluis_str_is(type, "m.room.message") && kluis_str_is(rel_type, "m.replace")) {
        b->r.kind = KLUIS_EDIT;
        b->r.target = of;
        struct json *fresh = json_object(content, "m.new_content");
        says(x, b, fresh != NULL ? fresh : content, b->r.sent.us);
        if (fresh != NULL) {
            json_ignore(content, "body"), json_ignore(content, "formatted_body"), json_ignore(content, "format"), json_ignore(content, "msgtype");
        }
    } else if (kluis_str_is(type, "m.room.message")) {
        relations(x, b, content);
        says(x, b, content, b->r.sent.us);
    } else if (kluis_str_is(type, "m.sticker")) {
        relations(x, b, content);
        matrix_file(x, b, content, "stickers", json_string(content, "body"), b->r.sent.us);
        build_number(b, "sticker", 1);
    } else if (kluis_str_is(type, "m.reaction")) {
        struct kluis_str key = json_string(rel, "key");
        b->r.kind = KLUIS_REACTION;
        b->r.target = of;
        b->r.value = key.ptr == NULL ? KLUIS_STR_LIT("unknown") : key;
    } else if (kluis_str_is(type, "m.room.redaction")) {
        struct kluis_str target = json_string(e, "redacts");
        b->r.kind = KLUIS_DELETION;
        b->r.target = target.ptr != NULL ? target : json_string(content, "redacts");
        build_text(b, "reason", json_string(content, "reason"));
        build_loss(b, "original-unknown");
    } else if (p != NULL) {
        poll(x, b, p);
        relations(x, b, content);
        json_ignore(content, "org.matrix.msc1767.text");
        json_ignore(content, "m.text");
        json_ignore(content, "body");
    } else if (is_poll_response(type)) {
        if (!vote(x, b, content)) { build_loss(b, "content-unknown"); }
    } else if (kluis_str_is(type, "m.poll.end") || kluis_str_is(type, "org.matrix.msc3381.poll.end")) {
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("poll-ended");
        b->r.target = of;
        struct kluis_str words = matrix_words(content);
        if (words.ptr != NULL) { build_body(b, words); }
    } else {
        (void)matrix_state(x, b, e, type, content);
    }
    (void)json_whole(rel);
}

kluis_status matrix_send(struct matrix *x, struct json *e, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &x->build;
    struct json *content = json_object(e, "content"), *u = json_object(e, "unsigned"), *replaced = NULL;
    struct json *because = json_object(e, "redacted_because");
    struct kluis_str type = json_string(e, "type");
    if (because == NULL) { because = json_object(u, "redacted_because"); }
    kluis_arena_clear(x->scratch);
    matrix_called(x, e);
    build_new(b, x->scratch, KLUIS_MESSAGE);
    b->r.id = json_string(e, "event_id");
    b->r.author = matrix_party(x, json_string(e, "sender"));
    matrix_when(b, e);
    struct told told = { b->r.id, type, b->r.author, b->r.sent };
    if (because != NULL && (content == NULL || content->child == NULL)) { return deletion(x, because, &told, raw, err); }
    fill(x, b, e, type, content);
    if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    bundled(b, e, &replaced);
    struct json *fresh = json_object(json_object(replaced, "content"), "m.new_content");
    bool another = fresh != NULL && !kluis_str_eq(json_string(fresh, "body"), json_string(content, "body"));
    if (replaced != NULL && b->r.kind == KLUIS_MESSAGE && !another) { /* what stands here is the last form */
        uint64_t ms = 0;
        build_number(b, "edited", 1);
        build_loss(b, "original-unknown");
        if (json_u64(replaced, "origin_server_ts", &ms) && ms <= INT64_MAX) { build_time(b, "edited", build_ms((int64_t)ms)); }
    }
    if (json_string(e, "room_id").ptr != NULL && !kluis_str_eq(json_string(e, "room_id"), x->room_id)) {
        build_text(b, "room", json_string(e, "room_id"));
    }
    static const char *const said[] = { "unsigned", "prev_content", "user_id", "replaces_state", "age", "redacted_because" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) { json_ignore(e, said[i]); }
    build_rest(b, "matrix", e);
    KLUIS_TRY(send(x, raw, err));
    if (another) { KLUIS_TRY(edit_of(x, replaced, &told, err)); }
    return because != NULL ? deletion(x, because, &told, raw, err) : KLUIS_OK;
}
