/* lib/verify/words.c - what the verifier says to people, in English or Dutch.  Reasons and --json stay English. */
#include "words.h"

const char *word_verdict(enum lang l, enum kluis_outcome o)
{
    static const char *const words[2][3] = { { "INVALID", "INDETERMINATE", "VALID" }, { "ONGELDIG", "NIET VAST TE STELLEN", "GELDIG" } };
    return words[l][o];
}

const char *word_state(enum lang l, enum kluis_layer_state s)
{
    static const char *const words[2][4] = { { "valid", "INVALID", "indeterminate", "-" }, { "geldig", "ONGELDIG", "onbepaald", "-" } };
    return words[l][s];
}

const char *word_layer(enum lang l, enum kluis_layer layer)
{
    static const char *const words[2][KLUIS_V_LAYERS] = {
        { "container    (zip form)", "manifests    (every file listed, every digest)", "records      (form, head, attachments)",
          "metadata     (MDTO, bag-info)", "signature    (of the device)", "certificate  (of the device)", "revocation   (of that certificate)",
          "time         (stamp on the signature)", "receipt      (names this package)", "ledger       (proof, log signature)",
          "checkpoint   (seal and stamp)", "witness      (cosignatures)", "seal         (of the vault, on an export)",
          "evidence     (record, on an export)" },
        { "container    (zip-vorm)", "manifests    (elk bestand, elke hash)", "records      (vorm, kop, bijlagen)", "metadata     (MDTO, bag-info)",
          "signature    (van het apparaat)", "certificate  (van het apparaat)", "revocation   (intrekking daarvan)",
          "time         (stempel op handtekening)", "receipt      (noemt dit pakket)", "ledger       (bewijs, logboek)",
          "checkpoint   (zegel en stempel)", "witness      (getuigen)", "seal         (van de kluis, bij export)",
          "evidence     (bewijsrecord, bij export)" }
    };
    return words[l][layer];
}

const char *word_at(enum lang l) { return l == LANG_NL ? "beoordeeld alsof het dit tijdstip was:" : "judged as if it were"; }

const char *word_proven(enum lang l) { return l == LANG_NL ? "bestond aantoonbaar op" : "proven to have existed at"; }

const char *word_help(enum lang l)
{
    if (l == LANG_NL) {
        return "chatkluis-verify - beoordeelt een archiefpakket, zonder netwerk, zonder iets te wijzigen\n"
               "\n"
               "  chatkluis-verify [--trust BESTAND] [--receipt BESTAND] [--crl BESTAND]… [--at TIJD] [--json] [--lang en|nl] BESTAND.asice…\n"
               "\n"
               "  --trust BESTAND    trust.json: wiens apparaten, zegel, tijd en logboek u vertrouwt;\n"
               "                     zonder dit is het beste oordeel \"niet vast te stellen\"\n"
               "  --receipt BESTAND  het ontvangstbewijs van (precies één) pakket\n"
               "  --crl BESTAND      intrekkingslijst van een autoriteit uit trust.json\n"
               "  --at TIJD          oordeel alsof het dan was (2046-01-31T12:00:00Z), niet nu\n"
               "  --json             één regel JSON per pakket\n"
               "  --lang en|nl       taal van de tekst\n"
               "\n"
               "Einde: 0 geldig, 1 ongeldig, 2 niet vast te stellen, 64 verkeerd gebruik, 74 lezen mislukt, 75 later opnieuw.\n"
               "Bij meer pakketten telt het slechtste. Elke laag: docs/FORMAT.md §9.\n";
    }
    return "chatkluis-verify - judges an archive package: offline, read-only\n"
           "\n"
           "  chatkluis-verify [--trust FILE] [--receipt FILE] [--crl FILE]... [--at TIME] [--json] [--lang en|nl] FILE.asice...\n"
           "\n"
           "  --trust FILE    trust.json: whose devices, seal, time and log you believe;\n"
           "                  without it the best verdict is \"indeterminate\"\n"
           "  --receipt FILE  the receipt of (exactly one) package\n"
           "  --crl FILE      a revocation list of an authority in trust.json\n"
           "  --at TIME       judge as if it were then (2046-01-31T12:00:00Z), not now\n"
           "  --json          one line of JSON a package\n"
           "  --lang en|nl    language of the text\n"
           "\n"
           "Exit: 0 valid, 1 invalid, 2 indeterminate, 64 usage, 74 cannot read, 75 try again.\n"
           "Of several packages the worst counts. Each layer: docs/FORMAT.md §9.\n";
}
