/* source.c - the whatsapp-text source: options, the order of passes, folders with several chats.
 *
 * Each chat is opened three times: for its layout, for the survey, for the records.  Nothing reaches the sink before the
 * survey has read the whole chat, so a refused chat leaves no half behind.
 */
#include "wa.h"

#include "agent/source/file_state.h"

kluis_status wa_settings_of(const struct source_request *q, struct wa_settings *out, struct kluis_err *err)
{
    *out = (struct wa_settings){ .zone_name = "Europe/Amsterdam", .order = -1 };
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key, *v = q->options[i].value;
        if (strcmp(k, "zone") == 0) {
            out->zone_name = v;
        } else if (strcmp(k, "date-order") == 0) {
            if (strcmp(v, "dmy") == 0) {
                out->order = WA_DMY;
            } else if (strcmp(v, "mdy") == 0) {
                out->order = WA_MDY;
            } else if (strcmp(v, "ymd") == 0) {
                out->order = WA_YMD;
            } else if (strcmp(v, "certain") == 0) {
                out->order_must_be_certain = true;
            } else if (strcmp(v, "auto") != 0) {
                return KLUIS_FAIL(err, KLUIS_E_USAGE, "option date-order: give dmy, mdy, ymd, certain or auto");
            }
        } else if (strcmp(k, "bad-date") == 0) {
            if (strcmp(v, "text") == 0) {
                out->bad_date_is_text = true;
            } else if (strcmp(v, "refuse") != 0) {
                return KLUIS_FAIL(err, KLUIS_E_USAGE, "option bad-date: give refuse or text");
            }
        } else if (strcmp(k, "conversation") == 0) {
            out->conversation = v;
        } else if (strcmp(k, "self") == 0) {
            out->self = v;
        } else {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "whatsapp-text has no option '%.40s'; it has zone, date-order, bad-date, conversation and self", k);
        }
    }
    return zone_open(out->zone_name, &out->zone, err);
}

void wa_settings_close(struct wa_settings *s)
{
    zone_free(s->zone);
    s->zone = NULL;
}

/* Passes 0 and 1. */
static kluis_status survey(const struct wa_opener *open, const char *name, const struct wa_settings *q, struct wa_classifier *c, struct wa_survey *s,
                           struct kluis_err *err)
{
    struct kluis_input in;
    kluis_status rc = open->open(open->ctx, &in, err);
    if (rc != KLUIS_OK) { return rc; }
    rc = wa_layout_of(&in, name, &s->layout, err);
    open->close(open->ctx);
    if (rc != KLUIS_OK) { return rc; }
    rc = open->open(open->ctx, &in, err);
    if (rc != KLUIS_OK) { return rc; }
    rc = wa_survey_run(&in, name, q, c, s, err);
    open->close(open->ctx);
    return rc;
}

static void survey_free(struct wa_survey *s)
{
    if (s != NULL) { kluis_arena_free(s->arena); }
    kluis_free(s);
}

kluis_status wa_read_chat(const struct wa_opener *open, const char *name, const char *chat_name, const struct wa_settings *q,
                          const struct wa_place *p, const struct source_sink *sink, struct kluis_err *err)
{
    struct wa_survey *s = kluis_calloc(1, sizeof *s);
    struct wa_classifier *c = kluis_calloc(1, sizeof *c);
    KLUIS_AUTO(wa_phrases) phrases = wa_phrases_new();
    kluis_status rc = KLUIS_OK;
    if (s == NULL || c == NULL || phrases == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", name);
        goto out;
    }
    c->phrases = phrases;
    rc = survey(open, name, q, c, s, err);
    if (rc != KLUIS_OK) { goto out; }
    struct kluis_input in;
    rc = open->open(open->ctx, &in, err);
    if (rc != KLUIS_OK) { goto out; }
    rc = wa_emit_run(&in, name, chat_name, q, c, s, p, sink, err);
    open->close(open->ctx);
out:
    survey_free(s);
    kluis_free(c);
    return rc;
}

/* The chat's name: of the entry in a zip, of the file, of the folder it was unpacked into. */
static void name_of(const struct wa_place *p, char *out, size_t cap)
{
    out[0] = 0;
    if (p->is_zip) { wa_chat_name(p->entry, out, cap); }
    if (out[0] == 0) { wa_chat_name(p->path, out, cap); }
    if (out[0] == 0 && !p->is_zip) { wa_chat_name(p->dir, out, cap); }
}

static const char *short_name(const char *path)
{
    const char *s = strrchr(path, '/');
    return s == NULL ? path : s + 1;
}

static bool refusal(kluis_status rc) { return rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT; }

static kluis_status read_one(const char *path, const struct wa_settings *q, const struct source_sink *sink, bool *began, struct kluis_err *err);

struct watch {
    const struct source_sink *real;
    bool began;
};
static kluis_status watch_begin(void *ctx, const struct kluis_header *h, struct kluis_err *err)
{
    struct watch *w = ctx;
    w->began = true;
    return w->real->begin(w->real->ctx, h, err);
}
static kluis_status watch_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    struct watch *w = ctx;
    return w->real->record(w->real->ctx, r, raw, err);
}
static kluis_status watch_end(void *ctx, struct kluis_err *err)
{
    struct watch *w = ctx;
    return w->real->end(w->real->ctx, err);
}
static kluis_status watch_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct watch *w = ctx;
    return w->real->skipped == NULL ? KLUIS_OK : w->real->skipped(w->real->ctx, s, err);
}

static kluis_status read_one(const char *path, const struct wa_settings *q, const struct source_sink *sink, bool *began, struct kluis_err *err)
{
    struct wa_place *p = kluis_calloc(1, sizeof *p);
    if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", path); }
    kluis_status rc = wa_place_open(path, p, err);
    if (rc == KLUIS_OK) {
        char chat[512];
        name_of(p, chat, sizeof chat);
        struct wa_stream stream = { .place = p, .fd = -1 };
        struct wa_opener open = { &stream, wa_stream_open, wa_stream_close };
        struct watch w = { sink, false };
        struct source_sink watched = { &w, watch_begin, watch_record, watch_end, watch_skipped };
        rc = wa_read_chat(&open, short_name(path), chat, q, p, &watched, err);
        *began = w.began;
        wa_place_close(p);
    }
    kluis_free(p);
    return rc;
}

static kluis_status whatsapp_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct wa_settings set = { .zone = NULL };
    const char **chats = NULL;
    size_t n = 0, good = 0;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(2 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", q->path); }
    KLUIS_TRY(wa_settings_of(q, &set, err));
    kluis_status rc = wa_place_list(q->path, arena, &chats, &n, err);
    struct kluis_err last = { .code = KLUIS_OK };
    for (size_t i = 0; rc == KLUIS_OK && i < n; i++) {
        struct kluis_err one = { .code = KLUIS_OK };
        bool began = false;
        rc = read_one(chats[i], &set, sink, &began, &one);
        if (rc == KLUIS_OK) {
            good++;
            continue;
        }
        last = one;
        if (n == 1 || began || !refusal(rc)) { break; }
        /* One bad file in a folder does not keep the others out. */
        struct source_skip skip = { "chat", short_name(chats[i]), one.msg, true };
        rc = sink->skipped == NULL ? KLUIS_OK : sink->skipped(sink->ctx, &skip, err);
    }
    if (rc == KLUIS_OK && good == 0 && n > 0) { rc = last.code; }
    if (rc != KLUIS_OK && err != NULL && err->code == KLUIS_OK && last.code != KLUIS_OK) { *err = last; }
    wa_settings_close(&set);
    return rc;
}

/* Ids of chats that were surveyed, each under a digest of the options and of the file as it stands: attachments are asked for package by package,
 * and each time all chats of the folder would be read to their end.  A slot is what came last. */
enum { KNOWN = 4096, SETTLED_US = 2000000 };
struct known {
    uint8_t key[32]; /* zeros: empty */
    char id[64];
};
static struct known known[KNOWN];

/* false: nothing is kept of this file, since it may be written again unseen. */
static bool known_key(const char *path, const struct source_request *q, uint8_t key[32])
{
    struct file_state state;
    if (file_state_look(path, &state, NULL) != KLUIS_OK || !state.there || !file_state_settled(&state, SETTLED_US)) { return false; }
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    if (h == NULL) { return false; }
    file_state_add(h, path, &state);
    for (size_t i = 0; i < q->n_options; i++) {
        kluis_sha256_add(h, q->options[i].key, strlen(q->options[i].key) + 1);
        kluis_sha256_add(h, q->options[i].value, strlen(q->options[i].value) + 1);
    }
    kluis_sha256_end(h, key);
    return true;
}

static kluis_status survey_id(const struct wa_place *p, const struct wa_settings *q, char have[64], struct kluis_err *err)
{
    struct wa_survey *s = kluis_calloc(1, sizeof *s);
    struct wa_classifier *c = kluis_calloc(1, sizeof *c);
    KLUIS_AUTO(wa_phrases) phrases = wa_phrases_new();
    kluis_status rc = KLUIS_E_NOMEM;
    if (s != NULL && c != NULL && phrases != NULL) {
        c->phrases = phrases;
        char chat[512];
        struct kluis_str name;
        name_of(p, chat, sizeof chat);
        struct wa_stream stream = { .place = p, .fd = -1 };
        struct wa_opener open = { &stream, wa_stream_open, wa_stream_close };
        rc = survey(&open, short_name(p->path), q, c, s, err);
        if (rc == KLUIS_OK) { rc = wa_conversation_id(q, s, chat, have, &name, err); }
    }
    survey_free(s);
    kluis_free(c);
    return rc;
}

/* Which of several chats of a folder has this id?  The survey tells; a single one is not asked. */
static kluis_status is_conversation(const struct wa_place *p, const struct source_request *q, const struct wa_settings *set, struct kluis_str id,
                                    bool *same, struct kluis_err *err)
{
    uint8_t key[32];
    char have[64];
    const bool keep = known_key(p->path, q, key);
    struct known *slot = &known[keep ? ((unsigned)key[0] << 8 | key[1]) % KNOWN : 0];
    if (keep && memcmp(slot->key, key, sizeof key) == 0) {
        *same = kluis_str_is(id, slot->id);
        return KLUIS_OK;
    }
    KLUIS_TRY(survey_id(p, set, have, err));
    *same = kluis_str_is(id, have);
    if (keep) {
        memcpy(slot->key, key, sizeof key);
        memcpy(slot->id, have, sizeof have);
    }
    return KLUIS_OK;
}

static kluis_status whatsapp_attachments(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted, size_t n,
                                         const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct wa_settings set = { .zone = NULL };
    const char **chats = NULL;
    size_t n_chats = 0;
    if (n == 0) { return KLUIS_OK; }
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(2 << 20);
    bool *done = kluis_calloc(n, sizeof *done);
    struct wa_place *p = kluis_calloc(1, sizeof *p);
    kluis_status rc = KLUIS_OK;
    if (arena == NULL || done == NULL || p == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory to read %s", q->path); }
    if (rc == KLUIS_OK) { rc = wa_settings_of(q, &set, err); }
    if (rc == KLUIS_OK) { rc = wa_place_list(q->path, arena, &chats, &n_chats, err); }
    for (size_t i = 0; rc == KLUIS_OK && i < n_chats; i++) {
        struct kluis_err one = { .code = KLUIS_OK };
        bool same = n_chats == 1;
        rc = wa_place_open(chats[i], p, &one);
        if (rc == KLUIS_OK) {
            if (!same) { rc = is_conversation(p, q, &set, conversation_id, &same, &one); }
            if (rc == KLUIS_OK && same) {
                rc = wa_place_attachments(p, wanted, n, done, sink, &one);
                if (rc != KLUIS_OK && err != NULL) { *err = one; }
                wa_place_close(p);
                if (rc != KLUIS_OK) { break; }
                continue;
            }
            wa_place_close(p);
        }
        if (rc != KLUIS_OK && n_chats > 1 && refusal(rc)) { rc = KLUIS_OK; }
        if (rc != KLUIS_OK && err != NULL) { *err = one; }
    }
    wa_settings_close(&set);
    kluis_free(p);
    kluis_free(done);
    return rc;
}

/* Its lines begin with dates and times as WhatsApp writes them, and what stands behind them has a sender. */
static enum source_sure whatsapp_probe(const struct source_file *f)
{
    const char *p = (const char *)f->head.ptr;
    size_t n = f->head.len, headers = 0, senders = 0, lines = 0;
    bool first = false, notice = false;
    char folded[WA_FOLD_MAX];
    for (size_t at = 0; at < n;) {
        const char *nl = memchr(p + at, '\n', n - at);
        size_t end = nl == NULL ? n : (size_t)(nl - p);
        struct wa_stamp s;
        lines++;
        if (wa_stamp_scan(p + at, end - at, &s) && (wa_stamp_exists(&s, WA_DMY) || wa_stamp_exists(&s, WA_MDY) || wa_stamp_exists(&s, WA_YMD))) {
            struct kluis_str rest = { p + at + s.len, end - at - s.len };
            headers++;
            first |= lines == 1;
            size_t k = rest.len > WA_FOLD_MAX - 1 ? 0 : wa_fold(rest, folded, sizeof folded);
            const char *colon = k == 0 ? NULL : memchr(folded, ':', k);
            senders += colon != NULL;
            if (k > 0 && (wa_phrase_encryption(folded, k) ||
                          (colon != NULL && colon[1] == ' ' && wa_phrase_encryption(colon + 2, k - (size_t)(colon + 2 - folded))))) {
                notice = true;
            }
        }
        at = end + 1;
    }
    if (headers == 0 || (senders == 0 && !notice)) { return SOURCE_NO; }
    if (notice || (first && headers >= 5)) { return SOURCE_CERTAIN; }
    return first ? SOURCE_LIKELY : headers * 4 > lines ? SOURCE_PERHAPS : SOURCE_NO;
}

static const char *const tells[] = {
    "messages", "authors", "times", "attachments", "deletions", "events", "missed-calls", "polls", "locations", NULL
};
static const char *const loss[] = { "deleted-text", "edit-history", "ids", "numbers-of-saved-contacts", "quotes", "reactions",
                                    "receipts",     "votes",        NULL };

const struct source_kind source_whatsapp_text = {
    .name = "whatsapp-text",
    .platform = "whatsapp",
    .about_nl = "WhatsApp, 'Chat exporteren': .txt, .zip of map met media",
    .about_en = "WhatsApp 'Export chat': .txt, .zip, or a folder with media",
    .tells = tells,
    .loss = loss,
    .people_are_writers = true,
    .probe = whatsapp_probe,
    .read = whatsapp_read,
    .attachments = whatsapp_attachments,
};
