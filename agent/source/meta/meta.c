/* meta.c - the meta source: the JSON download of Facebook, Instagram or Threads, unpacked or as the zip it comes in, or one file of it; and the
 * separate download of Messenger's end-to-end encrypted chats. */
#include "agent/source/meta/meta.h"

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }

/* ---- which files ---- */

static bool ends(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

/* message_12.json */
static bool is_numbered(struct kluis_str name, const char *extension)
{
    struct kluis_str base = build_base_name(name);
    size_t e = strlen(extension);
    if (base.len <= 8 + e || memcmp(base.ptr, "message_", 8) != 0 || !ends(base, extension)) { return false; }
    for (size_t i = 8; i < base.len - e; i++) {
        if (base.ptr[i] < '0' || base.ptr[i] > '9') { return false; }
    }
    return true;
}

/* The encrypted download has its files at the top: <name>_<number>.json. */
static bool at_top(struct kluis_str name)
{
    size_t slashes = 0;
    for (size_t i = 0; i < name.len; i++) { slashes += name.ptr[i] == '/'; }
    return slashes <= 1;
}

static bool wanted(struct kluis_str name)
{
    return is_numbered(name, ".json") || (ends(name, ".json") && (at_top(name) || ends(name, "/autofill_information.json")));
}

static bool holds(struct kluis_str s, const char *part) { return s.len > 0 && memmem(s.ptr, s.len, part, strlen(part)) != NULL; }

static bool has_folder(struct kluis_str path, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n < path.len; i++) {
        if ((i == 0 || path.ptr[i - 1] == '/') && memcmp(path.ptr + i, name, n) == 0 && path.ptr[i + n] == '/') { return true; }
    }
    return false;
}

static const char *platform_of(const struct meta *t, struct kluis_str name, bool sealed)
{
    return t->platform_option != NULL                                        ? t->platform_option
           : holds(name, "instagram")                                        ? "instagram"
           : holds(name, "threads_activity/") || has_folder(name, "threads") ? "threads"
           : sealed || holds(name, "facebook") || holds(name, "messages/")   ? "facebook"
                                                                             : "meta";
}

static bool looks_like_messages(struct kluis_str head, bool *sealed)
{
    *sealed = holds(head, "\"senderName\"") || holds(head, "\"threadName\"");
    return holds(head, "\"messages\"") && (*sealed || holds(head, "\"sender_name\"") || holds(head, "\"participants\""));
}

static int part_order(const void *a, const void *b)
{
    const struct part *x = a, *y = b;
    int c = strcmp(x->platform, y->platform);
    size_t n = x->thread.len < y->thread.len ? x->thread.len : y->thread.len;
    if (c == 0) { c = n == 0 ? 0 : memcmp(x->thread.ptr, y->thread.ptr, n); }
    if (c == 0 && x->thread.len != y->thread.len) { c = x->thread.len < y->thread.len ? -1 : 1; }
    if (c != 0) { return c; }
    return x->file < y->file ? -1 : x->file > y->file;
}

static bool same_thread(const struct part *a, const struct part *b)
{
    return a->sealed == b->sealed && strcmp(a->platform, b->platform) == 0 && kluis_str_eq(a->thread, b->thread);
}

/* The folder of a numbered file; the file itself where nothing else names it. */
static struct kluis_str thread_of(struct kluis_str name, bool numbered)
{
    struct kluis_str base = build_base_name(name);
    if (!numbered) { return name; }
    if (base.len == name.len) { return (struct kluis_str){ name.ptr, 0 }; }
    return build_base_name((struct kluis_str){ name.ptr, name.len - base.len - 1 });
}

static kluis_status gather(struct meta *t, struct kluis_err *err)
{
    t->parts = kluis_calloc(t->d.n + 1, sizeof *t->parts);
    if (t->parts == NULL) { return no_memory(err); }
    for (size_t i = 0; i < t->d.n; i++) {
        const struct download_file *f = &t->d.files[i];
        struct kluis_str head = { NULL, 0 };
        bool numbered = is_numbered(f->name, ".json"), sealed = false;
        if (!f->wanted || ends(f->name, "autofill_information.json")) { continue; }
        KLUIS_TRY(download_bytes(&t->d, f, 0, 4096, &head, err));
        if (!looks_like_messages(head, &sealed) && !numbered) { continue; }
        t->parts[t->n_parts++] = (struct part){
            .file = f, .thread = thread_of(f->name, numbered && !sealed), .platform = platform_of(t, f->name, sealed), .sealed = sealed
        };
    }
    if (t->n_parts > 1) { qsort(t->parts, t->n_parts, sizeof *t->parts, part_order); }
    return KLUIS_OK;
}

/* ---- whose download it is ---- */

struct count {
    struct roster names;
    uint32_t *n;
};

static void count_name(void *ctx, struct kluis_str name)
{
    struct count *c = ctx;
    uint32_t i = roster_note(&c->names, (struct kluis_str){ NULL, 0 }, name, (struct kluis_str){ NULL, 0 });
    if (i != KLUIS_NO_PARTY) { c->n[i]++; }
}

/* Facebook keeps the owner's name for filling in forms. */
static kluis_status name_told(struct meta *t, struct kluis_err *err)
{
    const struct download_file *f = download_find_end(&t->d, KLUIS_STR_LIT("autofill_information.json"));
    struct kluis_str text;
    struct json *v = NULL;
    if (f == NULL || !f->wanted) { return KLUIS_OK; }
    KLUIS_TRY(download_bytes(&t->d, f, 0, 64 << 10, &text, err));
    kluis_arena_clear(t->tree);
    if (json_read_loose(text, t->tree, &v, NULL) != KLUIS_OK) { return KLUIS_OK; }
    struct json *list = json_array(json_object(v, "autofill_information_v2"), "FULL_NAME");
    if (list == NULL || list->child == NULL || list->child->type != JSON_STRING) { return KLUIS_OK; }
    kluis_arena_clear(t->words);
    t->self_name = kluis_arena_str(t->d.names, meta_words(list->child->text, t->words));
    return KLUIS_OK;
}

/* Else whoever is a participant of more conversations than anybody, and of more than half of at least two. */
static kluis_status find_owner(struct meta *t, struct kluis_err *err)
{
    struct count c = { .n = NULL };
    uint32_t best = KLUIS_NO_PARTY, threads = 0;
    bool alone = true;
    if (t->self_option != NULL) { return KLUIS_OK; }
    KLUIS_TRY(name_told(t, err));
    if (t->self_name.ptr != NULL) { return KLUIS_OK; }
    KLUIS_TRY(roster_open(&c.names, PEOPLE_BYTES, err));
    c.n = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *c.n);
    kluis_status rc = c.n == NULL ? no_memory(err) : KLUIS_OK;
    for (size_t i = 0; rc == KLUIS_OK && i < t->n_parts; i++) {
        if (i > 0 && same_thread(&t->parts[i - 1], &t->parts[i])) { continue; }
        rc = meta_participants(t, &t->parts[i], count_name, &c, err);
        threads++;
    }
    for (uint32_t i = 0; rc == KLUIS_OK && i < c.names.n; i++) {
        if (best == KLUIS_NO_PARTY || c.n[i] > c.n[best]) {
            best = i;
            alone = true;
        } else if (c.n[i] == c.n[best]) {
            alone = false;
        }
    }
    if (rc == KLUIS_OK && best != KLUIS_NO_PARTY && alone && c.n[best] >= 2 && c.n[best] > threads / 2) {
        t->self_name = kluis_arena_str(t->d.names, c.names.list[best].name);
    }
    roster_close(&c.names);
    kluis_free(c.n);
    return rc;
}

/* ---- reading ---- */

/* A conversation that is only there as a page cannot be read; beside its JSON it is passed over. */
static kluis_status pages(struct meta *t, size_t *unread, struct kluis_err *err)
{
    *unread = 0;
    for (size_t i = 0; i < t->d.n; i++) {
        const struct download_file *f = &t->d.files[i];
        if (!is_numbered(f->name, ".html")) { continue; }
        bool beside = false;
        struct kluis_str folder = { f->name.ptr, f->name.len - build_base_name(f->name).len };
        for (size_t j = 0; j < t->n_parts && !beside; j++) {
            struct kluis_str n = t->parts[j].file->name;
            beside = n.len > folder.len && memcmp(n.ptr, folder.ptr, folder.len) == 0 && memchr(n.ptr + folder.len, '/', n.len - folder.len) == NULL;
        }
        *unread += !beside;
        KLUIS_TRY(
            build_skip(t->sink, "a page (HTML) of messages", f->name.ptr,
                       beside ? "the same messages are read from the JSON beside it" : "only JSON is read: download again and choose JSON as format",
                       !beside, err));
    }
    return KLUIS_OK;
}

static kluis_status read_all(struct meta *t, const struct source_request *q, struct kluis_err *err)
{
    size_t unread = 0;
    KLUIS_TRY(download_open(&t->d, q->path, wanted, err));
    KLUIS_TRY(gather(t, err));
    if (t->n_parts > 0) { KLUIS_TRY(pages(t, &unread, err)); }
    KLUIS_TRY(find_owner(t, err));
    for (size_t i = 0, n; i < t->n_parts; i += n) {
        for (n = 1; i + n < t->n_parts && same_thread(&t->parts[i], &t->parts[i + n]);) { n++; }
        KLUIS_TRY(meta_conversation(t, &t->parts[i], n, err));
    }
    if (t->conversations > 0) { return KLUIS_OK; }
    for (size_t i = 0; i < t->d.n; i++) {
        if (is_numbered(t->d.files[i].name, ".html")) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s was downloaded as HTML: download it again and choose JSON as format", q->path);
        }
    }
    return KLUIS_FAIL(err, KLUIS_E_REJECT,
                      "%s holds no messages of Facebook, Instagram or Threads that can be read: give the download's folder or zip, in JSON", q->path);
}

static kluis_status options(const struct source_request *q, struct meta *t, struct kluis_err *err)
{
    static const char *const platforms[] = { "facebook", "instagram", "threads" };
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key, *v = q->options[i].value;
        bool known = false;
        if (strcmp(k, "self") == 0 && v[0] != '\0') {
            t->self_option = v;
            known = true;
        }
        for (size_t j = 0; strcmp(k, "platform") == 0 && j < 3; j++) {
            if (strcmp(v, platforms[j]) != 0) { continue; }
            t->platform_option = platforms[j];
            known = true;
        }
        if (!known) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE,
                              "meta: options are self=NAME (whose download it is) and platform=facebook, instagram or threads; \"%.40s\" is not one",
                              k);
        }
    }
    return KLUIS_OK;
}

static kluis_status meta_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct meta *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return no_memory(err); }
    t->sink = sink;
    t->tree = kluis_arena_new(TREE_MAX);
    t->words = kluis_arena_new(WORDS_MAX);
    t->c.member = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *t->c.member);
    t->c.members = kluis_calloc(KLUIS_PARTIES_MAX, sizeof *t->c.members);
    kluis_status rc = options(q, t, err);
    if (rc == KLUIS_OK && (t->tree == NULL || t->words == NULL || t->c.member == NULL || t->c.members == NULL)) { rc = no_memory(err); }
    if (rc == KLUIS_OK) { rc = roster_open(&t->c.people, PEOPLE_BYTES, err); }
    if (rc == KLUIS_OK) { rc = order_new(&t->order, err); }
    if (rc == KLUIS_OK) { rc = read_all(t, q, err); }
    download_close(&t->d);
    order_free(t->order);
    roster_close(&t->c.people);
    kluis_arena_free(t->tree);
    kluis_arena_free(t->words);
    kluis_free(t->c.member);
    kluis_free(t->c.members);
    kluis_free(t->parts);
    kluis_free(t);
    return rc;
}

static enum source_sure probe(const struct source_file *f)
{
    struct kluis_str head = { (const char *)f->head.ptr, f->head.len }, name = kluis_str_of(f->name);
    bool sealed = false, numbered = is_numbered(name, ".json");
    if (json_begins(f->head) != '{' || !looks_like_messages(head, &sealed)) { return SOURCE_NO; }
    if (sealed) { return holds(head, "\"isUnsent\"") && holds(head, "\"participants\"") ? SOURCE_CERTAIN : SOURCE_NO; }
    if (!holds(head, "\"sender_name\"") || !holds(head, "\"timestamp_ms\"")) { return SOURCE_NO; }
    return numbered || name.len == 0 ? SOURCE_CERTAIN : SOURCE_NO;
}

static const char *const tells[] = { "messages", "authors", "names", "times", "deletions", "reactions", "calls", "groups", "attachments", NULL };
static const char *const loss[] = { "account-ids", "message-ids",           "deleted-text",  "edits",  "quotes",
                                    "polls",       "group-changes-as-text", "read-receipts", "timers", NULL };

const struct source_kind source_meta = {
    .name = "meta",
    .platform = "meta",
    .about_nl = "Facebook, Instagram en Threads: download in JSON (map of zip), en de download van versleutelde Messenger-chats",
    .about_en = "Facebook, Instagram and Threads: download in JSON (folder or zip), and the download of encrypted Messenger chats",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = meta_read,
    .attachments = download_attachments,
};
