/* signal.h - the one place that names the Signal library: libsignal-protocol-c, or libomemo-c with KLUIS_OMEMO.
 *
 * Both put the same headers into a folder that the build gives; nothing else of ours includes them.
 */
#ifndef KLUIS_ENVELOPE_SIGNAL_H
#define KLUIS_ENVELOPE_SIGNAL_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <curve.h>
#include <key_helper.h>
#include <protocol.h>
#include <session_builder.h>
#include <session_cipher.h>
#include <session_pre_key.h>
#include <session_record.h>
#include <session_state.h>
#include <signal_protocol.h>
#pragma GCC diagnostic pop

#include <pthread.h>

#include "kluis/base.h"

/* A library context with our lock, silence and provider.  Lives in place: no copy after signal_env_open. */
struct signal_env {
    signal_context *context;
    pthread_mutex_t lock;
    bool locked_ok;
};
KLUIS_MUSTUSE kluis_status signal_env_open(struct signal_env *e, struct kluis_err *err);
void signal_env_close(struct signal_env *e);

#endif
