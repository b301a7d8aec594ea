/* server/access/access.h - what the page server may ask of the vault, and nothing else.   web -> [access] =socket=> desk -> api
 *
 * The page server reads requests of strangers and so holds nothing: no key of a package or of the index, no file, not even the key by which a person
 * is let in.  It passes on what it was asked, with the key that the person sent; the vault (server/desk) looks at both.
 *
 * On the wire (server/local frames, written out in docs/PROTOCOL.md §9): first a hello, then requests one after another, each with one answer.
 * Integers are wire fields of 4 or 8 bytes; strings are UTF-8 or whatever a browser sent, without NUL; an empty one is an absent one.
 *   'h' label "chatkluis-access-v1", u32 walls, str address        'k' key
 *   's' key, purpose, text, conversation, official, platform, cursor, u64 from, u64 to, u32 order, u32 limit, u32 count
 *   'a' key, purpose, package (32 bytes), u64 ordinal, u32 before, u32 after        't' key
 * Answers: '+' a JSON object (after 'h' and 'k' nothing) · 'n' the key is not the one · '-' u8 status (as its negative) and one line why.
 * A request has one form only: what was read, written again, is the same bytes.
 */
#ifndef SERVER_ACCESS_H
#define SERVER_ACCESS_H

#include "kluis/base.h"

enum {
    ACCESS_KEY_LEN = 43,          /* base64url of 32 bytes                                              */
    ACCESS_ADDRESS_MAX = 64,      /* "127.0.0.1:65535", "[::1]:65535", with NUL                         */
    ACCESS_STRING_MAX = 16384,    /* of one field: as much as a request line can hold                   */
    ACCESS_REQUEST_MAX = 65536,   /* of one request                                                     */
    ACCESS_ANSWER_MAX = 33 << 20, /* of one answer: api's ceiling and what is put around it             */
    ACCESS_PAGE_MAX = 200,        /* hits or messages of one page: index.h's, held to it by desk.c      */
    ACCESS_AROUND_MAX = 100,
    ACCESS_CHANNELS = 2, /* that a page server keeps: one for each of its threads              */
    ACCESS_SECONDS = 60  /* it waits for an answer                                             */
};
enum access_what { ACCESS_HELLO = 'h', ACCESS_KEY = 'k', ACCESS_SEARCH = 's', ACCESS_AROUND = 'a', ACCESS_STATUS = 't' };
enum access_order { ACCESS_NEWEST, ACCESS_OLDEST, ACCESS_RELEVANCE };
enum access_count { ACCESS_COUNT_NONE, ACCESS_COUNT_CAPPED, ACCESS_COUNT_EXACT };
enum { ACCESS_YES = '+', ACCESS_NO_KEY = 'n', ACCESS_FAILED = '-' };

struct access_request {
    enum access_what what;
    struct kluis_str key; /* what the person sent; another length than ACCESS_KEY_LEN is no key, and is sent as none */
    struct kluis_str purpose, text, conversation, official, platform, cursor;
    int64_t from_us, to_us; /* KLUIS_TIME_ABSENT: open */
    enum access_order order;
    uint32_t limit, before, after;
    enum access_count count;
    uint8_t package[32];
    uint64_t ordinal;
    uint32_t walls;           /* of a hello: bits of server/walls/walls.h, as the page server says them */
    struct kluis_str address; /* of a hello: where it listens, on loopback                              */
};
/* Appends the body of a frame of kind r->what.  E_LIMIT: too long; E_NOMEM. */
KLUIS_MUSTUSE kluis_status access_request_write(const struct access_request *r, struct kluis_buf *out, struct kluis_err *err);
/* Strict; what is read borrows from `body`.  E_REJECT: not a request. */
KLUIS_MUSTUSE kluis_status access_request_read(char kind, struct kluis_bytes body, struct access_request *r, struct kluis_err *err);

/* "127.0.0.1:8080" or "[::1]:8080": an address of this machine alone, digits only. */
bool access_loopback(const char *address);
/* A date "YYYY-MM-DD" as the instant it begins (end: the instant the next day begins) in UTC, or an RFC 3339 time. E_USAGE names `what`. */
KLUIS_MUSTUSE kluis_status access_instant(const char *text, bool end, const char *what, int64_t *us, struct kluis_err *err);

/* ---- asking: any thread ---- */

struct access;
/* path: the vault's socket; address, walls: what it is told of the page server.  Nothing is connected yet. */
KLUIS_MUSTUSE kluis_status access_open(struct access **out, const char *path, const char *address, unsigned walls, struct kluis_err *err);
/* Asks and waits.  OK: *admitted says whether the key was the one, and then `answer` has the JSON appended.  Else what the vault said (E_USAGE,
 * E_REJECT, E_NOTFOUND, E_LIMIT, E_BUSY, E_NOMEM, E_IO, …), or E_BUSY: the vault is away, or took too long.  A vault that was started anew is found
 * again by itself. */
KLUIS_MUSTUSE kluis_status access_ask(struct access *a, const struct access_request *r, bool *admitted, struct kluis_buf *answer,
                                      struct kluis_err *err);
/* Whether the vault is there: connects if need be, anew where that vault is gone.  E_BUSY: it is not. */
KLUIS_MUSTUSE kluis_status access_greet(struct access *a, struct kluis_err *err);
void access_close(struct access *a); /* nobody asks any more; NULL: no-op */

#endif
