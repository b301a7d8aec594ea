kluis_test(source_order SOURCES ${CMAKE_CURRENT_LIST_DIR}/source_order_test.c LINK source_order kluis_base)
