/* agent/archive.c - one pass: source -> select -> journal -> pack, then courier.  The stages are wired here and nowhere else. */
#include "agent/command.h"

#include "agent/courier/courier.h"
#include "agent/journal/journal.h"
#include "agent/pack/pack.h"
#include "agent/select/select.h"

#include <json-c/json.h>

enum { POLL_S = 10, DAY_S = 86400 };

struct wiring {
    struct home *h;
    struct pass *pass;
    const struct source_kind *kind;
    struct source_request own; /* what the source sees    */
    struct select select;
    struct progress progress;
    struct journal_counts counts;
    uint64_t packed, refused_files;
    int64_t source_id;
    uint64_t upload_total, uploaded;
};

static bool stopped(const struct pass *p) { return p->stop != NULL && *p->stop != 0; }
static void worst(struct pass *p, int code)
{
    static const int order[] = { 0, 1, 75, 74 };
    size_t now = 0, new = 0;
    for (size_t i = 0; i < 4; i++) {
        if (order[i] == p->exit_code) { now = i; }
        if (order[i] == code) { new = i; }
    }
    if (new > now) { p->exit_code = code; }
}

/* ---- one source ---- */

static kluis_status read_selected(void *ctx, const struct source_sink *sink, struct kluis_err *err)
{
    struct wiring *w = ctx;
    w->select.next = *sink;
    w->select.counts = (struct select_counts){ 0 };
    struct source_sink chosen = select_sink(&w->select);
    return source_read(w->kind, &w->own, &chosen, err);
}

static kluis_status on_skipped(void *ctx, const struct source_skip *s, struct kluis_err *err)
{
    struct wiring *w = ctx;
    /* Nothing failed and nothing is missing: told where the result is told, not among the errors. */
    if (strcmp(s->what, "the name of the conversation") == 0) {
        return put_line(err, "source %lld: '%s': %s", (long long)w->source_id, s->where == NULL ? "" : s->where, s->why == NULL ? "" : s->why);
    }
    /* A whole chat or file that was refused is a failure of this pass; a line of no sort is only told. */
    if (s->refused) { w->refused_files++; }
    complain("source %lld: passed over %s in '%s': %s", (long long)w->source_id, s->what, s->where == NULL ? "" : s->where,
             s->why == NULL ? "" : s->why);
    return KLUIS_OK;
}

static void on_frozen(void *ctx, const struct stock_package *p)
{
    struct wiring *w = ctx;
    w->packed += p->records;
    progress_show(&w->progress, w->packed, 0);
}

/* Stops between records when SIGTERM came: what is frozen stays, the rest is read again. */
struct stopper {
    struct wiring *w;
    struct journal_out next;
};

static kluis_status stop_begin(void *ctx, const struct kluis_header *h, int64_t conversation, struct kluis_err *err)
{
    struct stopper *s = ctx;
    return s->next.begin(s->next.ctx, h, conversation, err);
}

static kluis_status stop_record(void *ctx, const struct kluis_record *r, struct kluis_bytes raw, const struct align_entry *e, struct kluis_err *err)
{
    struct stopper *s = ctx;
    if (stopped(s->w->pass)) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "stopped: what was not packed yet is read again at the next run"); }
    return s->next.record(s->next.ctx, r, raw, e, err);
}

static kluis_status stop_end(void *ctx, struct kluis_err *err)
{
    struct stopper *s = ctx;
    return s->next.end(s->next.ctx, err);
}

/* No failure of the pass, and not for the errors: it is archived like anything else. */
static kluis_status tell_gone(int64_t source, const struct journal_counts *n, struct kluis_err *err)
{
    if (n->gone > 0) {
        KLUIS_TRY(put_line(err, "source %lld: %llu archived %s no longer in it: noted in the archive", (long long)source, (unsigned long long)n->gone,
                           n->gone == 1 ? "record is" : "records are"));
    }
    if (n->back > 0) {
        KLUIS_TRY(put_line(err, "source %lld: %llu archived %s in it again: noted in the archive", (long long)source, (unsigned long long)n->back,
                           n->back == 1 ? "record is" : "records are"));
    }
    return KLUIS_OK;
}

static kluis_status archive_source(struct wiring *w, const struct pack_identity *id, struct courier *c, const struct home_source *src,
                                   int64_t due_before_us, struct kluis_err *err)
{
    struct source_settings set;
    struct pack *pack = NULL;
    KLUIS_TRY(kind_find(src->kind, &w->kind, err));
    const struct settings_of of = { w->h->dir, src->kind, src->path };
    KLUIS_TRY(settings_read(&set, kluis_buf_bytes(&src->options), &of, err));
    struct source_request all = { src->path, set.all, set.n_all };
    w->own = (struct source_request){ src->path, set.own, set.n_own };
    w->source_id = src->id;
    w->select = (struct select){ .request = &all, .due_before_us = due_before_us };
    w->counts = (struct journal_counts){ 0 };
    const struct journal_origin origin = { .source = src->id,
                                           .settings = journal_settings(w->h, kluis_buf_bytes(&src->options)),
                                           .whole = w->kind->extent == SOURCE_WHOLE,
                                           .due_before_us = due_before_us,
                                           .now_us = kluis_now_us() / 1000000 * 1000000 };
    struct pack_setup setup = { .home = w->h,
                                .identity = id,
                                .kind = w->kind,
                                .request = &w->own,
                                .origin = &origin,
                                .time_stamp = courier_time_stamp,
                                .time_ctx = c,
                                .frozen = on_frozen,
                                .frozen_ctx = w };
    kluis_status rc = pack_new(&pack, &setup, err);
    if (rc == KLUIS_OK) {
        struct stopper stop = { w, pack_sink(pack) };
        struct journal_out out = { &stop, stop_begin, stop_record, stop_end };
        struct journal_reader reader = { w, read_selected };
        struct source_sink skips = { .ctx = w, .skipped = on_skipped };
        rc = journal_read(w->h, src->kind, &origin, &reader, &out, &skips, &w->counts, err);
        struct kluis_err late = { 0 };
        kluis_status settled = pack_settle(pack, &late);
        if (rc == KLUIS_OK && settled != KLUIS_OK) {
            rc = settled;
            if (err != NULL) { *err = late; }
        }
        struct pack_counts made = pack_counted(pack);
        w->pass->packages += made.packages;
        w->pass->records += made.records;
        if (made.missing_attachments > 0) {
            complain("source %lld: %llu attachments were not there: noted in their records", (long long)src->id,
                     (unsigned long long)made.missing_attachments);
        }
        if (rc == KLUIS_OK) { rc = tell_gone(src->id, &w->counts, err); }
        if (rc == KLUIS_OK && w->counts.changed > 0) {
            rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "changed while it was read: what was not packed yet waits for the next run");
        }
    }
    pack_free(pack);
    settings_clear(&set);
    return rc;
}

static kluis_status archive_sources(struct wiring *w, const struct pack_identity *id, struct courier *c, int64_t due_before_us, struct kluis_err *err)
{
    int64_t after = 0;
    for (;;) {
        struct home_source src;
        struct kluis_err why = { 0 };
        kluis_status rc = home_source_next(w->h, after, &src, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        after = src.id;
        w->refused_files = 0;
        rc = archive_source(w, id, c, &src, due_before_us, &why);
        progress_end(&w->progress);
        if (rc != KLUIS_OK) {
            complain("source %lld (%s '%s'): %s", (long long)src.id, src.kind, src.path, why.msg);
            int code = kluis_exit_code(rc);
            worst(w->pass, code == 64 ? 1 : code);
        } else if (w->refused_files > 0) {
            worst(w->pass, 1);
        }
        home_source_clear(&src);
        if (rc == KLUIS_E_NOMEM || rc == KLUIS_E_CORRUPT || rc == KLUIS_E_BUG) { return KLUIS_OK; } /* told; another source would fare no better */
        if (stopped(w->pass)) { return KLUIS_OK; }
        KLUIS_TRY(home_source_note(w->h, after, rc == KLUIS_OK ? NULL : &why, err));
    }
}

/* ---- delivery ---- */

static void on_sent(void *ctx, uint64_t bytes, uint64_t packages)
{
    struct wiring *w = ctx;
    (void)packages;
    w->uploaded += bytes;
    progress_show(&w->progress, w->uploaded / 1024, w->upload_total / 1024);
}

static kluis_status waiting_bytes(struct wiring *w, const char *device, struct kluis_err *err)
{
    struct stock_package p;
    uint64_t after = 0;
    w->upload_total = w->uploaded = 0;
    for (kluis_status rc = KLUIS_OK;;) {
        rc = stock_next(w->h, device, STOCK_WAITING, after, &p, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        w->upload_total += p.cipher_length;
        after = p.sequence;
    }
}

static kluis_status unanswered(struct home *h, const char *device, uint64_t *n, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT count(*) FROM package WHERE device=?1 AND state IN (1,2)", "s", device));
    kluis_status rc = kluis_db_step(h->db, st, err);
    *n = rc == KLUIS_OK ? (uint64_t)kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    return rc;
}

/* Hands over, then listens until all that was handed over is answered or time is out.  Also without anything to send: the vault may
 * have answers to earlier packages. */
static kluis_status deliver(struct wiring *w, struct courier *c, const char *device, struct courier_counts *n, struct kluis_err *err)
{
    struct courier_watch watch = { w, on_sent, w->pass->stop };
    int64_t until = kluis_monotonic_us() + (int64_t)w->pass->wait_s * 1000000;
    bool first = true;
    KLUIS_TRY(waiting_bytes(w, device, err));
    progress_start(&w->progress, "sent", "KiB");
    KLUIS_TRY(courier_deliver(c, &watch, n, err));
    progress_end(&w->progress);
    for (;;) {
        uint64_t left = 0, resend = n->resend;
        KLUIS_TRY(unanswered(w->h, device, &left, err));
        if (n->asked) { left++; } /* what it lacks the vault says first, how its log stands last */
        int64_t now = kluis_monotonic_us();
        if (stopped(w->pass) || (left == 0 && !first) || (now >= until && !first)) { return KLUIS_OK; }
        int64_t wait = left == 0 || now >= until ? 0 : (until - now) / 1000000 < POLL_S ? (until - now) / 1000000 : POLL_S;
        kluis_status rc = courier_receive(c, (int)wait, n, err);
        if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
        if (rc == KLUIS_END && wait == 0 && !first) { kluis_sleep_us(200000); }
        first = false;
        if (n->suspended) { return KLUIS_OK; }
        if (n->resend > resend || n->anew) {
            n->anew = false;
            KLUIS_TRY(courier_deliver(c, &watch, n, err));
        }
    }
}

/* ---- the pass ---- */

/* The regime is configuration from the vault; what does not say it sets nothing.  That it cannot be read now must not send early what it
 * would hold back. */
static kluis_status regime_grace(struct home *h, int *days, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, 1 << 16);
    *days = 0;
    kluis_status rc = home_bytes(h, "regime", &b, err);
    if (rc != KLUIS_OK) { return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc; }
    kluis_buf_byte(&b, 0);
    KLUIS_TRY(kluis_buf_ok(&b, err));
    uint64_t mark = kluis_memory_mark();
    struct json_object *o = json_tokener_parse((const char *)b.data), *v = NULL;
    if (o != NULL && json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "grace_days", &v) &&
        json_object_is_type(v, json_type_int)) {
        int64_t d = json_object_get_int64(v);
        *days = d < 0 ? 0 : d > 3650 ? 3650 : (int)d;
    }
    (void)json_object_put(o);
    return kluis_memory_refused(mark) ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for the regime") : KLUIS_OK;
}

static kluis_status run_started(struct home *h, int64_t *run, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_run(h->db, NULL, err, "INSERT INTO run(started) VALUES(?1)", "i", kluis_now_us()));
    kluis_durable_step("agent.run.begun");
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT max(id) FROM run", ""));
    kluis_status rc = kluis_db_step(h->db, st, err);
    *run = rc == KLUIS_OK ? kluis_db_int(st, 0) : 0;
    kluis_db_done(st);
    return rc;
}

static void tell_delivery(struct pass *p, kluis_status rc, const struct courier_counts *n, const struct kluis_err *why)
{
    if (n->refused > 0) {
        complain("the vault refused %llu packages: see 'chatkluis-agent status'; their copies stay here", (unsigned long long)n->refused);
        worst(p, 1);
    }
    if (n->hostile > 0) {
        complain("%llu answers were not believed: see 'chatkluis-agent status'; tell your administrator", (unsigned long long)n->hostile);
        worst(p, 1);
    }
    if (rc != KLUIS_OK) {
        complain("%s", why->msg);
        int code = kluis_exit_code(rc);
        worst(p, code == 64 ? 1 : code);
    } else if (n->suspended) {
        complain("the vault has suspended this device: ask your administrator for a new code and enrol again");
        worst(p, 1);
    } else if (p->unanswered > 0 && !stopped(p)) {
        complain("%llu packages are not acknowledged yet: they are kept, and the next run asks again", (unsigned long long)p->unanswered);
        worst(p, 75);
    }
}

kluis_status archive_pass(struct home *h, struct pass *p, struct kluis_err *err)
{
    struct pack_identity id;
    struct courier *c = NULL;
    struct wiring w = { .h = h, .pass = p };
    struct courier_counts n = { 0 };
    struct kluis_err why = { 0 };
    int64_t run = 0;
    uint64_t released = 0;
    p->packages = p->records = p->handed = p->acknowledged = p->refused = p->unanswered = 0;
    p->retry_after_s = 0;
    p->exit_code = 0;
    KLUIS_TRY(pack_identity_load(h, &id, err));
    kluis_status rc = home_tidy(h, err);
    if (rc == KLUIS_OK) { rc = run_started(h, &run, err); }
    if (rc == KLUIS_OK) { rc = courier_open(&c, h, &id.trust, kluis_buf_bytes(&id.certificate), err); }
    int days = p->grace_days;
    int64_t suspended = 0;
    if (rc == KLUIS_OK && days < 0) { rc = regime_grace(h, &days, err); }
    if (rc == KLUIS_OK) { rc = home_int(h, "suspended", 0, &suspended, err); }
    int64_t due = days == 0 ? INT64_MAX : kluis_now_us() - (int64_t)days * DAY_S * 1000000;
    if (rc == KLUIS_OK && suspended != 1) { /* 2: only the gate says so */
        progress_start(&w.progress, "packed", "records");
        rc = archive_sources(&w, &id, c, due, err);
    }
    if (rc == KLUIS_OK && !stopped(p)) {
        kluis_status sent = deliver(&w, c, id.device, &n, &why);
        progress_end(&w.progress);
        p->handed = n.handed;
        p->acknowledged = n.acknowledged;
        p->refused = n.refused;
        p->retry_after_s = courier_retry_after(c);
        rc = unanswered(h, id.device, &p->unanswered, err);
        tell_delivery(p, sent, &n, &why);
    }
    /* What goes does not come back: not by a clock that nobody else agrees with. */
    if (rc == KLUIS_OK && courier_clock_agreed(c)) { rc = stock_release(h, p->keep_days, &released, err); }
    if (rc == KLUIS_OK) {
        rc = kluis_db_run(h->db, NULL, err, "UPDATE run SET ended=?2, outcome=?3, packages=?4, records=?5 WHERE id=?1", "iiiii", run, kluis_now_us(),
                          (int64_t)p->exit_code, (int64_t)p->packages, (int64_t)p->records);
        if (rc == KLUIS_OK) { kluis_durable_step("agent.run.ended"); }
    }
    courier_free(c);
    pack_identity_clear(&id);
    return rc;
}

kluis_status command_archive(const struct args *a, int *exit_code, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    int64_t grace = -1, wait = 60, keep;
    KLUIS_AUTO(home) h = NULL;
    KLUIS_TRY(kluis_options_number("archive", "--grace-days", a->grace_days, 0, 3650, -1, &grace, err));
    KLUIS_TRY(kluis_options_number("archive", "--keep-days", a->keep_days, KEEP_DAYS, KEEP_DAYS_MAX, KEEP_DAYS, &keep, err));
    KLUIS_TRY(kluis_options_number("archive", "--wait", a->wait_s, 0, 86400, 60, &wait, err));
    KLUIS_TRY(args_home(a, false, dir, err));
    KLUIS_TRY(home_open(&h, dir, HOME_LOCKED, err));
    struct pass p = { .grace_days = (int)grace, .keep_days = (int)keep, .wait_s = (int)wait };
    KLUIS_TRY(archive_pass(h, &p, err));
    *exit_code = p.exit_code;
    return put_line(err, "archived %llu records in %llu packages; handed over %llu, acknowledged %llu, waiting %llu", (unsigned long long)p.records,
                    (unsigned long long)p.packages, (unsigned long long)p.handed, (unsigned long long)p.acknowledged,
                    (unsigned long long)p.unanswered);
}
