/* log.c - structured lines on standard error; keeps no state but the level. */
#include "server/log.h"

#include <stdarg.h>
#include <unistd.h>

static enum kluis_log_level lowest = KLUIS_LOG_INFO;

void kluis_log_from(enum kluis_log_level level) { lowest = level; }

static const char *level_name(enum kluis_log_level level)
{
    switch (level) {
    case KLUIS_LOG_DEBUG: return "debug";
    case KLUIS_LOG_INFO: return "info";
    case KLUIS_LOG_WARN: return "warn";
    case KLUIS_LOG_ERROR: return "error";
    }
    return "?";
}

void kluis_log(enum kluis_log_level level, const char *event, const char *fmt, ...)
{
    if (level < lowest) { return; }
    char line[KLUIS_LOG_LINE];
    char now[KLUIS_TIME_TEXT];
    (void)kluis_time_text(now, kluis_now_us(), 0, 3);
    int n = snprintf(line, sizeof line, "%s %s %s", now, level_name(level), event);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    if (fmt[0] != '\0') {
        line[len++] = ' ';
        va_list args;
        va_start(args, fmt);
        n = vsnprintf(line + len, sizeof line - len, fmt, args);
        va_end(args);
        size_t room = sizeof line - len - 1;
        len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room;
    }
    for (size_t i = 0; i < len; i++) {
        if (line[i] < ' ' || line[i] > '~') { line[i] = '?'; }
    }
    line[len++] = '\n';
    /* A log that cannot be written must not stop the server. */
    ssize_t ignored = write(STDERR_FILENO, line, len);
    (void)ignored;
}

void kluis_log_err(enum kluis_log_level level, const char *event, const struct kluis_err *err)
{
    kluis_log(level, event, "status=%s where=%s text=\"%s\"", kluis_status_name(err->code), err->where != NULL ? err->where : "-", err->msg);
}
