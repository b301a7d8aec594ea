/* phrases.c - lines that WhatsApp itself writes: fixed ones (phrases_table.c) in many languages, patterns in Dutch and English.
 *
 * Interface texts of the app, as seen in exports and in the app.  All comparing is on folded text (text.c), ASCII case aside.
 * A language that is not here still reads: marked lines become "system" events with their text (classify.c).
 */
#include "wa.h"

enum { SLOTS = 4096, TEXTS_MAX = SLOTS / 2 };

struct wa_phrases {
    uint16_t slot[SLOTS]; /* index in text + 1                                          */
    struct {
        struct kluis_str text;
        const struct wa_phrase_row *row;
    } text[TEXTS_MAX];
    size_t n;
    uint64_t first[65536 / 64];
};

static uint32_t lower_hash(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 16777619u;
    }
    return h;
}

/* Sixteen bits of the first four bytes, ASCII case aside. */
static uint32_t begin(const char *p)
{
    uint32_t h = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        h = h * 251 + (c >= 'A' && c <= 'Z' ? c + 32u : c);
    }
    return (h ^ h >> 16) & 0xFFFF;
}

bool wa_phrase_may(const struct wa_phrases *t, struct kluis_str body)
{
    if (body.len < 4) { return false; }
    uint32_t b = begin(body.ptr);
    return (t->first[b / 64] >> (b % 64) & 1) != 0;
}

static void may_begin(struct wa_phrases *t, const char *p)
{
    uint32_t b = begin(p);
    t->first[b / 64] |= UINT64_C(1) << (b % 64);
}

/* false: the table is larger than its slots, which a test would show. */
static bool add_text(struct wa_phrases *t, const struct wa_phrase_row *row, struct kluis_str text)
{
    if (t->n == TEXTS_MAX || text.len < 2) { return false; }
    t->text[t->n].text = text;
    t->text[t->n].row = row;
    uint32_t k = lower_hash(text.ptr, text.len) % SLOTS;
    while (t->slot[k] != 0) { k = (k + 1) % SLOTS; }
    t->slot[k] = (uint16_t)++t->n;
    if (row->says != WA_EDITED && row->says != WA_ATTACHED && text.len >= 4) { may_begin(t, text.ptr); }
    return true;
}

struct wa_phrases *wa_phrases_new(void)
{
    struct wa_phrases *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return NULL; }
    for (size_t i = 0; i < wa_phrase_n_rows; i++) {
        for (const char *p = wa_phrase_rows[i].texts; *p != 0;) {
            size_t n = strcspn(p, "|");
            if (!add_text(t, &wa_phrase_rows[i], (struct kluis_str){ p, n })) {
                kluis_free(t);
                return NULL;
            }
            p += n + (p[n] == '|');
        }
    }
    static const char *const more[] = { "poll",   "peil",   "mess",  "beri",  "nach", "silenced", "voice call", "video call",
                                        "spraak", "audio ", "image", "photo", "stic", "gif ",     "docu",       "cont",
                                        "afbe",   "foto",   "visi",  "your",  "uw b", "je b",     "secu" };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) { may_begin(t, more[i]); }
    return t;
}

void wa_phrases_free(struct wa_phrases *t) { kluis_free(t); }

static bool same_n(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if ((x >= 'A' && x <= 'Z' ? x + 32 : x) != (y >= 'A' && y <= 'Z' ? y + 32 : y)) { return false; }
    }
    return true;
}

const struct wa_phrase_row *wa_phrase_find(const struct wa_phrases *t, const char *folded, size_t n)
{
    for (uint32_t k = lower_hash(folded, n) % SLOTS; t->slot[k] != 0; k = (k + 1) % SLOTS) {
        struct kluis_str s = t->text[t->slot[k] - 1].text;
        if (s.len == n && same_n(folded, s.ptr, n)) { return t->text[t->slot[k] - 1].row; }
    }
    return NULL;
}

bool wa_phrase_says(const struct wa_phrases *t, const char *folded, size_t n, enum wa_says says)
{
    const struct wa_phrase_row *row = wa_phrase_find(t, folded, n);
    return row != NULL && row->says == says;
}

/* ---- patterns ---- {a} who did it, {m} to whom, {o} before, {n} after, {*} anything */
struct pattern {
    const char *event, *text;
};
static const struct pattern patterns[] = {
    { "security-code-changed", "Your security code with {m} changed{*}" },
    { "security-code-changed", "{m}'s security code changed{*}" },
    { "security-code-changed", "The security code for {m} changed{*}" },
    { "security-code-changed", "Security code changed{*}" },
    { "security-code-changed", "Je beveiligingscode voor {m} is gewijzigd{*}" },
    { "security-code-changed", "Je beveiligingscode met {m} is gewijzigd{*}" },
    { "security-code-changed", "De beveiligingscode van {m} is gewijzigd{*}" },
    { "security-code-changed", "De beveiligingscode voor {m} is gewijzigd{*}" },
    { "group-created", "{a} created group \"{n}\"" },
    { "group-created", "{a} created the group \"{n}\"" },
    { "group-created", "{a} created this group" },
    { "group-created", "{a} created group {n}" },
    { "group-created", "{a} heeft de groep \"{n}\" aangemaakt" },
    { "group-created", "{a} heeft groep \"{n}\" aangemaakt" },
    { "group-created", "{a} heeft de groep \"{n}\" gemaakt" },
    { "group-created", "{a} heeft deze groep aangemaakt" },
    { "group-created", "{a} heeft deze groep gemaakt" },
    { "community-created", "{a} created community \"{n}\"" },
    { "community-created", "{a} heeft de community \"{n}\" gemaakt" },
    { "community-changed", "{a} added this group to the community{*}" },
    { "community-changed", "This group was added to the community{*}" },
    { "community-changed", "{a} heeft deze groep toegevoegd aan de community{*}" },
    { "community-changed", "Deze groep is toegevoegd aan de community{*}" },
    { "subject-changed", "{a} changed the subject from \"{o}\" to \"{n}\"" },
    { "subject-changed", "{a} changed the subject to \"{n}\"" },
    { "subject-changed", "{a} changed the group name from \"{o}\" to \"{n}\"" },
    { "subject-changed", "{a} changed the group name to \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd van \"{o}\" naar \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd van \"{o}\" in \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp van \"{o}\" naar \"{n}\" gewijzigd" },
    { "subject-changed", "{a} heeft het onderwerp van \"{o}\" gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd naar \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd van \"{o}\" naar \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam van \"{o}\" gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd naar \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd in \"{n}\"" },
    { "icon-changed", "{a} changed this group's icon" },
    { "icon-changed", "{a} changed the group icon" },
    { "icon-changed", "{a} changed the group photo" },
    { "icon-removed", "{a} deleted this group's icon" },
    { "icon-removed", "{a} deleted the group photo" },
    { "icon-changed", "{a} heeft de groepsafbeelding gewijzigd" },
    { "icon-changed", "{a} heeft de afbeelding van deze groep gewijzigd" },
    { "icon-changed", "{a} heeft het groepspictogram gewijzigd" },
    { "icon-changed", "{a} heeft de groepsfoto gewijzigd" },
    { "icon-changed", "{a} heeft het pictogram van deze groep gewijzigd" },
    { "icon-removed", "{a} heeft de groepsafbeelding verwijderd" },
    { "icon-removed", "{a} heeft de afbeelding van deze groep verwijderd" },
    { "icon-removed", "{a} heeft het groepspictogram verwijderd" },
    { "icon-removed", "{a} heeft de groepsfoto verwijderd" },
    { "icon-removed", "{a} heeft het pictogram van deze groep verwijderd" },
    { "description-changed", "{a} changed the group description{*}" },
    { "description-changed", "{a} changed the description of this group{*}" },
    { "description-removed", "{a} deleted the group description{*}" },
    { "description-changed", "{a} heeft de groepsomschrijving gewijzigd{*}" },
    { "description-changed", "{a} heeft de groepsbeschrijving gewijzigd{*}" },
    { "description-removed", "{a} heeft de groepsomschrijving verwijderd{*}" },
    { "description-removed", "{a} heeft de groepsbeschrijving verwijderd{*}" },
    { "description-changed", "{a} heeft de beschrijving van deze groep gewijzigd{*}" },
    { "description-changed", "{a} heeft de omschrijving van deze groep gewijzigd{*}" },
    { "settings-changed", "{a} changed this group's settings to {n}" },
    { "settings-changed", "{a} changed this group's settings{*}" },
    { "settings-changed", "{a} changed the group settings{*}" },
    { "settings-changed", "{a} turned on admin approval{*}" },
    { "settings-changed", "{a} turned off admin approval{*}" },
    { "settings-changed", "{a} heeft de instellingen van deze groep gewijzigd{*}" },
    { "settings-changed", "{a} heeft de groepsinstellingen gewijzigd{*}" },
    { "settings-changed", "{a} heeft goedkeuring door beheerders{*}" },
    { "settings-changed", "{a} heeft de instellingen van de groep gewijzigd{*}" },
    { "settings-changed", "{a} allowed all members to{*}" },
    { "settings-changed", "{a} allowed only admins to{*}" },
    { "settings-changed", "{a} allowed {m} to{*}" },
    { "admin-changed", "You're now an admin" },
    { "admin-changed", "{m} is now an admin" },
    { "admin-changed", "You're no longer an admin" },
    { "admin-changed", "{m} is no longer an admin" },
    { "admin-changed", "You are now an admin" },
    { "admin-changed", "You are no longer an admin" },
    { "admin-changed", "Je bent nu beheerder{*}" },
    { "admin-changed", "Je bent nu een beheerder" },
    { "admin-changed", "Je bent nu groepsbeheerder" },
    { "admin-changed", "{m} is nu beheerder" },
    { "admin-changed", "{m} is nu een beheerder" },
    { "admin-changed", "Je bent geen beheerder meer" },
    { "admin-changed", "{m} is geen beheerder meer" },
    { "admin-changed", "Je bent niet langer beheerder" },
    { "admin-changed", "{m} is niet langer beheerder" },
    { "timer-changed", "{a} updated the message timer. {n}" },
    { "timer-changed", "{a} turned off disappearing messages{*}" },
    { "timer-changed", "{a} turned on disappearing messages. {n}" },
    { "timer-changed", "{a} turned on disappearing messages{*}" },
    { "timer-changed", "{a} set the message timer{*}" },
    { "timer-changed", "{a} changed the message timer{*}" },
    { "timer-changed", "{a} uses a default timer{*}" },
    { "timer-changed", "{a} set disappearing messages{*}" },
    { "timer-changed", "{a} heeft berichten met vervaldatum {n}" },
    { "timer-changed", "{a} heeft verdwijnende berichten {n}" },
    { "timer-changed", "{a} heeft tijdelijke berichten {n}" },
    { "timer-changed", "{a} heeft zelfverwijderende berichten {n}" },
    { "timer-changed", "{a} heeft de berichttimer {n}" },
    { "timer-changed", "{a} heeft de timer voor {n}" },
    { "timer-changed", "{a} heeft de timer van {n}" },
    { "timer-changed", "{a} heeft de berichtentimer {n}" },
    { "timer-changed", "{a} gebruikt een standaardtimer{*}" },
    { "timer-changed", "{a} gebruikt een standaard timer{*}" },
    { "number-changed", "{m} changed their phone number to a new number{*}" },
    { "number-changed", "{m} changed their phone number{*}" },
    { "number-changed", "{m} changed their number{*}" },
    { "number-changed", "{m} changed to {n}" },
    { "number-changed", "{m} heeft het telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft zijn telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft haar telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft een nieuw telefoonnummer{*}" },
    { "number-changed", "{m} heeft een nieuw nummer{*}" },
    { "number-changed", "{m} heeft het nummer gewijzigd{*}" },
    { "number-changed", "{m} is gewijzigd naar {n}" },
    { "number-changed", "{m} is gewijzigd in {n}" },
    { "message-pinned", "{a} pinned a message{*}" },
    { "message-unpinned", "{a} unpinned a message{*}" },
    { "message-pinned", "{a} heeft een bericht vastgezet{*}" },
    { "message-pinned", "{a} heeft een bericht vastgemaakt{*}" },
    { "message-unpinned", "{a} heeft een bericht losgemaakt{*}" },
    { "contact-blocked", "You blocked this {*}" },
    { "contact-unblocked", "You unblocked this {*}" },
    { "contact-blocked", "Je heeft dit contact geblokkeerd{*}" },
    { "contact-unblocked", "Je heeft dit contact gedeblokkeerd{*}" },
    { "contact-blocked", "Je heeft deze contactpersoon geblokkeerd{*}" },
    { "contact-unblocked", "Je heeft deze contactpersoon gedeblokkeerd{*}" },
    { "contact-unblocked", "Je heeft de blokkering van dit contact opgeheven{*}" },
    { "invite-link-reset", "{a} reset this group's invite link{*}" },
    { "invite-link-reset", "{a} heeft de uitnodigingslink van deze groep {*}" },
    { "invite-link-reset", "{a} heeft de groepsuitnodigingslink {*}" },
    { "joined-by-link", "{m} joined using this group's invite link" },
    { "joined-by-link", "{m} joined using a group link" },
    { "joined-by-link", "{m} joined via {*}" },
    { "joined-by-link", "{m} joined using {*}" },
    { "joined-by-link", "{m} is deelnemer geworden via de uitnodigingslink{*}" },
    { "joined-by-link", "Je bent deelnemer geworden via de uitnodigingslink{*}" },
    { "joined-by-link", "{m} is lid geworden via {*}" },
    { "joined-by-link", "Je bent lid geworden via {*}" },
    { "joined-by-link", "{m} neemt deel via {*}" },
    { "joined-by-link", "{m} neemt nu deel via {*}" },
    { "joined-by-link", "{m} heeft deelgenomen via {*}" },
    { "joined-by-link", "{m} joined from the community{*}" },
    { "join-requested", "{m} requested to join{*}" },
    { "join-requested", "{m} heeft een verzoek gedaan om {*}" },
    { "join-requested", "{m} wil deelnemen{*}" },
    { "chat-privacy-changed", "{a} turned on advanced chat privacy{*}" },
    { "chat-privacy-changed", "{a} turned off advanced chat privacy{*}" },
    { "chat-privacy-changed", "{a} heeft geavanceerde chatprivacy {*}" },
    { "business-account", "This chat is with {*}" },
    { "business-account", "This business {*}" },
    { "business-account", "Deze chat is met {*}" },
    { "business-account", "Dit bedrijf {*}" },
    { "business-account", "Dit is een bedrijfsaccount{*}" },
    { "contact-note", "{m} is a contact" },
    { "contact-note", "{m} is een contact" },
    { "contact-note", "{m} is een contactpersoon" },
    { "contact-note", "{m} is in your contacts" },
    { "member-left", "{m} left" },
    { "member-left", "{m} left the group" },
    { "member-left", "{m} heeft de groep verlaten" },
    { "member-left", "{m} heeft deze groep verlaten" },
    { "member-left", "{m} is weggegaan" },
    { "member-added", "You were added" },
    { "member-added", "{m} was added" },
    { "member-added", "{m} were added" },
    { "member-added", "Je bent toegevoegd{*}" },
    { "member-added", "{m} is toegevoegd" },
    { "member-added", "{m} zijn toegevoegd" },
    { "member-removed", "You were removed" },
    { "member-removed", "{m} was removed" },
    { "member-removed", "Je bent verwijderd{*}" },
    { "member-removed", "{m} is verwijderd" },
    { "member-added", "{a} added {m}" },
    { "member-removed", "{a} removed {m}" },
    { "member-added", "{a} heeft {m} toegevoegd" },
    { "member-removed", "{a} heeft {m} verwijderd" },
};

static bool match(const char *pat, const char *s, size_t n, struct kluis_str cap[128])
{
    size_t at = 0;
    while (*pat != 0) {
        if (*pat == '{') {
            char which = pat[1];
            pat += 3;
            const char *lit_end = strchr(pat, '{');
            size_t lit = lit_end == NULL ? strlen(pat) : (size_t)(lit_end - pat), end = at;
            if (lit == 0 && *pat == 0) {
                end = n;
            } else if (lit_end == NULL) { /* the last literal ends the line */
                if (n < at + lit || !same_n(s + n - lit, pat, lit)) { return false; }
                end = n - lit;
            } else {
                while (end + lit <= n && !same_n(s + end, pat, lit)) { end++; }
                if (end + lit > n) { return false; }
            }
            if (which != '*' && end == at) { return false; }
            cap[(unsigned char)which & 127] = (struct kluis_str){ s + at, end - at };
            at = end;
            continue;
        }
        if (at >= n || !same_n(s + at, pat, 1)) { return false; }
        at++;
        pat++;
    }
    return at == n;
}

static bool is_you(struct kluis_str s)
{
    static const char *const you[] = { "You", "Je", "U", "Jij" };
    for (size_t i = 0; i < sizeof you / sizeof *you; i++) {
        if (kluis_str_is(s, you[i])) { return true; }
    }
    return false;
}

bool wa_phrase_event(const char *folded, size_t n, struct wa_body *out)
{
    /* "Je hebt", "U hebt", "U heeft", "Uw" as one form, on the captures' own bytes where possible. */
    static const char *const you_have[] = { "Je hebt ", "U hebt ", "Jij hebt ", "U heeft " };
    char line[WA_FOLD_MAX];
    const char *s = folded;
    size_t len = n;
    for (size_t i = 0; i < sizeof you_have / sizeof *you_have; i++) {
        size_t k = strlen(you_have[i]);
        if (n > k && memcmp(folded, you_have[i], k) == 0 && n - k + 9 < sizeof line) {
            memcpy(line, "Je heeft ", 9);
            memcpy(line + 9, folded + k, n - k);
            s = line;
            len = n - k + 9;
        }
    }
    if (n > 3 && memcmp(folded, "Uw ", 3) == 0) {
        memcpy(line, "Je ", 3);
        memcpy(line + 3, folded + 3, n - 3);
        s = line;
    }
    if (n > 6 && memcmp(folded, "U bent", 6) == 0 && n + 1 < sizeof line) {
        memcpy(line, "Je", 2);
        memcpy(line + 2, folded + 1, n - 1);
        s = line;
        len = n + 1;
    }
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct kluis_str cap[128];
        memset(cap, 0, sizeof cap);
        if (!match(patterns[i].text, s, len, cap)) { continue; }
        struct kluis_str *to[4] = { &out->actor, &out->member, &out->before, &out->after };
        const char name[4] = { 'a', 'm', 'o', 'n' };
        for (int k = 0; k < 4; k++) {
            struct kluis_str c = cap[(int)name[k]];
            *to[k] = (struct kluis_str){ NULL, 0 };
            if (c.ptr == NULL) { continue; }
            if (s == line) { /* back to the folded line's own bytes */
                if (c.ptr == line) {
                    c = (struct kluis_str){ "You", 3 };
                } else {
                    c.ptr = folded + (n - (len - (size_t)(c.ptr - line)));
                }
            }
            *to[k] = c;
        }
        out->event = patterns[i].event;
        out->says = WA_EVENT;
        if (out->actor.ptr != NULL && is_you(out->actor)) { out->by_self = true; }
        return true;
    }
    return false;
}

bool wa_phrase_encryption(const char *folded, size_t n)
{
    static const char *const w[] = { "Messages and calls are end-to-end encrypted",
                                     "Messages to this chat and calls are now secured",
                                     "Messages you send to this ",
                                     "Messages to this group are now secured",
                                     "Messages and calls to this chat",
                                     "Messages are end-to-end encrypted",
                                     "Berichten en gesprekken worden end-to-end versleuteld",
                                     "Berichten en oproepen worden end-to-end versleuteld",
                                     "Berichten en oproepen zijn end-to-end versleuteld",
                                     "Berichten en gesprekken zijn end-to-end versleuteld",
                                     "Berichten zijn end-to-end versleuteld",
                                     "Berichten naar deze ",
                                     "Berichten die je naar deze ",
                                     "Berichten die u naar deze ",
                                     "Berichten die je verzendt naar deze ",
                                     "Nachrichten und Anrufe sind Ende-zu-Ende-verschl",
                                     "Nachrichten, die du in d",
                                     "Les messages et les appels sont chiffr",
                                     "Los mensajes y las llamadas est",
                                     "I messaggi e le chiamate sono crittografati",
                                     "As mensagens e as chamadas s",
                                     "As mensagens e chamadas s",
                                     "As mensagens e as chamadas",
                                     "Сообщения и звонки защищены",
                                     "Повідомлення й дзвінки",
                                     "Zprávy a hovory jsou",
                                     "Wiadomości i połączenia są",
                                     "Mesajlar ve aramalar" };
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) {
        size_t k = strlen(w[i]);
        if (n >= k && same_n(folded, w[i], k)) { return true; }
    }
    return false;
}
