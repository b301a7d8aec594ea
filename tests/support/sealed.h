/* tests/support/sealed.h - sealed packages and receipts of our own making; the chat and its people are invented. */
#ifndef KLUIS_TESTS_SEALED_H
#define KLUIS_TESTS_SEALED_H

#include "kluis/package.h"
#include "kluis/validation.h"
#include "tests/support/pki.h"

struct sealed_options {
    unsigned records;  /* 0: 5 */
    size_t attachment; /* bytes of one incompressible attachment; 0: none */
    size_t text;       /* letters a message has; 0: a short sentence */
    bool stamped;
    const char *device;              /* NULL: PKI_DEVICE */
    struct kluis_bytes signature;    /* instead of the device's own */
    struct kluis_bytes sign_instead; /* content to sign in the manifest's place */
    int level;
    uint64_t sequence;
    const uint8_t *previous; /* 0: 1; NULL: none */
    uint8_t salt;            /* 0: 0x5a; other salt, other package */
    /* A chat of the test's own: these records (records is ignored) under this header, whose salt is set here; NULL: the usual one. */
    const struct kluis_header *header;
    const struct kluis_record *given;
    size_t n_given;
    const char *twin_type; /* the attachment once more, as this media type and under another name; both belong to the second record */
    int64_t closed_us;     /* of the slice; 0: a month after the first message */
};
struct sealed {
    int fd;
    uint8_t id[32], root[32], device[32];
    uint64_t size;
};
/* An unlinked temporary file; the caller closes fd. */
struct sealed sealed_package(const struct pki *p, const struct sealed_options *o);
void sealed_bytes(const struct sealed *s, struct kluis_buf *out);

struct receipt_options {
    bool stamped;
    const struct pki_party *sealer, *sealer_issuer; /* NULL: the seal, by the root, not embedded */
    const uint8_t *log_seed;                        /* NULL: the log's own */
    bool other_root;                                /* the path leads elsewhere */
    bool say_otherwise;                             /* "stamped" for pending and the reverse */
};
/* A log of 100 leaves, ours the 42nd. */
void sealed_receipt(const struct pki *p, const struct sealed *s, const struct receipt_options *o, struct kluis_buf *json);

#endif
