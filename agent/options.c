/* agent/options.c - command lines, home folders, kinds, progress.  See command.h. */
#include "agent/command.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static bool allows(const char *list, const char *name, size_t n)
{
    for (const char *p = list; *p != '\0';) {
        size_t k = strcspn(p, " ");
        if (k == n && memcmp(p, name, n) == 0) { return true; }
        p += k + (p[k] == ' ');
    }
    return false;
}

kluis_status args_read(const char *command, int argc, char *const *argv, const char *allowed, struct args *out, struct kluis_err *err)
{
    memset(out, 0, sizeof *out);
    const char *json = NULL, *help = NULL;
    const struct kluis_option known[] = { { .name = "home", .value = &out->home },
                                          { .name = "server", .value = &out->server },
                                          { .name = "code", .value = &out->code },
                                          { .name = "export", .value = &out->export_dir },
                                          { .name = "grace-days", .value = &out->grace_days },
                                          { .name = "keep-days", .value = &out->keep_days },
                                          { .name = "wait", .value = &out->wait_s },
                                          { .name = "interval", .value = &out->interval_s },
                                          { .name = "option", .values = out->options, .max = OPTIONS_MAX, .count = &out->n_options },
                                          { .name = "json", .flag = true, .value = &json },
                                          { .name = "help", .flag = true, .value = &help } };
    struct kluis_option mine[sizeof known / sizeof *known];
    size_t n = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].value == &help || allows(allowed, known[i].name, strlen(known[i].name))) { mine[n++] = known[i]; }
    }
    const struct kluis_command c = { "chatkluis-agent", command, mine, n, out->words, ARGS_MAX };
    KLUIS_TRY(kluis_options_read(&c, argc, (const char *const *)argv, &out->n_words, err));
    out->json = json != NULL;
    out->help = help != NULL;
    for (size_t i = 0; i < out->n_options; i++) {
        const char *o = out->options[i];
        if (strchr(o, '=') == NULL || o[0] == '=') { return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s: --option '%.60s' is not KEY=VALUE", command, o); }
    }
    return KLUIS_OK;
}

/* ---- the home folder ---- */

static kluis_status make_above(const char *path, struct kluis_err *err)
{
    char part[KLUIS_PATH_MAX];
    for (const char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        size_t n = (size_t)(p - path);
        if (n >= sizeof part) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "the home folder's path is too long"); }
        memcpy(part, path, n);
        part[n] = '\0';
        bool there;
        KLUIS_TRY(kluis_exists(part, &there, err));
        if (there) { continue; }
        KLUIS_TRY(kluis_make_dir(part, err));
    }
    return KLUIS_OK;
}

kluis_status args_home(const struct args *a, bool make, char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
    const char *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME");
    int n = -1;
    if (a->home != NULL) {
        n = snprintf(out, KLUIS_PATH_MAX, "%s", a->home);
    } else if (data != NULL && data[0] == '/') {
        n = snprintf(out, KLUIS_PATH_MAX, "%s/chatkluis", data);
    } else if (user != NULL && user[0] == '/') {
        n = snprintf(out, KLUIS_PATH_MAX, "%s/.local/share/chatkluis", user);
    }
    if (n <= 0 || n >= KLUIS_PATH_MAX) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "say where the agent keeps its things: --home FOLDER"); }
    while (n > 1 && out[n - 1] == '/') { out[--n] = '\0'; }
    if (make) { return make_above(out, err); }
    char db[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(db, sizeof db, out, "agent.db", err));
    bool there;
    KLUIS_TRY(kluis_exists(db, &there, err));
    if (!there) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "there is no agent in '%s': begin with 'chatkluis-agent enrol' or 'source add'", out); }
    return KLUIS_OK;
}

/* ---- kinds ---- */

kluis_status kind_find(const char *name, const struct source_kind **out, struct kluis_err *err)
{
    *out = source_find(name);
    return *out != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_USAGE, "there is no source kind '%.60s': see 'chatkluis-agent source kinds'", name);
}

kluis_status kind_of(const char *name, const char *path, const struct source_kind **out, enum source_sure *sure, struct kluis_err *err)
{
    struct source_guess found[SOURCE_GUESSES_MAX];
    size_t n = 0;
    *sure = SOURCE_NO;
    if (strcmp(name, "auto") != 0) { return kind_find(name, out, err); }
    KLUIS_TRY(source_recognise(path, found, &n, err));
    if (n == 0) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "nothing at '%.200s' is a source that is known here: see 'chatkluis-agent source kinds'", path);
    }
    if (n > 1 && found[1].sure == found[0].sure) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "'%.120s' may be %s or %s (%s): name the kind instead of auto", path, found[0].kind->name,
                          found[1].kind->name, source_sure_name(found[0].sure));
    }
    *out = found[0].kind;
    *sure = found[0].sure;
    complain("%s: %s (%s)", path, found[0].kind->name, source_sure_name(found[0].sure));
    return KLUIS_OK;
}

/* ---- progress ---- */

void progress_start(struct progress *p, const char *what, const char *unit)
{
    *p = (struct progress){ .on = isatty(STDERR_FILENO) == 1, .started_us = kluis_monotonic_us(), .what = what, .unit = unit };
}

void progress_show(struct progress *p, uint64_t done, uint64_t of)
{
    int64_t now = kluis_monotonic_us(), spent = now - p->started_us;
    if (!p->on || spent < 500000 || now - p->last_us < 250000) { return; }
    p->last_us = now;
    p->shown = true;
    uint64_t rate = done * 1000000u / (uint64_t)(spent > 0 ? spent : 1);
    (void)fprintf(stderr, "\r\033[K%s %llu", p->what, (unsigned long long)done); /* only decoration */
    if (of > 0) { (void)fprintf(stderr, " of %llu", (unsigned long long)of); }
    (void)fprintf(stderr, " %s, %llu a second", p->unit, (unsigned long long)rate);
    if (of > done && rate > 0) { (void)fprintf(stderr, ", %llu s left", (unsigned long long)((of - done) / rate)); }
    (void)fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->on && p->shown) { (void)fputs("\r\033[K", stderr); }
    p->shown = false;
}
