/* agent/journal/reading.h - one reading of a source, between journal.c, absence.c and pair.c.  Never leaves this folder. */
#ifndef AGENT_READING_H
#define AGENT_READING_H

#include "agent/journal/journal.h"

enum { OCCURRENCES_MAX = 1 << 19, CONVERSATION_KEY = 16 };

/* One conversation as it came by; the same one may come by again, from another file. */
struct occurrence {
    uint8_t key[CONVERSATION_KEY];
    uint64_t first, n;        /* its entries in the spool                                              */
    uint32_t again;           /* the occurrence in which this conversation came by first; itself: this */
    uint32_t gone_at, n_gone; /* of that one: what seems to be gone from it                            */
};

/* A chunk of what is stored: whose it is.  Beside align_span, which is all that matching needs. */
struct chunk_origin {
    int64_t source; /* -1: not noted */
    uint64_t settings;
};

struct absence;
struct pairs;

struct reading {
    struct home *h;
    const char *kind;
    const struct journal_origin *origin; /* may be NULL */
    const struct journal_out *out;
    const struct source_sink *skipped;
    struct journal_counts *counts;
    struct occurrence *occ;
    size_t n_occ, cap_occ;
    uint32_t *by_key; /* all occurrences, equal keys together, in order */
    int spool;        /* fingerprints of the first reading: a file without a name */
    uint8_t *block;   /* ALIGN_WINDOW entries on the wire                          */
    uint64_t written, in_block;
    struct kluis_arena *arena; /* holds the header of the conversation being read           */
    struct kluis_header header;
    bool partial; /* something of the source was not read: what is not there may be there */
    /* second reading */
    size_t at_occ;
    uint64_t at; /* records of this occurrence read so far                    */
    int64_t conversation;
    struct align_span *spans;
    struct chunk_origin *origins;
    size_t n_spans;
    uint32_t *tags;
    struct aligner *aligner;
    struct align_entry *window;
    bool *known;
    size_t n_window;
    bool active, abandoned;
    struct absence *absence;
    struct pairs *pairs;
};

kluis_status reading_no_memory(struct kluis_err *err); /* E_NOMEM, said */
/* The entries [from, from + ALIGN_WINDOW) of an occurrence into r->window; how many: r->n_window. */
KLUIS_MUSTUSE kluis_status reading_window(struct reading *r, const struct occurrence *o, uint64_t from, struct kluis_err *err);
/* The stored entries of a chunk: ALIGN_CHUNK_MAX at most. */
KLUIS_MUSTUSE kluis_status reading_chunk(struct home *h, int64_t id, uint32_t n, struct align_entry *out, struct kluis_err *err);
/* Chunks of a conversation and their origins, in order of ids; *n of them.  Both are the caller's to kluis_free, also after an error. */
KLUIS_MUSTUSE kluis_status reading_spans(struct home *h, int64_t conversation, struct align_span **spans, struct chunk_origin **origins, size_t *n,
                                         struct kluis_err *err);
/* What was said of the n entries of a chunk, as bits of enum journal_mark. */
KLUIS_MUSTUSE kluis_status reading_marks(struct home *h, int64_t span, uint32_t n, uint8_t *out, struct kluis_err *err);
/* "d-…" of entry `at` of a chunk, and the package it is in. */
KLUIS_MUSTUSE kluis_status reading_name(struct home *h, int64_t span, uint32_t at, uint8_t package[32], char id[KLUIS_DERIVED_ID],
                                        struct kluis_err *err);
/* Does this record or skip say that something of the source was not read? */
bool reading_hole(const struct kluis_record *r);

/* ---- absence.c: what was archived from this source and is not in it any more ---- */
KLUIS_MUSTUSE kluis_status absence_new(struct absence **out, struct kluis_err *err);
void absence_free(struct absence *a); /* NULL: no-op */
/* After an occurrence was compared with what is stored, before its records are handed over. */
KLUIS_MUSTUSE kluis_status absence_look(struct reading *r, struct kluis_err *err);
/* After the second reading: what is still gone is said through r->out. */
KLUIS_MUSTUSE kluis_status absence_say(struct reading *r, const struct journal_reader *reader, struct kluis_err *err);

/* ---- pair.c: lines marked as edited, and what they were ---- */
KLUIS_MUSTUSE kluis_status pairs_new(struct pairs **out, struct kluis_err *err);
void pairs_free(struct pairs *p); /* NULL: no-op */
/* After an occurrence was compared: finds the original of each of its new edited lines. */
KLUIS_MUSTUSE kluis_status pairs_find(struct reading *r, struct kluis_err *err);
/* Record number r->at of the occurrence: if its original is known, *rec becomes the edit (valid until the next call), e->mark says of what. */
KLUIS_MUSTUSE kluis_status pairs_apply(struct reading *r, struct kluis_record *rec, struct align_entry *e, struct kluis_err *err);
/* Is that entry of a chunk the original of one of them? */
bool pairs_have(const struct pairs *p, int64_t span, uint32_t at);

#endif
