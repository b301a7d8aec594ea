/* mdto.h - MDTO 1.0 sidecars as text.  Never leaves the folder. */
#ifndef PACKAGE_MDTO_H
#define PACKAGE_MDTO_H

#include "form.h"

/* What a file is, as far as its first bytes and its name tell. */
struct mdto_format {
    const char *label, *code;
    bool pronom;
    bool packed;
}; /* code NULL: label alone; packed: deflate gains nothing */
struct mdto_format mdto_format_of(const uint8_t *head, size_t n, const char *name);

struct mdto_scope {
    const struct kluis_package_meta *meta;
    const char *dossier_id; /* form_dossier_id */
};
struct mdto_file {
    const char *name;
    uint64_t size;
    const uint8_t *sha256;
    struct mdto_format format;
    char media_type[128];
};

void mdto_bestand(const struct mdto_scope *s, const struct mdto_file *f, struct kluis_buf *out);
void mdto_archiefstuk(const struct mdto_scope *s, const struct mdto_file *files, size_t n, struct kluis_buf *out);
void mdto_dossier(const struct mdto_scope *s, struct kluis_buf *out);

#endif
