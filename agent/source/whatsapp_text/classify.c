/* classify.c - who speaks in a message and what its body is: text, attachment, marker or system line.
 *
 * WhatsApp marks the bodies that it writes itself: on an iPhone with U+200E (U+200F in right-to-left languages), an attachment
 * with a second mark before the header; on Android only in part.  So a marked body on an iPhone is the app's, known
 * phrase or not; an unmarked one only when it is a known phrase, whole.
 */
#include "wa.h"

enum { SENDER_MAX = 512 };

static bool ext_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/* Does it end as a file name: something, a dot, 1-8 letters or digits. */
static bool file_like(struct kluis_str s)
{
    size_t k = 0;
    while (k < s.len && k <= 8 && ext_char(s.ptr[s.len - 1 - k])) { k++; }
    return k >= 1 && k <= 8 && s.len > k + 1 && s.ptr[s.len - 1 - k] == '.' && memchr(s.ptr, '/', s.len) == NULL;
}

/* The names WhatsApp gives: IMG-20220323-WA0002.jpg, 00000042-PHOTO-…. */
static bool app_name(struct kluis_str s)
{
    size_t d = 0;
    while (d < s.len && s.ptr[d] >= '0' && s.ptr[d] <= '9') { d++; }
    if (d == 8 && d < s.len && s.ptr[d] == '-') { return true; }
    if (s.len > 15 && s.ptr[3] == '-' && s.ptr[12] == '-' && s.ptr[13] == 'W' && s.ptr[14] == 'A') { return true; }
    return false;
}

static const struct {
    const char *ext, *type, *media;
} types[] = {
    { "jpg", "image/jpeg", "image" },
    { "jpeg", "image/jpeg", "image" },
    { "png", "image/png", "image" },
    { "heic", "image/heic", "image" },
    { "webp", "image/webp", "sticker" },
    { "gif", "image/gif", "gif" },
    { "mp4", "video/mp4", "video" },
    { "mov", "video/quicktime", "video" },
    { "3gp", "video/3gpp", "video" },
    { "opus", "audio/ogg", "audio" },
    { "ogg", "audio/ogg", "audio" },
    { "m4a", "audio/mp4", "audio" },
    { "mp3", "audio/mpeg", "audio" },
    { "aac", "audio/aac", "audio" },
    { "amr", "audio/amr", "audio" },
    { "wav", "audio/wav", "audio" },
    { "vcf", "text/vcard", "contact" },
    { "pdf", "application/pdf", "document" },
    { "txt", "text/plain", "document" },
    { "csv", "text/csv", "document" },
    { "doc", "application/msword", "document" },
    { "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document" },
    { "xls", "application/vnd.ms-excel", "document" },
    { "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "document" },
    { "ppt", "application/vnd.ms-powerpoint", "document" },
    { "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", "document" },
    { "odt", "application/vnd.oasis.opendocument.text", "document" },
    { "zip", "application/zip", "document" },
    { "rtf", "application/rtf", "document" },
    { "ics", "text/calendar", "document" },
    { "eml", "message/rfc822", "document" },
    { "tif", "image/tiff", "image" },
    { "svg", "image/svg+xml", "image" },
};

const char *wa_media_type(struct kluis_str file, const char **media)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t k = strlen(types[i].ext);
        if (file.len <= k || file.ptr[file.len - k - 1] != '.') { continue; }
        bool same = true;
        for (size_t j = 0; j < k && same; j++) {
            char c = file.ptr[file.len - k + j];
            same = (c >= 'A' && c <= 'Z' ? c + 32 : c) == types[i].ext[j];
        }
        if (same) {
            *media = types[i].media;
            return types[i].type;
        }
    }
    *media = NULL;
    return NULL;
}

static struct kluis_str first_line(struct kluis_str s)
{
    const char *nl = s.len > 0 ? memchr(s.ptr, '\n', s.len) : NULL;
    size_t n = nl == NULL ? s.len : (size_t)(nl - s.ptr);
    if (n > 0 && nl != NULL && s.ptr[n - 1] == '\r') { n--; }
    return wa_sub(s, 0, n);
}
static struct kluis_str after_line(struct kluis_str s)
{
    const char *nl = s.len > 0 ? memchr(s.ptr, '\n', s.len) : NULL;
    return nl == NULL ? (struct kluis_str){ NULL, 0 } : wa_sub(s, (size_t)(nl - s.ptr) + 1, s.len);
}

/* "Naam: " at the beginning of a line; 0: none.  Sets where the body begins. */
static size_t sender_end(struct kluis_str line, size_t *body)
{
    size_t limit = line.len < SENDER_MAX ? line.len : SENDER_MAX, from = 0;
    while (from < limit) {
        const char *c = memchr(line.ptr + from, ':', limit - from);
        if (c == NULL) { return 0; }
        size_t i = (size_t)(c - line.ptr);
        if (i > 0) {
            if (i + 1 == line.len) {
                *body = i + 1;
                return i;
            }
            if (line.ptr[i + 1] == ' ') {
                *body = i + 2;
                return i;
            }
            uint32_t cp;
            size_t k = wa_cp(line.ptr + i + 1, line.len - i - 1, &cp);
            if (k > 1 && (wa_is_mark(cp) || wa_is_space(cp))) {
                *body = i + 1 + (wa_is_space(cp) ? k : 0);
                return i;
            }
        }
        from = i + 1;
    }
    return 0;
}

static bool has_quote(struct kluis_str s, bool *open)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"') { n++; }
        if (c == 0xE2 && i + 2 < s.len && (unsigned char)s.ptr[i + 1] == 0x80) {
            unsigned char d = (unsigned char)s.ptr[i + 2];
            if (d >= 0x9C && d <= 0x9E) { n++; }
        }
        if (c == 0xC2 && i + 1 < s.len && ((unsigned char)s.ptr[i + 1] == 0xAB || (unsigned char)s.ptr[i + 1] == 0xBB)) { n++; }
        if (c == 0xE3 && i + 2 < s.len && (unsigned char)s.ptr[i + 1] == 0x80 &&
            ((unsigned char)s.ptr[i + 2] == 0x8C || (unsigned char)s.ptr[i + 2] == 0x8D)) {
            n++;
        }
    }
    *open = (n & 1) != 0;
    return n > 0;
}

/* <attached: FILE>, <FILE eklendi>: at the end of the body, marked or with a known word or the app's own file name. */
static bool attached_ios(struct wa_classifier *c, struct kluis_str body, struct wa_body *o)
{
    struct kluis_str b = wa_trim(body);
    if (b.len < 6 || b.ptr[b.len - 1] != '>') { return false; }
    size_t lt = b.len;
    while (lt > 0 && b.ptr[lt - 1] != '<' && b.ptr[lt - 1] != '\n') { lt--; }
    if (lt == 0 || b.ptr[lt - 1] != '<') { return false; }
    struct kluis_str before = wa_sub(b, 0, lt - 1), in = wa_trim(wa_sub(b, lt, b.len - 1));
    bool marked = (size_t)(b.ptr - body.ptr) + before.len >= 3 && wa_lead_marks((struct kluis_str){ b.ptr + before.len - 3, 3 }) == 3;
    struct kluis_str word, file;
    size_t colon = 0, width = 0;
    for (size_t i = 0; i < in.len && width == 0; i++) {
        if (in.ptr[i] == ':') {
            colon = i;
            width = 1;
        }
        if (i + 2 < in.len && memcmp(in.ptr + i, "\xEF\xBC\x9A", 3) == 0) {
            colon = i;
            width = 3;
        }
    }
    if (width > 0) {
        word = wa_trim(wa_sub(in, 0, colon));
        file = wa_trim(wa_sub(in, colon + width, in.len));
    } else {
        size_t dot = in.len; /* the last dot, its extension, then the word */
        while (dot > 0 && in.ptr[dot - 1] != '.') { dot--; }
        size_t end = dot;
        while (end < in.len && ext_char(in.ptr[end])) { end++; }
        if (dot == 0 || end == dot) { return false; }
        file = wa_trim(wa_sub(in, 0, end));
        word = wa_trim(wa_sub(in, end, in.len));
    }
    if (!file_like(file) || memchr(file.ptr, '/', file.len) != NULL) { return false; }
    size_t n = wa_fold(word, c->folded, sizeof c->folded);
    if (!marked && !app_name(file) && !wa_phrase_says(c->phrases, c->folded, n, WA_ATTACHED)) { return false; }
    struct kluis_str text = wa_trim(before);
    /* A document's own title, and "• 2 pages" after it, are no caption. */
    struct kluis_str title = text;
    for (size_t i = 0; i + 2 < title.len; i++) {
        if (memcmp(title.ptr + i, "\xE2\x80\xA2", 3) == 0) {
            title = wa_trim(wa_sub(title, 0, i));
            break;
        }
    }
    if (title.len > 0 && file.len >= title.len && memcmp(file.ptr + file.len - title.len, title.ptr, title.len) == 0) { text.len = 0; }
    o->says = WA_ATTACHED;
    o->file = file;
    o->text = text;
    return true;
}

/* FILE (file attached), caption on the next lines. */
static bool attached_android(struct wa_classifier *c, struct kluis_str body, bool marked, struct wa_body *o)
{
    struct kluis_str line = wa_trim(first_line(body));
    if (line.len < 6 || line.ptr[line.len - 1] != ')') { return false; }
    size_t open = line.len;
    while (open > 0 && line.ptr[open - 1] != '(') { open--; }
    if (open < 2) { return false; }
    struct kluis_str file = wa_trim(wa_sub(line, 0, open - 1)), word = wa_sub(line, open, line.len - 1);
    if (!file_like(file)) { return false; }
    size_t n = wa_fold(word, c->folded, sizeof c->folded);
    if (!marked && !app_name(file) && !wa_phrase_says(c->phrases, c->folded, n, WA_ATTACHED)) { return false; }
    o->says = WA_ATTACHED;
    o->file = file;
    o->text = after_line(body);
    return true;
}

/* "word: https://maps.google.com/?q=52.1,5.1" */
static bool location(struct kluis_str body, struct wa_body *o)
{
    static const char link[] = "https://maps.google.com/?q=";
    struct kluis_str line = wa_trim(first_line(body));
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len < 96 ? line.len : 96) : NULL;
    if (colon == NULL) { return false; }
    struct kluis_str rest = wa_trim(wa_sub(line, (size_t)(colon - line.ptr) + 1, line.len));
    if (!wa_starts(rest, link)) { return false; }
    o->says = WA_LOCATION;
    o->detail = wa_sub(rest, sizeof link - 1, rest.len);
    o->text = wa_trim(body);
    return true;
}

/* POLL: question, OPTION: … (n votes).  Other languages: marked, "word:" and then marked lines. */
static bool poll(struct kluis_str body, bool marked, struct wa_body *o)
{
    struct kluis_str line = wa_trim(first_line(body)), rest = after_line(body);
    if (rest.ptr == NULL || line.len < 2 || line.ptr[line.len - 1] != ':') { return false; }
    bool known = kluis_str_is(line, "POLL:") || kluis_str_is(line, "PEILING:") || kluis_str_is(line, "Peiling:") || kluis_str_is(line, "Poll:") ||
                 kluis_str_is(line, "ENQUÊTE:");
    if (!known && !marked) { return false; }
    size_t options = 0;
    for (struct kluis_str l = after_line(rest); l.ptr != NULL && l.len > 0; l = after_line(l)) {
        struct kluis_str one = first_line(l);
        size_t k = wa_lead_marks(one);
        struct kluis_str t = wa_sub(one, k, one.len);
        bool option = wa_starts(t, "OPTION: ") || wa_starts(t, "OPTIE: ") || wa_starts(t, "Optie: ") || wa_starts(t, "Option: ");
        if (option || (k > 0 && memchr(t.ptr, ':', t.len) != NULL)) { options++; }
        if (known && l.ptr != NULL && !option && k == 0) { continue; }
    }
    if (options == 0) { return false; }
    o->says = WA_POLL;
    o->text = wa_trim(first_line(rest));
    o->detail = after_line(rest);
    return true;
}

/* "… <This message was edited>" at the end. */
static bool edited(struct wa_classifier *c, struct kluis_str *body)
{
    struct kluis_str b = wa_trim(*body);
    if (b.len < 8 || b.ptr[b.len - 1] != '>') { return false; }
    size_t lt = b.len;
    while (lt > 0 && b.ptr[lt - 1] != '<' && b.ptr[lt - 1] != '\n') { lt--; }
    if (lt == 0 || b.ptr[lt - 1] != '<' || b.len - lt > 200) { return false; }
    bool marked = (size_t)(b.ptr - body->ptr) + lt - 1 >= 3 && wa_lead_marks((struct kluis_str){ b.ptr + lt - 4, 3 }) == 3;
    size_t n = wa_fold(wa_sub(b, lt, b.len - 1), c->folded, sizeof c->folded);
    const struct wa_phrase_row *row = wa_phrase_find(c->phrases, c->folded, n);
    bool known = row != NULL && row->says == WA_EDITED;
    if (!known && wa_trim(wa_sub(b, 0, lt - 1)).len == 0) { return false; } /* nothing that was edited stands before it */
    if (!known && !(marked && c->bracket && n > 0 && memchr(c->folded, ':', n) == NULL && memchr(c->folded, '.', n) == NULL)) { return false; }
    struct kluis_str left = wa_sub(b, 0, lt - 1);
    *body = (struct kluis_str){ body->ptr, (size_t)(left.ptr - body->ptr) + left.len };
    struct kluis_str t = wa_trim(*body);
    body->len = (size_t)(t.ptr - body->ptr) + t.len;
    return true;
}

static bool call_words(const char *f, size_t n, struct wa_body *o)
{
    static const struct {
        const char *w, *event, *kind;
    } calls[] = { { "missed voice call", "missed", "audio" },
                  { "missed video call", "missed", "video" },
                  { "missed group voice call", "missed", "audio" },
                  { "missed group video call", "missed", "video" },
                  { "gemiste spraakoproep", "missed", "audio" },
                  { "gemiste video-oproep", "missed", "video" },
                  { "gemist spraakgesprek", "missed", "audio" },
                  { "gemist videogesprek", "missed", "video" },
                  { "gemiste groeps", "missed", "audio" },
                  { "silenced voice call", "silenced", "audio" },
                  { "silenced video call", "silenced", "video" },
                  { "voice call", "call", "audio" },
                  { "video call", "call", "video" },
                  { "spraakoproep", "call", "audio" },
                  { "spraakgesprek", "call", "audio" },
                  { "video-oproep", "call", "video" },
                  { "videogesprek", "call", "video" } };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        size_t k = strlen(calls[i].w);
        bool same = n > k && (f[k] == ',' || f[k] == '.' || memcmp(f + k, " at ", 4 < n - k ? 4 : n - k) == 0 ||
                              memcmp(f + k, " om ", 4 < n - k ? 4 : n - k) == 0);
        for (size_t j = 0; j < k && same; j++) { same = (f[j] >= 'A' && f[j] <= 'Z' ? f[j] + 32 : f[j]) == calls[i].w[j]; }
        if (!same) { continue; }
        o->says = WA_CALL;
        o->event = calls[i].event;
        o->call = calls[i].kind;
        struct kluis_str all = { f, n };
        if (memmem(f, n, "No answer", 9) != NULL || memmem(f, n, "Geen antwoord", 13) != NULL || wa_ends(all, "no answer")) {
            o->event = "unanswered";
        }
        return true;
    }
    return false;
}

/* A body of the app's own: true when it was recognised. */
static bool own_words(struct wa_classifier *c, struct kluis_str body, bool marked, bool first, struct wa_body *o)
{
    struct kluis_str line = first_line(body);
    bool single = line.len == body.len;
    size_t n = line.len < 600 ? wa_fold(line, c->folded, sizeof c->folded) : 0;
    if (n == 0) { return false; }
    const struct wa_phrase_row *row = wa_phrase_find(c->phrases, c->folded, n);
    if (row != NULL && row->says == WA_OMITTED && row->word != NULL) { /* "image omitted": iPhones mark it, old exports may not */
        bool old = c->bracket && (strcmp(row->language, "nl") == 0 || strcmp(row->language, "en") == 0);
        if (!single || !(marked || old)) { return false; }
        o->says = WA_OMITTED;
        o->media = row->word;
        o->text = (struct kluis_str){ NULL, 0 };
        return true;
    }
    if (row != NULL && row->says != WA_EDITED && row->says != WA_ATTACHED) {
        if (!single && row->says != WA_OMITTED) { return false; }
        o->says = row->says;
        o->by_self = row->self;
        o->text = wa_trim(body);
        if (row->says == WA_OMITTED) { o->text = after_line(body); }
        if (row->says == WA_CALL) {
            o->event = "missed";
            o->call = row->word;
        }
        if (row->says == WA_LOCATION) { o->detail = KLUIS_STR_LIT("live"); }
        return true;
    }
    if (!single) { return false; }
    if ((marked || first || c->bracket) && wa_phrase_encryption(c->folded, n)) {
        o->says = WA_EVENT;
        o->event = "encryption-notice";
        return true;
    }
    return marked && call_words(c->folded, n, o);
}

/* "Some file.txt <mark>document omitted", "title <bullet> <mark>2 pages <mark>document omitted", "caption <mark>image omitted". */
static void omitted_marked(struct wa_classifier *c, struct kluis_str body, struct wa_body *o)
{
    o->says = WA_OMITTED;
    size_t last = 0;
    for (size_t i = 0; i + 2 < body.len; i++) {
        size_t k = wa_lead_marks(wa_sub(body, i, body.len));
        if (k > 0) {
            last = i;
            i += k - 1;
        }
    }
    struct kluis_str tail = wa_trim(wa_sub(body, last, body.len)), text = wa_trim(wa_sub(body, 0, last)), title = text;
    for (size_t i = 0; i + 2 < title.len; i++) {
        if (memcmp(title.ptr + i, "\xE2\x80\xA2", 3) == 0) {
            title = wa_trim(wa_sub(title, 0, i));
            break;
        }
    }
    size_t n = tail.len < 200 ? wa_fold(tail, c->folded, sizeof c->folded) : 0;
    const struct wa_phrase_row *row = n > 0 ? wa_phrase_find(c->phrases, c->folded, n) : NULL;
    if (row != NULL && row->says == WA_OMITTED) { o->media = row->word; }
    if (file_like(title)) {
        o->file = title;
        text.len = 0;
    }
    o->text = text;
    o->detail = tail;
}

/* A direction mark after a space near the end: the export's words follow the user's. */
static bool marked_tail(struct kluis_str body)
{
    size_t from = body.len > 160 ? body.len - 160 : 0;
    for (size_t i = body.len; i-- > from + 1;) {
        if (body.ptr[i] == '\n') { return false; }
        if ((unsigned char)body.ptr[i] == 0xE2 && wa_lead_marks(wa_sub(body, i, body.len)) > 0) { return body.ptr[i - 1] == ' '; }
    }
    return false;
}

static void system_line(struct wa_classifier *c, struct kluis_str line, bool first, struct wa_body *o)
{
    o->says = WA_EVENT;
    o->event = "system";
    struct kluis_str one = wa_trim(line);
    size_t n = one.len < WA_FOLD_MAX / 2 ? wa_fold(one, c->folded, sizeof c->folded) : 0;
    o->text = one;
    if (n == 0) { return; }
    if (wa_phrase_encryption(c->folded, n)) {
        o->event = "encryption-notice";
        return;
    }
    const struct wa_phrase_row *row = wa_phrase_find(c->phrases, c->folded, n);
    if (row != NULL && row->says == WA_CALL) {
        o->says = WA_CALL;
        o->event = "missed";
        o->call = row->word;
        return;
    }
    if (call_words(c->folded, n, o) && !kluis_str_is((struct kluis_str){ o->event, strlen(o->event) }, "call")) { return; }
    o->says = WA_EVENT;
    o->event = "system";
    o->call = NULL;
    if (wa_phrase_event(c->folded, n, o)) { return; }
    if (first && n > 40) { o->event = "encryption-notice"; }
}

void wa_classify(struct wa_classifier *c, const struct wa_entry *e, bool first, struct wa_body *o)
{
    memset(o, 0, sizeof *o);
    struct kluis_str rest = e->rest, line = first_line(rest);
    size_t body_at = 0, end = sender_end(line, &body_at);
    if (end > 0) {
        bool open = false;
        struct kluis_str name = wa_sub(line, 0, end);
        if (has_quote(name, &open)) {
            size_t n = line.len < WA_FOLD_MAX / 2 ? wa_fold(line, c->folded, sizeof c->folded) : 0;
            struct wa_body probe = { 0 };
            if (open || (n > 0 && wa_phrase_event(c->folded, n, &probe))) { end = 0; }
        }
        o->sender = wa_trim(name);
        if (o->sender.len == 0) { end = 0; }
    }
    if (end == 0) {
        o->sender = (struct kluis_str){ NULL, 0 };
        o->body = rest;
        system_line(c, rest, first, o);
        return;
    }
    o->has_sender = true;
    struct kluis_str body = wa_sub(rest, body_at, rest.len);
    o->body = body;
    o->text = body;
    o->says = WA_TEXT;
    if (body.len == 0) { return; }
    size_t marks = wa_lead_marks(body);
    bool marked = marks > 0;
    char last = body.ptr[body.len - 1];
    const char *colon = NULL;
    bool suspicious = marked || e->stamp.mark || body.ptr[0] == '<' || last == '>' || last == ')' || last == '\n' ||
                      memchr(body.ptr, '\n', body.len) != NULL || wa_phrase_may(c->phrases, body) || (unsigned char)last >= 0x80 ||
                      ((colon = memchr(body.ptr, ':', body.len < 96 ? body.len : 96)) != NULL && colon + 10 < body.ptr + body.len &&
                       memcmp(colon + 1, " https://m", 10) == 0);
    if (!suspicious) { return; }
    struct kluis_str work = body;
    if (last == '>' || (unsigned char)last >= 0x80 || last == ' ') {
        if (attached_ios(c, body, o)) { return; }
        if (edited(c, &work)) {
            o->edited = true;
            o->text = work;
            if (attached_ios(c, work, o)) { return; } /* a caption that was edited */
        }
    }
    if (attached_android(c, work, marked, o) || location(work, o) || poll(work, marked, o)) { return; }
    if (own_words(c, work, marked, first, o)) { return; }
    if (!marked && c->bracket && e->stamp.mark && !o->edited && marked_tail(work)) {
        omitted_marked(c, work, o);
        return;
    }
    if (!marked || !c->bracket || o->edited) { return; }
    size_t n = work.len < WA_FOLD_MAX / 2 ? wa_fold(work, c->folded, sizeof c->folded) : 0;
    if (n > 0 && memchr(work.ptr, '\n', work.len) == NULL && wa_phrase_event(c->folded, n, o)) {
        o->text = wa_trim(work);
        return;
    }
    if (e->stamp.mark) {
        omitted_marked(c, work, o);
        return;
    }
    if (memchr(work.ptr, '\n', work.len) == NULL) { system_line(c, work, first, o); }
}
