/* root.c - records.root: salted leaves under an RFC 6962 head; one keyed HMAC handle for a whole file. */
#include "kluis/ledger.h"
#include "kluis/record.h"

#include <gcrypt.h>

enum { LEAF_HEAD = 1 + 32, LEAF_WHOLE = 4096 };

struct kluis_root {
    gcry_md_hd_t mac;                     /* HMAC-SHA-256 keyed with the package salt */
    uint8_t leaf[LEAF_HEAD + LEAF_WHOLE]; /* 0x00 || salt || line, when the line is of an ordinary length: hashed in one call */
    struct kluis_tree tree;
};

static void u64be(uint64_t v, uint8_t out[8])
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}

/* Clean-up after a failure half way is kluis_root_free's, which knows handles by not being NULL. */
struct kluis_root *kluis_root_new(const uint8_t salt[32])
{
    struct kluis_root *r = kluis_calloc(1, sizeof *r);
    if (r == NULL) { return NULL; }
    kluis_tree_init(&r->tree);
    if (gcry_md_open(&r->mac, GCRY_MD_SHA256, GCRY_MD_FLAG_HMAC) != 0 || gcry_md_setkey(r->mac, salt, 32) != 0) {
        kluis_root_free(r);
        return NULL;
    }
    return r;
}

void kluis_root_free(struct kluis_root *r)
{
    if (r == NULL) { return; }
    gcry_md_close(r->mac);
    kluis_free(r);
}

static kluis_status leaf(struct kluis_root *r, uint64_t ordinal, struct kluis_str line, uint8_t out[32], struct kluis_err *err)
{
    uint8_t number[8];
    u64be(ordinal, number);
    gcry_md_reset(r->mac); /* keeps the key */
    gcry_md_write(r->mac, number, sizeof number);
    r->leaf[0] = 0;
    memcpy(r->leaf + 1, gcry_md_read(r->mac, 0), 32);
    if (line.len <= LEAF_WHOLE) {
        if (line.len > 0) { memcpy(r->leaf + LEAF_HEAD, line.ptr, line.len); }
        kluis_sha256_of(r->leaf, LEAF_HEAD + line.len, out);
        return KLUIS_OK;
    }
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a leaf hash"); }
    kluis_sha256_add(h, r->leaf, LEAF_HEAD);
    kluis_sha256_add(h, line.ptr, line.len);
    kluis_sha256_end(h, out);
    return KLUIS_OK;
}

/* The tree's first leaf is that of line `first`. */
static kluis_status add(struct kluis_root *r, struct kluis_tree *tree, uint64_t first, struct kluis_str line, struct kluis_err *err)
{
    const uint64_t ordinal = first + tree->size;
    if (line.len > KLUIS_RECORD_LINE_MAX) {
        return KLUIS_FAIL(err, KLUIS_E_LIMIT, "records: line %llu is longer than %d bytes", (unsigned long long)ordinal, KLUIS_RECORD_LINE_MAX);
    }
    kluis_hash h;
    KLUIS_TRY(leaf(r, ordinal, line, h.b, err));
    kluis_tree_append(tree, &h, NULL, NULL);
    return KLUIS_OK;
}

kluis_status kluis_root_add(struct kluis_root *r, struct kluis_str line, struct kluis_err *err) { return add(r, &r->tree, 0, line, err); }

kluis_status kluis_root_part(const uint8_t salt[32], uint64_t first, struct kluis_str lines, struct kluis_tree *out, struct kluis_err *err)
{
    kluis_tree_init(out);
    KLUIS_AUTO(kluis_root) r = kluis_root_new(salt);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for leaf hashes"); }
    for (const char *end; lines.len > 0; lines.ptr = end + 1) {
        end = memchr(lines.ptr, '\n', lines.len);
        if (end == NULL) { return KLUIS_FAIL(err, KLUIS_E_BUG, "records: a line without its end under the root"); }
        const size_t n = (size_t)(end - lines.ptr);
        KLUIS_TRY(add(r, out, first, (struct kluis_str){ lines.ptr, n }, err));
        lines.len -= n + 1;
    }
    return KLUIS_OK;
}

void kluis_root_join(struct kluis_root *r, const struct kluis_tree *part) { kluis_tree_join(&r->tree, part); }

void kluis_root_end(const struct kluis_root *r, uint8_t out[32])
{
    kluis_hash head;
    kluis_tree_head(&r->tree, &head);
    memcpy(out, head.b, 32);
}

kluis_status kluis_record_leaf(const uint8_t salt[32], uint64_t ordinal, struct kluis_str line, uint8_t out[32], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_root) r = kluis_root_new(salt);
    if (r == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for a leaf hash"); }
    return leaf(r, ordinal, line, out, err);
}

void kluis_derived_id(const uint8_t package_id[32], uint64_t ordinal, char out[KLUIS_DERIVED_ID])
{
    static const char label[] = "chatkluis-derived-id-v1";
    uint8_t in[sizeof label + 32 + 8], digest[32];
    memcpy(in, label, sizeof label); /* its NUL is part of the text */
    memcpy(in + sizeof label, package_id, 32);
    u64be(ordinal, in + sizeof label + 32);
    kluis_sha256_of(in, sizeof in, digest);
    out[0] = 'd';
    out[1] = '-';
    kluis_base32(digest, 16, out + 2);
}
