/* lib/base/memory.c - the one allocator, secrets, arenas, buffers, borrowed strings. */
#include "lib/base/internal.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

const struct kluis_hooks *kluis_hooks_;

void kluis_hooks_set(const struct kluis_hooks *h) { kluis_hooks_ = h; }

void kluis_durable_step(const char *name)
{
    if (kluis_hooks_ != NULL && kluis_hooks_->durable_step != NULL) { kluis_hooks_->durable_step(name); }
}

void kluis_memory_keep(void)
{
    // NOLINTBEGIN(concurrency-mt-unsafe): no thread runs yet
    (void)mallopt(M_MMAP_THRESHOLD, 16 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 48 << 20);
    // NOLINTEND(concurrency-mt-unsafe)
}

/* The hook only says yes or no: the memory itself always comes from libc, so that hooks may be set late and
 * everything can be freed the same way. */
static bool refused(size_t n)
{
    if (kluis_hooks_ == NULL || kluis_hooks_->alloc == NULL) { return false; }
    void *p = kluis_hooks_->alloc(n == 0 ? 1 : n);
    free(p);
    return p == NULL;
}

static _Thread_local uint64_t refusals; /* of this thread */

static void *counted(void *p)
{
    if (p == NULL) {
        refusals++;
        errno = ENOMEM;
    }
    return p;
}

uint64_t kluis_memory_mark(void)
{
    errno = 0;
    return refusals;
}

bool kluis_memory_refused(uint64_t mark) { return refusals != mark || errno == ENOMEM; }

void *kluis_malloc(size_t n) { return counted(refused(n) ? NULL : malloc(n == 0 ? 1 : n)); }

void *kluis_calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n) || refused(n)) { return counted(NULL); }
    return counted(n == 0 ? calloc(1, 1) : calloc(count, size));
}

void *kluis_realloc(void *p, size_t n) { return counted(refused(n) ? NULL : realloc(p, n == 0 ? 1 : n)); }

void kluis_free(void *p) { free(p); }

char *kluis_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = kluis_malloc(n);
    if (p != NULL) { memcpy(p, s, n); }
    return p;
}

void kluis_wipe(void *p, size_t n)
{
    if (p != NULL) { explicit_bzero(p, n); }
}

bool kluis_equal_secret(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    unsigned diff = 0;
    for (size_t i = 0; i < n; i++) { diff |= (unsigned)(x[i] ^ y[i]); }
    return diff == 0;
}

/* libgcrypt makes copies of keys (a parsed key, its numbers) and wipes only what lies in its own secure memory, which is off: what it gives back is
 * wiped here, whatever it was. */
void *kluis_gcrypt_alloc(size_t n) { return malloc(n == 0 ? 1 : n); }

void kluis_gcrypt_free(void *p)
{
    if (p != NULL) { explicit_bzero(p, malloc_usable_size(p)); }
    free(p);
}

void *kluis_gcrypt_realloc(void *p, size_t n)
{
    void *q = kluis_gcrypt_alloc(n);
    if (q == NULL || p == NULL) { return q; }
    size_t had = malloc_usable_size(p);
    memcpy(q, p, had < n ? had : n);
    kluis_gcrypt_free(p);
    return q;
}

int kluis_gcrypt_is_secure(const void *p)
{
    (void)p;
    return 0;
}

static size_t whole_pages(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page;
}

void *kluis_secret_new(size_t n)
{
    if (n == 0 || n > (64u << 10)) { return NULL; }
    size_t len = whole_pages(n);
    int before = errno;
    void *p = refused(n) ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) { return counted(NULL); }
    /* Best effort, all three: RLIMIT_MEMLOCK may be small, and an unlocked key is still better than no archive. */
    (void)mlock(p, len);
    (void)madvise(p, len, MADV_DONTDUMP);
    (void)madvise(p, len, MADV_WIPEONFORK);
    errno = before; /* a page that could not be locked is no memory refused */
    return p;
}

void kluis_secret_free(void *p, size_t n)
{
    if (p == NULL) { return; }
    size_t len = whole_pages(n);
    explicit_bzero(p, len);
    (void)munmap(p, len); /* wiped already; a failure leaks address space only */
}

uint64_t kluis_str_hash(struct kluis_str s, uint64_t h)
{
    static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio */
    const char *p = s.ptr;
    size_t n = s.ptr == NULL ? 0 : s.len;
    uint64_t w = 0;
    h = (h ^ n) * odd;
    for (; n >= sizeof w; p += sizeof w, n -= sizeof w) {
        memcpy(&w, p, sizeof w);
        h = (h ^ h >> 32 ^ w) * odd;
    }
    w = 0;
    if (n > 0) { memcpy(&w, p, n); }
    h = (h ^ h >> 32 ^ w) * odd;
    return h ^ h >> 29;
}

/* ---- arena ---- */

struct block {
    struct block *next;
    size_t cap, used;
};

struct kluis_arena {
    struct block *first, *last;
    size_t ceiling, held, used;
};

enum { BLOCK_MIN = 16384, ALIGN = 16, BLOCK_HEAD = (sizeof(struct block) + ALIGN - 1) / ALIGN * ALIGN };

struct kluis_arena *kluis_arena_new(size_t ceiling)
{
    struct kluis_arena *a = kluis_calloc(1, sizeof *a);
    if (a != NULL) { a->ceiling = ceiling; }
    return a;
}

static void free_blocks(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        kluis_free(b);
        b = next;
    }
}

void kluis_arena_free(struct kluis_arena *a)
{
    if (a == NULL) { return; }
    free_blocks(a->first);
    kluis_free(a);
}

void kluis_arena_clear(struct kluis_arena *a)
{
    a->used = 0;
    if (a->first == NULL) { return; }
    free_blocks(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
    a->held = a->first->cap;
}

/* A new block with room for `need` bytes; false: no memory. */
static bool more_room(struct kluis_arena *a, size_t need)
{
    size_t cap = a->held < BLOCK_MIN ? BLOCK_MIN : (a->held > (1u << 20) ? (1u << 20) : a->held);
    if (cap < need) { cap = need; }
    struct block *b = kluis_malloc(BLOCK_HEAD + cap);
    if (b == NULL) { return false; }
    *b = (struct block){ NULL, cap, 0 };
    if (a->last != NULL) {
        a->last->next = b;
    } else {
        a->first = b;
    }
    a->last = b;
    a->held += cap;
    return true;
}

void *kluis_arena_bare(struct kluis_arena *a, size_t n)
{
    size_t need;
    if (__builtin_add_overflow(n, (size_t)(ALIGN - 1), &need)) { return NULL; }
    need = need / ALIGN * ALIGN;
    if (need == 0) { need = ALIGN; }
    if (need > a->ceiling || a->used > a->ceiling - need) { return NULL; }
    if ((a->last == NULL || a->last->cap - a->last->used < need) && !more_room(a, need)) { return NULL; }
    uint8_t *p = (uint8_t *)a->last + BLOCK_HEAD + a->last->used;
    a->last->used += need;
    a->used += need;
    return p;
}

void *kluis_arena_alloc(struct kluis_arena *a, size_t n)
{
    void *p = kluis_arena_bare(a, n);
    if (p != NULL) { memset(p, 0, n); }
    return p;
}

char *kluis_arena_strndup(struct kluis_arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) { return NULL; }
    char *p = kluis_arena_bare(a, n + 1);
    if (p == NULL) { return NULL; }
    if (n > 0) { memcpy(p, s, n); }
    p[n] = '\0';
    return p;
}

struct kluis_str kluis_arena_str(struct kluis_arena *a, struct kluis_str s)
{
    if (s.ptr == NULL) { return s; }
    char *p = kluis_arena_strndup(a, s.ptr, s.len);
    return (struct kluis_str){ p, p == NULL ? 0 : s.len };
}

struct kluis_str kluis_arena_join(struct kluis_arena *a, const struct kluis_str *pieces, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(len, pieces[i].len, &len)) { return (struct kluis_str){ NULL, 0 }; }
    }
    char *p = len == SIZE_MAX ? NULL : kluis_arena_bare(a, len + 1), *w = p;
    if (p == NULL) { return (struct kluis_str){ NULL, 0 }; }
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].ptr == NULL) { continue; }
        memcpy(w, pieces[i].ptr, pieces[i].len);
        w += pieces[i].len;
    }
    *w = '\0';
    return (struct kluis_str){ p, len };
}

size_t kluis_arena_used(const struct kluis_arena *a) { return a->used; }

/* ---- buffer ---- */

void kluis_buf_init(struct kluis_buf *b, size_t max) { *b = (struct kluis_buf){ .max = max }; }

void kluis_buf_free(struct kluis_buf *b)
{
    kluis_free(b->data);
    kluis_buf_init(b, b->max);
}

void kluis_buf_clear(struct kluis_buf *b)
{
    b->len = 0;
    b->status = KLUIS_OK;
}

uint8_t *kluis_buf_reserve(struct kluis_buf *b, size_t n)
{
    if (b->status != KLUIS_OK) { return NULL; }
    if (n > b->max || b->len > b->max - n) {
        b->status = KLUIS_E_LIMIT;
        return NULL;
    }
    size_t need = b->len + n;
    if (need > b->cap || b->data == NULL) {
        size_t cap = b->cap < 256 ? 256 : b->cap;
        while (cap < need) { cap = cap > SIZE_MAX / 2 ? need : cap * 2; }
        if (cap > b->max) { cap = b->max; }
        uint8_t *p = kluis_realloc(b->data, cap);
        if (p == NULL) {
            b->status = KLUIS_E_NOMEM;
            return NULL;
        }
        b->data = p;
        b->cap = cap;
    }
    return b->data + b->len;
}

void kluis_buf_add(struct kluis_buf *b, const void *p, size_t n)
{
    if (n == 0) { return; }
    uint8_t *to = b->status == KLUIS_OK && n <= b->cap - b->len ? b->data + b->len : kluis_buf_reserve(b, n);
    if (to == NULL) { return; }
    memcpy(to, p, n);
    b->len += n;
}

void kluis_buf_byte(struct kluis_buf *b, uint8_t c)
{
    if (b->status == KLUIS_OK && b->len < b->cap) {
        b->data[b->len++] = c;
        return;
    }
    kluis_buf_add(b, &c, 1);
}

void kluis_buf_cstr(struct kluis_buf *b, const char *s) { kluis_buf_add(b, s, strlen(s)); }

void kluis_buf_str(struct kluis_buf *b, struct kluis_str s)
{
    if (s.ptr != NULL) { kluis_buf_add(b, s.ptr, s.len); }
}

void kluis_buf_fmt(struct kluis_buf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        kluis_buf_add(b, small, (size_t)n);
    } else if (n >= 0) {
        char *big = kluis_malloc((size_t)n + 1);
        if (big == NULL) {
            b->status = b->status == KLUIS_OK ? KLUIS_E_NOMEM : b->status;
        } else {
            (void)vsnprintf(big, (size_t)n + 1, fmt, again); /* measured above */
            kluis_buf_add(b, big, (size_t)n);
            kluis_free(big);
        }
    } else {
        b->status = b->status == KLUIS_OK ? KLUIS_E_BUG : b->status;
    }
    va_end(again);
}

kluis_status kluis_buf_ok(const struct kluis_buf *b, struct kluis_err *err)
{
    if (b->status == KLUIS_OK) { return KLUIS_OK; }
    if (b->status == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a buffer"); }
    return KLUIS_FAIL(err, b->status, "a buffer would grow past its ceiling of %zu bytes", b->max);
}

struct kluis_bytes kluis_buf_bytes(const struct kluis_buf *b)
{
    static const uint8_t empty[1];
    return (struct kluis_bytes){ b->data == NULL ? empty : b->data, b->len };
}
