/* tests/support/gate_bodies.c - see gate_bodies.h. */
#include "tests/support/gate_bodies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "kluis/ledger.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)

void gate_body_checkpoint(const uint8_t log_seed[32], const struct kluis_str *leaves, size_t n, struct kluis_buf *out)
{
    struct kluis_tree tree;
    kluis_tree_init(&tree);
    for (size_t i = 0; i < n; i++) {
        kluis_hash h;
        kluis_leaf_hash(leaves[i].ptr, leaves[i].len, &h);
        kluis_tree_append(&tree, &h, NULL, NULL);
    }
    struct kluis_checkpoint c = { .origin = "log.test/2026", .size = n };
    kluis_tree_head(&tree, &c.head);
    OK(kluis_checkpoint_sign(&c, log_seed, out, NULL));
}

void gate_body_mirror(const uint8_t log_seed[32], uint64_t from, const struct kluis_str *leaves, size_t to, size_t covered, struct kluis_buf *out)
{
    KLUIS_AUTO_BUF(checkpoint, KLUIS_CHECKPOINT_MAX);
    gate_body_checkpoint(log_seed, leaves, covered, &checkpoint);
    kluis_wire_label(out, "chatkluis-mirror-v1");
    kluis_wire_u64(out, from);
    kluis_wire_field(out, checkpoint.data, checkpoint.len);
    kluis_wire_str(out, KLUIS_STR_LIT("seal"));
    for (size_t i = (size_t)from; i < to; i++) { kluis_wire_str(out, leaves[i]); }
    OK(kluis_buf_ok(out, NULL));
}

void gate_body_outbox(struct kluis_buf *body, uint64_t tree, const char *device, const char *id, const char *text)
{
    uint8_t raw[16];
    assert_true(kluis_unhex(kluis_str_of(id), raw, sizeof raw));
    if (body->len == 0) { kluis_wire_label(body, "chatkluis-outbox-v1"); }
    kluis_wire_u64(body, tree);
    kluis_wire_str(body, kluis_str_of(device));
    kluis_wire_field(body, raw, sizeof raw);
    kluis_wire_str(body, kluis_str_of(text));
}

void gate_body_done(struct kluis_buf *body, const uint64_t *numbers, size_t n)
{
    kluis_wire_label(body, "chatkluis-done-v1");
    for (size_t i = 0; i < n; i++) { kluis_wire_u64(body, numbers[i]); }
}

void gate_body_device(struct kluis_buf *body, struct kluis_bytes spki, uint32_t state)
{
    kluis_wire_label(body, "chatkluis-device-v1");
    kluis_wire_field(body, spki.ptr, spki.len);
    kluis_wire_u32(body, state);
}

void gate_body_bundle(struct kluis_buf *body, uint64_t epoch, uint64_t expiry, uint32_t first, uint32_t count)
{
    KLUIS_AUTO_BUF(bundle, 4096);
    const uint8_t zero[64] = { 0 };
    kluis_wire_label(&bundle, "chatkluis-prekeys-v1");
    kluis_wire_field(&bundle, zero, 33);
    kluis_wire_u32(&bundle, 1);
    kluis_wire_u32(&bundle, 1);
    kluis_wire_field(&bundle, zero, 33);
    kluis_wire_field(&bundle, zero, 64);
    kluis_wire_u64(&bundle, epoch);
    kluis_wire_u64(&bundle, expiry);
    kluis_wire_label(body, "chatkluis-bundle-publish-v1");
    kluis_wire_field(body, bundle.data, bundle.len);
    kluis_wire_str(body, KLUIS_STR_LIT("seal"));
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[33] = { 5, (uint8_t)(first + i) };
        kluis_wire_u32(body, first + i);
        kluis_wire_field(body, key, sizeof key);
    }
}

uint32_t gate_body_prekey(struct kluis_bytes bundle)
{
    struct kluis_wire w = kluis_wire_open(bundle);
    assert_true(kluis_wire_is(&w, "chatkluis-bundle-v1"));
    (void)kluis_wire_get(&w, 1024);
    assert_int_equal(kluis_wire_get(&w, 1024).len, 4);
    uint32_t id = kluis_wire_get_u32(&w);
    struct kluis_bytes key = kluis_wire_get(&w, 33);
    assert_int_equal(kluis_wire_end(&w, "bundle", NULL), KLUIS_OK);
    assert_int_equal(key.len, id == 0 ? 0 : 33);
    if (id != 0) { assert_int_equal(key.ptr[1], id); }
    return id;
}

void gate_body_journal(struct kluis_buf *body, uint64_t from, const char *const *entries, size_t n)
{
    kluis_wire_label(body, "chatkluis-register-v1");
    kluis_wire_u64(body, from);
    for (size_t i = 0; i < n; i++) { kluis_wire_str(body, kluis_str_of(entries[i])); }
}

struct kluis_bytes gate_body_pattern(struct kluis_buf *b, size_t n, uint32_t seed)
{
    uint8_t *p = kluis_buf_reserve(b, n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (uint8_t)(seed >> 24);
    }
    b->len += n;
    return (struct kluis_bytes){ b->data + b->len - n, n };
}
