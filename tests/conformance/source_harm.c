/* source_harm.c - a source that is harmed in every way that is thought of here: whatever becomes of it, its reader ends well, in time and in memory.
 *
 * source_harm KIND PATH STEP FLIPS [KEY=VALUE]…    PATH, a copy, is changed and put back as it was.
 *
 * First it is read unharmed: exit 1 where it is refused.  Then each file there is cut at every STEP bytes; FLIPS bits are turned in it, one at a
 * time; and where it is JSON, XML or HTML, 100,000 levels are put into it at three places, ended and not ended.  After each of these it is read,
 * records and attachments: the reader accepts it or refuses it (exit 0 or 1) with one line, every record can be written, nothing beside the file was
 * made or changed, and SECONDS (times KLUIS_PATIENCE) were enough.  At the end: no more than 64 MiB were, but in builds that watch memory.
 *
 * Prints what was done; on the first that does not hold, which harm it was, and aborts.  Bits are drawn from the file's size: the same every time.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/source_sink.h"

enum { OPTIONS_MAX = 8, FILES_MAX = 512, FILE_MAX = 32 << 20, DEEP = 100000, SECONDS = 10, MEMORY_MAX_KIB = 64 << 10 };

static const struct source_kind *kind;
static struct source_request request;
static char *files[FILES_MAX];
static size_t n_files;
static char harm[256] = "nothing"; /* what was done last, for whoever finds the process dead */
static unsigned long long reads, accepted, records;

void fuzz_must(bool held, const char *what, const char *where)
{
    if (held) { return; }
    (void)fprintf(stderr, "source_harm: %s: after %s: not so: %s (%s)\n", request.path, harm, what, where);
    abort();
}

static void too_long(KLUIS_UNUSED int signal)
{
    static const char words[] = "source_harm: no end in sight after ";
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    (void)!write(STDERR_FILENO, harm, strlen(harm));
    (void)!write(STDERR_FILENO, "\n", 1);
    abort();
}

static unsigned patience(void)
{
    const char *p = getenv("KLUIS_PATIENCE"); // NOLINT(concurrency-mt-unsafe): one thread
    long n = p == NULL ? 1 : strtol(p, NULL, 10);
    return n < 1 || n > 1000 ? 1 : (unsigned)n;
}

static kluis_status on_counted(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, struct kluis_err *err)
{
    records++;
    return on_record(ctx, r, raw, err);
}

/* How many records came, or -1 where the source was refused. */
static long long read_it(void)
{
    static struct source_seen seen;
    struct kluis_err err = { 0 };
    memset(&seen, 0, sizeof seen);
    kluis_buf_init(&seen.lines, 64 << 20);
    struct source_sink sink = SOURCE_SINK(&seen);
    sink.record = on_counted;
    const unsigned long long before = records;
    (void)alarm(SECONDS * patience());
    kluis_status rc = source_read(kind, &request, &sink, &err);
    const int code = kluis_exit_code(rc);
    MUST(rc == err.code);
    MUST(code == 0 || code == 1 || (rc == KLUIS_E_USAGE && strstr(err.msg, "--option") != NULL)); /* it looks like one that needs a key now */
    MUST(rc == KLUIS_OK || (err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL));
    MUST(rc != KLUIS_OK || !seen.open);
    kluis_buf_free(&seen.lines);
    source_drain(kind, &request, &seen);
    (void)alarm(0);
    reads++;
    accepted += rc == KLUIS_OK;
    return rc == KLUIS_OK ? (long long)(records - before) : -1;
}

static struct stat state_of(const char *path)
{
    struct stat st;
    MUST(lstat(path, &st) == 0);
    return st;
}

static bool same_time(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_size == b->st_size &&
           a->st_nlink == b->st_nlink;
}

/* Reads it and looks whether the file and its folder are as they were: a file that is made, or taken away, changes the folder's time. */
static void read_untouched(const char *path, const char *folder)
{
    const struct stat file = state_of(path), around = state_of(folder);
    (void)read_it();
    const struct stat file_now = state_of(path), around_now = state_of(folder);
    MUST(same_time(&file, &file_now) && same_time(&around, &around_now));
}

static int keep_name(const char *path, const struct stat *st, int type, KLUIS_UNUSED struct FTW *at)
{
    if (type != FTW_F || st->st_size == 0) { return 0; }
    MUST(n_files < FILES_MAX && st->st_size <= FILE_MAX);
    files[n_files] = kluis_strdup(path);
    MUST(files[n_files++] != NULL);
    return 0;
}

static void put(int fd, const uint8_t *p, size_t n) { MUST(ftruncate(fd, 0) == 0 && kluis_io_pwrite(fd, p, n, 0) == (ssize_t)n); }

/* The `nth` of three places behind an opening or a name, where a value or an element may stand: of all such places the first, one in the middle, the
 * last. */
static size_t place(struct kluis_bytes b, bool marked_up, unsigned nth)
{
    size_t found = 0, wanted = 0;
    for (int round = 0; round < 2; round++) {
        size_t n = 0;
        for (size_t i = 1; i < b.len; i++) {
            bool here = marked_up ? b.ptr[i] == '>' && b.ptr[i - 1] != '?' && b.ptr[i - 1] != '-' && b.ptr[i - 1] != '/'
                                  : b.ptr[i] == ':' && b.ptr[i - 1] == '"';
            if (!here) { continue; }
            found = i + 1;
            if (round == 1 && n == wanted) { return found; }
            n++;
        }
        wanted = n == 0 ? 0 : nth == 0 ? 0 : nth == 1 ? n / 2 : n - 1;
    }
    return found;
}

/* 100,000 levels before what stands at a place; of JSON the value there gets a name of its own, so that the whole stays JSON. */
static void nest(const char *path, const char *folder, int fd, struct kluis_bytes b)
{
    size_t first = 0;
    while (first < b.len && (b.ptr[first] == ' ' || b.ptr[first] == '\n' || b.ptr[first] == '\r' || b.ptr[first] >= 0x80)) { first++; }
    if (first == b.len) { return; }
    const bool marked_up = b.ptr[first] == '<', script = b.len > 7 && memcmp(b.ptr, "window.", 7) == 0;
    if (!marked_up && !script && b.ptr[first] != '{' && b.ptr[first] != '[') { return; }
    static const struct {
        const char *down, *up, *then;
    } forms[] = { { "[", "]", ",\"nog\":" }, { "{\"a\":", "}", ",\"nog\":" }, { "<div>", "</div>", "" }, { "<b>", "</b>", "" } };
    for (size_t form = marked_up ? 2 : 0; form < (marked_up ? 4 : 2); form++) {
        for (unsigned at = 0; at < 6; at++) {
            const bool ended = at < 3;
            const size_t where = place(b, marked_up, at % 3);
            KLUIS_AUTO_BUF(text, 64 << 20);
            kluis_buf_add(&text, b.ptr, where);
            for (int i = 0; i < DEEP; i++) { kluis_buf_add(&text, forms[form].down, strlen(forms[form].down)); }
            if (ended && !marked_up) { kluis_buf_add(&text, "1", form == 0 ? 0 : 1); }
            for (int i = 0; ended && i < DEEP; i++) { kluis_buf_add(&text, forms[form].up, strlen(forms[form].up)); }
            if (ended) { kluis_buf_add(&text, forms[form].then, strlen(forms[form].then)); }
            kluis_buf_add(&text, b.ptr + where, b.len - where);
            MUST(text.status == KLUIS_OK);
            (void)snprintf(harm, sizeof harm, "%d levels of %s in %.150s at %zu, %sended", DEEP, forms[form].down, path, where, ended ? "" : "not ");
            put(fd, text.data, text.len);
            read_untouched(path, folder);
        }
    }
    put(fd, b.ptr, b.len);
}

static void harm_file(const char *path, size_t step, unsigned flips)
{
    char folder[KLUIS_PATH_MAX];
    KLUIS_AUTO_BUF(whole, FILE_MAX);
    struct kluis_err err = { 0 };
    MUST(kluis_read_file(path, FILE_MAX, &whole, &err) == KLUIS_OK);
    MUST(snprintf(folder, sizeof folder, "%s", path) < (int)sizeof folder);
    *strrchr(folder, '/') = '\0';
    int fd = kluis_io_open(path, O_WRONLY, 0);
    MUST(fd >= 0);
    for (size_t at = whole.len / step * step;; at -= step) {
        (void)snprintf(harm, sizeof harm, "%.150s was cut at %zu", path, at);
        MUST(ftruncate(fd, (off_t)at) == 0);
        read_untouched(path, folder);
        if (at == 0) { break; }
    }
    put(fd, whole.data, whole.len);
    uint64_t draw = whole.len * 0x9e3779b97f4a7c15u + 1;
    for (unsigned i = 0; i < flips; i++) {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        const size_t at = (size_t)(draw % whole.len);
        const uint8_t turned = (uint8_t)(whole.data[at] ^ (1u << (draw >> 60 & 7)));
        (void)snprintf(harm, sizeof harm, "byte %zu of %.150s became %02x", at, path, turned);
        MUST(kluis_io_pwrite(fd, &turned, 1, (uint64_t)at) == 1);
        read_untouched(path, folder);
        MUST(kluis_io_pwrite(fd, &whole.data[at], 1, (uint64_t)at) == 1);
    }
    nest(path, folder, fd, kluis_buf_bytes(&whole));
    kluis_close_quiet(&fd);
}

int main(int argc, char **argv)
{
    struct kluis_err err = { 0 };
    static struct source_option options[OPTIONS_MAX];
    struct stat st;
    size_t step = argc > 4 ? (size_t)strtoul(argv[3], NULL, 10) : 0;
    unsigned flips = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    kind = argc > 4 ? source_find(argv[1]) : NULL;
    if (kluis_base_init(&err) != KLUIS_OK || kind == NULL || step == 0 || argc - 5 > OPTIONS_MAX) {
        (void)fprintf(stderr, "source_harm: usage: source_harm KIND PATH STEP FLIPS [KEY=VALUE]...\n");
        return 64;
    }
    request = (struct source_request){ .path = argv[2], .options = options };
    for (int i = 5; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        MUST(equals != NULL);
        *equals = '\0';
        options[request.n_options++] = (struct source_option){ argv[i], equals + 1, { (const uint8_t *)equals + 1, strlen(equals + 1) } };
    }
    MUST(signal(SIGALRM, too_long) != SIG_ERR);
    const long long unharmed = read_it();
    if (unharmed < 0) {
        (void)fprintf(stderr, "source_harm: %s: refused before anything was done to it\n", argv[2]);
        return 1;
    }
    MUST(lstat(argv[2], &st) == 0);
    if (S_ISDIR(st.st_mode)) {
        MUST(nftw(argv[2], keep_name, 16, FTW_PHYS) == 0);
    } else {
        files[n_files++] = argv[2];
    }
    for (size_t i = 0; i < n_files; i++) { harm_file(files[i], step, flips); }
    (void)snprintf(harm, sizeof harm, "all of it was put back");
    MUST(read_it() == unharmed);
    struct rusage used = { 0 };
    MUST(getrusage(RUSAGE_SELF, &used) == 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(KLUIS_UNWALLED)
    (void)snprintf(harm, sizeof harm, "everything: %ld KiB of memory", used.ru_maxrss);
    MUST(used.ru_maxrss <= MEMORY_MAX_KIB);
#endif
    (void)printf("%lld records in %zu files, read %llu times, %llu accepted, %llu refused, %ld MiB\n", unharmed, n_files, reads, accepted,
                 reads - accepted, used.ru_maxrss >> 10);
    return 0;
}
