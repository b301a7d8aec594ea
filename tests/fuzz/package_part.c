/* A sound package with one file of it replaced and every length, checksum and (unless the file is one) list made to fit again, so that
 * what reads the file is reached: MDTO sidecars, bag-info, manifests, records.  Input: which file, whether lists are made again, its bytes. */
#include "tests/fuzz/package_sink.h"
#include "tests/unit/package_forge.h"

static struct forge base;

void fuzz_setup(void)
{
    kluis_package_warm();
    forge_open(&base, fuzz_world("package.asice"));
    MUST(package_read_memory(fuzz_world("package.asice").ptr, fuzz_world("package.asice").len) == KLUIS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    if (n < 2) { return 0; }
    struct forge f = base;
    struct forge_file *e = &f.file[p[0] % f.n];
    bool list = (p[1] & 1) != 0;
    uint8_t *own[FORGE_FILES];
    for (size_t i = 0; i < f.n; i++) {
        const uint8_t *from = &f.file[i] == e ? p + 2 : base.file[i].data;
        size_t len = &f.file[i] == e ? n - 2 : base.file[i].n;
        own[i] = kluis_malloc(len + 1);
        MUST(own[i] != NULL);
        if (len > 0) { memcpy(own[i], from, len); }
        own[i][len] = 0;
        f.file[i].data = own[i];
        f.file[i].n = len;
    }
    struct forge_file *info = forge_find(&f, "bag-info.txt");
    const char *oxum = strstr((const char *)info->data, "Payload-Oxum: ");
    /* Making lists again rewrites this line; without a short one there is nothing to rewrite. */
    if (list && oxum != NULL && strlen((const char *)info->data) == info->n && strcspn(oxum, "\n") < 60) { forge_relist(&f); }
    KLUIS_AUTO_BUF(b, 16 << 20);
    forge_close(&f, &b);
    (void)package_read_memory(b.data, b.len);
    forge_free(&f);
    return 0;
}
