/* server/register/trail.c - opening the audit trail, adding to it, walking it.  See trail.h. */
#include "server/register/trail_form.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NOTE_BYTES = TRAIL_SEGMENT / 8,                      /* how much may be written between two marks */
    TRAIL_WRITE_MAX = TRAIL_BATCH + TRAIL_ENTRY_MAX + 64 /* bytes of one write */
};

struct trail {
    char dir[KLUIS_PATH_MAX];
    void (*noting)(void *ctx, const struct trail_mark *mark);
    void *ctx;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    pthread_cond_t begun; /* for the writer: somebody waits and nobody is at it */
    pthread_t writer;
    bool writer_made, ending;
    struct trail_ticket *first, **last; /* who waits */
    bool writing;                       /* one of the waiting is at it: file, out and where belong to it */
    struct trail_mark head;
    uint64_t due, number; /* number: of the segment that fd is */
    int fd;
    size_t at, dirty; /* end of what counts; end of what may have been written */
    struct kluis_buf out;
    pthread_t helper;
    bool helper_made, helping, spare;
    size_t noted_at;
    pthread_mutex_t spare_lock; /* the file "spare": to its renaming, who makes one has it alone */
};

/* ---- segments ---- */

static kluis_status pwrite_all(int fd, const uint8_t *p, size_t n, uint64_t at, struct kluis_err *err)
{
    while (n > 0) {
        ssize_t w = kluis_io_pwrite(fd, p, n, at);
        if (w <= 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the audit trail: make space, nothing is shown until it can be"); }
        p += w;
        n -= (size_t)w;
        at += (uint64_t)w;
    }
    return KLUIS_OK;
}

static kluis_status sync_file(int fd, struct kluis_err *err)
{
    if (kluis_io_fdatasync(fd) != 0) {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot sync the audit trail to disk: nothing is shown until it can be");
    }
    return KLUIS_OK;
}

/* A file of zeros, all of its blocks on disk. */
static kluis_status make_spare(const char *dir, struct kluis_err *err)
{
    static const uint8_t zeros[1 << 16];
    char path[KLUIS_PATH_MAX];
    struct stat st;
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "spare", err));
    if (stat(path, &st) == 0 && st.st_size == TRAIL_SEGMENT) { return KLUIS_OK; } /* never written to: its head comes last */
    int fd = kluis_io_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot make room for the audit trail in '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    for (size_t at = 0; at < TRAIL_SEGMENT && rc == KLUIS_OK; at += sizeof zeros) { rc = pwrite_all(fd, zeros, sizeof zeros, at, err); }
    if (rc == KLUIS_OK) { return kluis_close_durable(&fd, path, err); }
    kluis_close_quiet(&fd);
    if (kluis_io_unlink(path) != 0) { return rc; } /* told already; what stays is made anew, for it is too short */
    return rc;
}

/* The spare becomes the segment that goes on.  Under spare_lock: a helper still at it would put its zeros over what is entered. */
static kluis_status take_spare(struct trail *t, const uint8_t head[TRAIL_HEAD], const char *path, int *out, struct kluis_err *err)
{
    char spare[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(spare, sizeof spare, t->dir, "spare", err));
    KLUIS_TRY(make_spare(t->dir, err));
    int fd = kluis_io_open(spare, O_RDWR | O_NOFOLLOW, 0);
    if (fd < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", spare); }
    kluis_status rc = pwrite_all(fd, head, TRAIL_HEAD, 0, err);
    if (rc == KLUIS_OK) { rc = sync_file(fd, err); }
    if (rc == KLUIS_OK) { rc = kluis_publish_file(spare, path, "register.trail.renamed", err); }
    if (rc != KLUIS_OK) { kluis_close_quiet(&fd); }
    *out = fd;
    return rc;
}

/* Goes on in a new segment.  The caller writes. */
static kluis_status rotate(struct trail *t, uint64_t first, const uint8_t before[32], struct kluis_err *err)
{
    uint8_t head[TRAIL_HEAD];
    char name[TRAIL_NAME], path[KLUIS_PATH_MAX];
    const struct trail_segment s = { .number = t->number + 1, .first = first, .due = t->due };
    struct trail_segment full = s;
    memcpy(full.before, before, 32);
    if (full.number > TRAIL_NUMBER_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the audit trail has %d segments, which is the most", TRAIL_NUMBER_MAX);
    }
    trail_name(name, full.number);
    KLUIS_TRY(kluis_path(path, sizeof path, t->dir, name, err));
    KLUIS_TRY(trail_segment_write(&full, head, err));
    int fd = -1;
    (void)pthread_mutex_lock(&t->spare_lock);
    kluis_status rc = take_spare(t, head, path, &fd, err);
    (void)pthread_mutex_unlock(&t->spare_lock);
    if (rc != KLUIS_OK) { return rc; }
    kluis_close_quiet(&t->fd); /* all in it is on disk */
    t->fd = fd;
    t->number = full.number;
    t->at = t->dirty = TRAIL_HEAD;
    return KLUIS_OK;
}

/* ---- in the background: the next segment, and a mark ---- */

/* Signals are for others. */
static bool in_background(pthread_t *thread, void *(*run)(void *), struct trail *t)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    bool made = pthread_create(thread, NULL, run, t) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return made;
}

static void *helper_main(void *arg)
{
    struct trail *t = arg;
    struct kluis_err ignored = { 0 }; /* whoever needs the segment tries again, and tells */
    (void)pthread_mutex_lock(&t->spare_lock);
    bool made = make_spare(t->dir, &ignored) == KLUIS_OK;
    (void)pthread_mutex_unlock(&t->spare_lock);
    struct trail_mark head;
    trail_head(t, &head);
    if (t->noting != NULL) { t->noting(t->ctx, &head); }
    (void)pthread_mutex_lock(&t->lock);
    t->helping = false;
    t->spare = made;
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Under the lock. */
static void help(struct trail *t)
{
    bool room = t->spare || t->at < TRAIL_SEGMENT / 2;
    if (t->helping || (room && t->at - t->noted_at < NOTE_BYTES)) { return; }
    if (t->helper_made) { (void)pthread_join(t->helper, NULL); } /* it is through: helping is its last write */
    t->noted_at = t->at;
    t->helper_made = t->helping = in_background(&t->helper, helper_main, t);
}

/* ---- adding ---- */

/* Encodes as many of the waiting as fit, from the first on; sets the head and due that result.  Under the lock.  *full: not even the first fits the
 * segment. */
static size_t encode(struct trail *t, struct trail_mark *head, uint64_t *due, bool *full)
{
    size_t n = 0;
    *full = false;
    kluis_buf_clear(&t->out);
    for (struct trail_ticket *w = t->first; w != NULL && t->out.len < TRAIL_BATCH; w = w->next) {
        size_t had = t->out.len;
        if (!w->entry->moved) { w->entry->seq = head->seq + 1; }
        if (w->entry->time_us == 0) { w->entry->time_us = kluis_now_us(); }
        kluis_status rc = trail_frame_write(w->entry, head->hash, &t->out, &w->err);
        if (rc != KLUIS_OK) {
            /* Too long, or no memory: its own failure.  It is given when it stands first. */
            t->out.len = had;
            t->out.status = KLUIS_OK;
            if (n == 0) {
                w->rc = rc;
                return 1;
            }
            break;
        }
        if (t->at + t->out.len > TRAIL_SEGMENT) {
            t->out.len = had;
            *full = n == 0;
            break;
        }
        head->seq = w->entry->seq;
        memcpy(head->hash, w->entry->hash, 32);
        if (w->entry->due > *due) { *due = w->entry->due; }
        n++;
    }
    return n;
}

/* One write and one sync for all that wait.  Under the lock, which it gives up meanwhile. */
static void lead(struct trail *t)
{
    struct trail_mark head = t->head;
    uint64_t due = t->due;
    bool full = false;
    struct kluis_err err = { 0 };
    size_t n = encode(t, &head, &due, &full), len = t->out.len;
    kluis_status rc = KLUIS_OK;
    t->writing = true;
    (void)pthread_mutex_unlock(&t->lock);
    if (full) {
        rc = rotate(t, t->head.seq + 1, t->head.hash, &err);
    } else if (len > 0) {
        /* What a failed attempt may have left behind goes with the same write. */
        size_t end = t->at + len;
        while (rc == KLUIS_OK && t->at + t->out.len < t->dirty) {
            kluis_buf_byte(&t->out, 0);
            rc = kluis_buf_ok(&t->out, &err);
        }
        if (end > t->dirty) { t->dirty = end; }
        if (rc == KLUIS_OK) { rc = pwrite_all(t->fd, t->out.data, t->out.len, t->at, &err); }
        if (rc == KLUIS_OK) { rc = sync_file(t->fd, &err); }
        if (rc == KLUIS_OK) { kluis_durable_step("register.trail"); }
    }
    (void)pthread_mutex_lock(&t->lock);
    t->writing = false;
    if (full) {
        t->spare = t->spare && rc != KLUIS_OK;
        t->noted_at = 0;
        n = rc == KLUIS_OK ? 0 : 1; /* without room the first fails, the others try for themselves */
    } else if (rc == KLUIS_OK && len > 0) {
        t->head = head;
        t->due = due;
        t->at += len;
        t->dirty = t->at;
    }
    for (; n > 0; n--) {
        struct trail_ticket *w = t->first;
        t->first = w->next;
        if (w->rc == KLUIS_OK && rc != KLUIS_OK) {
            w->rc = rc;
            w->err = err;
        }
        w->done = true;
    }
    if (t->first == NULL) { t->last = &t->first; }
    help(t);
    (void)pthread_cond_broadcast(&t->changed);
    if (t->first != NULL && t->writer_made) { (void)pthread_cond_signal(&t->begun); }
}

/* Takes up what was begun.  Who comes to its end first does not wait for this thread. */
static void *writer_main(void *arg)
{
    struct trail *t = arg;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->ending) {
        if (t->first != NULL && !t->writing) {
            lead(t);
        } else {
            (void)pthread_cond_wait(&t->begun, &t->lock);
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Under the lock. */
static void enqueue(struct trail *t, struct trail_ticket *w, struct trail_entry *entry)
{
    *w = (struct trail_ticket){ .entry = entry };
    *t->last = w;
    t->last = &w->next;
}

/* Under the lock. */
static void wait_for(struct trail *t, const struct trail_ticket *w)
{
    while (!w->done) {
        if (t->writing) {
            (void)pthread_cond_wait(&t->changed, &t->lock);
        } else {
            lead(t);
        }
    }
}

void trail_begin(struct trail *t, struct trail_ticket *w, struct trail_entry *entry)
{
    (void)pthread_mutex_lock(&t->lock);
    enqueue(t, w, entry);
    if (!t->writer_made) { t->writer_made = in_background(&t->writer, writer_main, t); } /* else: written when its end is waited for */
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_cond_signal(&t->begun); /* afterwards: who wakes finds the lock free */
}

kluis_status trail_end(struct trail *t, struct trail_ticket *w, struct kluis_err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    wait_for(t, w);
    (void)pthread_mutex_unlock(&t->lock);
    if (w->rc != KLUIS_OK && err != NULL) { *err = w->err; }
    return w->rc;
}

kluis_status trail_add(struct trail *t, struct trail_entry *entries, size_t n, struct kluis_err *err)
{
    struct trail_ticket one = { 0 }, *list = &one;
    if (n == 0) { return KLUIS_OK; }
    if (n > 1 && (list = kluis_calloc(n, sizeof *list)) == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    (void)pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < n; i++) { enqueue(t, &list[i], &entries[i]); }
    kluis_status rc = KLUIS_OK;
    for (size_t i = 0; i < n; i++) {
        wait_for(t, &list[i]);
        if (rc == KLUIS_OK && list[i].rc != KLUIS_OK) {
            rc = list[i].rc;
            if (err != NULL) { *err = list[i].err; }
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (list != &one) { kluis_free(list); }
    return rc;
}

void trail_head(struct trail *t, struct trail_mark *last)
{
    (void)pthread_mutex_lock(&t->lock);
    *last = t->head;
    (void)pthread_mutex_unlock(&t->lock);
}

uint64_t trail_due(struct trail *t)
{
    (void)pthread_mutex_lock(&t->lock);
    uint64_t due = t->due;
    (void)pthread_mutex_unlock(&t->lock);
    return due;
}

/* ---- opening ---- */

/* What the last segment says when it is opened. */
struct tail {
    struct trail_mark head;
    uint64_t due;
    size_t end;      /* of the entries in form */
    uint64_t broken; /* number of the first entry that is not good; 0: none */
    size_t broken_at;
};

static void scan(const struct kluis_buf *b, const struct trail_segment *s, const struct trail_mark *known, struct tail *out)
{
    *out = (struct tail){ .head = { .seq = s->first - 1 }, .due = s->due, .end = TRAIL_HEAD };
    memcpy(out->head.hash, s->before, 32);
    for (;;) {
        struct trail_entry e;
        size_t next = 0;
        enum trail_frame f = trail_frame_read(b->data, b->len, out->end, out->head.hash, &e, &next);
        if (f == TRAIL_END) { return; }
        bool good = f == TRAIL_GOOD && e.seq == out->head.seq + 1 && !(e.seq == known->seq && memcmp(e.hash, known->hash, 32) != 0);
        if (!good && out->broken == 0) {
            out->broken = out->head.seq + 1;
            out->broken_at = out->end;
        }
        if (f == TRAIL_GARBAGE) { return; }
        out->head.seq = e.seq;
        memcpy(out->head.hash, e.hash, 32);
        if (e.due > out->due) { out->due = e.due; }
        out->end = next;
    }
}

static kluis_status say(struct trail *t, const char *action, const char *detail, struct kluis_err *err)
{
    struct trail_entry e = {
        .actor = KLUIS_STR_LIT("vault"), .action = kluis_str_of(action), .purpose = KLUIS_STR_LIT(""), .detail = kluis_str_of(detail)
    };
    return trail_add(t, &e, 1, err);
}

/* Sets [at, used) aside and clears it. */
static kluis_status cut(struct trail *t, const struct kluis_buf *b, uint64_t seq, size_t at, size_t used, struct kluis_err *err)
{
    char name[48], path[KLUIS_PATH_MAX], hex[65], detail[160];
    uint8_t sum[32];
    kluis_sha256_of(b->data + at, used - at, sum);
    kluis_hex(sum, 32, hex);
    (void)snprintf(name, sizeof name, "cut-%llu-%.16s", (unsigned long long)seq, hex);
    KLUIS_TRY(kluis_path(path, sizeof path, t->dir, name, err));
    KLUIS_TRY(kluis_write_file(path, b->data + at, used - at, 0600, err));
    uint8_t *zeros = kluis_calloc(1, used - at);
    if (zeros == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    kluis_status rc = pwrite_all(t->fd, zeros, used - at, at, err);
    kluis_free(zeros);
    if (rc == KLUIS_OK) { rc = sync_file(t->fd, err); }
    (void)snprintf(detail, sizeof detail, "entry=%llu bytes=%zu sha256=%s", (unsigned long long)seq, used - at, hex);
    if (rc == KLUIS_OK) { rc = say(t, "audit.cut", detail, err); }
    return rc;
}

static kluis_status go_on(struct trail *t, const struct kluis_buf *b, const struct trail_mark *known, struct kluis_err *err)
{
    struct trail_segment s;
    struct tail tail = { 0 };
    char name[TRAIL_NAME], path[KLUIS_PATH_MAX], detail[160];
    bool whole = b->len == TRAIL_SEGMENT, headed = b->len >= TRAIL_HEAD && trail_segment_read(b->data, &s) && s.number == t->number;
    if (headed) { scan(b, &s, known, &tail); }
    size_t used = headed ? trail_used(b->data, tail.end, b->len) : 0;
    t->head = tail.head;
    t->due = tail.due;
    t->at = t->dirty = tail.end;
    trail_name(name, t->number);
    KLUIS_TRY(kluis_path(path, sizeof path, t->dir, name, err));
    if ((t->fd = kluis_io_open(path, O_RDWR | O_NOFOLLOW, 0)) < 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path); }
    size_t from = tail.broken != 0 ? tail.broken_at : tail.end;
    uint64_t wrong = tail.broken != 0 ? tail.broken : tail.head.seq + 1;
    bool missing = known->seq > tail.head.seq;
    if (whole && headed && tail.broken == 0 && used == tail.end && !missing) { return KLUIS_OK; }
    if (whole && headed && known->seq < wrong && used - from <= TRAIL_WRITE_MAX) {
        /* Back to before the write that was never finished: nothing of it was waited for with success. */
        KLUIS_AUTO_BUF(good, TRAIL_SEGMENT);
        kluis_buf_add(&good, b->data, from);
        KLUIS_TRY(kluis_buf_ok(&good, err));
        scan(&good, &s, known, &tail);
        t->head = tail.head;
        t->due = tail.due;
        t->at = t->dirty = tail.end;
        return cut(t, b, wrong, from, used, err);
    }
    if (missing) { t->head = *known; }
    if (!whole || !headed || missing || used != tail.end) { KLUIS_TRY(rotate(t, t->head.seq + 1, t->head.hash, err)); }
    (void)snprintf(detail, sizeof detail, "entry=%llu segment=%s", (unsigned long long)wrong, name);
    return say(t, "audit.damaged", detail, err);
}

static kluis_status open_last(struct trail *t, const struct trail_mark *known, struct kluis_err *err)
{
    KLUIS_TRY(kluis_make_dir(t->dir, err));
    KLUIS_TRY(trail_count(t->dir, &t->number, err));
    if (t->number == 0) {
        t->head = *known;
        KLUIS_TRY(rotate(t, known->seq + 1, known->hash, err));
        return known->seq == 0 ? KLUIS_OK : say(t, "audit.damaged", "entry=1 segment=000001.log", err);
    }
    KLUIS_AUTO_BUF(b, TRAIL_SEGMENT);
    KLUIS_TRY(trail_segment_load(t->dir, t->number, &b, err));
    return go_on(t, &b, known, err);
}

kluis_status trail_open(struct trail **out, const char *vault_dir, const struct trail_mark *known, void (*noting)(void *, const struct trail_mark *),
                        void *ctx, struct kluis_err *err)
{
    *out = NULL;
    struct trail *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
    t->fd = -1;
    t->last = &t->first;
    kluis_buf_init(&t->out, (size_t)2 * TRAIL_WRITE_MAX);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_mutex_init(&t->spare_lock, NULL);
    (void)pthread_cond_init(&t->changed, NULL);
    (void)pthread_cond_init(&t->begun, NULL);
    kluis_status rc = kluis_path(t->dir, sizeof t->dir, vault_dir, "audit", err);
    if (rc == KLUIS_OK) { rc = open_last(t, known, err); }
    if (rc != KLUIS_OK) {
        trail_free(t);
        return rc;
    }
    t->noting = noting;
    t->ctx = ctx;
    *out = t;
    return KLUIS_OK;
}

void trail_free(struct trail *t)
{
    if (t == NULL) { return; }
    if (t->writer_made) {
        (void)pthread_mutex_lock(&t->lock);
        t->ending = true;
        (void)pthread_cond_signal(&t->begun);
        (void)pthread_mutex_unlock(&t->lock);
        (void)pthread_join(t->writer, NULL);
    }
    if (t->helper_made) { (void)pthread_join(t->helper, NULL); }
    kluis_close_quiet(&t->fd); /* every entry was synced */
    kluis_buf_free(&t->out);
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_mutex_destroy(&t->spare_lock);
    (void)pthread_cond_destroy(&t->changed);
    (void)pthread_cond_destroy(&t->begun);
    kluis_free(t);
}

static kluis_status copy_segment(const struct trail *t, uint64_t number, const char *dir, struct kluis_err *err)
{
    char name[TRAIL_NAME], path[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(b, TRAIL_SEGMENT);
    trail_name(name, number);
    KLUIS_TRY(kluis_path(path, sizeof path, dir, name, err));
    KLUIS_TRY(trail_segment_load(t->dir, number, &b, err));
    return kluis_write_file(path, b.data, b.len, 0600, err);
}

/* What was cut off once is named by an entry with its digest: it goes along. */
static kluis_status copy_set_aside(const struct trail *t, const char *dir, struct kluis_err *err)
{
    DIR *d = opendir(t->dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot list '%s'", t->dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, t->dir, &name, &rc, err);) {
        char from[KLUIS_PATH_MAX], to[KLUIS_PATH_MAX];
        KLUIS_AUTO_BUF(b, TRAIL_SEGMENT);
        if (strncmp(name, "cut-", 4) != 0) { continue; }
        rc = kluis_path(from, sizeof from, t->dir, name, err);
        if (rc == KLUIS_OK) { rc = kluis_path(to, sizeof to, dir, name, err); }
        if (rc == KLUIS_OK) { rc = kluis_read_file(from, TRAIL_SEGMENT, &b, err); }
        if (rc == KLUIS_OK) { rc = kluis_write_file(to, b.data, b.len, 0600, err); }
    }
    (void)closedir(d);
    return rc;
}

kluis_status trail_copy(struct trail *t, const char *dir, struct kluis_err *err)
{
    uint64_t closed = 0;
    KLUIS_TRY(kluis_make_dir(dir, err));
    (void)pthread_mutex_lock(&t->lock);
    closed = t->number - 1;
    (void)pthread_mutex_unlock(&t->lock);
    for (uint64_t i = 1; i <= closed; i++) { KLUIS_TRY(copy_segment(t, i, dir, err)); } /* these never change again */
    (void)pthread_mutex_lock(&t->lock);
    while (t->writing) { (void)pthread_cond_wait(&t->changed, &t->lock); }
    t->writing = true; /* no write begins: no entry is copied half */
    (void)pthread_mutex_unlock(&t->lock);
    kluis_status rc = KLUIS_OK;
    for (uint64_t i = closed + 1; rc == KLUIS_OK && i <= t->number; i++) { rc = copy_segment(t, i, dir, err); }
    if (rc == KLUIS_OK) { rc = copy_set_aside(t, dir, err); }
    (void)pthread_mutex_lock(&t->lock);
    t->writing = false;
    (void)pthread_cond_broadcast(&t->changed);
    (void)pthread_mutex_unlock(&t->lock);
    return rc;
}

kluis_status trail_remove(const char *vault_dir, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(dir, sizeof dir, vault_dir, "audit", err));
    DIR *d = opendir(dir);
    if (d == NULL) { return errno == ENOENT ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot list '%s'", dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, dir, &name, &rc, err);) {
        if (name[0] == '.') { continue; }
        rc = kluis_path(path, sizeof path, dir, name, err);
        if (rc == KLUIS_OK && kluis_io_unlink(path) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path); }
    }
    (void)closedir(d);
    return rc;
}

kluis_status trail_walk(struct trail *t, const struct trail_mark *known, void *ctx,
                        kluis_status (*each)(void *, const struct trail_entry *, struct kluis_err *), uint64_t *entries, struct kluis_err *err)
{
    struct trail_mark last;
    trail_head(t, &last);
    return trail_walk_files(t->dir, &last, known, ctx, each, entries, err);
}
