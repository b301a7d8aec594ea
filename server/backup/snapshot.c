/* server/backup/snapshot.c - the vault's half: what changes while it runs, copied by its own hand. */
#include "server/backup/backup.h"
#include "server/backup/files.h"

kluis_status snapshot_remove(const char *vault_dir, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX];
    KLUIS_TRY(kluis_path(dir, sizeof dir, vault_dir, "snapshot", err));
    return folder_remove(dir, err);
}

kluis_status snapshot_make(const char *vault_dir, struct custody *c, struct reg *r, struct kluis_err *err)
{
    char dir[KLUIS_PATH_MAX], path[KLUIS_PATH_MAX];
    KLUIS_TRY(snapshot_remove(vault_dir, err));
    KLUIS_TRY(kluis_path(dir, sizeof dir, vault_dir, "snapshot", err));
    KLUIS_TRY(kluis_path(path, sizeof path, dir, "custody.db", err));
    KLUIS_TRY(kluis_make_dir(dir, err));
    /* Custody first: every device that delivered to it stands in the register that is copied after it. */
    KLUIS_TRY(custody_copy(c, path, err));
    KLUIS_TRY(reg_copy(r, dir, err));
    kluis_durable_step("backup.snapshot");
    return KLUIS_OK;
}
