/* names.c - names of kinds and types, tokens, and the one text form of a time. */
#include "record_internal.h"

static const char *const kind_names[KLUIS_KINDS] = { "message", "edit", "deletion", "reaction", "event", "call", "poll", "vote", "gap" };
static const char *const type_names[] = { "direct", "group", "channel", "self", "unknown" };
const char *const record_zone_names[2] = { "stated", "assumed" };
const char *const record_precision_names[3] = { "minute", "second", "millisecond" };

const char *kluis_kind_name(enum kluis_kind k) { return (unsigned)k < KLUIS_KINDS ? kind_names[k] : "?"; }

bool kluis_kind_parse(struct kluis_str s, enum kluis_kind *k)
{
    for (unsigned i = 0; i < KLUIS_KINDS; i++) {
        if (kluis_str_is(s, kind_names[i])) {
            *k = (enum kluis_kind)i;
            return true;
        }
    }
    return false;
}

const char *kluis_conversation_type_name(enum kluis_conversation_type t) { return (unsigned)t <= KLUIS_UNKNOWN_TYPE ? type_names[t] : "unknown"; }

bool record_is_token(struct kluis_str s)
{
    if (s.ptr == NULL || s.len == 0 || s.len > RECORD_TOKEN_MAX) { return false; }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == ':' || c == '-';
        if (!good) { return false; }
    }
    return true;
}

int record_precision_fraction(enum kluis_precision p) { return p == KLUIS_PRECISION_MINUTE ? RECORD_MINUTES : p == KLUIS_PRECISION_SECOND ? 0 : 3; }

int64_t record_precision_step(enum kluis_precision p)
{
    return p == KLUIS_PRECISION_MINUTE ? 60000000 : p == KLUIS_PRECISION_SECOND ? 1000000 : 1000;
}

int record_shortest_fraction(int64_t us) { return us % 1000000 == 0 ? 0 : us % 1000 == 0 ? 3 : 6; }

static char *put_digits(char *p, uint64_t v, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + digits;
}

enum { DAY_S = 86400 };
static const int64_t US = 1000000;

size_t record_time_text(char out[KLUIS_TIME_TEXT], int64_t us, int offset_min, int fraction)
{
    /* 9999-12-31 and 0001-01-01 lie well inside; anything outside could overflow below. */
    const int64_t bound = (int64_t)4000000 * DAY_S * US;
    if (us < -bound || us > bound || offset_min < -1439 || offset_min > 1439) { return 0; }
    int64_t local = us + (int64_t)offset_min * 60 * US;
    int64_t day_us = (int64_t)DAY_S * US;
    int64_t days = local / day_us;
    int64_t rest = local % day_us;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    int year = 0, month = 0, day = 0;
    kluis_civil_from_days(days, &year, &month, &day);
    if (year < 1 || year > 9999) { return 0; }
    uint64_t second = (uint64_t)(rest / US);
    char *p = put_digits(out, (uint64_t)year, 4);
    *p++ = '-';
    p = put_digits(p, (uint64_t)month, 2);
    *p++ = '-';
    p = put_digits(p, (uint64_t)day, 2);
    *p++ = 'T';
    p = put_digits(p, second / 3600, 2);
    *p++ = ':';
    p = put_digits(p, second / 60 % 60, 2);
    if (fraction >= 0) {
        *p++ = ':';
        p = put_digits(p, second % 60, 2);
    }
    if (fraction > 0) {
        uint64_t part = (uint64_t)(rest % US);
        *p++ = '.';
        p = put_digits(p, fraction == 3 ? part / 1000 : part, fraction);
    }
    if (offset_min == 0) {
        *p++ = 'Z';
    } else {
        unsigned magnitude = offset_min < 0 ? (unsigned)-offset_min : (unsigned)offset_min;
        *p++ = offset_min < 0 ? '-' : '+';
        p = put_digits(p, magnitude / 60, 2);
        *p++ = ':';
        p = put_digits(p, magnitude % 60, 2);
    }
    *p = '\0';
    return (size_t)(p - out);
}

/* Reads `digits` decimal digits; -1 when there is something else. */
static int get_digits(const char *p, int digits)
{
    int v = 0;
    for (int i = 0; i < digits; i++) {
        if (p[i] < '0' || p[i] > '9') { return -1; }
        v = v * 10 + (p[i] - '0');
    }
    return v;
}

size_t record_time_parse(const char *p, size_t n, int64_t *us, int16_t *offset_min, int *fraction)
{
    if (n < 17 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':') { return 0; }
    int year = get_digits(p, 4), month = get_digits(p + 5, 2), day = get_digits(p + 8, 2);
    int hour = get_digits(p + 11, 2), minute = get_digits(p + 14, 2), second = 0, part = 0;
    size_t at = 16;
    *fraction = RECORD_MINUTES;
    if (p[at] == ':') {
        if (n < 20) { return 0; }
        second = get_digits(p + 17, 2);
        at = 19;
        *fraction = 0;
        if (p[at] == '.') {
            int digits = 0;
            while (at + 1 + (size_t)digits < n && digits < 7 && p[at + 1 + (size_t)digits] >= '0' && p[at + 1 + (size_t)digits] <= '9') { digits++; }
            if (digits != 3 && digits != 6) { return 0; }
            part = get_digits(p + at + 1, digits) * (digits == 3 ? 1000 : 1);
            at += 1 + (size_t)digits;
            *fraction = digits;
        }
    }
    if (year < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) { return 0; }
    int offset = 0;
    if (at >= n) { return 0; }
    if (p[at] == 'Z') {
        at++;
    } else {
        if (n - at < 6 || (p[at] != '+' && p[at] != '-') || p[at + 3] != ':') { return 0; }
        int oh = get_digits(p + at + 1, 2), om = get_digits(p + at + 4, 2);
        if (oh < 0 || oh > 23 || om < 0 || om > 59 || oh + om == 0) { return 0; }
        offset = (oh * 60 + om) * (p[at] == '-' ? -1 : 1);
        at += 6;
    }
    int64_t days = 0;
    if (!kluis_days_from_civil(year, month, day, &days)) { return 0; }
    *us = ((days * DAY_S) + (int64_t)hour * 3600 + (int64_t)minute * 60 + second - (int64_t)offset * 60) * US + part;
    *offset_min = (int16_t)offset;
    return at;
}
