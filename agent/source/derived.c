/* derived.c - see derived.h. */
#include "agent/source/derived.h"

#include <assert.h>

struct kept {
    uint8_t name[32], key[DERIVED_KEY];
    uint64_t used; /* 0: free */
};

static struct kept *all; /* DERIVED_KEPT of them, in secret memory; NULL: none yet */
static uint64_t uses, made;

uint64_t derived_keys_made(void) { return made; }

void derived_forget(void)
{
    kluis_secret_free(all, DERIVED_KEPT * sizeof *all);
    all = NULL;
}

/* Each part with its length, so that no two lists of parts are one text. */
static kluis_status name_of(const char *scheme, const struct kluis_bytes *from, size_t n, uint8_t name[32], struct kluis_err *err)
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    if (h == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again"); }
    kluis_sha256_add(h, scheme, strlen(scheme) + 1);
    for (size_t i = 0; i < n; i++) {
        uint64_t len = from[i].len;
        kluis_sha256_add(h, &len, sizeof len);
        if (len > 0) { kluis_sha256_add(h, from[i].ptr, from[i].len); }
    }
    kluis_sha256_end(h, name);
    return KLUIS_OK;
}

kluis_status derived_key(const char *scheme, const struct kluis_bytes *from, size_t n, derived_fn *derive, const void *ctx, uint8_t out[DERIVED_KEY],
                         struct kluis_err *err)
{
    uint8_t name[32];
    assert(n <= DERIVED_FROM_MAX);
    KLUIS_TRY(name_of(scheme, from, n, name, err));
    if (all == NULL) { all = kluis_secret_new(DERIVED_KEPT * sizeof *all); }
    struct kept *place = all; /* where it is, else the longest unused */
    for (size_t i = 0; all != NULL && i < DERIVED_KEPT; i++) {
        if (all[i].used > 0 && memcmp(all[i].name, name, sizeof name) == 0) {
            place = &all[i];
            break;
        }
        if (all[i].used < place->used) { place = &all[i]; }
    }
    if (place == NULL) { return KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of locked memory for a key; try again"); }
    if (place->used == 0 || memcmp(place->name, name, sizeof name) != 0) {
        kluis_wipe(place, sizeof *place);
        kluis_status rc = derive(ctx, place->key, err);
        if (rc != KLUIS_OK) {
            kluis_wipe(place, sizeof *place);
            return rc;
        }
        made++;
        memcpy(place->name, name, sizeof name);
    }
    place->used = ++uses;
    memcpy(out, place->key, DERIVED_KEY);
    return KLUIS_OK;
}
