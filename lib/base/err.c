/* lib/base/err.c - status and error object.  No heap: works when memory is out. */
#include "kluis/base.h"

#include <errno.h>
#include <stdarg.h>

static void one_line(char *s)
{
    /* An error is one line whatever a peer put into a name: control bytes would let it forge log lines. */
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || (unsigned char)*s == 0x7f) { *s = '?'; }
    }
}

kluis_status kluis_fail_at(struct kluis_err *err, const char *where, kluis_status code, int sys, const char *fmt, ...)
{
    if (err == NULL || err->code != KLUIS_OK) { return code; }
    err->code = code;
    err->sys = sys;
    err->where = where;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n < 0) {
        err->msg[0] = '\0';
        n = 0;
    }
    if (sys != 0 && (size_t)n < sizeof err->msg - 3) {
        char text[96];
        const char *t = strerror_r(sys, text, sizeof text);
        (void)snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %s", t); /* cut off at the end: still an error */
    }
    one_line(err->msg);
    return code;
}

void kluis_err_clear(struct kluis_err *err)
{
    if (err != NULL) { *err = (struct kluis_err){ 0 }; }
}

void kluis_err_prefix(struct kluis_err *err, const char *fmt, ...)
{
    if (err == NULL) { return; }
    char old[KLUIS_ERR_MSG];
    memcpy(old, err->msg, sizeof old);
    old[sizeof old - 1] = '\0';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n < 0) { n = 0; }
    size_t at = (size_t)n < sizeof err->msg ? (size_t)n : sizeof err->msg - 1;
    const char *parts[] = { ": ", old };
    for (size_t i = 0; i < 2; i++) { /* cut off at the end: the prefix says where, which matters most */
        size_t len = strlen(parts[i]), room = sizeof err->msg - 1 - at;
        if (len > room) { len = room; }
        memcpy(err->msg + at, parts[i], len);
        at += len;
    }
    err->msg[at] = '\0';
    one_line(err->msg);
}

const char *kluis_status_name(kluis_status code)
{
    switch (code) {
    case KLUIS_OK: return "ok";
    case KLUIS_END: return "end";
    case KLUIS_E_NOMEM: return "out-of-memory";
    case KLUIS_E_IO: return "io";
    case KLUIS_E_BUSY: return "busy";
    case KLUIS_E_EXISTS: return "exists";
    case KLUIS_E_REJECT: return "rejected";
    case KLUIS_E_LIMIT: return "limit";
    case KLUIS_E_CORRUPT: return "corrupt";
    case KLUIS_E_BUG: return "bug";
    case KLUIS_E_NOTFOUND: return "not-found";
    case KLUIS_E_USAGE: return "usage";
    }
    return "unknown";
}

int kluis_exit_code(kluis_status code)
{
    switch (code) {
    case KLUIS_OK:
    case KLUIS_END:
    case KLUIS_E_EXISTS: return 0;
    case KLUIS_E_REJECT:
    case KLUIS_E_LIMIT:
    case KLUIS_E_NOTFOUND: return 1;
    case KLUIS_E_USAGE: return 64;
    case KLUIS_E_IO:
    case KLUIS_E_CORRUPT:
    case KLUIS_E_BUG: return 74;
    case KLUIS_E_NOMEM:
    case KLUIS_E_BUSY: return 75;
    }
    return 74;
}
