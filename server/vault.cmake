# The vault as one object, and init.  server_children comes last: ingest knows it by its header alone.
kluis_library(server_vault SOURCES vault.c LINK server_ingest server_children Threads::Threads)
kluis_library(server_init SOURCES init.c LINK server_keys kluis_seal kluis_ledger)
