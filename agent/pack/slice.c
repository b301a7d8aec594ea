/* agent/pack/slice.c - collects new records into slices.  See pack.h. */
#include "agent/journal/copy.h"
#include "agent/pack/internal.h"

static kluis_status no_memory(struct kluis_err *err) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to collect a package"); }

kluis_status pack_new(struct pack **out, const struct pack_setup *setup, struct kluis_err *err)
{
    *out = NULL;
    struct pack *p = kluis_calloc(1, sizeof *p);
    if (p == NULL) { return no_memory(err); }
    p->s = *setup;
    if (p->s.part_bytes == 0) { p->s.part_bytes = PACK_PART_BYTES; }
    p->header_arena = kluis_arena_new(COPY_HEADER_MAX);
    if (p->header_arena == NULL) {
        pack_free(p);
        return no_memory(err);
    }
    *out = p;
    return KLUIS_OK;
}

static void clear_slice(struct slice *s)
{
    kluis_arena_free(s->arena);
    kluis_free(s->items);
    memset(s, 0, sizeof *s);
}

void pack_free(struct pack *p)
{
    if (p == NULL) { return; }
    for (size_t i = 0; i < PACK_OPEN; i++) { clear_slice(&p->slices[i]); }
    group_drop(p);
    kluis_arena_free(p->header_arena);
    kluis_free(p);
}

struct pack_counts pack_counted(const struct pack *p) { return p->counts; }

/* The calendar month in which the record was sent, as its writer's clock showed it. */
static int64_t month_of(struct pack *p, const struct kluis_record *r)
{
    if (r->sent.us == KLUIS_TIME_ABSENT) { return p->last_month; }
    int64_t local = r->sent.us / 1000000 + (int64_t)r->sent.offset_min * 60;
    int64_t days = local / 86400 - (local % 86400 < 0);
    int year = 0, month = 0, day = 0;
    kluis_civil_from_days(days, &year, &month, &day);
    p->last_month = (int64_t)year * 12 + month;
    return p->last_month;
}

static kluis_status close_slice(struct pack *p, struct slice *s, struct kluis_err *err)
{
    kluis_status rc = s->n == 0 ? KLUIS_OK : pack_freeze(p, s, 0, s->n, err);
    clear_slice(s);
    return rc;
}

static kluis_status slice_for(struct pack *p, int64_t month, struct slice **out, struct kluis_err *err)
{
    struct slice *room = NULL, *oldest = &p->slices[0];
    for (size_t i = 0; i < PACK_OPEN; i++) {
        struct slice *s = &p->slices[i];
        if (s->arena != NULL && s->month == month) {
            *out = s;
            return KLUIS_OK;
        }
        if (s->arena == NULL && room == NULL) { room = s; }
        if (s->used < oldest->used) { oldest = s; }
    }
    if (room == NULL) {
        KLUIS_TRY(close_slice(p, oldest, err));
        room = oldest;
    }
    room->arena = kluis_arena_new(PACK_MEMORY_MAX + (size_t)KLUIS_RECORD_LINE_MAX * 2);
    if (room->arena == NULL) { return no_memory(err); }
    room->month = month;
    room->content_known = true;
    *out = room;
    return KLUIS_OK;
}

/* Closes the largest slice when all of them together hold too much. */
static kluis_status keep_bounded(struct pack *p, struct kluis_err *err)
{
    size_t sum = 0, largest = 0;
    struct slice *big = &p->slices[0];
    for (size_t i = 0; i < PACK_OPEN; i++) {
        struct slice *s = &p->slices[i];
        size_t used = s->arena == NULL ? 0 : kluis_arena_used(s->arena) + s->cap * sizeof *s->items;
        sum += used;
        if (used > largest) {
            largest = used;
            big = s;
        }
    }
    return sum > PACK_MEMORY_MAX || largest > PACK_TEXT_MAX ? close_slice(p, big, err) : KLUIS_OK;
}

static kluis_status begin(void *ctx, const struct kluis_header *h, int64_t conversation, struct kluis_err *err)
{
    struct pack *p = ctx;
    kluis_arena_clear(p->header_arena);
    p->conversation = conversation;
    p->last_month = 0;
    return copy_header(p->header_arena, h, &p->header, err);
}

static bool too_much(const struct slice *s, const struct kluis_record *r)
{
    uint64_t more = 0;
    for (size_t i = 0; i < r->n_attachments; i++) { more += r->attachments[i].size > 0 ? (uint64_t)r->attachments[i].size : 0; }
    /* An eighth is left for records, sidecars and the container. */
    return s->n == KLUIS_PACKAGE_RECORDS_MAX || s->n_files + r->n_attachments > PACK_FILES_MAX ||
           (s->n > 0 && s->content + more > PACK_CONTENT_MAX - PACK_CONTENT_MAX / 8);
}

/* A record with an attachment that has to be split stands alone: its parts then are all that its packages hold. */
static bool is_large(const struct pack *p, const struct kluis_record *r)
{
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].loss.ptr == NULL && r->attachments[i].size > 0 && (uint64_t)r->attachments[i].size > p->s.part_bytes) { return true; }
    }
    return false;
}

static kluis_status record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, const struct align_entry *e, struct kluis_err *err)
{
    struct pack *p = ctx;
    struct slice *s = NULL;
    int64_t month = month_of(p, r);
    KLUIS_TRY(slice_for(p, month, &s, err));
    bool large = is_large(p, r);
    if (too_much(s, r) || (large && s->n > 0)) {
        KLUIS_TRY(close_slice(p, s, err));
        KLUIS_TRY(slice_for(p, month, &s, err));
    }
    if (s->n == s->cap) {
        size_t cap = s->cap == 0 ? 64 : 2 * s->cap;
        struct item *grown = kluis_realloc(s->items, cap * sizeof *grown);
        if (grown == NULL) { return no_memory(err); }
        s->items = grown;
        s->cap = cap;
    }
    struct item *it = &s->items[s->n];
    it->r = kluis_arena_alloc(s->arena, sizeof *it->r);
    if (it->r == NULL) { return no_memory(err); }
    KLUIS_TRY(copy_record(s->arena, r, it->r, err));
    KLUIS_TRY(copy_bytes(s->arena, raw, &it->raw, err));
    it->e = *e;
    s->n++;
    s->n_files += r->n_attachments;
    s->used = ++p->clock;
    for (size_t i = 0; i < r->n_attachments; i++) {
        if (r->attachments[i].source_ref.ptr == NULL || r->attachments[i].loss.ptr != NULL) { continue; }
        if (r->attachments[i].size < 0) {
            s->content_known = false;
        } else {
            s->content += (uint64_t)r->attachments[i].size;
        }
    }
    return large ? close_slice(p, s, err) : keep_bounded(p, err);
}

static kluis_status end(void *ctx, struct kluis_err *err)
{
    struct pack *p = ctx;
    for (size_t k = 0; k < PACK_OPEN; k++) { /* in order of time, so that package numbers follow it where they can */
        struct slice *first = NULL;
        for (size_t i = 0; i < PACK_OPEN; i++) {
            struct slice *s = &p->slices[i];
            if (s->arena != NULL && (first == NULL || s->month < first->month)) { first = s; }
        }
        if (first == NULL) { break; }
        KLUIS_TRY(close_slice(p, first, err));
    }
    return group_commit(p, err); /* another reading of the same conversation must find it in the journal */
}

kluis_status pack_settle(struct pack *p, struct kluis_err *err) { return group_commit(p, err); }

struct journal_out pack_sink(struct pack *p) { return (struct journal_out){ p, begin, record, end }; }
