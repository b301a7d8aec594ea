kluis_test(x SOURCES ${CMAKE_CURRENT_LIST_DIR}/x_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_x test_dir kluis_record kluis_base)
