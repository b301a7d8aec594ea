/* server/access/instant.c - dates as people write them in a search. */
#include "server/access/access.h"

kluis_status access_instant(const char *text, bool last, const char *what, int64_t *us, struct kluis_err *err)
{
    char full[32];
    int offset, fraction;
    if (strlen(text) == 10) {
        (void)snprintf(full, sizeof full, "%sT00:00:00Z", text); /* length checked above */
        if (kluis_time_parse(kluis_str_of(full), us, &offset, &fraction)) {
            *us += last ? (int64_t)86400 * 1000000 : 0;
            return KLUIS_OK;
        }
    } else if (kluis_time_parse(kluis_str_of(text), us, &offset, &fraction)) {
        return KLUIS_OK;
    }
    return KLUIS_FAIL(err, KLUIS_E_USAGE, "%s '%s' is no date: write YYYY-MM-DD", what, text);
}
