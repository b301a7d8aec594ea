/* sms.c - the sms source: files of SMS Backup & Restore (messages and calls); a database goes to telephony.c.
 *
 * Pass 1 goes through a file once and notes conversations, who is in them, and the place of every item.  Of a file with more than ITEMS_MAX
 * items it keeps no places; then come rounds: as many conversations as have places for all their items are filled in one more pass, and read
 * one after the other, and a conversation larger than that is given out while the file goes by.  Memory: people, two lists of ITEMS_MAX places
 * of eight bytes, one element.
 */
#include "agent/source/sms/sms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#ifndef SMS_ITEMS_MAX
#define SMS_ITEMS_MAX (1 << 20)
#endif
enum { ITEMS_MAX = SMS_ITEMS_MAX, FILES_MAX = 256, BUFFER = 256 << 10, ELEMENT_MAX = 12 << 20 };

struct reading {
    const char *path, *file;
    int fd;
    const struct source_sink *sink;
    struct talks talks;
    struct slicer slicer;
    struct slice slice;
    struct item item;
    struct kluis_arena *scratch;
    struct sms_emit emit;
    uint64_t *places, *noted; /* noted: in the file's order, conversation above bit 47 */
    uint64_t cap, n_noted;
    uint64_t seen, damaged, other;
};

struct settings {
    const char *number, *country;
};

static kluis_status options(const struct source_request *q, struct settings *s, struct kluis_err *err)
{
    *s = (struct settings){ NULL, NULL };
    for (size_t i = 0; i < q->n_options; i++) {
        const char *k = q->options[i].key, *v = q->options[i].value;
        size_t n = strlen(v);
        bool digits = n > 0 && strspn(v, "0123456789") == n;
        if (strcmp(k, "number") == 0 && v[0] == '+' && n >= 6 && n <= 16 && strspn(v + 1, "0123456789") == n - 1) {
            s->number = v;
        } else if (strcmp(k, "country") == 0 && digits && n <= 3 && v[0] != '0') {
            s->country = v;
        } else {
            return KLUIS_FAIL(err, KLUIS_E_USAGE,
                              "sms: options are number=+31… (your own) and country=31 (what a leading 0 stands for); \"%.40s\" is not one", k);
        }
    }
    return KLUIS_OK;
}

/* The next item; KLUIS_END. */
static kluis_status next_item(struct reading *r, bool survey, struct kluis_err *err)
{
    for (;;) {
        struct kluis_str ahead;
        KLUIS_TRY(slicer_find(&r->slicer, &ahead, err));
        kluis_arena_clear(r->scratch);
        if (element_at_once(ahead, r->slicer.at, survey, r->scratch, &r->item)) {
            slicer_pass(&r->slicer, r->item.raw.len);
            return KLUIS_OK;
        }
        KLUIS_TRY(slicer_next(&r->slicer, &r->slice, err));
        kluis_arena_clear(r->scratch);
        if (r->slice.what == SLICE_OTHER) {
            r->other++;
            continue;
        }
        (void)element_read(&r->slice, survey, r->scratch, &r->item);
        return KLUIS_OK;
    }
}

static kluis_status send(struct reading *r, const struct talk *t, struct kluis_err *err)
{
    for (size_t k = 0; k < r->item.n_parts; k++) {
        struct item_group *g = &r->item.parts[k];
        if (g->has_data) { g->size = slice_decoded_size(r->fd, g->data_at, g->data_chars); }
    }
    return sms_emit_item(&r->emit, t, &r->item, err);
}

static kluis_status note_skip(struct reading *r, const char *what, const char *why, struct kluis_err *err)
{
    struct source_skip k = { what, r->file, why, false };
    return r->sink->skipped == NULL ? KLUIS_OK : r->sink->skipped(r->sink->ctx, &k, err);
}

static kluis_status survey(struct reading *r, struct kluis_err *err)
{
    uint32_t talk;
    kluis_status rc;
    while ((rc = next_item(r, true, err)) == KLUIS_OK) {
        r->seen++;
        r->damaged += r->item.what == SLICE_DAMAGED;
        KLUIS_TRY(talks_note(&r->talks, &r->item, r->scratch, &talk, err));
        if (r->seen > ITEMS_MAX || talk > UINT16_MAX || r->item.at >> 48 != 0) { continue; }
        if (r->seen > r->cap) {
            uint64_t cap = r->cap == 0 ? 4096 : r->cap * 2, *p = kluis_realloc(r->noted, (size_t)cap * sizeof *p);
            if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
            r->noted = p;
            r->cap = cap;
        }
        r->noted[r->seen - 1] = (uint64_t)talk << 48 | r->item.at;
        r->n_noted = r->seen;
    }
    if (rc != KLUIS_END) { return rc; }
    if (r->seen > 0 && r->seen == r->damaged) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s, byte %llu: %s, and nothing else in it can be read: make the backup again", r->path,
                          (unsigned long long)r->item.at + 1, r->item.why != NULL ? r->item.why : "a message is damaged");
    }
    talks_conclude(&r->talks);
    char why[128];
    if (r->slicer.count >= 0 && (uint64_t)r->slicer.count != r->seen) {
        (void)snprintf(why, sizeof why, "the file says %lld and holds %llu: everything it holds was read", (long long)r->slicer.count,
                       (unsigned long long)r->seen);
        KLUIS_TRY(note_skip(r, "the count", why, err));
    }
    if (r->other > 0) {
        (void)snprintf(why, sizeof why, "%llu elements that are neither message nor call", (unsigned long long)r->other);
        KLUIS_TRY(note_skip(r, "unknown elements", why, err));
    }
    if (r->damaged > 0) {
        (void)snprintf(why, sizeof why, "%llu messages are damaged; each has a gap in its place", (unsigned long long)r->damaged);
        KLUIS_TRY(note_skip(r, "damage", why, err));
    }
    return KLUIS_OK;
}

static kluis_status changed(const struct reading *r, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_REJECT, "%s changed while it was read: read it again", r->path);
}

/* Conversations [from, to): their places, or with `direct` the one conversation's records as they pass. */
static kluis_status fill(struct reading *r, uint32_t from, uint32_t to, bool direct, struct kluis_err *err)
{
    uint64_t first = 0;
    for (uint32_t c = from; c < to && !direct; c++) {
        r->talks.list[c].placed = first;
        first += r->talks.list[c].items;
    }
    const uint64_t limit = first;
    slicer_seek(&r->slicer, 0);
    kluis_status rc;
    while ((rc = next_item(r, !direct, err)) == KLUIS_OK) {
        uint32_t talk = 0;
        uint64_t items = r->talks.n;
        KLUIS_TRY(talks_note(&r->talks, &r->item, r->scratch, &talk, err));
        if (r->talks.n != items) { return changed(r, err); }
        r->talks.list[talk].items--; /* counted a second time */
        if (talk < from || talk >= to) { continue; }
        if (direct) {
            KLUIS_TRY(send(r, &r->talks.list[talk], err));
        } else {
            uint64_t at = r->talks.list[talk].placed++;
            if (at >= limit) { return changed(r, err); }
            r->places[at] = r->item.at;
        }
    }
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

static kluis_status give(struct reading *r, uint32_t c, struct kluis_err *err)
{
    const struct talk *t = &r->talks.list[c];
    KLUIS_TRY(sms_emit_begin(&r->emit, t, err));
    for (uint64_t i = t->placed - t->items; i < t->placed; i++) {
        slicer_seek(&r->slicer, r->places[i]);
        kluis_status rc = next_item(r, false, err);
        if (rc == KLUIS_END || (rc == KLUIS_OK && r->item.at != r->places[i])) { return changed(r, err); }
        KLUIS_TRY(rc);
        KLUIS_TRY(send(r, t, err));
    }
    return r->sink->end(r->sink->ctx, err);
}

/* All places at once, from what pass 1 noted. */
static void sort_places(struct reading *r)
{
    uint64_t first = 0;
    for (uint32_t c = 0; c < r->talks.n; c++) {
        r->talks.list[c].placed = first;
        first += r->talks.list[c].items;
    }
    for (uint64_t i = 0; i < r->n_noted; i++) { r->places[r->talks.list[r->noted[i] >> 48].placed++] = r->noted[i] & ((UINT64_C(1) << 48) - 1); }
    kluis_free(r->noted);
    r->noted = NULL;
}

static kluis_status rounds(struct reading *r, struct kluis_err *err)
{
    bool noted = r->n_noted == r->seen;
    if (!noted) {
        kluis_free(r->noted);
        r->noted = NULL;
    }
    for (uint32_t from = 0; from < r->talks.n;) {
        uint64_t n = 0;
        uint32_t to = from;
        while (to < r->talks.n && n + r->talks.list[to].items <= ITEMS_MAX) { n += r->talks.list[to++].items; }
        if (to == from) {
            KLUIS_TRY(sms_emit_begin(&r->emit, &r->talks.list[from], err));
            KLUIS_TRY(fill(r, from, from + 1, true, err));
            KLUIS_TRY(r->sink->end(r->sink->ctx, err));
            from++;
            continue;
        }
        if (r->places == NULL) {
            r->places = kluis_malloc((size_t)n * sizeof *r->places);
            if (r->places == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
        } else {
            uint64_t *p = kluis_realloc(r->places, (size_t)n * sizeof *p);
            if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
            r->places = p;
        }
        if (noted) {
            sort_places(r);
        } else {
            KLUIS_TRY(fill(r, from, to, false, err));
        }
        for (uint32_t c = from; c < to; c++) { KLUIS_TRY(give(r, c, err)); }
        from = to;
    }
    return KLUIS_OK;
}

static kluis_status read_file(const char *path, const struct settings *set, const struct source_sink *sink, struct kluis_err *err)
{
    if (telephony_is(path)) { return telephony_read(path, set->number, set->country, sink, err); }
    struct reading *r = kluis_calloc(1, sizeof *r);
    struct stat st;
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    const char *slash = strrchr(path, '/');
    r->path = path;
    r->file = slash == NULL ? path : slash + 1;
    r->sink = sink;
    r->talks.country = set->country;
    r->scratch = kluis_arena_new(ELEMENT_MAX);
    r->emit = (struct sms_emit){ .sink = sink, .talks = &r->talks, .number = set->number, .file = r->file, .tables = kluis_arena_new(4 << 20) };
    r->emit.arena = r->scratch;
    r->fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
    kluis_status rc = KLUIS_OK;
    if (r->fd < 0) {
        rc = errno == ENOENT || errno == ENOTDIR ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is nothing at %s: give the backup's .xml", path)
                                                 : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open %s", path);
    } else if (r->scratch == NULL || r->emit.tables == NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
    } else if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s is no file: give the backup's .xml, or the folder it is in", path);
    }
    if (rc == KLUIS_OK) { rc = talks_init(&r->talks, err); }
    if (rc == KLUIS_OK) { rc = slicer_open(&r->slicer, r->fd, path, BUFFER, err); }
    if (rc == KLUIS_OK) { rc = survey(r, err); }
    if (rc == KLUIS_OK) { rc = rounds(r, err); }
    slicer_close(&r->slicer);
    talks_free(&r->talks);
    kluis_arena_free(r->emit.tables);
    kluis_arena_free(r->scratch);
    kluis_free(r->places);
    kluis_free(r->noted);
    kluis_close_quiet(&r->fd);
    kluis_free(r);
    return rc;
}

/* ---- a file, or a folder of them ------------------------------------------------------------------------------------ */

static bool has_ending(const char *name, const char *ending)
{
    size_t n = strlen(name), k = strlen(ending);
    return n > k && memcmp(name + n - k, ending, k) == 0;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The .xml files of a folder, oldest name first (the app names them by their time). */
static kluis_status files_of(const char *path, struct kluis_arena *arena, const char *list[FILES_MAX], size_t *n, bool *folder, struct kluis_err *err)
{
    DIR *d = opendir(path);
    *n = 0;
    *folder = d != NULL;
    if (d == NULL) {
        list[(*n)++] = path;
        return KLUIS_OK;
    }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, path, &name, &rc, err);) {
        char full[KLUIS_PATH_MAX];
        if (!has_ending(name, ".xml") || name[0] == '.') { continue; }
        if (*n == FILES_MAX) {
            rc = KLUIS_FAIL(err, KLUIS_E_LIMIT, "%s holds more than %d backups: keep the newest", path, (int)FILES_MAX);
            break;
        }
        rc = kluis_path(full, sizeof full, path, name, err);
        if (rc == KLUIS_OK) { list[*n] = kluis_arena_strndup(arena, full, strlen(full)); }
        if (rc == KLUIS_OK && list[(*n)++] == NULL) { rc = KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    }
    (void)closedir(d); /* only read */
    if (rc == KLUIS_OK && *n == 0) { rc = KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no .xml of SMS Backup & Restore", path); }
    if (rc == KLUIS_OK) { qsort(list, *n, sizeof *list, by_text); }
    return rc;
}

static kluis_status sms_read(const struct source_request *q, const struct source_sink *sink, struct kluis_err *err)
{
    struct settings set;
    const char *list[FILES_MAX];
    size_t n = 0, good = 0;
    bool folder = false;
    KLUIS_TRY(options(q, &set, err));
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(2 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    KLUIS_TRY(files_of(q->path, arena, list, &n, &folder, err));
    struct kluis_err last = { 0 };
    for (size_t i = 0; i < n; i++) {
        struct kluis_err one = { 0 };
        kluis_status rc = read_file(list[i], &set, sink, &one);
        if (rc == KLUIS_OK) {
            good++;
            continue;
        }
        last = one;
        if (!folder || (rc != KLUIS_E_REJECT && rc != KLUIS_E_LIMIT)) { break; }
        const char *slash = strrchr(list[i], '/');
        struct source_skip skip = { "a file", slash == NULL ? list[i] : slash + 1, one.msg, true };
        if (sink->skipped != NULL) { KLUIS_TRY(sink->skipped(sink->ctx, &skip, err)); }
        if (i + 1 < n || good > 0) { last.code = KLUIS_OK; }
    }
    if (last.code != KLUIS_OK || good == 0) {
        if (err != NULL && err->code == KLUIS_OK) { *err = last; }
        return last.code != KLUIS_OK ? last.code
                                     : KLUIS_FAIL(err, KLUIS_E_REJECT, "%s holds no .xml of SMS Backup & Restore that can be read", q->path);
    }
    return KLUIS_OK;
}

static kluis_status sms_attachments(const struct source_request *q, struct kluis_str conversation_id, const struct kluis_str *wanted, size_t n,
                                    const struct source_attachment_sink *sink, struct kluis_err *err)
{
    enum kluis_at what;
    KLUIS_TRY(kluis_what_at(q->path, &what, err));
    const bool folder = what == KLUIS_AT_FOLDER;
    (void)conversation_id; /* a reference names one part of one file */
    for (size_t i = 0; i < n; i++) {
        char ref[512], path[KLUIS_PATH_MAX];
        unsigned long long at = 0, chars = 0;
        int end = 0;
        if (wanted[i].ptr == NULL || wanted[i].len >= sizeof ref) { continue; }
        memcpy(ref, wanted[i].ptr, wanted[i].len);
        ref[wanted[i].len] = '\0';
        if (!folder && telephony_is(q->path)) {
            struct kluis_input_fd file = { .fd = telephony_part(q->path, wanted[i]), .what = "an attachment" };
            if (file.fd < 0) { continue; }
            struct kluis_input in = kluis_input_from_fd(&file);
            kluis_status rc = sink->attachment(sink->ctx, i, &in, err);
            kluis_close_quiet(&file.fd);
            KLUIS_TRY(rc);
            continue;
        }
        if (sscanf(ref, "%llu:%llu:%n", &at, &chars, &end) != 2 || end == 0 || strchr(ref + end, '/') != NULL || ref[end] == '\0') { continue; }
        if (folder) {
            KLUIS_TRY(kluis_path(path, sizeof path, q->path, ref + end, err));
        } else {
            (void)snprintf(path, sizeof path, "%s", q->path);
        }
        int fd = kluis_io_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        if (fd < 0) { continue; }
        struct slice_input state;
        struct kluis_input in = slice_input(&state, fd, at, chars);
        kluis_status rc = sink->attachment(sink->ctx, i, &in, err);
        kluis_close_quiet(&fd);
        KLUIS_TRY(rc);
    }
    return KLUIS_OK;
}

static enum source_sure probe(const struct source_file *f)
{
    const char *p = (const char *)f->head.ptr;
    size_t n = f->head.len < 4096 ? f->head.len : 4096, i = 0;
    if (f->path == NULL || strchr(f->name, '/') != NULL) { return SOURCE_NO; }
    if (n >= 16 && memcmp(p, "SQLite format 3", 16) == 0) { return f->name[0] == '\0' ? telephony_probe(f->path) : SOURCE_NO; }
    if (f->name[0] != '\0' && !has_ending(f->name, ".xml")) { return SOURCE_NO; }
    if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) { i = 3; }
    while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) { i++; }
    if (i == n || p[i] != '<') { return SOURCE_NO; }
    bool root = memmem(p, n, "<smses", 6) != NULL || memmem(p, n, "<calls", 6) != NULL;
    bool item = memmem(p, n, "<sms ", 5) != NULL || memmem(p, n, "<mms ", 5) != NULL || memmem(p, n, "<call ", 6) != NULL;
    return root && item ? SOURCE_CERTAIN : root ? SOURCE_LIKELY : SOURCE_NO;
}

static const char *const tells[] = { "messages", "authors", "numbers", "names", "times", "groups", "attachments", "calls", "drafts", NULL };
static const char *const loss[] = { "deletions", "edits", "message-ids", "reactions", "rcs", NULL };

const struct source_kind source_sms = {
    .name = "sms",
    .platform = "sms",
    .about_nl = "SMS en MMS: .xml van SMS Backup & Restore (berichten en oproepen), een map ermee, of mmssms.db",
    .about_en = "SMS and MMS: .xml of SMS Backup & Restore (messages and calls), a folder of them, or mmssms.db",
    .tells = tells,
    .loss = loss,
    .probe = probe,
    .read = sms_read,
    .attachments = sms_attachments,
};
