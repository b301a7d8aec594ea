kluis_test(matrix_export SOURCES ${CMAKE_CURRENT_LIST_DIR}/matrix_export_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_matrix_export test_dir kluis_record kluis_base)
