kluis_test(source_json SOURCES ${CMAKE_CURRENT_LIST_DIR}/source_json_test.c LINK source_json kluis_base)
