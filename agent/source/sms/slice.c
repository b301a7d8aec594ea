/* slice.c - the top-level elements of an SMS Backup & Restore file, one after the other, with their places in it.
 *
 * What libxml2 would refuse the whole file for, these files hold: emoji as two references to half a surrogate pair, control characters,
 * an end in the middle.  So elements are told apart here, by tags and quotes alone, and read one by one (element.c): damage costs the
 * element it is in.  An element that is not closed ends where the next line begins one.  The value of an attribute named data is a picture's
 * base64: it is passed over and noted.
 */
#include "agent/source/sms/sms.h"

#include <errno.h>

enum { STEP = 1 << 10, LOOK = 16, BEHIND = 16 }; /* bytes seen ahead, and kept behind pos */

kluis_status slicer_open(struct slicer *s, int fd, const char *name, size_t cap, struct kluis_err *err)
{
    *s = (struct slicer){ .fd = fd, .name = name, .cap = cap, .step = cap, .count = -1 };
    kluis_buf_init(&s->text, SLICE_MAX + LOOK);
    s->buf = kluis_malloc(cap);
    return s->buf != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void slicer_close(struct slicer *s)
{
    kluis_free(s->buf);
    s->buf = NULL;
    kluis_buf_free(&s->text);
}

void slicer_seek(struct slicer *s, uint64_t at)
{
    s->ended = false;
    s->began = true;
    s->after_damage = false;
    if (at >= s->at && at - s->at <= s->end - s->pos) { /* still in the buffer */
        s->pos += (size_t)(at - s->at);
    } else {
        s->pos = s->end = 0;
        s->step = s->cap < STEP ? s->cap : STEP;
    }
    s->at = at;
}

/* What was passed since mark goes into the text: only when the buffer moves, or something is left out. */
static void flush(struct slicer *s)
{
    size_t n = s->pos - s->mark;
    if (s->text.len + n > SLICE_MAX) { s->too_large = true; }
    if (!s->too_large) { kluis_buf_add(&s->text, s->buf + s->mark, n); }
    s->mark = s->pos;
}

static kluis_status fill(struct slicer *s, struct kluis_err *err)
{
    if (s->marking) { flush(s); }
    if (s->pos > BEHIND) {
        size_t gone = s->pos - BEHIND;
        memmove(s->buf, s->buf + gone, s->end - gone);
        s->end -= gone;
        s->pos = BEHIND;
    }
    s->mark = s->pos;
    size_t room = s->cap - s->end;
    ssize_t n = s->ended || room == 0 ? 0 : kluis_io_pread(s->fd, s->buf + s->end, room < s->step ? room : s->step, s->at + (s->end - s->pos));
    if (n < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "%s: cannot read", s->name); }
    s->ended = s->ended || (n == 0 && room > 0);
    s->end += (size_t)n;
    if (s->step < s->cap) { s->step *= 2; }
    return n == 0 ? KLUIS_END : KLUIS_OK;
}

/* At least n bytes from pos on; fewer only at the end of the file. */
static kluis_status have(struct slicer *s, size_t n, struct kluis_err *err)
{
    while (s->end - s->pos < n) {
        kluis_status rc = fill(s, err);
        if (rc == KLUIS_END) { return s->end > s->pos ? KLUIS_OK : KLUIS_END; }
        KLUIS_TRY(rc);
    }
    return KLUIS_OK;
}

static bool at_text(const struct slicer *s, const char *z)
{
    size_t n = strlen(z);
    return s->end - s->pos >= n && memcmp(s->buf + s->pos, z, n) == 0;
}

static void skip(struct slicer *s, size_t n)
{
    s->pos += n;
    s->at += n;
}

/* To behind the next `z`. */
static kluis_status past(struct slicer *s, const char *z, struct kluis_err *err)
{
    size_t n = strlen(z);
    for (;;) {
        KLUIS_TRY(have(s, n, err));
        char *hit = memmem(s->buf + s->pos, s->end - s->pos, z, n);
        if (hit != NULL) {
            skip(s, (size_t)(hit - (s->buf + s->pos)) + n);
            return KLUIS_OK;
        }
        if (s->end - s->pos >= n) { skip(s, s->end - s->pos - (n - 1)); }
        KLUIS_TRY(fill(s, err));
    }
}

/* A line that begins an element, at p: white space, then one of these.  Inside another element's tag it means that that one is broken. */
static const char *const begins[] = { "<sms ", "<mms ", "<call ", "</smses", "</calls" };

static bool begins_item(const char *p, size_t n)
{
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        size_t k = strlen(begins[i]);
        if (n >= k && memcmp(p, begins[i], k) == 0) { return true; }
    }
    return false;
}

enum inside { IN_DONE, IN_END, IN_BROKEN };

/* Was the quote just passed that of an attribute named data? */
static bool opens_data(const struct slicer *s)
{
    const char *q = s->buf + s->pos;
    return s->pos >= 7 && memcmp(q - 6, "data=", 5) == 0 && (q[-7] == ' ' || q[-7] == '\n' || q[-7] == '\t' || q[-7] == '\r');
}

/* The rest of a quoted value, its opening quote is passed. */
static kluis_status quoted(struct slicer *s, struct slice *o, char quote, enum inside *how, struct kluis_err *err)
{
    bool data = opens_data(s);
    struct slice_data d = { .at = s->at };
    size_t head = 0;
    if (data) {
        flush(s);
        s->marking = false;
        if (o->n_data == SLICE_DATA_MAX) { s->too_large = true; }
    }
    for (bool line_begins = false;;) {
        kluis_status rc = have(s, LOOK, err);
        *how = IN_END;
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        const char *p = s->buf + s->pos;
        size_t n = s->end - s->pos, run = 0;
        if (line_begins) { /* spaces, and what comes after them */
            while (run < n && (p[run] == ' ' || p[run] == '\t')) { run++; }
            *how = IN_BROKEN;
            if (run == 0 && begins_item(p, n)) { return KLUIS_OK; }
            line_begins = run > 0;
            skip(s, run);
            d.chars += run;
            if (run > 0) { continue; }
        }
        const char *end = memchr(p, quote, n), *line = memchr(p, '\n', end == NULL ? n : (size_t)(end - p));
        run = line != NULL ? (size_t)(line - p) + 1 : end != NULL ? (size_t)(end - p) : n;
        line_begins = line != NULL;
        for (size_t i = 0; data && i < run && head < sizeof d.head; i++) {
            if (p[i] > ' ') { d.head[head++] = p[i]; }
        }
        d.chars += run;
        skip(s, run);
        if (line != NULL || end == NULL) { continue; }
        if (data) {
            if (!s->too_large) { o->data[o->n_data++] = d; }
            s->marking = true;
            s->mark = s->pos;
        }
        skip(s, 1);
        *how = IN_DONE;
        return KLUIS_OK;
    }
}

/* One tag, pos at its '<'.  self: it closes itself. */
static kluis_status tag(struct slicer *s, struct slice *o, bool *self, enum inside *how, struct kluis_err *err)
{
    skip(s, 1);
    for (;;) {
        kluis_status rc = have(s, 1, err);
        *how = IN_END;
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        const char *p = s->buf + s->pos, *to = s->buf + s->end, *q = p;
        while (q < to && *q != '"' && *q != '\'' && *q != '>' && *q != '<') { q++; }
        skip(s, (size_t)(q - p));
        if (q == to) { continue; }
        char c = *q;
        *how = IN_BROKEN;
        if (c == '<') { return KLUIS_OK; }
        skip(s, 1);
        *how = IN_DONE;
        if (c == '>') {
            *self = s->pos >= 2 && s->buf[s->pos - 2] == '/';
            return KLUIS_OK;
        }
        KLUIS_TRY(quoted(s, o, c, how, err));
        if (*how != IN_DONE) { return KLUIS_OK; }
    }
}

/* A comment, a processing instruction or a CDATA section at pos; false: none of them. */
static kluis_status no_element(struct slicer *s, bool *was, struct kluis_err *err)
{
    const char *to = at_text(s, "<!--") ? "-->" : at_text(s, "<?") ? "?>" : at_text(s, "<![CDATA[") ? "]]>" : NULL;
    *was = to != NULL;
    if (to == NULL) { return KLUIS_OK; }
    skip(s, 2);
    return past(s, to, err);
}

static void kind_of(struct slicer *s, struct slice *o)
{
    o->what = at_text(s, "<sms ") || at_text(s, "<sms/") || at_text(s, "<sms>")      ? SLICE_SMS
              : at_text(s, "<mms ") || at_text(s, "<mms/") || at_text(s, "<mms>")    ? SLICE_MMS
              : at_text(s, "<call ") || at_text(s, "<call/") || at_text(s, "<call>") ? SLICE_CALL
                                                                                     : SLICE_OTHER;
    if (at_text(s, "<sms\n") || at_text(s, "<sms\r") || at_text(s, "<sms\t")) { o->what = SLICE_SMS; }
    if (at_text(s, "<mms\n") || at_text(s, "<mms\r") || at_text(s, "<mms\t")) { o->what = SLICE_MMS; }
}

/* A whole element, pos at its '<'. */
static kluis_status element(struct slicer *s, struct slice *o, struct kluis_err *err)
{
    unsigned depth = 0, deepest = 0;
    bool ran_out = false;
    enum inside how = IN_DONE;
    kluis_buf_clear(&s->text);
    s->marking = true;
    s->mark = s->pos;
    s->too_large = false;
    o->at = s->at;
    o->n_data = 0;
    o->why = NULL;
    kind_of(s, o);
    while (how == IN_DONE) {
        bool self = false, was = false, closing = s->end - s->pos >= 2 && s->buf[s->pos + 1] == '/';
        kluis_status rc = depth > 0 ? no_element(s, &was, err) : KLUIS_OK;
        if (rc == KLUIS_OK && !was) {
            if (depth > 0 && begins_item(s->buf + s->pos, s->end - s->pos)) { /* a closing tag is missing */
                how = IN_BROKEN;
                break;
            }
            rc = tag(s, o, &self, &how, err);
            if (how == IN_DONE && closing) { depth = depth > 0 ? depth - 1 : 0; }
            if (how == IN_DONE && !closing && !self) { depth++; }
            deepest = depth > deepest ? depth : deepest;
        }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (how != IN_DONE || (!was && depth == 0)) { break; }
        while (rc == KLUIS_OK) { /* text up to the next tag */
            rc = have(s, LOOK, err);
            if (rc != KLUIS_OK) { break; }
            const char *p = s->buf + s->pos, *lt = memchr(p, '<', s->end - s->pos);
            size_t run = lt == NULL ? s->end - s->pos : (size_t)(lt - p);
            skip(s, run);
            if (lt != NULL) {
                rc = have(s, LOOK, err);
                break;
            }
        }
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        ran_out = rc == KLUIS_END;
        if (ran_out) { break; }
    }
    o->bytes = s->at - o->at;
    if (s->text.len == 0) { /* all of it stands in the buffer */
        o->text = (struct kluis_str){ s->buf + s->mark, s->pos - s->mark };
    } else {
        flush(s);
        o->text = (struct kluis_str){ (const char *)s->text.data, s->text.len };
    }
    s->marking = false;
    KLUIS_TRY(kluis_buf_ok(&s->text, err));
    o->why = ran_out || how == IN_END    ? "the file ends in the middle of it"
             : how == IN_BROKEN          ? "it is not closed"
             : s->too_large              ? "it is larger than 2 MiB without its attachments, or has more than 256 of them"
             : deepest > SLICE_DEPTH_MAX ? "it is nested too deeply"
                                         : NULL;
    if (o->why != NULL && !(o->what == SLICE_OTHER && s->after_damage)) {
        o->what = SLICE_DAMAGED;
        s->after_damage = true;
    }
    return KLUIS_OK;
}

/* <smses count="3"> */
static kluis_status root(struct slicer *s, struct kluis_err *err)
{
    struct slice *o = kluis_calloc(1, sizeof *o);
    bool self = false;
    enum inside how = IN_DONE;
    if (o == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_buf_clear(&s->text);
    s->marking = true;
    s->mark = s->pos;
    s->too_large = false;
    kluis_status rc = tag(s, o, &self, &how, err);
    flush(s);
    s->marking = false;
    kluis_free(o);
    KLUIS_TRY(rc);
    s->began = true;
    const char *p = s->text.len == 0 ? NULL : memmem(s->text.data, s->text.len, "count=", 6);
    size_t left = p == NULL ? 0 : s->text.len - (size_t)(p - (const char *)s->text.data);
    int64_t n = 0;
    size_t i = 7;
    for (; i < left && i < 24 && p[i] >= '0' && p[i] <= '9'; i++) { n = n * 10 + (p[i] - '0'); }
    if (i > 7 && i < left && (p[i] == '"' || p[i] == '\'')) { s->count = s->count < 0 ? n : s->count + n; }
    return KLUIS_OK;
}

static kluis_status no_such_file(const struct slicer *s, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no file of SMS Backup & Restore: give its sms-….xml or calls-….xml", s->name);
}

kluis_status slicer_find(struct slicer *s, struct kluis_str *ahead, struct kluis_err *err)
{
    for (;;) {
        kluis_status rc = have(s, LOOK, err);
        if (rc == KLUIS_END) { return s->began ? KLUIS_END : no_such_file(s, err); }
        KLUIS_TRY(rc);
        char *lt = memchr(s->buf + s->pos, '<', s->end - s->pos);
        if (lt == NULL) {
            if (!s->began && s->at > 4096) { return no_such_file(s, err); }
            skip(s, s->end - s->pos);
            continue;
        }
        size_t before = (size_t)(lt - (s->buf + s->pos));
        if (before > 0) {
            if (!s->began && !(before <= 3 && s->at == 0) && s->buf[s->pos] > ' ') { return no_such_file(s, err); }
            skip(s, before);
            continue; /* with enough to look at */
        }
        bool was = false;
        rc = no_element(s, &was, err);
        if (rc == KLUIS_END) { continue; }
        KLUIS_TRY(rc);
        if (was) { continue; }
        if (at_text(s, "<!")) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s, byte %llu: a document type, which SMS Backup & Restore never writes: refused", s->name,
                              (unsigned long long)s->at + 1);
        }
        if (at_text(s, "<smses") || at_text(s, "<calls")) {
            KLUIS_TRY(root(s, err));
            continue;
        }
        if (!s->began) { return no_such_file(s, err); }
        if (at_text(s, "</")) {
            rc = past(s, ">", err);
            if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
            continue;
        }
        *ahead = (struct kluis_str){ s->buf + s->pos, s->end - s->pos };
        return KLUIS_OK;
    }
}

void slicer_pass(struct slicer *s, size_t n)
{
    skip(s, n);
    s->after_damage = false;
}

kluis_status slicer_next(struct slicer *s, struct slice *o, struct kluis_err *err)
{
    for (struct kluis_str ahead;;) {
        KLUIS_TRY(slicer_find(s, &ahead, err));
        KLUIS_TRY(element(s, o, err));
        if (o->what == SLICE_OTHER && s->after_damage) { continue; } /* a piece of the broken one */
        if (o->what != SLICE_DAMAGED) { s->after_damage = false; }
        return KLUIS_OK;
    }
}

/* ---- base64 ---------------------------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

static ssize_t read_decoded(void *ctx, void *to, size_t n, struct kluis_err *err)
{
    struct slice_input *x = ctx;
    uint8_t *w = to;
    char piece[8192];
    size_t made = 0;
    while (made == 0 && x->left > 0 && !x->done && n > 0) {
        size_t want = n / 3 * 4 < 4 ? 1 : n / 3 * 4; /* never more than fit */
        if (want > sizeof piece) { want = sizeof piece; }
        if (want > x->left) { want = (size_t)x->left; }
        ssize_t got = kluis_io_pread(x->fd, piece, want, x->at);
        if (got <= 0) {
            (void)KLUIS_FAIL(err, KLUIS_E_IO, "cannot read an attachment");
            return -1;
        }
        x->at += (uint64_t)got;
        x->left -= (uint64_t)got;
        for (ssize_t i = 0; i < got && !x->done; i++) {
            int d = digit(piece[i]);
            if (d < 0) {
                x->done = piece[i] == '=';
                continue;
            }
            x->bits = x->bits << 6 | (unsigned)d;
            x->n_bits += 6;
            if (x->n_bits >= 8) {
                x->n_bits -= 8;
                w[made++] = (uint8_t)(x->bits >> x->n_bits);
                x->bits &= (1u << x->n_bits) - 1;
            }
        }
    }
    return (ssize_t)made;
}

struct kluis_input slice_input(struct slice_input *state, int fd, uint64_t at, uint64_t chars)
{
    *state = (struct slice_input){ .fd = fd, .at = at, .left = chars };
    return (struct kluis_input){ state, read_decoded };
}

size_t slice_head(const struct slice_data *d, uint8_t out[48])
{
    unsigned bits = 0, n_bits = 0;
    size_t made = 0;
    for (size_t i = 0; i < sizeof d->head && d->head[i] != '\0'; i++) {
        int v = digit(d->head[i]);
        if (v < 0) { break; }
        bits = bits << 6 | (unsigned)v;
        n_bits += 6;
        if (n_bits >= 8 && made < 48) {
            n_bits -= 8;
            out[made++] = (uint8_t)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    return made;
}

int64_t slice_decoded_size(int fd, uint64_t at, uint64_t chars)
{
    char tail[4] = { 0 };
    if (chars == 0) { return 0; }
    if (chars % 4 != 0 || kluis_io_pread(fd, tail, 4, at + chars - 4) != 4) { return -1; } /* line breaks in it: known when it is read */
    return (int64_t)(chars / 4 * 3) - (tail[3] == '=') - (tail[2] == '=');
}
