/* kluis/package.h - one file that is an ASiC-E, a BagIt 1.0 bag and an MDTO-SIP at once (docs/FORMAT.md §4-§6).
 *
 * Two libraries: kluis_package_write (base, record, zlib) and kluis_package_read (adds expat).
 * The writer freezes nothing until finish; the reader trusts nothing until its one pass is over.
 * Sources: EN 319 162-1, RFC 8493, MDTO 1.0 (XSD 1.0.1), PKWARE APPNOTE 6.3.3 as narrowed by FORMAT.md §4.
 */
#ifndef KLUIS_PACKAGE_H
#define KLUIS_PACKAGE_H

#include "kluis/base.h"
#include "kluis/record.h"

enum {
    KLUIS_PACKAGE_RECORDS_MAX = 10000,
    KLUIS_PACKAGE_ENTRIES_MAX = 20000,
    KLUIS_PACKAGE_NAME_MAX = 255,
    KLUIS_MANIFEST_MAX = 8 << 20 /* bytes of one manifest */
};
#define KLUIS_PACKAGE_BYTES_MAX ((uint64_t)2 << 30) /* of content and of container */
/* What an export may add to a package: files, bytes, and bytes of its evidence record. */
enum { KLUIS_EXPORT_ENTRIES = 4, KLUIS_EXPORT_BYTES = 32 << 20, KLUIS_EXPORT_EVIDENCE_MAX = 4 << 20 };

/* What the organisation and the slice contribute to the MDTO sidecars and bag-info.  Borrowed. */
struct kluis_package_meta {
    const struct kluis_header *header; /* salt filled in                                       */
    struct kluis_str organisation;     /* archiefvormer                                        */
    struct kluis_str organisation_id;  /* its identificatie (e.g. an OIN or NTRNL-…), or absent */
    struct kluis_str device;           /* random device id: bron of identificaties             */
    uint64_t sequence;                 /* the device's package number, from 1                  */
    uint8_t previous[32];              /* package id before it; zero for the first             */
    struct kluis_str retention_class;  /* code from the selection decision, or absent: waardering N, "Nader te bepalen" */
    struct kluis_str retention_label;
    char waardering;                /* 'B', 'V' or 'N'                                      */
    struct kluis_str bewaartermijn; /* xsd:duration, only with V                            */
    int64_t first_us, last_us;      /* dekkingInTijd of the slice                           */
    int64_t closed_us;              /* the slice's closing time, whole seconds: every date inside */
    unsigned part;                  /* 1-based number of this slice in its conversation     */
};

/* ---- writing (one pass, into an empty file) ---------------------------------------------------
 * begin -> attachment* -> records_begin -> record* -> records_end -> manifest -> finish.  After any failure only
 * _free is allowed and the file is worthless. */
struct kluis_package_writer;
/* fd: an empty regular file open for reading and writing, borrowed.  level: zlib 0..9.  meta is copied, what it points to is borrowed until finish.
 * While records are written the file has a hole up to 4 GiB (evidence waits behind it); records_end cuts it off. */
KLUIS_MUSTUSE kluis_status kluis_package_begin(struct kluis_package_writer **out, int fd, int level, const struct kluis_package_meta *meta,
                                               struct kluis_err *err);
/* Streams one attachment in; equal content is stored once.  Gives its digest and size for the record that names it.
 * `name` is the source's name: made safe and unique here (FORMAT.md §5.3). */
KLUIS_MUSTUSE kluis_status kluis_package_attachment(struct kluis_package_writer *w, struct kluis_str name, struct kluis_str media_type,
                                                    const struct kluis_input *in, uint8_t sha256[32], uint64_t *size, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_package_records_begin(struct kluis_package_writer *w, struct kluis_err *err);
/* `raw`: the source's own bytes of this record (line range, row, frame), kept as evidence; may be empty. */
KLUIS_MUSTUSE kluis_status kluis_package_record(struct kluis_package_writer *w, const struct kluis_record *r, struct kluis_bytes raw,
                                                struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_package_records_end(struct kluis_package_writer *w, uint8_t records_root[32], struct kluis_err *err);
/* Writes sidecars, tag files and ASiCManifest001.xml; gives the manifest's bytes: what the device signs. */
KLUIS_MUSTUSE kluis_status kluis_package_manifest(struct kluis_package_writer *w, struct kluis_buf *manifest, struct kluis_err *err);
/* Adds the signature, closes the container.  The caller fsyncs and publishes the file. */
KLUIS_MUSTUSE kluis_status kluis_package_finish(struct kluis_package_writer *w, struct kluis_bytes p7s, uint8_t package_id[32], uint64_t *size,
                                                struct kluis_err *err);
void kluis_package_writer_free(struct kluis_package_writer *w);
KLUIS_DEFINE_CLEANUP(kluis_package_writer)

/* ---- reading (one forward pass over hostile bytes, bounded memory) ---------------------------------
 * Every callback may stop the pass by returning an error.  Nothing they were told is proven until kluis_package_read
 * returned OK; then the package obeys FORMAT.md in full, except for its signature, which is the caller's to judge. */
struct kluis_package_sink {
    void *ctx;
    kluis_status (*header)(void *ctx, const struct kluis_header *h, struct kluis_str line, struct kluis_err *err);
    kluis_status (*record)(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line,
                           struct kluis_err *err); /* ordinal from 1 */
    /* every entry's unpacked bytes in file order: begin, data*, end.  May be NULL. */
    kluis_status (*entry_begin)(void *ctx, const char *name, struct kluis_err *err);
    kluis_status (*entry_data)(void *ctx, const void *p, size_t n, struct kluis_err *err);
    kluis_status (*entry_end)(void *ctx, const char *name, uint64_t size, const uint8_t sha256[32], struct kluis_err *err);
};
/* Result layers, in the order of evidence: the first that is broken names the refusal. */
enum kluis_package_layer { KLUIS_LAYER_CONTAINER, KLUIS_LAYER_MANIFESTS, KLUIS_LAYER_RECORDS, KLUIS_LAYER_METADATA, KLUIS_PACKAGE_LAYERS };
struct kluis_package_facts {
    uint8_t id[32]; /* SHA-256 of the whole file; in an export: of the device's package inside, as it was frozen */
    uint64_t size;  /* of the same */
    uint8_t records_root[32];
    uint64_t n_records; /* without the header */
    uint64_t n_attachments, content_bytes;
    uint64_t sequence;
    uint8_t previous[32];
    char device[64];
    int64_t first_us, last_us, closed_us;
    struct kluis_buf manifest;  /* ASiCManifest001.xml; owned by the caller: kluis_package_facts_clear */
    struct kluis_buf signature; /* signature001.p7s */
    /* Of an export (FORMAT.md §10; kluis_export_read), else empty: */
    struct kluis_buf seal_manifest, seal; /* ASiCManifest002.xml, signature002.p7s: the vault's seal */
    struct kluis_buf evidence;            /* evidencerecord001.ers */
    struct kluis_buf group;               /* with evidence: SHA-256 of each file that it covers, 32 bytes each */
    enum kluis_package_layer failed;      /* meaningful after E_REJECT / E_LIMIT */
};
void kluis_package_facts_init(struct kluis_package_facts *f);
void kluis_package_facts_clear(struct kluis_package_facts *f);
/* E_REJECT / E_LIMIT: refused, facts->failed and *err say where. */
KLUIS_MUSTUSE kluis_status kluis_package_read(const struct kluis_input *in, const struct kluis_package_sink *sink, struct kluis_package_facts *facts,
                                              struct kluis_err *err);
/* The same for a package or an export of one (FORMAT.md §10): what the vault added behind it is read too and must have its one form.
 * lane: hashes large files and the records' root beside the reading, or NULL; it has done all of it on return. */
KLUIS_MUSTUSE kluis_status kluis_export_read(const struct kluis_input *in, struct kluis_lane *lane, const struct kluis_package_sink *sink,
                                             struct kluis_package_facts *facts, struct kluis_err *err);
/* Is this file of an export covered by its evidence record?  All but mimetype and the record's own two. */
bool kluis_export_covers(const char *name);

/* ---- exporting (library kluis_package_export) ---------------------------------------------------
 * begin -> manifest -> seal -> [group -> evidence] -> finish.  The package's own bytes come first, unchanged; only its directory at the
 * end gives way to one that lists more.  After any failure only _free is allowed and the file is worthless. */
struct kluis_export;
/* Reads a device's package to its end, as kluis_package_read does, and writes it to fd: an empty regular file open for reading and
 * writing, borrowed.  facts as of kluis_package_read.  E_REJECT / E_LIMIT: no package, or an export already. */
KLUIS_MUSTUSE kluis_status kluis_export_begin(const struct kluis_input *package, int fd, struct kluis_package_facts *facts, struct kluis_export **out,
                                              struct kluis_err *err);
/* ASiCManifest002.xml: what the seal signs.  It follows from the package alone. */
KLUIS_MUSTUSE kluis_status kluis_export_manifest(struct kluis_export *x, struct kluis_buf *manifest, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_export_seal(struct kluis_export *x, struct kluis_bytes p7s, struct kluis_err *err);
/* The digests that an evidence record over this export is made of: SHA-256, one after the other. */
KLUIS_MUSTUSE kluis_status kluis_export_group(const struct kluis_export *x, struct kluis_buf *digests, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status kluis_export_evidence(struct kluis_export *x, struct kluis_bytes record, struct kluis_err *err);
/* Closes the container.  The caller fsyncs and publishes the file. */
KLUIS_MUSTUSE kluis_status kluis_export_finish(struct kluis_export *x, uint64_t *size, struct kluis_err *err);
void kluis_export_free(struct kluis_export *x);
KLUIS_DEFINE_CLEANUP(kluis_export)

/* Does what would need a system call inside a sandbox, before it closes. */
void kluis_package_warm(void);

#endif
