# kluis_library(NAME SOURCES a.c … LINK x …): one static library per libkluis module or stage; links say the arrows.
function(kluis_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_LINK} PRIVATE kluis_flags ${A_PRIVATE_LINK})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
endfunction()

# kluis_program(NAME SOURCES … LINK …): lands in build/bin.
function(kluis_program name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE kluis_flags ${A_LINK})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
  if(NOT KLUIS_SANITIZE)
    target_link_options(${name} PRIVATE -pie)
  endif()
endfunction()

# kluis_test(NAME SOURCES … LINK …): a cmocka binary, registered as unit test NAME with label "unit".
function(kluis_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(test_${name} ${A_SOURCES})
  target_link_libraries(test_${name} PRIVATE kluis_flags ${A_LINK} test_dir PkgConfig::CMOCKA)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME unit.${name} COMMAND ${KLUIS_TEST_LAUNCHER} $<TARGET_FILE:test_${name}> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT CHATKLUIS_KEYSTORE=file)
endfunction()

# kluis_patience(): last in a folder of tests.  What watches every access is slow: there, each test of this folder has an hour.
function(kluis_patience)
  if(KLUIS_UNWALLED)
    get_property(tests DIRECTORY PROPERTY TESTS)
    set_tests_properties(${tests} PROPERTIES TIMEOUT 3600)
  endif()
endfunction()

# kluis_step_twin(NAME SOURCES … LINK …): the same program with tests/support/crash_hook.c linked in, in build/tests/bin.
function(kluis_step_twin name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  kluis_program(${name}-steps SOURCES ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/support/crash_hook.c LINK ${A_LINK})
  set_target_properties(${name}-steps PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bin)
endfunction()
