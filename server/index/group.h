/* server/index/group.h - records on their way into groups: what group.c (who belongs together) hands to regroup.c (into the file). */
#ifndef SERVER_INDEX_GROUP_H
#define SERVER_INDEX_GROUP_H

#include "server/index/internal.h"

/* Somebody, as far as two records can agree on who it is; 0: not known. */
struct who {
    uint64_t id, number, name;
};
struct member {
    int64_t file, row, pkg, at, tie, lead, bits, device, official, link, conv;
    uint64_t ordinal;
    uint8_t package[32], content[32], words[32]; /* words: of a message, its normalised text alone; else the content */
    struct who author;
    uint32_t hash;
    int precision;
    int64_t group, new_row; /* index of the leader in the run */
    int64_t anchor;         /* or of the one in the run's anchors that it joins; -1: none */
    int64_t next, last;     /* of a leader: chain of its group's members */
    bool conflict, several; /* several: in a group with others now */
    bool inner;             /* all that its group can depend on was looked at */
};
struct run {
    struct member *list;
    size_t n, cap;
    struct member *anchors; /* first ones of groups with an id that messages without one may join; next: the first that does */
    size_t n_anchors, cap_anchors;
    bool lengthy;
};

/* A row of a file as one number. */
static inline int64_t igroup_place(int64_t file, int64_t row) { return (int64_t)((uint64_t)file << 40 ^ (uint64_t)row); }
/* Writes down what a run's `group` and `anchor` say, after bringing to the hot file what is in periods.  force: also when nothing changes. */
KLUIS_MUSTUSE kluis_status igroup_apply(struct index *ix, struct run *r, bool force, struct kluis_err *err);

#endif
