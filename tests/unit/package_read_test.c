/* package_read_test.c - the reader takes what the writer makes and refuses everything else, each for its own reason. */
#include "package_forge.h"
#include "package_sample.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct sample_options FULL = { .attachments = true, .evidence = true, .waardering = 'V' };

struct seen {
    uint64_t headers, records, begins, ends, bytes;
    struct kluis_sha256 *all;
};

static kluis_status on_header(void *ctx, const struct kluis_header *h, struct kluis_str line, struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)line;
    (void)err;
    (void)h;
    s->headers++;
    return KLUIS_OK;
}

static kluis_status on_record(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)r;
    (void)err;
    assert_int_equal(ordinal, ++s->records);
    assert_int_equal(line.ptr[0], '{');
    return KLUIS_OK;
}

static kluis_status on_begin(void *ctx, const char *name, struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)err;
    s->begins++;
    kluis_sha256_add(s->all, name, strlen(name));
    return KLUIS_OK;
}

static kluis_status on_data(void *ctx, const void *p, size_t n, struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)err;
    s->bytes += n;
    kluis_sha256_add(s->all, p, n);
    return KLUIS_OK;
}

static kluis_status on_end(void *ctx, const char *name, uint64_t size, const uint8_t sha256[32], struct kluis_err *err)
{
    struct seen *s = ctx;
    (void)name;
    (void)size;
    (void)err;
    s->ends++;
    kluis_sha256_add(s->all, sha256, 32);
    return KLUIS_OK;
}

static kluis_status read_bytes(const uint8_t *p, size_t n, struct kluis_package_facts *facts, struct seen *s, struct kluis_err *err)
{
    struct kluis_input_mem mem = { { p, n }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_package_sink sink = { s, on_header, on_record, on_begin, on_data, on_end };
    kluis_err_clear(err);
    return kluis_package_read(&in, s != NULL ? &sink : NULL, facts, err);
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    struct seen s = { .all = kluis_sha256_new() };
    kluis_status rc = read_bytes(b.data, b.len, &facts, &s, &err);
    if (rc != KLUIS_OK) { fail_msg("%s (%s)", err.msg, err.where); }
    assert_memory_equal(facts.id, id, 32);
    assert_memory_equal(facts.records_root, root, 32);
    assert_int_equal(facts.size, b.len);
    assert_int_equal(facts.n_records, 5);
    assert_int_equal(facts.n_attachments, 2);
    assert_int_equal(facts.sequence, 7);
    assert_string_equal(facts.device, "00112233445566778899aabbccddeeff");
    assert_int_equal(facts.closed_us, 1743458401000000);
    assert_int_equal(facts.first_us, 1740830700000000);
    assert_int_equal(facts.last_us, 1740830700000000 + 4 * 60000000);
    assert_int_equal(facts.previous[31], 0x11);
    assert_int_equal(facts.signature.len, 53);
    assert_int_equal(s.headers, 1);
    assert_int_equal(s.records, 5);
    assert_int_equal(s.begins, 19);
    assert_int_equal(s.ends, 19);
    kluis_sha256_free(s.all);
    kluis_package_facts_clear(&facts);
}

/* Reads that give one byte at a time must not change anything. */
static ssize_t drip(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    struct kluis_input_mem *m = ctx;
    (void)n;
    (void)err;
    if (m->at == m->data.len) { return 0; }
    *(uint8_t *)p = m->data.ptr[m->at++];
    return 1;
}

static void reading_byte_by_byte_gives_the_same(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    struct kluis_input_mem mem = { { b.data, b.len }, 0 };
    struct kluis_input in = { &mem, drip };
    assert_int_equal(kluis_package_read(&in, NULL, &facts, &err), KLUIS_OK);
    assert_memory_equal(facts.id, id, 32);
    kluis_package_facts_clear(&facts);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&(struct sample_options){ .records = 1, .evidence = true }, id, root, &b);
    kluis_close_quiet(&fd);
    assert_int_equal(read_bytes(b.data, b.len, &facts, NULL, &err), KLUIS_OK);
    for (size_t n = 0; n < b.len; n++) {
        if (read_bytes(b.data, n, &facts, NULL, &err) != KLUIS_E_REJECT) { fail_msg("%zu of %zu bytes were taken for a package", n, b.len); }
        assert_int_equal(facts.failed, KLUIS_LAYER_CONTAINER);
    }
    kluis_buf_byte(&b, 0);
    assert_int_equal(read_bytes(b.data, b.len, &facts, NULL, &err), KLUIS_E_REJECT);
    kluis_package_facts_clear(&facts);
}

/* A bit flip is refused, or leaves what any other unzip program would get exactly as it was. */
static void every_bit_flip_is_refused_or_changes_no_content(void **state)
{
    (void)state;
    uint8_t id[32], root[32], want[32], got[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&(struct sample_options){ .records = 1, .evidence = true }, id, root, &b);
    kluis_close_quiet(&fd);
    struct seen s = { .all = kluis_sha256_new() };
    assert_int_equal(read_bytes(b.data, b.len, &facts, &s, &err), KLUIS_OK);
    kluis_sha256_end(s.all, want);
    size_t accepted = 0, layers[KLUIS_PACKAGE_LAYERS] = { 0 };
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
        s.records = 0;
        kluis_status rc = read_bytes(b.data, b.len, &facts, &s, &err);
        kluis_sha256_end(s.all, got);
        if (rc == KLUIS_OK) {
            accepted++;
            assert_memory_equal(got, want, 32);
            assert_memory_not_equal(facts.id, id, 32);
        } else {
            assert_true(rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT);
            layers[facts.failed]++;
        }
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
    }
    print_message("%zu flips: %zu accepted with the same content, %zu refused as container, %zu as manifests\n", b.len * 8, accepted,
                  layers[KLUIS_LAYER_CONTAINER], layers[KLUIS_LAYER_MANIFESTS]);
    assert_true(accepted * 1000 <= b.len * 8);
    kluis_sha256_free(s.all);
    kluis_package_facts_clear(&facts);
}

/* The same for a slice large enough to be inflated in one go: flips drawn over the whole file. */
static void bit_flips_of_a_large_slice_are_refused(void **state)
{
    (void)state;
    enum { FLIPS = 500 };
    uint8_t id[32], root[32], want[32], got[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 4 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&(struct sample_options){ .records = 3000, .evidence = true }, id, root, &b);
    kluis_close_quiet(&fd);
    struct seen s = { .all = kluis_sha256_new() };
    assert_int_equal(read_bytes(b.data, b.len, &facts, &s, &err), KLUIS_OK);
    assert_int_equal(s.records, 3000);
    assert_true(s.bytes > 500000);
    kluis_sha256_end(s.all, want);
    size_t refused = 0;
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = (i * 2654435761u + 12345) % (b.len * 8);
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
        s.records = 0;
        kluis_status rc = read_bytes(b.data, b.len, &facts, &s, &err);
        kluis_sha256_end(s.all, got);
        if (rc == KLUIS_OK) {
            assert_memory_equal(got, want, 32);
        } else {
            refused++;
        }
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ (1 << bit % 8));
    }
    assert_in_range(refused, FLIPS - 1, FLIPS);
    for (size_t n = 0; n < b.len; n += 997) { assert_int_equal(read_bytes(b.data, n, &facts, NULL, &err), KLUIS_E_REJECT); }
    kluis_sha256_free(s.all);
    kluis_package_facts_clear(&facts);
}

/* One change, put together again with honest headers; relist: with honest manifests too. */
struct change {
    const char *file, *find, *with;
    bool relist;
    enum kluis_package_layer layer;
};

static void every_tampering_names_its_layer(void **state)
{
    (void)state;
    static const struct change changes[] = {
        { "mimetype", "asic-e", "asic-s", true, KLUIS_LAYER_CONTAINER },
        { "a2-verslag.txt", "verslag", "vervals", false, KLUIS_LAYER_MANIFESTS },
        { "a2-verslag.txt", "verslag", "vervals", true, KLUIS_LAYER_RECORDS },
        { "records.jsonl", "Bericht", "bericht", false, KLUIS_LAYER_MANIFESTS },
        { "records.jsonl", "Bericht", "bericht", true, KLUIS_LAYER_METADATA }, /* sidecar, records root */
        { "records.jsonl", "\"author\":0", "\"author\":9", true, KLUIS_LAYER_RECORDS },
        { "records.jsonl", "{\"author\"", "{ \"author\"", false, KLUIS_LAYER_MANIFESTS },
        { "records.jsonl", "{\"author\"", "{ \"author\"", true, KLUIS_LAYER_RECORDS },
        { "records.jsonl", "\"schema\":1", "\"schema\":2", true, KLUIS_LAYER_RECORDS },
        { "records.jsonl", "\"evidence\":62", "\"evidence\":61", true, KLUIS_LAYER_RECORDS },
        { "records.jsonl", "\"size\":5000", "\"size\":5001", true, KLUIS_LAYER_RECORDS },
        { "evidence.bin", "Samira", "Saskia", true, KLUIS_LAYER_METADATA },
        { "evidence.bin", "Samira", "Sam", true, KLUIS_LAYER_RECORDS },
        { "loss.json", "omitted\":1", "omitted\":2", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "<omvang>", "<omvang>1", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "SHA-256", "SHA-512", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "deel-7/", "deel-8/", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "<MDTO ", "<!DOCTYPE MDTO><MDTO ", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "nl/mdto", "nl/ander", true, KLUIS_LAYER_METADATA },
        { "loss.json.bestand.mdto.xml", "<naam>", "<naam/><naam>", true, KLUIS_LAYER_METADATA },
        { "deel-7.mdto.xml", "<beperkingGebruik>", "<beperking>", true, KLUIS_LAYER_METADATA },
        { "deel-7.mdto.xml", "Archiefstuk", "Serie", true, KLUIS_LAYER_METADATA },
        { "deel-7.mdto.xml", "deel-7/loss.json", "deel-7/lost.json", true, KLUIS_LAYER_METADATA },
        { "deel-7.mdto.xml", "<begripCode>V<", "<begripCode>B<", true, KLUIS_LAYER_METADATA },
        { "602.mdto.xml", "<archiefvormer><verwijzingNaam>M", "<archiefvormer><verwijzingNaam>N", true, KLUIS_LAYER_METADATA },
        { "bagit.txt", "1.0", "0.9", true, KLUIS_LAYER_MANIFESTS },
        { "bag-info.txt", "Sequence: 7", "Sequence: 8", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "Sequence: 7", "Sequence: 07", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "22:00:01Z", "22:00:03Z", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "Device: 0", "Device: 1", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "Records: 5", "Records: 6", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "12:09:00.000000Z", "12:08:59.000000Z", true, KLUIS_LAYER_METADATA },
        { "bag-info.txt", "Previous: 1", "Previous: 2", false, KLUIS_LAYER_MANIFESTS },
        { "manifest-sha256.txt", "loss.json", "lost.json", false, KLUIS_LAYER_MANIFESTS },
        { "META-INF/ASiCManifest001.xml", "URI=\"bagit.txt\"", "URI=\"bogit.txt\"", false, KLUIS_LAYER_MANIFESTS },
    };
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(forged, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    struct forge f;
    forge_open(&f, kluis_buf_bytes(&b));
    forge_relist(&f);
    forge_close(&f, &forged);
    forge_free(&f);
    assert_int_equal(forged.len, b.len); /* the forger puts the very same package together */
    assert_memory_equal(forged.data, b.data, b.len);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *c = &changes[i];
        forge_open(&f, kluis_buf_bytes(&b));
        forge_replace(&f, c->file, c->find, c->with);
        if (c->relist) { forge_relist(&f); }
        forge_close(&f, &forged);
        forge_free(&f);
        kluis_status rc = read_bytes(forged.data, forged.len, &facts, NULL, &err);
        if (rc != KLUIS_E_REJECT) { fail_msg("%s: '%s' was taken (%s)", c->file, c->with, kluis_status_name(rc)); }
        if (facts.failed != c->layer) {
            fail_msg("%s: '%s' was refused by layer %d, not %d: %s", c->file, c->with, (int)facts.failed, (int)c->layer, err.msg);
        }
    }
    kluis_package_facts_clear(&facts);
}

static void files_that_do_not_belong_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *before, *name;
        bool relist;
        enum kluis_package_layer layer;
    } added[] = {
        { "records.jsonl", "data/x.txt", true, KLUIS_LAYER_MANIFESTS },
        { "loss.json", "data/gesprek-beea960c0602/deel-7/extra.txt", true, KLUIS_LAYER_MANIFESTS },
        { "bagit.txt", "fetch.txt", true, KLUIS_LAYER_MANIFESTS },
        { "META-INF/signature001.p7s", "META-INF/signature002.p7s", false, KLUIS_LAYER_MANIFESTS },
        { "", "META-INF/ASiCManifest002.xml", false, KLUIS_LAYER_MANIFESTS },
        { "", "data/late.txt", false, KLUIS_LAYER_MANIFESTS },
        { "", "records.jsonl", false, KLUIS_LAYER_MANIFESTS },
        { "", "META-INF/signature001.p7s", false, KLUIS_LAYER_MANIFESTS },
        { "bagit.txt", "bagit.txt", false, KLUIS_LAYER_MANIFESTS },
        { "bagit.txt", "../x", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "/etc/passwd", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "data//x", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "data/dir/", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "a b", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "C:x", false, KLUIS_LAYER_CONTAINER },
        { "bagit.txt", "x\xc3\xa9", false, KLUIS_LAYER_CONTAINER },
    };
    static const char *const removed[] = { "a1-foto_dijk.jpg",
                                           "evidence.bin",
                                           "loss.json",
                                           "records.jsonl.bestand.mdto.xml",
                                           "deel-7.mdto.xml",
                                           "bag-info.txt",
                                           "tagmanifest-sha256.txt",
                                           "META-INF/signature001.p7s",
                                           "mimetype" };
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    struct forge f;
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(forged, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        forge_open(&f, kluis_buf_bytes(&b));
        size_t at = added[i].before[0] == '\0' ? f.n : (size_t)(forge_find(&f, added[i].before) - f.file);
        forge_insert(&f, at, added[i].name, "x", 1);
        if (added[i].relist) { forge_relist(&f); }
        forge_close(&f, &forged);
        forge_free(&f);
        assert_int_equal(read_bytes(forged.data, forged.len, &facts, NULL, &err), KLUIS_E_REJECT);
        if (facts.failed != added[i].layer) { fail_msg("%s was refused by layer %d: %s", added[i].name, (int)facts.failed, err.msg); }
    }
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
        forge_open(&f, kluis_buf_bytes(&b));
        forge_remove(&f, removed[i]);
        forge_close(&f, &forged);
        forge_free(&f);
        assert_int_equal(read_bytes(forged.data, forged.len, &facts, NULL, &err), KLUIS_E_REJECT);
        forge_open(&f, kluis_buf_bytes(&b));
        char *name = forge_find(&f, removed[i])->name;
        name[strlen(name) - 1] = 'Q';
        forge_close(&f, &forged);
        forge_free(&f);
        assert_int_equal(read_bytes(forged.data, forged.len, &facts, NULL, &err), KLUIS_E_REJECT);
    }
    kluis_package_facts_clear(&facts);
}

static void a_bomb_stops_early(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    struct forge f;
    enum { ZEROS = 64 << 20 };
    KLUIS_AUTO_BUF(b, 1 << 20);
    KLUIS_AUTO_BUF(forged, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    forge_open(&f, kluis_buf_bytes(&b));
    struct forge_file *a = forge_find(&f, "a2-verslag.txt");
    kluis_free(a->data);
    a->data = kluis_calloc(ZEROS, 1);
    a->n = ZEROS;
    forge_close(&f, &forged);
    forge_free(&f);
    /* States 5,000 bytes and unpacks to 64 MiB: refused after the first block. */
    uint8_t *at = memmem(forged.data, forged.len, "a2-verslag.txt", 14);
    assert_non_null(at);
    uint8_t *local = at - strlen("data/gesprek-beea960c0602/deel-7/") - 30;
    assert_memory_equal(local, "PK\x03\x04", 4);
    memcpy(local + 22, "\x88\x13\0\0", 4);
    struct seen s = { .all = kluis_sha256_new() };
    assert_int_equal(read_bytes(forged.data, forged.len, &facts, &s, &err), KLUIS_E_REJECT);
    assert_int_equal(facts.failed, KLUIS_LAYER_CONTAINER);
    assert_true(s.bytes < 1 << 20);
    memcpy(local + 22, "\xff\xff\xff\xff", 4); /* states 4 GiB: refused before it is touched */
    s.bytes = 0;
    assert_int_equal(read_bytes(forged.data, forged.len, &facts, &s, &err), KLUIS_E_LIMIT);
    assert_true(s.bytes < 1 << 20);
    kluis_sha256_free(s.all);
    kluis_package_facts_clear(&facts);
}

static kluis_status refuse_third(void *ctx, const struct kluis_record *r, uint64_t ordinal, struct kluis_str line, struct kluis_err *err)
{
    (void)ctx;
    (void)r;
    (void)line;
    return ordinal == 3 ? KLUIS_FAIL(err, KLUIS_E_BUSY, "enough") : KLUIS_OK;
}

static void a_callback_can_stop_the_pass(void **state)
{
    (void)state;
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 1 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&FULL, id, root, &b);
    kluis_close_quiet(&fd);
    struct kluis_input_mem mem = { { b.data, b.len }, 0 };
    struct kluis_input in = kluis_input_from_mem(&mem);
    struct kluis_package_sink sink = { .record = refuse_third };
    assert_int_equal(kluis_package_read(&in, &sink, &facts, &err), KLUIS_E_BUSY);
    assert_string_equal(err.msg, "enough");
    kluis_package_facts_clear(&facts);
}

static unsigned long calls, failing;

static void *one_allocation_fails(size_t n)
{
    (void)n;
    return ++calls == failing ? NULL : aligned_alloc(16, 16); /* base frees it */
}

static void a_failed_allocation_is_an_error_never_a_verdict(void **state)
{
    (void)state;
    static const struct kluis_hooks hooks = { .alloc = one_allocation_fails };
    uint8_t id[32], root[32];
    struct kluis_err err = { 0 };
    struct kluis_package_facts facts;
    KLUIS_AUTO_BUF(b, 4 << 20);
    kluis_package_facts_init(&facts);
    int fd = sample_package(&(struct sample_options){ .records = 600, .evidence = true, .attachments = true }, id, root, &b);
    kluis_close_quiet(&fd);
    size_t errors = 0;
    for (failing = 1;; failing++) {
        calls = 0;
        kluis_hooks_set(&hooks);
        kluis_status rc = read_bytes(b.data, b.len, &facts, NULL, &err);
        kluis_hooks_set(NULL);
        if (rc == KLUIS_OK) {
            assert_memory_equal(facts.id, id, 32); /* that memory was only for speed, or there was no such call */
            if (calls < failing) { break; }
            continue;
        }
        assert_int_equal(rc, KLUIS_E_NOMEM);
        errors++;
    }
    assert_in_range(errors, 20, 2000);
    kluis_package_facts_clear(&facts);
}

int main(void)
{
    struct kluis_err err = { 0 };
    if (kluis_base_init(&err) != KLUIS_OK) { return 1; }
    kluis_package_warm();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(reading_byte_by_byte_gives_the_same),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_bit_flip_is_refused_or_changes_no_content),
        cmocka_unit_test(bit_flips_of_a_large_slice_are_refused),
        cmocka_unit_test(every_tampering_names_its_layer),
        cmocka_unit_test(files_that_do_not_belong_are_refused),
        cmocka_unit_test(a_bomb_stops_early),
        cmocka_unit_test(a_failed_allocation_is_an_error_never_a_verdict),
        cmocka_unit_test(a_callback_can_stop_the_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
