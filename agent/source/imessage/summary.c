/* summary.c - what message_summary_info tells: each text of an edited part ("ec": time "d", text "t"), and unsent parts ("rp").
 */
#include "agent/source/imessage/imessage.h"

#include <plist/plist.h>

static plist_t item(plist_t dict, const char *key)
{
    return dict != NULL && plist_get_node_type(dict) == PLIST_DICT ? plist_dict_get_item(dict, key) : NULL;
}

static int64_t when(plist_t node)
{
    double seconds = 0;
    uint64_t n = 0;
    if (node != NULL && plist_get_node_type(node) == PLIST_REAL) {
        plist_get_real_val(node, &seconds);
        return apple_seconds_us(seconds);
    }
    if (node != NULL && plist_get_node_type(node) == PLIST_UINT) {
        plist_get_uint_val(node, &n);
        return n <= INT32_MAX ? apple_seconds_us((double)n) : KLUIS_TIME_ABSENT;
    }
    return KLUIS_TIME_ABSENT;
}

static void versions(plist_t list, struct im_summary *out, int64_t number)
{
    if (list == NULL || plist_get_node_type(list) != PLIST_ARRAY) { return; }
    struct im_part *p = &out->part[out->n_parts++];
    *p = (struct im_part){ .number = number };
    const uint32_t n = plist_array_get_size(list);
    for (uint32_t i = 0; i < n; i++) {
        plist_t one = plist_array_get_item(list, i), text = item(one, "t");
        uint64_t len = 0;
        if (p->n == IM_VERSIONS) {
            out->more = true;
            return;
        }
        struct im_version *v = &p->version[p->n++];
        *v = (struct im_version){ .us = when(item(one, "d")) };
        if (text != NULL && plist_get_node_type(text) == PLIST_DATA) {
            const char *bytes = plist_get_data_ptr(text, &len);
            v->body = (struct kluis_bytes){ (const uint8_t *)bytes, (size_t)len };
        }
    }
}

/* Its keys are the numbers of parts. */
static void edited(plist_t parts, struct im_summary *out)
{
    uint32_t found = 0;
    if (parts == NULL || plist_get_node_type(parts) != PLIST_DICT) { return; }
    for (int n = 0; n < IM_PARTS; n++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", n);
        plist_t list = plist_dict_get_item(parts, key);
        if (list != NULL) {
            found++;
            versions(list, out, n);
        }
    }
    out->more = out->more || found < plist_dict_get_size(parts);
}

static void unsent(plist_t list, struct im_summary *out)
{
    const uint32_t n = list != NULL && plist_get_node_type(list) == PLIST_ARRAY ? plist_array_get_size(list) : 0;
    for (uint32_t i = 0; i < n; i++) {
        plist_t one = plist_array_get_item(list, i);
        uint64_t v = 0;
        if (one == NULL || plist_get_node_type(one) != PLIST_UINT) { continue; }
        plist_get_uint_val(one, &v);
        if (out->n_unsent == IM_PARTS || v > 1000000) {
            out->more = true;
        } else {
            out->unsent[out->n_unsent++] = (int64_t)v;
        }
    }
}

bool im_summary_read(struct kluis_bytes bytes, struct im_summary *out)
{
    plist_t root = NULL;
    out->n_parts = out->n_unsent = 0;
    out->parts = 0;
    out->more = false;
    out->plist = NULL;
    if (bytes.ptr == NULL || bytes.len > IM_SUMMARY_MAX || bytes.len < 40 || memcmp(bytes.ptr, "bplist0", 7) != 0) { return false; }
    plist_from_bin((const char *)bytes.ptr, (uint32_t)bytes.len, &root);
    if (root == NULL) { return false; }
    out->plist = root;
    plist_t ranges = item(root, "otr");
    if (ranges != NULL && plist_get_node_type(ranges) == PLIST_DICT) { out->parts = plist_dict_get_size(ranges); }
    edited(item(root, "ec"), out);
    unsent(item(root, "rp"), out);
    return plist_get_node_type(root) == PLIST_DICT;
}

void im_summary_free(struct im_summary *s)
{
    if (s->plist != NULL) { plist_free(s->plist); }
    s->plist = NULL;
}
