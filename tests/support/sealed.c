/* tests/support/sealed.c - sealed packages and receipts of our own making. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <unistd.h>

#include "tests/support/sealed.h"

#define OK(expr) assert_int_equal((expr), KLUIS_OK)
#define S(text) KLUIS_STR_LIT(text)

struct noise {
    uint64_t seed;
    size_t left;
};

static ssize_t noise_read(void *ctx, void *p, size_t n, struct kluis_err *err)
{
    (void)err;
    struct noise *s = ctx;
    uint8_t *to = p;
    if (n > s->left) { n = s->left; }
    for (size_t i = 0; i < n; i += 8) {
        s->seed ^= s->seed << 13;
        s->seed ^= s->seed >> 7;
        s->seed ^= s->seed << 17;
        memcpy(to + i, &s->seed, n - i < 8 ? n - i : 8);
    }
    s->left -= n;
    return (ssize_t)n;
}

/* Text that compresses as chats do: words drawn from a small list. */
static size_t babble(char *out, size_t n, uint64_t *seed)
{
    static const char *const words[] = { "de ",      "nota ", "ligt ",  "morgen ",  "bij ",         "het ",
                                         "overleg ", "dijk ", "graag ", "akkoord ", "vergadering ", "stuk " };
    size_t at = 0;
    while (at < n) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        const char *w = words[*seed % (sizeof words / sizeof *words)];
        size_t len = strlen(w) < n - at ? strlen(w) : n - at;
        memcpy(out + at, w, len);
        at += len;
    }
    return at;
}

struct sealed sealed_package(const struct pki *p, const struct sealed_options *o)
{
    static const struct kluis_party parties[] = { { .name = { "J. de Vries", 11 }, .number = { "+31600000001", 12 } }, { .name = { "Samira", 6 } } };
    static const uint32_t members[] = { 0, 1 };
    struct kluis_header h = { .platform = S("whatsapp"),
                              .conversation_id = S("c-1"),
                              .conversation_name = S("Dijkoverleg"),
                              .type = KLUIS_GROUP,
                              .parties = parties,
                              .n_parties = 2,
                              .participants = members,
                              .n_participants = 2,
                              .self = 0,
                              .provenance = { .source = S("whatsapp-text"), .reader = S("chatkluis test") },
                              .zone = KLUIS_ZONE_ASSUMED,
                              .zone_name = S("Europe/Amsterdam"),
                              .precision = KLUIS_PRECISION_MINUTE };
    if (o->header) { h = *o->header; }
    memset(h.salt, o->salt ? o->salt : 0x5a, sizeof h.salt);
    struct kluis_package_meta m = { .header = &h,
                                    .organisation = S("Testministerie"),
                                    .device = kluis_str_of(o->device ? o->device : PKI_DEVICE),
                                    .sequence = o->sequence ? o->sequence : 1,
                                    .waardering = 'N',
                                    .first_us = 1740830700000000,
                                    .last_us = 1740830700000000,
                                    .closed_us = o->closed_us ? o->closed_us : 1743458401000000,
                                    .part = 1 };
    if (o->previous) { memcpy(m.previous, o->previous, sizeof m.previous); }
    char name[] = "/tmp/kluis-sealed-XXXXXX";
    struct sealed s = { .fd = mkstemp(name) };
    assert_true(s.fd >= 0);
    assert_int_equal(kluis_io_unlink(name), 0);
    KLUIS_AUTO(kluis_package_writer) w = NULL;
    OK(kluis_package_begin(&w, s.fd, o->level ? o->level : 6, &m, NULL));
    struct kluis_attachment file[2] = { { .name = S("foto.jpg"), .type = S("image/jpeg"), .size = -1 }, { .name = S("nota.bin"), .size = -1 } };
    size_t files = o->attachment == 0 ? 0 : o->twin_type ? 2 : 1;
    for (size_t i = 0; i < files; i++) {
        struct noise noise = { 88172645463325252u, o->attachment };
        struct kluis_input in = { .ctx = &noise, .read = noise_read };
        uint64_t size = 0;
        if (i == 1) { file[i].type = kluis_str_of(o->twin_type); }
        OK(kluis_package_attachment(w, file[i].name, file[i].type, &in, file[i].sha256, &size, NULL));
        file[i].size = (int64_t)size;
        file[i].has_sha256 = true;
    }
    OK(kluis_package_records_begin(w, NULL));
    char *text = kluis_malloc(o->text + 80);
    assert_non_null(text);
    uint64_t seed = 362436069;
    for (size_t i = 0; i < o->n_given; i++) { OK(kluis_package_record(w, &o->given[i], (struct kluis_bytes){ NULL, 0 }, NULL)); }
    for (unsigned i = 0; o->n_given == 0 && i < (o->records ? o->records : 5); i++) {
        size_t len = o->text ? babble(text, o->text, &seed) : (size_t)snprintf(text, 80, "Bericht %u over de dijk", i);
        struct kluis_record r = { .author = i % 2,
                                  .sent = { 1740830700000000 + (int64_t)i * 60000000, 60 },
                                  .zone = KLUIS_ZONE_ASSUMED,
                                  .text = { text, len },
                                  .target_author = KLUIS_NO_PARTY,
                                  .target_sent = { KLUIS_TIME_ABSENT, 0 } };
        if (i == 1 && files != 0) {
            r.attachments = file;
            r.n_attachments = files;
        }
        OK(kluis_package_record(w, &r, (struct kluis_bytes){ (const uint8_t *)text, len }, NULL));
    }
    kluis_free(text);
    OK(kluis_package_records_end(w, s.root, NULL));
    KLUIS_AUTO_BUF(manifest, KLUIS_MANIFEST_MAX);
    KLUIS_AUTO_BUF(p7s, KLUIS_P7S_MAX);
    OK(kluis_package_manifest(w, &manifest, NULL));
    if (o->signature.ptr) {
        kluis_buf_add(&p7s, o->signature.ptr, o->signature.len);
    } else {
        pki_sign(p, &p->device, &p->device_ca, o->sign_instead.ptr ? o->sign_instead : kluis_buf_bytes(&manifest), o->stamped, &p7s);
    }
    OK(kluis_package_finish(w, kluis_buf_bytes(&p7s), s.id, &s.size, NULL));
    kluis_sha256_of(p->device.cert.data, p->device.cert.len, s.device);
    return s;
}

void sealed_bytes(const struct sealed *s, struct kluis_buf *out)
{
    uint8_t *to = kluis_buf_reserve(out, (size_t)s->size);
    assert_non_null(to);
    OK(kluis_pread_all(s->fd, to, (size_t)s->size, 0, "package", NULL));
    out->len += (size_t)s->size;
}

enum { LEAVES = 100, OURS = 42 };
struct log {
    struct kluis_tree tree;
    kluis_hash node[8][LEAVES];
};

static void keep(void *ctx, unsigned level, uint64_t index, const kluis_hash *h)
{
    struct log *l = ctx;
    assert_true(level < 8 && index < LEAVES);
    l->node[level][index] = *h;
}

static kluis_status get(void *ctx, unsigned level, uint64_t index, kluis_hash *out, struct kluis_err *err)
{
    (void)err;
    *out = ((struct log *)ctx)->node[level][index];
    return KLUIS_OK;
}

void sealed_receipt(const struct pki *p, const struct sealed *s, const struct receipt_options *o, struct kluis_buf *json)
{
    struct kluis_leaf leaf = { .verdict = "valid", .received_us = kluis_now_us() / 1000000 * 1000000 };
    memcpy(leaf.package, s->id, 32);
    memcpy(leaf.records_root, s->root, 32);
    memcpy(leaf.device, s->device, 32);
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    KLUIS_AUTO_BUF(note, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(proof, KLUIS_TLOG_PROOF_MAX);
    KLUIS_AUTO_BUF(plain, KLUIS_P7S_MAX);
    KLUIS_AUTO_BUF(stamped, KLUIS_P7S_MAX);
    OK(kluis_leaf_write(&leaf, &text, NULL));
    struct log *l = kluis_calloc(1, sizeof *l);
    assert_non_null(l);
    kluis_tree_init(&l->tree);
    for (unsigned i = 0; i < LEAVES; i++) {
        kluis_hash h;
        uint8_t other[4] = { (uint8_t)i, 1, 2, o->other_root };
        if (i == OURS) {
            kluis_leaf_hash(text.data, text.len, &h);
        } else {
            kluis_leaf_hash(other, sizeof other, &h);
        }
        kluis_tree_append(&l->tree, &h, keep, l);
    }
    struct kluis_checkpoint c = { .size = LEAVES };
    memcpy(c.origin, "log.test/2026", sizeof "log.test/2026");
    kluis_tree_head(&l->tree, &c.head);
    if (o->other_root) { c.head.b[0] ^= 1; }
    struct kluis_nodes nodes = { l, get };
    kluis_hash path[KLUIS_PROOF_MAX];
    size_t n = 0;
    OK(kluis_prove_inclusion(&nodes, OURS, LEAVES, path, &n, NULL));
    kluis_free(l);
    OK(kluis_checkpoint_sign(&c, o->log_seed ? o->log_seed : p->log_seed, &note, NULL));
    OK(kluis_tlog_proof_write(OURS, path, n, (struct kluis_str){ (const char *)note.data, note.len }, &proof, NULL));
    const struct pki_party *by = o->sealer ? o->sealer : &p->seal;
    struct kluis_bytes chain = o->sealer_issuer ? kluis_buf_bytes(&o->sealer_issuer->cert) : (struct kluis_bytes){ NULL, 0 };
    OK(kluis_seal_sign(by->key, kluis_buf_bytes(&note), kluis_buf_bytes(&by->cert), &chain, chain.ptr ? 1 : 0, kluis_now_us(), &plain, NULL));
    if (o->stamped) {
        KLUIS_AUTO_BUF(token, KLUIS_TOKEN_MAX);
        uint8_t imprint[32];
        OK(kluis_seal_imprint(kluis_buf_bytes(&plain), imprint, NULL));
        pki_token(p->authority, &p->root_anchor, imprint, &token);
        OK(kluis_seal_add_token(kluis_buf_bytes(&plain), kluis_buf_bytes(&token), &stamped, NULL));
    }
    struct kluis_receipt r = { .leaf = { (const char *)text.data, text.len },
                               .proof = { (const char *)proof.data, proof.len },
                               .checkpoint_seal = kluis_buf_bytes(o->stamped ? &stamped : &plain),
                               .stamped = o->stamped != o->say_otherwise };
    OK(kluis_receipt_write(&r, json, NULL));
}
