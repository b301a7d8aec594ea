/* route.c - table of routes and the readers of what stands in a request line. */
#include "server/gate/route.h"

enum tail { TAIL_NONE, TAIL_ID, TAIL_TILE, TAIL_ENTRIES };
enum parameter { P_OFFSET = 1, P_LENGTH = 2, P_UPLOAD = 4, P_WAIT = 8, P_AFTER = 16, P_FROM = 32 };

static const struct row {
    const char *method, *path; /* path ends in '/' when a tail follows */
    enum tail tail;
    unsigned must, may;
    enum gate_action action;
    enum gate_who who;
    const char *name;
    size_t body_max;
} TABLE[] = {
    { "GET", "/v1/nonce", TAIL_NONE, 0, 0, GATE_NONCE, GATE_ANYONE, "nonce", 0 },
    { "GET", "/v1/health", TAIL_NONE, 0, 0, GATE_HEALTH, GATE_ANYONE, "health", 0 },
    { "POST", "/v1/enrol", TAIL_NONE, 0, 0, GATE_ENROL, GATE_ANYONE, "enrol", 16 << 10 },
    { "GET", "/v1/enrol/", TAIL_ID, 0, P_WAIT, GATE_ENROL_REPLY, GATE_ANYONE, "enrol.reply", 0 },
    { "GET", "/v1/bundle", TAIL_NONE, 0, 0, GATE_BUNDLE, GATE_DEVICE, "bundle", 0 },
    { "GET", "/v1/upload/", TAIL_ID, 0, 0, GATE_UPLOAD_OFFSET, GATE_DEVICE, "upload.offset", 0 },
    { "PUT", "/v1/upload/", TAIL_ID, P_OFFSET | P_LENGTH, 0, GATE_UPLOAD, GATE_DEVICE, "upload.chunk", 8 << 20 },
    { "POST", "/v1/message/", TAIL_ID, 0, P_UPLOAD, GATE_MESSAGE, GATE_DEVICE, "message", 64 << 10 },
    { "GET", "/v1/inbox", TAIL_NONE, 0, P_WAIT, GATE_INBOX, GATE_DEVICE, "inbox", 0 },
    { "DELETE", "/v1/inbox/", TAIL_ID, 0, 0, GATE_INBOX_DELETE, GATE_DEVICE, "inbox.taken", 0 },
    { "POST", "/v1/timestamp", TAIL_NONE, 0, 0, GATE_TIMESTAMP, GATE_DEVICE, "timestamp", 4 << 10 },
    { "GET", "/checkpoint", TAIL_NONE, 0, 0, GATE_CHECKPOINT, GATE_ANYONE, "checkpoint", 0 },
    { "GET", "/tile/entries/", TAIL_ENTRIES, 0, 0, GATE_ENTRIES, GATE_ANYONE, "entries", 0 },
    { "GET", "/tile/", TAIL_TILE, 0, 0, GATE_TILE, GATE_ANYONE, "tile", 0 },
    { "GET", "/vault/v1/next", TAIL_NONE, P_AFTER, P_WAIT, GATE_VAULT_NEXT, GATE_VAULT, "vault.next", 0 },
    { "GET", "/vault/v1/upload/", TAIL_ID, 0, 0, GATE_VAULT_UPLOAD, GATE_VAULT, "vault.upload", 0 },
    { "POST", "/vault/v1/fetch", TAIL_NONE, 0, 0, GATE_VAULT_FETCH, GATE_VAULT, "vault.fetch", 4 << 10 },
    { "POST", "/vault/v1/done", TAIL_NONE, 0, 0, GATE_VAULT_DONE, GATE_VAULT, "vault.done", 64 << 10 },
    { "POST", "/vault/v1/enrolled/", TAIL_ID, 0, 0, GATE_VAULT_ENROLLED, GATE_VAULT, "vault.enrolled", 256 << 10 },
    { "PUT", "/vault/v1/device/", TAIL_ID, 0, 0, GATE_VAULT_DEVICE, GATE_VAULT, "vault.device", 2 << 10 },
    { "PUT", "/vault/v1/bundle", TAIL_NONE, 0, 0, GATE_VAULT_BUNDLE_PUT, GATE_VAULT, "vault.bundle", 2 << 20 },
    { "GET", "/vault/v1/bundle", TAIL_NONE, 0, 0, GATE_VAULT_BUNDLE_GET, GATE_VAULT, "vault.prekeys", 0 },
    { "POST", "/vault/v1/mirror", TAIL_NONE, 0, 0, GATE_VAULT_MIRROR_PUT, GATE_VAULT, "vault.mirror", 8 << 20 },
    { "GET", "/vault/v1/mirror", TAIL_NONE, P_FROM, 0, GATE_VAULT_MIRROR_GET, GATE_VAULT, "vault.replay", 0 },
    { "POST", "/vault/v1/register", TAIL_NONE, 0, 0, GATE_VAULT_REGISTER_PUT, GATE_VAULT, "vault.register", 8 << 20 },
    { "GET", "/vault/v1/register", TAIL_NONE, P_FROM, 0, GATE_VAULT_REGISTER_GET, GATE_VAULT, "vault.recall", 0 },
    { "POST", "/vault/v1/outbox", TAIL_NONE, 0, 0, GATE_VAULT_OUTBOX, GATE_VAULT, "vault.outbox", 8 << 20 },
    { "POST", "/vault/v1/timestamp", TAIL_NONE, 0, 0, GATE_VAULT_TIMESTAMP, GATE_VAULT, "vault.timestamp", 4 << 10 },
};
enum { ROWS = sizeof TABLE / sizeof TABLE[0], TILE_LEVELS = 8 };

bool gate_number_read(struct kluis_str s, uint64_t *out)
{
    if (s.ptr == NULL || s.len == 0 || s.len > 19 || (s.len > 1 && s.ptr[0] == '0')) { return false; }
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') { return false; }
        v = v * 10 + (uint64_t)(s.ptr[i] - '0'); /* 19 digits fit in 64 bits */
    }
    if (v > INT64_MAX) { return false; }
    *out = v;
    return true;
}

static bool id_read(struct kluis_str s, uint8_t id[GATE_ID]) { return s.len == (size_t)2 * GATE_ID && kluis_unhex(s, id, GATE_ID); }

static bool starts(struct kluis_str s, const char *with)
{
    size_t n = strlen(with);
    return s.len >= n && memcmp(s.ptr, with, n) == 0;
}

static struct kluis_str after_char(struct kluis_str *s, char c)
{
    struct kluis_str head = *s;
    const char *at = s->len == 0 ? NULL : memchr(s->ptr, c, s->len);
    if (at == NULL) {
        *s = (struct kluis_str){ NULL, 0 };
        return head;
    }
    head.len = (size_t)(at - s->ptr);
    s->ptr = at + 1;
    s->len -= head.len + 1;
    return head;
}

/* C2SP tlog-tiles: groups of three digits, each but the last after an 'x'; "x001/x234/067" is 1234067. */
static bool tile_index_read(struct kluis_str s, uint64_t *out)
{
    uint64_t v = 0;
    size_t groups = 0;
    bool last = false;
    while (s.ptr != NULL) {
        struct kluis_str part = after_char(&s, '/');
        bool more = s.ptr != NULL;
        if (++groups > 6 || (more && (part.len == 0 || part.ptr[0] != 'x'))) { return false; }
        if (more) {
            part.ptr++;
            part.len--;
        }
        if (part.len != 3) { return false; }
        for (size_t i = 0; i < 3; i++) {
            if (part.ptr[i] < '0' || part.ptr[i] > '9') { return false; }
        }
        uint64_t group = (uint64_t)(part.ptr[0] - '0') * 100 + (uint64_t)(part.ptr[1] - '0') * 10 + (uint64_t)(part.ptr[2] - '0');
        if (groups == 1 && more && group == 0) { return false; } /* one spelling of each number */
        v = v * 1000 + group;
        last = !more;
    }
    *out = v;
    return last;
}

static bool tile_read(struct kluis_str s, bool entries, struct gate_route *out)
{
    if (!entries) {
        struct kluis_str level = after_char(&s, '/');
        if (!gate_number_read(level, &out->level) || out->level >= TILE_LEVELS || s.ptr == NULL) { return false; }
    }
    out->width = 256;
    for (size_t i = 0; i + 3 <= s.len; i++) {
        if (memcmp(s.ptr + i, ".p/", 3) == 0) {
            struct kluis_str width = { s.ptr + i + 3, s.len - i - 3 };
            if (!gate_number_read(width, &out->width) || out->width == 0 || out->width > 255) { return false; }
            s.len = i;
        }
    }
    return tile_index_read(s, &out->index);
}

static bool tail_read(enum tail tail, struct kluis_str rest, struct gate_route *out)
{
    switch (tail) {
    case TAIL_NONE: return rest.len == 0;
    case TAIL_ID:
        if (!id_read(rest, out->id)) { return false; }
        memcpy(out->id_text, rest.ptr, rest.len);
        out->id_text[rest.len] = '\0';
        return true;
    case TAIL_TILE: return tile_read(rest, false, out);
    case TAIL_ENTRIES: return tile_read(rest, true, out);
    }
    return false;
}

static bool parameter_read(struct kluis_str name, struct kluis_str value, unsigned *which, struct gate_route *out)
{
    static const struct {
        const char *name;
        unsigned bit;
    } NAMES[] = {
        { "offset", P_OFFSET }, { "length", P_LENGTH }, { "upload", P_UPLOAD }, { "wait", P_WAIT }, { "after", P_AFTER }, { "from", P_FROM }
    };
    *which = 0;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (kluis_str_is(name, NAMES[i].name)) { *which = NAMES[i].bit; }
    }
    switch (*which) {
    case P_OFFSET: return gate_number_read(value, &out->offset);
    case P_LENGTH: return gate_number_read(value, &out->length) && out->length > 0;
    case P_UPLOAD: out->has_upload = true; return value.ptr != NULL && id_read(value, out->upload);
    case P_WAIT: return gate_number_read(value, &out->wait) && out->wait <= GATE_WAIT_MAX;
    case P_AFTER: return gate_number_read(value, &out->after);
    case P_FROM: return gate_number_read(value, &out->from);
    default: return false;
    }
}

static bool query_read(struct kluis_str query, const struct row *row, struct gate_route *out)
{
    unsigned seen = 0;
    if (query.ptr != NULL && query.len == 0) { return false; } /* a lone '?' */
    while (query.ptr != NULL) {
        struct kluis_str value = after_char(&query, '&');
        struct kluis_str name = after_char(&value, '=');
        unsigned which = 0;
        if (!parameter_read(name, value, &which, out) || (which & (row->must | row->may)) == 0 || (seen & which) != 0) { return false; }
        seen |= which;
    }
    return (seen & row->must) == row->must;
}

int gate_route_read(const char *method, const char *uri, struct gate_route *out)
{
    memset(out, 0, sizeof *out);
    out->name = "unknown";
    size_t n = strnlen(uri, GATE_URI_MAX + 1);
    if (n == 0 || n > GATE_URI_MAX || uri[0] != '/') { return 404; }
    for (size_t i = 0; i < n; i++) {
        if (uri[i] <= ' ' || uri[i] > '~') { return 404; }
    }
    struct kluis_str query = { uri, n };
    struct kluis_str path = after_char(&query, '?');
    int status = 404;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &TABLE[i];
        if (!starts(path, row->path)) { continue; }
        size_t head = strlen(row->path);
        struct gate_route route = { .action = row->action, .who = row->who, .name = row->name, .body_max = row->body_max };
        if (!tail_read(row->tail, (struct kluis_str){ path.ptr + head, path.len - head }, &route)) { continue; }
        if (strcmp(method, row->method) != 0) {
            status = 405;
            continue;
        }
        if (!query_read(query, row, &route)) { return 400; }
        *out = route;
        return 0;
    }
    return status;
}

bool gate_range_read(const char *header, uint64_t size, uint64_t *from, uint64_t *count)
{
    *from = 0;
    *count = size;
    if (header == NULL) { return true; }
    static const char UNIT[] = "bytes=";
    if (strncmp(header, UNIT, sizeof UNIT - 1) != 0) { return false; }
    struct kluis_str last = kluis_str_of(header + sizeof UNIT - 1);
    struct kluis_str first = after_char(&last, '-');
    if (last.ptr == NULL || !gate_number_read(first, from) || *from >= size) { return false; }
    uint64_t to = size - 1;
    if (last.len > 0 && !gate_number_read(last, &to)) { return false; }
    if (to < *from) { return false; }
    if (to > size - 1) { to = size - 1; }
    *count = to - *from + 1;
    return true;
}
