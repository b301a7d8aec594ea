/* Checkpoints, proofs and leaf data of both kinds; and what we write of any origin, size and path, we read. */
#include "kluis/ledger.h"
#include "tests/fuzz/fuzz.h"

static const char *vkey;
static struct kluis_bytes leaf_data;

void fuzz_setup(void)
{
    vkey = (const char *)fuzz_world("vkey.txt").ptr;
    leaf_data = fuzz_world("leaf.txt");
}

/* A checkpoint of ours: its origin is the text, its size and head come from the front; and a proof that ends in it. */
static void own_words(const uint8_t *p, size_t n)
{
    static const uint8_t seed[32] = { 'f', 'u', 'z', 'z' };
    struct kluis_checkpoint c = { .size = 0 }, back;
    char key[KLUIS_VKEY_MAX];
    uint8_t pub[32];
    kluis_hash path[2];
    uint64_t index = 0;
    struct kluis_str inner;
    KLUIS_AUTO_BUF(note, KLUIS_CHECKPOINT_MAX);
    KLUIS_AUTO_BUF(proof, 2 * KLUIS_CHECKPOINT_MAX);
    if (n < 16 || n - 16 >= sizeof c.origin) { return; }
    memcpy(&c.size, p, 8);
    memcpy(&index, p + 8, 8);
    kluis_sha256_of(p, n, c.head.b);
    memcpy(c.origin, p + 16, n - 16);
    path[0] = path[1] = c.head;
    MUST(kluis_ledger_public(seed, pub, NULL) == KLUIS_OK);
    bool fits = kluis_vkey_write(c.origin, pub, key, NULL) == KLUIS_OK;
    MUST((kluis_checkpoint_sign(&c, seed, &note, NULL) == KLUIS_OK) == (fits && c.size <= INT64_MAX));
    if (note.len == 0) { return; }
    struct kluis_str text = { (const char *)note.data, note.len };
    MUST(kluis_checkpoint_open(text, key, &back, NULL) == KLUIS_OK && back.size == c.size && memcmp(back.head.b, c.head.b, 32) == 0);
    if (kluis_tlog_proof_write(index, path, 2, text, &proof, NULL) != KLUIS_OK) {
        MUST(index > INT64_MAX);
        return;
    }
    kluis_status rc = kluis_tlog_proof_check((struct kluis_str){ (const char *)proof.data, proof.len }, leaf_data, key, &back, &index, &inner, NULL);
    MUST(rc == KLUIS_E_REJECT); /* such a path leads nowhere */
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned which = fuzz_which(&p, &n, 6);
    struct kluis_str text = fuzz_str(p, n), inner;
    struct kluis_checkpoint c, own_c;
    struct kluis_leaf leaf;
    struct kluis_err err = { 0 };
    uint64_t index = 0;
    size_t valid = 0;
    KLUIS_AUTO_BUF(own, KLUIS_CHECKPOINT_MAX);
    if (which == 0) {
        kluis_status rc = kluis_tlog_proof_check(text, leaf_data, vkey, &c, &index, &inner, &err);
        MUST(rc == err.code && (rc != KLUIS_OK || index < c.size));
    } else if (which == 1) {
        kluis_status rc = kluis_checkpoint_open(text, vkey, &c, &err);
        MUST(rc == err.code && (rc == KLUIS_OK || rc == KLUIS_E_REJECT || rc == KLUIS_E_LIMIT));
        if (rc != KLUIS_OK) { return 0; }
        MUST(kluis_checkpoint_own(text, vkey, &own, NULL) == KLUIS_OK);
        MUST(kluis_checkpoint_open((struct kluis_str){ (const char *)own.data, own.len }, vkey, &own_c, NULL) == KLUIS_OK && own_c.size == c.size);
        fuzz_any(kluis_checkpoint_witnesses(text, &vkey, 1, &valid, NULL));
    } else if (which == 2) {
        if (kluis_leaf_read(text, &leaf, &err) != KLUIS_OK) { return 0; }
        MUST(kluis_leaf_write(&leaf, &own, NULL) == KLUIS_OK && own.len == n && memcmp(own.data, p, n) == 0);
    } else if (which == 4) {
        struct kluis_log_leaf l;
        if (kluis_log_leaf_read(text, &l, &err) != KLUIS_OK) { return 0; }
        MUST(kluis_log_leaf_write(&l, &own, NULL) == KLUIS_OK && own.len == n && memcmp(own.data, p, n) == 0);
    } else if (which == 5) {
        own_words(p, n);
    } else {
        /* A stranger's key: the text up to its first newline, over what follows. */
        char key[KLUIS_VKEY_MAX];
        const uint8_t *nl = n == 0 ? NULL : memchr(p, '\n', n);
        if (nl == NULL || (size_t)(nl - p) >= sizeof key) { return 0; }
        memcpy(key, p, (size_t)(nl - p));
        key[nl - p] = 0;
        const char *keys[] = { key, vkey };
        fuzz_any(kluis_checkpoint_open(fuzz_str(nl + 1, n - (size_t)(nl + 1 - p)), key, &c, &err));
        fuzz_any(kluis_checkpoint_witnesses(fuzz_str(nl + 1, n - (size_t)(nl + 1 - p)), keys, 2, &valid, NULL));
        MUST(valid <= 2);
    }
    return 0;
}
