/* server/backup_command.h - backup and restore on the command line.  The vault, behind its walls, reaches no folder but its own: it makes a
 * snapshot there, and this process carries it out. */
#ifndef SERVER_BACKUP_COMMAND_H
#define SERVER_BACKUP_COMMAND_H

#include "kluis/base.h"

/* exit_code: of what the vault was asked, if that failed and has said why. */
KLUIS_MUSTUSE kluis_status cmd_backup(int argc, const char *const *argv, int *exit_code, struct kluis_err *err);
KLUIS_MUSTUSE kluis_status cmd_restore(int argc, const char *const *argv, struct kluis_err *err);

#endif
