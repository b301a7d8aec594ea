/* emit.c - items to records.
 *
 * Neither the XML nor the telephone's database gives a message an id that both know, so records have none: author, time and text tell them
 * apart.  Attributes that no member of a record holds are kept as fields "sms.…", "mms.…", "call.…".
 */
#include "agent/source/sms/sms.h"

static const char *const never[] = { "deletions", "edits", "message-ids", "reactions", "rcs" };

void talk_id(const struct talk *t, char id[64])
{
    KLUIS_AUTO_BUF(b, 64 << 10);
    uint8_t d[32];
    kluis_buf_cstr(&b, "chatkluis-sms-conversation-v1:");
    kluis_buf_str(&b, t->key);
    kluis_sha256_of(b.data, b.len, d);
    memcpy(id, "sms-", 4);
    kluis_base32(d, 16, id + 4);
}

kluis_status sms_emit_begin(struct sms_emit *e, const struct talk *t, struct kluis_err *err)
{
    kluis_arena_clear(e->tables);
    struct kluis_party *p = kluis_arena_alloc(e->tables, ((size_t)t->n_people + 1) * sizeof *p);
    uint32_t *members = kluis_arena_alloc(e->tables, ((size_t)t->n_members + 1) * sizeof *members);
    struct kluis_str *loss = kluis_arena_alloc(e->tables, 16 * sizeof *loss);
    char *id = kluis_arena_alloc(e->tables, 64);
    size_t n = 0;
    if (p == NULL || members == NULL || loss == NULL || id == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    talk_id(t, id);
    p[0].id = KLUIS_STR_LIT("owner");
    if (e->number != NULL) { p[0].number = kluis_str_of(e->number); }
    for (uint32_t i = 0; i < t->n_people; i++) {
        struct kluis_str a = t->people[i].address;
        bool number = a.len > 5 && a.len <= 16 && a.ptr[0] == '+';
        for (size_t k = 1; number && k < a.len; k++) { number = a.ptr[k] >= '0' && a.ptr[k] <= '9'; }
        if (number) {
            p[i + 1].number = a;
        } else {
            p[i + 1].id = a;
        }
        p[i + 1].name = t->people[i].name;
    }
    for (uint32_t i = 0; i <= t->n_members; i++) { members[i] = i; }
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { loss[n++] = kluis_str_of(never[i]); }
    if (t->local_number) { loss[n++] = KLUIS_STR_LIT("number-not-international"); }
    if (t->several_names) { loss[n++] = KLUIS_STR_LIT("number-with-several-names"); }
    if (t->name_shared) { loss[n++] = KLUIS_STR_LIT("name-shared-by-numbers"); }
    e->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("sms"),
                                       .conversation_id = kluis_str_of(id),
                                       .conversation_name = t->name,
                                       .type = t->n_members == 0   ? KLUIS_UNKNOWN_TYPE
                                               : t->n_members == 1 ? KLUIS_DIRECT
                                                                   : KLUIS_GROUP,
                                       .parties = p,
                                       .n_parties = t->n_people + 1,
                                       .participants = members,
                                       .n_participants = t->n_members + 1,
                                       .self = 0,
                                       .provenance = { .source = KLUIS_STR_LIT("sms"),
                                                       .app = e->is_database ? (struct kluis_str){ NULL, 0 } : KLUIS_STR_LIT("SMS Backup & Restore"),
                                                       .os = KLUIS_STR_LIT("Android"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " sms") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = loss,
                                       .n_loss = n };
    return e->sink->begin(e->sink->ctx, &e->header, err);
}

/* ---- parts of an item ---------------------------------------------------------------------------------------------- */

static void when(struct build *b, struct kluis_str date)
{
    int64_t ms = 0;
    b->r.sent.us = sms_i64(date, &ms) ? build_ms(ms) : KLUIS_TIME_ABSENT;
    if (b->r.sent.us != KLUIS_TIME_ABSENT) { return; }
    build_loss(b, "time-unknown");
    build_text(b, "date", date);
}

/* What nothing above has used. */
static void rest(struct sms_emit *e, struct build *b, const struct item *i, const char *prefix, const struct kluis_str *used)
{
    for (size_t k = 0; k < i->n_own; k++) {
        const struct attr *a = &i->attrs[k];
        bool skip = a->value.len == 0 || (!i->exact && kluis_str_is(a->value, "null")) || a->name.len > 64;
        for (const struct kluis_str *u = used; u->ptr != NULL && !skip; u++) { skip = kluis_str_eq(a->name, *u); }
        if (skip) { continue; }
        struct kluis_str name = kluis_arena_join(e->arena, (const struct kluis_str[]){ kluis_str_of(prefix), a->name }, 2);
        if (name.ptr != NULL) { build_text(b, name.ptr, a->value); }
    }
}

/* A value that held bytes which are no text: the very bytes, as the element has them. */
static void raw_value(struct build *b, const struct item *i, const char *attr)
{
    size_t k = strlen(attr);
    const char *p = (const char *)i->raw.ptr;
    if (!i->repaired || i->exact || b->r.text.ptr == NULL || memmem(b->r.text.ptr, b->r.text.len, "\xEF\xBF\xBD", 3) == NULL) { return; }
    for (size_t at = 0; at + k + 2 < i->raw.len; at++) {
        if (memcmp(p + at, attr, k) != 0 || (p[at + k] != '"' && p[at + k] != '\'')) { continue; }
        const char *from = p + at + k + 1, *end = memchr(from, p[at + k], i->raw.len - (size_t)(from - p));
        if (end != NULL) { b->r.text_raw = (struct kluis_bytes){ (const uint8_t *)from, (size_t)(end - from) }; }
        return;
    }
}

static uint32_t sender(const struct sms_emit *e, const struct talk *t, const struct item *i, const char *attr)
{
    struct kluis_str a = sms_get(i, attr);
    return a.ptr == NULL ? KLUIS_NO_PARTY : talk_party(t, sms_address(e->talks, a, e->arena), name_of_contact(i));
}

static void direction(struct build *b, int64_t type, uint32_t other)
{
    static const char *const state[] = { NULL, NULL, NULL, "draft", "outbox", "failed", "queued" };
    b->r.author = type == 1 ? other : type >= 2 && type <= 6 ? 0 : KLUIS_NO_PARTY;
    if (type == 3) { /* written, never sent */
        b->r.kind = KLUIS_EVENT;
        b->r.event = KLUIS_STR_LIT("draft");
    } else if (type >= 4 && type <= 6) {
        build_text(b, "state", kluis_str_of(state[type]));
    } else if (type < 1 || type > 6) {
        build_number(b, "type", type);
        build_loss(b, "direction-unknown");
    }
    if (type == 1 && other == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
}

static void sms(struct sms_emit *e, const struct talk *t, const struct item *i)
{
    static const struct kluis_str used[] = { { "address", 7 },       { "date", 4 },           { "type", 4 },      { "body", 4 }, { "subject", 7 },
                                             { "contact_name", 12 }, { "readable_date", 13 }, { "date_sent", 9 }, { NULL, 0 } };
    struct build *b = &e->build;
    int64_t type = 0, ms = 0;
    build_new(b, e->arena, KLUIS_MESSAGE);
    when(b, sms_get(i, "date"));
    (void)sms_i64(sms_get(i, "type"), &type);
    direction(b, type, sender(e, t, i, "address"));
    struct kluis_str body = sms_get(i, "body");
    for (size_t k = 0; !i->exact && k < i->n_own && body.ptr == NULL; k++) { /* the four letters, or nothing: the backup writes both alike */
        if (!kluis_str_is(i->attrs[k].name, "body")) { continue; }
        body = i->attrs[k].value;
        build_loss(b, "text-null-or-none");
    }
    if (body.ptr == NULL) { build_loss(b, "content-unknown"); }
    build_body(b, body);
    raw_value(b, i, " body=");
    build_text(b, "subject", sms_get(i, "subject"));
    if (sms_i64(sms_get(i, "date_sent"), &ms) && ms > 0) { build_time(b, "date-sent", build_ms(ms)); }
    rest(e, b, i, "sms.", used);
}

static void call(struct sms_emit *e, const struct talk *t, const struct item *i)
{
    static const struct kluis_str used[] = { { "number", 6 },        { "duration", 8 },       { "date", 4 }, { "type", 4 },
                                             { "contact_name", 12 }, { "readable_date", 13 }, { NULL, 0 } };
    struct build *b = &e->build;
    int64_t type = 0, seconds = -1;
    build_new(b, e->arena, KLUIS_CALL);
    when(b, sms_get(i, "date"));
    (void)sms_i64(sms_get(i, "type"), &type);
    (void)sms_i64(sms_get(i, "duration"), &seconds);
    static const char *const name[] = { "unknown", "answered", "not-answered", "missed", "voicemail", "declined", "blocked", "answered-elsewhere" };
    b->r.event = kluis_str_of(type >= 0 && type <= 7 ? name[type] : "unknown");
    if (type == 2 && seconds > 0) { b->r.event = KLUIS_STR_LIT("answered"); }
    if (type < 1 || type > 7) { build_number(b, "type", type); }
    b->r.value = KLUIS_STR_LIT("audio");
    b->r.author = type == 2 ? 0 : sender(e, t, i, "number");
    build_text(b, "direction", type == 2 ? KLUIS_STR_LIT("outgoing") : KLUIS_STR_LIT("incoming"));
    if (seconds >= 0) { build_number(b, "seconds", seconds); }
    if (b->r.author == KLUIS_NO_PARTY) { build_loss(b, "author-unknown"); }
    rest(e, b, i, "call.", used);
}

/* ---- multimedia ------------------------------------------------------------------------------------------------------ */

static void part(struct sms_emit *e, const struct item *i, size_t k, struct kluis_buf *text)
{
    const struct item_group *g = &i->parts[k];
    struct build *b = &e->build;
    struct kluis_str ct = sms_group_get(i, g, "ct"), body = sms_group_get(i, g, "text"), name = { NULL, 0 };
    if (kluis_str_is(ct, "application/smil")) { return; } /* the order on a screen: stays in the evidence */
    if (kluis_str_is(ct, "text/plain") && body.ptr != NULL) {
        if (text->len > 0) { kluis_buf_byte(text, '\n'); }
        kluis_buf_str(text, body);
        return;
    }
    struct kluis_attachment *a = build_attachment(b);
    if (a == NULL) { return; }
    static const char *const names[] = { "fn", "name", "cl" };
    for (size_t j = 0; j < 3 && (name.ptr == NULL || name.len == 0); j++) { name = build_base_name(sms_group_get(i, g, names[j])); }
    a->name = name.len > 0 ? name : build_fmt(e->arena, "part-%zu", k);
    a->type = g->type != NULL ? kluis_str_of(g->type) : ct;
    a->size = g->size;
    if (g->type != NULL && ct.ptr != NULL && !kluis_str_is(ct, g->type)) { /* "image/jpeg" on a PNG: the bytes are right */
        build_text(b, build_fmt(e->arena, "attachment-%zu.type-stated", b->r.n_attachments).ptr, ct);
    }
    if (!g->has_data) {
        a->loss = KLUIS_STR_LIT("missing");
    } else if (i->exact) {
        a->source_ref = g->file;
    } else {
        a->source_ref = build_fmt(e->arena, "%llu:%llu:%s", (unsigned long long)g->data_at, (unsigned long long)g->data_chars, e->file);
    }
}

static void addresses(struct sms_emit *e, const struct item *i, int64_t type, const char *field)
{
    KLUIS_AUTO_BUF(b, 64 << 10);
    for (size_t k = 0; k < i->n_addrs; k++) {
        int64_t have = 0;
        struct kluis_str a = sms_group_get(i, &i->addrs[k], "address");
        if (a.ptr == NULL || !sms_i64(sms_group_get(i, &i->addrs[k], "type"), &have) || have != type) { continue; }
        if (b.len > 0) { kluis_buf_cstr(&b, ", "); }
        kluis_buf_str(&b, kluis_str_is(a, "insert-address-token") ? KLUIS_STR_LIT("owner") : a);
    }
    if (b.len > 0 && b.status == KLUIS_OK) { build_text(&e->build, field, kluis_arena_str(e->arena, (struct kluis_str){ (char *)b.data, b.len })); }
}

static void mms(struct sms_emit *e, const struct talk *t, const struct item *i)
{
    static const struct kluis_str used[] = { { "address", 7 },       { "date", 4 },           { "msg_box", 7 },   { "sub", 3 },
                                             { "contact_name", 12 }, { "readable_date", 13 }, { "date_sent", 9 }, { NULL, 0 } };
    struct build *b = &e->build;
    int64_t box = 0, type = 0, ms = 0;
    uint32_t from = KLUIS_NO_PARTY;
    build_new(b, e->arena, KLUIS_MESSAGE);
    when(b, sms_get(i, "date"));
    (void)sms_i64(sms_get(i, "msg_box"), &box);
    (void)sms_i64(sms_get(i, "m_type"), &type);
    for (size_t k = 0; k < i->n_addrs && from == KLUIS_NO_PARTY; k++) {
        int64_t kind = 0;
        struct kluis_str a = sms_group_get(i, &i->addrs[k], "address");
        if (a.ptr == NULL || !sms_i64(sms_group_get(i, &i->addrs[k], "type"), &kind) || kind != 137) { continue; }
        from = kluis_str_is(a, "insert-address-token") ? 0 : talk_party(t, sms_address(e->talks, a, e->arena), name_of_contact(i));
    }
    if (from == KLUIS_NO_PARTY && t->n_members == 1) { from = sender(e, t, i, "address"); }
    direction(b, box, from);
    KLUIS_AUTO_BUF(text, 4 << 20);
    for (size_t k = 0; k < i->n_parts; k++) { part(e, i, k, &text); }
    if (text.len > 0 && text.status == KLUIS_OK) { build_body(b, kluis_arena_str(e->arena, (struct kluis_str){ (char *)text.data, text.len })); }
    raw_value(b, i, " text=");
    build_text(b, "subject", sms_get(i, "sub"));
    if (i->partly) { build_loss(b, "rows-damaged"); }
    if (type == 130) { build_loss(b, "not-downloaded"); } /* a notification: the message itself stayed with the operator */
    if (sms_i64(sms_get(i, "date_sent"), &ms) && ms > 0) { build_time(b, "date-sent", build_ms(ms < INT64_C(100000000000) ? ms * 1000 : ms)); }
    addresses(e, i, 151, "to");
    addresses(e, i, 130, "cc");
    addresses(e, i, 129, "bcc");
    rest(e, b, i, "mms.", used);
}

static void damaged(struct sms_emit *e, const struct item *i)
{
    struct build *b = &e->build;
    int64_t ms = 0;
    build_new(b, e->arena, KLUIS_GAP);
    b->r.event = KLUIS_STR_LIT("damaged");
    if (sms_i64(sms_get(i, "date"), &ms)) { b->r.sent.us = build_ms(ms); }
    build_body(b, build_fmt(e->arena, "A message in the source cannot be read: %s.", i->why != NULL ? i->why : "it is damaged"));
    if (i->exact) { return; } /* rows that nobody can point at */
    build_number(b, "at-byte", (int64_t)i->at);
    build_number(b, "bytes", (int64_t)i->raw.len);
}

kluis_status sms_emit_item(struct sms_emit *e, const struct talk *t, const struct item *i, struct kluis_err *err)
{
    switch (i->what) {
    case SLICE_SMS: sms(e, t, i); break;
    case SLICE_MMS: mms(e, t, i); break;
    case SLICE_CALL: call(e, t, i); break;
    case SLICE_DAMAGED:
    case SLICE_OTHER: damaged(e, i); break;
    }
    return build_send(&e->build, e->sink, i->raw, err);
}
