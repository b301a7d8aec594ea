/* tests/bench/search_client.c - how long a person waits: the page's own requests, one after another over one connection.
 *
 * search_client ADDR:PORT KEY ROUNDS|@FILE <lines: each line is CLASS, tab, target such as /api/search?purpose=meting&q=woord.  A class
 * that begins with "view" searches untimed and times the conversation around one of the hits.  Each line is asked once to warm up, then
 * ROUNDS times, all lines in turn; with @FILE all lines in turn without a pause until FILE is there, the first time counted too.  Prints
 * "CLASS requests p50 p95 p99 worst" in milliseconds, the number of hits of a class, and how many answers had none. */
#include "kluis/base.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINES = 4096, CLASSES = 32, ANSWER = 8 << 20, ROUNDS_MAX = 1000 };

struct line {
    int class;
    char target[2048];
};
struct class
{
    char name[64];
    double *ms;
    size_t n, cap;
    uint64_t hits, empty;
};

static struct line lines[LINES];
static struct class classes[CLASSES];
static size_t n_lines;
static int n_classes;
static char *answer;

static void fail(const char *what)
{
    fprintf(stderr, "search_client: %s\n", what);
    exit(74);
}

static int class_of(const char *name)
{
    for (int i = 0; i < n_classes; i++) {
        if (strcmp(classes[i].name, name) == 0) { return i; }
    }
    if (n_classes == CLASSES) { fail("too many classes"); }
    if (strlen(name) >= sizeof classes[0].name) { fail("a class with too long a name"); }
    memcpy(classes[n_classes].name, name, strlen(name) + 1);
    return n_classes++;
}

static int dial(const char *where)
{
    char host[64];
    const char *colon = strrchr(where, ':');
    if (colon == NULL || (size_t)(colon - where) >= sizeof host) { fail("where? ADDR:PORT"); }
    memcpy(host, where, (size_t)(colon - where));
    host[colon - where] = '\0';
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)) };
    int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (s < 0 || inet_pton(AF_INET, host, &a.sin_addr) != 1 || connect(s, (struct sockaddr *)&a, sizeof a) != 0 ||
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
        fail("cannot connect");
    }
    return s;
}

/* The body of one answer; anything but 200 ends the run. */
static const char *ask(int s, const char *where, const char *key, const char *target)
{
    static char request[4096];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: kluis=%s\r\n\r\n", target, where, key);
    if (n < 0 || (size_t)n >= sizeof request || write(s, request, (size_t)n) != n) { fail("cannot ask"); }
    size_t have = 0;
    const char *body = NULL;
    size_t want = 0;
    while (body == NULL || have < want) {
        ssize_t got = read(s, answer + have, ANSWER - 1 - have);
        if (got <= 0) { fail("the server closed the connection"); }
        have += (size_t)got;
        answer[have] = '\0';
        if (body == NULL && (body = strstr(answer, "\r\n\r\n")) != NULL) {
            const char *length = strcasestr(answer, "\r\nContent-Length:");
            body += 4;
            if (strncmp(answer, "HTTP/1.1 200", 12) != 0) { fail(answer); }
            if (length == NULL || length > body) { fail("no length"); }
            want = (size_t)(body - answer) + strtoul(length + 17, NULL, 10);
            if (want >= ANSWER) { fail("the answer is too long"); }
        }
    }
    return body;
}

static size_t count(const char *body, const char *what)
{
    size_t n = 0;
    for (const char *p = body; (p = strstr(p, what)) != NULL; p++) { n++; }
    return n;
}

/* A hit's own package and ordinal stand before its verdict; those of its sightings come later. */
static bool place(const char *body, size_t which, char package[65], unsigned long *ordinal)
{
    const char *p = body;
    for (size_t i = 0; i <= which; i++) {
        if ((p = strstr(p, "\"package\":\"")) == NULL) { return false; }
        p += 11;
        memcpy(package, p, 64);
        package[64] = '\0';
        const char *o = strstr(p, "\"ordinal\":");
        if (o == NULL) { return false; }
        *ordinal = strtoul(o + 10, NULL, 10);
        if (i < which && (p = strstr(p, "\"sightings\":")) != NULL) { p = strchr(p, ']'); }
        if (p == NULL) { return false; }
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double at(const struct class *c, double share)
{
    size_t i = (size_t)(share * (double)c->n);
    return c->ms[i >= c->n ? c->n - 1 : i];
}

static void time_one(int s, const char *where, const char *key, const struct line *l, size_t round, bool keep)
{
    struct class *c = &classes[l->class];
    char target[2048];
    (void)snprintf(target, sizeof target, "%s", l->target);
    if (strncmp(c->name, "view", 4) == 0) {
        char package[65];
        unsigned long ordinal = 0;
        const char *body = ask(s, where, key, l->target);
        size_t hits = count(body, "\"sightings\":");
        if (hits == 0 || !place(body, round % hits, package, &ordinal)) { fail("a view needs a hit"); }
        (void)snprintf(target, sizeof target, "/api/around?purpose=meting&package=%s&ordinal=%lu&before=20&after=20", package, ordinal);
    }
    int64_t from = kluis_monotonic_us();
    const char *body = ask(s, where, key, target);
    double ms = (double)(kluis_monotonic_us() - from) / 1000;
    if (!keep) { return; }
    if (c->n == c->cap) {
        c->cap = c->cap == 0 ? 1024 : 2 * c->cap;
        c->ms = kluis_realloc(c->ms, c->cap * sizeof *c->ms);
        if (c->ms == NULL) { fail("out of memory"); }
    }
    size_t hits = count(body, "\"sightings\":");
    c->ms[c->n++] = ms;
    c->hits += hits;
    c->empty += hits == 0;
}

int main(int argc, char **argv)
{
    char text[2200];
    struct kluis_err err = { 0 };
    const char *until = argc == 4 && argv[3][0] == '@' ? argv[3] + 1 : NULL;
    size_t rounds = until != NULL ? SIZE_MAX - 1 : argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (argc != 4 || rounds == 0 || (until == NULL && rounds > ROUNDS_MAX) || kluis_base_init(&err) != KLUIS_OK) {
        fprintf(stderr, "usage: search_client ADDR:PORT KEY ROUNDS|@FILE <lines\n");
        return 64;
    }
    if ((answer = kluis_malloc(ANSWER)) == NULL) { fail("out of memory"); }
    while (n_lines < LINES && fgets(text, sizeof text, stdin) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        char *tab = strchr(text, '\t');
        if (tab == NULL) { fail("a line without a tab"); }
        *tab = '\0';
        lines[n_lines].class = class_of(text);
        if (strlen(tab + 1) >= sizeof lines[0].target) { fail("a target that is too long"); }
        memcpy(lines[n_lines++].target, tab + 1, strlen(tab + 1) + 1);
    }
    int s = dial(argv[1]);
    bool done = false;
    for (size_t r = 0; r <= rounds && !done; r++) {
        for (size_t i = 0; i < n_lines && !done; i++) {
            time_one(s, argv[1], argv[2], &lines[i], r, r > 0 || until != NULL);
            done = until != NULL && access(until, F_OK) == 0;
        }
    }
    (void)close(s);
    for (int i = 0; i < n_classes; i++) {
        struct class *c = &classes[i];
        if (c->n == 0) { continue; } /* the end came before its turn */
        qsort(c->ms, c->n, sizeof *c->ms, by_value);
        printf("%s %zu %.3f %.3f %.3f %.3f %.1f %llu\n", c->name, c->n, at(c, 0.5), at(c, 0.95), at(c, 0.99), c->ms[c->n - 1],
               (double)c->hits / (double)c->n, (unsigned long long)c->empty);
    }
    return 0;
}
