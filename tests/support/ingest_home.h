/* tests/support/ingest_home.h - a vault's directory with one enrolled device and one delivered package, for tests of ingest. */
#ifndef KLUIS_TESTS_INGEST_HOME_H
#define KLUIS_TESTS_INGEST_HOME_H

#include "server/ingest/ingest_internal.h"
#include "tests/support/sealed.h"

/* Encrypts a package as a device does; the ciphertext goes to out. */
void ingest_encrypt(const struct sealed *s, const uint8_t key[32], struct kluis_buf *out);
/* A fresh temporary directory, an ingest that is not running with its store and register in it, and PKI_DEVICE enrolled
 * with p->device's certificate for official "jansen".  zygote is borrowed. */
struct ingest_home {
    char dir[64];
    struct ingest in;
    struct vault_keys keys;
    pthread_mutex_t reg_lock;
};
void ingest_home_open(struct ingest_home *h, const struct pki *p, struct zygote *z);
void ingest_home_close(struct ingest_home *h);
/* Stores the ciphertext and fills a delivery as T1 leaves it. */
void ingest_home_deliver(struct ingest_home *h, const struct sealed *s, struct decided *o);

#endif
