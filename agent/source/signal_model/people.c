/* people.c - the export's recipients as parties: who somebody is, as the source knew it.
 *
 * A group's id is derived from its master key as Signal does it, because the key itself would open the group; the key is
 * in no record.
 */
#include "agent/source/signal_model/model.h"

#include <stdarg.h>

enum { ID = 16, NUMBER_DIGITS_MAX = 15 };

struct kluis_str arena_fmt(struct kluis_arena *a, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) { return (struct kluis_str){ NULL, 0 }; }
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    const char *p = kluis_arena_strndup(a, text, len);
    return (struct kluis_str){ p, p != NULL ? len : 0 };
}

struct kluis_str uuid_text(struct kluis_arena *a, const uint8_t id[16])
{
    char h[33];
    kluis_hex(id, ID, h);
    return arena_fmt(a, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}

bool json_bytes(const struct json *v, uint8_t *out, size_t n)
{
    size_t got = 0;
    return v != NULL && v->type == JSON_STRING && v->text.len == kluis_base64_len(n) && kluis_unbase64(v->text, out, n, &got) && got == n;
}

static kluis_status no_memory(struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more names than fit into memory; export fewer chats at a time");
}

/* "given family", either, or absent. */
static struct kluis_str joined(struct kluis_arena *a, struct kluis_str given, struct kluis_str family)
{
    if (given.ptr == NULL || family.ptr == NULL) { return kluis_arena_str(a, given.ptr != NULL ? given : family); }
    KLUIS_AUTO_BUF(b, 64 << 10);
    kluis_buf_str(&b, given);
    kluis_buf_byte(&b, ' ');
    kluis_buf_str(&b, family);
    if (b.status != KLUIS_OK) { return (struct kluis_str){ NULL, 0 }; }
    const char *p = kluis_arena_strndup(a, (const char *)b.data, b.len);
    return (struct kluis_str){ p, p != NULL ? b.len : 0 };
}

kluis_status people_account(struct model *m, struct json *account, struct kluis_err *err)
{
    m->self_name = joined(m->people, json_string(account, "givenName"), json_string(account, "familyName"));
    m->self_username = kluis_arena_str(m->people, json_string(account, "username"));
    m->has_self_key = json_bytes(json_get(account, "profileKey"), m->self_key, sizeof m->self_key);
    return json_string(account, "username").ptr != NULL && m->self_username.ptr == NULL ? no_memory(err) : KLUIS_OK;
}

static void take_contact(struct model *m, struct json *c, struct who *w)
{
    uint64_t number;
    uint8_t pni[ID];
    struct kluis_arena *a = m->people;
    struct json *nick = json_object(c, "nickname");
    w->has_aci = json_bytes(json_get(c, "aci"), w->aci, ID);
    if (w->has_aci) {
        w->party.id = uuid_text(a, w->aci);
    } else if (json_bytes(json_get(c, "pni"), pni, ID)) {
        struct kluis_str text = uuid_text(a, pni);
        w->party.id = arena_fmt(a, "PNI:%.*s", (int)text.len, text.ptr != NULL ? text.ptr : "");
    }
    if (json_u64(c, "e164", &number) && number != 0 && number < UINT64_C(1000000000000000)) {
        w->party.number = arena_fmt(a, "+%llu", (unsigned long long)number);
    }
    struct kluis_str username = json_string(c, "username");
    struct kluis_str name = joined(a, json_string(nick, "given"), json_string(nick, "family")); /* in the order in which Signal shows them */
    if (name.ptr == NULL) { name = joined(a, json_string(c, "systemGivenName"), json_string(c, "systemFamilyName")); }
    if (name.ptr == NULL) { name = kluis_arena_str(a, json_string(c, "systemNickname")); }
    if (name.ptr == NULL) { name = joined(a, json_string(c, "profileGivenName"), json_string(c, "profileFamilyName")); }
    if (name.ptr == NULL) { name = kluis_arena_str(a, username); }
    bool known = w->party.id.ptr != NULL || w->party.number.ptr != NULL;
    if (name.ptr != NULL || known) { w->party.name = name; }
    if (w->party.id.ptr != NULL) {
        w->key = w->party.id;
    } else if (w->party.number.ptr != NULL) {
        w->key = w->party.number;
    } else if (username.ptr != NULL) {
        w->key = kluis_arena_str(a, username);
    }
}

/* HMAC-SHA-256 over up to three pieces, keyed by and replacing cv. */
static bool mix(uint8_t cv[32], const uint8_t key[32], const void *p, size_t n, uint8_t last)
{
    uint8_t bytes[128];
    if (n >= sizeof bytes) { return false; }
    memcpy(bytes, p, n);
    bytes[n] = last;
    bool ok = kluis_hmac_sha256(key, 32, bytes, n + 1, cv, NULL) == KLUIS_OK;
    kluis_wipe(bytes, sizeof bytes);
    return ok;
}

/* The id Signal itself derives: label and master key absorbed, each followed by a ratchet, then 32 bytes squeezed. */
static bool group_id(const uint8_t master[32], uint8_t out[32])
{
    static const char label[] = "Signal_ZKGroup_20200424_GroupMasterKey_GroupSecretParams_DeriveFromMasterKey";
    static const uint8_t zero[32], count[8];
    uint8_t a[32], b[32];
    bool ok = mix(a, zero, label, sizeof label - 1, 0) && mix(b, a, master, 32, 0) && mix(out, b, count, sizeof count, 1);
    kluis_wipe(a, sizeof a);
    kluis_wipe(b, sizeof b);
    return ok;
}

static kluis_status take_group(struct model *m, struct json *g, struct who *w, struct kluis_err *err)
{
    uint8_t master[32], id[32];
    struct json *snapshot = json_object(g, "snapshot"), *members = json_array(snapshot, "members");
    w->party.name = kluis_arena_str(m->people, json_string(json_object(snapshot, "title"), "title"));
    if (json_bytes(json_get(g, "masterKey"), master, sizeof master) && group_id(master, id)) {
        char text[64];
        (void)kluis_base64(id, sizeof id, text);
        w->party.id = arena_fmt(m->people, "%s", text);
        if (w->party.id.ptr == NULL) { return no_memory(err); }
        w->key = w->party.id;
    } else if (json_string(g, "legacyId").ptr != NULL) { /* a group of before 2020, or of MMS */
        w->party.id = kluis_arena_str(m->people, json_string(g, "legacyId"));
        if (w->party.id.ptr == NULL) { return no_memory(err); }
        w->key = w->party.id;
    } else if (w->party.name.ptr == NULL) {
        w->party.name = w->key;
    }
    kluis_wipe(master, sizeof master);
    uint32_t n = 0;
    for (const struct json *v = members != NULL ? members->child : NULL; v != NULL; v = v->next) { n++; }
    if (n == 0) { return KLUIS_OK; }
    uint8_t(*list)[ID] = kluis_arena_alloc(m->people, (size_t)n * ID);
    if (list == NULL) { return no_memory(err); }
    for (struct json *v = members->child; v != NULL; v = v->next) {
        if (json_bytes(json_get(v, "userId"), list[w->n_members], ID)) { w->n_members++; }
    }
    w->members = (const uint8_t(*)[ID])list;
    return KLUIS_OK;
}

static void take_link(struct model *m, struct json *link, struct who *w)
{
    uint8_t root[16], digest[32];
    char text[33];
    w->party.name = kluis_arena_str(m->people, json_string(link, "name"));
    if (!json_bytes(json_get(link, "rootKey"), root, sizeof root)) { return; }
    kluis_sha256_of(root, sizeof root, digest); /* the key joins the call: only its digest may be told */
    kluis_hex(digest, ID, text);
    struct kluis_str id = arena_fmt(m->people, "call-link:%s", text);
    if (id.ptr != NULL) { w->key = w->party.id = id; }
    kluis_wipe(root, sizeof root);
}

kluis_status people_recipient(struct model *m, struct json *r, struct who *w, struct kluis_err *err)
{
    struct json *v;
    w->kind = WHO_OTHER;
    if ((v = json_object(r, "contact")) != NULL) {
        w->kind = WHO_CONTACT;
        take_contact(m, v, w);
    } else if ((v = json_object(r, "group")) != NULL) {
        w->kind = WHO_GROUP;
        KLUIS_TRY(take_group(m, v, w, err));
    } else if (json_object(r, "self") != NULL) {
        w->kind = WHO_SELF;
    } else if (json_object(r, "releaseNotes") != NULL) {
        w->kind = WHO_RELEASE;
        w->party = (struct kluis_party){ .id = KLUIS_STR_LIT("signal-release-notes"), .name = KLUIS_STR_LIT("Signal") };
        w->key = w->party.id;
    } else if ((v = json_object(r, "distributionList")) != NULL) {
        w->kind = WHO_LIST;
        struct kluis_str name = kluis_arena_str(m->people, json_string(json_object(v, "distributionList"), "name"));
        if (name.ptr != NULL) { w->party.name = name; }
    } else if ((v = json_object(r, "callLink")) != NULL) {
        w->kind = WHO_LINK;
        take_link(m, v, w);
    }
    return w->key.ptr == NULL ? no_memory(err) : KLUIS_OK;
}

/* ---- the owner ------------------------------------------------------------------------------------ */

/* A member that the source itself knows for its owner. */
static bool member_known_as_self(const struct model *m, uint8_t out[ID])
{
    for (uint32_t i = 0; m->is_self != NULL && i < m->n_who; i++) {
        for (uint32_t k = 0; k < m->who[i].n_members; k++) {
            memcpy(out, m->who[i].members[k], ID);
            if (model_who_aci(m, out) == NOBODY && m->is_self(m->is_self_ctx, out)) { return true; }
        }
    }
    return false;
}

static bool members_name_one_stranger(const struct model *m, uint8_t out[ID])
{
    bool found = false;
    for (uint32_t i = 0; i < m->n_who; i++) {
        for (uint32_t k = 0; k < m->who[i].n_members; k++) {
            const uint8_t *aci = m->who[i].members[k];
            if (model_who_aci(m, aci) != NOBODY || (found && memcmp(out, aci, ID) == 0)) { continue; }
            if (found) { return false; }
            memcpy(out, aci, ID);
            found = true;
        }
    }
    return found;
}

/* The export does not state its owner's account id.  Every member of a group has a contact of his own except the owner: where that
 * leaves one id, it is the owner's. */
void people_find_self(struct model *m)
{
    if (m->self == NOBODY) { return; }
    struct who *w = &m->who[m->self];
    uint8_t digest[32];
    char text[33];
    w->party = (struct kluis_party){ .name = m->self_name.ptr != NULL ? m->self_name : m->self_username, .number = m->self_number };
    if (m->self_aci.ptr != NULL) {
        w->party.id = m->self_aci;
    } else if (member_known_as_self(m, w->aci) || members_name_one_stranger(m, w->aci)) {
        w->has_aci = true;
        w->party.id = uuid_text(m->people, w->aci);
    }
    if (w->party.id.ptr != NULL) {
        w->key = w->party.id;
    } else if (m->self_number.ptr != NULL) {
        w->key = m->self_number;
    } else if (m->has_self_key) {
        kluis_sha256_of(m->self_key, sizeof m->self_key, digest);
        kluis_hex(digest, ID, text);
        struct kluis_str key = arena_fmt(m->people, "self-%s", text);
        if (key.ptr != NULL) { w->key = key; }
    }
    if (w->party.id.ptr == NULL && w->party.name.ptr == NULL && w->party.number.ptr == NULL) { w->party.name = KLUIS_STR_LIT("self"); }
    kluis_wipe(m->self_key, sizeof m->self_key);
}
