kluis_test(teams SOURCES ${CMAKE_CURRENT_LIST_DIR}/teams_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_teams test_dir kluis_record kluis_base)
