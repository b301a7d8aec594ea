kluis_test(custody SOURCES ${CMAKE_CURRENT_LIST_DIR}/custody_test.c LINK server_custody kluis_base)
