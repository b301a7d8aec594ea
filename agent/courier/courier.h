/* agent/courier/courier.h - between this home and its organisation's vault, through the gate.   (stock) -> [courier]
 *
 * docs/PROTOCOL.md §3 to §5 and §7.1, device side.  What was sent once is sent again byte for byte; a receipt counts only when it
 * verifies against trust.json; the vault can refuse, ask again or suspend, but nothing it says removes this home's copy except a
 * verified receipt, a completed backup and time.  One thread; the home's lock is held. */
#ifndef AGENT_COURIER_H
#define AGENT_COURIER_H

#include "agent/journal/home.h"
#include "agent/journal/stock.h"
#include "kluis/seal.h"

/* Enrols this home with a code (PROTOCOL.md §3).  Everything is checked before anything is written; packages that nobody acknowledged
 * under an earlier enrolment are marked and their records will be packed anew.  E_REJECT: code, reply or TLS refused; E_BUSY: no answer. */
KLUIS_MUSTUSE kluis_status courier_enrol(struct home *h, const char *server, struct kluis_str code, struct kluis_err *err);

struct courier;
/* trust, borrowed: what receipts, bundles and answers are judged by.  device_cert: this device's certificate, DER. */
KLUIS_MUSTUSE kluis_status courier_open(struct courier **out, struct home *h, const struct kluis_trust *trust, struct kluis_bytes device_cert,
                                        struct kluis_err *err);
void courier_free(struct courier *c);

/* For pack: a time-stamp response, at most 5 s, once; after a failure it is not tried again for a minute.  ctx: the courier. */
kluis_status courier_time_stamp(void *ctx, struct kluis_bytes request, struct kluis_buf *response, struct kluis_err *err);

struct courier_counts {
    uint64_t handed, acknowledged, refused, backed_up, hostile, resend;
    bool suspended;
    bool anew;  /* the gate speaks of a newer vault bundle: courier_deliver will start a session with it */
    bool asked; /* the vault was told what is held here, and has not answered yet                        */
};
/* Bytes that went up, for progress; may be NULL.  stop, read between requests: ends the work early with OK. */
struct courier_watch {
    void *ctx;
    void (*sent)(void *ctx, uint64_t bytes, uint64_t packages);
    const volatile int *stop;
};
/* Hands everything that waits to the gate, in order of number.  E_BUSY: gate or vault cannot take more now (nothing is lost). */
KLUIS_MUSTUSE kluis_status courier_deliver(struct courier *c, const struct courier_watch *w, struct courier_counts *counts, struct kluis_err *err);
/* Fetches answers, waiting at most wait_s (<= 25) for the first, and works through them.  KLUIS_END: there were none. */
KLUIS_MUSTUSE kluis_status courier_receive(struct courier *c, int wait_s, struct courier_counts *counts, struct kluis_err *err);
/* The gate accepted a signed request since courier_open: its clock and this computer's agree within its limit (PROTOCOL.md §5.1). */
bool courier_clock_agreed(const struct courier *c);
/* Seconds to wait after E_BUSY, as the gate asked, or 0. */
int64_t courier_retry_after(const struct courier *c);

#endif
