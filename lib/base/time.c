/* lib/base/time.c - instants, civil dates, RFC 3339. */
#include "lib/base/internal.h"

#include <assert.h>
#include <errno.h>

int64_t kluis_now_us(void)
{
    if (kluis_hooks_ != NULL && kluis_hooks_->now_us != NULL) { return kluis_hooks_->now_us(); }
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) != 0) { return 0; }
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t kluis_monotonic_us(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) { return 0; }
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void kluis_sleep_us(int64_t us)
{
    if (us <= 0) { return; }
    struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000 };
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
}

static bool leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

/* Era arithmetic: 400 Gregorian years are 146,097 days; years are counted from March so that the leap day is last. */
bool kluis_days_from_civil(int year, int month, int day, int64_t *days)
{
    static const int8_t length[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) { return false; }
    int last = length[month - 1] + (month == 2 && leap(year) ? 1 : 0);
    if (day > last) { return false; }
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400, of_era = y - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    *days = (int64_t)era * 146097 + day_of_era - 719468;
    return true;
}

void kluis_civil_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int doe = (int)(z - era * 146097);
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int)(yoe + era * 400) + (*month <= 2 ? 1 : 0);
}

static char *digits(char *p, int64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + n;
}

size_t kluis_time_text(char out[KLUIS_TIME_TEXT], int64_t us, int offset_min, int fraction_digits)
{
    assert(fraction_digits == 0 || fraction_digits == 3 || fraction_digits == 6);
    int64_t local = us + (int64_t)offset_min * 60000000;
    int64_t s = local / 1000000, rest = local % 1000000;
    if (rest < 0) {
        rest += 1000000;
        s--;
    }
    int64_t days = s / 86400, of_day = s % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    int y, m, d;
    kluis_civil_from_days(days, &y, &m, &d);
    char *p = out;
    p = digits(p, y < 0 ? 0 : y, 4);
    *p++ = '-';
    p = digits(p, m, 2);
    *p++ = '-';
    p = digits(p, d, 2);
    *p++ = 'T';
    p = digits(p, of_day / 3600, 2);
    *p++ = ':';
    p = digits(p, of_day / 60 % 60, 2);
    *p++ = ':';
    p = digits(p, of_day % 60, 2);
    if (fraction_digits > 0) {
        *p++ = '.';
        p = digits(p, fraction_digits == 3 ? rest / 1000 : rest, fraction_digits);
    }
    if (offset_min == 0) {
        *p++ = 'Z';
    } else {
        int o = offset_min < 0 ? -offset_min : offset_min;
        *p++ = offset_min < 0 ? '-' : '+';
        p = digits(p, o / 60, 2);
        *p++ = ':';
        p = digits(p, o % 60, 2);
    }
    *p = '\0';
    return (size_t)(p - out);
}

static bool number(const char *p, int n, int *v)
{
    *v = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9') { return false; }
        *v = *v * 10 + (p[i] - '0');
    }
    return true;
}

bool kluis_time_parse(struct kluis_str t, int64_t *us, int *offset_min, int *fraction_digits)
{
    const char *p = t.ptr;
    int y, mo, d, h, mi, s, frac = 0, frac_digits = 0, off = 0;
    if (p == NULL || t.len < 20) { return false; }
    if (!number(p, 4, &y) || p[4] != '-' || !number(p + 5, 2, &mo) || p[7] != '-' || !number(p + 8, 2, &d) || p[10] != 'T' ||
        !number(p + 11, 2, &h) || p[13] != ':' || !number(p + 14, 2, &mi) || p[16] != ':' || !number(p + 17, 2, &s)) {
        return false;
    }
    size_t at = 19;
    if (p[at] == '.') {
        while (at + 1 + (size_t)frac_digits < t.len && p[at + 1 + (size_t)frac_digits] >= '0' && p[at + 1 + (size_t)frac_digits] <= '9') {
            if (++frac_digits > 6) { return false; }
        }
        if ((frac_digits != 3 && frac_digits != 6) || !number(p + at + 1, frac_digits, &frac)) { return false; }
        at += 1 + (size_t)frac_digits;
    }
    if (at + 1 == t.len && p[at] == 'Z') {
        off = 0;
    } else if (at + 6 == t.len && (p[at] == '+' || p[at] == '-') && p[at + 3] == ':') {
        int oh, om;
        if (!number(p + at + 1, 2, &oh) || !number(p + at + 4, 2, &om) || oh > 23 || om > 59) { return false; }
        off = oh * 60 + om;
        if (off == 0) { return false; } /* zero is written Z: one form each */
        if (p[at] == '-') { off = -off; }
    } else {
        return false;
    }
    int64_t days;
    if (h > 23 || mi > 59 || s > 59 || !kluis_days_from_civil(y, mo, d, &days)) { return false; }
    *us = ((days * 24 + h) * 60 + mi - off) * 60000000 + (int64_t)s * 1000000 + (frac_digits == 3 ? frac * 1000 : frac);
    *offset_min = off;
    *fraction_digits = frac_digits;
    return true;
}
