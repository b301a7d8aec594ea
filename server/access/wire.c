/* server/access/wire.c - requests as bytes; what is read here comes from the process that strangers talk to. */
#include "server/access/access.h"

static const char LABEL[] = "chatkluis-access-v1";
enum { STRINGS = 6 };

static void put_key(struct kluis_buf *out, struct kluis_str key) { kluis_wire_field(out, key.ptr, key.len == ACCESS_KEY_LEN ? key.len : 0); }

kluis_status access_request_write(const struct access_request *r, struct kluis_buf *out, struct kluis_err *err)
{
    const struct kluis_str s[STRINGS] = { r->purpose, r->text, r->conversation, r->official, r->platform, r->cursor };
    if (r->what == ACCESS_HELLO) {
        kluis_wire_label(out, LABEL);
        kluis_wire_u32(out, r->walls);
        kluis_wire_str(out, r->address);
        return kluis_buf_ok(out, err);
    }
    put_key(out, r->key);
    if (r->what == ACCESS_SEARCH) {
        for (size_t i = 0; i < STRINGS; i++) {
            if (s[i].len > ACCESS_STRING_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a question of more than %d bytes", ACCESS_STRING_MAX); }
            kluis_wire_str(out, s[i]);
        }
        kluis_wire_u64(out, (uint64_t)r->from_us);
        kluis_wire_u64(out, (uint64_t)r->to_us);
        kluis_wire_u32(out, (uint32_t)r->order);
        kluis_wire_u32(out, r->limit);
        kluis_wire_u32(out, (uint32_t)r->count);
    } else if (r->what == ACCESS_AROUND) {
        if (r->purpose.len > ACCESS_STRING_MAX) { return KLUIS_FAIL(err, KLUIS_E_LIMIT, "a purpose of more than %d bytes", ACCESS_STRING_MAX); }
        kluis_wire_str(out, r->purpose);
        kluis_wire_field(out, r->package, sizeof r->package);
        kluis_wire_u64(out, r->ordinal);
        kluis_wire_u32(out, r->before);
        kluis_wire_u32(out, r->after);
    }
    return kluis_buf_ok(out, err);
}

/* An empty field is an absent string; one with a NUL is none of ours: C strings are made of some of them. */
static struct kluis_str get_string(struct kluis_wire *w, size_t max)
{
    struct kluis_bytes f = kluis_wire_get(w, max);
    if (f.len > 0 && memchr(f.ptr, 0, f.len) != NULL) { w->bad = true; }
    return w->bad || f.len == 0 ? (struct kluis_str){ NULL, 0 } : (struct kluis_str){ (const char *)f.ptr, f.len };
}

/* What access_instant gives: years 1 to 9999, and the instant after them. */
static bool time_ok(int64_t us) { return us == KLUIS_TIME_ABSENT || (us >= INT64_C(-62135596800000000) && us <= INT64_C(253402300800000000)); }

static void get_search(struct kluis_wire *w, struct access_request *r)
{
    struct kluis_str *const s[STRINGS] = { &r->purpose, &r->text, &r->conversation, &r->official, &r->platform, &r->cursor };
    for (size_t i = 0; i < STRINGS; i++) { *s[i] = get_string(w, ACCESS_STRING_MAX); }
    r->from_us = (int64_t)kluis_wire_get_u64(w);
    r->to_us = (int64_t)kluis_wire_get_u64(w);
    uint32_t order = kluis_wire_get_u32(w), limit = kluis_wire_get_u32(w), count = kluis_wire_get_u32(w);
    r->order = order <= ACCESS_RELEVANCE ? (enum access_order)order : ACCESS_NEWEST;
    r->limit = limit;
    r->count = count <= ACCESS_COUNT_EXACT ? (enum access_count)count : ACCESS_COUNT_NONE;
    if (order > ACCESS_RELEVANCE || limit > ACCESS_PAGE_MAX || count > ACCESS_COUNT_EXACT || !time_ok(r->from_us) || !time_ok(r->to_us)) {
        w->bad = true;
    }
}

static void get_around(struct kluis_wire *w, struct access_request *r)
{
    r->purpose = get_string(w, ACCESS_STRING_MAX);
    (void)kluis_wire_fixed(w, r->package, sizeof r->package);
    r->ordinal = kluis_wire_get_u64(w);
    r->before = kluis_wire_get_u32(w);
    r->after = kluis_wire_get_u32(w);
    if (r->ordinal > UINT32_MAX || r->before > ACCESS_AROUND_MAX || r->after > ACCESS_AROUND_MAX) { w->bad = true; }
}

kluis_status access_request_read(char kind, struct kluis_bytes body, struct access_request *r, struct kluis_err *err)
{
    *r = (struct access_request){ .from_us = KLUIS_TIME_ABSENT, .to_us = KLUIS_TIME_ABSENT };
    struct kluis_wire w = kluis_wire_open(body);
    char address[ACCESS_ADDRESS_MAX] = "";
    if (kind == ACCESS_HELLO) {
        r->what = ACCESS_HELLO;
        if (!kluis_wire_is(&w, LABEL)) { w.bad = true; }
        r->walls = kluis_wire_get_u32(&w);
        r->address = get_string(&w, sizeof address - 1);
        if (r->address.len > 0) { memcpy(address, r->address.ptr, r->address.len); }
        address[r->address.len] = '\0';
        if (!access_loopback(address)) { w.bad = true; }
        return kluis_wire_end(&w, "the page server's hello", err);
    }
    r->key = get_string(&w, ACCESS_KEY_LEN);
    if (r->key.len != 0 && r->key.len != ACCESS_KEY_LEN) { w.bad = true; }
    switch (kind) {
    case ACCESS_SEARCH: get_search(&w, r); break;
    case ACCESS_AROUND: get_around(&w, r); break;
    case ACCESS_KEY:
    case ACCESS_STATUS: break;
    default: w.bad = true; break;
    }
    r->what = w.bad ? ACCESS_KEY : (enum access_what)kind;
    return kluis_wire_end(&w, "the page server's request", err);
}

/* Four parts of 127.0.0.0/8, or ::1, and a port: as getsockname's are written, without leading zeros. */
bool access_loopback(const char *address)
{
    unsigned part[4] = { 0 };
    const char *p = address;
    if (strncmp(p, "[::1]", 5) == 0) {
        p += 5;
    } else {
        for (int i = 0; i < 4; i++) {
            size_t n = strspn(p, "0123456789");
            if (n == 0 || n > 3 || (n > 1 && *p == '0')) { return false; }
            for (size_t k = 0; k < n; k++) { part[i] = part[i] * 10 + (unsigned)(p[k] - '0'); }
            p += n;
            if (part[i] > 255 || (i < 3 && *p++ != '.')) { return false; }
        }
        if (part[0] != 127) { return false; }
    }
    if (*p++ != ':') { return false; }
    size_t n = strspn(p, "0123456789");
    unsigned long port = strtoul(p, NULL, 10);
    return n > 0 && n <= 5 && p[n] == '\0' && (n == 1 || *p != '0') && port <= UINT16_MAX;
}
