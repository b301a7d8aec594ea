/* agent/journal/stock.h - the packages this home made: one row each, from frozen to backed up.   pack -> [stock] -> courier
 *
 * The row is the truth about a package's delivery; packages/<id>.ckc holds its ciphertext.  One thread. */
#ifndef AGENT_STOCK_H
#define AGENT_STOCK_H

#include "agent/journal/home.h"

enum stock_state {
    STOCK_WAITING = 1,      /* frozen, not yet with the gate                                   */
    STOCK_HANDED = 2,       /* upload and message stored by the gate                           */
    STOCK_ACKNOWLEDGED = 3, /* a receipt was verified                                          */
    STOCK_REFUSED = 4,      /* the vault refused it: the copy stays                            */
    STOCK_SUPERSEDED = 5    /* made under an earlier enrolment, its records were packed again  */
};

struct stock_package {
    uint8_t id[32], previous[32], root[32], cipher[32], upload[16];
    char device[64];
    uint64_t sequence, length, cipher_length, records;
    bool timed;    /* carries a time-stamp token (B-T)                                */
    bool released; /* the ciphertext here was removed after backup                    */
    enum stock_state state;
    int64_t created_us;
};

/* The next number of this device and the package before it. */
KLUIS_MUSTUSE kluis_status stock_next_number(struct home *h, const char *device, uint64_t *sequence, uint8_t previous[32], struct kluis_err *err);
/* In the caller's transaction: the row with its content key (boxed here). */
KLUIS_MUSTUSE kluis_status stock_add(struct home *h, const struct stock_package *p, const uint8_t key[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status stock_find(struct home *h, const uint8_t id[32], struct stock_package *out, struct kluis_err *err); /* E_NOTFOUND */
/* Packages of a device in a state, by number, from above `after` on.  KLUIS_END. */
KLUIS_MUSTUSE kluis_status stock_next(struct home *h, const char *device, enum stock_state state, uint64_t after, struct stock_package *out,
                                      struct kluis_err *err);
/* Packages of earlier enrolments that the vault asked back, by id, from above `after` on: acknowledged once, and waiting.  KLUIS_END. */
KLUIS_MUSTUSE kluis_status stock_next_return(struct home *h, const char *device, const uint8_t after[32], struct stock_package *out,
                                             struct kluis_err *err);
/* The nth row in order of making, whatever its state.  KLUIS_END. */
KLUIS_MUSTUSE kluis_status stock_at(struct home *h, uint64_t n, struct stock_package *out, struct kluis_err *err);
/* Its best receipt: the last believed one, a stamped one being later than its pending forerunner.  KLUIS_END: there is none. */
KLUIS_MUSTUSE kluis_status stock_receipt(struct home *h, const uint8_t id[32], struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status stock_key(struct home *h, const uint8_t id[32], uint8_t key[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status stock_file(const struct home *h, const uint8_t id[32], char out[KLUIS_PATH_MAX], struct kluis_err *err);
/* Removes the ciphertext and the content key of packages whose receipt verified, that stand in a completed backup, and whose receipt is `days` old.
 * Only when somebody else agrees with this computer's clock. */
KLUIS_MUSTUSE kluis_status stock_release(struct home *h, int days, uint64_t *n, struct kluis_err *err);

/* A new enrolment: what nobody acknowledged is marked, its messages are dropped, and the journal forgets its records, so that they are
 * read and packed again under the new device.  What was acknowledged stays that; the vault may ask for it (stock_next_return).  In the caller's
 * transaction. */
KLUIS_MUSTUSE kluis_status stock_supersede(struct home *h, struct kluis_err *err);

struct stock_counts {
    uint64_t packages, records, waiting, handed, acknowledged, refused, backed_up;
};
/* Of the current enrolment and those before; superseded rows are not counted.  handed counts everything the gate took. */
KLUIS_MUSTUSE kluis_status stock_count(struct home *h, struct stock_counts *out, struct kluis_err *err);

#endif
