kluis_test(meta SOURCES ${CMAKE_CURRENT_LIST_DIR}/meta_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_meta test_dir kluis_record kluis_base)
