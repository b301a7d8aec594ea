/* lib/ledger/internal.h - text helpers shared by note.c and proof.c; never leaves this folder. */
#ifndef KLUIS_LEDGER_INTERNAL_H
#define KLUIS_LEDGER_INTERNAL_H

#include "kluis/ledger.h"

/* Takes the next line (without its newline) off *rest.  false: no newline left. */
bool kluis_note_line(struct kluis_str *rest, struct kluis_str *line);
/* Decimal without sign, leading zero or anything else, at most INT64_MAX. */
bool kluis_note_decimal(struct kluis_str s, uint64_t *out);
/* Exactly 32 bytes in base64 of RFC 4648 §4. */
bool kluis_note_hash(struct kluis_str s, kluis_hash *out);

#endif
