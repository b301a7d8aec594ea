/* server/index/map.c - row numbers to places: open addressing, twice as large as what is in it.  See internal.h. */
#include "server/index/internal.h"

static size_t slot_of(const struct imap *m, int64_t key)
{
    size_t i = (size_t)((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (m->cap - 1);
    while (m->slot[i].key != 0 && m->slot[i].key != key) { i = (i + 1) & (m->cap - 1); }
    return i;
}

bool imap_get(const struct imap *m, int64_t key, size_t *value)
{
    if (m->n == 0) { return false; }
    size_t i = slot_of(m, key);
    if (m->slot[i].key == 0) { return false; }
    if (value != NULL) { *value = m->slot[i].value; }
    return true;
}

kluis_status imap_put(struct imap *m, int64_t key, size_t value, struct kluis_err *err)
{
    if (2 * (m->n + 1) > m->cap) {
        struct imap wide = { .cap = m->cap == 0 ? 256 : m->cap * 2 };
        wide.slot = kluis_calloc(wide.cap, sizeof *wide.slot);
        if (wide.slot == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory"); }
        for (size_t i = 0; i < m->cap; i++) {
            if (m->slot[i].key != 0) { wide.slot[slot_of(&wide, m->slot[i].key)] = m->slot[i]; }
        }
        wide.n = m->n;
        kluis_free(m->slot);
        *m = wide;
    }
    size_t i = slot_of(m, key);
    m->n += m->slot[i].key == 0;
    m->slot[i].key = key;
    m->slot[i].value = value;
    return KLUIS_OK;
}

void imap_clear(struct imap *m)
{
    kluis_free(m->slot);
    *m = (struct imap){ 0 };
}
