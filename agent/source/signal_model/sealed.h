/* sealed.h - a file as Signal seals one on disk: IV (16), AES-256-CBC with PKCS#7 padding, HMAC-SHA-256 (32) over both.
 *
 * The local key is 64 bytes: AES key, MAC key.  What is inside may be padded with zeros to hide its size: `size` says where it ends.
 */
#ifndef SIGNAL_SEALED_H
#define SIGNAL_SEALED_H

#include "kluis/base.h"

enum { SEALED_KEY = 64 };

struct sealed;
/* Takes fd (closed with it, also on failure).  E_REJECT: its MAC is wrong: changed, cut, or of another key.  E_IO, E_NOMEM. */
KLUIS_MUSTUSE kluis_status sealed_open(struct sealed **out, int fd, const uint8_t key[SEALED_KEY], uint64_t size, struct kluis_err *err);
void sealed_free(struct sealed *s);
KLUIS_DEFINE_CLEANUP(sealed)
/* Its content, once, at most `size` bytes; reads again in ciphertext that sealed_open proved. */
struct kluis_input sealed_input(struct sealed *s);

#endif
