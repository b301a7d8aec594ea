/* keyring.c - see keyring.h. */
#include "agent/source/keyring.h"

#ifdef KLUIS_HAVE_LIBSECRET
#include <libsecret/secret.h>

static SecretSchema schema_of(const struct keyring_item *item)
{
    SecretSchema s = { .name = item->schema, .flags = item->any_kind ? SECRET_SCHEMA_DONT_MATCH_NAME : SECRET_SCHEMA_NONE };
    for (size_t i = 0; i < KEYRING_FIELDS && item->fields[i].name != NULL; i++) {
        s.attributes[i] = (SecretSchemaAttribute){ item->fields[i].name, SECRET_SCHEMA_ATTRIBUTE_STRING };
    }
    return s;
}

static GHashTable *fields_of(const struct keyring_item *item)
{
    GHashTable *t = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (size_t i = 0; i < KEYRING_FIELDS && item->fields[i].name != NULL; i++) {
        g_hash_table_insert(t, g_strdup(item->fields[i].name), g_strdup(item->fields[i].value));
    }
    return t;
}

kluis_status keyring_get(const struct keyring_item *item, struct kluis_buf *out, struct kluis_err *err)
{
    const SecretSchema schema = schema_of(item);
    GError *why = NULL;
    GHashTable *fields = fields_of(item);
    gchar *text = secret_password_lookupv_sync(&schema, fields, NULL, &why);
    g_hash_table_unref(fields);
    if (text == NULL) {
        if (why == NULL) { return KLUIS_E_NOTFOUND; }
        kluis_status rc = KLUIS_FAIL(err, KLUIS_E_BUSY, "the keyring cannot be asked (%.100s): log in or unlock it, then try again", why->message);
        g_error_free(why);
        return rc;
    }
    size_t n = strlen(text);
    /* One more than it needs: who ends it with a mark makes no second copy. */
    if (kluis_buf_reserve(out, n + 1) != NULL) { kluis_buf_add(out, text, n); }
    secret_password_wipe(text);
    secret_password_free(text);
    return kluis_buf_ok(out, err);
}

bool keyring_put(const struct keyring_item *item, const char *label, const char *text)
{
    const SecretSchema schema = schema_of(item);
    GHashTable *fields = fields_of(item);
    bool ok = secret_password_storev_sync(&schema, fields, SECRET_COLLECTION_DEFAULT, label, text, NULL, NULL) == TRUE;
    g_hash_table_unref(fields);
    return ok;
}

void keyring_remove(const struct keyring_item *item)
{
    const SecretSchema schema = schema_of(item);
    GHashTable *fields = fields_of(item);
    (void)secret_password_clearv_sync(&schema, fields, NULL, NULL);
    g_hash_table_unref(fields);
}
#else
kluis_status keyring_get(KLUIS_UNUSED const struct keyring_item *item, KLUIS_UNUSED struct kluis_buf *out, struct kluis_err *err)
{
    return KLUIS_FAIL(err, KLUIS_E_BUSY, "this agent was built without libsecret and asks no keyring");
}

bool keyring_put(KLUIS_UNUSED const struct keyring_item *item, KLUIS_UNUSED const char *label, KLUIS_UNUSED const char *text) { return false; }

void keyring_remove(KLUIS_UNUSED const struct keyring_item *item) {}
#endif
