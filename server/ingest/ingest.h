/* server/ingest/ingest.h - from the gate to receipt and index: four stages of threads with bounded queues between them.
 *
 *   intake (pull, download, decrypt, T1) -> two workers (opener, judge) -> committer (T2, checkpoint, mirror, outbox) -> feeder (index)
 *
 * All state that must survive lies in custody.db: every stage begins where the database says, whatever was in a queue.
 */
#ifndef SERVER_INGEST_H
#define SERVER_INGEST_H

#include <pthread.h>

#include "server/custody/custody.h"
#include "server/index/index.h"
#include "server/ingest/keys.h"
#include "server/ingest/zygote.h"
#include "server/ledger/ledger.h"
#include "server/register/register.h"
#include "server/storage/storage.h"
#include "server/walls/walls.h"

struct ingest_config { /* all borrowed for as long as ingest runs                       */
    struct zygote *zygote;
    const struct vault_keys *keys;
    struct custody *custody;
    struct storage *storage;
    struct ledger *ledger;
    struct reg *reg;
    pthread_mutex_t *reg_lock; /* the register belongs to one thread at a time        */
    struct index *index;
    const char *dir;                  /* where the device CA's revocation list is published    */
    const char *gate_url, *gate_name; /* name NULL: host:port of the url                               */
};
struct ingest;
enum { INGEST_TROUBLE = KLUIS_ERR_MSG + 16 };
KLUIS_MUSTUSE kluis_status ingest_start(struct ingest **out, const struct ingest_config *c, struct kluis_err *err);
void ingest_stop(struct ingest *in);   /* ends the threads; what was acknowledged stays; NULL: no-op     */
void ingest_answer(struct ingest *in); /* custody has news for devices: the committer looks */
/* How many entries of the register's journal the gate has on its disk; false: it was not asked yet. */
bool ingest_journal_at_gate(struct ingest *in, uint64_t *entries);
/* What gate and embedded time authority said of their walls with the gate's last answer; not told when that did not come. */
void ingest_walls(struct ingest *in, struct walls_told *gate, struct walls_told *authority);
/* Why the newest checkpoint has no time stamp yet; "": it has one, or nothing was asked. */
void ingest_no_stamp(struct ingest *in, char out[KLUIS_ERR_MSG]);
/* Why everything waits for the clock, or NULL: it is right. */
const char *ingest_waits(struct ingest *in, char out[KLUIS_ERR_MSG]);
/* What goes wrong just now and is tried again (memory or disk are short, the gate is away), as "stage: why"; NULL: nothing does. */
const char *ingest_troubled(struct ingest *in, char out[INGEST_TROUBLE]);
/* A stage met damage of our own (E_CORRUPT, E_BUG) and everything stands still: why, or NULL while all is well. */
const char *ingest_halted(struct ingest *in);

/* Who adds much to the index: records of one of its transactions (a small one costs far more a record), and how long it is maintained between two
 * when it is crowded. */
enum { INGEST_BATCH_RECORDS = 50000, INGEST_TIDY_US = 50000 };
/* Opens stored packages again, two at a time, and hands them over in custody order, from `first` to `last`: what rebuild and check
 * stand on.  `each` gets facts and rows that were checked against custody's; it may fail to stop. */
struct reopened {
    const struct custody_package *package;
    struct index_package *rows;
    uint64_t size;
};
KLUIS_MUSTUSE kluis_status ingest_reopen(const struct ingest_config *c, uint64_t first, uint64_t last, void *ctx,
                                         kluis_status (*each)(void *ctx, const struct reopened *r, struct kluis_err *err), struct kluis_err *err);

/* The device's answer to a refusal (kind 2): "chatkluis-refusal-v1" || text || CAdES of the seal over the text. */
KLUIS_MUSTUSE kluis_status ingest_statement(const struct vault_keys *k, const uint8_t package[32], const char *layer, const char *reason,
                                            int64_t now_us, struct kluis_buf *out, struct kluis_err *err);
/* PROTOCOL.md §3: a request in, a reply or a refusal out.  *device: what was enrolled, "" if nothing was.  Errors are local ones. */
KLUIS_MUSTUSE kluis_status ingest_enrol(struct reg *reg, const struct vault_keys *k, struct kluis_bytes request, int64_t now_us, char device[33],
                                        struct kluis_buf *login_spki, struct kluis_buf *reply, struct kluis_err *err);

#endif
