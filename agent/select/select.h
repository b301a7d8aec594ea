/* agent/select/select.h - which conversations and records go.   source -> [select] -> journal
 *
 * Options of a source: include=PATTERN, exclude=PATTERN (shell patterns over a conversation's name or id, several may be given;
 * exclude wins).  Grace: records younger than so many days wait.  What is left out is counted and never stored.  One thread. */
#ifndef AGENT_SELECT_H
#define AGENT_SELECT_H

#include "agent/source/source.h"

struct select_counts {
    uint64_t excluded_conversations, excluded_records, waiting_records;
};

struct select {
    const struct source_request *request; /* borrowed: its include and exclude options */
    int64_t due_before_us;                /* records sent at or after this wait; INT64_MAX: none do */
    struct source_sink next;              /* borrowed while reading */
    struct select_counts counts;
    bool excluded, open;
};
/* True for options that are select's own: the source is not asked about them. */
bool select_owns_option(const char *key);
/* A sink that filters into s->next. */
struct source_sink select_sink(struct select *s);

#endif
