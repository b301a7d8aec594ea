/* tests/support/gate_bodies.h - bodies of requests of the vault, as a vault makes them; every step asserts. */
#ifndef KLUIS_TESTS_GATE_BODIES_H
#define KLUIS_TESTS_GATE_BODIES_H

#include "kluis/base.h"

/* A checkpoint over the first n of the leaves, of the log "log.test/2026". */
void gate_body_checkpoint(const uint8_t log_seed[32], const struct kluis_str *leaves, size_t n, struct kluis_buf *out);
/* Leaves [from, to) under a checkpoint over the first `covered`. */
void gate_body_mirror(const uint8_t log_seed[32], uint64_t from, const struct kluis_str *leaves, size_t to, size_t covered, struct kluis_buf *out);
/* One answer more; the label comes with the first.  id: of the message, hexadecimal. */
void gate_body_outbox(struct kluis_buf *body, uint64_t tree, const char *device, const char *id, const char *text);
void gate_body_done(struct kluis_buf *body, const uint64_t *numbers, size_t n);
void gate_body_device(struct kluis_buf *body, struct kluis_bytes spki, uint32_t state);
/* A bundle of zeros under "seal", with `count` prekeys numbered from `first` on, whose second byte is their number. */
void gate_body_bundle(struct kluis_buf *body, uint64_t epoch, uint64_t expiry, uint32_t first, uint32_t count);
/* Of what GET /v1/bundle gives: the number of the prekey in it, 0: none. */
uint32_t gate_body_prekey(struct kluis_bytes bundle);
/* Entries of the register's journal from number `from` on. */
void gate_body_journal(struct kluis_buf *body, uint64_t from, const char *const *entries, size_t n);
/* n bytes that differ from place to place. */
struct kluis_bytes gate_body_pattern(struct kluis_buf *b, size_t n, uint32_t seed);

#endif
