# kluis_library(NAME SOURCES a.c … LINK x …): one static library per libkluis module or stage; links say the arrows.
function(kluis_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_LINK} PRIVATE kluis_flags ${A_PRIVATE_LINK})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
endfunction()

# kluis_archives(NAME lib….a …): what PkgConfig::NAME is for a program that stands alone (kluis_stands_alone); for all others it stays what pkg-config said.
function(kluis_archives name)
  get_target_property(shared PkgConfig::${name} INTERFACE_LINK_LIBRARIES)
  list(TRANSFORM ARGN PREPEND "-l:")
  set_target_properties(PkgConfig::${name} PROPERTIES INTERFACE_LINK_LIBRARIES "$<IF:$<BOOL:$<TARGET_PROPERTY:KLUIS_ALONE>>,${ARGN},${shared}>")
endfunction()

# kluis_stands_alone(TARGET SOURCE FUNCTION …): one file that needs no library of the machine (decision 0016); SOURCE has a __wrap_ for each FUNCTION of
# libc that does.  Sanitizers and counters are libraries themselves: built with those, it is a program like the others.
function(kluis_stands_alone target source)
  if(NOT KLUIS_UNWALLED AND NOT KLUIS_FUZZ)
    set_target_properties(${target} PROPERTIES KLUIS_ALONE ON)
    target_sources(${target} PRIVATE ${source})
    list(TRANSFORM ARGN PREPEND "-Wl,--wrap=")
    target_link_options(${target} PRIVATE -static-pie -Wl,-z,pack-relative-relocs ${ARGN}) # packed: a start reads 10 KB of them, not half a megabyte
  endif()
endfunction()

# kluis_watched(TARGET): where programs run under something that watches them (KLUIS_WATCH), that is what stands under the target's name.
function(kluis_watched target)
  if(KLUIS_WATCH)
    add_custom_command(TARGET ${target} POST_BUILD COMMAND ${KLUIS_WATCH} --stand-in $<TARGET_FILE:${target}>)
  endif()
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
  kluis_watched(${name})
endfunction()

# kluis_test(NAME SOURCES … LINK …): a cmocka binary, registered as unit test NAME with label "unit".
function(kluis_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(test_${name} ${A_SOURCES} $<TARGET_OBJECTS:test_verdict>)
  target_link_libraries(test_${name} PRIVATE kluis_flags ${A_LINK} test_dir PkgConfig::CMOCKA)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_dependencies(unit_tests test_${name})
  add_test(NAME unit.${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 300 ENVIRONMENT CHATKLUIS_KEYSTORE=file)
  kluis_watched(test_${name})
endfunction()

# kluis_patience(): last in a folder of tests.  What watches every access is slow: there, each test of this folder has twenty times its time, an hour at most.
function(kluis_patience)
  if(KLUIS_UNWALLED)
    get_property(tests DIRECTORY PROPERTY TESTS)
    foreach(test ${tests})
      get_test_property(${test} TIMEOUT seconds)
      if(NOT seconds)
        set(seconds 180)
      endif()
      math(EXPR seconds "20 * ${seconds}")
      if(seconds GREATER 3600)
        set(seconds 3600)
      endif()
      set_tests_properties(${test} PROPERTIES TIMEOUT ${seconds})
    endforeach()
  endif()
endfunction()

# kluis_step_twin(NAME SOURCES … LINK …): the same program with tests/support/crash_hook.c linked in, in build/tests/bin.
function(kluis_step_twin name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  kluis_program(${name}-steps SOURCES ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/support/crash_hook.c LINK ${A_LINK})
  set_target_properties(${name}-steps PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/bin)
endfunction()
