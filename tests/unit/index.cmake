kluis_test(index_wire SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_wire_test.c LINK server_index)
