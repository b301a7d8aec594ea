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
#define JUDGED_LABEL "chatkluis-judged-v2"
#define JUDGE_LABEL "chatkluis-judge-v2"
enum { OPENER_TEXT_MAX = 192 << 20, JUDGE_ANCHORS_MAX = 64, JUDGE_TOGETHER_MAX = 64 };

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

/* Opens the ciphertext behind fd with its key in a fresh child; in a second one when the first gave no whole answer: it may have been ended by a
 * machine without memory, or one that stood still for its whole time, which is no package's fault.  OK; E_REJECT: refused, out->layer and out->reason
 * say why; anything else is local: try again.  `result` is cleared first and holds what *out borrows. */
KLUIS_MUSTUSE kluis_status opener_run(struct zygote *z, int fd, const uint8_t key[32], struct kluis_buf *result, struct opened *out,
                                      struct kluis_err *err);

/* One signature to be judged, and what became of it. */
struct judging {
    struct kluis_bytes manifest, signature; /* borrowed during the call                                           */
    struct kluis_seal_verdict verdict;      /* INVALID everywhere until `judged`; then on exactly this manifest    */
    bool judged;                            /* false: a judge died or said nonsense, verdict.reason says so: refuse */
};
struct judge_anchors { /* borrowed */
    const struct kluis_bytes *device, *time;
    size_t n_device, n_time;
};
/* Judges devices' CAdES over their manifests, as many in one fresh child as fit a request.  The caller gives only signatures that one
 * device's session brought: a judge that one of them took over can speak for that device alone, and what gets no verdict
 * is judged once more in a child of its own, so that no signature is refused for its neighbour or for what the machine lacked.
 * OK: look at each.  Anything else is local: try again. */
KLUIS_MUSTUSE kluis_status judge_run(struct zygote *z, const struct judge_anchors *anchors, struct judging *list, size_t n, int64_t at_us,
                                     struct kluis_err *err);

#endif
