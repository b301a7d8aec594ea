kluis_test(threema SOURCES ${CMAKE_CURRENT_LIST_DIR}/threema_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_threema test_dir kluis_record kluis_base)
