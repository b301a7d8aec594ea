/* protobuf.c - the wire reader of protobuf.h.
 */
#include "agent/source/protobuf.h"

struct pb pb_open(struct kluis_bytes message)
{
    static const uint8_t nothing = 0;
    const uint8_t *p = message.ptr != NULL ? message.ptr : &nothing;
    return (struct pb){ p, p + (message.ptr != NULL ? message.len : 0) };
}

bool pb_varint(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;
    const uint8_t *q = *p;
    for (unsigned shift = 0; q < end && shift < 64; shift += 7) {
        uint8_t b = *q++;
        if (shift == 63 && b > 1) { return false; } /* more than 64 bits */
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = v;
            *p = q;
            return true;
        }
    }
    return false;
}

static bool fixed(struct pb *m, unsigned n, uint64_t *out)
{
    if ((size_t)(m->end - m->p) < n) { return false; }
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) { v |= (uint64_t)m->p[i] << (8 * i); }
    m->p += n;
    *out = v;
    return true;
}

int pb_next(struct pb *m, struct pb_field *f)
{
    uint64_t key, n;
    memset(f, 0, sizeof *f);
    if (m->p == m->end) { return 0; }
    if (!pb_varint(&m->p, m->end, &key) || key >> 3 == 0 || key >> 3 > (1U << 29) - 1) { return -1; }
    f->number = (uint32_t)(key >> 3);
    f->type = (enum pb_type)(key & 7);
    switch (f->type) {
    case PB_VARINT: return pb_varint(&m->p, m->end, &f->value) ? 1 : -1;
    case PB_FIXED64: return fixed(m, 8, &f->value) ? 1 : -1;
    case PB_FIXED32: return fixed(m, 4, &f->value) ? 1 : -1;
    case PB_BYTES:
        if (!pb_varint(&m->p, m->end, &n) || n > (uint64_t)(m->end - m->p)) { return -1; }
        f->bytes = (struct kluis_bytes){ m->p, (size_t)n };
        m->p += n;
        return 1;
    default: return -1;
    }
}
