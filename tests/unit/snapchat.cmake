kluis_test(snapchat SOURCES ${CMAKE_CURRENT_LIST_DIR}/snapchat_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_snapchat test_dir kluis_record kluis_base)
