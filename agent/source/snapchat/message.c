/* message.c - one entry of Snapchat's histories to a record. */
#include "agent/source/snapchat/snapchat.h"

#include "agent/source/html.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

int64_t snapchat_when(struct json *m, bool *seconds)
{
    int64_t ms = 0, us = KLUIS_TIME_ABSENT;
    if (json_i64(m, "Created(microseconds)", &ms) && ms != 0) { us = build_ms(ms); } /* milliseconds, whatever the name says */
    *seconds = us == KLUIS_TIME_ABSENT;
    return us != KLUIS_TIME_ABSENT ? us : build_utc(json_string(m, "Created"));
}

struct kluis_str snapchat_from(const struct snapchat *t, struct json *m, bool *own)
{
    struct kluis_str from = json_string(m, "From");
    *own = json_true(m, "IsSender");
    if (from.ptr != NULL) { return from; }
    *own = *own || json_string(m, "To").ptr != NULL;
    return *own ? (t->self.ptr != NULL ? t->self : KLUIS_STR_LIT("owner")) : absent();
}

/* What is no message: by Snapchat's own code, which is kept. */
static const struct {
    const char *type, *event;
    enum kluis_kind kind;
} known[] = {
    { "STATUSERASEDMESSAGE", NULL, KLUIS_DELETION },
    { "STATUSERASEDSNAPMESSAGE", NULL, KLUIS_DELETION },
    { "STATUSPARTICIPANTREMOVED", "member-removed", KLUIS_EVENT },
    { "STATUSPARTICIPANTADDED", "member-added", KLUIS_EVENT },
    { "STATUSCONVERSATIONCAPTURESCREENSHOT", "screenshot-taken", KLUIS_EVENT },
    { "STATUSCONVERSATIONCAPTURERECORD", "screenshot-taken", KLUIS_EVENT },
    { "STATUSCALLMISSEDAUDIO", "missed", KLUIS_CALL },
    { "STATUSCALLMISSEDVIDEO", "missed", KLUIS_CALL },
};
static const char *const plain[] = { "TEXT", "MEDIA", "IMAGE", "VIDEO", "NOTE", "AUDIO", "STICKER", "SHARE", "SHARESAVEDSTORY", "LOCATION" };

static void set_kind(struct build *b, const struct part *p, struct kluis_str type)
{
    if (p->snaps) {
        b->r.kind = KLUIS_GAP;
        b->r.event = KLUIS_STR_LIT("view-once");
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!kluis_str_is(type, known[i].type)) { continue; }
        b->r.kind = known[i].kind;
        b->r.event = kluis_str_of(known[i].event);
        if (known[i].kind == KLUIS_CALL) {
            b->r.value = known[i].type[sizeof "STATUSCALLMISSED" - 1] == 'A' ? KLUIS_STR_LIT("audio") : KLUIS_STR_LIT("video");
        }
        if (known[i].kind == KLUIS_DELETION) {
            build_loss(b, "deleted-text");
            build_loss(b, "target-unknown");
        }
        return;
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (kluis_str_is(type, plain[i])) { return; }
    }
    if (type.ptr == NULL) { return; }
    b->r.kind = KLUIS_EVENT;
    b->r.event = KLUIS_STR_LIT("unknown");
}

/* Written as HTML: "&amp;" for "&". */
static void set_text(struct snapchat *t, struct build *b, struct json *m)
{
    struct json *v = json_get(m, "Content");
    if (v == NULL) { v = json_get(m, "Text"); }
    if (v == NULL || v->type != JSON_STRING || v->text.len == 0) { return; }
    struct kluis_str s = v->text;
    if (memchr(s.ptr, '&', s.len) != NULL) {
        kluis_buf_clear(&t->text);
        html_decode(s, &t->text);
        struct kluis_str plain_text = kluis_arena_str(t->words, (struct kluis_str){ (const char *)t->text.data, t->text.len });
        if (t->text.status == KLUIS_OK && plain_text.ptr != NULL) { s = plain_text; }
    }
    build_body(b, s);
    if (v->damaged) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)v->raw.ptr, v->raw.len }; }
}

static int by_bytes(struct kluis_str a, struct kluis_str b)
{
    int c = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

/* Of the media with this id, or that only adds to it. */
static size_t find_media(const struct snapchat *t, struct kluis_str id, size_t *n)
{
    size_t lo = 0, hi = t->n_media;
    *n = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (by_bytes(t->media[mid].id, id) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    while (lo + *n < t->n_media && t->media[lo + *n].id.len >= id.len && memcmp(t->media[lo + *n].id.ptr, id.ptr, id.len) == 0) { ++*n; }
    return lo;
}

/* "b~… | b~…" */
static void set_files(struct snapchat *t, struct build *b, struct json *m)
{
    struct kluis_str ids = json_string(m, "Media IDs");
    unsigned ids_seen = 0;
    for (size_t i = 0, n; i < ids.len; i += n + 1) {
        for (n = 0; i + n < ids.len && ids.ptr[i + n] != '|'; n++) {}
        struct kluis_str id = { ids.ptr + i, n };
        while (id.len > 0 && id.ptr[0] == ' ') { id = (struct kluis_str){ id.ptr + 1, id.len - 1 }; }
        while (id.len > 0 && id.ptr[id.len - 1] == ' ') { id.len--; }
        if (id.len == 0) { continue; }
        size_t found = 0, at = find_media(t, id, &found);
        build_nth(b, "media-id", ++ids_seen, id);
        for (size_t j = 0; j < found || j == 0; j++) {
            struct kluis_attachment *a = build_attachment(b);
            if (a == NULL) { return; }
            if (found == 0) {
                a->loss = KLUIS_STR_LIT("missing");
                continue;
            }
            const struct download_file *f = t->media[at + j].file;
            a->name = build_base_name(f->name);
            a->type = kluis_str_of(build_type_of_name(a->name));
            a->size = t->d.zip && f->size == 0 ? -1 : (int64_t)f->size;
            a->source_ref = f->name;
        }
    }
}

kluis_status snapchat_entry(struct snapchat *t, const struct part *p, struct json *m, struct kluis_str raw, struct kluis_err *err)
{
    struct build *b = &t->build;
    bool own = false, seconds = false;
    kluis_arena_clear(t->words);
    build_new(b, t->words, KLUIS_MESSAGE);
    b->r.zone = KLUIS_ZONE_STATED;
    b->r.sent.us = snapchat_when(m, &seconds);
    if (b->r.sent.us == KLUIS_TIME_ABSENT) {
        build_loss(b, "time-unknown");
        build_text(b, "date", json_string(m, "Created"));
    } else if (t->header.precision == KLUIS_PRECISION_SECOND) {
        int64_t us = b->r.sent.us;
        b->r.sent.us = us - (us % 1000000 + 1000000) % 1000000;
        if (b->r.sent.us != us) { build_time(b, "created", us); }
    }
    struct kluis_str from = snapchat_from(t, m, &own), type = json_string(m, "Media Type");
    b->r.author = roster_find(&t->people, from, absent());
    if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    set_text(t, b, m);
    set_kind(b, p, type);
    if (b->r.kind == KLUIS_MESSAGE) { set_files(t, b, m); }
    if (json_string(m, "Media IDs").ptr == NULL) { json_ignore(m, "Media IDs"); }
    build_text(b, "type", kluis_str_is(type, "TEXT") ? absent() : type);
    if (b->r.kind == KLUIS_MESSAGE && b->r.text.ptr == NULL && b->r.n_attachments == 0) { build_loss(b, "content-unknown"); } /* nobody saved it */
    struct json *saved = json_get(m, "IsSaved");
    if (saved != NULL && saved->type == JSON_FALSE) { build_number(b, "saved", 0); }
    json_ignore(m, "IsSaved");
    json_ignore(m, "Conversation Title");
    json_ignore(m, "To");
    json_ignore(m, "Created");
    build_rest(b, "snapchat", m);
    return build_send(b, t->sink, (struct kluis_bytes){ (const uint8_t *)raw.ptr, raw.len }, err);
}
