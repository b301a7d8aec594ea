/* lib/ledger/note.c - Ed25519 keys, C2SP signed notes, checkpoints and witness cosignatures.
 *
 * A note is body, empty line, signature lines.  What a key signs is the body with its last newline (a log), or the
 * cosignature preamble and that body (a witness).  Key ids separate the two: they hash the key's type. */
#include "internal.h"

#include <assert.h>
#include <gcrypt.h>

enum { TYPE_LOG = 0x01, TYPE_WITNESS = 0x04, KEY_ID = 4, SIG = 64, SIGNATURES_MAX = 100 };
#define DASH "\xe2\x80\x94 " /* em dash and space open a signature line */

/* ---- Ed25519 ----------------------------------------------------------------------------------- */

/* Seeds pass through libgcrypt's own s-expressions and MPIs for the length of one call; it wipes secure ones only,
 * so the d parameter is the one copy of a seed outside kluis_secret memory. */
static kluis_status gcry_failed(struct kluis_err *err, uint64_t mark, gcry_error_t rc, const char *what)
{
    if (gcry_err_code(rc) == GPG_ERR_ENOMEM || kluis_memory_refused(mark)) {
        return KLUIS_FAIL(err, KLUIS_E_NOMEM, "Ed25519 %s: out of memory; try again", what);
    }
    return KLUIS_FAIL(err, KLUIS_E_BUG, "Ed25519 %s: %s", what, rc ? gcry_strerror(rc) : "unexpected form");
}

kluis_status kluis_ledger_public(const uint8_t seed[32], uint8_t public_key[32], struct kluis_err *err)
{
    gcry_sexp_t key = NULL;
    gcry_ctx_t ctx = NULL;
    gcry_mpi_t q = NULL;
    unsigned bits = 0;
    const void *p = NULL;
    kluis_status st = KLUIS_E_BUG;
    uint64_t mark = kluis_memory_mark();
    gcry_error_t rc = gcry_sexp_build(&key, NULL, "(private-key(ecc(curve Ed25519)(flags eddsa)(d %b)))", 32, seed);
    if (rc) {
        st = gcry_failed(err, mark, rc, "private key");
        goto out;
    }
    rc = gcry_mpi_ec_new(&ctx, key, NULL);
    if (rc) {
        st = gcry_failed(err, mark, rc, "private key");
        goto out;
    }
    q = gcry_mpi_ec_get_mpi("q@eddsa", ctx, 1);
    p = q ? gcry_mpi_get_opaque(q, &bits) : NULL;
    if (!p || bits != 256) {
        st = gcry_failed(err, mark, 0, "public key");
        goto out;
    }
    if (kluis_memory_refused(mark)) { /* what libgcrypt computes without memory may be anything */
        st = gcry_failed(err, mark, 0, "public key");
        goto out;
    }
    memcpy(public_key, p, 32);
    st = KLUIS_OK;
out:
    gcry_mpi_release(q);
    gcry_ctx_release(ctx);
    gcry_sexp_release(key);
    return st;
}

kluis_status kluis_ledger_keygen(uint8_t seed[32], uint8_t public_key[32], struct kluis_err *err)
{
    kluis_random(seed, 32);
    return kluis_ledger_public(seed, public_key, err);
}

static bool take_param(gcry_sexp_t sig, const char *name, uint8_t out[32])
{
    gcry_sexp_t l = gcry_sexp_find_token(sig, name, 0);
    size_t n = 0;
    const char *p = l ? gcry_sexp_nth_data(l, 1, &n) : NULL;
    bool ok = p && n == 32;
    if (ok) { memcpy(out, p, 32); }
    gcry_sexp_release(l);
    return ok;
}

/* RFC 8032 §5.1.7 wants S below the group order; without it one signature has several spellings. */
static bool scalar_is_reduced(const uint8_t s[32])
{
    static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                       0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10 };
    for (int i = 31; i >= 0; i--) {
        if (s[i] != order[i]) { return s[i] < order[i]; }
    }
    return false;
}

/* OK, E_REJECT (the signature is wrong) or E_NOMEM. */
static kluis_status ed25519_verify(const uint8_t pub[32], struct kluis_bytes msg, const uint8_t sig[SIG], struct kluis_err *err)
{
    if (!scalar_is_reduced(sig + 32)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "Ed25519 signature: wrong"); }
    gcry_sexp_t key = NULL, data = NULL, s = NULL;
    assert(msg.len <= INT32_MAX);
    uint64_t mark = kluis_memory_mark();
    gcry_error_t rc = gcry_sexp_build(&key, NULL, "(public-key(ecc(curve Ed25519)(flags eddsa)(q %b)))", 32, pub);
    if (!rc) { rc = gcry_sexp_build(&data, NULL, "(data(flags eddsa)(hash-algo sha512)(value %b))", (int)msg.len, msg.ptr); }
    if (!rc) { rc = gcry_sexp_build(&s, NULL, "(sig-val(eddsa(r %b)(s %b)))", 32, sig, 32, sig + 32); }
    if (!rc) {
        rc = gcry_pk_verify(s, data, key);
        /* libgcrypt tells an allocation that fails inside of it as a wrong signature: one is refused when it is wrong twice and memory is there. */
        if (rc) { rc = gcry_pk_verify(s, data, key); }
        void *room = rc ? gcry_malloc(SIG) : NULL;
        if (rc && room == NULL) { rc = gcry_error(GPG_ERR_ENOMEM); }
        gcry_free(room);
    }
    kluis_status st = KLUIS_OK;
    if (rc) {
        st = gcry_err_code(rc) == GPG_ERR_ENOMEM || kluis_memory_refused(mark) ? KLUIS_FAIL(err, KLUIS_E_NOMEM, "Ed25519 signature: out of memory")
                                                                               : KLUIS_FAIL(err, KLUIS_E_REJECT, "Ed25519 signature: wrong");
    }
    gcry_sexp_release(s);
    gcry_sexp_release(data);
    gcry_sexp_release(key);
    return st;
}

static kluis_status ed25519_sign(const uint8_t seed[32], const uint8_t pub[32], struct kluis_bytes msg, uint8_t sig[SIG], struct kluis_err *err)
{
    gcry_sexp_t key = NULL, data = NULL, s = NULL;
    kluis_status st = KLUIS_E_BUG;
    uint64_t mark = kluis_memory_mark();
    assert(msg.len <= INT32_MAX);
    gcry_error_t rc = gcry_sexp_build(&key, NULL, "(private-key(ecc(curve Ed25519)(flags eddsa)(q %b)(d %b)))", 32, pub, 32, seed);
    if (!rc) { rc = gcry_sexp_build(&data, NULL, "(data(flags eddsa)(hash-algo sha512)(value %b))", (int)msg.len, msg.ptr); }
    if (!rc) { rc = gcry_pk_sign(&s, data, key); }
    if (rc) {
        st = gcry_failed(err, mark, rc, "signature");
    } else if (!take_param(s, "r", sig) || !take_param(s, "s", sig + 32)) {
        st = gcry_failed(err, mark, 0, "signature");
    } else {
        /* libgcrypt, short of memory at the wrong moment, gives a signature that is none and says nothing: none leaves here unverified. */
        st = ed25519_verify(pub, msg, sig, err);
        if (st == KLUIS_E_REJECT) { st = gcry_failed(err, mark, 0, "signature"); }
    }
    gcry_sexp_release(s);
    gcry_sexp_release(data);
    gcry_sexp_release(key);
    return st;
}

/* ---- text -------------------------------------------------------------------------------------- */

bool kluis_note_line(struct kluis_str *rest, struct kluis_str *line)
{
    const char *nl = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (!nl) { return false; }
    line->ptr = rest->ptr;
    line->len = (size_t)(nl - rest->ptr);
    rest->ptr = nl + 1;
    rest->len -= line->len + 1;
    return true;
}

bool kluis_note_decimal(struct kluis_str s, uint64_t *out)
{
    if (s.len == 0 || s.len > 19 || (s.len > 1 && s.ptr[0] == '0')) { return false; }
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') { return false; }
        v = v * 10 + (uint64_t)(s.ptr[i] - '0'); /* 19 digits fit 64 bits */
    }
    if (v > INT64_MAX) { return false; }
    *out = v;
    return true;
}

bool kluis_note_hash(struct kluis_str s, kluis_hash *out)
{
    size_t n = 0;
    uint8_t b[33];
    if (s.len != 44 || !kluis_unbase64(s, b, sizeof b, &n) || n != 32) { return false; }
    memcpy(out->b, b, 32);
    return true;
}

/* Key names: what C2SP allows, narrowed to printable ASCII. */
static bool name_ok(struct kluis_str s)
{
    if (s.len == 0 || s.len >= KLUIS_ORIGIN_MAX) { return false; }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || s.ptr[i] == '+') { return false; }
    }
    return true;
}

struct vkey {
    struct kluis_str name;
    uint8_t id[KEY_ID];
    uint8_t pub[32];
};

static void key_id(struct kluis_str name, uint8_t type, const uint8_t pub[32], uint8_t out[KEY_ID])
{
    uint8_t in[KLUIS_ORIGIN_MAX + 34], h[32];
    assert(name.len < KLUIS_ORIGIN_MAX);
    memcpy(in, name.ptr, name.len);
    in[name.len] = '\n';
    in[name.len + 1] = type;
    memcpy(in + name.len + 2, pub, 32);
    kluis_sha256_of(in, name.len + 34, h);
    memcpy(out, h, KEY_ID);
}

static bool vkey_read(const char *text, uint8_t type, struct vkey *out)
{
    struct kluis_str s = kluis_str_of(text);
    if (!s.ptr || s.len >= KLUIS_VKEY_MAX) { return false; }
    const char *plus = memchr(s.ptr, '+', s.len);
    if (!plus) { return false; }
    out->name = (struct kluis_str){ s.ptr, (size_t)(plus - s.ptr) };
    size_t left = s.len - out->name.len - 1;
    if (!name_ok(out->name) || left < 10 || plus[9] != '+') { return false; }
    if (!kluis_unhex((struct kluis_str){ plus + 1, 8 }, out->id, KEY_ID)) { return false; }
    uint8_t raw[34], want[KEY_ID];
    size_t n = 0;
    if (!kluis_unbase64((struct kluis_str){ plus + 10, left - 9 }, raw, sizeof raw, &n) || n != 33 || raw[0] != type) { return false; }
    memcpy(out->pub, raw + 1, 32);
    key_id(out->name, type, out->pub, want);
    return memcmp(want, out->id, KEY_ID) == 0;
}

kluis_status kluis_vkey_write(const char *origin, const uint8_t public_key[32], char out[KLUIS_VKEY_MAX], struct kluis_err *err)
{
    struct kluis_str name = kluis_str_of(origin);
    if (!name_ok(name)) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "log origin must be 1 to %d printable ASCII characters without space or plus", KLUIS_ORIGIN_MAX - 1);
    }
    uint8_t id[KEY_ID], raw[33];
    char hex[2 * KEY_ID + 1], b64[48];
    key_id(name, TYPE_LOG, public_key, id);
    kluis_hex(id, KEY_ID, hex);
    raw[0] = TYPE_LOG;
    memcpy(raw + 1, public_key, 32);
    assert(kluis_base64_len(sizeof raw) < sizeof b64);
    (void)kluis_base64(raw, sizeof raw, b64);
    int n = snprintf(out, KLUIS_VKEY_MAX, "%s+%s+%s", origin, hex, b64);
    assert(n > 0 && n < KLUIS_VKEY_MAX);
    (void)n;
    return KLUIS_OK;
}

/* ---- checkpoints ------------------------------------------------------------------------------- */

static void body_write(const struct kluis_checkpoint *c, struct kluis_buf *out)
{
    char b64[48];
    (void)kluis_base64(c->head.b, 32, b64);
    kluis_buf_fmt(out, "%s\n%llu\n%s\n", c->origin, (unsigned long long)c->size, b64);
}

kluis_status kluis_checkpoint_sign(const struct kluis_checkpoint *c, const uint8_t seed[32], struct kluis_buf *out, struct kluis_err *err)
{
    size_t len = strnlen(c->origin, sizeof c->origin);
    struct kluis_str name = { c->origin, len };
    if (len == sizeof c->origin || !name_ok(name) || c->size > INT64_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_USAGE, "checkpoint: the origin or size cannot be written");
    }
    KLUIS_AUTO_BUF(body, KLUIS_CHECKPOINT_MAX);
    body_write(c, &body);
    KLUIS_TRY(kluis_buf_ok(&body, err));
    uint8_t pub[32], raw[KEY_ID + SIG];
    KLUIS_TRY(kluis_ledger_public(seed, pub, err));
    key_id(name, TYPE_LOG, pub, raw);
    KLUIS_TRY(ed25519_sign(seed, pub, kluis_buf_bytes(&body), raw + KEY_ID, err));
    char b64[128];
    assert(kluis_base64_len(sizeof raw) < sizeof b64);
    (void)kluis_base64(raw, sizeof raw, b64);
    kluis_buf_add(out, body.data, body.len);
    kluis_buf_fmt(out, "\n" DASH "%s %s\n", c->origin, b64);
    return kluis_buf_ok(out, err);
}

struct note {
    struct kluis_str body; /* with its last newline: what is signed */
    struct kluis_str sigs; /* signature lines, each with its newline */
};

/* Splits at the last empty line, as C2SP signed-note says. */
static kluis_status note_split(struct kluis_str text, struct note *out, struct kluis_err *err)
{
    if (text.len == 0 || text.len > KLUIS_CHECKPOINT_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: empty or too long"); }
    if (kluis_utf8_valid(text.ptr, text.len) != text.len) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: not valid UTF-8"); }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' && text.ptr[i] != '\n') { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: control character"); }
    }
    size_t at = text.len;
    while (at >= 2 && !(text.ptr[at - 1] == '\n' && text.ptr[at - 2] == '\n')) { at--; }
    if (at < 2 || at == text.len || text.ptr[text.len - 1] != '\n') { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: no signature lines"); }
    out->body = (struct kluis_str){ text.ptr, at - 1 };
    out->sigs = (struct kluis_str){ text.ptr + at, text.len - at };
    return KLUIS_OK;
}

static const char SINCE[] = "/since-";

kluis_status kluis_origin_since(const char *name, uint64_t since, char out[KLUIS_ORIGIN_MAX], struct kluis_err *err)
{
    int n = since == 0 ? snprintf(out, KLUIS_ORIGIN_MAX, "%s", name)
                       : snprintf(out, KLUIS_ORIGIN_MAX, "%s%s%llu", name, SINCE, (unsigned long long)since);
    return n > 0 && n < KLUIS_ORIGIN_MAX ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_USAGE, "log origin: too long");
}

/* Is this checkpoint of the key's log, or of that log begun anew?  Then the key takes that name, and with it another id. */
static bool of_this_log(struct vkey *key, struct kluis_checkpoint *c)
{
    size_t n = key->name.len, s = sizeof SINCE - 1, len = strlen(c->origin);
    if (kluis_str_is(key->name, c->origin)) { return true; }
    if (len <= n + s || memcmp(c->origin, key->name.ptr, n) != 0 || memcmp(c->origin + n, SINCE, s) != 0 ||
        !kluis_note_decimal((struct kluis_str){ c->origin + n + s, len - n - s }, &c->since) || c->since == 0) {
        return false;
    }
    key->name = (struct kluis_str){ c->origin, len };
    key_id(key->name, TYPE_LOG, key->pub, key->id);
    return true;
}

static kluis_status body_read(struct kluis_str body, struct kluis_checkpoint *out, struct kluis_err *err)
{
    struct kluis_str rest = body, origin, size, head, more;
    if (!kluis_note_line(&rest, &origin) || !kluis_note_line(&rest, &size) || !kluis_note_line(&rest, &head) || !name_ok(origin) ||
        !kluis_note_decimal(size, &out->size) || !kluis_note_hash(head, &out->head)) {
        return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: malformed body");
    }
    while (kluis_note_line(&rest, &more)) { /* extension lines: signed too, not ours to understand */
        if (more.len == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: empty line in the body"); }
    }
    memcpy(out->origin, origin.ptr, origin.len);
    out->origin[origin.len] = 0;
    return KLUIS_OK;
}

struct sig_line {
    struct kluis_str name;
    uint8_t raw[KEY_ID + 8 + SIG + 1]; /* a log's signature or a witness's with its time; longer ones are of unknown kinds */
    size_t len;                        /* 0: longer than any kind known here */
};

/* 1: a line, 0: no more, -1: malformed. */
static int sig_next(struct kluis_str *rest, struct sig_line *out)
{
    struct kluis_str line;
    if (rest->len == 0) { return 0; }
    size_t dash = sizeof DASH - 1;
    if (!kluis_note_line(rest, &line) || line.len < dash || memcmp(line.ptr, DASH, dash) != 0) { return -1; }
    line.ptr += dash;
    line.len -= dash;
    const char *sp = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
    if (!sp || sp == line.ptr) { return -1; }
    out->name = (struct kluis_str){ line.ptr, (size_t)(sp - line.ptr) };
    struct kluis_str b64 = { sp + 1, line.len - out->name.len - 1 };
    if (b64.len == 0 || b64.len % 4 != 0) { return -1; }
    out->len = 0;
    if (b64.len > kluis_base64_len(sizeof out->raw)) { return 1; }
    if (!kluis_unbase64(b64, out->raw, sizeof out->raw, &out->len) || out->len <= KEY_ID) { return -1; }
    return 1;
}

static bool sig_is_by(const struct sig_line *l, const struct vkey *k)
{
    return l->len > 0 && kluis_str_eq(l->name, k->name) && memcmp(l->raw, k->id, KEY_ID) == 0;
}

/* own: NULL, or gets the bytes of the log's own signature line. */
static kluis_status checkpoint_open(struct kluis_str text, const char *vkey, struct kluis_checkpoint *out, struct kluis_str *own,
                                    struct kluis_err *err)
{
    struct vkey key;
    if (!vkey_read(vkey, TYPE_LOG, &key)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "log key: malformed verifier key"); }
    struct note note;
    KLUIS_TRY(note_split(text, &note, err));
    struct kluis_checkpoint c = { .size = 0 };
    KLUIS_TRY(body_read(note.body, &c, err));
    if (!of_this_log(&key, &c)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: of another log"); }
    struct kluis_bytes msg = { (const uint8_t *)note.body.ptr, note.body.len };
    struct sig_line l;
    bool found = false;
    int more = 0;
    const char *start = note.sigs.ptr;
    for (int n = 0; (more = sig_next(&note.sigs, &l)) == 1; n++) {
        struct kluis_str line = { start, (size_t)(note.sigs.ptr - start) };
        start = note.sigs.ptr;
        if (n == SIGNATURES_MAX) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: more than %d signatures", SIGNATURES_MAX); }
        if (!sig_is_by(&l, &key)) { continue; }
        if (found || l.len != KEY_ID + SIG) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: malformed signature of the log"); }
        kluis_status st = ed25519_verify(key.pub, msg, l.raw + KEY_ID, err);
        if (st != KLUIS_OK) {
            kluis_err_prefix(err, "checkpoint of the log");
            return st;
        }
        found = true;
        if (own) { *own = line; }
    }
    if (more < 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: malformed signature line"); }
    if (!found) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "checkpoint: not signed by this log's key"); }
    *out = c;
    return KLUIS_OK;
}

kluis_status kluis_checkpoint_open(struct kluis_str text, const char *vkey, struct kluis_checkpoint *out, struct kluis_err *err)
{
    return checkpoint_open(text, vkey, out, NULL, err);
}

kluis_status kluis_checkpoint_own(struct kluis_str text, const char *vkey, struct kluis_buf *out, struct kluis_err *err)
{
    struct kluis_checkpoint c;
    struct kluis_str line = { NULL, 0 };
    struct note note;
    KLUIS_TRY(checkpoint_open(text, vkey, &c, &line, err));
    KLUIS_TRY(note_split(text, &note, err));
    kluis_buf_str(out, note.body);
    kluis_buf_byte(out, '\n');
    kluis_buf_str(out, line);
    return kluis_buf_ok(out, err);
}

kluis_status kluis_checkpoint_witnesses(struct kluis_str text, const char *const *vkeys, size_t n, size_t *valid, struct kluis_err *err)
{
    *valid = 0;
    struct note note;
    KLUIS_TRY(note_split(text, &note, err));
    KLUIS_AUTO_BUF(msg, KLUIS_CHECKPOINT_MAX + 64);
    for (size_t i = 0; i < n; i++) {
        struct vkey key, other;
        if (!vkey_read(vkeys[i], TYPE_WITNESS, &key)) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "witness key: malformed verifier key"); }
        bool twice = false; /* one key under two names is one witness */
        for (size_t j = 0; j < i && !twice; j++) { twice = vkey_read(vkeys[j], TYPE_WITNESS, &other) && memcmp(other.pub, key.pub, 32) == 0; }
        if (twice) { continue; }
        struct kluis_str rest = note.sigs;
        struct sig_line l;
        int lines = 0;
        while (lines++ < SIGNATURES_MAX && sig_next(&rest, &l) == 1) {
            if (!sig_is_by(&l, &key) || l.len != KEY_ID + 8 + SIG) { continue; }
            uint64_t when = 0;
            for (int b = 0; b < 8; b++) { when = when << 8 | l.raw[KEY_ID + b]; }
            kluis_buf_clear(&msg);
            kluis_buf_fmt(&msg, "cosignature/v1\ntime %llu\n", (unsigned long long)when);
            kluis_buf_str(&msg, note.body);
            KLUIS_TRY(kluis_buf_ok(&msg, err));
            kluis_status st = ed25519_verify(key.pub, kluis_buf_bytes(&msg), l.raw + KEY_ID + 8, NULL);
            if (st == KLUIS_OK) {
                (*valid)++;
                break;
            }
            if (st != KLUIS_E_REJECT) { return KLUIS_FAIL(err, st, "witness signature: cannot be checked"); }
        }
    }
    return KLUIS_OK;
}
