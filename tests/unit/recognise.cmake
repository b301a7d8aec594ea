kluis_test(recognise SOURCES ${CMAKE_CURRENT_LIST_DIR}/recognise_test.c LINK agent_source test_dir)
