/* server/custody/custody_internal.h - statements of custody.db: one list, prepared once, bound by a type string.
 * Stays in this folder. */
#ifndef SERVER_CUSTODY_INTERNAL_H
#define SERVER_CUSTODY_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "kluis/db.h"
#include "server/custody/custody.h"

#define CUSTODY_INBOX_COLUMNS                                                                                                                        \
    "i.number,i.device,i.message,i.body,i.package,i.sequence,i.previous,i.length,i.cipher_length,i.cipher_sha256,i.received_us,i.state,"             \
    "(SELECT wrapped FROM content_key k WHERE k.delivery=i.number),i.via,i.signer"
#define CUSTODY_INBOX_N 15
#define CUSTODY_PACKAGE_COLUMNS                                                                                                                      \
    "p.sequence,p.delivery,p.official,p.records_root,p.device_cert,p.n_records,p.verdict,p.leaf,p.receipt_size,p.receipt_"                           \
    "stamped," CUSTODY_INBOX_COLUMNS

#define CUSTODY_QUERIES(X)                                                                                                                           \
    X(NUMBER_GET, "SELECT value FROM meta WHERE key=?1")                                                                                             \
    X(NUMBER_SET, "INSERT INTO meta(key,value) VALUES(?1,?2) ON CONFLICT(key) DO UPDATE SET value=excluded.value")                                   \
    X(SESSION_GET, "SELECT value FROM session WHERE tbl=?1 AND key=?2")                                                                              \
    X(SESSION_PUT, "INSERT INTO session(tbl,key,value) VALUES(?1,?2,?3) "                                                                            \
                   "ON CONFLICT(tbl,key) DO UPDATE SET value=excluded.value")                                                                        \
    X(SESSION_DEL, "DELETE FROM session WHERE tbl=?1 AND key=?2")                                                                                    \
    X(INBOX_ADD, "INSERT INTO inbox(device,message,body,package,sequence,previous,length,cipher_length,"                                             \
                 "cipher_sha256,received_us,state,via,signer) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)")                                   \
    X(KEY_ADD, "INSERT INTO content_key(delivery,wrapped) VALUES(?1,?2)")                                                                            \
    X(INBOX_GET, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.number=?1")                                                                  \
    X(INBOX_NEXT, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.state=0 AND i.number>?1 ORDER BY i.number LIMIT 1")                         \
    X(INBOX_MESSAGE, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.device=?1 AND i.message=?2 AND i.via='' "                                \
                     "UNION ALL SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.via<>'' AND i.via=?1 AND i.message=?2")                        \
    X(INBOX_BODY, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.body=?1 AND CASE i.via WHEN '' THEN i.device ELSE i.via END=?2")            \
    X(INBOX_SEQUENCE, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.device=?1 AND i.sequence=?2")                                           \
    X(INBOX_PACKAGE, "SELECT " CUSTODY_INBOX_COLUMNS " FROM inbox i WHERE i.package=?1 ORDER BY i.number LIMIT 1")                                   \
    X(HANDLED_ADD, "INSERT INTO handled(device,message,body,package) VALUES(?1,?2,?3,?4) ON CONFLICT DO NOTHING")                                    \
    X(HANDLED_GET, "SELECT package FROM handled WHERE (device=?1 AND message=?2) OR (body=?3 AND device=?1) LIMIT 1")                                \
    X(INBOX_STATE, "UPDATE inbox SET state=?2 WHERE number=?1 AND state=0")                                                                          \
    X(PACKAGE_ADD, "INSERT INTO package(sequence,delivery,official,records_root,device_cert,n_records,verdict,leaf,"                                 \
                   "receipt_size,receipt_stamped) VALUES((SELECT coalesce(max(sequence),0)+1 FROM package),?1,?2,?3,"                                \
                   "?4,?5,?6,?7,0,0)")                                                                                                               \
    X(PACKAGE_GET, "SELECT " CUSTODY_PACKAGE_COLUMNS " FROM package p JOIN inbox i ON i.number=p.delivery WHERE p.sequence=?1")                      \
    X(PACKAGE_DELIVERY, "SELECT " CUSTODY_PACKAGE_COLUMNS " FROM package p JOIN inbox i ON i.number=p.delivery WHERE p.delivery=?1")                 \
    X(PACKAGE_OWNERS,                                                                                                                                \
      "SELECT p.sequence,CASE i.via WHEN '' THEN i.device ELSE i.via END,i.package FROM package p JOIN inbox i ON i.number=p.delivery "              \
      "WHERE p.sequence>?1 AND p.sequence<=?2 ORDER BY p.sequence LIMIT ?3")                                                                         \
    X(PACKAGE_LAST, "SELECT coalesce(max(sequence),0) FROM package")                                                                                 \
    X(PACKAGE_RECEIPT, "UPDATE package SET receipt_size=?2,receipt_stamped=?3 WHERE sequence=?1")                                                    \
    X(PACKAGE_UNSTAMPED, "SELECT " CUSTODY_PACKAGE_COLUMNS " FROM package p JOIN inbox i ON i.number=p.delivery "                                    \
                         "WHERE p.receipt_stamped=0 AND p.receipt_size>0 AND p.sequence>?1 AND p.leaf<?2 ORDER BY p.sequence LIMIT 1")               \
    X(AWAITED_ADD, "INSERT INTO awaited(package,leaf) VALUES(?1,?2) ON CONFLICT DO NOTHING")                                                         \
    X(AWAITED_GET, "SELECT leaf FROM awaited WHERE package=?1")                                                                                      \
    X(AWAITED_DEL, "DELETE FROM awaited WHERE package=?1")                                                                                           \
    X(REFUSAL_ADD, "INSERT INTO refusal(delivery,device,package,sequence,layer,reason,refused_us,statement) "                                        \
                   "VALUES(nullif(?1,0),?2,?3,?4,?5,?6,?7,?8)")                                                                                      \
    X(REFUSALS, "SELECT number,coalesce(delivery,0),device,package,sequence,layer,reason,refused_us,statement "                                      \
                "FROM refusal ORDER BY number")                                                                                                      \
    X(REFUSAL_DELIVERY, "SELECT statement FROM refusal WHERE delivery=?1")                                                                           \
    X(OUTBOX_ADD, "INSERT INTO outbox(message,device,kind,package,package_sequence,tree_size,body,state) "                                           \
                  "VALUES(?1,?2,?3,?4,?5,?6,?7,0)")                                                                                                  \
    X(OUTBOX_NEXT, "SELECT number,message,device,kind,package,package_sequence,tree_size,state,body FROM outbox "                                    \
                   "WHERE state=?1 AND number>?2 ORDER BY number LIMIT 1")                                                                           \
    X(OUTBOX_ENCRYPTED, "UPDATE outbox SET state=1,tree_size=?2,body=?3 WHERE number=?1 AND state=0")                                                \
    X(OUTBOX_POSTED, "UPDATE outbox SET state=2 WHERE number=?1 AND state=1")                                                                        \
    X(OUTBOX_AGAIN, "UPDATE outbox SET state=1 WHERE package=?1 AND state=2 AND number="                                                             \
                    "(SELECT max(number) FROM outbox WHERE package=?1 AND kind IN(1,2,5))")                                                          \
    X(OUTBOX_FIND, "SELECT 1 FROM outbox WHERE package=?1 AND kind IN(1,2,5) LIMIT 1")                                                               \
    X(LEAF_ADD, "INSERT INTO leaf(idx,data) VALUES(?1,?2)")                                                                                          \
    X(LEAF_GET, "SELECT data FROM leaf WHERE idx=?1")                                                                                                \
    X(NODE_PUT, "INSERT INTO node(level,idx,hash) VALUES(?1,?2,?3)")                                                                                 \
    X(NODE_GET, "SELECT hash FROM node WHERE level=?1 AND idx=?2")                                                                                   \
    X(CHECKPOINT_PUT, "INSERT INTO checkpoint(size,stamped,made_us,text,seal) VALUES(?1,?2,?3,?4,?5) "                                               \
                      "ON CONFLICT(size) DO UPDATE SET stamped=excluded.stamped,made_us=excluded.made_us,"                                           \
                      "text=excluded.text,seal=excluded.seal WHERE checkpoint.stamped=0")                                                            \
    X(CHECKPOINT_GET, "SELECT size,stamped,made_us,text,seal FROM checkpoint WHERE size=?1")                                                         \
    X(CHECKPOINT_LAST, "SELECT size,stamped,made_us,text,seal FROM checkpoint ORDER BY size DESC LIMIT 1")                                           \
    X(CHECKPOINT_WITHIN, "SELECT size,stamped,made_us,text,seal FROM checkpoint WHERE size>?1 AND size<=?2 ORDER BY size DESC LIMIT 1")              \
    X(COUNT, "SELECT (SELECT coalesce(max(sequence),0) FROM package),(SELECT coalesce(sum(n_records),0) FROM package),"                              \
             "(SELECT coalesce(max(idx)+1,0) FROM leaf),(SELECT count(*) FROM inbox WHERE state=0),"                                                 \
             "(SELECT count(*) FROM refusal),(SELECT count(*) FROM outbox WHERE state=0),"                                                           \
             "(SELECT count(*) FROM outbox WHERE state=1),(SELECT count(*) FROM package WHERE receipt_size>0),"                                      \
             "(SELECT count(*) FROM package WHERE receipt_stamped=0),(SELECT count(*) FROM awaited)")                                                \
    X(LAST_DELIVERY, "SELECT max(received_us) FROM inbox WHERE device=?1 AND state=1")                                                               \
    X(INTEGRITY, "PRAGMA integrity_check(1)")

enum custody_query {
#define X(name, sql) Q_##name,
    CUSTODY_QUERIES(X)
#undef X
        Q_COUNT_OF_QUERIES
};

struct custody {
    struct kluis_db *db;
    char path[KLUIS_PATH_MAX];
    pthread_mutex_t lock;
    bool in_transaction;
    sqlite3_stmt *q[Q_COUNT_OF_QUERIES];
};

/* Binds by `types`: i int64, t C string, b pointer and size_t, n nothing (NULL).  The lock must be held.  NULL: *err says why. */
sqlite3_stmt *custody_bind(struct custody *c, enum custody_query q, struct kluis_err *err, const char *types, ...);
/* Runs a bound statement that gives no row.  E_EXISTS: a uniqueness rule of the schema. */
KLUIS_MUSTUSE kluis_status custody_run(struct custody *c, sqlite3_stmt *st, struct kluis_err *err);
/* One step of a bound SELECT: OK a row, E_NOTFOUND none.  The caller resets with custody_done. */
KLUIS_MUSTUSE kluis_status custody_row(struct custody *c, sqlite3_stmt *st, struct kluis_err *err);
void custody_done(sqlite3_stmt *st);
kluis_status custody_sql_error(struct custody *c, const char *what, struct kluis_err *err);
/* Columns out of our own rows: a wrong size is damage, E_CORRUPT. */
KLUIS_MUSTUSE kluis_status custody_col_fixed(sqlite3_stmt *st, int col, void *out, size_t n, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status custody_col_text(sqlite3_stmt *st, int col, char *out, size_t cap, struct kluis_err *err);
struct kluis_bytes custody_col_bytes(sqlite3_stmt *st, int col);

static inline void custody_unlock_(struct custody **c) { pthread_mutex_unlock(&(*c)->lock); }
#define CUSTODY_LOCKED(c)                                                                                                                            \
    __attribute__((cleanup(custody_unlock_))) struct custody *locked_ = (c);                                                                         \
    pthread_mutex_lock(&locked_->lock)

#endif
