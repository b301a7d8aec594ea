/* evidence_make DIR - writes objects, evidence records of our making and their authority's certificate, for another reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/support/evidence_kit.h"

static const char *dir;

static void save(const char *name, const void *p, size_t n)
{
    char path[KLUIS_PATH_MAX];
    if (kluis_path(path, sizeof path, dir, name, NULL) != KLUIS_OK || kluis_write_file(path, p, n, 0644, NULL) != KLUIS_OK) { exit(74); }
}

static void save_object(unsigned object)
{
    char sub[KLUIS_PATH_MAX], name[32], text[64];
    (void)snprintf(name, sizeof name, "object%u", object);
    if (kluis_path(sub, sizeof sub, dir, name, NULL) != KLUIS_OK || kluis_make_dir(sub, NULL) != KLUIS_OK) { exit(74); }
    for (unsigned f = 0; f < KIT_FILES; f++) {
        (void)snprintf(name, sizeof name, "object%u/file%u", object, f);
        kit_text(object, f, text);
        save(name, text, strlen(text));
    }
}

int main(int argc, char **argv)
{
    if (argc != 2 || kluis_base_init(NULL) != KLUIS_OK) { return 64; }
    dir = argv[1];
    struct pki *pki = pki_new(5);
    KLUIS_AUTO_BUF(one, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(record, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(renewed, KLUIS_EVIDENCE_MAX);
    KLUIS_AUTO_BUF(rehashed, KLUIS_EVIDENCE_MAX);
    for (unsigned i = 0; i < 7; i++) { save_object(i); }
    kit_record(pki, 1, 0, &one);
    kit_record(pki, 7, 4, &record);
    kit_restamp(pki, kluis_buf_bytes(&record), &renewed);
    kit_rehash(pki, kluis_buf_bytes(&renewed), 4, &rehashed);
    save("authority.der", pki->tsa.cert.data, pki->tsa.cert.len);
    save("one.ers", one.data, one.len);
    save("batch.ers", record.data, record.len);
    save("renewed.ers", renewed.data, renewed.len);
    save("rehashed.ers", rehashed.data, rehashed.len);
    pki_free(pki);
    return 0;
}
