/* date.c - days and times of day out of a header's numbers: orders, eras and calendars.
 *
 * Years as regions write them: two digits (20yy; 52 and later are Buddhist years of a Thai phone), Gregorian,
 * Buddhist (2400 and later, or BE), Japanese eras, Minguo, Persian solar (1387-1429, arithmetic of the 33-year cycle,
 * exact for the years phones can have written).  Islamic years need a table of sightings: refused by name.
 */
#include "wa.h"

const char *wa_order_name(enum wa_order o) { return o == WA_DMY ? "dmy" : o == WA_MDY ? "mdy" : "ymd"; }

static bool persian_days(int y, int m, int d, int64_t *days)
{
    if (m < 1 || m > 12 || d < 1) { return false; }
    bool leap = (25 * y + 11) % 33 < 8;
    if (d > (m <= 6 ? 31 : m <= 11 || leap ? 30 : 29)) { return false; }
    int64_t jdn = 1948320 + 365 * ((int64_t)y - 1) + (8 * y + 21) / 33;
    *days = jdn - 2440588 + (m <= 7 ? (m - 1) * 31 : 186 + (m - 7) * 30) + d - 1;
    return true;
}

bool wa_stamp_days(const struct wa_stamp *s, enum wa_order o, int64_t *days, bool *islamic)
{
    int yi = o == WA_YMD ? 0 : 2, mi = o == WA_MDY ? 0 : 1, di = o == WA_DMY ? 0 : o == WA_MDY ? 1 : 2;
    *islamic = false;
    if (s->digits[mi] > 2 || s->digits[di] > 2) { return false; }
    int y = s->date[yi], m = s->date[mi], d = s->date[di];
    bool two = s->digits[yi] <= 2;
    switch ((enum wa_era)s->era) {
    case WA_ERA_BUDDHIST: y = two ? 2500 + y - 543 : y - 543; break;
    case WA_ERA_REIWA: y += 2018; break;
    case WA_ERA_HEISEI: y += 1988; break;
    case WA_ERA_MINGUO: y += 1911; break;
    case WA_ERA_PERSIAN: return persian_days(two ? 1400 + y : y, m, d, days);
    case WA_ERA_ISLAMIC: *islamic = true; return false;
    case WA_ERA_CE:
        if (two) { y += 2000; }
        break;
    case WA_ERA_NONE:
        if (two) {
            y = y >= 52 ? 2500 + y - 543 : 2000 + y;
        } else if (s->digits[yi] == 3) {
            y += 1911; /* Minguo, written 111 */
        } else if (y >= 2400) {
            y -= 543;
        } else if (y >= 1387 && y <= 1429) {
            return persian_days(y, m, d, days);
        } else if (y >= 1430 && y <= 1480) {
            *islamic = true;
            return false;
        }
        break;
    }
    return kluis_days_from_civil(y, m, d, days);
}

bool wa_stamp_seconds(const struct wa_stamp *s, int32_t *seconds)
{
    int h = s->hour, sec = s->second < 0 ? 0 : s->second;
    if (s->half == WA_AM && h == 12) { h = 0; }
    if (s->half == WA_PM && h < 12) { h += 12; }
    if (s->half == WA_NOON && h < 10) { h += 12; }
    if (h > 23 || s->minute > 59 || sec > 59) { return false; }
    *seconds = h * 3600 + s->minute * 60 + sec;
    return true;
}
