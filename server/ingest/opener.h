/* server/ingest/opener.h - the vault's side of opener and judge: ask a walled child, believe nothing it says unchecked.
 *
 * zygote -> [opener, judge] -> keeper.  The opener parses a package's bytes (zip, XML, records), the judge its signature (CMS,
 * tokens).  Each answer is read as hostile input.  Any thread.
 */
#ifndef SERVER_INGEST_OPENER_H
#define SERVER_INGEST_OPENER_H

#include "kluis/package.h"
#include "kluis/seal.h"
#include "server/ingest/zygote.h"

#define OPENED_LABEL "chatkluis-opened-v1"
#define JUDGED_LABEL "chatkluis-judged-v1"
#define JUDGE_LABEL "chatkluis-judge-v1"
enum { OPENER_TEXT_MAX = 192 << 20, JUDGE_ANCHORS_MAX = 64 };

/* What an opener claims.  Views borrow from the result buffer. */
struct opened {
    uint8_t id[32], records_root[32], previous[32];
    uint64_t size, n_records, n_attachments, content_bytes, sequence;
    char device[64];
    int64_t first_us, last_us, closed_us;
    struct kluis_bytes manifest, signature, index; /* index: index_package wire form, not yet read */
    char layer[32], reason[KLUIS_ERR_MSG];         /* of a refusal: printable ASCII                */
};
/* Layers a refusal can name besides those of the package reader. */
#define LAYER_DELIVERY "delivery" /* the delivery and the package disagree         */
#define LAYER_OPENER "opener"     /* the opener died or went beyond its ceilings   */
#define LAYER_JUDGE "judge"       /* the same of the judge                         */
#define LAYER_SIGNATURE "signature"
#define LAYER_CERTIFICATE "certificate"
#define LAYER_TIME "time"

/* Opens the ciphertext behind fd with its key in a fresh child.  OK; E_REJECT: refused, out->layer and out->reason say why; anything
 * else is local: try again.  `result` is cleared first and holds what *out borrows. */
KLUIS_MUSTUSE kluis_status opener_run(struct zygote *z, int fd, const uint8_t key[32], struct kluis_buf *result, struct opened *out,
                                      struct kluis_err *err);

/* Judges a device's CAdES over its manifest.  OK: *out is a verdict on exactly this manifest; E_REJECT: the judge died or said
 * nonsense, out->reason says so; anything else is local. */
KLUIS_MUSTUSE kluis_status judge_run(struct zygote *z, struct kluis_bytes manifest, struct kluis_bytes signature, const struct kluis_bytes *anchors,
                                     size_t n_anchors, const struct kluis_bytes *tsa_anchors, size_t n_tsa, int64_t at_us,
                                     struct kluis_seal_verdict *out, struct kluis_err *err);

#endif
