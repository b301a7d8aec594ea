/* lib/seal/known.c - certificates and keys parsed before, judgements made before.
 *
 * OpenSSL 3.0 sets up a decoder for each public key it parses (0.15 to 0.2 ms, more than verifying a signature with it), and the same
 * few certificates come with every package.  Both tables answer a question that was answered already for the very same bytes, named by
 * the SHA-256 of all that the answer follows from; nothing else is remembered, and never a "no".
 * Whoever finds a table in use, by another thread or at the moment of a fork, does the work anew: nobody ever waits. */
#include "internal.h"

#include <openssl/x509v3.h>
#include <pthread.h>

enum { PARSED = 32, FACTS = 16 };

static struct parsed {
    uint8_t name[32];
    X509 *cert;
    EVP_PKEY *key;
    uint64_t used;
} parsed[PARSED];
static struct fact {
    uint8_t name[32];
    int64_t from, to;
    uint64_t used; /* 0: empty */
} facts[FACTS];
static uint64_t now;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool enter(void) { return pthread_mutex_trylock(&lock) == 0; }
static void leave(void) { (void)pthread_mutex_unlock(&lock); } /* held by us: cannot fail */

static struct parsed *find(const uint8_t name[32], bool certificate)
{
    for (size_t i = 0; i < PARSED; i++) {
        if ((certificate ? parsed[i].cert != NULL : parsed[i].key != NULL) && memcmp(parsed[i].name, name, 32) == 0) {
            parsed[i].used = ++now;
            return &parsed[i];
        }
    }
    return NULL;
}

/* Takes a reference of its own to what was parsed. */
static void keep(const uint8_t name[32], X509 *cert, EVP_PKEY *key)
{
    struct parsed *p = &parsed[0];
    if (!enter()) { return; }
    if (find(name, cert != NULL) == NULL) {
        for (size_t i = 1; i < PARSED; i++) {
            if (parsed[i].used < p->used) { p = &parsed[i]; }
        }
        X509_free(p->cert);
        EVP_PKEY_free(p->key);
        *p = (struct parsed){ .used = ++now };
        memcpy(p->name, name, 32);
        if (cert != NULL && X509_up_ref(cert) == 1) { p->cert = cert; }
        if (key != NULL && EVP_PKEY_up_ref(key) == 1) { p->key = key; }
    }
    leave();
}

X509 *known_certificate(struct kluis_bytes der)
{
    uint8_t name[32];
    X509 *x = NULL;
    if (der.len == 0 || der.len > KLUIS_CERT_MAX) { return NULL; }
    kluis_sha256_of(der.ptr, der.len, name);
    if (enter()) {
        struct parsed *p = find(name, true);
        if (p != NULL && X509_up_ref(p->cert) == 1) { x = p->cert; }
        leave();
    }
    if (x != NULL) { return x; }
    const uint8_t *at = der.ptr;
    uint64_t mark = kluis_memory_mark();
    x = d2i_X509(NULL, &at, (long)der.len);
    /* What OpenSSL would work out of it later, now: what it could not for want of memory it would call a defect of the certificate for good. */
    if (x != NULL) { (void)X509_check_purpose(x, -1, 0); }
    if (x != NULL && (at != der.ptr + der.len || kluis_memory_refused(mark))) {
        X509_free(x);
        return NULL;
    }
    if (x != NULL) { keep(name, x, NULL); }
    return x;
}

EVP_PKEY *known_key(struct kluis_bytes spki)
{
    uint8_t name[32];
    EVP_PKEY *k = NULL;
    if (spki.len == 0 || spki.len > KLUIS_CERT_MAX) { return NULL; }
    kluis_sha256_of(spki.ptr, spki.len, name);
    if (enter()) {
        struct parsed *p = find(name, false);
        if (p != NULL && EVP_PKEY_up_ref(p->key) == 1) { k = p->key; }
        leave();
    }
    if (k != NULL) { return k; }
    const uint8_t *at = spki.ptr;
    uint64_t mark = kluis_memory_mark();
    k = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (k != NULL && !kluis_memory_refused(mark)) { keep(name, NULL, k); }
    return k;
}

bool known_fact(const uint8_t name[32], int64_t at)
{
    bool known = false;
    if (!enter()) { return false; }
    for (size_t i = 0; i < FACTS && !known; i++) {
        struct fact *f = &facts[i];
        known = f->used > 0 && memcmp(f->name, name, 32) == 0 && f->from <= at && at <= f->to;
        if (known) { f->used = ++now; }
    }
    leave();
    return known;
}

void known_fact_is(const uint8_t name[32], int64_t from, int64_t to)
{
    struct fact *f = &facts[0];
    if (from > to || !enter()) { return; }
    for (size_t i = 1; i < FACTS; i++) {
        if (facts[i].used < f->used) { f = &facts[i]; }
    }
    *f = (struct fact){ .from = from, .to = to, .used = ++now };
    memcpy(f->name, name, 32);
    leave();
}
