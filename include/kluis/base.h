/* kluis/base.h - status, errors, memory, bytes, files, time, digests, text codings, wire frames.
 *
 * The floor of the house: everything else stands on it, it stands on libc and libgcrypt alone.
 * No sockets, no SQLite, no logging, no exit.  Every function here is thread-safe unless it works on
 * an object of the caller's; such an object belongs to one thread at a time.
 * Call kluis_base_init() once, before any thread starts and before any sandbox closes.
 */
#ifndef KLUIS_BASE_H
#define KLUIS_BASE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct stat;

#define KLUIS_MUSTUSE __attribute__((warn_unused_result))
#define KLUIS_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define KLUIS_UNUSED __attribute__((unused))

/* ---- status and error ------------------------------------------------------------------------
 * A status says who must act; the error object says what happened. */
typedef enum kluis_status {
    KLUIS_OK = 0,
    KLUIS_END = 1,          /* iterators only: nothing more, not an error             */
    KLUIS_E_NOMEM = -2,     /* local, maybe transient: try again later                */
    KLUIS_E_IO = -3,        /* "                                                      */
    KLUIS_E_BUSY = -4,      /* somebody else holds it, or the peer says "later"       */
    KLUIS_E_EXISTS = -5,    /* an idempotent repeat: the thing is already there       */
    KLUIS_E_REJECT = -6,    /* the input is wrong: refuse it, keep what is stored     */
    KLUIS_E_LIMIT = -7,     /* the input exceeds a stated ceiling: refuse it          */
    KLUIS_E_CORRUPT = -8,   /* our own stored data is damaged: stop, alarm            */
    KLUIS_E_BUG = -9,       /* a broken invariant of ours: stop, alarm                */
    KLUIS_E_NOTFOUND = -10, /* what was asked for does not exist                      */
    KLUIS_E_USAGE = -11     /* the caller's command line or configuration is wrong    */
} kluis_status;

enum { KLUIS_ERR_MSG = 320 };

/* Caller-owned, no heap: works when memory is out.  First detection wins; callers may prefix. */
struct kluis_err {
    kluis_status code;
    int sys;                 /* errno at detection, or 0                                    */
    const char *where;       /* static "file:line" of the first detection                   */
    char msg[KLUIS_ERR_MSG]; /* one line, no newline, no message content, no secret       */
};

#define KLUIS_STR2(x) #x
#define KLUIS_STR(x) KLUIS_STR2(x)
#define KLUIS_WHERE __FILE__ ":" KLUIS_STR(__LINE__)

/* Sets *err (may be NULL) unless it already holds an error, and returns code. */
kluis_status kluis_fail_at(struct kluis_err *err, const char *where, kluis_status code, int sys, const char *fmt, ...) KLUIS_PRINTF(5, 6);
/* The same, with errno and its text appended ("…: No space left on device"). */
#ifndef __clang_analyzer__
#define KLUIS_FAIL(err, code, ...) kluis_fail_at((err), KLUIS_WHERE, (code), 0, __VA_ARGS__)
#define KLUIS_FAIL_SYS(err, code, ...) kluis_fail_at((err), KLUIS_WHERE, (code), errno, __VA_ARGS__)
#else /* it does not look into that function, and would follow every path on which a failure is none */
#define KLUIS_FAIL(err, code, ...) ((void)kluis_fail_at((err), KLUIS_WHERE, (code), 0, __VA_ARGS__), (code))
#define KLUIS_FAIL_SYS(err, code, ...) ((void)kluis_fail_at((err), KLUIS_WHERE, (code), errno, __VA_ARGS__), (code))
#endif

void kluis_err_clear(struct kluis_err *err);
/* Puts "prefix: " before the message; truncates at the end, never at the start. */
void kluis_err_prefix(struct kluis_err *err, const char *fmt, ...) KLUIS_PRINTF(2, 3);
const char *kluis_status_name(kluis_status code);
/* The exit code of a program that ends with this status: 0 done, 1 refused or invalid, 64 usage,
 * 74 I/O (also E_CORRUPT and E_BUG), 75 try again (E_NOMEM, E_BUSY).  2 (indeterminate) is chapter
 * of the verifier alone and has no status. */
int kluis_exit_code(kluis_status code);

/* Returns from the calling function with the status of an expression that is not KLUIS_OK. */
#define KLUIS_TRY(expr)                                                                                                                              \
    do {                                                                                                                                             \
        kluis_status kluis_try_rc_ = (expr);                                                                                                         \
        if (kluis_try_rc_ != KLUIS_OK) { return kluis_try_rc_; }                                                                                     \
    } while (0)

/* KLUIS_DEFINE_CLEANUP(kluis_x) lets a scope own a `struct kluis_x *`: KLUIS_AUTO(kluis_x) v = NULL; */
#define KLUIS_DEFINE_CLEANUP(type)                                                                                                                   \
    static inline void type##_cleanup_(struct type **p) { type##_free(*p); }
#define KLUIS_AUTO(type) __attribute__((cleanup(type##_cleanup_))) struct type *

/* ---- start-up --------------------------------------------------------------------------------
 * Initialises libgcrypt (1.10 or newer; its own secure memory off: kluis_secret_* locks what is
 * secret), reads the time zone so that nothing opens /etc/localtime later, sets RLIMIT_CORE to 0 and
 * PR_SET_DUMPABLE to 0.  Idempotent.  Errors: E_BUG when libgcrypt is too old. */
KLUIS_MUSTUSE kluis_status kluis_base_init(struct kluis_err *err);

/* ---- memory ----------------------------------------------------------------------------------
 * The only allocator of the project (banned.h refuses the others).  NULL when out of memory.
 * kluis_free(NULL) does nothing.  Zero-byte requests return a unique pointer. */
void *kluis_malloc(size_t n) __attribute__((malloc));
void *kluis_calloc(size_t count, size_t size) __attribute__((malloc)); /* NULL on overflow too */
void *kluis_realloc(void *p, size_t n);
void kluis_free(void *p);
char *kluis_strdup(const char *s);
void kluis_wipe(void *p, size_t n);                              /* cannot be optimised away */
bool kluis_equal_secret(const void *a, const void *b, size_t n); /* constant time */

/* Libraries that run out of memory often say something else (OpenSSL: "key too weak"; libsignal: "not of this session"; json-c: no JSON).  Who turns
 * a library's failure into a verdict on what came takes a mark before, and believes the failure only when no memory was refused since: in this
 * thread, by the allocator above (OpenSSL's and expat's too) or by libc's own, which leaves ENOMEM in errno.  A mark sets errno to 0. */
uint64_t kluis_memory_mark(void);
bool kluis_memory_refused(uint64_t mark);
/* Memory that one package needed serves the next: what is freed stays with the process (48 MiB at the end of the heap, pieces under 16 MiB), since
 * giving it back and faulting it in again costs as much as the work itself.  For a main, before there are threads. */
void kluis_memory_keep(void);

/* Secret memory: own pages, mlocked (best effort: RLIMIT_MEMLOCK may forbid), not dumped, not
 * inherited by forks (MADV_WIPEONFORK), wiped on free.  Meant for few and small keys (<= 64 KiB). */
void *kluis_secret_new(size_t n);
void kluis_secret_free(void *p, size_t n); /* NULL: no-op */

/* Borrowed views.  ptr NULL means absent, which is not the same as empty. */
struct kluis_bytes {
    const uint8_t *ptr;
    size_t len;
};
struct kluis_str {
    const char *ptr;
    size_t len;
}; /* UTF-8 unless a field says otherwise; may hold NUL */
#define KLUIS_STR_LIT(s) ((struct kluis_str){ (s), sizeof(s) - 1 })
/* Here, so that of a name that is known when this is compiled nobody measures the length. */
static inline struct kluis_str kluis_str_of(const char *z) { return (struct kluis_str){ z, z == NULL ? 0 : strlen(z) }; } /* NULL gives absent */
static inline bool kluis_str_eq(struct kluis_str a, struct kluis_str b) /* absent equals only absent */
{
    if (a.ptr == NULL || b.ptr == NULL) { return a.ptr == b.ptr; }
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}
static inline bool kluis_str_is(struct kluis_str a, const char *z) { return kluis_str_eq(a, kluis_str_of(z)); }
/* For tables in memory: may differ from one build to the next.  h: a hash to go on from, or any number. */
uint64_t kluis_str_hash(struct kluis_str s, uint64_t h);

/* Arena: everything in it dies together.  Never holds a file descriptor or a secret. */
struct kluis_arena;
struct kluis_arena *kluis_arena_new(size_t ceiling); /* bytes it may ever hold; NULL: no memory */
void kluis_arena_free(struct kluis_arena *a);
void kluis_arena_clear(struct kluis_arena *a);                               /* empties it, keeps its first block */
void *kluis_arena_alloc(struct kluis_arena *a, size_t n);                    /* zeroed, 16-aligned; NULL: no memory or ceiling */
void *kluis_arena_bare(struct kluis_arena *a, size_t n);                     /* the same, not zeroed: for what is filled at once */
char *kluis_arena_strndup(struct kluis_arena *a, const char *s, size_t n);   /* NUL-terminated copy */
struct kluis_str kluis_arena_str(struct kluis_arena *a, struct kluis_str s); /* absent stays absent; on failure absent */
/* The pieces one behind the other, NUL-terminated; absent ones are empty.  Absent: no memory or ceiling. */
struct kluis_str kluis_arena_join(struct kluis_arena *a, const struct kluis_str *pieces, size_t n);
size_t kluis_arena_used(const struct kluis_arena *a);
KLUIS_DEFINE_CLEANUP(kluis_arena)

/* Growing buffer with a ceiling and a sticky status: append freely, look at `status` once at the end.
 * After a failure it keeps what it had and ignores further appends. */
struct kluis_buf {
    uint8_t *data;
    size_t len, cap, max;
    kluis_status status;
};
void kluis_buf_init(struct kluis_buf *b, size_t max);
void kluis_buf_free(struct kluis_buf *b);  /* wipes nothing; leaves it re-initialised with the same max */
void kluis_buf_clear(struct kluis_buf *b); /* len = 0, status = OK, memory kept */
void kluis_buf_add(struct kluis_buf *b, const void *p, size_t n);
void kluis_buf_byte(struct kluis_buf *b, uint8_t c);
void kluis_buf_cstr(struct kluis_buf *b, const char *s);
void kluis_buf_str(struct kluis_buf *b, struct kluis_str s);
void kluis_buf_fmt(struct kluis_buf *b, const char *fmt, ...) KLUIS_PRINTF(2, 3);
uint8_t *kluis_buf_reserve(struct kluis_buf *b, size_t n); /* room for n more bytes, or NULL; then b->len += used */
/* KLUIS_OK, or sets *err from the sticky status: E_NOMEM or E_LIMIT. */
KLUIS_MUSTUSE kluis_status kluis_buf_ok(const struct kluis_buf *b, struct kluis_err *err);
struct kluis_bytes kluis_buf_bytes(const struct kluis_buf *b);
static inline void kluis_buf_cleanup_(struct kluis_buf *b) { kluis_buf_free(b); }
#define KLUIS_AUTO_BUF(name, max)                                                                                                                    \
    __attribute__((cleanup(kluis_buf_cleanup_))) struct kluis_buf name;                                                                              \
    kluis_buf_init(&(name), (max))

/* ---- files -----------------------------------------------------------------------------------
 * Thin, checked and injectable.  All retry EINTR except close (which Linux never needs). */
KLUIS_MUSTUSE int kluis_io_open(const char *path, int flags, unsigned mode); /* adds O_CLOEXEC; -1 + errno */
KLUIS_MUSTUSE int kluis_io_openat(int dirfd, const char *path, int flags, unsigned mode);
KLUIS_MUSTUSE ssize_t kluis_io_read(int fd, void *p, size_t n);
KLUIS_MUSTUSE ssize_t kluis_io_pread(int fd, void *p, size_t n, uint64_t at);
KLUIS_MUSTUSE ssize_t kluis_io_write(int fd, const void *p, size_t n);
KLUIS_MUSTUSE ssize_t kluis_io_pwrite(int fd, const void *p, size_t n, uint64_t at);
KLUIS_MUSTUSE int kluis_io_fsync(int fd);
KLUIS_MUSTUSE int kluis_io_fdatasync(int fd); /* enough where neither length nor blocks of the file change */
KLUIS_MUSTUSE int kluis_io_close(int fd);
KLUIS_MUSTUSE int kluis_io_rename(const char *from, const char *to);
KLUIS_MUSTUSE int kluis_io_link(const char *from, const char *to); /* EEXIST: never replaces */
KLUIS_MUSTUSE int kluis_io_unlink(const char *path);
KLUIS_MUSTUSE int kluis_io_mkdir(const char *path, unsigned mode);
KLUIS_MUSTUSE int kluis_io_ftruncate(int fd, uint64_t size);

/* Whole-length forms: a short read or write is an error (E_IO; a read past the end is E_REJECT).
 * `what` names the file in the message. */
KLUIS_MUSTUSE kluis_status kluis_write_all(int fd, const void *p, size_t n, const char *what, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_pread_all(int fd, void *p, size_t n, uint64_t at, const char *what, struct kluis_err *err);
/* Closes an fd that was written to: fsync, then close, both checked; *fd becomes -1 either way. */
KLUIS_MUSTUSE kluis_status kluis_close_durable(int *fd, const char *what, struct kluis_err *err);
void kluis_close_quiet(int *fd); /* for read-only fds and error paths; *fd becomes -1; -1 is no-op */
KLUIS_MUSTUSE kluis_status kluis_fsync_dir(const char *dir, struct kluis_err *err);
/* Is there anything of that name?  E_IO when that cannot be known: not being able to look is not absence. */
KLUIS_MUSTUSE kluis_status kluis_exists(const char *path, bool *there, struct kluis_err *err);
/* The same, and what it is, links followed: a link to nothing is nothing. */
enum kluis_at { KLUIS_AT_NOTHING, KLUIS_AT_FILE, KLUIS_AT_FOLDER, KLUIS_AT_OTHER };
KLUIS_MUSTUSE kluis_status kluis_what_at(const char *path, enum kluis_at *what, struct kluis_err *err);
/* mkdir -p of the last component with mode 0700 and fsync of its parent; existing directory is OK. */
KLUIS_MUSTUSE kluis_status kluis_make_dir(const char *dir, struct kluis_err *err);
/* The next name of an open directory, "." and ".." left out, in no order.  true: *name is one, until the next call on d.  false: *rc was not
 * KLUIS_OK before, or the end (*rc stays KLUIS_OK), or *rc = E_IO: a directory that cannot be read further is not a shorter one (POSIX
 * readdir: NULL with errno set).  `what` names it in the message.  A loop over a directory is `for (const char *name; kluis_dir_next(…);)`
 * and looks at *rc behind it; nothing else calls readdir. */
bool kluis_dir_next(DIR *d, const char *what, const char **name, kluis_status *rc, struct kluis_err *err);
/* What `name` in d is (fstatat with flags), or an open folder in it (never through a link; the caller closes it).  false, *rc untouched: gone
 * meanwhile, not that, or not this user's to see.  false, *rc E_IO: it could not be looked at or opened: it may not be left out as if it were absent.
 */
bool kluis_dir_look(DIR *d, const char *what, const char *name, int flags, struct stat *st, kluis_status *rc, struct kluis_err *err);
bool kluis_dir_down(DIR *d, const char *what, const char *name, int *fd, kluis_status *rc, struct kluis_err *err);
/* Reads a regular file whole into out (appended).  E_NOTFOUND, E_LIMIT when larger than max, E_IO. */
KLUIS_MUSTUSE kluis_status kluis_read_file(const char *path, size_t max, struct kluis_buf *out, struct kluis_err *err);
/* The one durable write: O_EXCL temporary beside it, write, fsync, close, rename, fsync directory.
 * Replaces an existing file atomically.  After failure the old file stands and no temporary is left
 * (unless the machine died). */
KLUIS_MUSTUSE kluis_status kluis_write_file(const char *path, const void *p, size_t n, unsigned mode, struct kluis_err *err);
/* Moves a finished, fsynced file to its name: rename, kluis_durable_step(step), fsync of the directory. */
KLUIS_MUSTUSE kluis_status kluis_publish_file(const char *tmp, const char *path, const char *step, struct kluis_err *err);
/* Joins with one '/'.  E_LIMIT when the result does not fit. */
KLUIS_MUSTUSE kluis_status kluis_path(char *out, size_t cap, const char *dir, const char *name, struct kluis_err *err);
enum { KLUIS_PATH_MAX = 4096 };

/* A byte stream to read from: file, memory, zip entry, decrypter.  read returns bytes read (0 = end)
 * or -1 with *err set. */
struct kluis_input {
    void *ctx;
    ssize_t (*read)(void *ctx, void *p, size_t n, struct kluis_err *err);
};
struct kluis_input_fd {
    int fd;
    uint64_t at;
    const char *what;
}; /* preads from `at` on */
struct kluis_input kluis_input_from_fd(struct kluis_input_fd *state);
struct kluis_input_mem {
    struct kluis_bytes data;
    size_t at;
};
struct kluis_input kluis_input_from_mem(struct kluis_input_mem *state);
/* A byte stream to write to. */
struct kluis_output {
    void *ctx;
    kluis_status (*write)(void *ctx, const void *p, size_t n, struct kluis_err *err);
};

/* ---- time ------------------------------------------------------------------------------------
 * Instants are int64_t microseconds since 1970-01-01T00:00:00Z, proleptic Gregorian, no leap seconds. */
#define KLUIS_TIME_ABSENT INT64_MIN
int64_t kluis_now_us(void); /* injectable */
int64_t kluis_monotonic_us(void);
void kluis_sleep_us(int64_t us);
/* Days since 1970-01-01 of a civil date; false when the date is in no calendar (30 February, month 13,
 * year outside 1..9999). */
bool kluis_days_from_civil(int year, int month, int day, int64_t *days);
void kluis_civil_from_days(int64_t days, int *year, int *month, int *day);
/* Writes RFC 3339: offset_min 0 gives "Z"; digits of fraction 0, 3 or 6.  Returns length. */
enum { KLUIS_TIME_TEXT = 40 };
size_t kluis_time_text(char out[KLUIS_TIME_TEXT], int64_t us, int offset_min, int fraction_digits);
/* Strict RFC 3339 (upper-case T and Z, fraction of 3 or 6 digits or none).  false: not one. */
bool kluis_time_parse(struct kluis_str s, int64_t *us, int *offset_min, int *fraction_digits);

/* ---- randomness and digests ------------------------------------------------------------------ */
/* getrandom(2), injectable.  Cannot fail (aborts when the kernel has no randomness). */
void kluis_random(void *p, size_t n);

enum { KLUIS_SHA256_LEN = 32 };
struct kluis_sha256;                         /* streaming; one thread at a time */
struct kluis_sha256 *kluis_sha256_new(void); /* NULL: no memory */
void kluis_sha256_add(struct kluis_sha256 *h, const void *p, size_t n);
void kluis_sha256_end(struct kluis_sha256 *h, uint8_t out[32]);       /* and starts anew */
struct kluis_sha256 *kluis_sha256_copy(const struct kluis_sha256 *h); /* with what it was fed so far; NULL: no memory */
void kluis_sha256_free(struct kluis_sha256 *h);
KLUIS_DEFINE_CLEANUP(kluis_sha256)
void kluis_sha256_of(const void *p, size_t n, uint8_t out[32]);
/* RFC 2104 and RFC 5869 with SHA-256.  E_NOMEM only. */
KLUIS_MUSTUSE kluis_status kluis_hmac_sha256(const void *key, size_t key_len, const void *p, size_t n, uint8_t out[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_hkdf_sha256(struct kluis_bytes ikm, struct kluis_bytes salt, struct kluis_bytes info, uint8_t *out, size_t n,
                                             struct kluis_err *err);

/* ---- a second pair of hands -------------------------------------------------------------------
 * A helper thread that does jobs in the order in which one thread gives them: KLUIS_LANE_JOBS at most, beyond that giving waits.
 * Nothing is copied: bytes and ctx stay as they are until the job is done.  A job that is shared, not given, needs nothing that other
 * jobs leave behind: the giver does it himself, and before others, when he would wait for the helper otherwise.
 * A NULL lane does each job at once, in the caller's thread; a lane never changes what comes out. */
enum { KLUIS_LANE_JOBS = 256 };
struct kluis_lane;
typedef void kluis_lane_fn(void *ctx, const uint8_t *p, size_t n);
struct kluis_lane *kluis_lane_new(void); /* NULL: no memory, no thread, or one processor only; all of them are a reason to go on without */
void kluis_lane_give(struct kluis_lane *l, kluis_lane_fn *fn, void *ctx, const void *p, size_t n);
void kluis_lane_share(struct kluis_lane *l, kluis_lane_fn *fn, void *ctx, const void *p, size_t n);
uint64_t kluis_lane_given(const struct kluis_lane *l); /* the number of jobs given so far */
size_t kluis_lane_behind(struct kluis_lane *l);        /* given and not done: who finds many does the next himself */
/* Until the first `given` jobs are done; what they wrote may then be read, what they read be changed. */
void kluis_lane_until(struct kluis_lane *l, uint64_t given);
void kluis_lane_wait(struct kluis_lane *l); /* until all are */
void kluis_lane_free(struct kluis_lane *l); /* the same, and ends the thread; NULL: no-op */
KLUIS_DEFINE_CLEANUP(kluis_lane)

/* ---- text codings ----------------------------------------------------------------------------
 * Encoders write a NUL and need the stated room; decoders are strict (no white space, right padding,
 * no stray bits) and return false otherwise. */
void kluis_hex(const void *p, size_t n, char *out);           /* 2n+1, lower case */
bool kluis_unhex(struct kluis_str s, uint8_t *out, size_t n); /* exactly 2n digits, lower case */
size_t kluis_base64_len(size_t n);                            /* with padding, without NUL */
size_t kluis_base64(const void *p, size_t n, char *out);      /* RFC 4648 §4, returns length */
bool kluis_unbase64(struct kluis_str s, uint8_t *out, size_t cap, size_t *n);
size_t kluis_base64url(const void *p, size_t n, char *out); /* RFC 4648 §5, no padding */
bool kluis_unbase64url(struct kluis_str s, uint8_t *out, size_t cap, size_t *n);
size_t kluis_base32(const void *p, size_t n, char *out);                      /* RFC 4648 §6 alphabet, lower case, no padding */
bool kluis_unbase32(struct kluis_str s, uint8_t *out, size_t cap, size_t *n); /* either case */

/* n in digits, NUL-terminated, in out; gives them. */
enum { KLUIS_DECIMAL = 21 };
struct kluis_str kluis_decimal(uint64_t n, char out[KLUIS_DECIMAL]);

/* Length of the valid UTF-8 prefix of p (Unicode 15 table 3-7: no surrogates, no overlongs).  Equal to n
 * when all of it is valid. */
size_t kluis_utf8_valid(const char *p, size_t n);
/* Appends s as a JSON string with quotes: shortest escapes (\" \\ \b \f \n \r \t, \u00XX for other
 * controls, nothing else).  s must be valid UTF-8. */
void kluis_buf_json(struct kluis_buf *b, struct kluis_str s);

/* ---- wire frames -----------------------------------------------------------------------------
 * Every binary message of ours (docs/PROTOCOL.md §2) is a sequence of fields, each u32 big-endian length
 * and that many bytes; the first field is an ASCII label that names message and version.  Integers are
 * fields of 4 or 8 bytes, big-endian.  The reader is strict: a wrong label, a length past the end, a field
 * of another size than asked, trailing bytes: all refuse.  Reading errors stick; test once, with
 * kluis_wire_end. */
void kluis_wire_field(struct kluis_buf *b, const void *p, size_t n);
void kluis_wire_label(struct kluis_buf *b, const char *label);
void kluis_wire_str(struct kluis_buf *b, struct kluis_str s);
void kluis_wire_u32(struct kluis_buf *b, uint32_t v);
void kluis_wire_u64(struct kluis_buf *b, uint64_t v);

struct kluis_wire {
    struct kluis_bytes data;
    size_t at;
    bool bad;
};
struct kluis_wire kluis_wire_open(struct kluis_bytes data);
bool kluis_wire_is(struct kluis_wire *w, const char *label);         /* reads the label field */
struct kluis_bytes kluis_wire_get(struct kluis_wire *w, size_t max); /* borrowed; {NULL,0} once bad */
bool kluis_wire_fixed(struct kluis_wire *w, void *out, size_t n);    /* exactly n bytes; zeroes out when bad */
uint32_t kluis_wire_get_u32(struct kluis_wire *w);
uint64_t kluis_wire_get_u64(struct kluis_wire *w);
bool kluis_wire_more(const struct kluis_wire *w);
/* KLUIS_OK when everything was read and nothing was bad; else E_REJECT naming `what`. */
KLUIS_MUSTUSE kluis_status kluis_wire_end(const struct kluis_wire *w, const char *what, struct kluis_err *err);

/* ---- hooks for tests -------------------------------------------------------------------------
 * Set before any other call and before threads; a NULL member keeps the real thing.  Production code never
 * sets them. */
struct kluis_hooks {
    void *(*alloc)(size_t n);                                          /* NULL simulates exhaustion; replaces malloc/calloc/realloc gating */
    int (*io_fault)(const char *op, const char *path_or_null, int fd); /* errno to fail with, 0 to go on */
    int64_t (*now_us)(void);
    void (*random)(void *p, size_t n);
    void (*durable_step)(const char *name); /* called after each fsync/rename/commit */
};
void kluis_hooks_set(const struct kluis_hooks *h); /* borrowed for ever; NULL resets */
void kluis_durable_step(const char *name);         /* code that commits calls this: SQLite commits too */

#endif
