/* tests/unit/ledger_test.c - Merkle tree, checkpoints, witnesses, tlog-proofs, leaves.
 *
 * Known answers: the eight leaves and heads of the RFC 6962 reference tests; a checkpoint and key made by our first
 * prototype with seed 00..1f and accepted by Go's sumdb/note.  The shared vectors run where they exist. */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <dirent.h>
#include <gcrypt.h>
#include <json-c/json.h>
#include <sys/stat.h>

#include "kluis/ledger.h"

static const char *const leaf_hex[8] = { "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f" };
static const char *const head_hex[8] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
};

enum { LEAVES = 131 };

/* A tree with every complete node kept, as a caller would. */
struct store {
    struct kluis_tree tree;
    kluis_hash node[8][LEAVES];
    kluis_hash leaf[LEAVES], head[LEAVES + 1];
    size_t told;
};

static void keep(void *ctx, unsigned level, uint64_t index, const kluis_hash *h)
{
    struct store *s = ctx;
    assert_true(level < 8 && index < LEAVES);
    s->node[level][index] = *h;
    s->told++;
}

static kluis_status get(void *ctx, unsigned level, uint64_t index, kluis_hash *out, struct kluis_err *err)
{
    struct store *s = ctx;
    if (level >= 8 || index >= s->tree.size >> level) { return KLUIS_FAIL(err, KLUIS_E_BUG, "node does not exist"); }
    *out = s->node[level][index];
    return KLUIS_OK;
}

static struct store *grown(void)
{
    static struct store s;
    memset(&s, 0, sizeof s);
    kluis_tree_init(&s.tree);
    kluis_tree_head(&s.tree, &s.head[0]);
    for (unsigned i = 0; i < LEAVES; i++) {
        uint8_t data[2] = { (uint8_t)i, (uint8_t)(i >> 8) };
        kluis_leaf_hash(data, sizeof data, &s.leaf[i]);
        kluis_tree_append(&s.tree, &s.leaf[i], keep, &s);
        kluis_tree_head(&s.tree, &s.head[i + 1]);
    }
    return &s;
}

static void same_trees(const struct kluis_tree *a, const struct kluis_tree *b)
{
    assert_int_equal(a->size, b->size);
    for (unsigned l = 0; l < KLUIS_TREE_LEVELS; l++) {
        if ((a->size >> l) & 1) { assert_memory_equal(a->peak[l].b, b->peak[l].b, 32); }
    }
}

/* Whole parts of 1, 2, 4 … leaves and a last one of any size: every peak is that of appending leaf by leaf. */
static void parts_that_are_joined_are_the_tree_of_all_their_leaves(void **state)
{
    (void)state;
    enum { MOST = 200 };
    for (uint64_t part = 1; part <= 64; part *= 2) {
        for (uint64_t size = 0; size <= MOST; size++) {
            struct kluis_tree want, got, one;
            kluis_tree_init(&want);
            kluis_tree_init(&got);
            kluis_tree_init(&one);
            for (uint64_t i = 0; i < size; i++) {
                kluis_hash h;
                kluis_leaf_hash(&i, sizeof i, &h);
                kluis_tree_append(&want, &h, NULL, NULL);
                kluis_tree_append(&one, &h, NULL, NULL);
                if (one.size < part && i + 1 < size) { continue; }
                kluis_tree_join(&got, &one);
                kluis_tree_init(&one);
            }
            kluis_tree_join(&got, &one); /* an empty one changes nothing */
            same_trees(&want, &got);
        }
    }
}

static void tree_heads_are_those_of_the_rfc_6962_reference(void **state)
{
    (void)state;
    struct kluis_tree t;
    kluis_hash h, want;
    char hex[65];
    kluis_tree_init(&t);
    kluis_tree_head(&t, &h);
    kluis_hex(h.b, 32, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < 8; i++) {
        uint8_t data[16];
        size_t n = strlen(leaf_hex[i]) / 2;
        assert_true(kluis_unhex(kluis_str_of(leaf_hex[i]), data, n));
        kluis_leaf_hash(n ? data : NULL, n, &h);
        kluis_tree_append(&t, &h, NULL, NULL);
        kluis_tree_head(&t, &h);
        assert_true(kluis_unhex(kluis_str_of(head_hex[i]), want.b, 32));
        assert_memory_equal(h.b, want.b, 32);
    }
}

static void every_inclusion_proof_holds_and_every_damage_is_refused(void **state)
{
    (void)state;
    struct store *s = grown();
    assert_int_equal(s->told, LEAVES + 65 + 32 + 16 + 8 + 4 + 2 + 1);
    struct kluis_nodes nodes = { s, get };
    size_t proofs = 0, refused = 0;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t i = 0; i < size; i++) {
            kluis_hash p[KLUIS_PROOF_MAX];
            size_t n = 0;
            assert_int_equal(kluis_prove_inclusion(&nodes, i, size, p, &n, NULL), KLUIS_OK);
            assert_int_equal(kluis_check_inclusion(&s->leaf[i], i, size, p, n, &s->head[size], NULL), KLUIS_OK);
            proofs++;
            if (size % 13 != 0) { continue; }
            for (size_t k = 0; k < n; k++) {
                p[k].b[k % 32] ^= 1;
                refused += kluis_check_inclusion(&s->leaf[i], i, size, p, n, &s->head[size], NULL) == KLUIS_E_REJECT;
                p[k].b[k % 32] ^= 1;
            }
            assert_int_equal(kluis_check_inclusion(&s->leaf[i], i, size, p, n - 1, &s->head[size], NULL), KLUIS_E_REJECT);
            p[n] = s->leaf[0];
            assert_int_equal(kluis_check_inclusion(&s->leaf[i], i, size, p, n + 1, &s->head[size], NULL), KLUIS_E_REJECT);
            assert_int_equal(kluis_check_inclusion(&s->leaf[i], (i + 1) % size, size, p, n, &s->head[size], NULL), KLUIS_E_REJECT);
            assert_int_equal(kluis_check_inclusion(&s->leaf[i], i, size, p, n, &s->head[size - 1], NULL), KLUIS_E_REJECT);
        }
    }
    assert_int_equal(proofs, LEAVES * (LEAVES + 1) / 2);
    assert_true(refused > 4000);
    size_t n = 0;
    kluis_hash p[KLUIS_PROOF_MAX];
    assert_int_equal(kluis_prove_inclusion(&nodes, 5, 5, p, &n, NULL), KLUIS_E_NOTFOUND);
    assert_int_equal(kluis_check_inclusion(&s->leaf[0], 0, 0, p, 0, &s->head[0], NULL), KLUIS_E_REJECT);
}

static void every_consistency_proof_holds_and_every_damage_is_refused(void **state)
{
    (void)state;
    struct store *s = grown();
    struct kluis_nodes nodes = { s, get };
    size_t refused = 0, tried = 0;
    for (uint64_t to = 1; to <= LEAVES; to++) {
        for (uint64_t from = 1; from <= to; from++) {
            kluis_hash p[KLUIS_PROOF_MAX];
            size_t n = 0;
            assert_int_equal(kluis_prove_consistency(&nodes, from, to, p, &n, NULL), KLUIS_OK);
            assert_int_equal(kluis_check_consistency(from, to, &s->head[from], &s->head[to], p, n, NULL), KLUIS_OK);
            if (to % 11 != 0 || from == to) { continue; }
            for (size_t k = 0; k < n; k++) {
                p[k].b[31] ^= 0x80;
                tried++;
                refused += kluis_check_consistency(from, to, &s->head[from], &s->head[to], p, n, NULL) == KLUIS_E_REJECT;
                p[k].b[31] ^= 0x80;
            }
            assert_int_equal(kluis_check_consistency(from, to, &s->head[from], &s->head[to], p, n - 1, NULL), KLUIS_E_REJECT);
            assert_int_equal(kluis_check_consistency(from, to, &s->head[from - 1], &s->head[to], p, n, NULL), KLUIS_E_REJECT);
            assert_int_equal(kluis_check_consistency(from, to, &s->head[from], &s->head[to - 1], p, n, NULL), KLUIS_E_REJECT);
            assert_int_equal(kluis_check_consistency(to, from, &s->head[to], &s->head[from], p, n, NULL), KLUIS_E_REJECT);
        }
    }
    assert_true(tried > 3000);
    assert_int_equal(refused, tried);
    kluis_hash p[KLUIS_PROOF_MAX];
    size_t n = 0;
    assert_int_equal(kluis_prove_consistency(&nodes, 0, 5, p, &n, NULL), KLUIS_E_NOTFOUND);
}

/* ---- shared vectors ---- */

static bool b64_hash(json_object *v, kluis_hash *out)
{
    size_t n = 0;
    uint8_t b[64];
    const char *s = v ? json_object_get_string(v) : NULL;
    if (!s || !kluis_unbase64(kluis_str_of(s), b, sizeof b, &n) || n != 32) { return false; }
    memcpy(out->b, b, 32);
    return true;
}

static bool vector_accepted(json_object *o, bool inclusion)
{
    json_object *v = NULL, *list = NULL;
    kluis_hash a, b, p[KLUIS_PROOF_MAX];
    size_t n = 0;
    if (json_object_object_get_ex(o, "proof", &list) && list) {
        n = json_object_array_length(list);
        if (n > KLUIS_PROOF_MAX) { return false; }
        for (size_t i = 0; i < n; i++) {
            if (!b64_hash(json_object_array_get_idx(list, i), &p[i])) { return false; }
        }
    }
    if (inclusion) {
        json_object_object_get_ex(o, "leafHash", &v);
        if (!b64_hash(v, &a)) { return false; }
        json_object_object_get_ex(o, "root", &v);
        if (!b64_hash(v, &b)) { return false; }
        return kluis_check_inclusion(&a, json_object_get_uint64(json_object_object_get(o, "leafIdx")),
                                     json_object_get_uint64(json_object_object_get(o, "treeSize")), p, n, &b, NULL) == KLUIS_OK;
    }
    json_object_object_get_ex(o, "root1", &v);
    if (!b64_hash(v, &a)) { return false; }
    json_object_object_get_ex(o, "root2", &v);
    if (!b64_hash(v, &b)) { return false; }
    return kluis_check_consistency(json_object_get_uint64(json_object_object_get(o, "size1")),
                                   json_object_get_uint64(json_object_object_get(o, "size2")), &a, &b, p, n, NULL) == KLUIS_OK;
}

struct tally {
    size_t agree, differ;
    char last[KLUIS_PATH_MAX];
};

static void run_vectors(const char *dir, bool inclusion, struct tally *t)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[KLUIS_PATH_MAX];
        struct stat st;
        if (e->d_name[0] == '.') { continue; }
        assert_int_equal(kluis_path(path, sizeof path, dir, e->d_name, NULL), KLUIS_OK);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            run_vectors(path, inclusion, t);
            continue;
        }
        json_object *o = json_object_from_file(path);
        assert_non_null(o);
        bool want = !json_object_get_boolean(json_object_object_get(o, "wantErr"));
        if (vector_accepted(o, inclusion) == want) {
            t->agree++;
        } else {
            t->differ++;
            (void)snprintf(t->last, sizeof t->last, "%s", path);
        }
        json_object_put(o);
    }
    closedir(d);
}

static const char *merkle_dir(char out[KLUIS_PATH_MAX], const char *name)
{
    const char *shared = getenv("KLUIS_SHARED");
    (void)snprintf(out, KLUIS_PATH_MAX, "%s/standards/merkle%s%s", shared ? shared : "../shared", name ? "/" : "", name ? name : "");
    struct stat st;
    return stat(out, &st) == 0 ? out : NULL;
}

static void shared_merkle_vectors_agree_but_for_the_dummy_roots(void **state)
{
    (void)state;
    char dir[KLUIS_PATH_MAX];
    if (!merkle_dir(dir, NULL)) {
        print_message("skipped: ../shared/standards/merkle is not beside this checkout\n");
        skip();
    }
    struct tally t = { 0 };
    run_vectors(merkle_dir(dir, "inclusion"), true, &t);
    run_vectors(merkle_dir(dir, "consistency"), false, &t);
    assert_int_equal(t.agree, 195);
    assert_int_equal(t.differ, 1); /* its roots are 12-byte fillers, which are no SHA-256 hashes */
    assert_non_null(strstr(t.last, "sizes-are-equal-one-and-proof-is-empty"));
}

static void shared_proof_of_the_prototype_is_accepted(void **state)
{
    (void)state;
    char path[KLUIS_PATH_MAX];
    if (!merkle_dir(path, "own")) {
        print_message("skipped: ../shared/standards/merkle is not beside this checkout\n");
        skip();
    }
    KLUIS_AUTO_BUF(proof, KLUIS_TLOG_PROOF_MAX);
    KLUIS_AUTO_BUF(leaf, KLUIS_LEAF_MAX);
    KLUIS_AUTO_BUF(key, KLUIS_VKEY_MAX);
    assert_int_equal(kluis_read_file(merkle_dir(path, "own/p.tlog-proof"), proof.max, &proof, NULL), KLUIS_OK);
    assert_int_equal(kluis_read_file(merkle_dir(path, "own/entry-12345.json"), leaf.max, &leaf, NULL), KLUIS_OK);
    assert_int_equal(kluis_read_file(merkle_dir(path, "own/vkey"), key.max, &key, NULL), KLUIS_OK);
    kluis_buf_byte(&key, 0);
    while (key.len > 1 && key.data[key.len - 2] == '\n') { key.data[--key.len - 1] = 0; }
    struct kluis_checkpoint c;
    uint64_t index = 0;
    struct kluis_str text = { (const char *)proof.data, proof.len };
    assert_int_equal(kluis_tlog_proof_check(text, kluis_buf_bytes(&leaf), (const char *)key.data, &c, &index, NULL, NULL), KLUIS_OK);
    assert_int_equal(index, 12345);
    assert_int_equal(c.size, 100500);
}

/* ---- keys, checkpoints, witnesses ---- */

static const char known_vkey[] = "safeguard.example.nl/log1+b907ec2f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
static const char known_checkpoint[] =
    "safeguard.example.nl/log1\n100500\nUOxVU37E/mMLZIPOiOxxtJ7cbLClc0vcyC8oyt+Y6eE=\n\n"
    "\xe2\x80\x94 safeguard.example.nl/log1 uQfsL1WWdyOmae+YutWqjLoKfgSuZCjso9AP/Ebmd68fQMbfntHTbfnzwdVMymoxRAZuPYRfQZtjeryNf5GHqur8fwQ=\n";

static void known_seed(uint8_t seed[32])
{
    for (uint8_t i = 0; i < 32; i++) { seed[i] = i; }
}

static void checkpoint_of_the_known_seed_has_the_known_bytes(void **state)
{
    (void)state;
    uint8_t seed[32], pub[32];
    char vkey[KLUIS_VKEY_MAX];
    known_seed(seed);
    assert_int_equal(kluis_ledger_public(seed, pub, NULL), KLUIS_OK);
    assert_int_equal(kluis_vkey_write("safeguard.example.nl/log1", pub, vkey, NULL), KLUIS_OK);
    assert_string_equal(vkey, known_vkey);
    struct kluis_checkpoint c;
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), known_vkey, &c, NULL), KLUIS_OK);
    assert_int_equal(c.size, 100500);
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    assert_int_equal(kluis_checkpoint_sign(&c, seed, &text, NULL), KLUIS_OK);
    assert_int_equal(text.len, sizeof known_checkpoint - 1);
    assert_memory_equal(text.data, known_checkpoint, text.len);
}

static void every_flipped_bit_of_a_checkpoint_is_refused(void **state)
{
    (void)state;
    char text[sizeof known_checkpoint];
    struct kluis_checkpoint c;
    size_t refused = 0;
    for (size_t i = 0; i < 8 * (sizeof known_checkpoint - 1); i++) {
        memcpy(text, known_checkpoint, sizeof text);
        text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
        refused += kluis_checkpoint_open((struct kluis_str){ text, sizeof text - 1 }, known_vkey, &c, NULL) == KLUIS_E_REJECT;
    }
    assert_int_equal(refused, 8 * (sizeof known_checkpoint - 1));
    for (size_t n = 0; n < sizeof known_checkpoint - 1; n++) {
        assert_int_equal(kluis_checkpoint_open((struct kluis_str){ known_checkpoint, n }, known_vkey, &c, NULL), KLUIS_E_REJECT);
    }
}

/* FORMAT.md §7.5: the same key, its name and where it began anew. */
static void a_log_begun_anew_is_opened_with_the_key_of_its_first_name(void **state)
{
    (void)state;
    static const struct {
        const char *origin;
        uint64_t since;
        bool good;
    } row[] = { { "safeguard.example.nl/log1/since-1772701200", 1772701200, true },
                { "safeguard.example.nl/log1/since-1", 1, true },
                { "safeguard.example.nl/log1/since-0", 0, false },
                { "safeguard.example.nl/log1/since-01", 0, false },
                { "safeguard.example.nl/log1/since-", 0, false },
                { "safeguard.example.nl/log1/since-1x", 0, false },
                { "safeguard.example.nl/log1/since-99999999999999999999", 0, false },
                { "safeguard.example.nl/log1since-1", 0, false },
                { "safeguard.example.nl/log1/until-1", 0, false },
                { "safeguard.example.nl/log12", 0, false },
                { "safeguard.example.nl/log", 0, false },
                { "x/since-1", 0, false } };
    uint8_t seed[32], stranger[32], pub[32];
    struct kluis_checkpoint c, back;
    char origin[KLUIS_ORIGIN_MAX];
    known_seed(seed);
    assert_int_equal(kluis_ledger_keygen(stranger, pub, NULL), KLUIS_OK);
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), known_vkey, &c, NULL), KLUIS_OK);
    assert_int_equal(c.since, 0);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
        KLUIS_AUTO_BUF(forged, KLUIS_CHECKPOINT_MAX);
        KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
        (void)snprintf(c.origin, sizeof c.origin, "%s", row[i].origin);
        assert_int_equal(kluis_checkpoint_sign(&c, seed, &text, NULL), KLUIS_OK);
        struct kluis_str t = { (const char *)text.data, text.len };
        assert_int_equal(kluis_checkpoint_open(t, known_vkey, &back, NULL), row[i].good ? KLUIS_OK : KLUIS_E_REJECT);
        if (!row[i].good) { continue; }
        assert_int_equal(back.since, row[i].since);
        assert_string_equal(back.origin, row[i].origin);
        assert_int_equal(kluis_checkpoint_own(t, known_vkey, &own, NULL), KLUIS_OK);
        assert_memory_equal(own.data, text.data, text.len);
        assert_int_equal(kluis_origin_since("safeguard.example.nl/log1", row[i].since, origin, NULL), KLUIS_OK);
        assert_string_equal(origin, row[i].origin);
        assert_int_equal(kluis_checkpoint_sign(&c, stranger, &forged, NULL), KLUIS_OK);
        assert_int_equal(kluis_checkpoint_open((struct kluis_str){ (const char *)forged.data, forged.len }, known_vkey, &back, NULL), KLUIS_E_REJECT);
    }
    char longest[KLUIS_ORIGIN_MAX];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(kluis_origin_since(longest, 0, origin, NULL), KLUIS_OK);
    assert_int_equal(kluis_origin_since(longest, 1, origin, NULL), KLUIS_E_USAGE);
}

static void the_leaf_of_a_log_begun_anew_is_read_strictly(void **state)
{
    (void)state;
    struct kluis_log_leaf l = { .since = 1772701200, .size = 12 }, back;
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    memset(l.head.b, 0xab, 32);
    assert_int_equal(kluis_log_leaf_write(&l, &text, NULL), KLUIS_OK);
    assert_int_equal(kluis_log_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, &back, NULL), KLUIS_OK);
    assert_memory_equal(&back, &l, sizeof l);
    for (size_t i = 0; i < text.len; i++) {
        struct kluis_str cut = { (const char *)text.data, i };
        assert_int_equal(kluis_log_leaf_read(cut, &back, NULL), KLUIS_E_REJECT);
    }
    kluis_buf_byte(&text, '\n');
    assert_int_equal(kluis_log_leaf_read((struct kluis_str){ (const char *)text.data, text.len }, &back, NULL), KLUIS_E_REJECT);
    l.since = 0;
    assert_int_equal(kluis_log_leaf_write(&l, &text, NULL), KLUIS_E_BUG);
}

static void checkpoint_of_another_key_or_origin_is_refused(void **state)
{
    (void)state;
    uint8_t seed[32], pub[32];
    char other[KLUIS_VKEY_MAX], same_key[KLUIS_VKEY_MAX];
    struct kluis_checkpoint c;
    assert_int_equal(kluis_ledger_keygen(seed, pub, NULL), KLUIS_OK);
    assert_int_equal(kluis_vkey_write("safeguard.example.nl/log1", pub, other, NULL), KLUIS_OK);
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), other, &c, NULL), KLUIS_E_REJECT);
    known_seed(seed);
    assert_int_equal(kluis_ledger_public(seed, pub, NULL), KLUIS_OK);
    assert_int_equal(kluis_vkey_write("safeguard.example.nl/log2", pub, same_key, NULL), KLUIS_OK);
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), same_key, &c, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), "nonsense", &c, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_checkpoint_open(kluis_str_of(known_checkpoint), NULL, &c, NULL), KLUIS_E_REJECT);
    assert_int_equal(kluis_vkey_write("white space", pub, other, NULL), KLUIS_E_USAGE);
    assert_int_equal(kluis_vkey_write("a+b", pub, other, NULL), KLUIS_E_USAGE);
    assert_int_equal(kluis_vkey_write("", pub, other, NULL), KLUIS_E_USAGE);
}

static void raw_sign(const uint8_t seed[32], const uint8_t pub[32], const void *p, size_t n, uint8_t sig[64])
{
    gcry_sexp_t key = NULL, data = NULL, s = NULL;
    assert_int_equal(gcry_sexp_build(&key, NULL, "(private-key(ecc(curve Ed25519)(flags eddsa)(q %b)(d %b)))", 32, pub, 32, seed), 0);
    assert_int_equal(gcry_sexp_build(&data, NULL, "(data(flags eddsa)(hash-algo sha512)(value %b))", (int)n, p), 0);
    assert_int_equal(gcry_pk_sign(&s, data, key), 0);
    for (int i = 0; i < 2; i++) {
        gcry_sexp_t l = gcry_sexp_find_token(s, i ? "s" : "r", 0);
        size_t len = 0;
        const char *v = gcry_sexp_nth_data(l, 1, &len);
        assert_int_equal(len, 32);
        memcpy(sig + 32 * i, v, 32);
        gcry_sexp_release(l);
    }
    gcry_sexp_release(s);
    gcry_sexp_release(data);
    gcry_sexp_release(key);
}

/* A cosignature as a witness makes it. */
static void cosign(const char *body, const char *name, const uint8_t seed[32], uint64_t when, struct kluis_buf *line, char vkey[KLUIS_VKEY_MAX])
{
    uint8_t pub[32], raw[76], h[32], typed[33];
    char b64[128];
    assert_int_equal(kluis_ledger_public(seed, pub, NULL), KLUIS_OK);
    KLUIS_AUTO_BUF(b, 4096);
    kluis_buf_cstr(&b, name);
    kluis_buf_add(&b, "\n\x04", 2);
    kluis_buf_add(&b, pub, 32);
    kluis_sha256_of(b.data, b.len, h);
    memcpy(raw, h, 4);
    for (int i = 0; i < 8; i++) { raw[4 + i] = (uint8_t)(when >> (56 - 8 * i)); }
    kluis_buf_clear(&b);
    kluis_buf_fmt(&b, "cosignature/v1\ntime %llu\n%s", (unsigned long long)when, body);
    raw_sign(seed, pub, b.data, b.len, raw + 12);
    (void)kluis_base64(raw, sizeof raw, b64);
    kluis_buf_fmt(line, "\xe2\x80\x94 %s %s\n", name, b64);
    char hex[9];
    kluis_hex(h, 4, hex);
    typed[0] = 4;
    memcpy(typed + 1, pub, 32);
    (void)kluis_base64(typed, sizeof typed, b64);
    (void)snprintf(vkey, KLUIS_VKEY_MAX, "%s+%s+%s", name, hex, b64);
}

static void witnesses_are_counted_once_each_and_only_when_they_verify(void **state)
{
    (void)state;
    static const char body[] = "safeguard.example.nl/log1\n100500\nUOxVU37E/mMLZIPOiOxxtJ7cbLClc0vcyC8oyt+Y6eE=\n";
    uint8_t seed[3][32];
    char v[4][KLUIS_VKEY_MAX];
    memset(seed[0], 1, 32);
    memset(seed[1], 2, 32);
    memset(seed[2], 3, 32);
    KLUIS_AUTO_BUF(text, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    kluis_buf_cstr(&text, known_checkpoint);
    cosign(body, "w1.example", seed[0], 1790000000, &text, v[0]);
    cosign(body, "w2.example", seed[1], 1790000001, &text, v[1]);
    cosign("another body\n", "w3.example", seed[2], 1790000002, &text, v[2]);
    cosign(body, "alias.example", seed[0], 1790000000, &text, v[3]); /* the first witness under another name */
    const char *keys[4] = { v[0], v[1], v[2], v[3] };
    size_t n = 9;
    struct kluis_str t = { (const char *)text.data, text.len };
    assert_int_equal(kluis_checkpoint_witnesses(t, keys, 4, &n, NULL), KLUIS_OK);
    assert_int_equal(n, 2);
    struct kluis_checkpoint c;
    assert_int_equal(kluis_checkpoint_open(t, known_vkey, &c, NULL), KLUIS_OK);  /* unknown signatures are passed over */
    assert_int_equal(kluis_checkpoint_own(t, known_vkey, &own, NULL), KLUIS_OK); /* and what the log signed comes out alone */
    assert_int_equal(own.len, sizeof known_checkpoint - 1);
    assert_memory_equal(own.data, known_checkpoint, own.len);
    const char *logkey[1] = { known_vkey };
    assert_int_equal(kluis_checkpoint_witnesses(t, logkey, 1, &n, NULL), KLUIS_E_REJECT); /* a log key is never a witness */
    assert_int_equal(kluis_checkpoint_witnesses(kluis_str_of(known_checkpoint), keys, 4, &n, NULL), KLUIS_OK);
    assert_int_equal(n, 0);
}

static void tlog_proof_round_trip_and_refusals(void **state)
{
    (void)state;
    struct store *s = grown();
    struct kluis_nodes nodes = { s, get };
    uint8_t seed[32], pub[32];
    char vkey[KLUIS_VKEY_MAX];
    assert_int_equal(kluis_ledger_keygen(seed, pub, NULL), KLUIS_OK);
    assert_int_equal(kluis_vkey_write("log.example", pub, vkey, NULL), KLUIS_OK);
    struct kluis_checkpoint c = { .origin = "log.example", .size = 100, .head = s->head[100] }, got;
    KLUIS_AUTO_BUF(note, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(text, KLUIS_TLOG_PROOF_MAX);
    assert_int_equal(kluis_checkpoint_sign(&c, seed, &note, NULL), KLUIS_OK);
    kluis_hash p[KLUIS_PROOF_MAX];
    size_t n = 0;
    assert_int_equal(kluis_prove_inclusion(&nodes, 42, 100, p, &n, NULL), KLUIS_OK);
    struct kluis_str note_text = { (const char *)note.data, note.len };
    assert_int_equal(kluis_tlog_proof_write(42, p, n, note_text, &text, NULL), KLUIS_OK);
    uint8_t leaf[2] = { 42, 0 }, other[2] = { 43, 0 };
    uint64_t index = 0;
    struct kluis_str t = { (const char *)text.data, text.len }, cp;
    assert_int_equal(kluis_tlog_proof_check(t, (struct kluis_bytes){ leaf, 2 }, vkey, &got, &index, &cp, NULL), KLUIS_OK);
    assert_int_equal(index, 42);
    assert_int_equal(got.size, 100);
    assert_true(kluis_str_eq(cp, note_text));
    assert_int_equal(kluis_tlog_proof_check(t, (struct kluis_bytes){ other, 2 }, vkey, &got, &index, &cp, NULL), KLUIS_E_REJECT);
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 0x01;
        assert_int_equal(kluis_tlog_proof_check(t, (struct kluis_bytes){ leaf, 2 }, vkey, &got, &index, &cp, NULL), KLUIS_E_REJECT);
        text.data[i] ^= 0x01;
        assert_int_equal(kluis_tlog_proof_check((struct kluis_str){ t.ptr, i }, (struct kluis_bytes){ leaf, 2 }, vkey, &got, &index, &cp, NULL),
                         KLUIS_E_REJECT);
    }
    /* A proof against another head of the same log. */
    c.head = s->head[99];
    kluis_buf_clear(&note);
    kluis_buf_clear(&text);
    assert_int_equal(kluis_checkpoint_sign(&c, seed, &note, NULL), KLUIS_OK);
    assert_int_equal(kluis_tlog_proof_write(42, p, n, (struct kluis_str){ (const char *)note.data, note.len }, &text, NULL), KLUIS_OK);
    t = (struct kluis_str){ (const char *)text.data, text.len };
    struct kluis_err err = { 0 };
    assert_int_equal(kluis_tlog_proof_check(t, (struct kluis_bytes){ leaf, 2 }, vkey, &got, &index, &cp, &err), KLUIS_E_REJECT);
    assert_non_null(strstr(err.msg, "another head"));
}

static void leaf_text_has_one_spelling(void **state)
{
    (void)state;
    struct kluis_leaf l = { .verdict = "valid", .received_us = 1790000000000000 }, got;
    memset(l.package, 0xab, 32);
    memset(l.records_root, 0x01, 32);
    memset(l.device, 0xff, 32);
    KLUIS_AUTO_BUF(text, KLUIS_LEAF_MAX);
    assert_int_equal(kluis_leaf_write(&l, &text, NULL), KLUIS_OK);
    struct kluis_str t = { (const char *)text.data, text.len };
    assert_int_equal(kluis_leaf_read(t, &got, NULL), KLUIS_OK);
    assert_memory_equal(got.package, l.package, 32);
    assert_string_equal(got.verdict, "valid");
    assert_int_equal(got.received_us, l.received_us);
    /* Whatever a flipped bit makes of it is refused or reads and writes back as itself: never two texts for one leaf. */
    size_t refused = 0;
    for (size_t i = 0; i < 8 * text.len; i++) {
        text.data[i / 8] ^= (uint8_t)(1 << (i % 8));
        if (kluis_leaf_read(t, &got, NULL) == KLUIS_OK) {
            KLUIS_AUTO_BUF(again, KLUIS_LEAF_MAX);
            assert_int_equal(kluis_leaf_write(&got, &again, NULL), KLUIS_OK);
            assert_int_equal(again.len, text.len);
            assert_memory_equal(again.data, text.data, text.len);
        } else {
            refused++;
        }
        text.data[i / 8] ^= (uint8_t)(1 << (i % 8));
    }
    assert_true(refused > 1000);
    l.received_us++;
    assert_int_equal(kluis_leaf_write(&l, &text, NULL), KLUIS_E_BUG);
    assert_int_equal(kluis_leaf_read(KLUIS_STR_LIT("chatkluis-leaf-v2\n"), &got, NULL), KLUIS_E_REJECT);
}

int main(void)
{
    if (kluis_base_init(NULL) != KLUIS_OK) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_heads_are_those_of_the_rfc_6962_reference),
        cmocka_unit_test(parts_that_are_joined_are_the_tree_of_all_their_leaves),
        cmocka_unit_test(every_inclusion_proof_holds_and_every_damage_is_refused),
        cmocka_unit_test(every_consistency_proof_holds_and_every_damage_is_refused),
        cmocka_unit_test(shared_merkle_vectors_agree_but_for_the_dummy_roots),
        cmocka_unit_test(shared_proof_of_the_prototype_is_accepted),
        cmocka_unit_test(checkpoint_of_the_known_seed_has_the_known_bytes),
        cmocka_unit_test(every_flipped_bit_of_a_checkpoint_is_refused),
        cmocka_unit_test(a_log_begun_anew_is_opened_with_the_key_of_its_first_name),
        cmocka_unit_test(the_leaf_of_a_log_begun_anew_is_read_strictly),
        cmocka_unit_test(checkpoint_of_another_key_or_origin_is_refused),
        cmocka_unit_test(witnesses_are_counted_once_each_and_only_when_they_verify),
        cmocka_unit_test(tlog_proof_round_trip_and_refusals),
        cmocka_unit_test(leaf_text_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
