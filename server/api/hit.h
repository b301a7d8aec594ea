/* server/api/hit.h - a hit as JSON: one form for the command line, the API and the page.   index -> [api] -> web
 *
 * {"id","kind","platform","conversation":{"id","name","type"},"author":{"id","name","number","self"},"sent","zone","precision","text","marks":[[from,to]…],
 *  "target","value","event","quote","attachments":[…],"options":[…],"loss":[…],"package","ordinal","verdict","provenance","conflict","group","sightings":[{"package","ordinal",
 *  "official","sent","differs"}…]}: absent things are left out, except text (""), marks are code unit offsets of UTF-16 (what browsers count in),
 * group is 16 hex digits (more than a JSON number can hold).
 */
#ifndef SERVER_API_HIT_H
#define SERVER_API_HIT_H

#include "server/index/index.h"

/* Appends one object without a newline. */
KLUIS_MUSTUSE kluis_status api_hit_json(const struct index_hit *h, struct kluis_buf *out, struct kluis_err *err);

#endif
