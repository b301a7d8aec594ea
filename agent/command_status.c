/* agent/command_status.c - status: what this home knows, for people and for programs. */
#include "agent/command.h"

#include "agent/journal/stock.h"

enum { STATUS_MAX = 4 << 20, LISTED_MAX = 1000 };

static void text(struct kluis_buf *b, const char *s) { kluis_buf_json(b, (struct kluis_str){ s, kluis_utf8_valid(s, strlen(s)) }); }

static void when(struct kluis_buf *b, int64_t us)
{
    char t[KLUIS_TIME_TEXT];
    if (us == KLUIS_TIME_ABSENT || us == 0) {
        kluis_buf_cstr(b, "null");
        return;
    }
    (void)kluis_time_text(t, us, 0, 0);
    text(b, t);
}

static void column_text(struct kluis_buf *b, struct sqlite3_stmt *st, int column)
{
    struct kluis_str s = kluis_db_text(st, column);
    kluis_buf_json(b, s.ptr == NULL ? KLUIS_STR_LIT("") : (struct kluis_str){ s.ptr, kluis_utf8_valid(s.ptr, s.len) });
}

static kluis_status sources(struct home *h, struct kluis_buf *b, struct kluis_err *err)
{
    int64_t after = 0;
    kluis_buf_cstr(b, ",\"sources\":[");
    for (bool first = true;; first = false) {
        struct home_source s;
        kluis_status rc = home_source_next(h, after, &s, err);
        if (rc == KLUIS_END) { break; }
        KLUIS_TRY(rc);
        after = s.id;
        kluis_buf_fmt(b, "%s{\"id\":%lld,\"kind\":", first ? "" : ",", (long long)s.id);
        text(b, s.kind);
        kluis_buf_cstr(b, ",\"path\":");
        text(b, s.path);
        kluis_buf_cstr(b, ",\"last_read\":");
        when(b, s.last_ok_us);
        if (s.last_error[0] != '\0') {
            kluis_buf_cstr(b, ",\"error\":");
            text(b, s.last_error);
            kluis_buf_cstr(b, ",\"error_at\":");
            when(b, s.last_error_us);
        }
        kluis_buf_byte(b, '}');
        home_source_clear(&s);
    }
    kluis_buf_byte(b, ']');
    return KLUIS_OK;
}

static kluis_status last_run(struct home *h, struct kluis_buf *b, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    KLUIS_TRY(kluis_db_query(h->db, &st, err, "SELECT started,ended,outcome,packages,records FROM run ORDER BY id DESC LIMIT 1", ""));
    kluis_status rc = kluis_db_step(h->db, st, err);
    kluis_buf_cstr(b, ",\"last_run\":");
    if (rc == KLUIS_OK) {
        int64_t ended = kluis_db_int(st, 1);
        kluis_buf_cstr(b, "{\"started\":");
        when(b, kluis_db_int(st, 0));
        kluis_buf_cstr(b, ",\"ended\":");
        when(b, ended);
        if (ended != 0) {
            kluis_buf_fmt(b, ",\"exit\":%lld,\"packages\":%lld,\"records\":%lld", (long long)kluis_db_int(st, 2), (long long)kluis_db_int(st, 3),
                          (long long)kluis_db_int(st, 4));
        }
        kluis_buf_byte(b, '}');
    } else {
        kluis_buf_cstr(b, "null");
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* Intervals in which a source could not be read: silence there is no evidence of nothing. */
static kluis_status gaps(struct home *h, struct kluis_buf *b, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_query(h->db, &st, err, "SELECT source,since,until,reason FROM gap ORDER BY id DESC LIMIT 1000", "");
    kluis_buf_cstr(b, ",\"gaps\":[");
    for (bool first = true; rc == KLUIS_OK && (rc = kluis_db_step(h->db, st, err)) == KLUIS_OK; first = false) {
        kluis_buf_fmt(b, "%s{\"source\":%lld,\"since\":", first ? "" : ",", (long long)kluis_db_int(st, 0));
        when(b, kluis_db_int(st, 1));
        kluis_buf_cstr(b, ",\"until\":");
        when(b, kluis_db_int(st, 2));
        kluis_buf_cstr(b, ",\"reason\":");
        column_text(b, st, 3);
        kluis_buf_byte(b, '}');
    }
    kluis_db_done(st);
    kluis_buf_byte(b, ']');
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* sql is a literal that gives package or NULL, reason, time. */
static kluis_status reasons(struct home *h, struct kluis_buf *b, const char *name, const char *sql, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_status rc = kluis_db_query(h->db, &st, err, sql, "i", (int64_t)LISTED_MAX);
    kluis_buf_fmt(b, ",\"%s\":[", name);
    for (bool first = true; rc == KLUIS_OK && (rc = kluis_db_step(h->db, st, err)) == KLUIS_OK; first = false) {
        uint8_t id[32];
        char hex[65] = "";
        if (kluis_db_fixed(st, 0, id, 32)) { kluis_hex(id, 32, hex); }
        kluis_buf_fmt(b, "%s{\"package\":\"%s\",\"reason\":", first ? "" : ",", hex);
        column_text(b, st, 1);
        kluis_buf_cstr(b, ",\"at\":");
        when(b, kluis_db_int(st, 2));
        kluis_buf_byte(b, '}');
    }
    kluis_db_done(st);
    kluis_buf_byte(b, ']');
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* Who this home is and how it stands with its vault; texts "" where there are none. */
struct standing {
    char device[64], server[512], reason[512];
    int64_t epoch, suspended, log_size, log_since, clock_gate, clock_here, conflict_at;
    char conflict[512];
};

static kluis_status optional(struct home *h, const char *key, char *out, size_t cap, struct kluis_err *err)
{
    kluis_status rc = home_text(h, key, out, cap, err);
    return rc == KLUIS_E_NOTFOUND ? KLUIS_OK : rc;
}

static kluis_status standing_read(struct home *h, struct standing *s, struct kluis_err *err)
{
    KLUIS_TRY(optional(h, "device", s->device, sizeof s->device, err));
    KLUIS_TRY(optional(h, "server", s->server, sizeof s->server, err));
    KLUIS_TRY(optional(h, "suspended-reason", s->reason, sizeof s->reason, err));
    KLUIS_TRY(home_int(h, "epoch", 0, &s->epoch, err));
    KLUIS_TRY(optional(h, "log-conflict-why", s->conflict, sizeof s->conflict, err));
    KLUIS_TRY(home_int(h, "log-conflict-at", 0, &s->conflict_at, err));
    KLUIS_TRY(home_int(h, "clock-gate", 0, &s->clock_gate, err));
    KLUIS_TRY(home_int(h, "clock-here", 0, &s->clock_here, err));
    KLUIS_TRY(home_int(h, "log-size", 0, &s->log_size, err));
    KLUIS_TRY(home_int(h, "log-since", 0, &s->log_since, err));
    return home_int(h, "suspended", 0, &s->suspended, err);
}

static kluis_status status_json(struct home *h, const struct standing *s, const struct stock_counts *n, struct kluis_err *err)
{
    KLUIS_AUTO_BUF(b, STATUS_MAX);
    bool enrolled = s->device[0] != '\0', suspended = s->suspended != 0;
    kluis_buf_fmt(&b, "{\"enrolled\":%s", enrolled ? "true" : "false");
    if (enrolled) {
        kluis_buf_cstr(&b, ",\"device\":");
        text(&b, s->device);
        if (s->server[0] != '\0') {
            kluis_buf_cstr(&b, ",\"server\":");
            text(&b, s->server);
        }
        kluis_buf_fmt(&b, ",\"epoch\":%lld", (long long)s->epoch);
        kluis_buf_fmt(&b, ",\"log\":{\"size\":%lld,\"since\":", (long long)s->log_size);
        when(&b, s->log_since * 1000000);
        kluis_buf_cstr(&b, ",\"conflict\":");
        if (s->conflict_at == 0) {
            kluis_buf_cstr(&b, "null");
        } else {
            kluis_buf_cstr(&b, "{\"reason\":");
            text(&b, s->conflict);
            kluis_buf_cstr(&b, ",\"at\":");
            when(&b, s->conflict_at);
            kluis_buf_byte(&b, '}');
        }
        kluis_buf_cstr(&b, "},\"clock\":");
        if (s->clock_gate == 0) {
            kluis_buf_cstr(&b, "null");
        } else {
            kluis_buf_cstr(&b, "{\"gate\":");
            when(&b, s->clock_gate * 1000000);
            kluis_buf_cstr(&b, ",\"here\":");
            when(&b, s->clock_here * 1000000);
            kluis_buf_byte(&b, '}');
        }
    }
    kluis_buf_cstr(&b, ",\"keystore\":");
    text(&b, keystore_kind(h->dir));
    kluis_buf_fmt(&b, ",\"suspended\":%s", suspended ? "true" : "false");
    if (suspended && s->reason[0] != '\0') {
        kluis_buf_cstr(&b, ",\"suspended_reason\":");
        text(&b, s->reason);
    }
    kluis_buf_fmt(&b, ",\"packages\":%llu,\"records\":%llu,\"waiting\":%llu,\"sent\":%llu,\"acknowledged\":%llu,\"backed_up\":%llu,\"refused\":%llu",
                  (unsigned long long)n->packages, (unsigned long long)n->records, (unsigned long long)n->waiting, (unsigned long long)n->handed,
                  (unsigned long long)n->acknowledged, (unsigned long long)n->backed_up, (unsigned long long)n->refused);
    KLUIS_TRY(sources(h, &b, err));
    KLUIS_TRY(last_run(h, &b, err));
    KLUIS_TRY(gaps(h, &b, err));
    KLUIS_TRY(reasons(h, &b, "refusals", "SELECT id,reason,coalesce(handed,created) FROM package WHERE state=4 ORDER BY created LIMIT ?1", err));
    KLUIS_TRY(reasons(h, &b, "not_believed", "SELECT package,reason,at FROM answer WHERE accepted=0 ORDER BY at DESC LIMIT ?1", err));
    kluis_buf_cstr(&b, "}\n");
    return put(&b, err);
}

static kluis_status status_text(struct home *h, const struct standing *standing, const struct stock_counts *n, struct kluis_err *err)
{
    char t[KLUIS_TIME_TEXT];
    bool enrolled = standing->device[0] != '\0';
    if (enrolled && standing->server[0] != '\0') { KLUIS_TRY(put_line(err, "device %s at %s", standing->device, standing->server)); }
    if (!enrolled) { KLUIS_TRY(put_line(err, "not enrolled: run 'chatkluis-agent enrol'")); }
    bool file = strcmp(keystore_kind(h->dir), "file") == 0;
    KLUIS_TRY(put_line(err, "keys: %s",
                       file ? "files in this home, readable by this account alone (no secret service was found)" : "the session's secret service"));
    if (standing->suspended != 0) { KLUIS_TRY(put_line(err, "SUSPENDED by the vault: ask your administrator for a new code and enrol again")); }
    KLUIS_TRY(put_line(err, "packages %llu (%llu records): waiting %llu, sent %llu, acknowledged %llu, in a backup %llu, refused %llu",
                       (unsigned long long)n->packages, (unsigned long long)n->records, (unsigned long long)n->waiting, (unsigned long long)n->handed,
                       (unsigned long long)n->acknowledged, (unsigned long long)n->backed_up, (unsigned long long)n->refused));
    if (standing->conflict_at != 0) {
        (void)kluis_time_text(t, standing->conflict_at, 0, 0);
        KLUIS_TRY(
            put_line(err, "THE ARCHIVE'S LOG IS NOT BELIEVED since %s: %s; 'packages --export' writes both checkpoints", t, standing->conflict));
    }
    if (standing->clock_gate != 0) {
        char here[KLUIS_TIME_TEXT];
        (void)kluis_time_text(t, standing->clock_gate * 1000000, 0, 0);
        (void)kluis_time_text(here, standing->clock_here * 1000000, 0, 0);
        KLUIS_TRY(put_line(err, "CLOCK: the gate's said %s when this computer's said %s: nothing is sent until the wrong one is right", t, here));
    }
    if (standing->log_since != 0) {
        (void)kluis_time_text(t, standing->log_since * 1000000, 0, 0);
        KLUIS_TRY(put_line(err, "the archive was lost and restored: its log began anew at %s; receipts from before stay valid", t));
    }
    int64_t after = 0;
    for (;;) {
        struct home_source s;
        kluis_status rc = home_source_next(h, after, &s, err);
        if (rc == KLUIS_END) { return KLUIS_OK; }
        KLUIS_TRY(rc);
        after = s.id;
        home_source_clear(&s);
        if (s.last_ok_us != KLUIS_TIME_ABSENT) {
            (void)kluis_time_text(t, s.last_ok_us, 0, 0);
        } else {
            (void)snprintf(t, sizeof t, "never");
        }
        KLUIS_TRY(put_line(err, "source %lld: %s %s, last read %s%s%s", (long long)s.id, s.kind, s.path, t, s.last_error[0] != '\0' ? "; " : "",
                           s.last_error));
    }
}

kluis_status command_status(const struct args *a, int *exit_code, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    struct stock_counts n;
    KLUIS_AUTO(home) h = NULL;
    KLUIS_TRY(args_home(a, false, dir, err));
    KLUIS_TRY(home_open(&h, dir, HOME_SHARED, err));
    KLUIS_TRY(stock_count(h, &n, err));
    struct standing s = { 0 };
    KLUIS_TRY(standing_read(h, &s, err));
    if (s.suspended != 0 || s.conflict_at != 0) { *exit_code = 1; }
    return a->json ? status_json(h, &s, &n, err) : status_text(h, &s, &n, err);
}
