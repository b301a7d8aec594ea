/* zone.c - wall-clock time to instants, from the system's own time zone files (RFC 8536) without libc's global zone.
 *
 * Holds a list of [from, offset] in instants and answers what a wall clock reading means: once, twice (the hour
 * repeated in autumn) or never.  Times after the last change of the file follow its footer rule.
 */
#include "agent/source/zone.h"

enum { ZONE_FILE_MAX = 1 << 20, ZONE_YEAR_LAST = 2100, TWO_DAYS = 2 * 86400 /* seconds: more than any offset differs */ };
struct change {
    int64_t at;
    int32_t offset;
};
struct zone {
    struct change *changes;
    size_t n;
    size_t memo;
};

static int32_t be32(const uint8_t *p) { return (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]); }
static int64_t be64(const uint8_t *p) { return (int64_t)((uint64_t)(uint32_t)be32(p) << 32 | (uint32_t)be32(p + 4)); }

void zone_free(struct zone *z)
{
    if (z == NULL) { return; }
    kluis_free(z->changes);
    kluis_free(z);
}

static bool add(struct zone *z, int64_t at, int32_t offset)
{
    if (z->n > 0 && z->changes[z->n - 1].offset == offset) { return true; }
    if ((z->n & 63) == 0) {
        struct change *c = kluis_realloc(z->changes, (z->n + 64) * sizeof *c);
        if (c == NULL) { return false; }
        z->changes = c;
    }
    z->changes[z->n++] = (struct change){ at, offset };
    return true;
}

/* ---- POSIX rules: CET-1CEST,M3.5.0,M10.5.0/3 ---- */
static bool rule_name(const char **p)
{
    if (**p == '<') {
        while (**p != 0 && **p != '>') { (*p)++; }
        if (**p != '>') { return false; }
        (*p)++;
        return true;
    }
    const char *from = *p;
    while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z')) { (*p)++; }
    return *p - from >= 3;
}
static bool rule_number(const char **p, int *v)
{
    if (**p < '0' || **p > '9') { return false; }
    *v = 0;
    while (**p >= '0' && **p <= '9' && *v < 10000) { *v = *v * 10 + (*(*p)++ - '0'); }
    return true;
}
static bool rule_time(const char **p, int32_t *seconds)
{
    int sign = 1, v[3] = { 0, 0, 0 };
    if (**p == '-' || **p == '+') { sign = *(*p)++ == '-' ? -1 : 1; }
    if (!rule_number(p, &v[0])) { return false; }
    for (int i = 1; i < 3 && **p == ':'; i++) {
        (*p)++;
        if (!rule_number(p, &v[i])) { return false; }
    }
    *seconds = sign * (v[0] * 3600 + v[1] * 60 + v[2]);
    return true;
}
struct rule_day {
    int month, week, day;
    int32_t time;
};
static bool rule_day(const char **p, struct rule_day *d)
{
    if (*(*p)++ != ',' || *(*p)++ != 'M') { return false; }
    if (!rule_number(p, &d->month) || *(*p)++ != '.' || !rule_number(p, &d->week) || *(*p)++ != '.' || !rule_number(p, &d->day)) { return false; }
    d->time = 7200;
    if (**p == '/') {
        (*p)++;
        if (!rule_time(p, &d->time)) { return false; }
    }
    return d->month >= 1 && d->month <= 12 && d->week >= 1 && d->week <= 5 && d->day <= 6;
}
static int64_t rule_at(const struct rule_day *d, int year)
{ /* local seconds */
    int64_t first = 0, next = 0;
    bool ok = kluis_days_from_civil(year, d->month, 1, &first) &&
              kluis_days_from_civil(d->month == 12 ? year + 1 : year, d->month == 12 ? 1 : d->month + 1, 1, &next);
    if (!ok) { return 0; }
    int64_t weekday = ((first % 7) + 4 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = first + (d->day - weekday + 7) % 7 + 7 * ((int64_t)d->week - 1);
    while (day >= next) { day -= 7; }
    return day * 86400 + d->time;
}
/* Adds the changes that a rule makes after `from`. */
static bool rule_apply(struct zone *z, const char *p, int64_t from)
{
    int32_t std = 0, dst = 0;
    struct rule_day start, end;
    if (!rule_name(&p) || !rule_time(&p, &std)) { return false; }
    std = -std;
    if (*p == 0) { return add(z, from, std); }
    if (!rule_name(&p)) { return false; }
    dst = std + 3600;
    if (*p != ',' && *p != 0) {
        if (!rule_time(&p, &dst)) { return false; }
        dst = -dst;
    }
    if (!rule_day(&p, &start) || !rule_day(&p, &end) || *p != 0) { return false; }
    if (z->n == 0 && !add(z, INT64_MIN, std)) { return false; }
    int year, m, d;
    kluis_civil_from_days((from < 0 ? 0 : from) / 86400, &year, &m, &d);
    for (; year <= ZONE_YEAR_LAST; year++) {
        struct change c[2] = { { rule_at(&start, year) - std, dst }, { rule_at(&end, year) - dst, std } };
        int first = c[0].at <= c[1].at ? 0 : 1;
        for (int i = 0; i < 2; i++) {
            const struct change *x = &c[i == 0 ? first : 1 - first];
            if (x->at > from && !add(z, x->at, x->offset)) { return false; }
        }
    }
    return true;
}

/* ---- TZif ---- */
static bool tzif_load(struct zone *z, const uint8_t *p, size_t n)
{
    if (n < 44 || memcmp(p, "TZif", 4) != 0 || p[4] < '2') { return false; }
    uint64_t head[6];
    size_t at = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (n - at < 44 || memcmp(p + at, "TZif", 4) != 0) { return false; }
        for (size_t i = 0; i < 6; i++) {
            head[i] = (uint32_t)be32(p + at + 20 + 4 * i);
            if (head[i] > ZONE_FILE_MAX) { return false; }
        }
        at += 44;
        if (pass == 0) { /* isut isstd leap time type char: skip the 32-bit part */
            uint64_t skip = head[3] * 5 + head[4] * 6 + head[5] + head[2] * 8 + head[1] + head[0];
            if (skip > n - at) { return false; }
            at += skip;
        }
    }
    uint64_t need = head[3] * 9 + head[4] * 6 + head[5] + head[2] * 12 + head[1] + head[0];
    if (need > n - at || head[4] == 0) { return false; }
    const uint8_t *times = p + at, *index = times + 8 * head[3], *types = index + head[3];
    if (!add(z, INT64_MIN, be32(types))) { return false; }
    int64_t last = 0;
    for (size_t i = 0; i < head[3]; i++) {
        if (index[i] >= head[4]) { return false; }
        int64_t t = be64(times + 8 * i);
        if (i > 0 && t <= last) { return false; }
        last = t;
        int32_t offset = be32(types + (size_t)6 * index[i]);
        if (offset < -86399 || offset > 86399 || !add(z, t, offset)) { return false; }
    }
    at += need;
    if (at < n && p[at] == '\n') {
        char rule[128];
        size_t k = 0;
        for (at++; at < n && p[at] != '\n' && k + 1 < sizeof rule; at++) { rule[k++] = (char)p[at]; }
        rule[k] = 0;
        if (k > 0 && !rule_apply(z, rule, last)) { return false; }
    }
    return z->n > 0;
}

kluis_status zone_open(const char *name, struct zone **out, struct kluis_err *err)
{
    size_t len = strlen(name);
    bool plain = len > 0 && len < 64 && name[0] != '/' && name[0] != '.' && strstr(name, "..") == NULL;
    for (size_t i = 0; plain && i < len; i++) {
        char c = name[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '_' || c == '-' || c == '+';
    }
    if (!plain) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "option zone: not the name of a time zone; give one as in Europe/Amsterdam"); }
    KLUIS_AUTO(zone) z = kluis_calloc(1, sizeof *z);
    if (z == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "no memory for a time zone"); }
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, "/usr/share/zoneinfo", name, err));
    KLUIS_AUTO_BUF(file, ZONE_FILE_MAX);
    struct kluis_err ignored = { 0 };
    bool ok = kluis_read_file(path, ZONE_FILE_MAX, &file, &ignored) == KLUIS_OK && tzif_load(z, file.data, file.len);
    if (!ok && strcmp(name, "Europe/Amsterdam") == 0) {
        z->n = 0; /* no zone files here: the rule of the European Union, in force since 1996 */
        ok = rule_apply(z, "CET-1CEST,M3.5.0,M10.5.0/3", 820454400);
    }
    if (!ok && strcmp(name, "UTC") == 0) {
        z->n = 0;
        ok = add(z, INT64_MIN, 0);
    }
    if (!ok) { return KLUIS_FAIL(err, KLUIS_E_USAGE, "option zone: this machine knows no time zone %s; install tzdata or give another", name); }
    *out = z;
    z = NULL;
    return KLUIS_OK;
}

static bool reads_as(const struct zone *z, size_t i, int64_t local)
{
    int64_t from = z->changes[i].at, t = local - z->changes[i].offset;
    return (from == INT64_MIN || t >= from) && (i + 1 == z->n || t < z->changes[i + 1].at);
}

void zone_local(struct zone *z, int64_t local, struct zone_local *out)
{
    size_t lo = 0, hi = z->n; /* last change at or before local, give or take a day */
    if (z->memo < z->n && (z->changes[z->memo].at == INT64_MIN || z->changes[z->memo].at + TWO_DAYS <= local) &&
        (z->memo + 1 == z->n || z->changes[z->memo + 1].at - TWO_DAYS > local)) {
        *out = (struct zone_local){ 1, { z->changes[z->memo].offset, 0 } };
        return;
    }
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (z->changes[mid].at <= local) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    z->memo = lo;
    *out = (struct zone_local){ 0, { 0, 0 } };
    size_t from = lo > 1 ? lo - 2 : 0, to = lo + 2 < z->n ? lo + 2 : z->n - 1;
    for (size_t i = from; i <= to && out->readings < 2; i++) {
        if (reads_as(z, i, local)) { out->offset[out->readings++] = z->changes[i].offset; }
    }
    if (out->readings == 0) {
        /* Skipped: the offset in force before the change that jumped over it. */
        size_t k = from;
        for (size_t i = from; i + 1 <= to; i++) {
            if (local - z->changes[i].offset >= z->changes[i + 1].at && local - z->changes[i + 1].offset < z->changes[i + 1].at) { k = i; }
        }
        out->offset[0] = z->changes[k].offset;
    }
}
