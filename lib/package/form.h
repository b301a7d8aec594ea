/* form.h - the bytes of the package form that writer and reader must agree on.  Never leaves the folder.
 *
 * Everything here is a function of facts: the writer writes it, the reader makes it again from what it read and compares. */
#ifndef PACKAGE_FORM_H
#define PACKAGE_FORM_H

#include "kluis/package.h"

enum {
    FORM_LOCAL = 30,
    FORM_CENTRAL = 46,
    FORM_END = 22, /* fixed parts of the zip headers, bytes */
    FORM_STORED = 0,
    FORM_DEFLATED = 8,
    FORM_LOSSES_MAX = 256, /* distinct loss tokens of a package     */
    FORM_TOKEN_MAX = 64,
    FORM_ORGANISATION_MAX = 1024,
    FORM_DEVICE_MAX = 63,
    FORM_SAFE_MAX = 100 /* of an attachment's name after "a<n>-" */
};

#define FORM_MIMETYPE "application/vnd.etsi.asic-e+zip"
#define FORM_BAGIT "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
#define FORM_SIDECAR ".bestand.mdto.xml"
#define FORM_ASIC_MANIFEST "META-INF/ASiCManifest001.xml"
#define FORM_SIGNATURE "META-INF/signature001.p7s"
#define FORM_SEAL_MANIFEST "META-INF/ASiCManifest002.xml"
#define FORM_SEAL "META-INF/signature002.p7s"
#define FORM_EVIDENCE_MANIFEST "META-INF/ASiCEvidenceRecordManifest001.xml"
#define FORM_EVIDENCE "META-INF/evidencerecord001.ers"

struct form_entry {
    const char *name; /* lives in the arena of the list's owner */
    uint16_t method;
    uint32_t crc, packed, size, offset;
    uint8_t sha256[32];
};
struct form_entries {
    struct form_entry *list;
    size_t n, cap;
};
/* Room for one more at the end, zeroed; NULL: no memory.  The list is freed with kluis_free. */
struct form_entry *form_entries_add(struct form_entries *e);

struct form_clock {
    uint16_t time, date;
};
/* DOS time of an instant; false outside 1980..2107 or not whole seconds. */
bool form_dos_time(int64_t us, struct form_clock *out);

void form_local(uint8_t out[FORM_LOCAL], const struct form_entry *e, struct form_clock c);
void form_central(uint8_t out[FORM_CENTRAL], const struct form_entry *e, struct form_clock c);
void form_end(uint8_t out[FORM_END], size_t n, uint32_t size, uint32_t offset);
uint32_t form_crc32(uint32_t crc, const void *p, size_t n);

/* "gesprek-" and 32 hex digits; the directory's name is its first 20 characters (12 digits).  "" when out of memory. */
enum { FORM_DOSSIER_ID = 41, FORM_DOSSIER_DIR = 21, FORM_PART_DIR = 24 };
void form_dossier_id(struct kluis_str device, struct kluis_str platform, struct kluis_str conversation, char out[FORM_DOSSIER_ID]);

bool form_is_device(struct kluis_str s);       /* 1..63 of A-Z a-z 0-9 - */
bool form_is_organisation(struct kluis_str s); /* not blank, no control characters, valid UTF-8 */
/* One path component of ours: 1..160 of A-Z a-z 0-9 . _ -, no '.' at either end. */
bool form_is_name(const char *p, size_t n);

/* ---- bag-info.txt ---- */
struct form_bag {
    struct kluis_str organisation, device;
    uint64_t sequence;
    uint8_t previous[32];
    unsigned part;
    int64_t closed_us, first_us, last_us; /* the last two may be absent, both or none */
    uint64_t records;
    uint8_t records_root[32];
    uint64_t payload_bytes, payload_files;
};
void form_bag_info(const struct form_bag *b, struct kluis_buf *out);
/* E_REJECT unless text is exactly what form_bag_info makes of the result. Strings are views into text. */
KLUIS_MUSTUSE kluis_status form_bag_info_read(struct kluis_str text, struct form_bag *out, struct kluis_err *err);

/* ---- who lists what, all in file order ---- */
void form_payload_manifest(const struct form_entries *e, struct kluis_buf *out);
void form_tag_manifest(const struct form_entries *e, struct kluis_buf *out);
void form_asic_manifest(const struct form_entries *e, struct kluis_buf *out);
/* Of an export: both list every file before them but mimetype. */
void form_seal_manifest(const struct form_entries *e, struct kluis_buf *out);
void form_evidence_manifest(const struct form_entries *e, struct kluis_buf *out);

/* ---- loss.json ---- */
struct form_losses {
    struct {
        char token[FORM_TOKEN_MAX + 1];
        uint64_t count;
    } list[FORM_LOSSES_MAX];
    size_t n;
};
struct form_loss_summary {
    struct form_losses records, attachments;
};
KLUIS_MUSTUSE kluis_status form_loss_count(struct form_loss_summary *s, const struct kluis_record *r, struct kluis_err *err);
void form_loss_json(const struct form_loss_summary *s, const struct kluis_header *h, struct kluis_buf *out);

/* ---- attachments by digest: every one named by a record, every named one there ---- */
struct form_attachment {
    uint8_t sha256[32];
    uint64_t size;
    uint32_t entry;
    bool named;
};
struct form_attachments {
    struct form_attachment *list;
    size_t n, cap;
    bool sorted;
};
KLUIS_MUSTUSE kluis_status form_attachments_add(struct form_attachments *a, const uint8_t sha256[32], uint64_t size, uint32_t entry,
                                                struct kluis_err *err);
const struct form_attachment *form_attachments_find(const struct form_attachments *a, const uint8_t sha256[32]); /* before sorting: linear */
void form_attachments_sort(struct form_attachments *a);
KLUIS_MUSTUSE kluis_status form_attachments_name(struct form_attachments *a, const struct kluis_record *r, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status form_attachments_all_named(const struct form_attachments *a, struct kluis_err *err);

#endif
