/* threema.c - the threema source: the encrypted zip of a data backup (or its files, unpacked), its lists, its chats one by one. */
#include "agent/source/threema/threema.h"

static struct kluis_str absent(void) { return (struct kluis_str){ NULL, 0 }; }

/* ---- lists ------------------------------------------------------------------------------------------------------------------------ */

/* Goes through one CSV file; rows that are none are counted by the caller through `bad` (may be NULL).  A file that is not there is empty. */
static kluis_status rows(struct threema *t, uint32_t i, kluis_status (*row)(struct threema *, const struct csv *, struct kluis_err *),
                         kluis_status (*bad)(struct threema *, const struct csv *, struct kluis_err *), struct kluis_err *err)
{
    struct fileset_stream state;
    struct kluis_input in;
    struct csv c = { .n_columns = 0 };
    if (i == FILESET_NONE) { return KLUIS_OK; }
    KLUIS_TRY(fileset_input(&t->files, i, 0, &state, &in, err));
    kluis_status rc = csv_open(&c, &in, err);
    while (rc == KLUIS_OK) {
        rc = csv_next(&c, err);
        if (rc == KLUIS_OK) {
            rc = row(t, &c, err);
            if (rc != KLUIS_OK) { break; }
        } else if (rc == KLUIS_E_REJECT && (err == NULL || err->code == KLUIS_OK)) {
            rc = bad == NULL ? KLUIS_OK : bad(t, &c, err);
        }
    }
    csv_close(&c);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}
static uint32_t named(const struct threema *t, const char *name) { return fileset_find(&t->files, kluis_str_of(name)); }

static void *grown(void *list, size_t n, size_t size)
{
    if ((n & (n - 1)) != 0 || n >= LIST_MAX) { return n >= LIST_MAX ? NULL : list; }
    return kluis_realloc(list, (n == 0 ? 1 : n * 2) * size);
}

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more contacts, groups or polls than fit into memory"); }

static kluis_status on_contact(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct kluis_str first = csv_get(c, "firstname"), last = csv_get(c, "lastname"), nick = csv_get(c, "nick_name"),
                     identity = csv_get(c, "identity");
    struct person *p = grown(t->people, t->n_people, sizeof *p);
    if (p == NULL) { return no_memory(err); }
    t->people = p;
    struct kluis_str full = first.ptr == NULL && last.ptr == NULL
                                ? nick
                                : build_fmt(t->kept, "%.*s%s%.*s", (int)first.len, first.ptr == NULL ? "" : first.ptr,
                                            first.len > 0 && last.len > 0 ? " " : "", (int)last.len, last.ptr == NULL ? "" : last.ptr);
    t->people[t->n_people] =
        (struct person){ kluis_arena_str(t->kept, identity), kluis_arena_str(t->kept, full), kluis_arena_str(t->kept, csv_get(c, "identity_id")) };
    if (identity.ptr == NULL) { return KLUIS_OK; }
    if (t->people[t->n_people].identity.ptr == NULL) { return no_memory(err); }
    t->n_people++;
    return KLUIS_OK;
}

static kluis_status add_group(struct threema *t, struct group g, struct kluis_err *err)
{
    struct group *p = grown(t->groups, t->n_groups, sizeof *p);
    if (p == NULL || g.uid.ptr == NULL) { return no_memory(err); }
    t->groups = p;
    t->groups[t->n_groups++] = g;
    return KLUIS_OK;
}
static kluis_status on_group(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct kluis_str id = csv_get(c, "id"), creator = csv_get(c, "creator"), uid = csv_get(c, "group_uid");
    if (id.ptr == NULL || creator.ptr == NULL || id.len > 64 || creator.len > 64) { return KLUIS_OK; }
    (void)uid; /* of the file's name; the group itself is called the same in every backup of it */
    return add_group(t,
                     (struct group){ build_fmt(t->kept, "%.*s-%.*s", (int)id.len, id.ptr, (int)creator.len, creator.ptr),
                                     kluis_arena_str(t->kept, csv_get(c, "groupname")), kluis_arena_str(t->kept, csv_get(c, "members")), false },
                     err);
}
static kluis_status on_list(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    if (csv_get(c, "id").ptr == NULL) { return KLUIS_OK; }
    return add_group(t,
                     (struct group){ kluis_arena_str(t->kept, csv_get(c, "id")), kluis_arena_str(t->kept, csv_get(c, "distribution_list_name")),
                                     kluis_arena_str(t->kept, csv_get(c, "distribution_members")), true },
                     err);
}
static kluis_status on_ballot(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct kluis_str aid = csv_get(c, "aid"), creator = csv_get(c, "creator");
    struct ballot *p = grown(t->ballots, t->n_ballots, sizeof *p);
    if (p == NULL) { return no_memory(err); }
    t->ballots = p;
    if (aid.ptr == NULL || aid.len > 64 || creator.len > 64) { return KLUIS_OK; }
    t->ballots[t->n_ballots++] =
        (struct ballot){ .id = kluis_arena_str(t->kept, csv_get(c, "id")),
                         .uid = build_fmt(t->kept, "%.*s-%.*s", (int)aid.len, aid.ptr, (int)creator.len, creator.ptr == NULL ? "" : creator.ptr),
                         .name = kluis_arena_str(t->kept, csv_get(c, "name")),
                         .creator = kluis_arena_str(t->kept, creator) };
    return KLUIS_OK;
}
static kluis_status on_choice(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    struct choice *p = grown(t->choices, t->n_choices, sizeof *p);
    if (p == NULL) { return no_memory(err); }
    t->choices = p;
    t->choices[t->n_choices++] = (struct choice){ kluis_arena_str(t->kept, csv_get(c, "ballot")), kluis_arena_str(t->kept, csv_get(c, "aid")),
                                                  kluis_arena_str(t->kept, csv_get(c, "name")) };
    return KLUIS_OK;
}

const struct person *threema_person(const struct threema *t, struct kluis_str identity)
{
    for (size_t i = 0; identity.ptr != NULL && i < t->n_people; i++) {
        if (kluis_str_eq(t->people[i].identity, identity)) { return &t->people[i]; }
    }
    return NULL;
}
uint32_t threema_party(const struct threema *t, struct kluis_str identity)
{
    return identity.ptr == NULL ? KLUIS_NO_PARTY : roster_called(&t->roster, identity);
}

/* ---- a chat -------------------------------------------------------------------------------------------------------------------------- */

static void note(struct threema *t, struct kluis_str identity)
{
    if (identity.len == 0 || roster_called(&t->roster, identity) != KLUIS_NO_PARTY) { return; }
    const struct person *p = threema_person(t, identity);
    (void)roster_note(&t->roster, identity, p == NULL ? absent() : p->name, absent());
}

static kluis_status note_row(struct threema *t, const struct csv *c, KLUIS_UNUSED struct kluis_err *err)
{
    t->n_rows++;
    note(t, csv_get(c, "identity"));
    return KLUIS_OK;
}
static kluis_status note_bad(struct threema *t, KLUIS_UNUSED const struct csv *c, KLUIS_UNUSED struct kluis_err *err)
{
    t->damaged++;
    return KLUIS_OK;
}
static kluis_status gap(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    kluis_arena_clear(t->scratch);
    return build_gap(&t->build, t->scratch, t->sink, c->row_at, c->row_bytes, KLUIS_ZONE_STATED, err);
}

/* Rows of the lists of reactions and votes that are of this chat. */
static bool is_here(const struct threema *t, const struct csv *c)
{
    if (t->kind == CHAT_DIRECT) { return kluis_str_eq(csv_get(c, "identity"), t->chat); }
    struct kluis_str id = csv_get(c, "api_group_id"), creator = csv_get(c, "group_creator_identity");
    return t->kind == CHAT_GROUP && id.len > 0 && t->chat.len == id.len + 1 + creator.len && memcmp(t->chat.ptr, id.ptr, id.len) == 0 &&
           memcmp(t->chat.ptr + id.len + 1, creator.ptr == NULL ? "" : creator.ptr, creator.len) == 0;
}
static kluis_status note_reaction(struct threema *t, const struct csv *c, KLUIS_UNUSED struct kluis_err *err)
{
    struct kluis_str who = csv_get(c, "sender_identity");
    if (is_here(t, c) && !kluis_str_eq(who, t->self)) { note(t, who); }
    return KLUIS_OK;
}
static kluis_status send_reaction(struct threema *t, const struct csv *c, struct kluis_err *err)
{
    return is_here(t, c) ? threema_reaction(t, c, err) : KLUIS_OK;
}

static void members(struct threema *t, struct kluis_str list)
{
    for (size_t i = 0; i < list.len;) {
        const char *p = list.ptr + i, *sep = memchr(p, ';', list.len - i);
        struct kluis_str id = { p, sep == NULL ? list.len - i : (size_t)(sep - p) };
        if (!kluis_str_eq(id, t->self)) { note(t, id); }
        i += id.len + 1;
    }
}

static kluis_status begin(struct threema *t, struct kluis_err *err)
{
    static const char *const never[] = { "deleted-content", "edit-history", "former-members" };
    size_t n = 0;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) { t->loss[n++] = kluis_str_of(never[i]); }
    if (t->roster.overflow) { t->loss[n++] = KLUIS_STR_LIT("people-beyond-4096"); }
    if (t->self.ptr == NULL) { t->loss[n++] = KLUIS_STR_LIT("own-identity"); }
    t->header = (struct kluis_header){ .platform = KLUIS_STR_LIT("threema"),
                                       .conversation_id = t->chat,
                                       .conversation_name = t->name,
                                       .type = t->kind == CHAT_DIRECT  ? KLUIS_DIRECT
                                               : t->kind == CHAT_GROUP ? KLUIS_GROUP
                                                                       : KLUIS_UNKNOWN_TYPE,
                                       .parties = t->roster.list,
                                       .n_parties = t->roster.n,
                                       .participants = t->roster.members,
                                       .n_participants = t->roster.n,
                                       .self = t->me,
                                       .provenance = { .source = KLUIS_STR_LIT("threema"),
                                                       .app = KLUIS_STR_LIT("Threema"),
                                                       .os = KLUIS_STR_LIT("Android"),
                                                       .reader = KLUIS_STR_LIT("chatkluis " KLUIS_VERSION " threema") },
                                       .zone = KLUIS_ZONE_STATED,
                                       .precision = KLUIS_PRECISION_MILLISECOND,
                                       .loss = t->loss,
                                       .n_loss = n };
    return t->sink->begin(t->sink->ctx, &t->header, err);
}

static kluis_status conversation(struct threema *t, uint32_t file, enum chat_kind kind, struct kluis_str called, struct kluis_err *err)
{
    uint32_t reactions = kind == CHAT_DIRECT  ? named(t, "contact_reactions.csv")
                         : kind == CHAT_GROUP ? named(t, "group_reactions.csv")
                                              : FILESET_NONE;
    roster_clear(&t->roster);
    t->kind = kind;
    t->n_rows = t->damaged = 0;
    t->chat = kluis_arena_str(t->roster.arena, called);
    t->name = absent();
    for (size_t i = 0; i < t->n_ballots; i++) { t->ballots[i].message = absent(); }
    t->me = roster_note(&t->roster, t->self, t->self.ptr == NULL ? KLUIS_STR_LIT("me") : absent(), absent());
    for (size_t i = 0; kind == CHAT_DIRECT && i < t->n_people; i++) { /* files are called after a number of the backup since 2020 */
        if (kluis_str_eq(t->people[i].file_id, called)) { t->chat = t->people[i].identity; }
    }
    if (kind == CHAT_DIRECT) {
        const struct person *p = threema_person(t, t->chat);
        if (p != NULL) { t->name = p->name; }
        note(t, t->chat);
    }
    for (size_t i = 0; kind != CHAT_DIRECT && i < t->n_groups; i++) {
        if (t->groups[i].list != (kind == CHAT_LIST) || !kluis_str_eq(t->groups[i].uid, called)) { continue; }
        t->name = t->groups[i].name;
        members(t, t->groups[i].members);
    }
    KLUIS_TRY(rows(t, file, note_row, note_bad, err));
    if (t->n_rows == 0 && t->damaged == 0) { return KLUIS_OK; }
    KLUIS_TRY(rows(t, reactions, note_reaction, NULL, err));
    if (t->chat.ptr == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(begin(t, err));
    KLUIS_TRY(rows(t, file, threema_send, gap, err));
    KLUIS_TRY(rows(t, reactions, send_reaction, NULL, err));
    KLUIS_TRY(rows(t, named(t, "ballot_vote.csv"), threema_vote, NULL, err));
    t->conversations++;
    return t->sink->end(t->sink->ctx, err);
}

/* ---- the source ------------------------------------------------------------------------------------------------------------------------ */

static bool starts(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }
static bool keep(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".csv") == 0 && !starts(name, "nonce") && !starts(name, "reaction_counts");
}

static kluis_status chats(struct threema *t, struct kluis_err *err)
{
    static const struct {
        const char *prefix;
        enum chat_kind kind;
    } of[] = { { "distribution_list_message_", CHAT_LIST }, { "group_message_", CHAT_GROUP }, { "message_", CHAT_DIRECT } };
    for (uint32_t i = 0; i < t->files.n; i++) {
        const char *name = t->files.list[i].name;
        size_t n = strlen(name);
        for (size_t k = 0; k < 3 && keep(name); k++) {
            size_t p = strlen(of[k].prefix);
            if (!starts(name, of[k].prefix)) { continue; }
            if (n > p + 4) { KLUIS_TRY(conversation(t, i, of[k].kind, (struct kluis_str){ name + p, n - p - 4 }, err)); }
            break;
        }
        if (t->files.list[i].damaged) {
            KLUIS_TRY(build_skip(t->sink, "a part of a file", name, "it is damaged: its checksum says otherwise, or it ends early", true, err));
        }
    }
    return KLUIS_OK;
}

static kluis_status read_all(struct threema *t, const char *path, struct kluis_err *err)
{
    if (named(t, "contacts.csv") == FILESET_NONE && named(t, "groups.csv") == FILESET_NONE) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no data backup of Threema: give threema-backup_….zip (Threema Safe holds no messages)", path);
    }
    t->has_reactions = named(t, "contact_reactions.csv") != FILESET_NONE || named(t, "group_reactions.csv") != FILESET_NONE;
    KLUIS_TRY(rows(t, named(t, "contacts.csv"), on_contact, NULL, err));
    KLUIS_TRY(rows(t, named(t, "groups.csv"), on_group, NULL, err));
    KLUIS_TRY(rows(t, named(t, "distribution_list.csv"), on_list, NULL, err));
    KLUIS_TRY(rows(t, named(t, "ballot.csv"), on_ballot, NULL, err));
    KLUIS_TRY(rows(t, named(t, "ballot_choice.csv"), on_choice, NULL, err));
    KLUIS_TRY(chats(t, err));
    if (t->files.ended_early) { KLUIS_TRY(build_skip(t->sink, "the rest of the backup", "", "it is cut off or damaged", true, err)); }
    return KLUIS_OK;
}

static void threema_free(struct threema *t)
{
    fileset_close(&t->files);
    roster_close(&t->roster);
    kluis_arena_free(t->kept);
    kluis_arena_free(t->scratch);
    kluis_free(t->people);
    kluis_free(t->groups);
    kluis_free(t->ballots);
    kluis_free(t->choices);
    kluis_free(t);
}

static kluis_status options(const struct source_request *q, struct fileset_how *how, struct kluis_err *err)
{
    for (size_t i = 0; i < q->n_options; i++) {
        if (strcmp(q->options[i].key, "self") == 0 || strcmp(q->options[i].key, "password") == 0) { continue; }
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "threema: options are password=@FILE and self=ABCD1234, the owner's identity; \"%.40s\" is none",
                          q->options[i].key);
    }
    *how = (struct fileset_how){ .what = "Threema backup", .keep = keep };
    return source_secret(q, "password", &how->passphrase, err);
}

/* "threema-backup_ABCD1234_1700000000000_1.zip" says whose it is. */
static void whose(struct threema *t, const char *path, const char *option)
{
    const char *base = fileset_base(path), *id = starts(base, "threema-backup_") ? base + 15 : NULL;
    if (option != NULL && option[0] != '\0') {
        t->self = kluis_arena_str(t->kept, kluis_str_of(option));
    } else if (id != NULL && strlen(id) > 8 && id[8] == '_') {
        t->self = kluis_arena_str(t->kept, (struct kluis_str){ id, 8 });
    }
}

static kluis_status threema_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct fileset_how how;
    KLUIS_TRY(options(q, &how, err));
    struct threema *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    t->sink = sink;
    t->kept = kluis_arena_new(LISTS_BYTES);
    t->scratch = kluis_arena_new(SCRATCH_MAX);
    kluis_status rc = t->kept == NULL || t->scratch == NULL ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again")
                                                            : roster_open(&t->roster, PEOPLE_BYTES, err);
    if (rc == KLUIS_OK) {
        whose(t, q->path, source_option_get(q, "self"));
        rc = fileset_open(&t->files, q->path, &how, err);
    }
    if (rc == KLUIS_OK) { rc = read_all(t, q->path, err); }
    threema_free(t);
    return rc;
}

static kluis_status threema_attachments(const struct source_request *q, KLUIS_UNUSED struct kluis_str conversation_id, const struct kluis_str *wanted,
                                        size_t n, const struct source_attachment_sink *sink, struct kluis_err *err)
{
    struct fileset_how how;
    KLUIS_TRY(options(q, &how, err));
    return fileset_give(q->path, &how, wanted, n, sink, err); /* a reference is a name in the backup */
}

/* All of it is encrypted but the names; of the zip itself the first of those stands at its beginning. */
static enum source_sure probe(const struct source_file *f)
{
    static const char *const names[] = { "settings", "identity", "contacts.csv" };
    const uint8_t *h = f->head.ptr;
    if (strcmp(f->name, "contacts.csv") == 0) { return memmem(h, f->head.len, "\"verification\"", 14) != NULL ? SOURCE_CERTAIN : SOURCE_NO; }
    if (f->name[0] != '\0' || f->head.len < 60 || memcmp(h, "PK\x03\x04", 4) != 0 || (h[6] & 1) == 0) { return SOURCE_NO; }
    for (size_t i = 0; i < 3; i++) {
        if (h[26] == strlen(names[i]) && h[27] == 0 && memcmp(h + 30, names[i], strlen(names[i])) == 0) {
            return i < 2 ? SOURCE_CERTAIN : SOURCE_LIKELY;
        }
    }
    return SOURCE_NO;
}

static const char *const tells[] = { "messages",      "authors",     "account-ids", "message-ids", "times", "edit-times",    "deletions",
                                     "quotes",        "reactions",   "polls",       "votes",       "calls", "read-receipts", "delivery",
                                     "group-changes", "attachments", "locations",   "names",       NULL };
static const char *const loss[] = { "deleted-content", "edit-history", "former-members", NULL };

const struct source_kind source_threema = {
    .name = "threema",
    .platform = "threema",
    .about_nl = "Threema (Android): de versleutelde gegevensback-up (zip), met wachtwoord",
    .about_en = "Threema (Android): the encrypted data backup (zip), with its password",
    .tells = tells,
    .loss = loss,
    .extent = SOURCE_WHOLE,
    .probe = probe,
    .read = threema_read,
    .attachments = threema_attachments,
};
