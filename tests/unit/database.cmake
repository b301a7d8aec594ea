kluis_test(agent_database SOURCES ${CMAKE_CURRENT_LIST_DIR}/agent_database_test.c LINK source_database PkgConfig::SQLITE PkgConfig::GCRYPT)
