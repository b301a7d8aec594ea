/* abilities.c - what the tokens of tells and loss say to people, in Dutch and English. */
#include "agent/source/source.h"

static const struct {
    const char *token, *nl, *en;
} words[] = {
    { "account-ids", "accountnummers", "account ids" },
    { "app-content", "wat apps in een bericht zetten", "what apps put into a message" },
    { "answered-calls", "beantwoorde oproepen", "answered calls" },
    { "attachments", "bijlagen", "attachments" },
    { "authors", "afzenders", "authors" },
    { "before-linking", "wat er was voordat deze computer werd gekoppeld", "what there was before this computer was linked" },
    { "calls", "oproepen", "calls" },
    { "contacts", "contactpersonen", "contacts" },
    { "deleted-content", "de inhoud van verwijderde berichten", "what deleted messages said" },
    { "deleted-text", "de tekst van verwijderde berichten", "the text of deleted messages" },
    { "deletions", "verwijderingen", "deletions" },
    { "delivery", "aflevering", "delivery" },
    { "disappearing-messages", "berichten met vervaldatum", "disappearing messages" },
    { "drafts", "concepten", "drafts" },
    { "earlier-votes", "eerdere stemmen", "earlier votes" },
    { "edit-history", "eerdere vormen van bewerkte berichten", "earlier forms of edited messages" },
    { "edit-originals", "de oorspronkelijke tekst van bewerkte berichten", "the original text of edited messages" },
    { "edit-times", "wanneer een bericht bewerkt is", "when a message was edited" },
    { "edits", "bewerkingen", "edits" },
    { "encrypted-messages", "versleutelde berichten", "encrypted messages" },
    { "events-without-tile", "wat Element niet toont (waaronder losse reacties)", "what Element does not show (single reactions among it)" },
    { "events", "gebeurtenissen", "events" },
    { "expired-messages", "verlopen berichten", "expired messages" },
    { "former-members", "vroegere deelnemers", "former members" },
    { "group-changes", "wijzigingen van de groep", "group changes" },
    { "group-changes-as-text", "wijzigingen van de groep anders dan als tekst", "group changes other than as text" },
    { "groups", "groepen", "groups" },
    { "ids", "berichtnummers", "message ids" },
    { "locations", "locaties", "locations" },
    { "mentions", "vermeldingen", "mentions" },
    { "message-ids", "berichtnummers", "message ids" },
    { "messages", "berichten", "messages" },
    { "missed-calls", "gemiste oproepen", "missed calls" },
    { "names", "namen", "names" },
    { "numbers", "telefoonnummers", "numbers" },
    { "numbers-of-saved-contacts", "nummers van opgeslagen contacten", "numbers of saved contacts" },
    { "poll-options", "keuzes van peilingen", "options of polls" },
    { "polls", "peilingen", "polls" },
    { "quotes", "citaten", "quotes" },
    { "rcs", "RCS-gesprekken", "RCS chats" },
    { "reactions", "reacties", "reactions" },
    { "reaction-times", "wanneer iemand reageerde", "when somebody reacted" },
    { "reactor-unknown", "wie reageerde", "who reacted" },
    { "read-receipts", "leesbevestigingen", "read receipts" },
    { "receipts", "bevestigingen", "receipts" },
    { "secret-chats", "geheime chats", "secret chats" },
    { "text", "tekst", "text" },
    { "time-of-vote", "het tijdstip van een stem", "the time of a vote" },
    { "timers", "vervaltermijnen", "timers" },
    { "times", "tijden", "times" },
    { "unsaved-content", "wat niemand bewaarde", "what nobody saved" },
    { "view-once-content", "eenmalig te bekijken inhoud", "content to be seen once" },
    { "votes", "stemmen", "votes" },
};

const char *source_ability(const char *token, bool dutch)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].token, token) == 0) { return dutch ? words[i].nl : words[i].en; }
    }
    return NULL;
}
