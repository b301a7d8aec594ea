kluis_test(register SOURCES ${CMAKE_CURRENT_LIST_DIR}/register_test.c LINK server_register kluis_db)
