/* tests/integration/refusals.c - a package that a real agent archived, its receipt, and everything that must not pass for them.
 *
 * refusals PACKAGE RECEIPT OTHER_PACKAGE OTHER_RECEIPT TRUST STRANGER_TRUST: run by refusals.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/cms.h>

#include "kluis/validation.h"
#include "tests/unit/package_forge.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
enum { FLIPS = 4000, PACKAGE_MAX = 64 << 20 };

static struct kluis_buf package, receipt, other_package, other_receipt;
static struct kluis_trust trust, stranger;
static struct kluis_arena *arena;
static int64_t now;
static const struct kluis_str no_receipt = { NULL, 0 };

static struct kluis_str str_of(const struct kluis_buf *b) { return (struct kluis_str){ (const char *)b->data, b->len }; }

/* The verdict; *layer: the first invalid one. */
static enum kluis_outcome judge(struct kluis_bytes bytes, struct kluis_str r, const struct kluis_trust *t, enum kluis_layer *layer)
{
    struct kluis_verdict v;
    struct kluis_input_mem mem = { bytes, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    OK(kluis_validate(&in, r, t, NULL, now, &v, NULL));
    enum kluis_outcome o = v.overall;
    *layer = KLUIS_V_LAYERS;
    for (int l = KLUIS_V_LAYERS - 1; l >= 0; l--) {
        if (v.layer[l].state == KLUIS_L_INVALID) {
            *layer = (enum kluis_layer)l;
            assert_true(v.layer[l].reason[0] != 0);
        }
    }
    kluis_verdict_clear(&v);
    return o;
}

static void refused_by(const char *what, struct kluis_bytes bytes, struct kluis_str r, const struct kluis_trust *t, enum kluis_layer want)
{
    enum kluis_layer layer;
    if (judge(bytes, r, t, &layer) != KLUIS_INVALID) { fail_msg("%s is not refused", what); }
    if (layer != want) { fail_msg("%s is refused by %s, not by %s", what, kluis_layer_name(layer), kluis_layer_name(want)); }
}

static void as_archived_it_is_valid(void **state)
{
    (void)state;
    enum kluis_layer layer;
    assert_int_equal(judge(kluis_buf_bytes(&package), str_of(&receipt), &trust, &layer), KLUIS_VALID);
    assert_int_equal(judge(kluis_buf_bytes(&package), no_receipt, &trust, &layer), KLUIS_VALID);
    assert_int_equal(judge(kluis_buf_bytes(&other_package), str_of(&other_receipt), &trust, &layer), KLUIS_VALID);
    assert_int_equal(judge(kluis_buf_bytes(&package), str_of(&receipt), NULL, &layer), KLUIS_INDETERMINATE);
}

/* Names and contents as libarchive reads them from front to back, as one digest. */
static bool inflated(struct kluis_bytes b, uint8_t sha[32])
{
    KLUIS_AUTO(kluis_sha256) h = kluis_sha256_new();
    assert_non_null(h);
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    char block[16384];
    bool ok = archive_read_support_format_zip(a) == ARCHIVE_OK && archive_read_open_memory(a, b.ptr, b.len) == ARCHIVE_OK;
    int rc = ARCHIVE_OK;
    while (ok && (rc = archive_read_next_header(a, &e)) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(e);
        ok = name != NULL;
        if (ok) { kluis_sha256_add(h, name, strlen(name) + 1); }
        la_ssize_t n = 0;
        while (ok && (n = archive_read_data(a, block, sizeof block)) > 0) { kluis_sha256_add(h, block, (size_t)n); }
        ok = ok && n == 0;
        kluis_sha256_add(h, "", 1);
    }
    ok = ok && rc == ARCHIVE_EOF;
    (void)archive_read_free(a);
    kluis_sha256_end(h, sha);
    return ok;
}

static size_t sampled(size_t i, size_t bits) { return (i * (size_t)2654435761u + 12345) % bits; }

static void with_the_receipt_every_flipped_bit_is_refused(void **state)
{
    (void)state;
    size_t named[KLUIS_V_LAYERS + 1] = { 0 };
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = sampled(i, 8 * package.len);
        enum kluis_layer layer;
        package.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum kluis_outcome o = judge(kluis_buf_bytes(&package), str_of(&receipt), &trust, &layer);
        package.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (o != KLUIS_INVALID) { fail_msg("bit %zu of %zu is not refused", bit, 8 * package.len); }
        named[layer]++;
    }
    assert_int_equal(named[KLUIS_V_LAYERS], 0);
    for (int l = 0; l < KLUIS_V_LAYERS; l++) {
        if (named[l] > 0) { print_message("%zu flips refused by %s\n", named[l], kluis_layer_name((enum kluis_layer)l)); }
    }
    assert_true(named[KLUIS_V_CONTAINER] > 0 && named[KLUIS_V_MANIFESTS] + named[KLUIS_V_SIGNATURE] + named[KLUIS_V_TIME] > 0);
}

static void without_it_only_flips_pass_that_change_no_content(void **state)
{
    (void)state;
    uint8_t before[32], after[32];
    size_t passed = 0, seen = 0;
    assert_true(inflated(kluis_buf_bytes(&package), before));
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = sampled(i + FLIPS, 8 * package.len);
        enum kluis_layer layer;
        package.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (judge(kluis_buf_bytes(&package), no_receipt, &trust, &layer) != KLUIS_INVALID) {
            passed++;
            assert_true(inflated(kluis_buf_bytes(&package), after));
            assert_memory_equal(before, after, 32);
        } else if (!inflated(kluis_buf_bytes(&package), after) || memcmp(before, after, 32) != 0) {
            seen++; /* the control: the other inflater does see changes */
        }
        package.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    print_message("%zu of %d flips pass without a receipt; libarchive sees %zu of them\n", passed, FLIPS, seen);
    assert_true(passed * 1000 <= FLIPS);
    assert_true(seen > FLIPS / 2);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    size_t cuts = 0, marks = 0;
    enum kluis_layer layer;
    bool *near = kluis_calloc(package.len, 1);
    assert_non_null(near);
    for (size_t i = 0; i + 4 < package.len; i++) { /* local headers, directory entries, end record */
        if (memcmp(package.data + i, "PK", 2) != 0 || package.data[i + 2] > 6) { continue; }
        marks++;
        for (size_t k = i < 40 ? 0 : i - 40; k < i + 80 && k < package.len; k++) { near[k] = true; }
    }
    for (size_t n = 0; n < package.len; n++) {
        if (!near[n] && n % 37 != 0 && n + 64 < package.len) { continue; }
        cuts++;
        for (int with = 0; with < 2; with++) {
            if (judge((struct kluis_bytes){ package.data, n }, with ? str_of(&receipt) : no_receipt, &trust, &layer) != KLUIS_INVALID) {
                fail_msg("cut at %zu is not refused", n);
            }
            if (layer != KLUIS_V_CONTAINER) { fail_msg("cut at %zu is refused by %s", n, kluis_layer_name(layer)); }
        }
    }
    kluis_free(near);
    print_message("%zu truncations, around %zu structures\n", cuts, marks);
    assert_true(marks > 20 && cuts > 1000);
}

static struct kluis_bytes closed(const struct forge *f, struct kluis_buf *out)
{
    kluis_buf_clear(out);
    forge_close(f, out);
    return kluis_buf_bytes(out);
}

/* The same signature with the token of another one. */
static void swap_token(const struct forge_file *of, const struct forge_file *from, struct kluis_buf *out)
{
    const unsigned char *p = of->data, *q = from->data;
    CMS_ContentInfo *a = d2i_CMS_ContentInfo(NULL, &p, (long)of->n), *b = d2i_CMS_ContentInfo(NULL, &q, (long)from->n);
    assert_non_null(a);
    assert_non_null(b);
    CMS_SignerInfo *sa = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(a), 0), *sb = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(b), 0);
    X509_ATTRIBUTE *token = CMS_unsigned_get_attr(sb, CMS_unsigned_get_attr_by_NID(sb, NID_id_smime_aa_timeStampToken, -1));
    X509_ATTRIBUTE *own = CMS_unsigned_delete_attr(sa, CMS_unsigned_get_attr_by_NID(sa, NID_id_smime_aa_timeStampToken, -1));
    assert_non_null(token);
    assert_non_null(own);
    assert_int_equal(CMS_unsigned_add1_attr(sa, token), 1);
    unsigned char *der = NULL;
    int n = i2d_CMS_ContentInfo(a, &der);
    assert_true(n > 0);
    kluis_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    X509_ATTRIBUTE_free(own);
    CMS_ContentInfo_free(a);
    CMS_ContentInfo_free(b);
}

static void set_data(struct forge_file *f, const void *p, size_t n)
{
    kluis_free(f->data);
    f->data = kluis_malloc(n + 1);
    assert_non_null(f->data);
    memcpy(f->data, p, n);
    f->n = n;
}

static void what_was_added_renamed_or_swapped_is_refused_by_its_layer(void **state)
{
    (void)state;
    struct forge f, o;
    enum kluis_layer layer;
    KLUIS_AUTO_BUF(out, PACKAGE_MAX);
    KLUIS_AUTO_BUF(p7s, 1 << 20);

    forge_open(&f, kluis_buf_bytes(&package));
    forge_open(&o, kluis_buf_bytes(&other_package));
    /* The control: taken apart and put together again it still passes, so what follows is refused for what was changed. */
    assert_int_equal(judge(closed(&f, &out), no_receipt, &trust, &layer), KLUIS_VALID);

    size_t records = (size_t)(forge_find(&f, "/records.jsonl") - f.file);
    forge_insert(&f, records, "data/extra.txt", "extra", 5);
    refused_by("an added file", closed(&f, &out), no_receipt, &trust, KLUIS_V_MANIFESTS);
    refused_by("an added file, with the receipt", closed(&f, &out), str_of(&receipt), &trust, KLUIS_V_MANIFESTS);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package));
    forge_insert(&f, f.n, "META-INF/signature002.p7s", "extra", 5);
    refused_by("a file added in META-INF", closed(&f, &out), no_receipt, &trust, KLUIS_V_MANIFESTS);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package));
    struct forge_file *e = forge_find(&f, "/loss.json");
    memcpy(e->name + strlen(e->name) - 9, "lost.json", 10);
    refused_by("a renamed file", closed(&f, &out), no_receipt, &trust, KLUIS_V_MANIFESTS);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package));
    e = forge_find(&f, "/loss.json");
    set_data(e, "{}\n", 3);
    refused_by("a changed file", closed(&f, &out), no_receipt, &trust, KLUIS_V_MANIFESTS);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package)); /* all lists agree again: only the signature is left to tell */
    forge_replace(&f, "bag-info.txt", "Source-Organization: Provincie", "Source-Organization: Gemeentee");
    forge_relist(&f);
    if (judge(closed(&f, &out), no_receipt, &trust, &layer) != KLUIS_INVALID) {
        fail_msg("a changed bag-info with its lists made to agree is not refused");
    }
    assert_true(layer == KLUIS_V_METADATA || layer == KLUIS_V_SIGNATURE);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package));
    e = forge_find(&f, "signature001.p7s");
    struct forge_file *theirs = forge_find(&o, "signature001.p7s");
    set_data(e, theirs->data, theirs->n);
    refused_by("the signature of another package", closed(&f, &out), no_receipt, &trust, KLUIS_V_SIGNATURE);
    forge_free(&f);

    forge_open(&f, kluis_buf_bytes(&package));
    e = forge_find(&f, "signature001.p7s");
    swap_token(e, e, &p7s); /* the control: its own token put back */
    set_data(e, p7s.data, p7s.len);
    assert_int_equal(judge(closed(&f, &out), no_receipt, &trust, &layer), KLUIS_VALID);
    kluis_buf_clear(&p7s);
    swap_token(e, theirs, &p7s);
    set_data(e, p7s.data, p7s.len);
    refused_by("a token over another signature", closed(&f, &out), no_receipt, &trust, KLUIS_V_TIME);
    forge_free(&f);
    forge_free(&o);
}

static void a_stranger_and_a_foreign_receipt_are_refused_by_their_layer(void **state)
{
    (void)state;
    struct kluis_bytes bytes = kluis_buf_bytes(&package);
    struct kluis_trust t = trust;
    t.tsa_cas = stranger.tsa_cas;
    t.n_tsa_cas = stranger.n_tsa_cas;
    refused_by("a token of an unknown authority", bytes, no_receipt, &t, KLUIS_V_TIME);
    t = trust;
    t.device_cas = stranger.device_cas;
    t.n_device_cas = stranger.n_device_cas;
    refused_by("a device of another organisation", bytes, no_receipt, &t, KLUIS_V_CERTIFICATE);
    t = trust;
    t.log_vkey = stranger.log_vkey;
    refused_by("another log", bytes, str_of(&receipt), &t, KLUIS_V_LEDGER);
    t = trust;
    t.seal_cas = stranger.seal_cas;
    t.n_seal_cas = stranger.n_seal_cas;
    refused_by("another seal", bytes, str_of(&receipt), &t, KLUIS_V_CHECKPOINT);
    refused_by("a receipt of another package", bytes, str_of(&other_receipt), &trust, KLUIS_V_RECEIPT);

    struct kluis_receipt mine, theirs;
    KLUIS_AUTO_BUF(mixed, KLUIS_RECEIPT_MAX);
    OK(kluis_receipt_read(str_of(&receipt), arena, &mine, NULL));
    OK(kluis_receipt_read(str_of(&other_receipt), arena, &theirs, NULL));
    struct kluis_receipt m = mine;
    m.proof = theirs.proof;
    m.checkpoint_seal = theirs.checkpoint_seal;
    OK(kluis_receipt_write(&m, &mixed, NULL));
    refused_by("a proof that leads elsewhere", bytes, str_of(&mixed), &trust, KLUIS_V_LEDGER);
    /* One character of the head in the checkpoint: the log's signature no longer holds. */
    char *proof = kluis_malloc(mine.proof.len);
    assert_non_null(proof);
    memcpy(proof, mine.proof.ptr, mine.proof.len);
    char *empty = memmem(proof, mine.proof.len, "\n\n", 2);
    assert_non_null(empty);
    char *head = memchr(empty + 2, '\n', 200); /* origin */
    head = memchr(head + 1, '\n', 200);        /* size   */
    head[5] = head[5] == 'A' ? 'B' : 'A';
    m = mine;
    m.proof.ptr = proof;
    kluis_buf_clear(&mixed);
    OK(kluis_receipt_write(&m, &mixed, NULL));
    refused_by("a proof against another root", bytes, str_of(&mixed), &trust, KLUIS_V_LEDGER);
    kluis_free(proof);
}

static void load(const char *path, struct kluis_buf *b)
{
    struct kluis_err err = { 0 };
    kluis_buf_init(b, PACKAGE_MAX);
    if (kluis_read_file(path, PACKAGE_MAX, b, &err) != KLUIS_OK) {
        (void)fprintf(stderr, "refusals: %s\n", err.msg);
        exit(74);
    }
}

int main(int argc, char **argv)
{
    struct kluis_buf mine, theirs;
    if (argc != 7 || kluis_base_init(NULL) != KLUIS_OK || (arena = kluis_arena_new(64 << 20)) == NULL) { return 64; }
    load(argv[1], &package);
    load(argv[2], &receipt);
    load(argv[3], &other_package);
    load(argv[4], &other_receipt);
    load(argv[5], &mine);
    load(argv[6], &theirs);
    if (kluis_trust_read(str_of(&mine), arena, &trust, NULL) != KLUIS_OK || kluis_trust_read(str_of(&theirs), arena, &stranger, NULL) != KLUIS_OK) {
        return 64;
    }
    now = kluis_now_us();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_archived_it_is_valid),
        cmocka_unit_test(with_the_receipt_every_flipped_bit_is_refused),
        cmocka_unit_test(without_it_only_flips_pass_that_change_no_content),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_was_added_renamed_or_swapped_is_refused_by_its_layer),
        cmocka_unit_test(a_stranger_and_a_foreign_receipt_are_refused_by_their_layer),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct kluis_buf *const all[] = { &package, &receipt, &other_package, &other_receipt, &mine, &theirs };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) { kluis_buf_free(all[i]); }
    kluis_arena_free(arena);
    return failed;
}
