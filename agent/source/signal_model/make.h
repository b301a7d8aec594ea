/* make.h - trees made by hand, for sources that hold rows: what a row says, in the form that the model reads.
 *
 * Every function takes NULL for an object or array that could not be made; `full` tells it at the end.
 */
#ifndef SIGNAL_MAKE_H
#define SIGNAL_MAKE_H

#include "agent/source/signal_model/model.h"

struct make {
    struct kluis_arena *arena;
    bool full; /* no memory: the tree is not whole */
};
struct json *make_object(struct make *k);
struct json *make_array(struct make *k);
struct json *make_put(struct make *k, struct json *object, const char *key, struct json *v); /* gives v; NULL adds nothing */
struct json *make_push(struct json *array, struct json *v);                                  /* gives v */
struct json *make_in(struct make *k, struct json *object, const char *key);                  /* a new object as member */
struct json *make_list(struct make *k, struct json *object, const char *key);
void make_text(struct make *k, struct json *object, const char *key, struct kluis_str text); /* absent or empty: nothing */
void make_u64(struct make *k, struct json *object, const char *key, uint64_t n);
void make_true(struct make *k, struct json *object, const char *key, bool said);             /* false: nothing */
void make_uuid(struct make *k, struct json *object, const char *key, struct kluis_str uuid); /* as base64 of its 16 bytes; "PNI:" may stand before */
void make_base64(struct make *k, struct json *object, const char *key, struct kluis_bytes bytes);

#endif
