kluis_test(storage SOURCES ${CMAKE_CURRENT_LIST_DIR}/storage_test.c LINK server_storage kluis_base)
