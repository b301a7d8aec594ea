/* survey.c - pass 1 over a whole chat: order of day and month, people, kind of chat, what is evidently wrong.
 *
 * The order of day, month and year is decided on the whole file: an order that makes a date impossible is out; of those left
 * the one under which dates go back least often; then the dates in attachments' names.  What is still undecided is
 * read in the likelier order and flagged, with the other reading on each record.
 */
#include "wa.h"

enum { DAMAGE_MIN = 64, MENTIONS_MAX = 64 << 10, OLDEST_DAYS = 14245 /* 2009-01-01: no WhatsApp before */ };

struct tally {
    uint64_t invalid, back, first_bad;
    int64_t previous, low, high;
    bool any, implausible;
};
struct orders {
    struct tally of[WA_ORDERS];
    uint64_t nowhere_line; /* first line whose date is in no order                       */
    bool islamic, nowhere_is_time;
    bool short_first;  /* the first number always has two digits                      */
    bool swapped;      /* some date differs between day-month and month-day            */
    bool american;     /* 3/9/22 somewhere: slashes, no zeros before, two digits of year */
    uint64_t votes[2]; /* by attachments' names                                      */
    int last[3];
    uint8_t last_digits[3];
    uint8_t last_era;
};

static void orders_add(struct orders *t, const struct wa_entry *e)
{
    const struct wa_stamp *s = &e->stamp;
    if (t->of[0].any && memcmp(t->last, s->date, sizeof t->last) == 0 && memcmp(t->last_digits, s->digits, 3) == 0 && t->last_era == s->era) {
        int32_t sec;
        if (!wa_stamp_seconds(s, &sec) && t->nowhere_line == 0) {
            t->nowhere_line = e->line;
            t->nowhere_is_time = true;
        }
        return; /* the same day again changes nothing */
    }
    memcpy(t->last, s->date, sizeof t->last);
    memcpy(t->last_digits, s->digits, 3);
    t->last_era = s->era;
    int32_t seconds;
    bool clock = wa_stamp_seconds(s, &seconds), anywhere = false;
    if (s->digits[0] > 2) { t->short_first = false; }
    if (s->date[0] != s->date[1]) { t->swapped = true; }
    if (s->slash && s->digits[2] == 2 && (s->digits[0] == 1 || s->digits[1] == 1)) { t->american = true; }
    for (int o = 0; o < WA_ORDERS; o++) {
        struct tally *y = &t->of[o];
        int64_t d;
        bool islamic;
        bool ok = wa_stamp_days(s, (enum wa_order)o, &d, &islamic);
        if (o == WA_YMD && s->era != WA_ERA_NONE && !s->era_first && s->digits[0] <= 2) { ok = false; }
        if (o != WA_YMD && s->era_first) { ok = false; }
        t->islamic |= islamic;
        y->any = true;
        if (!ok) {
            if (y->invalid++ == 0) { y->first_bad = e->line; }
            continue;
        }
        anywhere = true;
        if (d < OLDEST_DAYS) { y->implausible = true; }
        if (y->low != 0 || y->high != 0) {
            if (d < y->previous) { y->back++; }
            if (d < y->low) { y->low = d; }
            if (d > y->high) { y->high = d; }
        } else {
            y->low = y->high = d;
        }
        y->previous = d;
    }
    if ((!anywhere || !clock) && t->nowhere_line == 0) {
        t->nowhere_line = e->line;
        t->nowhere_is_time = anywhere;
    }
}

/* Attachments are named with their day: IMG-20220323-WA0002.jpg, 00000035-PHOTO-2022-03-27-21-41-55.jpg. */
static void orders_vote(struct orders *t, const struct wa_entry *e, struct kluis_str file)
{
    char d[8];
    for (size_t i = 0; i + 9 < file.len; i++) {
        if (file.ptr[i] != '-') { continue; }
        size_t k = 0, j = i + 1;
        while (j < file.len && k < 8 &&
               ((file.ptr[j] >= '0' && file.ptr[j] <= '9') || (file.ptr[j] == '-' && (k == 4 || k == 6) && file.ptr[j - 1] != '-'))) {
            if (file.ptr[j] != '-') { d[k++] = file.ptr[j]; }
            j++;
        }
        if (k != 8 || j >= file.len || file.ptr[j] != '-' || d[0] != '2' || d[1] != '0') { continue; }
        int month = (d[4] - '0') * 10 + d[5] - '0', day = (d[6] - '0') * 10 + d[7] - '0';
        if (month == day) { return; }
        if (e->stamp.date[0] == day && e->stamp.date[1] == month) { t->votes[WA_DMY]++; }
        if (e->stamp.date[0] == month && e->stamp.date[1] == day) { t->votes[WA_MDY]++; }
        return;
    }
}

static kluis_status no_such_date(const char *name, uint64_t line, const struct orders *t, struct kluis_err *err)
{
    if (t->islamic) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT,
                          "%s, line %llu: a date of the Islamic calendar; set the phone to the Gregorian calendar and export again", name,
                          (unsigned long long)line);
    }
    return KLUIS_FAIL(err, KLUIS_E_REJECT,
                      "%s, line %llu: a %s that exists %s; export the chat again, or read such lines as text with --option bad-date=text", name,
                      (unsigned long long)line, t->nowhere_is_time ? "time" : "date", t->nowhere_is_time ? "on no clock" : "in no calendar");
}

static kluis_status orders_decide(struct orders *t, const char *name, const struct wa_settings *q, struct wa_survey *s, struct kluis_err *err)
{
    s->other = -1;
    if (t->nowhere_line != 0 && !q->bad_date_is_text) { return no_such_date(name, t->nowhere_line, t, err); }
    if (q->order >= 0) {
        const struct tally *y = &t->of[q->order];
        if (y->invalid > 0 && !q->bad_date_is_text) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s, line %llu: a date that does not exist in the declared order %s; declare another date-order",
                              name, (unsigned long long)y->first_bad, wa_order_name((enum wa_order)q->order));
        }
        s->order = (enum wa_order)q->order;
        return KLUIS_OK;
    }
    bool in[WA_ORDERS];
    uint64_t least = UINT64_MAX;
    for (int o = 0; o < WA_ORDERS; o++) {
        if (t->of[o].invalid < least) { least = t->of[o].invalid; }
    }
    for (int o = 0; o < WA_ORDERS; o++) { in[o] = t->of[o].invalid == least && (t->of[o].low != 0 || t->of[o].high != 0); }
    bool plausible = false;
    for (int o = 0; o < WA_ORDERS; o++) { plausible |= in[o] && !t->of[o].implausible; }
    for (int o = 0; o < WA_ORDERS && plausible; o++) { in[o] = in[o] && !t->of[o].implausible; }
    uint64_t back = UINT64_MAX;
    for (int o = 0; o < WA_ORDERS; o++) {
        if (in[o] && t->of[o].back < back) { back = t->of[o].back; }
    }
    for (int o = 0; o < WA_ORDERS; o++) { in[o] = in[o] && t->of[o].back == back; }
    if (in[WA_YMD] && t->short_first && (in[WA_DMY] || in[WA_MDY])) { /* 22-03-27 is rare: only when nothing else fits */
        in[WA_YMD] = false;
        if (!in[WA_DMY] || !in[WA_MDY]) { s->other = WA_YMD; }
    }
    int best = in[WA_DMY] ? WA_DMY : in[WA_MDY] ? WA_MDY : in[WA_YMD] ? WA_YMD : -1;
    if (best < 0) { return no_such_date(name, t->nowhere_line != 0 ? t->nowhere_line : 1, t, err); }
    if (in[WA_DMY] && in[WA_MDY] && t->swapped) {
        int64_t span[2] = { t->of[WA_DMY].high - t->of[WA_DMY].low, t->of[WA_MDY].high - t->of[WA_MDY].low };
        bool certain = (t->votes[0] == 0) != (t->votes[1] == 0);
        if (certain) {
            best = t->votes[WA_DMY] > 0 ? WA_DMY : WA_MDY;
        } else {
            best = span[WA_MDY] < span[WA_DMY] || (span[WA_MDY] == span[WA_DMY] && t->american) ? WA_MDY : WA_DMY;
            s->other = best == WA_DMY ? WA_MDY : WA_DMY;
        }
    }
    s->order = (enum wa_order)best;
    if (s->other >= 0 && q->order_must_be_certain) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT,
                          "%s: nothing in it tells day, month and year apart; declare the order with --option date-order=dmy, mdy or ymd", name);
    }
    return KLUIS_OK;
}

/* ---- people ---- */
static uint32_t hash(struct kluis_str s)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < s.len; i++) { h = (h ^ (unsigned char)s.ptr[i]) * 16777619u; }
    return h ^ h >> 15;
}

uint32_t wa_survey_person(const struct wa_survey *s, struct kluis_str shown)
{
    const uint32_t mask = sizeof s->slots / sizeof *s->slots - 1;
    uint32_t h = hash(shown);
    for (uint32_t k = h & mask; s->slots[k] != 0; k = (k + 1) & mask) {
        const struct wa_person *p = &s->people[s->slots[k] - 1];
        if (p->hash == h && kluis_str_eq(p->shown, shown)) { return s->slots[k] - 1; }
    }
    return KLUIS_NO_PARTY;
}

struct kluis_str wa_clean(struct kluis_str s, struct kluis_buf *buf, bool *bad)
{
    *bad = kluis_utf8_valid(s.ptr, s.len) != s.len;
    const char *cr = s.len > 0 ? memchr(s.ptr, '\r', s.len) : NULL;
    if (!*bad && cr == NULL) { return s; }
    kluis_buf_clear(buf);
    size_t i = 0;
    while (i < s.len) {
        size_t ok = kluis_utf8_valid(s.ptr + i, s.len - i);
        for (size_t j = 0; j < ok; j++) {
            if (s.ptr[i + j] == '\r' && i + j + 1 < s.len && s.ptr[i + j + 1] == '\n') { continue; }
            kluis_buf_byte(buf, (uint8_t)s.ptr[i + j]);
        }
        i += ok;
        if (i < s.len) {
            kluis_buf_add(buf, "\xEF\xBF\xBD", 3);
            i++;
        }
    }
    if (buf->len == 0) { return (struct kluis_str){ "", 0 }; }
    return (struct kluis_str){ (const char *)buf->data, buf->len };
}

/* "+31 6 12345678" -> "+31612345678". */
static bool e164(struct kluis_str s, char out[20])
{
    size_t n = 0;
    bool plus = false;
    for (size_t i = 0; i < s.len;) {
        uint32_t cp;
        size_t k = wa_cp(s.ptr + i, s.len - i, &cp);
        if (k == 0) { return false; }
        i += k;
        int d = wa_digit(cp);
        if (cp == '+' && n == 0 && !plus) {
            plus = true;
            continue;
        }
        if (d >= 0 && plus) {
            if (n == 15) { return false; }
            out[1 + n++] = (char)('0' + d);
            continue;
        }
        if (!wa_is_space(cp) && !wa_is_mark(cp) && cp != '-' && cp != '(' && cp != ')' && cp != '.' && cp != 0x2011 && cp != 0x2010) { return false; }
    }
    if (!plus || n < 6) { return false; }
    out[0] = '+';
    out[1 + n] = 0;
    return true;
}

static kluis_status person_add(struct wa_survey *s, struct kluis_str shown, const char *name, uint32_t *index, struct kluis_err *err)
{
    if (s->n_people == KLUIS_PARTIES_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s: more than %d different senders; no chat has that many", name, (int)KLUIS_PARTIES_MAX);
    }
    const uint32_t mask = sizeof s->slots / sizeof *s->slots - 1;
    uint32_t h = hash(shown), k = h & mask;
    while (s->slots[k] != 0) { k = (k + 1) & mask; }
    struct wa_person *p = &s->people[s->n_people];
    p->shown = kluis_arena_str(s->arena, shown);
    p->hash = h;
    struct kluis_str clean = p->shown;
    bool bad;
    KLUIS_AUTO_BUF(buf, 4096);
    KLUIS_AUTO_BUF(flat, 4096);
    clean = wa_clean(clean, &buf, &bad);
    for (size_t i = 0; i < clean.len;) { /* marks inside a name are the export's */
        uint32_t cp;
        size_t w = wa_cp(clean.ptr + i, clean.len - i, &cp);
        if (w == 0) { break; }
        if (!wa_is_mark(cp)) { kluis_buf_add(&flat, clean.ptr + i, w); }
        i += w;
    }
    KLUIS_TRY(kluis_buf_ok(&flat, err));
    clean = wa_trim((struct kluis_str){ flat.len > 0 ? (const char *)flat.data : "", flat.len });
    if (clean.len > 1 && clean.ptr[0] == '~') {
        struct kluis_str rest = wa_trim(wa_sub(clean, 1, clean.len));
        if (rest.len > 0) {
            p->unsaved = true;
            clean = rest;
        }
    }
    struct kluis_party *party = &s->parties[s->n_people];
    party->name = kluis_arena_str(s->arena, clean);
    char number[20];
    if (e164(clean, number)) { party->number = kluis_arena_str(s->arena, kluis_str_of(number)); }
    if (p->shown.ptr == NULL || party->name.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "%s: no memory for its senders", name); }
    s->slots[k] = ++s->n_people;
    *index = s->n_people - 1;
    return KLUIS_OK;
}

static bool is_one_of(const char *event, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (strcmp(event, *list) == 0) { return true; }
    }
    return false;
}
static const char *const group_events[] = { "group-created",
                                            "subject-changed",
                                            "icon-changed",
                                            "icon-removed",
                                            "description-changed",
                                            "description-removed",
                                            "settings-changed",
                                            "admin-changed",
                                            "member-added",
                                            "member-removed",
                                            "member-left",
                                            "joined-by-link",
                                            "join-requested",
                                            "invite-link-reset",
                                            "community-changed",
                                            "community-created",
                                            NULL };
static const char *const first_events[] = { "encryption-notice", "group-created", "community-created", "member-added", NULL };

static void self_decide(struct wa_survey *s, const struct wa_settings *q, uint32_t deleted_own)
{
    s->self = KLUIS_NO_PARTY;
    if (q->self != NULL) {
        for (uint32_t i = 0; i < s->n_people; i++) {
            if (kluis_str_is(s->parties[i].name, q->self) || kluis_str_is(s->parties[i].number, q->self)) { s->self = i; }
        }
        return;
    }
    static const char *const you[] = { "You", "Je", "Jij", "U" };
    for (uint32_t i = 0; i < s->n_people; i++) {
        for (size_t k = 0; k < sizeof you / sizeof *you; k++) {
            if (kluis_str_is(s->people[i].shown, you[k])) { s->self = i; }
        }
    }
    if (s->self == KLUIS_NO_PARTY) { s->self = deleted_own; }
}

struct pass {
    struct orders t;
    struct kluis_buf mentions; /* texts of system lines, as many as fit                       */
    uint64_t by_crlf, by_lf;
    uint64_t bytes, no_text; /* of the messages, and how many of these are no UTF-8            */
    uint32_t own, last;      /* sender of "you deleted", sender of the last message         */
    bool own_conflict;
};

static uint64_t no_text(struct kluis_str s)
{
    uint64_t n = 0;
    if (s.len == 0) { return 0; }
    for (size_t at = 0; (at += kluis_utf8_valid(s.ptr + at, s.len - at)) < s.len; at++) { n++; }
    return n;
}

static kluis_status look_at(struct pass *x, struct wa_survey *s, const struct wa_entry *e, const struct wa_body *b, const char *name,
                            struct kluis_err *err)
{
    bool first = s->entries == 1;
    x->by_crlf += e->after_crlf;
    x->by_lf += e->after_lf;
    orders_add(&x->t, e);
    if (b->says == WA_EVENT) {
        if (first) { s->first_is_notice = is_one_of(b->event, first_events); }
        if (strcmp(b->event, "system") != 0) { s->any_known_system = true; }
        if (is_one_of(b->event, group_events)) { s->group = true; }
        if (b->has_sender && strcmp(b->event, "system") != 0 && b->sender.len < 1024 && !kluis_str_eq(s->shown_chat, b->sender)) {
            s->shown_chat = kluis_arena_str(s->arena, b->sender);
        }
        if (x->mentions.len + b->body.len < MENTIONS_MAX) { kluis_buf_str(&x->mentions, b->body); }
        return KLUIS_OK;
    }
    if (b->says == WA_ATTACHED) {
        s->any_media = true;
        orders_vote(&x->t, e, b->file);
    }
    if (!b->has_sender) { return KLUIS_OK; }
    s->any_sender = true;
    uint32_t who = x->last != KLUIS_NO_PARTY && kluis_str_eq(s->people[x->last].shown, b->sender) ? x->last : wa_survey_person(s, b->sender);
    if (who == KLUIS_NO_PARTY) { KLUIS_TRY(person_add(s, b->sender, name, &who, err)); }
    x->last = who;
    s->people[who].messages++;
    if (b->says == WA_DELETED && b->by_self) {
        x->own_conflict |= x->own != KLUIS_NO_PARTY && x->own != who;
        x->own = who;
    }
    return KLUIS_OK;
}

static kluis_status all_messages(struct pass *x, struct wa_survey *s, struct wa_reader *r, struct wa_classifier *c, struct kluis_err *err)
{
    struct wa_entry e;
    struct wa_body b;
    kluis_status rc;
    while ((rc = wa_reader_next(r, &e, err)) == KLUIS_OK) {
        if (s->entries++ == 0) { s->first_stamp = e.stamp; }
        if (e.rest.len > KLUIS_TEXT_MAX) {
            return KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s, line %llu: a message of more than 1 MiB; is this a chat export?", r->name,
                              (unsigned long long)e.line);
        }
        x->bytes += e.rest.len;
        x->no_text += no_text(e.rest);
        wa_classify(c, &e, s->entries == 1, &b);
        KLUIS_TRY(look_at(x, s, &e, &b, r->name, err));
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status conclude(struct pass *x, struct wa_survey *s, const char *name, const struct wa_settings *q, struct kluis_err *err)
{
    if (!s->any_sender && !s->any_known_system) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not a WhatsApp chat export: no line has a sender or a known system text", name);
    }
    /* A damaged character is a message's own affair (text_raw); text of which every eighth byte is damaged is no text. */
    if (x->no_text > DAMAGE_MIN && x->no_text > x->bytes / 8) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is not a WhatsApp chat export: %llu of %llu bytes are no UTF-8 text; export the chat again", name,
                          (unsigned long long)x->no_text, (unsigned long long)x->bytes);
    }
    s->crlf = x->by_crlf > 4 * x->by_lf;
    if (s->n_people > 2) { s->group = true; }
    for (uint32_t i = 0; i < s->n_people; i++) {
        struct wa_person *p = &s->people[i];
        p->mentioned = x->mentions.len > 0 && memmem(x->mentions.data, x->mentions.len, p->shown.ptr, p->shown.len) != NULL;
    }
    self_decide(s, q, x->own_conflict ? KLUIS_NO_PARTY : x->own);
    return orders_decide(&x->t, name, q, s, err);
}

kluis_status wa_survey_run(const struct kluis_input *in, const char *name, const struct wa_settings *q, struct wa_classifier *c, struct wa_survey *s,
                           struct kluis_err *err)
{
    s->arena = kluis_arena_new(4 << 20);
    s->parties = s->arena == NULL ? NULL : kluis_arena_alloc(s->arena, KLUIS_PARTIES_MAX * sizeof *s->parties);
    s->people = s->arena == NULL ? NULL : kluis_arena_alloc(s->arena, KLUIS_PARTIES_MAX * sizeof *s->people);
    if (s->parties == NULL || s->people == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", name); }
    c->bracket = s->layout.bracket;
    struct pass x;
    memset(&x, 0, sizeof x);
    x.own = x.last = KLUIS_NO_PARTY;
    x.t.short_first = true;
    kluis_buf_init(&x.mentions, MENTIONS_MAX);
    struct wa_reader r;
    kluis_status rc = wa_reader_open(&r, in, &s->layout, name, err);
    if (rc == KLUIS_OK) {
        rc = all_messages(&x, s, &r, c, err);
        s->total = r.total;
        s->preamble = r.preamble;
        wa_reader_close(&r);
    }
    if (rc == KLUIS_OK) { rc = conclude(&x, s, name, q, err); }
    kluis_buf_free(&x.mentions);
    return rc;
}
