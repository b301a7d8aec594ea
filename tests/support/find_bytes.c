/* tests/support/find_bytes.c - counts where words stand: find_bytes WORD… -- PLACE…
 *
 * A place is a file, a folder (all of it) or pid:N (the process' whole memory).  A word is looked for as it is, in UTF-16LE, in hexadecimal (both
 * cases) and in base64 at each of its three alignments; 0xHEX are bytes, looked for in the same ways.  One line a place with a hit: count, form,
 * place. Exit: 0 found, 1 found nowhere, 2 a place could not be read (nothing is proven then). */
#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 32, FORMS = 7, NEEDLE = 512, CHUNK = 4 << 20 };
struct needle {
    unsigned char b[NEEDLE];
    size_t n;
    const char *form, *word;
};
static struct needle needles[WORDS * FORMS];
static size_t n_needles;
static long found, unread, bytes_read;
static unsigned char window[CHUNK + NEEDLE];

static void add(const char *word, const char *form, const unsigned char *b, size_t n)
{
    if (n < 6 || n > NEEDLE || n_needles == WORDS * FORMS) {
        (void)fprintf(stderr, "find_bytes: '%s' as %s cannot be looked for\n", word, form);
        exit(64);
    }
    struct needle *k = &needles[n_needles++];
    memcpy(k->b, b, n);
    k->n = n;
    k->form = form;
    k->word = word;
}

static void add_word(const char *word)
{
    static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char raw[128] = { 0 }, out[NEEDLE];
    size_t n = 0;
    if (strncmp(word, "0x", 2) == 0) {
        for (const char *p = word + 2; p[0] != 0 && p[1] != 0 && n < sizeof raw; p += 2) {
            char two[3] = { p[0], p[1], 0 };
            raw[n++] = (unsigned char)strtoul(two, NULL, 16);
        }
    } else {
        n = strlen(word);
        if (n > sizeof raw) { exit(64); }
        memcpy(raw, word, n);
    }
    add(word, "plain", raw, n);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = raw[i];
        out[2 * i + 1] = 0;
    }
    add(word, "utf-16", out, 2 * n - 1);
    for (int upper = 0; upper < 2; upper++) {
        for (size_t i = 0; i < n; i++) {
            out[2 * i] = (unsigned char)(upper ? "0123456789ABCDEF" : "0123456789abcdef")[raw[i] >> 4];
            out[2 * i + 1] = (unsigned char)(upper ? "0123456789ABCDEF" : "0123456789abcdef")[raw[i] & 15];
        }
        add(word, "hex", out, 2 * n);
    }
    for (size_t skip = 0; skip < 3; skip++) { /* whole groups of three only: what stands beside the word is unknown */
        size_t len = 0;
        for (size_t i = skip; i + 3 <= n; i += 3) {
            unsigned v = (unsigned)raw[i] << 16 | (unsigned)raw[i + 1] << 8 | raw[i + 2];
            for (int s = 18; s >= 0; s -= 6) { out[len++] = (unsigned char)ALPHABET[v >> s & 63]; }
        }
        add(word, "base64", out, len);
    }
}

static void search(int fd, off_t from, off_t to, const char *where)
{
    size_t keep = 0;
    while (from < to) {
        size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        ssize_t r = pread(fd, window + keep, want, from);
        if (r <= 0) { break; }
        bytes_read += r;
        size_t have = keep + (size_t)r;
        for (size_t k = 0; k < n_needles; k++) {
            const unsigned char *p = window, *end = window + have;
            while ((p = memmem(p, (size_t)(end - p), needles[k].b, needles[k].n)) != NULL) {
                /* what lay wholly in the part seen before was counted then */
                if (p + needles[k].n > window + keep) {
                    (void)printf("%s as %s in %s\n", needles[k].word, needles[k].form, where);
                    found++;
                }
                p++;
            }
        }
        from += r;
        keep = have < NEEDLE ? have : NEEDLE;
        memmove(window, window + have - keep, keep);
    }
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)f;
    if (type == FTW_DNR || type == FTW_NS) {
        (void)fprintf(stderr, "find_bytes: cannot read %s\n", path);
        unread++;
    }
    if (type != FTW_F || !S_ISREG(st->st_mode)) { return 0; }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)fprintf(stderr, "find_bytes: cannot read %s\n", path);
        unread++;
        return 0;
    }
    search(fd, 0, st->st_size, path);
    (void)close(fd);
    for (size_t k = 0; k < n_needles; k++) { /* names tell too */
        if (memmem(path, strlen(path), needles[k].b, needles[k].n) != NULL) {
            (void)printf("%s in the name %s\n", needles[k].word, path);
            found++;
        }
    }
    return 0;
}

static void process(const char *pid)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%.20s/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
    FILE *maps = fopen(path, "re");
    long before = bytes_read;
    while (fd >= 0 && maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long long a, b;
        char rights[8];
        if (sscanf(line, "%llx-%llx %7s", &a, &b, rights) != 3 || rights[0] != 'r' || strstr(line, "[vvar]") != NULL ||
            strstr(line, "[vsyscall]") != NULL) {
            continue;
        }
        (void)snprintf(path, sizeof path, "memory of %.20s", pid);
        search(fd, (off_t)a, (off_t)b, path);
    }
    if (fd < 0 || maps == NULL || bytes_read - before < 1 << 16) {
        (void)fprintf(stderr, "find_bytes: cannot read the memory of %s\n", pid);
        unread++;
    }
    if (maps != NULL) { (void)fclose(maps); }
    if (fd >= 0) { (void)close(fd); }
}

int main(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) { add_word(argv[i]); }
    if (i + 1 >= argc || n_needles == 0) { return 64; }
    for (i++; i < argc; i++) {
        if (strncmp(argv[i], "pid:", 4) == 0) {
            process(argv[i] + 4);
        } else if (nftw(argv[i], visit, 32, FTW_PHYS) != 0) {
            (void)fprintf(stderr, "find_bytes: cannot read %s\n", argv[i]);
            unread++;
        }
    }
    (void)fprintf(stderr, "find_bytes: %ld hits in %ld bytes\n", found, bytes_read);
    return unread > 0 ? 2 : found > 0 ? 0 : 1;
}
