/* body.c - what a message of either form says: its text out of HTML, what it quotes, what is attached. */
#include "agent/source/teams/teams.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

struct kluis_str teams_id(struct kluis_str id)
{
    static const char contacts[] = "/contacts/", people[] = "8:orgid:";
    const char *at = id.ptr == NULL ? NULL : memmem(id.ptr, id.len, contacts, sizeof contacts - 1);
    if (at != NULL) {
        at += sizeof contacts - 1;
        id = (struct kluis_str){ at, id.len - (size_t)(at - id.ptr) };
    }
    size_t n = sizeof people - 1;
    if (id.ptr != NULL && id.len > n && memcmp(id.ptr, people, n) == 0) { id = (struct kluis_str){ id.ptr + n, id.len - n }; }
    return id.len == 0 ? absent() : id;
}

uint32_t teams_party(const struct teams *t, struct kluis_str id, struct kluis_str name)
{
    uint32_t exact = roster_find(&t->people, id, name);
    return exact != KLUIS_NO_PARTY || id.len == 0 ? exact : roster_called(&t->people, id);
}

struct kluis_str teams_message_id(struct teams *t, const struct chat *c, struct kluis_str id)
{
    if (id.len == 0 || id.len > 256 || c->id.len > 1024) { return absent(); }
    return build_fmt(t->scratch, "%.*s:%.*s", (int)c->id.len, c->id.ptr, (int)id.len, id.ptr);
}

void teams_body_when(struct build *b, const char *field, struct kluis_str stated)
{
    b->r.zone = KLUIS_ZONE_STATED;
    if (build_iso(stated, &b->r.sent)) { return; }
    build_loss(b, "time-unknown");
    build_text(b, field, stated);
}

struct kluis_str teams_body_reaction(struct kluis_str word)
{
    static const char *const known[][2] = { { "like", "👍" },      { "heart", "❤️" }, { "laugh", "😆" },
                                            { "surprised", "😮" }, { "sad", "🙁" },     { "angry", "😠" } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (kluis_str_is(word, known[i][0])) { return kluis_str_of(known[i][1]); }
    }
    return word;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------- */

static void linked(struct teams *t, struct kluis_attachment *a, uint32_t i)
{
    const struct fileset_entry *e = &t->files.list[i];
    a->source_ref = kluis_str_of(e->name);
    a->size = e->size == FILESET_SIZE_UNKNOWN || e->size > (uint64_t)KLUIS_INT_MAX_JSON ? -1 : (int64_t)e->size;
    if (a->name.ptr == NULL) { a->name = kluis_str_of(fileset_base(e->name)); }
}

void teams_body_file(struct teams *t, struct build *b, struct kluis_str name, struct kluis_str type, struct kluis_str url)
{
    struct kluis_attachment *a = build_attachment(b);
    bool several = false;
    if (a == NULL) { return; }
    a->name = build_base_name(name);
    if (a->name.len == 0) { a->name = absent(); }
    a->type = type;
    uint32_t i = fileset_named(&t->files, a->name, &several);
    if (i != FILESET_NONE) {
        linked(t, a, i);
    } else {
        a->loss = several ? KLUIS_STR_LIT("ambiguous") : url.ptr != NULL ? KLUIS_STR_LIT("linked") : KLUIS_STR_LIT("missing");
    }
    build_text(b, build_fmt(t->scratch, "attachment-%zu.url", b->r.n_attachments).ptr, url);
}

/* An object of Teams' stores by its id: files of an export are called after it, with a part number and an ending. */
static void object(struct teams *t, struct build *b, struct kluis_str id, struct kluis_str name, struct kluis_str url)
{
    struct kluis_attachment *a = id.len == 0 || id.len > 512 ? NULL : build_attachment(b);
    if (a == NULL) { return; }
    a->name = build_base_name(name);
    if (a->name.len == 0) { a->name = absent(); }
    a->loss = KLUIS_STR_LIT("missing");
    for (uint32_t k = fileset_base_from(&t->files, id); k < t->files.n; k++) {
        const char *base = fileset_base(t->files.list[t->files.by_base[k]].name);
        if (strlen(base) < id.len || memcmp(base, id.ptr, id.len) != 0) { break; }
        const char *rest = base + id.len;
        size_t n = strlen(base);
        if ((*rest != '\0' && *rest != '.') || (n > 5 && strcmp(base + n - 5, ".json") == 0)) { continue; }
        a->loss = absent();
        linked(t, a, t->files.by_base[k]);
        break;
    }
    build_text(b, build_fmt(t->scratch, "attachment-%zu.url", b->r.n_attachments).ptr, url);
}

/* The last component but `/views/…` and `/$value`; absent where the address is of no such store. */
static struct kluis_str object_of(struct kluis_str url)
{
    static const char *const stores[] = { "/objects/", "/hostedContents/" };
    for (size_t i = 0; url.ptr != NULL && i < sizeof stores / sizeof *stores; i++) {
        const char *p = memmem(url.ptr, url.len, stores[i], strlen(stores[i])), *end = url.ptr + url.len;
        if (p == NULL) { continue; }
        p += strlen(stores[i]);
        const char *q = memchr(p, '/', (size_t)(end - p));
        return (struct kluis_str){ p, (size_t)((q == NULL ? end : q) - p) };
    }
    return absent();
}

/* ---- HTML ---------------------------------------------------------------------------------------------------------------------- */

struct body {
    struct teams *t;
    struct build *b;
    struct kluis_str object, object_url; /* of a URIObject whose name comes later */
    const struct chat *chat;
};

static void image(struct body *y, const struct html_tag *tag, struct kluis_buf *text)
{
    struct kluis_arena *a = y->t->scratch;
    struct kluis_str src = html_attr(tag, "src", a), alt = html_attr(tag, "alt", a), type = html_attr(tag, "itemtype", a);
    bool emoji = type.ptr != NULL && memmem(type.ptr, type.len, "/Emoji", 6) != NULL;
    struct kluis_str id = object_of(src);
    if (!emoji && id.ptr != NULL) {
        object(y->t, y->b, id, absent(), src);
        if (alt.len > 0 && !kluis_str_is(alt, "image")) { kluis_buf_str(text, alt); }
        return;
    }
    kluis_buf_str(text, alt);
    if (!emoji && src.len > 0 && src.len < 2048) { kluis_buf_fmt(text, "%s<%.*s>", alt.len > 0 ? " " : "", (int)src.len, src.ptr); }
}

static void quote_tag(struct body *y, const struct html_tag *tag)
{
    struct kluis_arena *a = y->t->scratch;
    struct kluis_record *r = &y->b->r;
    bool skype = html_is(tag, "quote");
    struct kluis_str id = html_attr(tag, skype ? "messageid" : "itemid", a), who = html_attr(tag, "author", a), at = html_attr(tag, "timestamp", a);
    if (id.len > 0 && r->target.ptr == NULL) { r->target = teams_message_id(y->t, y->chat, id); }
    uint32_t party = who.len > 0 ? roster_called(&y->t->people, teams_id(who)) : KLUIS_NO_PARTY;
    if (r->target_author == KLUIS_NO_PARTY) { r->target_author = party; }
    uint64_t s = 0;
    struct json v = { .type = JSON_STRING, .text = at };
    if (at.len > 0 && json_value_u64(&v, &s) && s < UINT64_C(253402300800)) { r->target_sent = (struct kluis_when){ (int64_t)s * 1000000, 0 }; }
}

static void card(struct body *y, const struct html_tag *tag)
{
    struct kluis_str b64 = html_attr(tag, "b64", y->t->scratch);
    uint8_t *p = b64.len == 0 ? NULL : kluis_arena_alloc(y->t->scratch, b64.len);
    size_t n = 0;
    if (p == NULL || !kluis_unbase64(b64, p, b64.len, &n)) { return; }
    teams_body_card(y->t, (struct kluis_str){ (const char *)p, n });
}

static void name_of_object(struct body *y, struct kluis_str name)
{
    if (y->object.ptr == NULL || name.len == 0) { return; }
    object(y->t, y->b, y->object, name, y->object_url);
    y->object = absent();
}

static enum html_do on_tag(void *ctx, const struct html_tag *tag, struct kluis_buf *text)
{
    struct body *y = ctx;
    struct kluis_arena *a = y->t->scratch;
    if (html_is(tag, "emoji") || html_is(tag, "customemoji")) {
        struct kluis_str alt = html_attr(tag, "alt", a), title = html_attr(tag, "title", a);
        kluis_buf_str(text, alt.len > 0 ? alt : title);
        return HTML_SKIP;
    }
    if (html_is(tag, "img")) {
        image(y, tag, text);
        return HTML_DONE;
    }
    struct kluis_str type = html_is(tag, "span") || html_is(tag, "blockquote") ? html_attr(tag, "itemtype", a) : absent();
    bool mention = type.ptr != NULL && memmem(type.ptr, type.len, "/Mention", 8) != NULL;
    if (html_is(tag, "at") || mention) {
        if (tag->after.len == 0 || tag->after.ptr[0] != '@') { kluis_buf_byte(text, '@'); }
        return HTML_DONE;
    }
    if (html_is(tag, "quote") || (html_is(tag, "blockquote") && type.ptr != NULL && memmem(type.ptr, type.len, "/Reply", 6) != NULL)) {
        quote_tag(y, tag);
        return HTML_ASIDE;
    }
    if (html_is(tag, "strong") && kluis_str_is(html_attr(tag, "itemprop", a), "mri")) { /* who is quoted, in a reply */
        uint32_t who = roster_called(&y->t->people, teams_id(html_attr(tag, "itemid", a)));
        if (y->b->r.target_author == KLUIS_NO_PARTY) { y->b->r.target_author = who; }
        return HTML_SKIP;
    }
    if (html_is(tag, "legacyquote") || html_is(tag, "attachment") || html_is(tag, "systemeventmessage")) { return HTML_SKIP; }
    if (html_is(tag, "e_m")) { /* Skype's mark of an edited message */
        struct kluis_str ms = html_attr(tag, "ts_ms", a);
        struct json v = { .type = JSON_STRING, .text = ms };
        uint64_t n = 0;
        build_number(y->b, "edited", 1);
        build_loss(y->b, "original-unknown");
        if (ms.len > 0 && json_value_u64(&v, &n) && n < UINT64_C(253402300800000)) { build_time(y->b, "edited", build_ms((int64_t)n)); }
        return HTML_SKIP;
    }
    if (html_is(tag, "uriobject")) {
        y->object_url = html_attr(tag, "uri", a);
        y->object = object_of(y->object_url);
        return HTML_DONE;
    }
    if (html_is(tag, "originalname")) {
        name_of_object(y, html_attr(tag, "v", a));
        return HTML_DONE;
    }
    if (html_is(tag, "meta")) {
        name_of_object(y, html_attr(tag, "originalname", a));
        return HTML_DONE;
    }
    if (html_is(tag, "swift")) {
        card(y, tag);
        kluis_buf_str(text, (struct kluis_str){ (const char *)y->t->text.data, y->t->text.len });
        return HTML_SKIP;
    }
    return HTML_USUAL;
}

void teams_body_html(struct teams *t, struct build *b, struct kluis_str content, bool html)
{
    struct kluis_buf text;
    kluis_buf_init(&text, 4 << 20);
    struct body y = { .t = t, .b = b, .chat = &t->chats[t->chat] };
    const struct html_hook hook = { &y, on_tag };
    if (content.len == 0) { return; }
    kluis_buf_clear(&t->quote);
    html_text(content, !html, &hook, &text, &t->quote);
    if (y.object.ptr != NULL) { object(t, b, y.object, absent(), y.object_url); }
    if (t->quote.len > 0 && t->quote.status == KLUIS_OK) {
        b->r.quote = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)t->quote.data, t->quote.len });
    }
    struct kluis_str all = kluis_arena_str(t->scratch, (struct kluis_str){ (const char *)text.data, text.len });
    if (text.len > 0 && all.ptr != NULL) { build_body(b, all); }
    if (text.status != KLUIS_OK || (text.len > 0 && all.ptr == NULL)) { build_loss(b, "text-cut"); }
    kluis_buf_free(&text);
}

/* ---- cards --------------------------------------------------------------------------------------------------------------------- */

static void card_text(struct kluis_buf *out, struct json *v)
{
    static const char *const shown[] = { "title", "subtitle", "text", "summary", "fallbackText", "label", "name", "value" };
    for (struct json *m = v->child; m != NULL; m = m->next) {
        if (m->type == JSON_OBJECT || m->type == JSON_ARRAY) {
            card_text(out, m); /* no deeper than JSON_DEPTH_MAX */
            continue;
        }
        bool is_shown = false;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) { is_shown |= kluis_str_is(m->key, shown[i]); }
        if (m->type != JSON_STRING || !is_shown || m->text.len == 0) { continue; }
        if (out->len > 0) { kluis_buf_byte(out, '\n'); }
        html_text(m->text, true, NULL, out, NULL);
    }
}

void teams_body_card(struct teams *t, struct kluis_str text)
{
    struct json *v = NULL;
    kluis_buf_clear(&t->text);
    if (json_read_loose(text, t->scratch, &v, NULL) == KLUIS_OK) { card_text(&t->text, v); }
}
