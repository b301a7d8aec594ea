/* lib/verify/readahead.c - one producer, one consumer, a ring of blocks between them. */
#include "readahead.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>

enum { BLOCK = 256 << 10, BLOCKS = 8 };

struct readahead {
    int fd;
    const char *what;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint8_t *data; /* BLOCKS of BLOCK bytes */
    size_t len[BLOCKS];
    uint64_t filled, taken; /* blocks made, blocks used up */
    size_t at;              /* consumer's place in its block */
    bool ended, stop;
    int failed; /* errno of the producer */
};

static void *fill(void *arg)
{
    struct readahead *r = arg;
    uint64_t at = 0;
    for (bool more = true; more;) {
        pthread_mutex_lock(&r->lock);
        while (!r->stop && r->filled - r->taken == BLOCKS) { pthread_cond_wait(&r->moved, &r->lock); }
        bool stop = r->stop;
        uint64_t n = r->filled;
        pthread_mutex_unlock(&r->lock);
        if (stop) { break; }
        uint8_t *to = r->data + (n % BLOCKS) * BLOCK;
        ssize_t got = kluis_io_pread(r->fd, to, BLOCK, at);
        int why = errno;
        pthread_mutex_lock(&r->lock);
        if (got > 0) {
            r->len[n % BLOCKS] = (size_t)got;
            r->filled++;
            at += (uint64_t)got;
        } else {
            r->ended = true;
            r->failed = got < 0 ? (why ? why : EIO) : 0;
            more = false;
        }
        pthread_cond_signal(&r->moved);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

static ssize_t take(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct readahead *r = ctx;
    if (n == 0) { return 0; }
    pthread_mutex_lock(&r->lock);
    while (r->filled == r->taken && !r->ended) { pthread_cond_wait(&r->moved, &r->lock); }
    bool empty = r->filled == r->taken;
    int failed = r->failed;
    pthread_mutex_unlock(&r->lock);
    if (empty) {
        if (!failed) { return 0; }
        errno = failed;
        (void)KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read %s", r->what);
        return -1;
    }
    /* The block is ours until `taken` passes it: the producer never touches it before. */
    size_t slot = (size_t)(r->taken % BLOCKS), left = r->len[slot] - r->at;
    if (n > left) { n = left; }
    memcpy(p, r->data + slot * BLOCK + r->at, n);
    r->at += n;
    if (n == left) {
        r->at = 0;
        pthread_mutex_lock(&r->lock);
        r->taken++;
        pthread_cond_signal(&r->moved);
        pthread_mutex_unlock(&r->lock);
    }
    return (ssize_t)n;
}

struct readahead *readahead_start(int fd, const char *what)
{
    struct readahead *r = kluis_calloc(1, sizeof *r);
    if (!r) { return NULL; }
    r->fd = fd;
    r->what = what;
    r->data = kluis_malloc((size_t)BLOCK * BLOCKS);
    int lock = pthread_mutex_init(&r->lock, NULL), moved = pthread_cond_init(&r->moved, NULL);
    assert(lock == 0 && moved == 0); /* they cannot fail on Linux */
    (void)lock, (void)moved;
    if (!r->data || pthread_create(&r->thread, NULL, fill, r) != 0) {
        pthread_cond_destroy(&r->moved);
        pthread_mutex_destroy(&r->lock);
        kluis_free(r->data);
        kluis_free(r);
        return NULL;
    }
    return r;
}

struct kluis_input readahead_input(struct readahead *r) { return (struct kluis_input){ .ctx = r, .read = take }; }

void readahead_stop(struct readahead *r)
{
    if (!r) { return; }
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->moved);
    pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL); /* fails only for threads that do not exist */
    pthread_cond_destroy(&r->moved);
    pthread_mutex_destroy(&r->lock);
    kluis_free(r->data);
    kluis_free(r);
}
