/* sidecar.h - reads an MDTO sidecar and says whether it agrees with what is known.  Never leaves the folder. */
#ifndef PACKAGE_SIDECAR_H
#define PACKAGE_SIDECAR_H

#include "form.h"

/* What a package says about itself; pointers NULL are not checked yet. */
struct sidecar_scope {
    const char *part;                  /* "deel-7"                                             */
    const char *dossier_dir;           /* "gesprek-0123456789ab"                               */
    char source[FORM_DEVICE_MAX + 32]; /* identificatieBron of the first one read; "" before   */
    char dossier[FORM_DOSSIER_ID];     /* id as the sidecars say; "" before                    */
    char creator[FORM_ORGANISATION_MAX + 1];
};

/* E_REJECT with the difference.  file: name, size and digest of the file the sidecar stands beside. */
KLUIS_MUSTUSE kluis_status sidecar_bestand(struct kluis_bytes xml, const char *file, uint64_t size, const uint8_t sha256[32], struct sidecar_scope *s,
                                           struct kluis_err *err);
/* files: names of the n files of the part, in order. */
KLUIS_MUSTUSE kluis_status sidecar_archiefstuk(struct kluis_bytes xml, const char *const *files, size_t n, struct sidecar_scope *s,
                                               struct kluis_err *err);
KLUIS_MUSTUSE kluis_status sidecar_dossier(struct kluis_bytes xml, struct sidecar_scope *s, struct kluis_err *err);

#endif
