# Many agents at one gate: ./run bench load, and integration.load.
set(load ${CMAKE_CURRENT_LIST_DIR}/load)
add_executable(bench_load ${load}/main.c ${load}/agent.c ${load}/bad.c)
target_link_libraries(bench_load PRIVATE kluis_flags agent_courier agent_pack test_gate_client PkgConfig::CURL PkgConfig::CMOCKA Threads::Threads)
target_include_directories(bench_load PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
set_target_properties(bench_load PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
