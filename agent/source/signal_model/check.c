/* check.c - rules of Signal's backups that Signal's own readers refuse an item for, where the source is such a backup.
 *
 * A backup that breaks them was not made by Signal as it is, or was changed afterwards.
 */
#include "agent/source/signal_model/model.h"

enum { ACCOUNT_ID = 16, PACK_ID = 16 };

static bool ends_with(struct kluis_str s, const char *end)
{
    size_t n = strlen(end);
    return s.len >= n && memcmp(s.ptr + s.len - n, end, n) == 0;
}

/* Account ids in an update of a group are 16 bytes, not all zero. */
static bool accounts_ok(const struct json *v)
{
    static const uint8_t zero[ACCOUNT_ID];
    for (const struct json *m = v->child; m != NULL; m = m->next) {
        uint8_t id[ACCOUNT_ID];
        if ((m->type == JSON_OBJECT || m->type == JSON_ARRAY) && !accounts_ok(m)) { return false; }
        if (m->type != JSON_STRING || !(ends_with(m->key, "Aci") || kluis_str_is(m->key, "aci"))) { continue; }
        if (!json_bytes(m, id, sizeof id) || memcmp(id, zero, sizeof id) == 0) { return false; }
    }
    return true;
}

/* Looking marks what was looked at; here nothing may be marked. */
static const struct json *member(const struct json *o, const char *name)
{
    for (const struct json *m = o != NULL && o->type == JSON_OBJECT ? o->child : NULL; m != NULL; m = m->next) {
        if (kluis_str_is(m->key, name)) { return m; }
    }
    return NULL;
}

kluis_status model_check_item(const struct model *m, struct json *item, uint64_t number, struct kluis_err *err)
{
    uint8_t pack[PACK_ID];
    const struct json *change = member(member(item, "updateMessage"), "groupChange");
    const struct json *sticker = member(member(item, "stickerMessage"), "sticker");
    if (change != NULL && !accounts_ok(change)) { return model_wrong(m, number, err, "an invalid account id in a change of a group"); }
    if (sticker != NULL && !json_bytes(member(sticker, "packId"), pack, sizeof pack)) {
        return model_wrong(m, number, err, "a sticker whose pack ID is invalid");
    }
    return KLUIS_OK;
}
