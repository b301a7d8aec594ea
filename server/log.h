/* log.h - one structured line per event on standard error: "time level event k=v k=v".
 *
 * Shared by the server's processes.  Log device ids, sizes, statuses and counts; never content, names, keys, tickets or paths that a
 * peer chose.  Thread-safe: a line is one write(2) of at most KLUIS_LOG_LINE bytes, longer ones are cut. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include "kluis/base.h"

enum kluis_log_level { KLUIS_LOG_DEBUG, KLUIS_LOG_INFO, KLUIS_LOG_WARN, KLUIS_LOG_ERROR };
enum { KLUIS_LOG_LINE = 600 };

/* event: a dotted word, "upload.chunk"; fmt: the "k=v k=v" part, may be "".  Control and non-ASCII bytes become '?'. */
void kluis_log(enum kluis_log_level level, const char *event, const char *fmt, ...) KLUIS_PRINTF(3, 4);
/* An error object as a line: its code, where it was found and its message. */
void kluis_log_err(enum kluis_log_level level, const char *event, const struct kluis_err *err);
/* Nothing below this level is written; KLUIS_LOG_INFO at the start.  Set it before threads start. */
void kluis_log_from(enum kluis_log_level level);

#endif
