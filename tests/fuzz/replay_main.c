/* tests/fuzz/replay_main.c - runs a target over its corpus without libFuzzer: every file, cut short, and with single bytes changed.
 *
 *   fuzz_<target> FOLDER|FILE...
 */
#include <dirent.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 4 << 20, CUTS = 12, CHANGES = 24 };
static unsigned long inputs, files;

/* A block of exactly its size: a sanitizer or the allocator notices who reads past it. */
static void one(const uint8_t *p, size_t n)
{
    uint8_t *copy = kluis_malloc(n);
    MUST(copy != NULL);
    if (n > 0) { memcpy(copy, p, n); }
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

int main(int argc, char **argv)
{
    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            folder(argv[i]);
        } else {
            file(argv[i]);
        }
    }
    if (files == 0) {
        (void)fprintf(stderr, "no corpus: nothing was replayed\n");
        return 1;
    }
    (void)printf("%lu files, %lu inputs\n", files, inputs);
    return 0;
}
