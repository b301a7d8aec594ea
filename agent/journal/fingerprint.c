/* agent/journal/fingerprint.c - a record's keyed fingerprint.  See journal.h.
 *
 * With a platform id: the id, and apart from it the content, so that a later edit is a new record.  Without: text and kind;
 * author apart.  Party indexes and attachment names may differ between exports of one chat, so neither decides. */
#include "agent/journal/journal.h"

#include <endian.h>

/* SipHash-2-4 (Aumasson and Bernstein, 2012), streaming, so that no text is copied to be hashed. */
struct sip {
    uint64_t v0, v1, v2, v3, tail;
    size_t n;
};

static inline uint64_t rotl(uint64_t x, unsigned b) { return x << b | x >> (64 - b); }

static inline __attribute__((always_inline)) void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13);
    s->v1 ^= s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16);
    s->v3 ^= s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21);
    s->v3 ^= s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17);
    s->v1 ^= s->v2;
    s->v2 = rotl(s->v2, 32);
}

static uint64_t le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static void sip_start(struct sip *s, const uint8_t key[16])
{
    uint64_t k0 = le64(key), k1 = le64(key + 8);
    *s = (struct sip){ k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u, 0, 0 };
}

static void sip_word(struct sip *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    sip_round(s);
    s->v0 ^= m;
}

static void sip_add(struct sip *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    unsigned held = 8 * (unsigned)(s->n & 7); /* bits in the tail */
    s->n += n;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t m = le64(p);
        sip_word(s, s->tail | m << held);
        s->tail = held == 0 ? 0 : m >> (64 - held);
    }
    for (; n > 0; n--) {
        s->tail |= (uint64_t)*p++ << held;
        held += 8;
        if (held < 64) { continue; }
        sip_word(s, s->tail);
        s->tail = 0;
        held = 0;
    }
}

static uint64_t sip_end(struct sip *s)
{
    sip_word(s, s->tail | (uint64_t)(s->n & 0xff) << 56);
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++) { sip_round(s); }
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t journal_siphash(const uint8_t key[16], const void *p, size_t n)
{
    struct sip s;
    sip_start(&s, key);
    sip_add(&s, p, n);
    return sip_end(&s);
}

static void add_u64(struct sip *s, uint64_t v)
{
    v = htole64(v);
    sip_add(s, &v, sizeof v);
}

/* Length first: no two lists of fields give one byte string.  Absent is not empty. */
static void add_str(struct sip *s, struct kluis_str v)
{
    add_u64(s, v.ptr == NULL ? UINT64_MAX : v.len);
    if (v.ptr != NULL && v.len > 0) { sip_add(s, v.ptr, v.len); }
}

static void add_party(struct sip *s, const struct kluis_header *h, uint32_t party)
{
    struct kluis_str v = { NULL, 0 };
    if (party < h->n_parties) {
        const struct kluis_party *p = &h->parties[party];
        v = p->id.ptr != NULL ? p->id : p->number.ptr != NULL ? p->number : p->name;
    }
    add_str(s, v);
}

static void add_content(struct sip *s, const struct kluis_record *r)
{
    add_str(s, r->text);
    add_str(s, (struct kluis_str){ (const char *)r->text_raw.ptr, r->text_raw.len });
    add_str(s, r->value);
    add_str(s, r->event);
    add_u64(s, r->n_options);
    for (size_t i = 0; i < r->n_options; i++) { add_str(s, r->options[i]); }
}

uint64_t journal_identity(const struct home *h, enum kluis_kind kind, struct kluis_str id)
{
    struct sip s;
    sip_start(&s, h->secret + HOME_KEY);
    add_u64(&s, (uint64_t)kind);
    add_str(&s, id);
    return sip_end(&s);
}

/* How a reader of texts without ids writes a line that is marked as edited (docs/sources/whatsapp-text.md). */
static bool edited_without_original(const struct kluis_record *r)
{
    bool edited = false, unknown = false;
    if (r->kind != KLUIS_MESSAGE || r->id.ptr != NULL || r->target.ptr != NULL) { return false; }
    for (size_t i = 0; i < r->n_fields; i++) { edited = edited || (r->fields[i].is_int && kluis_str_is(r->fields[i].name, "edited")); }
    for (size_t i = 0; i < r->n_loss; i++) { unknown = unknown || kluis_str_is(r->loss[i], JOURNAL_NO_ORIGINAL); }
    return edited && unknown;
}

void journal_entry(const struct home *h, const struct kluis_header *header, const struct kluis_record *r, struct align_entry *out)
{
    const uint8_t *key = h->secret + HOME_KEY;
    struct sip s;
    size_t with_bytes = 0;
    *out = (struct align_entry){ .t = 0, .has_id = r->id.ptr != NULL, .kind = (uint8_t)(r->kind + 1), .edited = edited_without_original(r) };
    if (r->sent.us != KLUIS_TIME_ABSENT) { out->t = r->sent.us / 1000000 - (r->sent.us % 1000000 < 0); }
    if (out->has_id) {
        out->fp = journal_identity(h, r->kind, r->id);
    } else {
        sip_start(&s, key);
        add_u64(&s, (uint64_t)r->kind);
        add_content(&s, r);
        out->fp = sip_end(&s);
    }

    sip_start(&s, key + 16);
    add_party(&s, header, r->author);
    if (out->has_id) {
        add_content(&s, r);
        add_str(&s, r->target);
        add_str(&s, r->quote);
        add_u64(&s, (uint64_t)r->sent.us);
        add_u64(&s, r->n_attachments);
    }
    out->tag = (uint32_t)sip_end(&s);

    sip_start(&s, key);
    for (size_t i = 0; i < r->n_attachments; i++) {
        add_str(&s, r->attachments[i].name);
        if (r->attachments[i].source_ref.ptr != NULL && r->attachments[i].loss.ptr == NULL) { with_bytes++; }
    }
    out->hint = (uint16_t)sip_end(&s);
    out->level = (uint8_t)(with_bytes > UINT8_MAX ? UINT8_MAX : with_bytes);
}
