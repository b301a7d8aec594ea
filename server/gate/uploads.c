/* uploads.c - files of ciphertext: written at an offset, synced, then counted. */
#include "server/gate/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/log.h"

enum { STRIPES = 64 };

struct gate_chunk {
    struct gate_uploads *u;
    struct gate_chunk *next; /* of its stripe */
    uint8_t id[GATE_ID];
    char device[GATE_ID_TEXT];
    uint64_t offset, length, size, got;
    int fd;
    bool fresh; /* no row yet: without a commit the file goes too */
    bool superseded;
    bool settling; /* on its way to the disk: nobody takes over any more */
};

struct stripe {
    pthread_mutex_t lock;
    struct gate_chunk *active;
};

struct gate_uploads {
    char dir[KLUIS_PATH_MAX];
    struct gate_store *store;
    uint64_t reserve;
    pthread_mutex_t room_lock;
    uint64_t promised; /* bytes of chunks under way that statvfs does not show yet */
    struct stripe stripe[STRIPES];
};

static struct stripe *stripe_of(struct gate_uploads *u, const uint8_t id[16]) { return &u->stripe[id[0] % STRIPES]; }

static kluis_status file_path(const struct gate_uploads *u, const uint8_t id[16], char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    char name[GATE_ID_TEXT];
    kluis_hex(id, GATE_ID, name);
    return kluis_path(out, KLUIS_PATH_MAX, u->dir, name, err);
}

/* A file without a row holds nothing that was acknowledged; the one of a chunk under way is left alone.  An id may have been used anew since its row
 * went: then the file is that one's. */
static kluis_status remove_orphan(struct gate_uploads *u, const uint8_t id[16], size_t *removed, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    bool known = false;
    KLUIS_TRY(file_path(u, id, path, err));
    struct stripe *s = stripe_of(u, id);
    (void)pthread_mutex_lock(&s->lock);
    for (const struct gate_chunk *c = s->active; c != NULL && !known; c = c->next) { known = memcmp(c->id, id, GATE_ID) == 0; }
    kluis_status rc = known ? KLUIS_OK : gate_store_upload_known(u->store, id, &known, err);
    if (rc == KLUIS_OK && !known) {
        if (kluis_io_unlink(path) == 0) {
            (*removed)++;
        } else if (errno != ENOENT) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove an upload");
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

kluis_status gate_uploads_sweep(struct gate_uploads *u, struct kluis_err *err)
{
    DIR *d = opendir(u->dir);
    if (d == NULL) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read the uploads directory"); }
    kluis_status rc = KLUIS_OK;
    size_t removed = 0;
    for (const char *name; kluis_dir_next(d, u->dir, &name, &rc, err);) {
        uint8_t id[GATE_ID];
        if (strlen(name) == 2 * (size_t)GATE_ID && kluis_unhex(kluis_str_of(name), id, sizeof id)) { rc = remove_orphan(u, id, &removed, err); }
    }
    (void)closedir(d); /* read only */
    if (rc == KLUIS_OK && removed > 0) {
        rc = kluis_fsync_dir(u->dir, err);
        if (rc == KLUIS_OK) { kluis_durable_step("gate.upload.swept"); }
        kluis_log(KLUIS_LOG_INFO, "upload.sweep", "files=%zu", removed);
    }
    return rc;
}

/* A row is written after its bytes are synced, so its file is there and long enough - but for one: a commit that failed is told as not done, its
 * file is taken back, and the journal may still hold it when the machine dies then.  Nobody was told of such an upload: it begins anew. */
static kluis_status drop_unbacked(void *ctx, const uint8_t id[16], uint64_t offset, bool *drop, struct kluis_err *err)
{
    const struct gate_uploads *u = ctx;
    char path[KLUIS_PATH_MAX];
    struct stat st;
    KLUIS_TRY(file_path(u, id, path, err));
    if (stat(path, &st) == 0) {
        *drop = !S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset;
    } else if (errno == ENOENT) {
        *drop = true;
    } else {
        return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at an upload's file");
    }
    if (*drop) { kluis_log(KLUIS_LOG_WARN, "upload.unbacked", "offset=%llu", (unsigned long long)offset); }
    return KLUIS_OK;
}

kluis_status gate_uploads_open(struct gate_uploads **out, const char *dir, struct gate_store *store, uint64_t disk_reserve, struct kluis_err *err)
{
    *out = NULL;
    struct gate_uploads *u = kluis_calloc(1, sizeof *u);
    if (u == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for uploads"); }
    u->store = store;
    u->reserve = disk_reserve;
    (void)pthread_mutex_init(&u->room_lock, NULL);
    for (size_t i = 0; i < STRIPES; i++) { (void)pthread_mutex_init(&u->stripe[i].lock, NULL); }
    kluis_status rc = kluis_path(u->dir, sizeof u->dir, dir, "uploads", err);
    if (rc == KLUIS_OK) { rc = kluis_make_dir(u->dir, err); }
    if (rc == KLUIS_OK) { rc = gate_store_uploads_keep(store, drop_unbacked, u, err); }
    if (rc == KLUIS_OK) { rc = gate_uploads_sweep(u, err); }
    if (rc != KLUIS_OK) {
        gate_uploads_free(u);
        return rc;
    }
    *out = u;
    return KLUIS_OK;
}

void gate_uploads_free(struct gate_uploads *u)
{
    if (u == NULL) { return; }
    for (size_t i = 0; i < STRIPES; i++) { (void)pthread_mutex_destroy(&u->stripe[i].lock); }
    (void)pthread_mutex_destroy(&u->room_lock);
    kluis_free(u);
}

static kluis_status room(struct gate_uploads *u, uint64_t more, struct kluis_err *err)
{
    struct statvfs v;
    if (statvfs(u->dir, &v) != 0) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot ask how much room the disk has"); }
    uint64_t free_bytes = (uint64_t)v.f_bavail * (uint64_t)v.f_frsize;
    uint64_t kept = u->reserve + u->promised;
    if (kept < u->reserve || free_bytes < kept || free_bytes - kept < more) {
        kluis_status rc = KLUIS_FAIL(err, KLUIS_E_IO, "the gate's disk is full: try again later");
        if (err != NULL) { err->sys = ENOSPC; }
        return rc;
    }
    return KLUIS_OK;
}

kluis_status gate_uploads_room(struct gate_uploads *u, uint64_t more, struct kluis_err *err)
{
    (void)pthread_mutex_lock(&u->room_lock);
    kluis_status rc = room(u, more, err);
    (void)pthread_mutex_unlock(&u->room_lock);
    return rc;
}

static void give_back(struct gate_uploads *u, uint64_t size)
{
    (void)pthread_mutex_lock(&u->room_lock);
    u->promised -= size;
    (void)pthread_mutex_unlock(&u->room_lock);
}

/* Opens the file and puts the chunk on its stripe, which the caller has locked. */
static kluis_status begin(struct gate_chunk *c, struct stripe *s, bool *misplaced, uint64_t *stands, struct kluis_err *err)
{
    struct gate_upload had = { 0 };
    struct kluis_err why = { 0 };
    kluis_status rc = gate_store_upload_get(c->u->store, c->id, c->device, &had, &why);
    c->fresh = rc == KLUIS_E_NOTFOUND;
    if (rc != KLUIS_OK && !c->fresh) {
        if (err != NULL) { *err = why; }
        return rc;
    }
    for (struct gate_chunk *other = s->active; other != NULL; other = other->next) {
        if (memcmp(other->id, c->id, GATE_ID) == 0 && strcmp(other->device, c->device) != 0) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "this upload id belongs to another device; make a new one");
        }
        if (memcmp(other->id, c->id, GATE_ID) == 0 && other->settling) {
            return KLUIS_FAIL(err, KLUIS_E_BUSY, "a chunk of this upload is being stored: ask for its offset");
        }
    }
    *stands = had.offset;
    if (c->offset != had.offset || (!c->fresh && c->length != had.length)) {
        *misplaced = true;
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "the upload stands at %llu of %llu: go on from there", (unsigned long long)had.offset,
                          (unsigned long long)had.length);
    }
    if (c->fresh) { KLUIS_TRY(gate_store_upload_room(c->u->store, c->device, err)); }
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(file_path(c->u, c->id, path, err));
    c->fd = kluis_io_open(path, c->fresh ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY, 0600);
    if (c->fd < 0) { return KLUIS_FAIL_SYS(err, errno == ENOENT ? KLUIS_E_CORRUPT : KLUIS_E_IO, "cannot open an upload's file"); }
    for (struct gate_chunk *other = s->active; other != NULL; other = other->next) {
        if (memcmp(other->id, c->id, GATE_ID) == 0) { other->superseded = true; }
    }
    c->next = s->active;
    s->active = c;
    return KLUIS_OK;
}

kluis_status gate_chunk_begin(struct gate_uploads *u, const uint8_t id[16], const char *device, uint64_t offset, uint64_t length, uint64_t size,
                              struct gate_chunk **out, bool *misplaced, uint64_t *stands, struct kluis_err *err)
{
    *out = NULL;
    *misplaced = false;
    *stands = 0;
    struct gate_chunk *c = kluis_calloc(1, sizeof *c);
    if (c == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for a chunk"); }
    c->u = u;
    memcpy(c->id, id, GATE_ID);
    (void)snprintf(c->device, sizeof c->device, "%s", device);
    c->offset = offset;
    c->length = length;
    c->size = size;
    c->fd = -1;
    struct stripe *s = stripe_of(u, id);
    (void)pthread_mutex_lock(&s->lock);
    (void)pthread_mutex_lock(&u->room_lock);
    /* The whole rest of the upload must fit, or the device learns it now and not after gigabytes. */
    kluis_status rc = room(u, length - offset, err);
    if (rc == KLUIS_OK) { u->promised += size; }
    (void)pthread_mutex_unlock(&u->room_lock);
    if (rc == KLUIS_OK) {
        rc = begin(c, s, misplaced, stands, err);
        if (rc != KLUIS_OK) { give_back(u, size); }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (rc != KLUIS_OK) {
        kluis_close_quiet(&c->fd);
        kluis_free(c);
        return rc;
    }
    *out = c;
    return KLUIS_OK;
}

static kluis_status taken_over(const struct gate_chunk *c, struct kluis_err *err)
{
    return c->superseded ? KLUIS_FAIL(err, KLUIS_E_BUSY, "another request of this upload took over: ask for its offset") : KLUIS_OK;
}

kluis_status gate_chunk_add(struct gate_chunk *c, const void *p, size_t n, struct kluis_err *err)
{
    if (n > c->size - c->got) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "the chunk is longer than declared"); }
    struct stripe *s = stripe_of(c->u, c->id);
    (void)pthread_mutex_lock(&s->lock);
    kluis_status rc = taken_over(c, err);
    const uint8_t *at = p;
    size_t left = n;
    while (rc == KLUIS_OK && left > 0) {
        ssize_t wrote = kluis_io_pwrite(c->fd, at, left, c->offset + c->got);
        if (wrote <= 0) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write an upload");
            break;
        }
        at += wrote;
        left -= (size_t)wrote;
        c->got += (uint64_t)wrote;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

kluis_status gate_chunk_sync(struct gate_chunk *c, struct kluis_err *err)
{
    if (c->got != c->size) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the chunk is shorter than declared"); }
    struct stripe *s = stripe_of(c->u, c->id);
    (void)pthread_mutex_lock(&s->lock);
    kluis_status rc = taken_over(c, err);
    c->settling = rc == KLUIS_OK;
    (void)pthread_mutex_unlock(&s->lock);
    /* A failed fsync is final for these bytes: the offset stays, the device sends them again. */
    if (rc == KLUIS_OK && kluis_io_fsync(c->fd) != 0) { rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot sync an upload"); }
    if (rc == KLUIS_OK) { kluis_durable_step("gate.upload.chunk"); }
    return rc;
}

bool gate_chunk_has_new_name(const struct gate_chunk *c) { return c->fresh; }

/* A name must be there before a row says that its bytes are. */
kluis_status gate_uploads_sync_names(struct gate_uploads *u, struct kluis_err *err)
{
    KLUIS_TRY(kluis_fsync_dir(u->dir, err));
    kluis_durable_step("gate.upload.create");
    return KLUIS_OK;
}

kluis_status gate_chunk_count(struct gate_chunk *c, int64_t now_us, struct kluis_err *err)
{
    KLUIS_TRY(gate_store_upload_advance(c->u->store, c->id, c->device, c->length, c->offset, c->offset + c->size, now_us, err));
    c->fresh = false;
    return KLUIS_OK;
}

void gate_chunk_free(struct gate_chunk *c)
{
    if (c == NULL) { return; }
    struct stripe *s = stripe_of(c->u, c->id);
    (void)pthread_mutex_lock(&s->lock);
    for (struct gate_chunk **at = &s->active; *at != NULL; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    kluis_close_quiet(&c->fd); /* what counts was synced */
    char path[KLUIS_PATH_MAX];
    if (c->fresh && !c->superseded && file_path(c->u, c->id, path, NULL) == KLUIS_OK) {
        if (kluis_io_unlink(path) != 0) { kluis_log(KLUIS_LOG_WARN, "upload.orphan", "device=%s", c->device); } /* swept at the next start */
    }
    (void)pthread_mutex_unlock(&s->lock);
    give_back(c->u, c->size);
    kluis_free(c);
}

kluis_status gate_uploads_drop(struct gate_uploads *u, struct kluis_bytes ids, struct kluis_err *err)
{
    size_t removed = 0;
    for (size_t at = 0; at + GATE_ID <= ids.len; at += GATE_ID) { KLUIS_TRY(remove_orphan(u, ids.ptr + at, &removed, err)); }
    if (removed == 0) { return KLUIS_OK; }
    KLUIS_TRY(kluis_fsync_dir(u->dir, err));
    kluis_durable_step("gate.upload.unlink");
    return KLUIS_OK;
}

kluis_status gate_uploads_read(struct gate_uploads *u, const uint8_t id[16], uint64_t length, int *fd, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    struct stat st;
    *fd = -1;
    KLUIS_TRY(file_path(u, id, path, err));
    *fd = kluis_io_open(path, O_RDONLY | O_NOFOLLOW, 0);
    if (*fd < 0) {
        return errno == ENOENT ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "the upload's file is not there")
                               : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open an upload's file");
    }
    if (fstat(*fd, &st) != 0) {
        kluis_status rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot look at an upload's file");
        kluis_close_quiet(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < length) {
        kluis_close_quiet(fd);
        return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "an upload's file is shorter than what was acknowledged");
    }
    return KLUIS_OK;
}
