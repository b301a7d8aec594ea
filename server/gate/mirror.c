/* mirror.c - the ledger's leaves as the vault sends them, append-only, and C2SP tlog-tiles made from them.
 *
 * Leaves may come in pieces under one checkpoint.  Only the leaves that a stored checkpoint covers are handed out, and only after its
 * head was recomputed from them: a mirror that answers has checked itself. */
#include "server/gate/store_internal.h"

enum { SEAL_MAX = 1 << 20, TREE_BYTES = 8 + KLUIS_TREE_LEVELS * 32, MIRROR_LEAVES = 1000, TILE = 256 };

static void tree_write(const struct kluis_tree *t, uint8_t out[TREE_BYTES])
{
    for (int i = 0; i < 8; i++) { out[i] = (uint8_t)(t->size >> (56 - 8 * i)); }
    for (size_t l = 0; l < KLUIS_TREE_LEVELS; l++) { memcpy(out + 8 + 32 * l, t->peak[l].b, 32); }
}

static void tree_read(const uint8_t in[TREE_BYTES], struct kluis_tree *t)
{
    kluis_tree_init(t);
    for (int i = 0; i < 8; i++) { t->size = t->size << 8 | in[i]; }
    for (size_t l = 0; l < KLUIS_TREE_LEVELS; l++) { memcpy(t->peak[l].b, in + 8 + 32 * l, 32); }
}

kluis_status gate_mirror_load(struct gate_store *s, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    kluis_tree_init(&s->tree);
    kluis_tree_init(&s->covered);
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT tree, covered FROM mirror", ""));
    kluis_status rc = kluis_db_step(s->db, st, err);
    if (rc == KLUIS_OK) {
        uint8_t tree[TREE_BYTES];
        uint8_t covered[TREE_BYTES];
        if (!kluis_db_fixed(st, 0, tree, sizeof tree) || !kluis_db_fixed(st, 1, covered, sizeof covered)) {
            rc = KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the mirror's row in gate.db is damaged");
        } else {
            tree_read(tree, &s->tree);
            tree_read(covered, &s->covered);
        }
    }
    kluis_db_done(st);
    return rc == KLUIS_END ? KLUIS_OK : rc;
}

/* Body of a signed checkpoint (C2SP tlog-checkpoint): origin, size, base64 head, extension lines, then a blank line. */
static bool checkpoint_body(struct kluis_str text, struct kluis_checkpoint *out)
{
    struct kluis_str line[3];
    const char *at = text.ptr;
    const char *end = text.ptr + text.len;
    for (size_t i = 0; i < 3; i++) {
        const char *nl = memchr(at, '\n', (size_t)(end - at));
        if (nl == NULL || nl == at) { return false; }
        line[i] = (struct kluis_str){ at, (size_t)(nl - at) };
        at = nl + 1;
    }
    size_t n = 0;
    if (line[0].len >= sizeof out->origin || !gate_number_read(line[1], &out->size) ||
        !kluis_unbase64(line[2], out->head.b, sizeof out->head.b, &n) || n != sizeof out->head.b) {
        return false;
    }
    memcpy(out->origin, line[0].ptr, line[0].len);
    out->origin[line[0].len] = '\0';
    return memmem(text.ptr, text.len, "\n\n", 2) != NULL;
}

static kluis_status checkpoint_read(struct gate_store *s, struct kluis_bytes text, struct kluis_checkpoint *out, struct kluis_err *err)
{
    struct kluis_str t = { (const char *)text.ptr, text.len };
    if (text.ptr == NULL || text.len == 0) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the mirror needs a checkpoint"); }
    if (s->log_vkey[0] != '\0') { return kluis_checkpoint_open(t, s->log_vkey, out, err); }
    return checkpoint_body(t, out) ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_REJECT, "the checkpoint is not one");
}

struct adding {
    struct gate_store *s;
    struct kluis_err *err;
    kluis_status rc;
};

/* Tiles are made of the nodes at levels 0, 8, 16 …: the others are computed by who reads them. */
static void keep_node(void *ctx, unsigned level, uint64_t number, const kluis_hash *h)
{
    struct adding *a = ctx;
    if (level % 8 != 0 || a->rc != KLUIS_OK) { return; }
    a->rc = kluis_db_run(a->s->db, NULL, a->err, "INSERT OR REPLACE INTO node(level, number, hash) VALUES(?1, ?2, ?3)", "iih", (int64_t)level,
                         (int64_t)number, h->b);
}

/* Leaves beyond the last checkpoint are not evidence of anything yet and may be sent anew. */
static kluis_status drop_tail(struct gate_store *s, struct kluis_tree *tree, struct kluis_err *err)
{
    *tree = s->covered;
    KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM leaf WHERE number >= ?1", "i", (int64_t)tree->size));
    for (unsigned level = 0; level < 64; level += 8) {
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "DELETE FROM node WHERE level = ?1 AND number >= ?2", "ii", (int64_t)level,
                               (int64_t)(tree->size >> level)));
    }
    return KLUIS_OK;
}

struct post {
    uint64_t from;
    struct kluis_bytes checkpoint, seal;
    struct kluis_wire leaves;
    struct kluis_checkpoint claims;
};

static kluis_status append(struct gate_store *s, const struct post *p, struct kluis_tree *tree, struct kluis_tree *covered, struct kluis_err *err)
{
    *tree = s->tree;
    *covered = s->covered;
    if (p->from != s->tree.size && p->from != s->covered.size) {
        return KLUIS_FAIL(err, KLUIS_E_BUSY, "the mirror stands at %llu", (unsigned long long)s->tree.size);
    }
    if (p->from != s->tree.size) { KLUIS_TRY(drop_tail(s, tree, err)); }
    struct kluis_wire w = p->leaves;
    struct adding a = { s, err, KLUIS_OK };
    while (kluis_wire_more(&w)) {
        struct kluis_bytes leaf = kluis_wire_get(&w, KLUIS_LEAF_MAX);
        kluis_hash h;
        kluis_leaf_hash(leaf.ptr, leaf.len, &h);
        KLUIS_TRY(kluis_db_run(s->db, NULL, err, "INSERT OR REPLACE INTO leaf(number, data) VALUES(?1, ?2)", "ib", (int64_t)tree->size, leaf));
        kluis_tree_append(tree, &h, keep_node, &a);
        KLUIS_TRY(a.rc);
    }
    if (p->claims.size < tree->size) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "the checkpoint is of a smaller tree than the leaves"); }
    bool complete = p->claims.size == tree->size;
    if (complete) {
        kluis_hash head;
        kluis_tree_head(tree, &head);
        if (memcmp(head.b, p->claims.head.b, sizeof head.b) != 0) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "the checkpoint's head is not that of the leaves: nothing of this was kept");
        }
        *covered = *tree;
    }
    uint8_t tree_row[TREE_BYTES];
    uint8_t covered_row[TREE_BYTES];
    tree_write(tree, tree_row);
    tree_write(covered, covered_row);
    struct kluis_bytes t = { tree_row, sizeof tree_row };
    struct kluis_bytes c = { covered_row, sizeof covered_row };
    KLUIS_TRY(kluis_db_run(
        s->db, NULL, err,
        "INSERT INTO mirror(one, tree, covered) VALUES(1, ?1, ?2) ON CONFLICT(one) DO UPDATE SET tree = excluded.tree, covered = excluded.covered",
        "bb", t, c));
    if (!complete) { return KLUIS_OK; }
    return kluis_db_run(s->db, NULL, err, "UPDATE mirror SET checkpoint = ?1, seal = ?2", "bb", p->checkpoint, p->seal);
}

/* Devices whose answers the growth of the mirror has freed. */
static kluis_status freed_devices(struct gate_store *s, uint64_t from, uint64_t to, struct kluis_buf *wake, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    if (from == to) { return KLUIS_OK; }
    KLUIS_TRY(kluis_db_query(s->db, &st, err, "SELECT DISTINCT device FROM outbox WHERE tree > ?1 AND tree <= ?2 AND body IS NOT NULL", "ii",
                             (int64_t)from, (int64_t)to));
    kluis_status rc = KLUIS_OK;
    while ((rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
        struct kluis_str device = kluis_db_text(st, 0);
        if (device.len == GATE_ID_TEXT - 1) { kluis_buf_add(wake, device.ptr, device.len); }
    }
    return rc == KLUIS_END ? kluis_buf_ok(wake, err) : rc;
}

static kluis_status post_read(struct gate_store *s, struct kluis_bytes body, struct post *p, struct kluis_err *err)
{
    struct kluis_wire w = kluis_wire_open(body);
    (void)kluis_wire_is(&w, "chatkluis-mirror-v1");
    p->from = kluis_wire_get_u64(&w);
    p->checkpoint = kluis_wire_get(&w, KLUIS_CHECKPOINT_MAX);
    p->seal = kluis_wire_get(&w, SEAL_MAX);
    p->leaves = w;
    while (kluis_wire_more(&w) && !w.bad) { (void)kluis_wire_get(&w, KLUIS_LEAF_MAX); }
    KLUIS_TRY(kluis_wire_end(&w, "mirror", err));
    return checkpoint_read(s, p->checkpoint, &p->claims, err);
}

kluis_status gate_mirror_append(struct gate_store *s, struct kluis_bytes body, uint64_t *size, struct kluis_buf *wake, struct kluis_err *err)
{
    struct post p = { 0 };
    kluis_status rc = post_read(s, body, &p, err);
    gate_lock(s);
    *size = s->tree.size;
    gate_unlock(s);
    KLUIS_TRY(rc);

    KLUIS_TRY(gate_tx_begin(s, err));
    struct kluis_tree tree;
    struct kluis_tree covered;
    uint64_t before = s->covered.size;
    rc = append(s, &p, &tree, &covered, err);
    if (rc == KLUIS_OK) { rc = freed_devices(s, before, covered.size, wake, err); }
    /* A head that does not fit: the pieces sent before may be the wrong ones, so the next try starts at the last checkpoint. */
    bool restart = rc == KLUIS_E_REJECT && s->tree.size != s->covered.size;
    struct kluis_tree old_tree = s->tree;
    struct kluis_tree old_covered = s->covered;
    if (rc == KLUIS_OK) {
        s->tree = tree;
        s->covered = covered;
    } else if (restart) {
        s->tree = s->covered; /* in memory alone: the rows go when the next piece comes from there */
    }
    *size = s->tree.size;
    kluis_status end = gate_tx_end(s, rc, "gate.mirror.commit", err);
    if (rc == KLUIS_OK && end != KLUIS_OK) {
        gate_lock(s);
        s->tree = old_tree;
        s->covered = old_covered;
        *size = s->tree.size;
        gate_unlock(s);
    }
    return end;
}

kluis_status gate_mirror_read(struct gate_store *s, uint64_t from, struct kluis_buf *out, uint64_t *size, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    gate_lock(s);
    *size = s->covered.size;
    kluis_status rc = from < s->covered.size ? KLUIS_OK : KLUIS_END;
    if (rc == KLUIS_OK) { rc = kluis_db_query(s->db, &st, err, "SELECT checkpoint, seal FROM mirror", ""); }
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, st, err); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes checkpoint = kluis_db_blob(st, 0);
        struct kluis_bytes seal = kluis_db_blob(st, 1);
        kluis_wire_label(out, "chatkluis-mirror-v1");
        kluis_wire_u64(out, from);
        kluis_wire_field(out, checkpoint.ptr, checkpoint.len);
        kluis_wire_field(out, seal.ptr, seal.len);
        kluis_db_done(st);
        rc = kluis_db_query(s->db, &st, err, "SELECT data FROM leaf WHERE number >= ?1 AND number < ?2 ORDER BY number", "ii", (int64_t)from,
                            (int64_t)(s->covered.size - from > MIRROR_LEAVES ? from + MIRROR_LEAVES : s->covered.size));
        while (rc == KLUIS_OK && (rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
            struct kluis_bytes leaf = kluis_db_blob(st, 0);
            kluis_wire_field(out, leaf.ptr, leaf.len);
        }
        if (rc == KLUIS_END) { rc = kluis_buf_ok(out, err); }
    }
    kluis_db_done(st);
    gate_unlock(s);
    return rc;
}

kluis_status gate_mirror_checkpoint(struct gate_store *s, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    gate_lock(s);
    kluis_status rc = kluis_db_query(s->db, &st, err, "SELECT checkpoint FROM mirror WHERE checkpoint IS NOT NULL", "");
    if (rc == KLUIS_OK) { rc = kluis_db_step(s->db, st, err); }
    if (rc == KLUIS_OK) {
        struct kluis_bytes text = kluis_db_blob(st, 0);
        kluis_buf_add(out, text.ptr, text.len);
        rc = kluis_buf_ok(out, err);
    }
    kluis_db_done(st);
    gate_unlock(s);
    return rc == KLUIS_END ? KLUIS_FAIL(err, KLUIS_E_NOTFOUND, "no checkpoint yet") : rc;
}

/* Items [index * 256, + width) of `available`; false: not there. */
static bool tile_there(uint64_t available, uint64_t index, uint64_t width)
{
    return index < UINT64_MAX / TILE && width > 0 && width <= TILE && index * TILE + width <= available;
}

kluis_status gate_mirror_tile(struct gate_store *s, uint64_t level, uint64_t index, uint64_t width, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    uint64_t n = 0;
    gate_lock(s);
    kluis_status rc = tile_there(level < 8 ? s->covered.size >> (8 * level) : 0, index, width) ? KLUIS_OK : KLUIS_E_NOTFOUND;
    if (rc == KLUIS_OK) {
        rc = kluis_db_query(s->db, &st, err, "SELECT hash FROM node WHERE level = ?1 AND number >= ?2 AND number < ?3 ORDER BY number", "iii",
                            (int64_t)(8 * level), (int64_t)(index * TILE), (int64_t)(index * TILE + width));
    }
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
        struct kluis_bytes hash = kluis_db_blob(st, 0);
        kluis_buf_add(out, hash.ptr, hash.len);
        n++;
    }
    kluis_db_done(st);
    gate_unlock(s);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, rc, "the tree has no such tile"); }
    if (rc != KLUIS_END) { return rc; }
    if (n != width || out->len != 32 * n) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the mirror's tiles in gate.db are damaged"); }
    return kluis_buf_ok(out, err);
}

kluis_status gate_mirror_entries(struct gate_store *s, uint64_t index, uint64_t width, struct kluis_buf *out, struct kluis_err *err)
{
    struct sqlite3_stmt *st = NULL;
    uint64_t n = 0;
    gate_lock(s);
    kluis_status rc = tile_there(s->covered.size, index, width) ? KLUIS_OK : KLUIS_E_NOTFOUND;
    if (rc == KLUIS_OK) {
        rc = kluis_db_query(s->db, &st, err, "SELECT data FROM leaf WHERE number >= ?1 AND number < ?2 ORDER BY number", "ii",
                            (int64_t)(index * TILE), (int64_t)(index * TILE + width));
    }
    while (rc == KLUIS_OK && (rc = kluis_db_step(s->db, st, err)) == KLUIS_OK) {
        struct kluis_bytes leaf = kluis_db_blob(st, 0);
        kluis_buf_byte(out, (uint8_t)(leaf.len >> 8)); /* KLUIS_LEAF_MAX fits in 16 bits */
        kluis_buf_byte(out, (uint8_t)leaf.len);
        kluis_buf_add(out, leaf.ptr, leaf.len);
        n++;
    }
    kluis_db_done(st);
    gate_unlock(s);
    if (rc == KLUIS_E_NOTFOUND) { return KLUIS_FAIL(err, rc, "the tree has no such entries"); }
    if (rc != KLUIS_END) { return rc; }
    if (n != width) { return KLUIS_FAIL(err, KLUIS_E_CORRUPT, "the mirror's leaves in gate.db are damaged"); }
    return kluis_buf_ok(out, err);
}
