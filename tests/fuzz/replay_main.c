/* tests/fuzz/replay_main.c - runs a target over its corpus without libFuzzer: every file, cut short, and with single bytes changed; then a budget of
 * inputs made of them (mutate.h), the same in every run.
 *
 *   fuzz_<target> [-dict=FILE] FOLDER|FILE...
 *
 * KLUIS_FUZZ_BUDGET=N: so many of those, whatever they take (10,000, or what fits in two seconds of CPU time; 0: none).  KLUIS_FUZZ_START=N: other
 * ones. An input that ends the program stays in fuzz-<target>.input of the current directory, to be given as FILE.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

enum { INPUT_MAX = 4 << 20, CUTS = 12, CHANGES = 24, BUDGET = 10000, BUDGET_MS = 2000 };
static unsigned long inputs, files;
static char dying[KLUIS_PATH_MAX];
static const uint8_t *now;
static size_t now_n;

/* Only what a signal handler may do.  The signal comes again and ends the program. */
static void on_death(int signal)
{
    int fd = open(dying, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (write(fd, now, now_n) == (ssize_t)now_n) {
            (void)!write(2, "its input: ", 11), (void)!write(2, dying, strlen(dying)), (void)!write(2, "\n", 1);
        }
        (void)close(fd);
    }
    (void)raise(signal);
}

/* A block of exactly its size: a sanitizer or the allocator notices who reads past it. */
static void one(const uint8_t *p, size_t n)
{
    uint8_t *copy = kluis_malloc(n);
    MUST(copy != NULL);
    if (n > 0) { memcpy(copy, p, n); }
    now = copy, now_n = n;
    (void)LLVMFuzzerTestOneInput(copy, n);
    kluis_free(copy);
    inputs++;
}

static void file(const char *path)
{
    KLUIS_AUTO_BUF(b, INPUT_MAX);
    struct kluis_err err = { 0 };
    if (kluis_read_file(path, INPUT_MAX, &b, &err) != KLUIS_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    files++;
    mutate_seed(b.data, b.len);
    one(b.data, b.len);
    for (size_t i = 0; i < CUTS && b.len > 0; i++) { one(b.data, b.len * i / CUTS); }
    for (size_t i = 0; i < CHANGES && b.len > 0; i++) {
        static const uint8_t with[] = { 0x01, 0x80, 0xff, 0x20 };
        size_t at = b.len * i / CHANGES;
        uint8_t before = b.data[at];
        b.data[at] ^= with[i % sizeof with];
        one(b.data, b.len);
        b.data[at] = before;
    }
}

static int visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static void folder(const char *path)
{
    struct dirent **list = NULL;
    int n = scandir(path, &list, visible, alphasort);
    if (n < 0) {
        (void)fprintf(stderr, "cannot read the folder '%s'\n", path);
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        char name[KLUIS_PATH_MAX];
        MUST(kluis_path(name, sizeof name, path, list[i]->d_name, NULL) == KLUIS_OK);
        file(name);
        free(list[i]);
    }
    free(list);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v == NULL ? otherwise : strtoull(v, NULL, 10);
}

int main(int argc, char **argv)
{
    static const int deadly[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    const char *slash = strrchr(argv[0], '/');
    (void)LLVMFuzzerInitialize(&argc, &argv);
    (void)snprintf(dying, sizeof dying, "%s.input", slash == NULL ? argv[0] : slash + 1);
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) {
        struct sigaction a = { .sa_handler = on_death, .sa_flags = (int)SA_RESETHAND };
        MUST(sigaction(deadly[i], &a, NULL) == 0);
    }
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (strncmp(argv[i], "-dict=", 6) == 0) {
            mutate_words(argv[i] + 6);
        } else if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            folder(argv[i]);
        } else {
            file(argv[i]);
        }
    }
    if (files == 0) {
        (void)fprintf(stderr, "no corpus: nothing was replayed\n");
        return 1;
    }
    bool said = getenv("KLUIS_FUZZ_BUDGET") != NULL;
    unsigned long made = mutate_run(setting("KLUIS_FUZZ_BUDGET", BUDGET), said ? UINT32_MAX : BUDGET_MS, setting("KLUIS_FUZZ_START", 1), one);
    (void)printf("%lu files, %lu inputs, %lu of them made\n", files, inputs, made);
    return 0;
}
