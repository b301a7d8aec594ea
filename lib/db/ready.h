/* lib/db/ready.h - what is set once for all of SQLite in this process.  Stays in this folder. */
#ifndef LIB_DB_READY_H
#define LIB_DB_READY_H

/* Before the first call that starts SQLite; any thread, any number of times. */
void db_ready(void);

#endif
