kluis_test(linkedin SOURCES ${CMAKE_CURRENT_LIST_DIR}/linkedin_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_linkedin test_dir kluis_record kluis_base)
