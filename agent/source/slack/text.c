/* text.c - Slack's mark-up as people saw it: mentions by name, links with what is behind them, blocks in lines. */
#include "agent/source/slack/slack.h"

/* &amp; &lt; &gt; are all that Slack escapes. */
static void plain(struct kluis_str t, struct kluis_buf *out)
{
    static const char *const from[] = { "&amp;", "&lt;", "&gt;" }, to[] = "&<>";
    for (size_t i = 0; i < t.len;) {
        const char *p = t.ptr + i, *amp = memchr(p, '&', t.len - i);
        size_t n = amp == NULL ? t.len - i : (size_t)(amp - p), k = 0;
        kluis_buf_add(out, p, n);
        i += n;
        if (amp == NULL) { return; }
        while (k < 3 && (t.len - i < strlen(from[k]) || memcmp(amp, from[k], strlen(from[k])) != 0)) { k++; }
        kluis_buf_byte(out, (uint8_t)(k < 3 ? to[k] : '&'));
        i += k < 3 ? strlen(from[k]) : 1;
    }
}

static void person(const struct slack *s, struct kluis_str id, struct kluis_buf *out)
{
    const struct entry *u = slack_user(s, id);
    kluis_buf_byte(out, '@');
    kluis_buf_str(out, u != NULL && u->name.ptr != NULL ? u->name : id);
}

static void channel(const struct slack *s, struct kluis_str id, struct kluis_buf *out)
{
    const struct entry *c = slack_channel(s, id);
    kluis_buf_byte(out, '#');
    kluis_buf_str(out, c != NULL && c->name.ptr != NULL ? c->name : id);
}

static void link(struct kluis_str url, struct kluis_str label, struct kluis_buf *out)
{
    size_t n = label.len, u = url.len;
    bool same = n > 0 && n <= u && memcmp(url.ptr + (u - n), label.ptr, n) == 0 && (n == u || url.ptr[u - n - 1] == '/' || url.ptr[u - n - 1] == ':');
    if (n == 0 || same) {
        plain(n == 0 ? url : label, out);
        return;
    }
    plain(label, out);
    kluis_buf_cstr(out, " <");
    plain(url, out);
    kluis_buf_byte(out, '>');
}

/* What stands between < and >. */
static void angle(const struct slack *s, struct kluis_str in, struct kluis_buf *out)
{
    const char *bar = memchr(in.ptr, '|', in.len);
    struct kluis_str what = { in.ptr, bar == NULL ? in.len : (size_t)(bar - in.ptr) };
    struct kluis_str label = bar == NULL ? (struct kluis_str){ "", 0 } : (struct kluis_str){ bar + 1, in.len - what.len - 1 };
    struct kluis_str rest = { what.ptr + 1, what.len - 1 };
    switch (what.ptr[0]) {
    case '@':
        if (slack_user(s, rest) == NULL && label.len > 0) {
            kluis_buf_byte(out, '@');
            plain(label, out);
        } else {
            person(s, rest, out);
        }
        return;
    case '#':
        if (label.len > 0) {
            kluis_buf_byte(out, '#');
            plain(label, out);
        } else {
            channel(s, rest, out);
        }
        return;
    case '!':
        if (label.len > 0) {
            plain(label, out); /* <!subteam^S1|@group>, <!date^1^{date}|1 January> */
        } else {
            kluis_buf_byte(out, '@');
            kluis_buf_str(out, rest);
        }
        return;
    default: link(what, label, out);
    }
}

/* Slack escapes every other "<"; one that is there all the same is somebody's own. */
static bool is_angle(const char *p, size_t n)
{
    size_t i = 0;
    if (n > 0 && (p[0] == '@' || p[0] == '#' || p[0] == '!')) { return true; }
    while (i < n && ((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (i > 0 && (p[i] == '+' || p[i] == '-' || p[i] == '.')))) { i++; }
    return i > 1 && i < n && p[i] == ':';
}

void slack_text(const struct slack *s, struct kluis_str t, struct kluis_buf *out)
{
    for (size_t i = 0; i < t.len;) {
        const char *p = t.ptr + i, *lt = memchr(p, '<', t.len - i);
        size_t n = lt == NULL ? t.len - i : (size_t)(lt - p);
        plain((struct kluis_str){ p, n }, out);
        i += n;
        if (lt == NULL) { return; }
        size_t left = t.len - i, look = left > 8192 ? 8192 : left;
        const char *gt = memchr(lt, '>', look);
        if (gt == NULL || !is_angle(lt + 1, (size_t)(gt - lt) - 1)) {
            kluis_buf_byte(out, '<');
            i++;
            continue;
        }
        angle(s, (struct kluis_str){ lt + 1, (size_t)(gt - lt) - 1 }, out);
        i += (size_t)(gt - lt) + 1;
    }
}

/* ---- blocks ------------------------------------------------------------------------------------------------------------------------ */

static void line(struct kluis_buf *out, size_t from)
{
    if (out->len > from && out->data[out->len - 1] != '\n') { kluis_buf_byte(out, '\n'); }
}

static void inline_element(const struct slack *s, struct json *e, struct kluis_buf *out)
{
    struct kluis_str type = json_string(e, "type"), text = json_string(e, "text");
    if (kluis_str_is(type, "link")) {
        link(json_string(e, "url"), text, out);
    } else if (kluis_str_is(type, "user")) {
        person(s, json_string(e, "user_id"), out);
    } else if (kluis_str_is(type, "channel")) {
        channel(s, json_string(e, "channel_id"), out);
    } else if (kluis_str_is(type, "emoji")) {
        kluis_buf_byte(out, ':');
        kluis_buf_str(out, json_string(e, "name"));
        kluis_buf_byte(out, ':');
    } else if (kluis_str_is(type, "broadcast")) {
        kluis_buf_byte(out, '@');
        kluis_buf_str(out, json_string(e, "range"));
    } else if (kluis_str_is(type, "usergroup")) {
        kluis_buf_byte(out, '@');
        kluis_buf_str(out, json_string(e, "usergroup_id"));
    } else if (kluis_str_is(type, "date")) {
        kluis_buf_str(out, json_string(e, "fallback"));
    } else if (kluis_str_is(type, "color")) {
        kluis_buf_str(out, json_string(e, "value"));
    } else if (text.ptr != NULL) {
        kluis_buf_str(out, text);
    }
}

/* JSON is no deeper than JSON_DEPTH_MAX. */
static void rich(const struct slack *s, struct json *elements, struct kluis_buf *out, size_t from)
{
    for (struct json *e = elements == NULL ? NULL : elements->child; e != NULL; e = e->next) {
        struct kluis_str type = json_string(e, "type");
        struct json *inner = json_array(e, "elements");
        if (inner == NULL) {
            inline_element(s, e, out);
            continue;
        }
        line(out, from);
        if (!kluis_str_is(type, "rich_text_list")) {
            if (kluis_str_is(type, "rich_text_quote")) { kluis_buf_cstr(out, "> "); }
            rich(s, inner, out, from);
            continue;
        }
        unsigned n = 0;
        bool ordered = kluis_str_is(json_string(e, "style"), "ordered");
        for (struct json *item = inner->child; item != NULL; item = item->next) {
            line(out, from);
            if (ordered) {
                kluis_buf_fmt(out, "%u. ", ++n);
            } else {
                kluis_buf_cstr(out, "- ");
            }
            rich(s, json_array(item, "elements"), out, out->len);
        }
    }
}

static void words(const struct slack *s, struct json *o, struct kluis_buf *out, size_t from)
{
    struct kluis_str text = json_string(o, "text");
    if (text.ptr == NULL) { return; }
    line(out, from);
    if (kluis_str_is(json_string(o, "type"), "mrkdwn")) {
        slack_text(s, text, out);
    } else {
        kluis_buf_str(out, text);
    }
}

void slack_blocks(const struct slack *s, struct json *blocks, struct kluis_buf *out)
{
    size_t from = out->len;
    for (struct json *b = blocks == NULL ? NULL : blocks->child; b != NULL; b = b->next) {
        struct json *fields = json_array(b, "fields"), *elements = json_array(b, "elements");
        if (kluis_str_is(json_string(b, "type"), "rich_text")) {
            rich(s, elements, out, from);
            continue;
        }
        words(s, json_object(b, "title"), out, from);
        words(s, json_object(b, "text"), out, from);
        for (struct json *f = fields == NULL ? NULL : fields->child; f != NULL; f = f->next) { words(s, f, out, from); }
        for (struct json *e = elements == NULL ? NULL : elements->child; e != NULL; e = e->next) {
            words(s, json_get(e, "text") != NULL && json_get(e, "text")->type == JSON_STRING ? e : json_object(e, "text"), out, from);
        }
        struct kluis_str alt = json_string(b, "alt_text"), image = json_string(b, "image_url");
        if (alt.ptr != NULL || image.ptr != NULL) {
            line(out, from);
            link(image.ptr == NULL ? KLUIS_STR_LIT("") : image, alt.ptr == NULL ? KLUIS_STR_LIT("") : alt, out);
        }
    }
}

bool slack_blocks_say_more(struct json *blocks)
{
    for (struct json *b = blocks == NULL ? NULL : blocks->child; b != NULL; b = b->next) {
        if (!kluis_str_is(json_string(b, "type"), "rich_text")) { return true; }
    }
    return false;
}

void slack_unfurl(const struct slack *s, struct json *a, struct kluis_buf *out)
{
    static const char *const parts[] = { "pretext", "author_name", "title", "text", "footer", "from_url" };
    size_t from = out->len;
    struct json *fields = json_array(a, "fields");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct kluis_str t = json_string(a, parts[i]);
        if (t.ptr == NULL) { continue; }
        line(out, from);
        slack_text(s, t, out);
        for (struct json *f = i == 3 && fields != NULL ? fields->child : NULL; f != NULL; f = f->next) {
            struct kluis_str title = json_string(f, "title"), value = json_string(f, "value");
            line(out, from);
            slack_text(s, title, out);
            kluis_buf_cstr(out, title.len > 0 ? ": " : "");
            slack_text(s, value, out);
        }
    }
    slack_blocks(s, json_array(a, "blocks"), out);
    if (out->len == from) { slack_text(s, json_string(a, "fallback"), out); }
}
