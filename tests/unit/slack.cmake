kluis_test(slack SOURCES ${CMAKE_CURRENT_LIST_DIR}/slack_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_slack test_dir kluis_record kluis_base)
