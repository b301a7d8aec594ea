# What reading a source costs, and the yardstick for opening an encrypted one.
add_executable(bench_source_read ${CMAKE_CURRENT_LIST_DIR}/source_read.c)
target_link_libraries(bench_source_read PRIVATE kluis_flags agent_source)
add_executable(bench_crypt15 ${CMAKE_CURRENT_LIST_DIR}/crypt15.c)
target_link_libraries(bench_crypt15 PRIVATE kluis_flags PkgConfig::GCRYPT ZLIB::ZLIB)
foreach(tool source_read crypt15)
  target_include_directories(bench_${tool} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
  set_target_properties(bench_${tool} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endforeach()
