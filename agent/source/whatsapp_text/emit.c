/* emit.c - pass 2: messages to records.
 *
 * Suspect records.  Anybody can write a line break and text that looks like a header into a message.  A record is kept as
 * the file says but carries the field `suspect` when
 *   out-of-order      its time lies before the previous message's by more than the clock's precision (at least a minute);
 *   sender-seen-once  in a chat of three or more senders, this is its sender's only line and no system line names it;
 *   inside-message    the file ends its messages in CR LF and this line follows a lone LF;
 * and a message carries `suspect` = header-like-text when a line of it looks like a header with a date that is none.
 */
#include "wa.h"

enum { FIELDS = 24 };
struct rec {
    struct kluis_record r;
    struct kluis_field fields[FIELDS + 64];
    size_t n;
    struct kluis_time_field times[2];
    size_t n_times;
    struct kluis_str loss[4];
    struct kluis_attachment attachment;
    struct kluis_str options[64];
    char names[64][12];
};

static void field(struct rec *x, const char *name, struct kluis_str v)
{
    if (v.ptr == NULL || x->n == sizeof x->fields / sizeof *x->fields) { return; }
    x->fields[x->n++] = (struct kluis_field){ kluis_str_of(name), v, 0, false };
}
static void field_int(struct rec *x, const char *name, int64_t v)
{
    if (x->n == sizeof x->fields / sizeof *x->fields) { return; }
    x->fields[x->n++] = (struct kluis_field){ kluis_str_of(name), { NULL, 0 }, v, true };
}
static void lose(struct rec *x, const char *token)
{
    if (x->r.n_loss < sizeof x->loss / sizeof *x->loss) { x->loss[x->r.n_loss++] = kluis_str_of(token); }
}
static int by_name(const void *a, const void *b)
{
    const struct kluis_field *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int c = memcmp(x->name.ptr, y->name.ptr, n);
    return c != 0 ? c : x->name.len < y->name.len ? -1 : x->name.len > y->name.len;
}

struct emit {
    const struct wa_settings *q;
    const struct wa_survey *s;
    const struct wa_place *place;
    const struct source_sink *sink;
    struct kluis_buf text, name, a, m, o, n, marker;
    struct rec rec;
    int64_t memo_date_days;
    int memo_date[3];
    uint8_t memo_digits[3], memo_era;
    bool memo;
    int64_t last_message; /* local seconds of the last record that is no event         */
    uint32_t last_person;
    char reasons[96];
};

/* `sent` and, where a clock reading means two things or none, what else it may mean. */
static kluis_status set_time(struct emit *x, const struct wa_entry *e, int64_t *local_out, struct kluis_err *err)
{
    const struct wa_stamp *st = &e->stamp;
    struct rec *rec = &x->rec;
    int64_t days = x->memo_date_days;
    bool islamic;
    int32_t seconds;
    if (!x->memo || memcmp(x->memo_date, st->date, sizeof x->memo_date) != 0 || memcmp(x->memo_digits, st->digits, 3) != 0 ||
        x->memo_era != st->era) {
        if (!wa_stamp_days(st, x->s->order, &days, &islamic)) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "line %llu: no such date", (unsigned long long)e->line);
        }
        memcpy(x->memo_date, st->date, sizeof x->memo_date);
        memcpy(x->memo_digits, st->digits, 3);
        x->memo_era = st->era;
        x->memo_date_days = days;
        x->memo = true;
    }
    if (!wa_stamp_seconds(st, &seconds)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "line %llu: no such time", (unsigned long long)e->line); }
    int64_t local = days * 86400 + seconds;
    *local_out = local;
    struct zone_local w;
    zone_local(x->q->zone, local, &w);
    /* An offset that is no whole minute (before 1937 in some places) cannot be written: cut to the minute. */
    int32_t off = w.offset[0] / 60 * 60;
    rec->r.sent = (struct kluis_when){ (local - off) * 1000000, (int16_t)(off / 60) };
    if (w.readings == 2) {
        int32_t other = w.offset[1] / 60 * 60;
        field(rec, "clock", KLUIS_STR_LIT("shown-twice"));
        rec->times[rec->n_times++] =
            (struct kluis_time_field){ KLUIS_STR_LIT("sent-otherwise"), { (local - other) * 1000000, (int16_t)(other / 60) } };
    } else if (w.readings == 0) {
        field(rec, "clock", KLUIS_STR_LIT("never-shown"));
    } else if (x->s->other >= 0) {
        int64_t od;
        if (wa_stamp_days(st, (enum wa_order)x->s->other, &od, &islamic) && od != days) {
            zone_local(x->q->zone, od * 86400 + seconds, &w);
            off = w.offset[0] / 60 * 60;
            field(rec, "date-order", KLUIS_STR_LIT("undecided"));
            rec->times[rec->n_times++] =
                (struct kluis_time_field){ KLUIS_STR_LIT("sent-otherwise"), { (od * 86400 + seconds - off) * 1000000, (int16_t)(off / 60) } };
        }
    }
    return KLUIS_OK;
}

static void suspect(struct emit *x, const struct wa_entry *e, const struct wa_body *b, uint32_t who, int64_t local)
{
    x->reasons[0] = 0;
    size_t n = 0;
    int64_t slack = 59;
    const char *why[4];
    size_t k = 0;
    if (x->last_message != INT64_MIN && local < x->last_message - slack) { why[k++] = "out-of-order"; }
    if (who != KLUIS_NO_PARTY && b->has_sender && x->s->n_people > 2 && x->s->people[who].messages == 1 && !x->s->people[who].mentioned) {
        why[k++] = "sender-seen-once";
    }
    if (x->s->crlf && e->after_lf) { why[k++] = "inside-message"; }
    if (e->header_inside) { why[k++] = "header-like-text"; }
    for (size_t i = 0; i < k; i++) {
        int w = snprintf(x->reasons + n, sizeof x->reasons - n, "%s%s", i > 0 ? "," : "", why[i]);
        n += w > 0 ? (size_t)w : 0;
    }
    if (k > 0) { field(&x->rec, "suspect", (struct kluis_str){ x->reasons, n }); }
}

/* OPTION: text (3 votes) */
static void poll_options(struct rec *rec, struct kluis_str lines)
{
    while (lines.ptr != NULL && lines.len > 0 && rec->r.n_options < 64) {
        const char *nl = memchr(lines.ptr, '\n', lines.len);
        struct kluis_str one = wa_trim(nl == NULL ? lines : wa_sub(lines, 0, (size_t)(nl - lines.ptr)));
        lines = nl == NULL ? (struct kluis_str){ NULL, 0 } : wa_sub(lines, (size_t)(nl - lines.ptr) + 1, lines.len);
        const char *colon = one.len > 0 ? memchr(one.ptr, ':', one.len) : NULL;
        if (colon == NULL) { continue; }
        struct kluis_str text = wa_trim(wa_sub(one, (size_t)(colon - one.ptr) + 1, one.len));
        int64_t votes = -1;
        if (text.len > 2 && text.ptr[text.len - 1] == ')') {
            size_t open = text.len;
            while (open > 0 && text.ptr[open - 1] != '(') { open--; }
            int64_t v = 0;
            bool any = false;
            for (size_t i = open; open > 0 && i < text.len;) {
                uint32_t cp;
                size_t k = wa_cp(text.ptr + i, text.len - i, &cp);
                if (k == 0) { break; }
                int d = wa_digit(cp);
                if (d >= 0 && v < 1000000) {
                    v = v * 10 + d;
                    any = true;
                }
                i += k;
            }
            if (any) {
                votes = v;
                text = wa_trim(wa_sub(text, 0, open - 1));
            }
        }
        if (kluis_utf8_valid(text.ptr, text.len) != text.len) { text = KLUIS_STR_LIT("\xEF\xBF\xBD"); }
        size_t i = rec->r.n_options++;
        rec->options[i] = text;
        if (votes >= 0 && snprintf(rec->names[i], sizeof rec->names[i], "votes-%02zu", i + 1) > 0) { field_int(rec, rec->names[i], votes); }
    }
}

static struct kluis_str clean(struct kluis_str s, struct kluis_buf *buf)
{
    bool bad;
    if (s.ptr == NULL) { return s; }
    s = wa_clean(s, buf, &bad);
    return s;
}

static void set_text(struct emit *x, struct kluis_str t, struct kluis_str body)
{
    struct rec *rec = &x->rec;
    bool bad = false;
    if (t.ptr == NULL) { return; }
    rec->r.text = wa_clean(t, &x->text, &bad);
    if (rec->r.text.len > KLUIS_TEXT_MAX) { rec->r.text = KLUIS_STR_LIT("\xEF\xBF\xBD"); }
    if (bad) { rec->r.text_raw = (struct kluis_bytes){ (const uint8_t *)body.ptr, body.len }; }
}

static void set_attachment(struct emit *x, const struct wa_body *b)
{
    struct rec *rec = &x->rec;
    struct kluis_attachment *a = &rec->attachment;
    const char *media = NULL;
    *a = (struct kluis_attachment){ .size = -1 };
    if (b->file.ptr != NULL) {
        a->name = clean(b->file, &x->name);
        a->type = kluis_str_of(wa_media_type(b->file, &media));
        if (b->says == WA_ATTACHED) {
            a->size = wa_place_size(x->place, b->file);
            a->source_ref = a->name;
            if (a->size < 0) { a->loss = KLUIS_STR_LIT("missing"); }
        }
    }
    if (b->media != NULL) { media = b->media; }
    if (b->says == WA_OMITTED) { a->loss = KLUIS_STR_LIT("omitted"); }
    if (media != NULL) { field(rec, "media", kluis_str_of(media)); }
    rec->r.attachments = a;
    rec->r.n_attachments = 1;
}

static kluis_status emit_one(struct emit *x, const struct wa_entry *e, const struct wa_body *b, struct kluis_err *err)
{
    struct rec *rec = &x->rec;
    rec->r = (struct kluis_record){ .kind = KLUIS_MESSAGE,
                                    .author = KLUIS_NO_PARTY,
                                    .target_author = KLUIS_NO_PARTY,
                                    .zone = KLUIS_ZONE_ASSUMED,
                                    .target_sent = { KLUIS_TIME_ABSENT, 0 } };
    rec->n = rec->n_times = 0;
    int64_t local = 0;
    KLUIS_TRY(set_time(x, e, &local, err));
    uint32_t who = KLUIS_NO_PARTY;
    if (b->has_sender) {
        who = x->last_person != KLUIS_NO_PARTY && kluis_str_eq(x->s->people[x->last_person].shown, b->sender) ? x->last_person
                                                                                                              : wa_survey_person(x->s, b->sender);
        if (who != KLUIS_NO_PARTY) { x->last_person = who; }
    }
    if (who != KLUIS_NO_PARTY && b->says != WA_EVENT) {
        rec->r.author = who;
        if (x->s->people[who].unsaved) { field_int(rec, "author-unsaved", 1); }
    }
    switch (b->says) {
    case WA_EDITED: /* a word of the table, never a body */
    case WA_TEXT: set_text(x, b->text, b->body); break;
    case WA_LOCATION:
        set_text(x, b->text, b->body);
        field(rec, "location", clean(b->detail, &x->a));
        if (kluis_str_is(b->detail, "live")) { lose(rec, "place-unknown"); }
        break;
    case WA_ATTACHED:
    case WA_OMITTED: {
        struct kluis_str t = wa_trim(b->text);
        set_attachment(x, b);
        if (t.ptr != NULL && t.len > 0) { set_text(x, t, b->body); }
        if (b->says == WA_OMITTED) {
            struct kluis_str mk = b->detail.ptr != NULL ? b->detail : wa_trim(b->body);
            const char *nl = memchr(mk.ptr, '\n', mk.len);
            if (nl != NULL) { mk = wa_trim(wa_sub(mk, 0, (size_t)(nl - mk.ptr))); }
            field(rec, "marker", clean(mk, &x->marker));
        }
        break;
    }
    case WA_DELETED:
        rec->r.kind = KLUIS_DELETION;
        field(rec, "marker", clean(wa_trim(b->body), &x->marker));
        lose(rec, "original-unknown");
        break;
    case WA_CALL:
        rec->r.kind = KLUIS_CALL;
        rec->r.event = kluis_str_of(b->event);
        rec->r.value = kluis_str_of(b->call);
        set_text(x, wa_trim(b->body), b->body);
        break;
    case WA_POLL:
        rec->r.kind = KLUIS_POLL;
        set_text(x, b->text, b->body);
        rec->r.options = rec->options;
        poll_options(rec, b->detail);
        break;
    case WA_WAITING:
    case WA_VIEW_ONCE:
        rec->r.kind = KLUIS_GAP;
        rec->r.event = b->says == WA_WAITING ? KLUIS_STR_LIT("waiting-for-message") : KLUIS_STR_LIT("view-once");
        set_text(x, wa_trim(b->body), b->body);
        break;
    case WA_NULL:
        set_text(x, wa_trim(b->body), b->body);
        lose(rec, "content-unknown");
        break;
    case WA_EVENT: {
        rec->r.kind = KLUIS_EVENT;
        rec->r.event = kluis_str_of(b->event);
        set_text(x, wa_trim(b->body), b->body);
        if (b->actor.ptr != NULL) {
            uint32_t a = b->by_self ? x->s->self : wa_survey_person(x->s, b->actor);
            if (a != KLUIS_NO_PARTY) {
                rec->r.author = a;
            } else {
                field(rec, "actor", b->by_self ? KLUIS_STR_LIT("self") : clean(b->actor, &x->a));
            }
        } else if (b->has_sender && strcmp(b->event, "system") == 0 && who != KLUIS_NO_PARTY) {
            rec->r.author = who;
        }
        field(rec, "member", clean(b->member, &x->m));
        field(rec, "before", clean(b->before, &x->o));
        field(rec, "after", clean(b->after, &x->n));
        if (b->has_sender && rec->r.author != who && !kluis_str_eq(b->sender, x->s->shown_chat)) {
            field(rec, "shown-as", clean(b->sender, &x->name));
        }
        break;
    }
    }
    if (b->edited) {
        field_int(rec, "edited", 1);
        lose(rec, "original-unknown");
    }
    suspect(x, e, b, who, local);
    if (b->says != WA_EVENT) { x->last_message = local; }
    if (rec->n > 1) { qsort(rec->fields, rec->n, sizeof *rec->fields, by_name); }
    rec->r.fields = rec->fields;
    rec->r.n_fields = rec->n;
    rec->r.times = rec->times;
    rec->r.n_times = rec->n_times;
    rec->r.loss = rec->loss;
    return x->sink->record(x->sink->ctx, &rec->r, e->raw, err);
}

kluis_status wa_conversation_id(const struct wa_settings *q, const struct wa_survey *s, const char *chat_name, char id[64], struct kluis_str *name,
                                struct kluis_err *err)
{
    *name = (struct kluis_str){ NULL, 0 };
    if (chat_name != NULL && chat_name[0] != 0) {
        *name = kluis_str_of(chat_name);
    } else if (s->shown_chat.ptr != NULL) {
        *name = s->shown_chat;
    }
    if (q->conversation != NULL) {
        if (strlen(q->conversation) == 0 || strlen(q->conversation) > 60) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "option conversation: give 1 to 60 bytes");
        }
        snprintf(id, 64, "%s", q->conversation);
        return KLUIS_OK;
    }
    KLUIS_AUTO_BUF(b, 64 << 10);
    kluis_buf_add(&b, "chatkluis-whatsapp-text-conversation-v1", 40);
    if (name->ptr != NULL) {
        kluis_buf_cstr(&b, "name:");
        kluis_buf_str(&b, *name);
    } else {
        /* Nothing names the chat: its first two senders in order of their names. */
        kluis_buf_cstr(&b, "senders:");
        uint32_t n = s->n_people < 2 ? s->n_people : 2, first = 0;
        if (n == 2) {
            struct kluis_str l = s->people[0].shown, r = s->people[1].shown;
            int c = memcmp(l.ptr, r.ptr, l.len < r.len ? l.len : r.len);
            if (c > 0 || (c == 0 && l.len > r.len)) { first = 1; }
        }
        for (uint32_t i = 0; i < n; i++) {
            kluis_buf_str(&b, s->people[i == 0 ? first : 1 - first].shown);
            kluis_buf_byte(&b, 0);
        }
    }
    KLUIS_TRY(kluis_buf_ok(&b, err));
    uint8_t d[32];
    kluis_sha256_of(b.data, b.len, d);
    memcpy(id, "wa-", 3);
    kluis_base32(d, 16, id + 3);
    return KLUIS_OK;
}

static enum kluis_conversation_type type_of(const struct wa_survey *s, struct kluis_str name)
{
    if (s->group) { return KLUIS_GROUP; }
    for (uint32_t i = 0; i < s->n_people; i++) {
        if (name.ptr != NULL && (kluis_str_eq(s->parties[i].name, name) || kluis_str_eq(s->people[i].shown, name))) { return KLUIS_DIRECT; }
    }
    return KLUIS_UNKNOWN_TYPE;
}

/* An export ends at about 40,000 messages (10,000 with media): said only when exactly so many are there and the beginning is missing. */
static bool truncated(const struct wa_survey *s)
{
    uint64_t cap = s->any_media ? 10000 : 40000;
    return !s->first_is_notice && s->entries + 100 >= cap && s->entries <= cap + 100;
}

/* What precedes the messages. */
static kluis_status begin(struct emit *x, const struct kluis_header *h, const char *name, struct kluis_err *err)
{
    KLUIS_TRY(x->sink->begin(x->sink->ctx, h, err));
    if (h->conversation_name.ptr == NULL && x->q->conversation == NULL && x->sink->skipped != NULL) {
        struct source_skip unnamed = {
            .what = "the name of the conversation",
            .where = name,
            .why =
                "nothing names it, so its first two senders do: an export that begins elsewhere counts as another chat; give option conversation=ID"
        };
        KLUIS_TRY(x->sink->skipped(x->sink->ctx, &unnamed, err));
    }
    if (x->s->preamble <= 3 || x->sink->skipped == NULL) { return KLUIS_OK; }
    struct source_skip skip = { "text before the first message", name, "it has no date, time and sender", false };
    return x->sink->skipped(x->sink->ctx, &skip, err);
}

static kluis_status gap_first(struct emit *x, const struct wa_entry *e, struct kluis_err *err)
{
    struct kluis_record gap = { .kind = KLUIS_GAP,
                                .author = KLUIS_NO_PARTY,
                                .target_author = KLUIS_NO_PARTY,
                                .zone = KLUIS_ZONE_ASSUMED,
                                .target_sent = { KLUIS_TIME_ABSENT, 0 },
                                .event = KLUIS_STR_LIT("history-truncated"),
                                .text = KLUIS_STR_LIT(
                                    "The export holds as many messages as WhatsApp exports at most and does not begin with the start of the chat.") };
    int64_t local;
    x->rec.n = x->rec.n_times = 0;
    KLUIS_TRY(set_time(x, e, &local, err));
    gap.sent = x->rec.r.sent;
    return x->sink->record(x->sink->ctx, &gap, (struct kluis_bytes){ NULL, 0 }, err);
}

static kluis_status messages(struct emit *x, struct wa_reader *r, struct wa_classifier *c, struct kluis_err *err)
{
    struct wa_entry e;
    struct wa_body b;
    bool first = true;
    kluis_status rc;
    while ((rc = wa_reader_next(r, &e, err)) == KLUIS_OK) {
        if (first && truncated(x->s)) { KLUIS_TRY(gap_first(x, &e, err)); }
        wa_classify(c, &e, first, &b);
        first = false;
        KLUIS_TRY(emit_one(x, &e, &b, err));
    }
    if (rc != KLUIS_END) { return rc; }
    if (r->total != x->s->total) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", r->name); }
    return x->sink->end(x->sink->ctx, err);
}

static kluis_status run(struct emit *x, uint32_t *members, const struct kluis_input *in, const char *name, const char *chat_name,
                        struct wa_classifier *c, struct kluis_err *err)
{
    static const char *const never[] = { "deleted-text", "edit-history", "ids",      "numbers-of-saved-contacts",
                                         "quotes",       "reactions",    "receipts", "votes" };
    const struct wa_survey *s = x->s;
    struct kluis_str conversation, loss[12];
    char id[64];
    size_t n_loss = 0;
    KLUIS_TRY(wa_conversation_id(x->q, s, chat_name, id, &conversation, err));
    KLUIS_AUTO_BUF(conversation_buf, 8192);
    conversation = clean(conversation, &conversation_buf);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { loss[n_loss++] = kluis_str_of(never[i]); }
    if (s->other >= 0) { loss[n_loss++] = KLUIS_STR_LIT("date-order-undecided"); }
    for (uint32_t i = 0; i < s->n_people; i++) { members[i] = i; }
    struct kluis_header h = { .platform = KLUIS_STR_LIT("whatsapp"),
                              .conversation_id = kluis_str_of(id),
                              .conversation_name = conversation,
                              .type = type_of(s, conversation),
                              .parties = s->parties,
                              .n_parties = s->n_people,
                              .participants = members,
                              .n_participants = s->n_people,
                              .self = s->self,
                              .provenance = { .source = KLUIS_STR_LIT("whatsapp-text"),
                                              .app = KLUIS_STR_LIT("WhatsApp"),
                                              .os = kluis_str_of(s->layout.bracket ? "iOS" : "Android"),
                                              .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " whatsapp-text") },
                              .zone = KLUIS_ZONE_ASSUMED,
                              .zone_name = kluis_str_of(x->q->zone_name),
                              .precision = s->layout.seconds ? KLUIS_PRECISION_SECOND : KLUIS_PRECISION_MINUTE,
                              .loss = loss,
                              .n_loss = n_loss };
    if (h.self == KLUIS_NO_PARTY && x->q->self == NULL && h.type == KLUIS_DIRECT && s->n_people == 2) {
        h.self = kluis_str_eq(s->parties[0].name, conversation) ? 1 : 0; /* the other one is the official */
    }
    struct wa_layout layout = s->layout;
    layout.order = (int)s->order;
    struct wa_reader r;
    KLUIS_TRY(wa_reader_open(&r, in, &layout, name, err));
    kluis_status rc = begin(x, &h, name, err);
    if (rc == KLUIS_OK) { rc = messages(x, &r, c, err); }
    wa_reader_close(&r);
    return rc;
}

kluis_status wa_emit_run(const struct kluis_input *in, const char *name, const char *chat_name, const struct wa_settings *q, struct wa_classifier *c,
                         const struct wa_survey *s, const struct wa_place *p, const struct source_sink *sink, struct kluis_err *err)
{
    uint32_t *members = kluis_calloc(s->n_people + 1, sizeof *members);
    struct emit *x = kluis_calloc(1, sizeof *x);
    if (members == NULL || x == NULL) {
        kluis_free(members);
        kluis_free(x);
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", name);
    }
    x->q = q;
    x->s = s;
    x->place = p;
    x->sink = sink;
    x->last_message = INT64_MIN;
    x->last_person = KLUIS_NO_PARTY;
    struct kluis_buf *all[] = { &x->text, &x->name, &x->a, &x->m, &x->o, &x->n, &x->marker };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { kluis_buf_init(all[i], 3 * (size_t)KLUIS_TEXT_MAX + 16); }
    kluis_status rc = run(x, members, in, name, chat_name, c, err);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { kluis_buf_free(all[i]); }
    kluis_free(members);
    kluis_free(x);
    return rc;
}
