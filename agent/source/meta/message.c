/* message.c - one message of a download to records: itself, and a reaction for everybody who reacted. */
#include "agent/source/meta/meta.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

bool meta_when(struct json *m, int64_t *ms)
{
    bool there = json_i64(m, "timestamp_ms", ms) || json_i64(m, "timestamp", ms);
    return there && build_ms(*ms) != KLUIS_TIME_ABSENT;
}

struct kluis_str meta_sender(struct json *m)
{
    struct kluis_str s = json_string(m, "sender_name");
    return s.ptr != NULL ? s : json_string(m, "senderName");
}

/* Repaired; the record says so, so that whoever holds it can turn it back. */
static struct kluis_str words(struct meta *t, struct build *b, struct kluis_str s)
{
    enum repair how = REPAIR_NONE;
    if (s.ptr == NULL) { return s; }
    s = meta_repair(s, t->words, &how);
    if (how == REPAIR_NONE) { return s; }
    for (size_t i = 0; i < b->r.n_fields; i++) {
        if (kluis_str_is(b->fields[i].name, "repaired")) { return s; }
    }
    build_text(b, "repaired", how == REPAIR_WINDOWS ? KLUIS_STR_LIT("utf-8-as-windows-1252") : KLUIS_STR_LIT("utf-8-as-latin-1"));
    return s;
}

static uint32_t somebody(struct meta *t, struct kluis_str name)
{
    return name.ptr == NULL ? KLUIS_NO_PARTY : roster_find(&t->c.people, absent(), meta_words(name, t->words));
}

static void set_text(struct meta *t, struct build *b, struct json *m, const char *name)
{
    struct json *v = json_get(m, name);
    if (v == NULL || v->type != JSON_STRING || v->text.len == 0) { return; }
    build_body(b, words(t, b, v->text));
    if (v->damaged) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }; }
}

/* ---- files ---- */

/* A uri counts from the download's top, wherever that lies below what was given; or from the file's own folder.  Parts of a download unpacked
 * side by side share one list: then the path's end finds it. */
static const struct download_file *find_file(struct meta *t, const struct part *p, struct kluis_str uri)
{
    struct kluis_str own = p->file->name;
    if (uri.len > 2 && memcmp(uri.ptr, "./", 2) == 0) { uri = (struct kluis_str){ uri.ptr + 2, uri.len - 2 }; }
    for (size_t i = own.len + 1; i-- > 0;) {
        if (i > 0 && own.ptr[i - 1] != '/') { continue; }
        struct kluis_str full = build_fmt(t->words, "%.*s%.*s", (int)i, own.ptr, (int)uri.len, uri.ptr);
        const struct download_file *f = full.ptr == NULL ? NULL : download_find(&t->d, full);
        if (f != NULL) { return f; }
    }
    size_t two = uri.len, slashes = 0;
    while (two > 0 && slashes < 2) { slashes += uri.ptr[--two] == '/'; }
    struct kluis_str end = slashes == 2 ? (struct kluis_str){ uri.ptr + two + 1, uri.len - two - 1 } : uri;
    size_t folder = own.len;
    while (folder > 0 && own.ptr[folder - 1] != '/') { folder--; }
    struct kluis_str near = build_fmt(t->words, "%.*s%.*s", (int)folder, own.ptr, (int)end.len, end.ptr); /* photos/x.jpg in the thread's folder */
    const struct download_file *f = near.ptr == NULL ? NULL : download_find(&t->d, near);
    return f != NULL || slashes < 2 ? f : download_find_end(&t->d, uri);
}

static void set_file(struct meta *t, struct build *b, const struct part *p, struct json *v)
{
    struct kluis_str uri = json_string(v, "uri");
    if (uri.ptr == NULL || uri.len > KLUIS_PATH_MAX) { return; }
    struct kluis_attachment *a = build_attachment(b);
    if (a == NULL) { return; }
    bool link = uri.len > 8 && (memcmp(uri.ptr, "https://", 8) == 0 || memcmp(uri.ptr, "http://", 7) == 0);
    bool path = memchr(uri.ptr, '/', uri.len) != NULL;
    if (link || !path) { /* "Failed to download media", or it stayed on Meta's servers */
        a->loss = link ? KLUIS_STR_LIT("omitted") : KLUIS_STR_LIT("unavailable");
        build_text(b, "marker", words(t, b, uri));
        return;
    }
    const struct download_file *f = find_file(t, p, meta_words(uri, t->words));
    a->name = build_base_name(f != NULL ? f->name : meta_words(uri, t->words));
    if (a->name.len == 0) { a->name = absent(); }
    a->type = kluis_str_of(build_type_of_name(a->name));
    if (f == NULL) {
        a->loss = KLUIS_STR_LIT("missing");
    } else {
        a->size = t->d.zip && f->size == 0 ? -1 : (int64_t)f->size;
        a->source_ref = f->name;
    }
}

static void set_files(struct meta *t, struct build *b, const struct part *p, struct json *m)
{
    static const char *const lists[] = { "photos", "videos", "audio_files", "files", "gifs", "media" };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct json *list = json_array(m, lists[i]);
        for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) {
            set_file(t, b, p, v);
            set_file(t, b, p, json_object(v, "thumbnail"));
        }
    }
    set_file(t, b, p, json_object(m, "sticker"));
}

/* ---- what kind of message ---- */

static void set_call(struct build *b, struct json *m)
{
    uint64_t seconds = 0;
    bool missed = json_true(m, "missed"), told = json_u64(m, "call_duration", &seconds);
    b->r.kind = KLUIS_CALL;
    b->r.value = KLUIS_STR_LIT("audio"); /* whether it had video is not told */
    b->r.event = missed ? KLUIS_STR_LIT("missed") : told && seconds > 0 ? KLUIS_STR_LIT("ended") : KLUIS_STR_LIT("not-answered");
    if (told) { build_number(b, "seconds", seconds > INT64_MAX ? INT64_MAX : (int64_t)seconds); }
    build_loss(b, "video-unknown");
}

/* Who came or went; who takes himself out leaves. */
static void set_members(struct meta *t, struct build *b, struct json *m, bool came)
{
    struct json *users = json_array(m, "users");
    KLUIS_AUTO_BUF(names, KLUIS_TEXT_MAX);
    struct kluis_str sender = meta_sender(m);
    bool himself = users == NULL;
    for (struct json *u = users == NULL ? NULL : users->child; u != NULL; u = u->next) {
        struct kluis_str name = json_string(u, "name");
        if (name.ptr == NULL) { continue; }
        if (names.len > 0) { kluis_buf_cstr(&names, ", "); }
        kluis_buf_str(&names, meta_words(name, t->words));
        himself = himself || kluis_str_eq(name, sender);
    }
    b->r.kind = KLUIS_EVENT;
    b->r.event = came ? (himself ? KLUIS_STR_LIT("member-joined") : KLUIS_STR_LIT("member-added"))
                      : (himself ? KLUIS_STR_LIT("member-left") : KLUIS_STR_LIT("member-removed"));
    if (names.len > 0 && names.status == KLUIS_OK) {
        build_text(b, "member", kluis_arena_str(t->words, (struct kluis_str){ (const char *)names.data, names.len }));
    }
}

static void set_kind(struct meta *t, struct build *b, const struct part *p, struct json *m)
{
    static const char *const plain[] = { "Generic", "Share", "text", "media", "link" };
    struct kluis_str type = json_string(m, "type");
    bool is_plain = type.ptr == NULL;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) { is_plain = is_plain || kluis_str_is(type, plain[i]); }
    bool unsent = json_true(m, "is_unsent"), too = json_true(m, "isUnsent");
    if (unsent || too) {
        b->r.kind = KLUIS_DELETION;
        b->r.target_author = b->r.author;
        b->r.target_sent = b->r.sent;
        b->r.sent.us = KLUIS_TIME_ABSENT; /* when it was taken back is not told */
        build_loss(b, "deleted-text");
        build_loss(b, "time-of-deletion");
    } else if (kluis_str_is(type, "Call") || (is_plain && json_get(m, "call_duration") != NULL)) {
        set_call(b, m);
    } else if (kluis_str_is(type, "Subscribe") || kluis_str_is(type, "Unsubscribe")) {
        set_members(t, b, m, type.len == 9);
    } else if (kluis_str_is(type, "placeholder")) {
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("unsupported");
        build_loss(b, "content-unknown");
    } else if (!is_plain) {
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("unknown");
    }
    if (type.ptr != NULL && !kluis_str_is(type, "Generic") && !(p->sealed && kluis_str_is(type, "text"))) {
        build_text(b, "type", words(t, b, type));
    }
}

/* Switches that say something only when they are on. */
static void set_switches(struct build *b, struct json *m)
{
    static const char *const known[] = { "is_geoblocked_for_viewer", "is_unsent_image_by_messenger_kid_parent", "is_taken_down" };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (json_true(m, known[i])) { build_number(b, known[i], 1); }
    }
    struct json *bumped = json_object(m, "bumped_message_metadata");
    if (bumped != NULL && !json_true(bumped, "is_bumped")) { (void)json_whole(bumped); }
}

/* ---- reactions ---- */

static kluis_status send_reactions(struct meta *t, struct json *m, uint32_t author, struct kluis_when sent, struct kluis_err *err)
{
    struct json *list = json_array(m, "reactions");
    for (struct json *v = list == NULL ? NULL : list->child; v != NULL; v = v->next) {
        struct build *b = &t->build;
        int64_t at = 0;
        build_new(b, t->words, KLUIS_REACTION);
        struct kluis_str e = json_string(v, "reaction");
        b->r.author = somebody(t, json_string(v, "actor"));
        b->r.value = e.ptr == NULL ? KLUIS_STR_LIT("unknown") : words(t, b, e);
        b->r.target_author = author;
        b->r.target_sent = sent;
        b->r.zone = KLUIS_ZONE_STATED;
        if (json_i64(v, "timestamp", &at) && at > 0 && at < INT64_C(253402300800)) {
            b->r.sent.us = at * 1000000;
        } else {
            build_loss(b, "time-of-reaction");
        }
        build_rest(b, "meta", v);
        KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }, err));
    }
    return KLUIS_OK;
}

kluis_status meta_message(struct meta *t, const struct part *p, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    int64_t ms = 0;
    kluis_arena_clear(t->words);
    build_new(b, t->words, KLUIS_MESSAGE);
    b->r.zone = KLUIS_ZONE_STATED;
    if (meta_when(m, &ms)) {
        b->r.sent.us = build_ms(ms);
    } else {
        build_loss(b, "time-unknown");
    }
    b->r.author = somebody(t, meta_sender(m));
    if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    set_text(t, b, m, p->sealed ? "text" : "content");
    struct json *share = json_object(m, "share");
    build_text(b, "link", words(t, b, json_string(share, "link")));
    build_text(b, "share-text", words(t, b, json_string(share, "share_text")));
    set_files(t, b, p, m);
    struct kluis_when sent = b->r.sent;
    set_kind(t, b, p, m);
    set_switches(b, m);
    if (b->r.kind == KLUIS_MESSAGE && b->r.text.ptr == NULL && b->r.n_attachments == 0 && share == NULL) { build_loss(b, "content-unknown"); }
    json_ignore(m, "reactions");
    uint32_t author = b->r.author;
    /* evidence: the message's own object; what nobody looked at, with it */
    build_rest(b, "meta", m);
    KLUIS_TRY(build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err));
    return send_reactions(t, m, author, sent, err);
}
