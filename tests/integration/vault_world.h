/* tests/integration/vault_world.h - a home, its gate, time authority and vault in one process, and devices that speak to them.
 *
 * Every part is the real one; only the device is written for the tests, so that it can also misbehave.  Every step is asserted. */
#ifndef VAULT_WORLD_H
#define VAULT_WORLD_H

#include "kluis/envelope.h"
#include "server/gate/gate.h"
#include "server/tsa/tsa.h"
#include "server/vault.h"
#include "tests/support/gate_client.h"
#include "tests/support/sealed.h"

struct world {
    char home[64], address[GATE_ADDRESS_MAX], url[128], tsa_url[64];
    struct vault *vault;
    struct tsa_server *tsa;
    struct gate *gate;
    struct kluis_buf root_pem, root_der, trust_json;
    struct kluis_arena *arena;
    struct kluis_trust trust;
};
void world_open(struct world *w);                      /* init, vault opened, gate and time authority up; the vault not started */
void world_open_at(struct world *w, const char *home); /* the same in a directory of the caller's, which is not there yet; base is initialised */
void world_read(struct world *w);                      /* certificates and trust of w->home, nothing else */
void world_start_tsa(struct world *w);
void world_start(struct world *w);         /* the vault pulls */
void world_restart_vault(struct world *w); /* stops, closes, opens and starts it again */
void world_stop_gate(struct world *w);
void world_start_gate(struct world *w); /* on the same address */
void world_close(struct world *w);
uint64_t world_number(struct world *w, const char *key);      /* what follows this text in the vault's status */
int world_patience(void);                                     /* how much longer to wait for what comes (tests/support/sanitize.sh); else 1 */
void world_until_indexed(struct world *w, uint64_t packages); /* within 5 s, times that patience */
void world_check(struct world *w, bool read_data);            /* store, ledger and index agree: no finding */

enum { ROWS = 512 };
struct row {
    enum kluis_store_table table;
    char key[64];
    struct kluis_buf value;
};
struct device {
    struct world *w;
    struct pki pki; /* device key and certificate, as sealed_package wants them */
    struct kluis_key *login;
    struct kluis_identity identity;
    char id[33];
    uint8_t vault_identity[33];
    struct row row[ROWS];
    size_t rows;
    struct kluis_session_store store;
    struct kluis_session *session;
    struct gate_client *client;
    uint64_t sequence;
    uint8_t previous[32];
};
/* In its parts: keys of its own; the request for a code's secret (to be known to the register, or not); what the gate says of that request within 20
 * s, as device_enrol has it: asked again it is the same. */
void device_new(struct device *d, struct world *w);
void device_request(struct device *d, const uint8_t secret[16], struct kluis_buf *request);
void device_reply(struct device *d, const uint8_t secret[16], const struct kluis_buf *request, char refusal[16]);
/* Asks for a code and enrols with it.  The reply's word when it is refused ("" when enrolled). */
void device_enrol(struct device *d, struct world *w, const char *official, char refusal[16]);
void device_store(struct device *d); /* d->store is d->row */
void device_close(struct device *d);
void device_session(struct device *d); /* X3DH with a fresh bundle */

struct sending {
    struct sealed s;
    uint8_t key[32], upload[16], message[16];
    struct kluis_buf cipher, body;
};
/* A package with the next number; nothing is sent yet. */
void device_pack(struct device *d, struct sending *s, const struct sealed_options *o);
/* The same in two steps, for packages that are changed in between: takes the next number into o (device, sequence, previous, salt); wraps the package
 * in fd (id and size alone count of `sealed`), which sending_close closes. */
void device_number(struct device *d, struct sealed_options *o);
void device_wrap(struct device *d, struct sending *s, struct sealed sealed);
/* The same of a package that another device delivered under an earlier enrolment of this home, with its number and the one before it. */
void device_return(struct device *d, struct sending *s, struct sealed sealed, const char *maker, uint64_t sequence, const uint8_t previous[32]);
/* Uploads and posts; gives the last status of the gate. */
long device_send(struct device *d, struct sending *s);
void sending_close(struct sending *s);
/* Waits up to `seconds` for an answer about this package; asserts one comes.  body holds its body. */
uint32_t device_answer(struct device *d, const uint8_t package[32], int seconds, struct kluis_buf *body);
/* false: nothing came within so many seconds. */
bool device_any_answer(struct device *d, int seconds, struct kluis_answer *out, struct kluis_buf *body);

#endif
