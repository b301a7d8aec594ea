/* tests/unit/export_test.c - the export form: the device's bytes stay, what the vault adds has one form, anything else is refused.
 * Signatures and records are not judged here: any bytes will do. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <unistd.h>

#include "tests/support/sealed.h"
#include "tests/unit/package_forge.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define B(text) ((struct kluis_bytes){ (const uint8_t *)(text), sizeof(text) - 1 })

static struct pki *pki;
static struct sealed package;
static struct kluis_buf frozen; /* the device's bytes */

static int setup(void **state)
{
    (void)state;
    pki = pki_new(5);
    package = sealed_package(pki, &(struct sealed_options){ .stamped = true, .attachment = 300000 });
    kluis_buf_init(&frozen, 1 << 20);
    sealed_bytes(&package, &frozen);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kluis_close_quiet(&package.fd);
    kluis_buf_free(&frozen);
    pki_free(pki);
    return 0;
}

static void exported(struct kluis_bytes seal, struct kluis_bytes evidence, struct kluis_buf *out, struct kluis_buf *group)
{
    char name[] = "/tmp/kluis-export-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    struct kluis_input_mem mem = { kluis_buf_bytes(&frozen), 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_package_facts facts;
    KLUIS_AUTO(kluis_export) x = NULL;
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    uint64_t size = 0;
    kluis_package_facts_init(&facts);
    OK(kluis_export_begin(&in, fd, &facts, &x, NULL));
    assert_memory_equal(facts.id, package.id, 32);
    OK(kluis_export_manifest(x, &manifest, NULL));
    OK(kluis_export_seal(x, seal, NULL));
    OK(kluis_export_group(x, group, NULL));
    if (evidence.ptr) { OK(kluis_export_evidence(x, evidence, NULL)); }
    OK(kluis_export_finish(x, &size, NULL));
    uint8_t *to = kluis_buf_reserve(out, (size_t)size);
    assert_non_null(to);
    OK(kluis_pread_all(fd, to, (size_t)size, 0, "export", NULL));
    out->len += (size_t)size;
    kluis_package_facts_clear(&facts);
    kluis_close_quiet(&fd);
}

static kluis_status read_as(struct kluis_bytes b, bool export, struct kluis_package_facts *facts, struct kluis_err *err)
{
    struct kluis_input_mem mem = { b, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    return export ? kluis_export_read(&in, NULL, NULL, facts, err) : kluis_package_read(&in, NULL, facts, err);
}

static void refused_by(struct kluis_bytes b, enum kluis_package_layer layer, const char *what)
{
    struct kluis_package_facts f;
    struct kluis_err err = { 0 };
    kluis_package_facts_init(&f);
    kluis_status rc = read_as(b, true, &f, &err);
    if ((rc != KLUIS_E_REJECT && rc != KLUIS_E_LIMIT) || f.failed != layer) {
        fail_msg("%s: %d in layer %d: %s", what, (int)rc, (int)f.failed, err.msg);
    }
    kluis_package_facts_clear(&f);
}

static void an_export_holds_the_devices_bytes_and_gives_its_id_back(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        KLUIS_AUTO_BUF(out, 2 << 20);
        KLUIS_AUTO_BUF(group, 1 << 20);
        struct kluis_package_facts f;
        struct kluis_err err = { 0 };
        kluis_package_facts_init(&f);
        exported(B("seal"), with ? B("evidence") : (struct kluis_bytes){ NULL, 0 }, &out, &group);
        if (read_as(kluis_buf_bytes(&out), true, &f, &err) != KLUIS_OK) { fail_msg("%s", err.msg); }
        assert_memory_equal(f.id, package.id, 32); /* of the frozen file, not of the export */
        assert_int_equal(f.size, package.size);
        assert_memory_equal(f.records_root, package.root, 32);
        assert_true(f.seal.len == 4 && memcmp(f.seal.data, "seal", 4) == 0);
        assert_int_equal(f.evidence.len, with ? 8 : 0);
        assert_int_equal(f.group.len, with ? group.len : 0);
        if (with) { assert_memory_equal(f.group.data, group.data, group.len); }
        /* Up to the directory the bytes are the device's. */
        const uint8_t *end = memmem(frozen.data, frozen.len, "PK\1\2", 4);
        assert_non_null(end);
        assert_memory_equal(out.data, frozen.data, (size_t)(end - frozen.data));
        /* At intake it is no package. */
        kluis_package_facts_clear(&f);
        assert_int_equal(read_as(kluis_buf_bytes(&out), false, &f, &err), KLUIS_E_REJECT);
        assert_int_equal(f.failed, KLUIS_LAYER_MANIFESTS);
        kluis_package_facts_clear(&f);
    }
    struct kluis_package_facts f;
    kluis_package_facts_init(&f);
    OK(read_as(kluis_buf_bytes(&frozen), true, &f, NULL)); /* a bare package is read too */
    assert_memory_equal(f.id, package.id, 32);
    assert_true(f.seal.len == 0 && f.evidence.len == 0 && f.group.len == 0);
    kluis_package_facts_clear(&f);
}

static void the_evidence_group_is_every_file_but_mimetype(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 2 << 20);
    KLUIS_AUTO_BUF(group, 1 << 20);
    struct forge f;
    size_t n = 0;
    exported(B("seal"), B("evidence"), &out, &group);
    forge_open(&f, kluis_buf_bytes(&out));
    for (size_t i = 0; i < f.n; i++) {
        uint8_t sha[32];
        if (strcmp(f.file[i].name, "mimetype") == 0 || strstr(f.file[i].name, "videncerecord") || strstr(f.file[i].name, "EvidenceRecord")) {
            continue;
        }
        kluis_sha256_of(f.file[i].data, f.file[i].n, sha);
        assert_true(n + 32 <= group.len);
        assert_memory_equal(group.data + n, sha, 32);
        n += 32;
    }
    assert_int_equal(n, group.len);
    assert_non_null(strstr(f.file[f.n - 3].name, "signature002.p7s"));
    forge_free(&f);
}

static void what_is_changed_missing_or_added_behind_the_package_is_refused(void **state)
{
    (void)state;
    static const char *const places[] = { "ASiCManifest002.xml", "signature002.p7s", "ASiCEvidenceRecordManifest001.xml", "evidencerecord001.ers" };
    KLUIS_AUTO_BUF(out, 2 << 20);
    KLUIS_AUTO_BUF(group, 1 << 20);
    KLUIS_AUTO_BUF(made, 2 << 20);
    struct forge f;
    exported(B("seal"), B("evidence"), &out, &group);

    forge_open(&f, kluis_buf_bytes(&out)); /* the control */
    forge_close(&f, &made);
    struct kluis_package_facts facts;
    kluis_package_facts_init(&facts);
    OK(read_as(kluis_buf_bytes(&made), true, &facts, NULL));
    kluis_package_facts_clear(&facts);
    forge_free(&f);

    for (size_t i = 0; i < 4; i++) {
        forge_open(&f, kluis_buf_bytes(&out));
        forge_remove(&f, places[i]);
        made.len = 0;
        forge_close(&f, &made);
        refused_by(kluis_buf_bytes(&made), KLUIS_LAYER_MANIFESTS, places[i]);
        forge_free(&f);

        forge_open(&f, kluis_buf_bytes(&out));
        struct forge_file *e = forge_find(&f, places[i]);
        e->name[strlen(e->name) - 5] ^= 1;
        made.len = 0;
        forge_close(&f, &made);
        refused_by(kluis_buf_bytes(&made), KLUIS_LAYER_MANIFESTS, "renamed");
        forge_free(&f);

        if (i % 2 == 0) { /* a digest in a list */
            forge_open(&f, kluis_buf_bytes(&out));
            forge_replace(&f, places[i], "<ds:DigestValue>", "<ds:DigestValue>A");
            made.len = 0;
            forge_close(&f, &made);
            refused_by(kluis_buf_bytes(&made), KLUIS_LAYER_MANIFESTS, "another digest");
            forge_free(&f);
        }
    }
    static const char *const extra[] = { "META-INF/ASiCManifest003.xml", "META-INF/evidencerecord002.ers", "readme.txt" };
    for (size_t i = 0; i < 3; i++) {
        forge_open(&f, kluis_buf_bytes(&out));
        forge_insert(&f, f.n, extra[i], "extra", 5);
        made.len = 0;
        forge_close(&f, &made);
        refused_by(kluis_buf_bytes(&made), KLUIS_LAYER_MANIFESTS, extra[i]);
        forge_free(&f);
    }
    /* An evidence record without the seal before it. */
    forge_open(&f, kluis_buf_bytes(&out));
    forge_remove(&f, places[0]);
    forge_remove(&f, places[1]);
    made.len = 0;
    forge_close(&f, &made);
    refused_by(kluis_buf_bytes(&made), KLUIS_LAYER_MANIFESTS, "evidence without seal");
    forge_free(&f);
    for (size_t n = 0; n < out.len; n += n + 700 < out.len ? 97 : 1) { /* every cut */
        refused_by((struct kluis_bytes){ out.data, n }, KLUIS_LAYER_CONTAINER, "cut");
    }
}

static void an_export_is_not_exported_again(void **state)
{
    (void)state;
    KLUIS_AUTO_BUF(out, 2 << 20);
    KLUIS_AUTO_BUF(group, 1 << 20);
    exported(B("seal"), (struct kluis_bytes){ NULL, 0 }, &out, &group);
    char name[] = "/tmp/kluis-export-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    struct kluis_input_mem mem = { kluis_buf_bytes(&out), 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_package_facts facts;
    struct kluis_export *x = NULL;
    kluis_package_facts_init(&facts);
    assert_int_equal(kluis_export_begin(&in, fd, &facts, &x, NULL), KLUIS_E_REJECT);
    assert_null(x);
    kluis_package_facts_clear(&facts);
    kluis_close_quiet(&fd);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_holds_the_devices_bytes_and_gives_its_id_back),
        cmocka_unit_test(the_evidence_group_is_every_file_but_mimetype),
        cmocka_unit_test(what_is_changed_missing_or_added_behind_the_package_is_refused),
        cmocka_unit_test(an_export_is_not_exported_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
