/* agent/journal/stock.c - rows of packages.  See stock.h. */
#include "agent/journal/stock.h"

#include <errno.h>

#define COLUMNS "id,device,sequence,previous,root,records,length,cipher_length,cipher,upload,timed,state,created,removed"

static kluis_status damaged(struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "a package's row in agent.db is damaged: restore the home folder");
}

static kluis_status read_row(struct home *h, struct sqlite3_stmt *st, struct stock_package *p, struct kluis_err *err)
{
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK) {
        memset(p, 0, sizeof *p);
        bool ok = kluis_db_fixed(st, 0, p->id, 32) && kluis_db_copy(st, 1, p->device, sizeof p->device) && kluis_db_fixed(st, 3, p->previous, 32) &&
                  kluis_db_fixed(st, 4, p->root, 32) && kluis_db_fixed(st, 8, p->cipher, 32) && kluis_db_fixed(st, 9, p->upload, 16);
        p->sequence = (uint64_t)kluis_db_int(st, 2);
        p->records = (uint64_t)kluis_db_int(st, 5);
        p->length = (uint64_t)kluis_db_int(st, 6);
        p->cipher_length = (uint64_t)kluis_db_int(st, 7);
        p->timed = kluis_db_int(st, 10) != 0;
        p->state = (enum stock_state)kluis_db_int(st, 11);
        p->created_us = kluis_db_int(st, 12);
        p->released = kluis_db_int(st, 13) != 0;
        if (!ok) { rc = damaged(err); }
    }
    kluis_db_done(st);
    return rc;
}

kluis_status stock_next_number(struct home *h, const char *device, uint64_t *sequence, uint8_t previous[32], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    *sequence = 1;
    memset(previous, 0, 32);
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT sequence,id FROM package WHERE device=?1 ORDER BY sequence DESC LIMIT 1", "s", device));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK) {
        *sequence = (uint64_t)kluis_db_int(st, 0) + 1;
        if (!kluis_db_fixed(st, 1, previous, 32)) { rc = damaged(err); }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

kluis_status stock_add(struct home *h, const struct stock_package *p, const uint8_t key[32], struct kluis_err *err)
{
    KLUIS_AUTO_BUF(box, 128);
    KLUIS_TRY(home_box(h, "content-key", (struct kluis_bytes){ key, 32 }, &box, err));
    struct kluis_bytes upload = { p->upload, sizeof p->upload };
    return kluis_db_run(h->db, NULL, err,
                        "INSERT INTO package(id,device,sequence,previous,root,records,length,cipher_length,cipher,key,upload,timed,state,created)"
                        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
                        "hsihhiiihbbiii", p->id, p->device, (int64_t)p->sequence, p->previous, p->root, (int64_t)p->records, (int64_t)p->length,
                        (int64_t)p->cipher_length, p->cipher, kluis_buf_bytes(&box), upload, (int64_t)p->timed, (int64_t)p->state, p->created_us);
}

kluis_status stock_find(struct home *h, const uint8_t id[32], struct stock_package *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT " COLUMNS " FROM package WHERE id=?1", "h", id));
    kluis_status rc = read_row(h, st, out, err);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "this home made no such package") : rc;
}

kluis_status stock_next(struct home *h, const char *device, enum stock_state state, uint64_t after, struct stock_package *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err,
                             "SELECT " COLUMNS " FROM package WHERE device=?1 AND state=?2 AND sequence>?3 ORDER BY sequence LIMIT 1", "sii", device,
                             (int64_t)state, (int64_t)after));
    return read_row(h, st, out, err);
}

kluis_status stock_next_return(struct home *h, const char *device, const uint8_t after[32], struct stock_package *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(
        h->db, &st, err, "SELECT " COLUMNS " FROM package WHERE state=1 AND device<>?1 AND acknowledged IS NOT NULL AND id>?2 ORDER BY id LIMIT 1",
        "sh", device, after));
    return read_row(h, st, out, err);
}

kluis_status stock_at(struct home *h, uint64_t n, struct stock_package *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT " COLUMNS " FROM package ORDER BY created, sequence LIMIT 1 OFFSET ?1", "i", (int64_t)n));
    return read_row(h, st, out, err);
}

kluis_status stock_receipt(struct home *h, const uint8_t id[32], struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err,
                             "SELECT body FROM answer WHERE package=?1 AND kind=1 AND accepted=1 ORDER BY at DESC, rowid DESC LIMIT 1", "h", id));
    return kluis_db_take(st, kluis_db_step(h->db, st, err), out, err);
}

kluis_status stock_key(struct home *h, const uint8_t id[32], uint8_t key[32], struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_AUTO_BUF(plain, 64);
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT key FROM package WHERE id=?1", "h", id));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_END) { rc = KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "this home made no such package"); }
    if (rc == KLUIS_OK) { rc = home_unbox(h, "content-key", kluis_db_blob(st, 0), &plain, err); }
    kluis_db_done(st);
    if (rc == KLUIS_OK && plain.len != 32) { rc = damaged(err); }
    if (rc == KLUIS_OK) { memcpy(key, plain.data, 32); }
    if (plain.data != NULL) { kluis_wipe(plain.data, plain.cap); }
    return rc;
}

kluis_status stock_file(const struct home *h, const uint8_t id[32], char out[KLUIS_PATH_MAX], struct kluis_err *err)
{
    char name[96] = "packages/";
    kluis_hex(id, 32, name + 9);
    memcpy(name + 9 + 64, ".ckc", 5);
    return home_path(h, name, out, err);
}

/* The file goes first, the mark follows: a run that died in between finds the file gone and only marks. */
kluis_status stock_release(struct home *h, int days, uint64_t *n, struct kluis_err *err)
{
    const int64_t day = (int64_t)86400 * 1000000, now = kluis_now_us(), before = now - days * day;
    char path[KLUIS_PATH_MAX];
    *n = 0;
    /* Noted by clocks that were ahead, here and there: its days begin now, or it would stay for years. */
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "UPDATE package SET acknowledged=?1 WHERE acknowledged>?2 AND removed IS NULL", "ii", now, now + day));
    for (;;) {
        struct sqlite3_stmt *st = NULL;
        uint8_t id[32];
        KLUIS_TRY(kluis_db_query(h->db, &st, err,
                                 "SELECT id FROM package WHERE acknowledged<?1 AND backed_up IS NOT NULL AND removed IS NULL LIMIT 1", "i", before));
        kluis_status rc = kluis_db_step(h->db, st, err);
        if (rc == KLUIS_OK && !kluis_db_fixed(st, 0, id, 32)) { rc = damaged(err); }
        kluis_db_done(st);
        /* The log of the database may hold the keys of before: it is emptied into the database, which wipes what it deletes. */
        if (rc == KLUIS_END) { return *n == 0 ? KLUIS_OK : kluis_db_exec(h->db, "PRAGMA wal_checkpoint(TRUNCATE)", err); }
        KLUIS_TRY(rc);
        KLUIS_TRY(stock_file(h, id, path, err));
        if (kluis_io_unlink(path) != 0 && errno != ENOENT) { return KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path); }
        /* With the key goes what anybody may have kept of the ciphertext: on its way it was seen by others. */
        KLUIS_TRY(kluis_db_run(h->db, NULL, err, "UPDATE package SET removed=?2, key=x'' WHERE id=?1", "hi", id, kluis_now_us()));
        kluis_durable_step("agent.stock.released");
        (*n)++;
    }
}

kluis_status stock_supersede(struct home *h, struct kluis_err *err)
{
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "DELETE FROM outbox", ""));
    /* Asked for again and not answered yet: its receipt stands all the same. */
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "UPDATE package SET state=3 WHERE state IN (1,2) AND acknowledged IS NOT NULL", ""));
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "DELETE FROM seen WHERE package IN (SELECT id FROM package WHERE state IN (1,2))", ""));
    KLUIS_TRY(kluis_db_run(
        h->db, NULL, err,
        "DELETE FROM mark WHERE seen NOT IN (SELECT id FROM seen) OR (said_in IS NOT NULL AND said_in NOT IN (SELECT id FROM seen))", ""));
    return kluis_db_run(h->db, NULL, err, "UPDATE package SET state=5 WHERE state IN (1,2)", "");
}

kluis_status stock_count(struct home *h, struct stock_counts *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(
        h->db, &st, err,
        "SELECT count(*), coalesce(sum(records),0), coalesce(sum(state=1),0), coalesce(sum(handed IS NOT NULL),0),"
        " coalesce(sum(acknowledged IS NOT NULL),0), coalesce(sum(state=4),0), coalesce(sum(backed_up IS NOT NULL),0) FROM package WHERE state<>5",
        ""));
    kluis_status rc = kluis_db_step(h->db, st, err);
    if (rc == KLUIS_OK) {
        *out = (struct stock_counts){ (uint64_t)kluis_db_int(st, 0), (uint64_t)kluis_db_int(st, 1), (uint64_t)kluis_db_int(st, 2),
                                      (uint64_t)kluis_db_int(st, 3), (uint64_t)kluis_db_int(st, 4), (uint64_t)kluis_db_int(st, 5),
                                      (uint64_t)kluis_db_int(st, 6) };
    }
    kluis_db_done(st);
    return rc;
}
