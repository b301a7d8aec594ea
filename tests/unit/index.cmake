kluis_test(index_wire SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_wire_test.c LINK server_index)
kluis_test(index_search SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_search_test.c LINK server_index PkgConfig::SQLITE)
kluis_test(index_group SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_group_test.c LINK server_index PkgConfig::SQLITE)
kluis_test(index_move SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_move_test.c LINK server_index PkgConfig::SQLITE)
