/* kluis/ledger.h - RFC 6962 hashing and proofs, C2SP signed checkpoints and tlog-proofs.  Pure computation.
 *
 * Sources: RFC 6962 §2.1, RFC 9162 §2.1.3-2.1.4 (verification algorithms), C2SP signed-note, tlog-checkpoint,
 * tlog-tiles, tlog-proof v1, tlog-cosignature.  Depends on base alone (Ed25519 by libgcrypt).
 */
#ifndef KLUIS_LEDGER_H
#define KLUIS_LEDGER_H

#include "kluis/base.h"

typedef struct kluis_hash {
    uint8_t b[32];
} kluis_hash;

void kluis_leaf_hash(const void *data, size_t n, kluis_hash *out); /* SHA-256(0x00 || data) */
void kluis_node_hash(const kluis_hash *left, const kluis_hash *right, kluis_hash *out);
void kluis_empty_head(kluis_hash *out); /* SHA-256("") */

/* Compact range: everything needed to go on appending. */
enum { KLUIS_TREE_LEVELS = 64, KLUIS_PROOF_MAX = 128 };
struct kluis_tree {
    uint64_t size;
    kluis_hash peak[KLUIS_TREE_LEVELS];
}; /* peak[l] valid where bit l of size is set */
void kluis_tree_init(struct kluis_tree *t);
/* Appends a leaf hash.  `node` (may be NULL) is told every complete node made: (level, index, hash), leaf first. */
void kluis_tree_append(struct kluis_tree *t, const kluis_hash *leaf, void (*node)(void *ctx, unsigned level, uint64_t index, const kluis_hash *h),
                       void *ctx);
/* Appends all leaves of `part`, a tree of its own: as appending them one by one.  t->size is a multiple of every complete subtree in it. */
void kluis_tree_join(struct kluis_tree *t, const struct kluis_tree *part);
void kluis_tree_head(const struct kluis_tree *t, kluis_hash *out);

/* Proof making: `get` fetches complete node (level, index) of the tree; level 0 are the leaf hashes. */
struct kluis_nodes {
    void *ctx;
    kluis_status (*get)(void *ctx, unsigned level, uint64_t index, kluis_hash *out, struct kluis_err *err);
};
KLUIS_MUSTUSE kluis_status kluis_prove_inclusion(const struct kluis_nodes *nodes, uint64_t index, uint64_t size, kluis_hash proof[KLUIS_PROOF_MAX],
                                                 size_t *n, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_prove_consistency(const struct kluis_nodes *nodes, uint64_t from, uint64_t to, kluis_hash proof[KLUIS_PROOF_MAX],
                                                   size_t *n, struct kluis_err *err);
/* OK or E_REJECT. */
KLUIS_MUSTUSE kluis_status kluis_check_inclusion(const kluis_hash *leaf, uint64_t index, uint64_t size, const kluis_hash *proof, size_t n,
                                                 const kluis_hash *head, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_check_consistency(uint64_t from, uint64_t to, const kluis_hash *from_head, const kluis_hash *to_head,
                                                   const kluis_hash *proof, size_t n, struct kluis_err *err);

/* ---- keys and checkpoints --------------------------------------------------------------------
 * A vkey is "<origin>+<8 hex key id>+<base64(0x01 || 32-byte public key)>" (C2SP signed-note). */
enum { KLUIS_ORIGIN_MAX = 128, KLUIS_VKEY_MAX = 256, KLUIS_CHECKPOINT_MAX = 16384, KLUIS_TLOG_PROOF_MAX = 65536, KLUIS_LEAF_MAX = 4096 };
KLUIS_MUSTUSE kluis_status kluis_ledger_keygen(uint8_t seed[32], uint8_t public_key[32], struct kluis_err *err); /* seed: secret */
KLUIS_MUSTUSE kluis_status kluis_ledger_public(const uint8_t seed[32], uint8_t public_key[32], struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_vkey_write(const char *origin, const uint8_t public_key[32], char out[KLUIS_VKEY_MAX], struct kluis_err *err);

struct kluis_checkpoint {
    char origin[KLUIS_ORIGIN_MAX];
    uint64_t since; /* of a log that began anew (docs/FORMAT.md §7.5): Unix seconds of that; 0: never.  Set by reading, not written */
    uint64_t size;
    kluis_hash head;
};
/* "<name>/since-<seconds>": the origin of the log `name` after it began anew, signed with the same key; since 0: `name` itself.  E_USAGE: too long.
 */
KLUIS_MUSTUSE kluis_status kluis_origin_since(const char *name, uint64_t since, char out[KLUIS_ORIGIN_MAX], struct kluis_err *err);
/* Text of a signed checkpoint: body, blank line, one signature line by `seed`. */
KLUIS_MUSTUSE kluis_status kluis_checkpoint_sign(const struct kluis_checkpoint *c, const uint8_t seed[32], struct kluis_buf *out,
                                                 struct kluis_err *err);
/* Verifies the signature of `vkey` among those present (others are ignored); E_REJECT when it is missing or wrong, or the
 * origin is neither the vkey's name nor that of its log begun anew. */
KLUIS_MUSTUSE kluis_status kluis_checkpoint_open(struct kluis_str text, const char *vkey, struct kluis_checkpoint *out, struct kluis_err *err);
/* The checkpoint as this log signed it: body, empty line and the log's own line, without what witnesses added later.  It is
 * what the vault's seal covers.  Verifies like kluis_checkpoint_open. */
KLUIS_MUSTUSE kluis_status kluis_checkpoint_own(struct kluis_str text, const char *vkey, struct kluis_buf *out, struct kluis_err *err);
/* Cosignatures (type 0x04) of these witness vkeys that verify: counts distinct ones. */
KLUIS_MUSTUSE kluis_status kluis_checkpoint_witnesses(struct kluis_str text, const char *const *vkeys, size_t n, size_t *valid,
                                                      struct kluis_err *err);

/* ---- tlog-proof v1 ---- */
KLUIS_MUSTUSE kluis_status kluis_tlog_proof_write(uint64_t index, const kluis_hash *proof, size_t n, struct kluis_str checkpoint,
                                                  struct kluis_buf *out, struct kluis_err *err);
/* Checks leaf data against proof text and log key; *out is the checkpoint proven against. */
KLUIS_MUSTUSE kluis_status kluis_tlog_proof_check(struct kluis_str proof, struct kluis_bytes leaf_data, const char *vkey,
                                                  struct kluis_checkpoint *out, uint64_t *index, struct kluis_str *checkpoint_text,
                                                  struct kluis_err *err);

/* ---- leaf data (docs/FORMAT.md §7): text, no content --------------------------------------------
 * "chatkluis-leaf-v1\npackage <hex>\nrecords-root <hex>\ndevice <hex>\nverdict <word>\ntime <RFC 3339 Z>\n".  Other leaf kinds
 * (statements of later versions) begin with another first line and are opaque here. */
struct kluis_leaf {
    uint8_t package[32], records_root[32], device[32]; /* device: SHA-256 of its certificate */
    char verdict[32];                                  /* "valid" or "indeterminate": a refusal has no leaf here */
    int64_t received_us;                               /* whole seconds */
};
KLUIS_MUSTUSE kluis_status kluis_leaf_write(const struct kluis_leaf *l, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_leaf_read(struct kluis_str text, struct kluis_leaf *out, struct kluis_err *err);
/* The first leaf of a log that began anew: "chatkluis-log-v1\nsince <seconds>\nsize <decimal>\nhead <hex>\n", where it went on from. */
struct kluis_log_leaf {
    uint64_t since, size;
    kluis_hash head;
};
KLUIS_MUSTUSE kluis_status kluis_log_leaf_write(const struct kluis_log_leaf *l, struct kluis_buf *out, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_log_leaf_read(struct kluis_str text, struct kluis_log_leaf *out, struct kluis_err *err);

#endif
