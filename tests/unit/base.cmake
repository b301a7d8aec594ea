kluis_test(base SOURCES ${CMAKE_CURRENT_LIST_DIR}/base_test.c LINK kluis_base)
