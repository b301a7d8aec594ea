# The vault as one object, and init.
kluis_library(server_vault SOURCES ${CMAKE_CURRENT_LIST_DIR}/vault.c LINK server_ingest server_backup PRIVATE_LINK kluis_validation server_walls Threads::Threads)
kluis_library(server_init SOURCES ${CMAKE_CURRENT_LIST_DIR}/init.c LINK server_keys kluis_seal kluis_ledger)
