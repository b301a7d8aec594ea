kluis_test(custody SOURCES ${CMAKE_CURRENT_LIST_DIR}/custody_test.c LINK server_custody kluis_base PkgConfig::SQLITE)
kluis_test(ledger_state SOURCES ${CMAKE_CURRENT_LIST_DIR}/ledger_state_test.c LINK server_ledger server_custody kluis_base)
