# index_bench DIRECTORY [RECORDS] [ROUNDS] [ORDER]: run by hand or by the bench script, not by ctest.
kluis_program(index_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/index_bench.c LINK server_index PkgConfig::SQLITE m)
set_target_properties(index_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
