/* server/ingest/journal.c - the register's journal at the gate: sealed, pushed, and after a loss done again from there (PROTOCOL.md §8).
 *
 * The gate appends and cannot read.  A sealed entry is salt[16] || content (PROTOCOL.md §4.2) under a key of that salt and the entry's number, made
 * from the wrapping key; in it stands the chain before, so that neither order nor a missing one in between can be made up. */
#include "server/ingest/ingest_internal.h"

enum { SALT = 16, SEALED_MAX = 2 * REG_JOURNAL_ENTRY_MAX, BLOCK = 1024, PUSH_BYTES = 2 << 20, PAGE_MAX = 16 << 20, PAGE_ENTRIES = 1000 };

static kluis_status key_of(const struct ingest *in, uint64_t number, const uint8_t salt[SALT], uint8_t key[32], struct kluis_err *err)
{
    KLUIS_AUTO_BUF(info, 128);
    kluis_wire_label(&info, "chatkluis-register-journal-v1");
    kluis_wire_u64(&info, number);
    kluis_wire_field(&info, salt, SALT);
    KLUIS_TRY(kluis_buf_ok(&info, err));
    return kluis_hkdf_sha256((struct kluis_bytes){ in->c.keys->wrapping, 32 }, (struct kluis_bytes){ NULL, 0 }, kluis_buf_bytes(&info), key, 32, err);
}

static kluis_status to_buf(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct kluis_buf *b = ctx;
    kluis_buf_add(b, p, n);
    return kluis_buf_ok(b, err);
}

/* A multiple of BLOCK: how long a name is, is nobody's business. */
static kluis_status seal_entry(const struct ingest *in, uint64_t number, const uint8_t chain[32], struct kluis_bytes entry, struct kluis_buf *out,
                               struct kluis_err *err)
{
    uint8_t key[32], digest[32], salt[SALT];
    static const uint8_t zeros[BLOCK];
    KLUIS_AUTO_BUF(plain, SEALED_MAX);
    kluis_wire_field(&plain, chain, 32);
    kluis_wire_field(&plain, entry.ptr, entry.len);
    kluis_wire_field(&plain, zeros, (BLOCK - (plain.len + 4) % BLOCK) % BLOCK);
    KLUIS_TRY(kluis_buf_ok(&plain, err));
    kluis_random(salt, sizeof salt);
    kluis_buf_add(out, salt, sizeof salt);
    KLUIS_TRY(key_of(in, number, salt, key, err));
    struct kluis_input_mem mem = { .data = kluis_buf_bytes(&plain) };
    const struct kluis_input from = kluis_input_from_mem(&mem);
    const struct kluis_output to = { out, to_buf };
    kluis_status rc = kluis_content_encrypt(key, &from, plain.len, &to, digest, err);
    kluis_wipe(key, sizeof key);
    kluis_wipe(plain.data, plain.len);
    return rc;
}

/* chain and entry are in `plain` afterwards.  E_REJECT: not sealed by this vault under this number. */
static kluis_status open_entry(const struct ingest *in, uint64_t number, struct kluis_bytes sealed, struct kluis_buf *plain, uint8_t chain[32],
                               struct kluis_bytes *entry, struct kluis_err *err)
{
    uint8_t key[32], part[4096];
    KLUIS_AUTO(kluis_content_reader) r = NULL;
    if (sealed.len < SALT) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "too short"); }
    struct kluis_input_mem mem = { .data = { sealed.ptr + SALT, sealed.len - SALT } };
    const struct kluis_input from = kluis_input_from_mem(&mem);
    KLUIS_TRY(key_of(in, number, sealed.ptr, key, err));
    kluis_status rc = kluis_content_open(&r, key, &from, err);
    kluis_wipe(key, sizeof key);
    KLUIS_TRY(rc);
    struct kluis_input in_plain = kluis_content_input(r);
    struct kluis_err why = { 0 };
    for (ssize_t n; (n = in_plain.read(in_plain.ctx, part, sizeof part, &why)) != 0;) {
        if (n < 0) { return KLUIS_FAIL(err, why.code, "%s", why.msg); }
        kluis_buf_add(plain, part, (size_t)n);
    }
    KLUIS_TRY(kluis_buf_ok(plain, err));
    struct kluis_wire w = kluis_wire_open(kluis_buf_bytes(plain));
    (void)kluis_wire_fixed(&w, chain, 32);
    *entry = kluis_wire_get(&w, REG_JOURNAL_ENTRY_MAX);
    (void)kluis_wire_get(&w, BLOCK);
    return kluis_wire_end(&w, "an entry of the register's journal", err);
}

/* ---- to the gate ---- */

static kluis_status some_entries(struct ingest *in, uint64_t from, uint64_t upto, struct kluis_buf *body, uint64_t *n, struct kluis_err *err)
{
    kluis_wire_label(body, "chatkluis-register-v1");
    kluis_wire_u64(body, from);
    for (*n = 0; from + *n < upto && body->len < PUSH_BYTES; ++*n) {
        struct reg_journal_mark m;
        KLUIS_AUTO_BUF(entry, REG_JOURNAL_ENTRY_MAX);
        KLUIS_AUTO_BUF(sealed, SEALED_MAX);
        KLUIS_TRY(reg_journal_mark(in->c.reg, from + *n, &m, err));
        KLUIS_TRY(reg_journal_get(in->c.reg, from + *n + 1, &entry, err));
        KLUIS_TRY(seal_entry(in, from + *n + 1, m.chain, kluis_buf_bytes(&entry), &sealed, err));
        kluis_wire_field(body, sealed.data, sealed.len);
    }
    return kluis_buf_ok(body, err);
}

static kluis_status push(struct ingest *in, struct link *l, struct kluis_err *err)
{
    uint64_t have, n;
    for (;;) {
        struct link_answer a;
        KLUIS_AUTO_BUF(body, PUSH_BYTES + SEALED_MAX + 64);
        KLUIS_TRY(reg_journal_length(in->c.reg, &have, err));
        if (in->journal_at_gate >= have) { return KLUIS_OK; }
        KLUIS_TRY(some_entries(in, in->journal_at_gate, have, &body, &n, err));
        KLUIS_TRY(link_call(l, "POST", "/vault/v1/register", kluis_buf_bytes(&body), 60, NULL, &a, err));
        if (a.status == 409) { in->journal_known = false; } /* it has other entries than it had: both are compared anew */
        if (a.status != 204) { return LINK_REFUSED(&a, err, "the gate does not take the register's journal"); }
        in->journal_at_gate += n;
    }
}

/* ---- from the gate ---- */

struct recalling {
    struct ingest *in;
    struct link *l;
    struct kluis_buf page;
    uint64_t size; /* entries that the gate has */
};

/* Entries from `from` on, into *w.  KLUIS_END: there are none. */
static kluis_status fetch(struct recalling *r, uint64_t from, struct kluis_wire *w, struct kluis_err *err)
{
    char path[96];
    struct link_answer a;
    kluis_buf_clear(&r->page);
    (void)snprintf(path, sizeof path, "/vault/v1/register?from=%llu", (unsigned long long)from);
    KLUIS_TRY(link_call(r->l, "GET", path, (struct kluis_bytes){ NULL, 0 }, 60, &r->page, &a, err));
    if ((a.status != 200 && a.status != 204) || !a.has_number) { return LINK_REFUSED(&a, err, "the gate does not show the register's journal"); }
    r->size = a.number;
    if (a.status == 204) { return KLUIS_END; }
    *w = kluis_wire_open(kluis_buf_bytes(&r->page));
    (void)kluis_wire_is(w, "chatkluis-register-v1");
    bool there = kluis_wire_get_u64(w) == from;
    struct kluis_wire look = *w;
    while (kluis_wire_more(&look) && !look.bad) { (void)kluis_wire_get(&look, SEALED_MAX); }
    KLUIS_TRY(kluis_wire_end(&look, "the gate's copy of the register's journal", err));
    return there ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's copy of the register's journal is malformed");
}

static kluis_status foreign(struct kluis_err *err, uint64_t number, const struct kluis_err *why)
{
    return KLUIS_FAIL(err, KLUIS_E_CORRUPT,
                      "entry %llu of the register's journal at the gate is not this vault's: restore the right gate or keys (%.120s)",
                      (unsigned long long)number, why->msg);
}

static kluis_status open_ours(struct recalling *r, uint64_t number, struct kluis_bytes sealed, struct kluis_buf *plain, uint8_t chain[32],
                              struct kluis_bytes *entry, struct kluis_err *err)
{
    struct kluis_err why = { 0 };
    kluis_status rc = open_entry(r->in, number, sealed, plain, chain, entry, &why);
    if (rc == KLUIS_E_NOMEM) { return KLUIS_FAIL(err, rc, "%s", why.msg); }
    return rc == KLUIS_OK ? KLUIS_OK : foreign(err, number, &why);
}

/* Do the first `entries` of the gate's and of ours say the same?  The gate has at least so many. */
static kluis_status same_to(struct recalling *r, uint64_t entries, bool *same, struct kluis_err *err)
{
    struct reg_journal_mark before;
    struct kluis_wire w = { 0 };
    struct kluis_bytes entry = { NULL, 0 };
    uint8_t chain[32];
    KLUIS_AUTO_BUF(plain, SEALED_MAX);
    KLUIS_AUTO_BUF(own, REG_JOURNAL_ENTRY_MAX);
    *same = true;
    if (entries == 0) { return KLUIS_OK; }
    kluis_status rc = fetch(r, entries - 1, &w, err);
    if (rc == KLUIS_END) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate's copy of the register's journal changed while it was read"); }
    KLUIS_TRY(rc);
    KLUIS_TRY(open_ours(r, entries, kluis_wire_get(&w, SEALED_MAX), &plain, chain, &entry, err));
    KLUIS_TRY(reg_journal_mark(r->in->c.reg, entries - 1, &before, err));
    KLUIS_TRY(reg_journal_get(r->in->c.reg, entries, &own, err));
    *same = memcmp(before.chain, chain, 32) == 0 && own.len == entry.len && memcmp(own.data, entry.ptr, own.len) == 0;
    return KLUIS_OK;
}

/* The greatest number up to which both are the same: between 0, which is, and upto. */
static kluis_status common(struct recalling *r, uint64_t upto, uint64_t *out, struct kluis_err *err)
{
    uint64_t low = 0, high = upto;
    bool same;
    KLUIS_TRY(same_to(r, upto, &same, err));
    if (same) { low = high; }
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (middle == upto) { /* that one was looked at */
            same = false;
        } else {
            KLUIS_TRY(same_to(r, middle, &same, err));
        }
        low = same ? middle : low;
        high = same ? high : middle - 1;
    }
    *out = low;
    return KLUIS_OK;
}

/* One page of what the gate has and we lack, behind `at` entries that are the same. */
static kluis_status take_page(struct recalling *r, uint64_t at, struct kluis_wire w, uint64_t *taken, struct kluis_err *err)
{
    struct kluis_bytes list[PAGE_ENTRIES];
    struct reg_journal_mark m;
    size_t n = 0;
    KLUIS_AUTO(kluis_arena) arena = kluis_arena_new(2 * (size_t)PAGE_MAX);
    if (arena == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot read the register's journal: out of memory"); }
    KLUIS_TRY(reg_journal_mark(r->in->c.reg, at, &m, err));
    while (kluis_wire_more(&w) && n < PAGE_ENTRIES) {
        uint8_t chain[32];
        struct kluis_bytes entry = { NULL, 0 };
        KLUIS_AUTO_BUF(plain, SEALED_MAX);
        KLUIS_TRY(open_ours(r, at + n + 1, kluis_wire_get(&w, SEALED_MAX), &plain, chain, &entry, err));
        if (n == 0 && memcmp(chain, m.chain, 32) != 0) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the register's journal changed while it was read"); }
        char *copy = kluis_arena_strndup(arena, (const char *)entry.ptr, entry.len);
        if (copy == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "cannot read the register's journal: out of memory"); }
        list[n++] = (struct kluis_bytes){ (const uint8_t *)copy, entry.len };
    }
    *taken = n;
    return n == 0 ? KLUIS_OK : reg_journal_join(r->in->c.reg, at, list, n, err);
}

static kluis_status recall(struct recalling *r, struct kluis_err *err)
{
    uint64_t have, at, taken;
    struct kluis_wire w = { 0 };
    KLUIS_TRY(reg_journal_length(r->in->c.reg, &have, err));
    kluis_status rc = fetch(r, have, &w, err); /* how long is it there? */
    if (rc != KLUIS_OK && rc != KLUIS_END) { return rc; }
    KLUIS_TRY(common(r, have < r->size ? have : r->size, &at, err));
    const uint64_t from = at;
    while ((rc = fetch(r, at, &w, err)) == KLUIS_OK) {
        KLUIS_TRY(take_page(r, at, w, &taken, err));
        if (taken == 0 || ingest_stopping(r->in)) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the register's journal was not read to its end"); }
        at += taken;
    }
    if (rc != KLUIS_END) { return rc; }
    if (at > from) { kluis_log(KLUIS_LOG_WARN, "register.replayed", "from=%llu to=%llu", (unsigned long long)from, (unsigned long long)at); }
    r->in->journal_at_gate = at;
    r->in->journal_known = true;
    return KLUIS_OK;
}

static kluis_status join(struct ingest *in, struct link *l, struct kluis_err *err)
{
    struct recalling r = { .in = in, .l = l };
    kluis_buf_init(&r.page, PAGE_MAX);
    kluis_status rc = recall(&r, err);
    kluis_buf_free(&r.page);
    return rc;
}

kluis_status journal_join(struct ingest *in, struct link *l, struct kluis_err *err)
{
    pthread_mutex_lock(&in->journal_lock);
    kluis_status rc = join(in, l, err);
    if (rc == KLUIS_OK) { rc = push(in, l, err); }
    pthread_mutex_unlock(&in->journal_lock);
    return rc;
}

kluis_status journal_push(struct ingest *in, struct link *l, struct kluis_err *err)
{
    pthread_mutex_lock(&in->journal_lock);
    kluis_status rc = in->journal_known ? KLUIS_OK : join(in, l, err);
    if (rc == KLUIS_OK) { rc = push(in, l, err); }
    pthread_mutex_unlock(&in->journal_lock);
    return rc;
}
