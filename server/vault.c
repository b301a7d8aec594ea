/* server/vault.c - opens the parts in an order that keeps secrets out of the zygote, and answers for them together. */
#include "server/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <unistd.h>

#include "kluis/validation.h"
#include "server/backup/backup.h"
#include "server/ingest/ingest.h"
#include "server/log.h"
#include "server/walls/walls.h"

struct vault {
    char dir[KLUIS_PATH_MAX], index_dir[KLUIS_PATH_MAX];
    int lock_fd;
    struct zygote *zygote;
    struct vault_keys *keys;
    struct custody *custody;
    struct storage *storage;
    struct ledger *ledger;
    struct reg *reg;
    pthread_mutex_t reg_lock;
    struct index *index;
    struct ledger_keys ledger_keys;
    pthread_rwlock_t index_use; /* write: while the index is replaced          */
    pthread_mutex_t run_lock;   /* over ingest and what it was started with    */
    struct ingest *ingest;
    bool paused; /* a rebuild stopped ingest and could not start it again: the next one does */
    char url[512], name[256];
    uint8_t fingerprint[16];
    unsigned walls; /* of this process, bits of walls.h */
};

/* A byte of the lock file says who has it, another whether a server waits for it; both count only while their locks are held. */
enum { LOCK_SERVES = 'v', LOCK_COMMAND = 'c', TURN_US = 100000 };

static kluis_status lock_file(const struct vault *v, const char *name, int *fd, struct kluis_err *err)
{
    char path[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(path, sizeof path, v->dir, name, err));
    *fd = kluis_io_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    return *fd < 0 ? KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot open '%s'", path) : KLUIS_OK;
}

/* KLUIS_END: somebody has it. */
static kluis_status try_lock(const struct vault *v, int fd, struct kluis_err *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) { return KLUIS_OK; }
    return errno == EWOULDBLOCK ? KLUIS_END : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot lock the vault in '%s'", v->dir);
}

static char holder(const struct vault *v)
{
    char c = 0;
    return pread(v->lock_fd, &c, 1, 0) == 1 ? c : 0;
}

/* The vault is somebody's: who that is, and whether a server waits for it. */
static kluis_status taken(const struct vault *v, struct kluis_err *err)
{
    int fd = -1;
    bool serves = holder(v) == LOCK_SERVES, waits = false;
    struct kluis_err ignored = { 0 };
    if (!serves && lock_file(v, "vault.turn", &fd, &ignored) == KLUIS_OK) { waits = try_lock(v, fd, &ignored) == KLUIS_END; }
    kluis_close_quiet(&fd);
    return KLUIS_FAIL(err, KLUIS_E_BUSY, "%s has the vault in '%s'%s", serves ? "a server" : "a command", v->dir,
                      serves  ? ""
                      : waits ? ": the server waits until it is done; ask again then"
                              : ": wait until it is done");
}

static kluis_status take_lock(struct vault *v, const struct vault_turn *turn, struct kluis_err *err)
{
    bool there;
    int waiting = -1;
    const char who = turn == NULL ? LOCK_COMMAND : LOCK_SERVES;
    KLUIS_TRY(kluis_exists(v->dir, &there, err));
    if (!there) { return KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "'%s' holds no vault; run init first", v->dir); }
    KLUIS_TRY(lock_file(v, "vault.lock", &v->lock_fd, err));
    kluis_status rc = try_lock(v, v->lock_fd, err);
    if (rc == KLUIS_END && turn != NULL && holder(v) != LOCK_SERVES) {
        rc = lock_file(v, "vault.turn", &waiting, err);
        if (rc == KLUIS_OK) { rc = try_lock(v, waiting, err) == KLUIS_E_IO ? KLUIS_E_IO : KLUIS_END; } /* two may wait */
        if (rc == KLUIS_END) { kluis_log(KLUIS_LOG_WARN, "vault.waits", "a command has the vault: the server goes on when it is done"); }
        while (rc == KLUIS_END && turn->go_on(turn->ctx)) {
            kluis_sleep_us(TURN_US);
            rc = try_lock(v, v->lock_fd, err);
        }
    }
    kluis_close_quiet(&waiting);
    if (rc == KLUIS_END) { return taken(v, err); }
    KLUIS_TRY(rc);
    return pwrite(v->lock_fd, &who, 1, 0) == 1 ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot write the lock of '%s'", v->dir);
}

/* The index directory holds plain files only; anything else is not ours to remove. */
static kluis_status delete_index(const struct vault *v, struct kluis_err *err)
{
    DIR *d = opendir(v->index_dir);
    if (d == NULL) { return errno == ENOENT ? KLUIS_OK : KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot read '%s'", v->index_dir); }
    kluis_status rc = KLUIS_OK;
    for (const char *name; kluis_dir_next(d, v->index_dir, &name, &rc, err);) {
        char path[KLUIS_PATH_MAX];
        if ((rc = kluis_path(path, sizeof path, v->index_dir, name, err)) == KLUIS_OK && kluis_io_unlink(path) != 0) {
            rc = KLUIS_FAIL_SYS(err, KLUIS_E_IO, "cannot remove '%s'", path);
        }
    }
    (void)closedir(d);
    return rc == KLUIS_OK ? kluis_fsync_dir(v->index_dir, err) : rc;
}

static kluis_status open_index(struct vault *v, struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    KLUIS_TRY(kluis_make_dir(v->index_dir, err));
    kluis_status rc = index_open(&v->index, v->index_dir, v->keys->index_master, &why);
    if (rc == KLUIS_E_CORRUPT) {
        kluis_log_err(KLUIS_LOG_ERROR, "index.damaged", &why);
        KLUIS_TRY(delete_index(v, err));
        return index_open(&v->index, v->index_dir, v->keys->index_master, err);
    }
    if (rc != KLUIS_OK && err != NULL) { *err = why; }
    return rc;
}

static kluis_status open_all(struct vault *v, const char *home, const struct vault_users *as, const struct vault_turn *turn, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(spki, 4096);
    uint8_t digest[32];
    KLUIS_TRY(kluis_path(v->dir, sizeof v->dir, home, "vault", err));
    KLUIS_TRY(kluis_path(v->index_dir, sizeof v->index_dir, v->dir, "index", err));
    /* Before the first key, and before the first file is made. */
    KLUIS_TRY(zygote_start(&v->zygote, as == NULL ? NULL : &as->opener, err));
    if (as != NULL) { KLUIS_TRY(walls_user_become(&as->keeper, err)); }
    KLUIS_TRY(take_lock(v, turn, err));
    KLUIS_TRY(backup_restored(v->dir, err));
    KLUIS_TRY(vault_keys_load(&v->keys, home, err));
    KLUIS_TRY(kluis_cert_spki(kluis_buf_bytes(&v->keys->root_cert), &spki, err));
    kluis_sha256_of(spki.data, spki.len, digest);
    memcpy(v->fingerprint, digest, sizeof v->fingerprint);
    KLUIS_TRY(custody_open(&v->custody, v->dir, err));
    KLUIS_TRY(storage_open_files(&v->storage, v->dir, err));
    KLUIS_TRY(reg_open(&v->reg, v->dir, err));
    v->ledger_keys = (struct ledger_keys){ .origin = v->keys->origin,
                                           .seed = v->keys->seed,
                                           .seal = v->keys->seal,
                                           .seal_cert = kluis_buf_bytes(&v->keys->seal_cert),
                                           .tsa_anchors = v->keys->trust.tsa_cas,
                                           .n_tsa = v->keys->trust.n_tsa_cas };
    KLUIS_TRY(ledger_open(&v->ledger, v->custody, &v->ledger_keys, err));
    return open_index(v, err);
}

kluis_status vault_open(struct vault **out, const char *home, const struct vault_users *as, const struct vault_turn *turn, struct kluis_err *err)
{
    *out = NULL;
    struct vault *v = kluis_calloc(1, sizeof *v);
    if (v == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot open the vault: out of memory"); }
    v->lock_fd = -1;
    pthread_mutex_init(&v->reg_lock, NULL);
    pthread_mutex_init(&v->run_lock, NULL);
    pthread_rwlock_init(&v->index_use, NULL);
    kluis_status rc = open_all(v, home, as, turn, err);
    if (rc != KLUIS_OK) {
        vault_close(v);
        return rc;
    }
    *out = v;
    return KLUIS_OK;
}

kluis_status vault_confine(struct vault *v, const char *url, struct kluis_err *err)
{
    struct walls w = { .dir = v->dir, .folders = true, .children = true };
    if (url != NULL) {
        w.outward = true;
        if ((w.port[0] = walls_port_of(url, &w.names)) == 0) {
            return KLUIS_FAIL(err, KLUIS_E_USAGE, "the gate's address must look like https://host:port");
        }
        w.n_ports = 1;
    }
    return walls_raise(&w, &v->walls, err);
}

void vault_close(struct vault *v)
{
    if (v == NULL) { return; }
    vault_stop(v);
    if (v->index != NULL) { index_close(v->index); }
    ledger_free(v->ledger);
    reg_free(v->reg);
    storage_free(v->storage);
    custody_free(v->custody);
    vault_keys_free(v->keys);
    zygote_free(v->zygote);
    kluis_close_quiet(&v->lock_fd);
    pthread_mutex_destroy(&v->reg_lock);
    pthread_mutex_destroy(&v->run_lock);
    pthread_rwlock_destroy(&v->index_use);
    kluis_free(v);
}

static struct ingest_config config(struct vault *v)
{
    return (struct ingest_config){ .zygote = v->zygote,
                                   .keys = v->keys,
                                   .custody = v->custody,
                                   .storage = v->storage,
                                   .ledger = v->ledger,
                                   .reg = v->reg,
                                   .reg_lock = &v->reg_lock,
                                   .index = v->index,
                                   .dir = v->dir };
}

/* run_lock is held. */
static kluis_status start_ingest(struct vault *v, struct kluis_err *err)
{
    struct ingest_config c = config(v);
    c.gate_url = v->url;
    c.gate_name = v->name[0] == 0 ? NULL : v->name;
    return ingest_start(&v->ingest, &c, err);
}

kluis_status vault_start(struct vault *v, const char *url, const char *name, struct kluis_err *err)
{
    if (strlen(url) >= sizeof v->url || (name != NULL && strlen(name) >= sizeof v->name)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "the gate's address is too long");
    }
    pthread_mutex_lock(&v->run_lock);
    kluis_status rc = KLUIS_OK;
    if (v->ingest != NULL) {
        rc = KLUIS_FAIL(err, KLUIS_E_BUG, "the vault was started twice");
    } else {
        (void)snprintf(v->url, sizeof v->url, "%s", url);
        (void)snprintf(v->name, sizeof v->name, "%s", name == NULL ? "" : name);
        rc = start_ingest(v, err);
    }
    pthread_mutex_unlock(&v->run_lock);
    return rc;
}

void vault_stop(struct vault *v)
{
    pthread_mutex_lock(&v->run_lock);
    ingest_stop(v->ingest);
    v->ingest = NULL;
    v->paused = false;
    pthread_mutex_unlock(&v->run_lock);
}

const char *vault_halted(struct vault *v)
{
    pthread_mutex_lock(&v->run_lock);
    const char *why = v->ingest != NULL ? ingest_halted(v->ingest) : v->paused ? "rebuild-index did not come to its end: run it again" : NULL;
    pthread_mutex_unlock(&v->run_lock);
    return why;
}

bool vault_lost_opener(const struct vault *v) { return zygote_gone(v->zygote); }

/* There is something to tell the gate. */
static void wake(struct vault *v)
{
    pthread_mutex_lock(&v->run_lock);
    if (v->ingest != NULL) { ingest_answer(v->ingest); }
    pthread_mutex_unlock(&v->run_lock);
}

struct index *vault_index_hold(struct vault *v)
{
    pthread_rwlock_rdlock(&v->index_use);
    struct index *ix = v->index;
    if (ix == NULL) { pthread_rwlock_unlock(&v->index_use); }
    return ix;
}

void vault_index_release(struct vault *v) { pthread_rwlock_unlock(&v->index_use); }
struct reg *vault_register(struct vault *v) { return v->reg; }
void vault_register_lock(struct vault *v) { pthread_mutex_lock(&v->reg_lock); }
void vault_register_unlock(struct vault *v) { pthread_mutex_unlock(&v->reg_lock); }
void vault_register_changed(struct vault *v) { wake(v); }

void vault_root_fingerprint(const struct vault *v, uint8_t out[16]) { memcpy(out, v->fingerprint, 16); }

/* ---- status ---- */

enum { OFFICIALS_MAX = 100000, DEVICES_MAX = 200000 };
struct seen {
    char official[64];
    int64_t last_us;
};
struct overdue {
    struct vault *v;
    struct seen *seen;
    size_t n, cap;
    int64_t now_us;
    struct kluis_buf *out;
    bool any;
};

static kluis_status note_device(void *ctx, const struct reg_device *d, struct kluis_err *err)
{
    struct overdue *o = ctx;
    int64_t us;
    KLUIS_TRY(custody_last_delivery(o->v->custody, d->id, &us, err));
    int64_t last = us == KLUIS_TIME_ABSENT || us < d->enrolled_us ? d->enrolled_us : us;
    for (size_t i = 0; i < o->n; i++) {
        if (strcmp(o->seen[i].official, d->official) == 0) {
            o->seen[i].last_us = last > o->seen[i].last_us ? last : o->seen[i].last_us;
            return KLUIS_OK;
        }
    }
    if (o->n == o->cap) {
        size_t cap = o->cap == 0 ? 64 : o->cap * 2;
        struct seen *p = cap > DEVICES_MAX ? NULL : kluis_realloc(o->seen, cap * sizeof *p);
        if (p == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot list devices: out of memory"); }
        o->seen = p;
        o->cap = cap;
    }
    (void)snprintf(o->seen[o->n].official, sizeof o->seen[o->n].official, "%s", d->official);
    o->seen[o->n++].last_us = last;
    return KLUIS_OK;
}

/* "YYYY-MM-DD" as the first instant of that day; false: absent or no date. */
static bool day_us(const char *date, int64_t *us)
{
    char text[32];
    int offset, digits;
    if (date[0] == 0) { return false; }
    (void)snprintf(text, sizeof text, "%.10sT00:00:00Z", date);
    return kluis_time_parse(kluis_str_of(text), us, &offset, &digits);
}

static kluis_status note_official(void *ctx, const struct reg_official *f, struct kluis_err *err)
{
    struct overdue *o = ctx;
    int64_t from, to, last = KLUIS_TIME_ABSENT;
    const int64_t day = (int64_t)86400 * 1000000;
    int64_t grace = (int64_t)(f->grace_days < 0 ? VAULT_GRACE_DAYS : f->grace_days) * day;
    if (!day_us(f->from, &from) || from > o->now_us || (day_us(f->to, &to) && to + day <= o->now_us)) { return KLUIS_OK; /* not in office today */ }
    for (size_t i = 0; i < o->n; i++) {
        if (strcmp(o->seen[i].official, f->id) == 0) { last = o->seen[i].last_us; }
    }
    bool none = last == KLUIS_TIME_ABSENT;
    if (o->now_us - (none ? from : last) <= grace) { return KLUIS_OK; }
    kluis_buf_cstr(o->out, o->any ? ",{\"official\":" : "{\"official\":");
    kluis_buf_json(o->out, kluis_str_of(f->id));
    kluis_buf_cstr(o->out, none ? ",\"reason\":\"no device\"}" : ",\"reason\":\"no delivery\"}");
    o->any = true;
    return kluis_buf_ok(o->out, err);
}

static kluis_status list_overdue(struct vault *v, struct kluis_buf *out, struct kluis_err *err)
{
    struct overdue o = { .v = v, .now_us = kluis_now_us(), .out = out };
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(512 << 20);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot list devices: out of memory"); }
    vault_register_lock(v);
    kluis_status rc = reg_devices(v->reg, arena, &o, note_device, err);
    if (rc == KLUIS_OK) { rc = reg_officials(v->reg, &o, note_official, err); }
    vault_register_unlock(v);
    kluis_free(o.seen);
    return rc;
}

/* All zero while there is no index. */
static kluis_status index_figures(struct vault *v, struct index_stats *s, uint64_t *watermark, struct kluis_err *err)
{
    *s = (struct index_stats){ 0 };
    *watermark = 0;
    struct index *ix = vault_index_hold(v);
    if (ix == NULL) { return KLUIS_OK; }
    kluis_status rc = index_statistics(ix, s, err);
    *watermark = index_watermark(ix);
    vault_index_release(v);
    return rc;
}

/* A time as JSON; 0 is null. */
static void moment(struct kluis_buf *out, int64_t us)
{
    char t[KLUIS_TIME_TEXT];
    (void)kluis_time_text(t, us, 0, 0);
    kluis_buf_fmt(out, us == 0 ? "null" : "\"%s\"", t);
}

static void text_or_null(struct kluis_buf *out, const char *text)
{
    if (text[0] == '\0') {
        kluis_buf_cstr(out, "null");
    } else {
        kluis_buf_json(out, kluis_str_of(text));
    }
}

static const char *yes(bool b) { return b ? "true" : "false"; }

static void walls_of(struct kluis_buf *out, const char *who, unsigned walls, unsigned user)
{
    kluis_buf_fmt(out, "\"%s\":{\"privileges\":%s,\"files\":%s,\"ports\":%s,\"calls\":%s,\"user\":%u}", who, yes(walls & WALL_PRIVILEGES),
                  yes(walls & WALL_FILES), yes(walls & WALL_PORTS), yes(walls & WALL_CALLS), user);
}

kluis_status vault_status_json(struct vault *v, const struct vault_page *page, struct kluis_buf *out, struct kluis_err *err)
{
    struct custody_counts n;
    struct custody_checkpoint k;
    struct index_stats s;
    kluis_hash head;
    char hex[65];
    char no_stamp[KLUIS_ERR_MSG] = "";
    uint64_t backed_up, backup_at, decided, at_gate = 0;
    KLUIS_TRY(custody_count(v->custody, &n, err));
    uint64_t mark;
    KLUIS_TRY(index_figures(v, &s, &mark, err));
    kluis_status rc = custody_checkpoint_get(v->custody, 0, &k, NULL, NULL, err);
    if (rc != KLUIS_OK && rc != KLUIS_E_NOTFOUND) { return rc; }
    ledger_head(v->ledger, &head);
    kluis_hex(head.b, 32, hex);
    kluis_buf_fmt(out,
                  "{\"packages\":%llu,\"missing\":%llu,\"records\":%llu,\"ledger\":{\"size\":%llu,\"root\":\"%s\",\"checkpoint\":%llu,\"stamped\":%s,"
                  "\"since\":",
                  (unsigned long long)n.packages, (unsigned long long)n.awaited, (unsigned long long)n.records,
                  (unsigned long long)ledger_size(v->ledger), hex, (unsigned long long)k.size, yes(k.stamped));
    moment(out, (int64_t)ledger_since(v->ledger) * 1000000);
    pthread_mutex_lock(&v->run_lock);
    if (v->ingest != NULL) { ingest_no_stamp(v->ingest, no_stamp); }
    pthread_mutex_unlock(&v->run_lock);
    kluis_buf_cstr(out, ",\"no_stamp\":");
    text_or_null(out, no_stamp);
    kluis_buf_cstr(out, "},\"overdue\":[");
    KLUIS_TRY(list_overdue(v, out, err));
    KLUIS_TRY(custody_number_get(v->custody, CUSTODY_BACKED_UP, 0, &backed_up, err));
    KLUIS_TRY(custody_number_get(v->custody, CUSTODY_BACKED_UP_AT, 0, &backup_at, err));
    KLUIS_TRY(reg_journal_length(v->reg, &decided, err));
    pthread_mutex_lock(&v->run_lock);
    bool asked = v->ingest != NULL && ingest_journal_at_gate(v->ingest, &at_gate);
    pthread_mutex_unlock(&v->run_lock);
    kluis_buf_fmt(out, "],\"register\":{\"entries\":%llu,\"mirrored\":", (unsigned long long)decided);
    if (asked) {
        kluis_buf_fmt(out, "%llu", (unsigned long long)at_gate);
    } else {
        kluis_buf_cstr(out, "null");
    }
    kluis_buf_fmt(out, "},\"backup\":{\"packages\":%llu,\"at\":", (unsigned long long)backed_up);
    moment(out, (int64_t)backup_at);
    kluis_buf_fmt(out, "},\"index\":{\"watermark\":%llu,\"records\":%llu},\"waiting\":%llu,\"refused\":%llu,\"answers\":%llu,\"walls\":{",
                  (unsigned long long)mark, (unsigned long long)s.records, (unsigned long long)n.waiting, (unsigned long long)n.refused,
                  (unsigned long long)n.to_make + n.to_post);
    unsigned opener = zygote_walls(v->zygote);
    kluis_buf_fmt(out, "\"opener\":{\"privileges\":%s,\"files\":%s,\"calls\":%s,\"user\":%u},", yes(opener & ZYGOTE_WALL_PRIVILEGES),
                  yes(opener & ZYGOTE_WALL_FILES), yes(opener & ZYGOTE_WALL_CALLS), zygote_user(v->zygote));
    walls_of(out, "vault", v->walls, (unsigned)geteuid());
    if (page != NULL && page->connected) {
        kluis_buf_byte(out, ',');
        walls_of(out, "page", page->walls, page->user);
    }
    struct walls_told gate = { 0 }, authority = { 0 };
    pthread_mutex_lock(&v->run_lock);
    if (v->ingest != NULL) { ingest_walls(v->ingest, &gate, &authority); }
    pthread_mutex_unlock(&v->run_lock);
    if (gate.told) {
        kluis_buf_byte(out, ',');
        walls_of(out, "gate", gate.walls, gate.user);
    }
    if (authority.told) {
        kluis_buf_byte(out, ',');
        walls_of(out, "tsa", authority.walls, authority.user);
    }
    kluis_buf_cstr(out, "},\"trouble\":");
    char waits[KLUIS_ERR_MSG], troubled[INGEST_TROUBLE];
    pthread_mutex_lock(&v->run_lock);
    const char *waiting = v->ingest == NULL ? NULL : ingest_waits(v->ingest, waits);
    const char *trouble = v->ingest == NULL ? NULL : ingest_troubled(v->ingest, troubled);
    pthread_mutex_unlock(&v->run_lock);
    text_or_null(out, trouble == NULL ? "" : trouble);
    kluis_buf_cstr(out, ",\"halted\":");
    const char *why = vault_halted(v);
    if (waiting != NULL && why == NULL) { why = waiting; } /* goes by itself when the clock is right */
    if (why == NULL) {
        kluis_buf_cstr(out, "null");
    } else {
        kluis_buf_json(out, kluis_str_of(why));
    }
    kluis_buf_cstr(out, "}");
    return kluis_buf_ok(out, err);
}

/* ---- backup ---- */

kluis_status vault_snapshot(struct vault *v, struct kluis_err *err) { return snapshot_make(v->dir, v->custody, v->reg, err); }

kluis_status vault_backed_up(struct vault *v, uint64_t packages, int64_t made_us, const char *detail, struct kluis_err *err)
{
    uint64_t last, before;
    KLUIS_TRY(custody_last_package(v->custody, &last, err));
    KLUIS_TRY(custody_number_get(v->custody, CUSTODY_BACKED_UP, 0, &before, err));
    if (packages > last) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "there are %llu packages, not so many as this backup says", (unsigned long long)last);
    }
    KLUIS_TRY(reg_audit(v->reg, "command", "backup.completed", "", detail, err));
    KLUIS_TRY(custody_begin(v->custody, err));
    kluis_status rc = custody_number_set(v->custody, CUSTODY_BACKED_UP, packages > before ? packages : before, err);
    if (rc == KLUIS_OK) { rc = custody_number_set(v->custody, CUSTODY_BACKED_UP_AT, (uint64_t)made_us, err); }
    if (rc != KLUIS_OK) {
        custody_rollback(v->custody);
        return rc;
    }
    KLUIS_TRY(custody_commit(v->custody, "vault.backup.noted", err));
    wake(v);
    return snapshot_remove(v->dir, err);
}

/* ---- check and rebuild ---- */

struct checking {
    const struct vault_report *report;
    struct vault_check_result *result;
    struct vault *v;
};

static void say(const struct vault_report *r, const char *fmt, ...) KLUIS_PRINTF(2, 3);
static void say(const struct vault_report *r, const char *fmt, ...)
{
    char line[KLUIS_ERR_MSG + 200];
    va_list ap;
    if (r == NULL || r->line == NULL) { return; }
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    r->line(r->ctx, line);
}

static void problem(struct checking *c, uint64_t sequence, const char *what)
{
    c->result->problems++;
    say(c->report, "package %llu: %s", (unsigned long long)sequence, what);
}

/* What could not be looked at for want of memory is no finding.  sequence 0: of the whole; what NULL: as `why` says. */
static kluis_status found(struct checking *c, uint64_t sequence, kluis_status rc, const char *what, const struct kluis_err *why,
                          struct kluis_err *err)
{
    if (rc == KLUIS_OK) { return KLUIS_OK; }
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "%s", why->msg); }
    if (sequence > 0) {
        problem(c, sequence, what == NULL ? why->msg : what);
    } else {
        c->result->problems++;
        say(c->report, "%s", why->msg);
    }
    return KLUIS_OK;
}

/* One package's row against its stored ciphertext, key, leaf and receipt. */
static kluis_status check_one(struct checking *c, const struct custody_package *p, struct kluis_err *err)
{
    struct vault *v = c->v;
    struct kluis_err why = { 0 };
    uint8_t sha[32], key[32];
    uint64_t size = 0;
    struct kluis_leaf leaf;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    KLUIS_AUTO_BUF(receipt, KLUIS_RECEIPT_MAX);
    kluis_status rc = storage_digest(v->storage, p->d.package, sha, &size, &why);
    KLUIS_TRY(found(c, p->sequence, rc, NULL, &why, err));
    if (rc == KLUIS_OK && (size != p->d.cipher_length || memcmp(sha, p->d.cipher_sha256, 32) != 0)) {
        problem(c, p->sequence, "its stored ciphertext was changed");
    }
    kluis_err_clear(&why);
    rc = storage_unwrap(v->keys->wrapping, p->d.package, p->d.wrapped, p->d.wrapped_len, key, &why);
    kluis_wipe(key, sizeof key);
    KLUIS_TRY(found(c, p->sequence, rc, NULL, &why, err));
    kluis_err_clear(&why);
    rc = custody_leaf_get(v->custody, p->leaf, &text, &why);
    if (rc == KLUIS_OK) { rc = kluis_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, &leaf, &why); }
    KLUIS_TRY(found(c, p->sequence, rc, "it has no leaf in the ledger", &why, err));
    if (rc == KLUIS_OK && (memcmp(leaf.package, p->d.package, 32) != 0 || memcmp(leaf.records_root, p->records_root, 32) != 0 ||
                           memcmp(leaf.device, p->device_cert, 32) != 0 || strcmp(leaf.verdict, p->verdict) != 0)) {
        problem(c, p->sequence, "its leaf in the ledger says something else than custody");
    }
    kluis_err_clear(&why);
    rc = p->receipt_size == 0 ? KLUIS_OK : ledger_receipt(v->ledger, p->leaf, p->receipt_size, &receipt, &why);
    KLUIS_TRY(found(c, p->sequence, rc, NULL, &why, err));
    c->result->packages++;
    c->result->records += p->n_records;
    return KLUIS_OK;
}

static kluis_status check_again(void *ctx, const struct reopened *r, struct kluis_err *err)
{
    struct checking *c = ctx;
    (void)err;
    if (r->package->sequence % 1000 == 0) { say(c->report, "read %llu packages", (unsigned long long)r->package->sequence); }
    return KLUIS_OK;
}

/* Reads everything again; a package that does not open is a finding, and the rest is read all the same. */
static kluis_status check_data(struct checking *c, uint64_t packages, struct kluis_err *err)
{
    const struct ingest_config ic = config(c->v);
    for (uint64_t first = 1; first <= packages;) {
        struct kluis_err why = { 0 };
        kluis_status rc = ingest_reopen(&ic, first, first + 63 < packages ? first + 63 : packages, c, check_again, &why);
        if (rc == KLUIS_OK) {
            first += 64;
            continue;
        }
        if (rc != KLUIS_E_CORRUPT) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
        /* One by one through this stretch, so that each bad one is named. */
        uint64_t last = first + 63 < packages ? first + 63 : packages;
        for (; first <= last; first++) {
            kluis_err_clear(&why);
            rc = ingest_reopen(&ic, first, first, c, check_again, &why);
            if (rc == KLUIS_E_CORRUPT) {
                problem(c, first, why.msg);
            } else if (rc != KLUIS_OK) {
                return KLUIS_FAIL(err, rc, "%s", why.msg);
            }
        }
    }
    return KLUIS_OK;
}

kluis_status vault_check(struct vault *v, bool read_data, const struct vault_report *report, struct vault_check_result *out, struct kluis_err *err)
{
    struct custody_counts n;
    struct index_stats s;
    struct checking c = { report, out, v };
    struct kluis_err why = { 0 };
    uint64_t entries = 0;
    memset(out, 0, sizeof *out);
    kluis_status whole = custody_integrity(v->custody, &why);
    KLUIS_TRY(found(&c, 0, whole, NULL, &why, err));
    if (whole != KLUIS_OK) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%s", why.msg); }
    KLUIS_TRY(custody_count(v->custody, &n, err));
    for (uint64_t i = 1; i <= n.packages; i++) {
        struct custody_package p;
        kluis_status rc = custody_package_get(v->custody, i, &p, err);
        if (rc == KLUIS_E_NOTFOUND) {
            kluis_err_clear(err);
            problem(&c, i, "custody lacks it");
            continue;
        }
        KLUIS_TRY(rc);
        KLUIS_TRY(check_one(&c, &p, err));
        if (i % 1000 == 0) { say(report, "checked %llu of %llu packages", (unsigned long long)i, (unsigned long long)n.packages); }
    }
    out->leaves = n.leaves;
    if (n.awaited > 0) {
        out->problems++;
        say(report, "%llu packages of the ledger are missing since the vault was restored: their devices are asked for them",
            (unsigned long long)n.awaited);
    }
    whole = ledger_check(v->ledger, &why);
    KLUIS_TRY(found(&c, 0, whole, NULL, &why, err));
    kluis_err_clear(&why);
    vault_register_lock(v);
    kluis_status audit = reg_audit_check(v->reg, &entries, &why);
    vault_register_unlock(v);
    KLUIS_TRY(found(&c, 0, audit, NULL, &why, err));
    if (read_data) { KLUIS_TRY(check_data(&c, n.packages, err)); }
    uint64_t mark;
    KLUIS_TRY(index_figures(v, &s, &mark, err));
    /* While ingest runs the index may be a moment behind; standing still it must not be. */
    if (mark > n.packages || (v->ingest == NULL && mark != n.packages) || s.packages < mark) {
        out->problems++;
        say(report, "the index stands at package %llu with %llu packages, custody has %llu: run rebuild-index", (unsigned long long)mark,
            (unsigned long long)s.packages, (unsigned long long)n.packages);
    }
    return out->problems == 0 ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_CORRUPT, "%llu problems found", (unsigned long long)out->problems);
}

enum { OPEN_TRIES = 3, OPEN_AGAIN_US = 1000000 };
struct rebuilding {
    struct vault *v;
    const struct vault_report *report;
    uint64_t records, total;
};

static kluis_status rebuild_one(void *ctx, const struct reopened *r, struct kluis_err *err)
{
    struct rebuilding *b = ctx;
    KLUIS_TRY(index_add(b->v->index, r->rows, err));
    b->records += r->rows->n_rows + 1;
    if (b->records >= INGEST_BATCH_RECORDS) {
        KLUIS_TRY(index_commit(b->v->index, err));
        b->records = 0;
        int64_t until = kluis_monotonic_us() + INGEST_TIDY_US;
        for (bool more = true; more && index_crowded(b->v->index) && kluis_monotonic_us() < until;) {
            KLUIS_TRY(index_maintain(b->v->index, &more, err));
        }
        say(b->report, "indexed %llu of %llu packages", (unsigned long long)r->package->sequence, (unsigned long long)b->total);
    }
    return KLUIS_OK;
}

/* The index is held for writing and ingest stands still. */
static kluis_status rebuild(struct vault *v, const struct vault_report *report, struct kluis_err *err)
{
    struct custody_counts n;
    struct rebuilding b = { .v = v, .report = report };
    KLUIS_TRY(custody_count(v->custody, &n, err));
    b.total = n.packages;
    if (v->index != NULL) { index_close(v->index); }
    v->index = NULL;
    kluis_status rc = delete_index(v, err);
    kluis_durable_step("vault.index.deleted");
    struct kluis_err why = { 0 };
    kluis_status opened = open_index(v, &why);                   /* also after a failure: readers must find one */
    for (int i = 1; i < OPEN_TRIES && opened != KLUIS_OK; i++) { /* what failed may be over in a moment, and without an index nothing goes on */
        kluis_sleep_us(OPEN_AGAIN_US);
        kluis_err_clear(&why);
        opened = open_index(v, &why);
    }
    if (opened != KLUIS_OK) { return KLUIS_FAIL(err, opened, "there is no index now, run rebuild-index again: %s", why.msg); }
    KLUIS_TRY(rc);
    const struct ingest_config c = config(v);
    KLUIS_TRY(ingest_reopen(&c, 1, n.packages, &b, rebuild_one, err));
    KLUIS_TRY(index_commit(v->index, err));
    kluis_durable_step("vault.index.rebuilt");
    bool more = true;
    while (more) { KLUIS_TRY(index_maintain(v->index, &more, err)); }
    say(report, "indexed %llu packages", (unsigned long long)n.packages);
    return KLUIS_OK;
}

kluis_status vault_rebuild_index(struct vault *v, const struct vault_report *report, struct kluis_err *err)
{
    pthread_mutex_lock(&v->run_lock);
    bool was_running = v->ingest != NULL || v->paused;
    ingest_stop(v->ingest);
    v->ingest = NULL;
    pthread_rwlock_wrlock(&v->index_use);
    kluis_status rc = rebuild(v, report, err);
    bool usable = v->index != NULL;
    pthread_rwlock_unlock(&v->index_use);
    v->paused = was_running;
    if (was_running && usable) {
        struct kluis_err why = { 0 };
        kluis_status again = start_ingest(v, &why);
        v->paused = again != KLUIS_OK;
        if (again != KLUIS_OK && rc == KLUIS_OK) {
            rc = KLUIS_FAIL(err, again, "the index was rebuilt, but ingest did not start again: %s", why.msg);
        }
    }
    pthread_mutex_unlock(&v->run_lock);
    return rc;
}
