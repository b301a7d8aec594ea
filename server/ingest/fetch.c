/* server/ingest/fetch.c - downloads: what one request costs (a signature, a nonce, a turn over the network) is shared by many packages. */
#include "server/ingest/fetch.h"

enum { TOGETHER = 64, HEAD = 8, TRIES_ = 5 };
enum { SMALL = 1 << 20, TOGETHER_BYTES = 8 << 20 }; /* the gate gives 64 uploads and 16 MiB in one answer */

static kluis_status store_write(void *ctx, const void *p, size_t n, struct kluis_err *err) { return storage_write(ctx, p, n, err); }

/* One upload by its own request; goes on where it was when a connection breaks. */
static kluis_status fetch_large(struct ingest *in, struct link *l, struct item *it, struct kluis_err *err)
{
    char hex[33], path[96];
    struct kluis_err why = { 0 };
    KLUIS_TRY(storage_begin(in->c.storage, it->upload, &it->w, err));
    const struct kluis_output to = { it->w, store_write };
    kluis_hex(it->upload, 16, hex);
    (void)snprintf(path, sizeof path, "/vault/v1/upload/%s", hex);
    kluis_status rc = link_download(l, path, it->upload_length, &to, &why);
    if (rc == KLUIS_OK) {
        storage_end(it->w, it->sha256, &it->size);
        return KLUIS_OK;
    }
    storage_abandon(&it->w);
    if (rc == KLUIS_E_NOTFOUND || rc == KLUIS_E_LIMIT) { return KLUIS_OK; /* the delivery is refused for it */ }
    if (err != NULL) { *err = why; }
    return rc;
}

/* ---- several in one answer ---- */

struct together {
    struct ingest *in;
    struct item *item[TOGETHER];
    size_t n, at; /* the one whose bytes come now */
    uint8_t head[HEAD];
    size_t head_len;
    uint64_t left;
};

static kluis_status begin_part(struct together *t, struct kluis_err *err)
{
    struct item *it = t->item[t->at];
    t->left = 0;
    for (size_t i = 0; i < HEAD; i++) { t->left = t->left << 8 | t->head[i]; }
    if (t->left == 0) { /* the gate has none: the delivery is refused for it */
        it->fetched = true;
        t->at++;
        t->head_len = 0;
        return KLUIS_OK;
    }
    if (t->left != it->upload_length) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate gives an upload with another length than its queue says"); }
    return storage_begin(t->in->c.storage, it->upload, &it->w, err);
}

static kluis_status take_part(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct together *t = ctx;
    const uint8_t *b = p;
    while (n > 0) {
        if (t->at == t->n) { return KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate gives more uploads than were asked for"); }
        if (t->head_len < HEAD) {
            t->head[t->head_len++] = *b++;
            n--;
            if (t->head_len == HEAD) { KLUIS_TRY(begin_part(t, err)); }
            continue;
        }
        struct item *it = t->item[t->at];
        size_t k = t->left < n ? (size_t)t->left : n;
        KLUIS_TRY(storage_write(it->w, b, k, err));
        b += k;
        n -= k;
        t->left -= k;
        if (t->left == 0) {
            storage_end(it->w, it->sha256, &it->size);
            it->fetched = true;
            t->at++;
            t->head_len = 0;
        }
    }
    return KLUIS_OK;
}

static kluis_status fetch_together(struct link *l, struct together *t, struct kluis_err *err)
{
    struct link_answer a = { 0 };
    const struct kluis_output to = { t, take_part };
    KLUIS_AUTO_BUF(body, 4096);
    kluis_wire_label(&body, "chatkluis-fetch-v1");
    for (size_t i = 0; i < t->n; i++) { kluis_wire_field(&body, t->item[i]->upload, sizeof t->item[i]->upload); }
    KLUIS_TRY(kluis_buf_ok(&body, err));
    kluis_status rc = link_stream(l, "POST", "/vault/v1/fetch", kluis_buf_bytes(&body), TOGETHER_BYTES + TOGETHER * HEAD, &to, &a, err);
    if (rc == KLUIS_OK && a.status != 200) { rc = LINK_REFUSED(&a, err, "the gate does not give uploads"); }
    if (rc == KLUIS_OK && t->at < t->n) { rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate gave fewer uploads than were asked for"); }
    if (t->at < t->n && !t->item[t->at]->fetched) { storage_abandon(&t->item[t->at]->w); /* half of one is none */ }
    return rc == KLUIS_E_LIMIT ? KLUIS_FAIL(err, KLUIS_E_BUSY, "the gate gave more bytes than were asked for") : rc;
}

static void choose(struct ingest *in, struct item *items, size_t n, struct together *t)
{
    uint64_t bytes = 0;
    *t = (struct together){ .in = in };
    for (size_t i = 0; i < n && t->n < TOGETHER; i++) {
        struct item *it = &items[i];
        if (!it->has_upload || it->fetched || it->upload_length > SMALL || bytes + it->upload_length > TOGETHER_BYTES) { continue; }
        bytes += it->upload_length;
        t->item[t->n++] = it;
    }
}

kluis_status fetch_items(struct ingest *in, struct link *l, struct item *items, size_t n, struct kluis_err *err)
{
    struct together t;
    unsigned failed = 0;
    for (choose(in, items, n, &t); t.n > 0; choose(in, items, n, &t)) {
        struct kluis_err why = { 0 };
        kluis_status rc = fetch_together(l, &t, &why);
        if (rc == KLUIS_OK) { continue; }
        if (rc != KLUIS_E_BUSY || ++failed >= TRIES_ || ingest_stopping(in)) {
            if (err != NULL) { *err = why; }
            return rc;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (items[i].has_upload && !items[i].fetched) {
            KLUIS_TRY(fetch_large(in, l, &items[i], err));
            items[i].fetched = true;
        }
    }
    return KLUIS_OK;
}

kluis_status fetch_sync(struct item *items, size_t n, struct kluis_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i].w != NULL) { KLUIS_TRY(storage_sync(items[i].w, err)); }
    }
    return KLUIS_OK;
}
