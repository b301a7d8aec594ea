/* talk.c - which conversation an item belongs to, and who takes part.
 *
 * A conversation is its set of addresses as they are written, numbers in one spelling.  "0612345678" and "+31612345678" are one number only
 * when the option says in which country that was written: else they stay apart and the header says that a number is not international.  One
 * address under two names is two parties with one number; one name on two addresses stays two conversations; both are said in the header.
 */
#include "agent/source/sms/sms.h"

kluis_status talks_init(struct talks *t, struct kluis_err *err)
{
    t->arena = kluis_arena_new(TALKS_BYTES);
    return t->arena != NULL ? KLUIS_OK : KLUIS_FAIL(err, KLUIS_E_NOMEM, "out of memory; try again");
}

void talks_free(struct talks *t)
{
    for (uint32_t i = 0; i < t->n; i++) { kluis_free(t->list[i].people); }
    kluis_free(t->list);
    kluis_free(t->slots);
    kluis_arena_free(t->arena);
    *t = (struct talks){ .n = 0 };
}

struct kluis_str sms_address(const struct talks *t, struct kluis_str w, struct kluis_arena *arena)
{
    char d[48];
    size_t n = 0, digits = 0;
    bool other = false;
    while (w.len > 0 && w.ptr[0] == ' ') { w = (struct kluis_str){ w.ptr + 1, w.len - 1 }; }
    while (w.len > 0 && w.ptr[w.len - 1] == ' ') { w.len--; }
    for (size_t i = 0; i < w.len && !other; i++) {
        char c = w.ptr[i];
        if ((c >= '0' && c <= '9') || (c == '+' && n == 0)) {
            if (n + 8 > sizeof d) { other = true; }
            if (!other) { d[n++] = c; }
            digits += c != '+';
        } else if (c != ' ' && c != '-' && c != '(' && c != ')' && c != '.' && c != '/') {
            other = true;
        }
    }
    if (other || digits < 3) { return w; }
    if (d[0] == '+') { return digits >= 5 && digits <= 15 ? kluis_arena_str(arena, (struct kluis_str){ d, n }) : w; }
    if (n > 8 && n <= 17 && memcmp(d, "00", 2) == 0) { return build_fmt(arena, "+%.*s", (int)(n - 2), d + 2); }
    if (n > 6 && n <= 14 && d[0] == '0' && t->country != NULL) { return build_fmt(arena, "+%s%.*s", t->country, (int)(n - 1), d + 1); }
    return kluis_arena_str(arena, (struct kluis_str){ d, n });
}

struct kluis_str name_of_contact(const struct item *i)
{
    struct kluis_str n = sms_get(i, "contact_name");
    return n.len == 0 || kluis_str_is(n, "(Unknown)") ? (struct kluis_str){ NULL, 0 } : n;
}

static int by_text(const void *a, const void *b)
{
    const struct kluis_str *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int c = memcmp(x->ptr, y->ptr, n);
    return c != 0 ? c : x->len < y->len ? -1 : x->len > y->len;
}

static bool is_token(struct kluis_str s) { return kluis_str_is(s, "insert-address-token") || s.len == 0; }

/* The addresses of an item's conversation, sorted, each once. */
static size_t members_of(struct talks *t, const struct item *i, struct kluis_arena *scratch)
{
    struct kluis_str *const m = t->members;
    size_t n = 0, k = 0;
    struct kluis_str a = sms_get(i, "address");
    if (a.ptr == NULL) { a = sms_get(i, "number"); }
    for (size_t from = 0; a.ptr != NULL && from <= a.len && n < TALK_MEMBERS_MAX;) {
        const char *tilde = from < a.len ? memchr(a.ptr + from, '~', a.len - from) : NULL;
        size_t end = tilde == NULL ? a.len : (size_t)(tilde - a.ptr);
        struct kluis_str one = sms_address(t, (struct kluis_str){ a.ptr + from, end - from }, scratch);
        if (one.ptr != NULL && !is_token(one)) { m[n++] = one; }
        from = end + 1;
    }
    for (size_t j = 0; n == 0 && j < i->n_addrs && i->what == SLICE_MMS; j++) { /* the element says nothing: its addresses do */
        struct kluis_str one = sms_group_get(i, &i->addrs[j], "address");
        if (one.ptr == NULL || is_token(one)) { continue; }
        m[n++] = sms_address(t, one, scratch);
        if (n == TALK_MEMBERS_MAX) { break; }
    }
    if (n > 1) { qsort(m, n, sizeof *m, by_text); }
    for (size_t j = 0; j < n; j++) {
        if (k == 0 || !kluis_str_eq(m[k - 1], m[j])) { m[k++] = m[j]; }
    }
    return k;
}

static uint32_t hash(struct kluis_str s) { return (uint32_t)kluis_str_hash(s, 0); }

static kluis_status no_room(struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_LIMIT, "more conversations than fit into memory; back up fewer at a time");
}

static kluis_status grow(struct talks *t, struct kluis_err *err)
{
    if (t->n == t->cap) {
        uint32_t cap = t->cap == 0 ? 64 : t->cap * 2;
        struct talk *p = cap > 65536 ? NULL : kluis_realloc(t->list, cap * sizeof *p);
        if (p == NULL) { return no_room(err); }
        t->list = p;
        t->cap = cap;
    }
    if ((t->n + 1) * 2 > t->n_slots) {
        uint32_t n = t->n_slots == 0 ? 256 : t->n_slots * 2, *s = kluis_calloc(n, sizeof *s);
        if (s == NULL) { return no_room(err); }
        for (uint32_t i = 0; i < t->n; i++) {
            uint32_t k = hash(t->list[i].key) & (n - 1);
            while (s[k] != 0) { k = (k + 1) & (n - 1); }
            s[k] = i + 1;
        }
        kluis_free(t->slots);
        t->slots = s;
        t->n_slots = n;
    }
    return KLUIS_OK;
}

static kluis_status person(struct talks *t, struct talk *k, struct kluis_str address, struct kluis_str name, struct kluis_err *err)
{
    bool known = false;
    for (uint32_t i = 0; i < k->n_people; i++) {
        struct person *p = &k->people[i];
        if (!kluis_str_eq(p->address, address)) { continue; }
        if (name.ptr == NULL || kluis_str_eq(p->name, name)) { return KLUIS_OK; }
        if (p->name.ptr == NULL) {
            p->name = kluis_arena_str(t->arena, name);
            return p->name.ptr == NULL ? no_room(err) : KLUIS_OK;
        }
        known = true;
    }
    if (known) { k->several_names = true; }
    if (k->n_people + 2 > KLUIS_PARTIES_MAX) { return KLUIS_OK; } /* whoever is beyond is told by the record's fields */
    if (k->n_people == k->cap_people) {
        uint32_t cap = k->cap_people == 0 ? 2 : k->cap_people * 2;
        struct person *p = kluis_realloc(k->people, cap * sizeof *p);
        if (p == NULL) { return no_room(err); }
        k->people = p;
        k->cap_people = cap;
    }
    struct person *p = &k->people[k->n_people];
    *p = (struct person){ kluis_arena_str(t->arena, address), kluis_arena_str(t->arena, name) };
    if (p->address.ptr == NULL || (name.ptr != NULL && p->name.ptr == NULL)) { return no_room(err); }
    k->n_people++;
    if (p->address.ptr[0] == '0' && p->address.len >= 9) { k->local_number = true; }
    return KLUIS_OK;
}

kluis_status talks_note(struct talks *t, const struct item *i, struct kluis_arena *scratch, uint32_t *out, struct kluis_err *err)
{
    struct kluis_str *const m = t->members, key = KLUIS_STR_LIT(""), name = name_of_contact(i);
    size_t n = members_of(t, i, scratch), len = 0;
    for (size_t j = 0; j < n; j++) { len += m[j].len + 1; }
    if (n == 1) { key = m[0]; }
    if (n > 1) {
        char *p = kluis_arena_alloc(scratch, len);
        if (p == NULL) { return no_room(err); }
        key = (struct kluis_str){ p, len - 1 };
        for (size_t j = 0; j < n; j++) {
            memcpy(p, m[j].ptr, m[j].len);
            p += m[j].len;
            if (j + 1 < n) { *p++ = '~'; }
        }
    }
    KLUIS_TRY(grow(t, err));
    uint32_t at = hash(key) & (t->n_slots - 1);
    while (t->slots[at] != 0 && !kluis_str_eq(t->list[t->slots[at] - 1].key, key)) { at = (at + 1) & (t->n_slots - 1); }
    if (t->slots[at] == 0) {
        struct talk *k = &t->list[t->n];
        *k = (struct talk){ .key = key.len == 0 ? key : kluis_arena_str(t->arena, key) };
        if (k->key.ptr == NULL) { return no_room(err); }
        t->slots[at] = ++t->n;
        for (size_t j = 0; j < n; j++) { KLUIS_TRY(person(t, k, m[j], n == 1 ? name : (struct kluis_str){ NULL, 0 }, err)); }
        k->n_members = k->n_people;
    }
    *out = t->slots[at] - 1;
    struct talk *k = &t->list[*out];
    k->items++;
    if (n == 1 && name.ptr != NULL) { KLUIS_TRY(person(t, k, m[0], name, err)); }
    if (k->name.ptr == NULL && name.ptr != NULL) {
        k->name = kluis_arena_str(t->arena, name);
        if (k->name.ptr == NULL) { return no_room(err); }
    }
    for (size_t j = 0; i->what == SLICE_MMS && j < i->n_addrs; j++) {
        struct kluis_str one = sms_group_get(i, &i->addrs[j], "address");
        int64_t type = 0;
        (void)sms_i64(sms_group_get(i, &i->addrs[j], "type"), &type);
        if (one.ptr == NULL || is_token(one) || (type != 137 && n > 0)) { continue; } /* others are members already, or the owner */
        KLUIS_TRY(person(t, k, sms_address(t, one, scratch), (struct kluis_str){ NULL, 0 }, err));
    }
    return KLUIS_OK;
}

struct named {
    struct kluis_str name;
    uint32_t talk;
};
static int by_named(const void *a, const void *b) { return by_text(&((const struct named *)a)->name, &((const struct named *)b)->name); }

void talks_conclude(struct talks *t)
{
    struct named *l = kluis_calloc((size_t)t->n + 1, sizeof *l);
    uint32_t n = 0;
    if (l == NULL) { return; } /* a flag less, nothing merged */
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->list[i].n_members == 1 && t->list[i].name.ptr != NULL) { l[n++] = (struct named){ t->list[i].name, i }; }
    }
    if (n > 1) { qsort(l, n, sizeof *l, by_named); }
    for (uint32_t i = 1; i < n; i++) {
        if (by_named(&l[i - 1], &l[i]) == 0) { t->list[l[i - 1].talk].name_shared = t->list[l[i].talk].name_shared = true; }
    }
    kluis_free(l);
}

uint32_t talk_party(const struct talk *t, struct kluis_str address, struct kluis_str name)
{
    uint32_t first = KLUIS_NO_PARTY;
    for (uint32_t i = 0; i < t->n_people; i++) {
        if (!kluis_str_eq(t->people[i].address, address)) { continue; }
        if (kluis_str_eq(t->people[i].name, name)) { return i + 1; }
        if (first == KLUIS_NO_PARTY) { first = i + 1; }
    }
    return first;
}
