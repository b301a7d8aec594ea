/* agent/pack/group.c - packages that are built but not yet there: made durable, named and committed together.  See internal.h.
 *
 * One package costs two fsyncs and a commit by itself; a group costs one of its folder, one commit, and fsyncs of files that mostly reached
 * the disk with the first of them.  The promise stays: a package exists when its row is committed, and by then its file and the folder
 * are on disk.  Killed before that, all of the group is read and packed again, under other keys. */
#include "agent/pack/internal.h"

#include "kluis/envelope.h"

#include <errno.h>
#include <fcntl.h>

static kluis_status part_path(const struct pack *p, const struct made *m, char path[KLUIS_PATH_MAX], char part[KLUIS_PATH_MAX], struct kluis_err *err)
{
    KLUIS_TRY(stock_file(p->s.home, m->row.id, path, err));
    int n = snprintf(part, KLUIS_PATH_MAX, "%s.part", path);
    return n < 0 || n >= KLUIS_PATH_MAX ? KLUIS_FAIL(err, KLUIS_E_LIMIT, "the path of the home folder is too long") : KLUIS_OK;
}

kluis_status made_open(const struct pack *p, struct made *m, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], part[KLUIS_PATH_MAX];
    KLUIS_TRY(part_path(p, m, path, part, err));
    m->fd = kluis_io_open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    return m->fd < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make '%s'", part) : KLUIS_OK;
}

static kluis_status made_durable(const struct pack *p, struct made *m, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX], part[KLUIS_PATH_MAX];
    if (m->fd < 0) { return KLUIS_OK; }
    KLUIS_TRY(part_path(p, m, path, part, err));
    KLUIS_TRY(kluis_close_durable(&m->fd, part, err));
    kluis_durable_step("agent.pack.encrypted");
    return KLUIS_OK;
}

kluis_status made_written(const struct pack *p, struct made *m, struct kluis_err *err)
{
    return m->row.cipher_length > PACK_SMALL ? made_durable(p, m, err) : KLUIS_OK; /* small ones wait for the group */
}

void made_drop(const struct pack *p, struct made *m)
{
    char path[KLUIS_PATH_MAX], part[KLUIS_PATH_MAX];
    kluis_close_quiet(&m->fd);
    kluis_secret_free(m->key, KLUIS_CONTENT_KEY);
    m->key = NULL;
    if (m->row.length == 0 || part_path(p, m, path, part, NULL) != KLUIS_OK) { return; }
    if (kluis_io_unlink(part) != 0 && errno != ENOENT) { return; } /* home_tidy removes what stays, at the next run */
    if (kluis_io_unlink(path) != 0) { return; }
}

/* ---- the group ---- */

kluis_status group_add(struct pack *p, struct made *m, size_t n, const struct item *items, size_t n_items, struct kluis_err *err)
{
    struct group *g = &p->group;
    struct made *list = kluis_realloc(g->list, (g->n + n) * sizeof *list);
    if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to note a package"); }
    g->list = list;
    struct align_entry *entries = kluis_calloc(n_items, sizeof *entries);
    if (entries == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory to note a package"); }
    for (size_t i = 0; i < n_items; i++) { entries[i] = items[i].e; }
    for (size_t i = 0; i < n; i++) {
        struct made *to = &g->list[g->n++];
        *to = m[i];
        to->conversation = p->conversation;
        to->precision = p->header.precision;
        to->entries = i == 0 ? entries : NULL; /* a slice's records are noted with its first package */
        to->n_entries = i == 0 ? n_items : 0;
        m[i] = (struct made){ .fd = -1 };
    }
    return KLUIS_OK;
}

static void clear(struct group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        kluis_secret_free(g->list[i].key, KLUIS_CONTENT_KEY);
        kluis_free(g->list[i].entries);
    }
    kluis_free(g->list);
    *g = (struct group){ NULL, 0 };
}

void group_drop(struct pack *p)
{
    for (size_t i = 0; i < p->group.n; i++) { made_drop(p, &p->group.list[i]); }
    clear(&p->group);
}

static kluis_status publish(struct pack *p, struct kluis_err *err)
{
    struct group *g = &p->group;
    char path[KLUIS_PATH_MAX], part[KLUIS_PATH_MAX], folder[KLUIS_PATH_MAX];
    for (size_t i = 0; i < g->n; i++) { /* a hint: all on their way before the first is waited for */
        if (g->list[i].fd >= 0) { (void)sync_file_range(g->list[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE); }
    }
    for (size_t i = 0; i < g->n; i++) { KLUIS_TRY(made_durable(p, &g->list[i], err)); }
    for (size_t i = 0; i < g->n; i++) {
        KLUIS_TRY(part_path(p, &g->list[i], path, part, err));
        if (kluis_io_rename(part, path) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot rename '%s'", part); }
    }
    KLUIS_TRY(home_path(p->s.home, "packages", folder, err));
    KLUIS_TRY(kluis_fsync_dir(folder, err));
    kluis_durable_step("agent.pack.published");
    return KLUIS_OK;
}

static kluis_status note(struct pack *p, struct kluis_err *err)
{
    struct home *h = p->s.home;
    kluis_status rc = kluis_db_begin(h->db, err);
    for (size_t i = 0; i < p->group.n && rc == KLUIS_OK; i++) {
        const struct made *m = &p->group.list[i];
        rc = stock_add(h, &m->row, m->key, err);
        const struct journal_taken taken = { m->conversation, m->row.id, m->entries, m->n_entries, m->precision, p->s.origin };
        if (rc == KLUIS_OK) { rc = journal_take(h, &taken, err); }
    }
    if (rc != KLUIS_OK) {
        kluis_db_rollback(h->db);
        return rc;
    }
    return kluis_db_commit(h->db, "agent.pack.frozen", err);
}

kluis_status group_commit(struct pack *p, struct kluis_err *err)
{
    struct group *g = &p->group;
    if (g->n == 0) { return KLUIS_OK; }
    kluis_status rc = publish(p, err);
    if (rc == KLUIS_OK) { rc = note(p, err); }
    if (rc != KLUIS_OK) {
        group_drop(p); /* a package that did not get its row must not stay: its records will be packed again under another key */
        return rc;
    }
    for (size_t i = 0; i < g->n; i++) {
        const struct made *m = &g->list[i];
        p->counts.packages++;
        p->counts.bytes += m->row.length;
        p->counts.untimed += m->row.timed ? 0 : 1;
        p->counts.records += m->n_entries;
        if (p->s.frozen != NULL) { p->s.frozen(p->s.frozen_ctx, &m->row); }
    }
    clear(g);
    return KLUIS_OK;
}

kluis_status group_next_number(struct pack *p, uint64_t *sequence, uint8_t previous[32], struct kluis_err *err)
{
    const struct group *g = &p->group;
    if (g->n == 0) { return stock_next_number(p->s.home, p->s.identity->device, sequence, previous, err); }
    *sequence = g->list[g->n - 1].row.sequence + 1;
    memcpy(previous, g->list[g->n - 1].row.id, 32);
    return KLUIS_OK;
}

unsigned group_parts(const struct pack *p)
{
    unsigned n = 0;
    for (size_t i = 0; i < p->group.n; i++) { n += p->group.list[i].conversation == p->conversation; }
    return n;
}
