/* gate.h - the part of the server that faces the network: docs/PROTOCOL.md §5, §6 and §7.
 *
 * Takes HTTPS requests of devices and of the vault, gives bytes that it cannot read.  Owns its directory alone: gate.db, uploads/,
 * gate.lock.  Threads: its own (a pool that polls, a housekeeper, relay workers); the calls below come from one thread, the caller's.
 */
#ifndef SERVER_GATE_GATE_H
#define SERVER_GATE_GATE_H

#include "kluis/base.h"

enum { GATE_NAME_MAX = 256 };
struct gate;

/* Ceilings.  0: the default. */
struct gate_limits {
    uint32_t threads;            /* that take requests: 2                                                */
    uint32_t connections;        /* open at once: 1,000                                                  */
    uint32_t connections_per_ip; /* 500: an organisation may stand behind one address                    */
    uint32_t timeout_s;          /* a connection without traffic: 30                                     */
    uint32_t request_s;          /* one request's body, from its first byte to its last: 600             */
    uint32_t nonce_s;            /* life of a nonce: 120                                                 */
    uint32_t waiters;            /* requests that wait at once: 2,000; of one device 4, without login 64  */
    uint32_t refused_per_minute; /* of one address: requests that are no route or carry no login: 600     */
    uint32_t uploads_per_device; /* without a message yet: 8                                             */
    uint32_t upload_days;        /* life of an unfinished upload without progress: 7                     */
    uint32_t enrol_waiting;      /* enrolments the vault has not answered: 64                            */
    uint32_t relay_workers;      /* 2                                                                    */
    uint32_t queue;              /* messages the vault has not taken: 100,000                            */
    uint32_t queue_per_device;   /* of one device: 10,000                                                */
    uint32_t outbox;             /* answers devices have not taken: 100,000                              */
    uint64_t upload_bytes;       /* one upload: 4 GiB                                                    */
};

struct gate_config {
    const char *dir;                              /* the gate's own directory; must exist                                 */
    const char *listen;                           /* "ADDR:PORT" or "[ADDR6]:PORT", port 0: any                           */
    const char *name;                             /* the authority that devices use; NULL: the bound address              */
    struct kluis_bytes tls_cert_pem, tls_key_pem; /* chain and key; the key's memory is the caller's, may go after gate_start */
    struct kluis_bytes vault_spki;                /* public half of the vault's pull key, DER            */
    const char *log_vkey;                         /* NULL: a mirrored checkpoint is held against the leaves only, not its signature */
    const char *const *tsa_urls;                  /* time authorities, tried in this order                                */
    size_t n_tsa;
    uint64_t disk_reserve; /* bytes that stay free on the disk; 0: 256 MiB                         */
    struct gate_limits limits;
    bool confine; /* raise the walls before the first byte is taken; for the whole process              */
};

/* Reads <dir>/gate.json into *out; texts and keys live in the arena (the TLS key too: it is the gate's own file, 0600).
 * An object with these keys, unknown ones refused; paths are relative to dir:
 *   "listen"            string, "ADDR:PORT"                       (may be absent: the caller sets it)
 *   "name"              string, the authority devices use         (may be absent)
 *   "tls_certificate"   string, path of a PEM chain
 *   "tls_key"           string, path of a PEM key
 *   "vault_key"         string, base64 of the DER SubjectPublicKeyInfo of the pull key
 *   "log_vkey"          string, the ledger's vkey                 (may be absent)
 *   "time_authorities"  array of strings, http:// or https:// URLs (may be absent: none)
 *   "disk_reserve"      integer, bytes                            (may be absent)
 *   "limits"            object of integers named as in struct gate_limits (may be absent)
 * E_NOTFOUND, E_USAGE, E_IO, E_NOMEM. */
KLUIS_MUSTUSE kluis_status gate_config_read(const char *dir, struct kluis_arena *arena, struct gate_config *out, struct kluis_err *err);

/* Only the name in dir/gate.json, no key is read; "" when there is none.  As gate_config_read. */
KLUIS_MUSTUSE kluis_status gate_config_name(const char *dir, char out[GATE_NAME_MAX], struct kluis_err *err);
/* E_USAGE: listen_on is not a numeric ADDR:PORT, it is every address and name is NULL, or name is no authority. */
KLUIS_MUSTUSE kluis_status gate_name_check(const char *listen_on, const char *name, struct kluis_err *err);

/* Opens the directory, binds, puts up walls when asked, starts serving.  The config is copied.  E_BUSY: another gate owns the directory;
 * E_USAGE: listen (an address of every interface needs a name), name, certificate, key or URL is not one; E_IO; E_CORRUPT; E_NOMEM.  Ignores SIGPIPE
 * for the process. kluis_base_init comes before. */
KLUIS_MUSTUSE kluis_status gate_start(struct gate **out, const struct gate_config *config, struct kluis_err *err);
enum { GATE_ADDRESS_MAX = 80 };
/* The bound "ADDR:PORT". */
void gate_address(const struct gate *g, char out[GATE_ADDRESS_MAX]);
/* Lets what waits go (204, or 503 for time-stamps), closes every connection and the database.  What was acknowledged stays.  NULL: no-op. */
void gate_stop(struct gate *g);

/* Walls of this process that stand (bits of server/walls/walls.h): what the kernel lacks is not there.  Start the gate from a process that does
 * nothing else. */
unsigned gate_walls(const struct gate *g);

struct gate_status {
    uint64_t queued, uploads, outbox, enrolments, mirror, prekeys; /* rows; mirror: leaves under the checkpoint */
    uint32_t connections, waiting;
    unsigned walls;
};
KLUIS_MUSTUSE kluis_status gate_status_read(struct gate *g, struct gate_status *out, struct kluis_err *err);

#endif
