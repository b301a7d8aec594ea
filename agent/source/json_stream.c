/* json_stream.c - see json_stream.h.  One buffer that grows to the largest value; bytes before `start` are gone. */
#include "agent/source/json_stream.h"

#include "agent/source/json.h"

kluis_status json_stream_open(struct json_stream *s, const struct kluis_input *in, uint64_t at, const char *name, size_t value_max,
                              struct kluis_err *err)
{
    *s = (struct json_stream){ .in = *in, .name = name, .at = at, .value_max = value_max, .cap = JSON_STREAM_PIECE };
    s->data = kluis_malloc(s->cap);
    s->keys = kluis_arena_new(64 << 10);
    if (s->data != NULL && s->keys != NULL) { return KLUIS_OK; }
    json_stream_close(s);
    return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void json_stream_close(struct json_stream *s)
{
    kluis_free(s->data);
    kluis_arena_free(s->keys);
    s->data = NULL;
    s->keys = NULL;
}

uint64_t json_stream_at(const struct json_stream *s) { return s->at; }
struct kluis_str json_stream_ahead(const struct json_stream *s) { return (struct kluis_str){ s->data + s->start, s->end - s->start }; }

static kluis_status damage(const struct json_stream *s, uint64_t at, const char *what, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s, byte %llu: %s", s->name, (unsigned long long)at + 1, what);
}

/* More bytes behind data[end); KLUIS_END when there are none.  What is unread stays, though it may move. */
static kluis_status more(struct json_stream *s, struct kluis_err *err)
{
    if (s->ended) { return KLUIS_END; }
    if (s->start > 0) {
        memmove(s->data, s->data + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    if (s->end == s->cap) {
        size_t cap = s->cap * 2;
        char *p = kluis_realloc(s->data, cap);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        s->data = p;
        s->cap = cap;
    }
    size_t room = s->cap - s->end;
    ssize_t n = s->in.read(s->in.ctx, s->data + s->end, room < JSON_STREAM_PIECE ? room : JSON_STREAM_PIECE, err);
    if (n < 0) { return err != NULL && err->code != KLUIS_OK ? err->code : KLUIS_FAIL(err, KLUIS_E_IO, "%s: cannot read", s->name); }
    s->ended = n == 0;
    s->end += (size_t)n;
    return n == 0 ? KLUIS_END : KLUIS_OK;
}

static void advance(struct json_stream *s, size_t n)
{
    s->start += n;
    s->at += n;
}

static kluis_status space(struct json_stream *s, char *c, struct kluis_err *err)
{
    for (;;) {
        while (s->start < s->end) {
            *c = s->data[s->start];
            if (*c != ' ' && *c != '\n' && *c != '\r' && *c != '\t') { return KLUIS_OK; }
            advance(s, 1);
        }
        KLUIS_TRY(more(s, err));
    }
}

kluis_status json_stream_peek(struct json_stream *s, char *c, struct kluis_err *err)
{
    KLUIS_TRY(space(s, c, err));
    if (s->at == 0 && *c == '\xEF') {
        kluis_status rc = KLUIS_OK;
        while (rc == KLUIS_OK && s->end - s->start < 3) { rc = more(s, err); }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (s->end - s->start >= 3 && memcmp(s->data + s->start, "\xEF\xBB\xBF", 3) == 0) { advance(s, 3); }
        return space(s, c, err);
    }
    return KLUIS_OK;
}

void json_stream_inside(struct json_stream *s, char open)
{
    s->closes[s->depth] = open == '{' ? '}' : ']';
    s->first[s->depth++] = true;
}

kluis_status json_stream_enter(struct json_stream *s, char open, struct kluis_err *err)
{
    char c = 0;
    kluis_status rc = json_stream_peek(s, &c, err);
    if (rc == KLUIS_END || (rc == KLUIS_OK && c != open)) {
        return damage(s, s->at, open == '{' ? "an object was expected here" : "a list was expected here", err);
    }
    KLUIS_TRY(rc);
    if (s->depth == JSON_STREAM_DEPTH_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: nested deeper than %d levels", s->name, (int)JSON_STREAM_DEPTH_MAX);
    }
    advance(s, 1);
    json_stream_inside(s, open);
    return KLUIS_OK;
}

/* Length of the value at start, or KLUIS_END where it does not end.  *seen: bytes looked at. */
static kluis_status measure(struct json_stream *s, size_t limit, size_t *n, size_t *seen, struct kluis_err *err)
{
    size_t i = 0, text = 0; /* text: where the string under way begins */
    unsigned depth = 0;
    bool in_string = false, scalar = false;
    for (;;) {
        const char *p = s->data + s->start;
        size_t have = s->end - s->start;
        while (i < have) {
            if (in_string) {
                const char *q = json_string_end(p + text, p + have);
                if (q == NULL) {
                    i = have;
                    break;
                }
                i = (size_t)(q - p);
                in_string = false;
                i++;
                if (depth == 0) {
                    *n = i;
                    return KLUIS_OK;
                }
                continue;
            }
            switch (p[i]) {
            case '"':
                in_string = true;
                text = i + 1;
                break;
            case '{':
            case '[': depth++; break;
            case '}':
            case ']':
                if (depth == 0) {
                    *n = i;
                    return scalar ? KLUIS_OK : KLUIS_END;
                }
                if (--depth == 0) {
                    *n = i + 1;
                    return KLUIS_OK;
                }
                break;
            case ',':
            case ' ':
            case '\n':
            case '\r':
            case '\t':
                if (depth == 0) {
                    *n = i;
                    return scalar ? KLUIS_OK : KLUIS_END;
                }
                while (have - i > 8 && memcmp(p + i + 1, "        ", 8) == 0) { i += 8; } /* an indented line */
                break;
            default: scalar = scalar || depth == 0;
            }
            i++;
        }
        *seen = i;
        if (i > limit) { return KLUIS_E_LIMIT; }
        kluis_status rc = more(s, err);
        if (rc == KLUIS_END && scalar && depth == 0 && !in_string && i > 0) {
            *n = i;
            return KLUIS_OK;
        }
        KLUIS_TRY(rc);
    }
}

kluis_status json_stream_take(struct json_stream *s, struct kluis_str *value, uint64_t *at, struct kluis_err *err)
{
    char c;
    size_t n = 0, seen = 0;
    kluis_status rc = json_stream_peek(s, &c, err);
    if (rc == KLUIS_END) { return damage(s, s->at, "it ends in the middle", err); }
    KLUIS_TRY(rc);
    *at = s->at;
    rc = measure(s, s->value_max, &n, &seen, err);
    s->work += n > seen ? n : seen;
    if (rc == KLUIS_OK && n > s->value_max) { rc = KLUIS_E_LIMIT; }
    if (rc == KLUIS_END) { return damage(s, s->at, "a value that does not end", err); }
    if (rc == KLUIS_E_LIMIT) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s, byte %llu: one value of more than %zu bytes", s->name, (unsigned long long)s->at + 1,
                          s->value_max);
    }
    KLUIS_TRY(rc);
    *value = (struct kluis_str){ s->data + s->start, n };
    advance(s, n);
    return KLUIS_OK;
}

void json_stream_untake(struct json_stream *s, size_t n)
{
    s->start -= n;
    s->at -= n;
}

kluis_status json_stream_drop(struct json_stream *s, uint64_t n, struct kluis_err *err)
{
    while (n > 0) {
        size_t k = s->end - s->start;
        if (k > n) { k = (size_t)n; }
        advance(s, k);
        n -= k;
        if (n > 0) { KLUIS_TRY(more(s, err)); }
    }
    return KLUIS_OK;
}

kluis_status json_stream_skip(struct json_stream *s, struct kluis_err *err)
{
    char c;
    unsigned depth = 0;
    bool in_string = false, any = false;
    kluis_status rc = json_stream_peek(s, &c, err);
    for (; rc == KLUIS_OK; rc = more(s, err)) {
        while (s->start < s->end) {
            c = s->data[s->start];
            if (in_string) {
                if (c == '\\') {
                    while (s->end - s->start < 2) {
                        rc = more(s, err);
                        if (rc != KLUIS_OK) { goto out; }
                    }
                    advance(s, 2);
                    continue;
                }
                advance(s, 1);
                in_string = c != '"';
                if (!in_string && depth == 0) { return KLUIS_OK; }
                continue;
            }
            bool closes = c == '}' || c == ']';
            if (depth == 0 && (closes || c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
                return any ? KLUIS_OK : damage(s, s->at, "no value", err);
            }
            any = true;
            advance(s, 1);
            in_string = c == '"';
            depth += c == '{' || c == '[';
            if (closes && --depth == 0) { return KLUIS_OK; }
        }
    }
out:
    return rc == KLUIS_END ? (any && depth == 0 && !in_string ? KLUIS_OK : damage(s, s->at, "it ends in the middle", err)) : rc;
}

static kluis_status member_name(struct json_stream *s, struct kluis_str *key, struct kluis_err *err)
{
    struct kluis_str raw;
    uint64_t at;
    struct json *v = NULL;
    KLUIS_TRY(json_stream_take(s, &raw, &at, err));
    kluis_arena_clear(s->keys);
    if (raw.ptr[0] != '"' || json_read_loose(raw, s->keys, &v, NULL) != KLUIS_OK) { return damage(s, at, "a member without a name", err); }
    *key = kluis_arena_str(s->keys, v->text);
    if (key->ptr == NULL) { return damage(s, at, "a name that is too long", err); }
    char c = 0;
    kluis_status rc = space(s, &c, err);
    if (rc == KLUIS_END || (rc == KLUIS_OK && c != ':')) { return damage(s, s->at, "a name without ':'", err); }
    KLUIS_TRY(rc);
    advance(s, 1);
    return KLUIS_OK;
}

kluis_status json_stream_next(struct json_stream *s, struct kluis_str *key, struct kluis_err *err)
{
    char c = 0;
    *key = (struct kluis_str){ NULL, 0 };
    if (s->depth == 0) { return KLUIS_FAIL(err, KLUIS_E_BUG, "nothing was entered"); }
    char close = s->closes[s->depth - 1];
    kluis_status rc = space(s, &c, err);
    if (rc == KLUIS_END) { return damage(s, s->at, "it ends in the middle", err); }
    KLUIS_TRY(rc);
    if (c == close) {
        advance(s, 1);
        s->depth--;
        return KLUIS_END;
    }
    if (!s->first[s->depth - 1]) {
        if (c != ',') { return damage(s, s->at, "neither ',' nor an end", err); }
        advance(s, 1);
        rc = space(s, &c, err);
        if (rc == KLUIS_END) { return damage(s, s->at, "it ends in the middle", err); }
        KLUIS_TRY(rc);
    }
    s->first[s->depth - 1] = false;
    return close == '}' ? member_name(s, key, err) : KLUIS_OK;
}

/* '{' then `"key"` then ':' with white space between, at p; 0: no; 2: more bytes are needed to say. */
static int looks_like(const char *p, size_t n, const char *key)
{
    size_t k = strlen(key), i = 1;
    while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) { i++; }
    if (i + k + 3 > n) { return 2; }
    return p[i] == '"' && memcmp(p + i + 1, key, k) == 0 && p[i + k + 1] == '"' && p[i + k + 2] == ':';
}

/* The same of any of several keys. */
static int looks_like_one_of(const char *p, size_t n, const char *const *keys)
{
    int like = 0;
    for (; *keys != NULL && like != 1; keys++) {
        int l = looks_like(p, n, *keys);
        if (l != 0) { like = l; }
    }
    return like;
}

kluis_status json_stream_resync(struct json_stream *s, const char *const *keys, const char *outer, bool *at_outer, struct kluis_err *err)
{
    size_t i = 1;
    *at_outer = false;
    for (;;) {
        while (s->start + i < s->end) {
            const char *p = s->data + s->start, *q = memchr(p + i, '{', s->end - s->start - i);
            if (q == NULL) {
                i = s->end - s->start;
                break;
            }
            i = (size_t)(q - p);
            int like = looks_like_one_of(q, s->end - s->start - i, keys);
            int above = outer == NULL || like == 1 ? 0 : looks_like(q, s->end - s->start - i, outer);
            if (like == 1 || above == 1) {
                advance(s, i);
                *at_outer = above == 1;
                if (above == 1) { s->depth = s->depth > 3 ? s->depth - 2 : 1; }
                s->first[s->depth - 1] = false;
                return KLUIS_OK;
            }
            if (above == 2) { like = 2; }
            if (like == 2 && !s->ended && s->end - s->start - i < 4096) { break; }
            i++;
        }
        size_t gone = i < s->end - s->start ? i : s->end - s->start;
        advance(s, gone);
        i -= gone;
        kluis_status rc = more(s, err);
        if (rc == KLUIS_END) { advance(s, s->end - s->start); }
        KLUIS_TRY(rc);
    }
}
