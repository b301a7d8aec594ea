/* form.c - zip headers and names, as FORMAT.md §4 and §5 fix them. */
#include "form.h"

#include <libdeflate.h>

uint32_t form_crc32(uint32_t crc, const void *p, size_t n) { return libdeflate_crc32(crc, p, n); }

struct form_entry *form_entries_add(struct form_entries *e)
{
    if (e->n == e->cap) {
        size_t cap = e->cap == 0 ? 32 : e->cap * 2;
        struct form_entry *list = kluis_realloc(e->list, cap * sizeof *list);
        if (list == NULL) { return NULL; }
        e->list = list;
        e->cap = cap;
    }
    struct form_entry *added = &e->list[e->n++];
    *added = (struct form_entry){ 0 };
    return added;
}

bool form_dos_time(int64_t us, struct form_clock *out)
{
    const int64_t second = 1000000, day = 86400;
    if (us < 0 || us % second != 0) { return false; }
    int64_t s = us / second, rest = s % day;
    int year = 0, month = 0, mday = 0;
    kluis_civil_from_days(s / day, &year, &month, &mday);
    if (year < 1980 || year > 2107) { return false; }
    out->date = (uint16_t)((year - 1980) << 9 | month << 5 | mday);
    out->time = (uint16_t)(rest / 3600 << 11 | rest / 60 % 60 << 5 | rest % 60 / 2);
    return true;
}

static uint8_t *le16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    return p + 2;
}

static uint8_t *le32(uint8_t *p, uint32_t v) { return le16(le16(p, v & 0xffff), v >> 16); }

/* From "version needed" to "extra length": the same 26 bytes in both headers. */
static uint8_t *common(uint8_t *p, const struct form_entry *e, struct form_clock c)
{
    p = le16(p, e->method == FORM_STORED ? 10 : 20);
    p = le16(p, 0);
    p = le16(p, e->method);
    p = le16(p, c.time);
    p = le16(p, c.date);
    p = le32(p, e->crc);
    p = le32(p, e->packed);
    p = le32(p, e->size);
    p = le16(p, (unsigned)strlen(e->name));
    return le16(p, 0);
}

void form_local(uint8_t out[FORM_LOCAL], const struct form_entry *e, struct form_clock c) { (void)common(le32(out, 0x04034b50), e, c); }

void form_central(uint8_t out[FORM_CENTRAL], const struct form_entry *e, struct form_clock c)
{
    uint8_t *p = le32(out, 0x02014b50);
    p = le16(p, 3 << 8 | 20); /* made by: Unix, 2.0 */
    p = common(p, e, c);
    p = le16(p, 0);                       /* comment            */
    p = le16(p, 0);                       /* disk               */
    p = le16(p, 0);                       /* internal           */
    p = le32(p, (uint32_t)0100644 << 16); /* regular, rw-r--r-- */
    (void)le32(p, e->offset);
}

void form_end(uint8_t out[FORM_END], size_t n, uint32_t size, uint32_t offset)
{
    uint8_t *p = le32(out, 0x06054b50);
    p = le32(p, 0);
    p = le16(p, (unsigned)n);
    p = le16(p, (unsigned)n);
    p = le32(p, size);
    p = le32(p, offset);
    (void)le16(p, 0);
}

void form_dossier_id(struct kluis_str device, struct kluis_str platform, struct kluis_str conversation, char out[FORM_DOSSIER_ID])
{
    static const char label[] = "chatkluis-dossier-v1";
    uint8_t digest[32];
    KLUIS_AUTO_BUF(b, KLUIS_TEXT_MAX + 4096);
    kluis_buf_add(&b, label, sizeof label);
    kluis_buf_str(&b, device);
    kluis_buf_byte(&b, 0);
    kluis_buf_str(&b, platform);
    kluis_buf_byte(&b, 0);
    kluis_buf_str(&b, conversation);
    kluis_sha256_of(b.data, b.len, digest);
    memcpy(out, "gesprek-", 8);
    kluis_hex(digest, 16, out + 8);
    if (b.status != KLUIS_OK) { out[0] = '\0'; }
}

bool form_is_device(struct kluis_str s)
{
    if (s.ptr == NULL || s.len == 0 || s.len > FORM_DEVICE_MAX) { return false; }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')) { return false; }
    }
    return true;
}

bool form_is_organisation(struct kluis_str s)
{
    if (s.ptr == NULL || s.len == 0 || s.len > FORM_ORGANISATION_MAX || kluis_utf8_valid(s.ptr, s.len) != s.len) { return false; }
    if (s.ptr[0] == ' ' || s.ptr[s.len - 1] == ' ') { return false; }
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) { return false; }
    }
    return true;
}

bool form_is_name(const char *p, size_t n)
{
    if (n == 0 || n > 160 || p[0] == '.' || p[n - 1] == '.') { return false; }
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')) { return false; }
    }
    return true;
}

/* ---- attachments by digest -------------------------------------------------------------------- */

kluis_status form_attachments_add(struct form_attachments *a, const uint8_t sha256[32], uint64_t size, uint32_t entry, struct kluis_err *err)
{
    if (a->n == a->cap) {
        size_t cap = a->cap == 0 ? 16 : a->cap * 2;
        struct form_attachment *list = kluis_realloc(a->list, cap * sizeof *list);
        if (list == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory for %zu attachments", cap); }
        a->list = list;
        a->cap = cap;
    }
    struct form_attachment *t = &a->list[a->n++];
    *t = (struct form_attachment){ .size = size, .entry = entry };
    memcpy(t->sha256, sha256, 32);
    return KLUIS_OK;
}

static int by_digest(const void *a, const void *b)
{
    const struct form_attachment *x = a, *y = b;
    return memcmp(x->sha256, y->sha256, 32);
}

void form_attachments_sort(struct form_attachments *a)
{
    if (a->n > 1) { qsort(a->list, a->n, sizeof *a->list, by_digest); }
    a->sorted = true;
}

static struct form_attachment *find(const struct form_attachments *a, const uint8_t sha256[32])
{
    if (a->sorted) {
        struct form_attachment key = { 0 };
        memcpy(key.sha256, sha256, 32);
        return a->n == 0 ? NULL : bsearch(&key, a->list, a->n, sizeof key, by_digest);
    }
    for (size_t i = 0; i < a->n; i++) {
        if (memcmp(a->list[i].sha256, sha256, 32) == 0) { return &a->list[i]; }
    }
    return NULL;
}

const struct form_attachment *form_attachments_find(const struct form_attachments *a, const uint8_t sha256[32]) { return find(a, sha256); }

kluis_status form_attachments_name(struct form_attachments *a, const struct kluis_record *r, struct kluis_err *err)
{
    for (size_t i = 0; i < r->n_attachments; i++) {
        const struct kluis_attachment *t = &r->attachments[i];
        if (!t->has_sha256 || t->loss.ptr != NULL) { continue; } /* with a loss the digest is the source's word about absent bytes */
        struct form_attachment *f = find(a, t->sha256);
        if (f == NULL) { return KLUIS_FAIL(err, KLUIS_E_REJECT, "a record names an attachment that is not in the package"); }
        if (t->size < 0 || f->size != (uint64_t)t->size) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "a record states %lld bytes for an attachment of %llu", (long long)t->size,
                              (unsigned long long)f->size);
        }
        f->named = true;
    }
    return KLUIS_OK;
}

kluis_status form_attachments_all_named(const struct form_attachments *a, struct kluis_err *err)
{
    for (size_t i = 0; i < a->n; i++) {
        if (!a->list[i].named) {
            return KLUIS_FAIL(err, KLUIS_E_REJECT, "an attachment of %llu bytes belongs to no record", (unsigned long long)a->list[i].size);
        }
    }
    return KLUIS_OK;
}
