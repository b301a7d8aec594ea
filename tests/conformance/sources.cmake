# One test a kind of source: every case of cases/<kind>.json; then the table of docs/SOURCES.md against what they show.  Tests of their own that
# note what they saw (shown.py) belong to it too: they stand in source_tests.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  set(lines ${CMAKE_BINARY_DIR}/source-lines)
  file(GLOB cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/cases/*.json)
  set(kinds "")
  foreach(case ${cases})
    get_filename_component(kind ${case} NAME_WE)
    add_test(NAME conformance.source.${kind}
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/sources.py $<TARGET_FILE:source_dump> ${kind} ${CMAKE_CURRENT_LIST_DIR}/cases
              ${CMAKE_SOURCE_DIR}/../shared/fixtures ${CMAKE_SOURCE_DIR}/tests/fixtures)
    set_tests_properties(conformance.source.${kind} PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 300 FIXTURES_SETUP source_lines ENVIRONMENT KLUIS_SOURCE_LINES=${lines})
    list(APPEND kinds conformance.source.${kind})
  endforeach()
  foreach(test ${source_tests})
    set_tests_properties(${test} PROPERTIES FIXTURES_SETUP source_lines ENVIRONMENT KLUIS_SOURCE_LINES=${lines})
    list(APPEND kinds ${test})
  endforeach()
  add_test(NAME conformance.sources_table
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/sources_table.py $<TARGET_FILE:chatkluis-agent> ${lines} ${CMAKE_SOURCE_DIR}/docs/SOURCES.md)
  set_tests_properties(conformance.sources_table PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 DEPENDS "${kinds}" FIXTURES_REQUIRED source_lines)
  # The same sources, harmed; and those of the kinds that have no list of cases.
  kluis_program(source_harm SOURCES ${CMAKE_CURRENT_LIST_DIR}/source_harm.c LINK agent_source)
  set_target_properties(source_harm PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  set(harmed signal-archive signal-desktop signal-android imessage)
  foreach(case ${cases})
    get_filename_component(kind ${case} NAME_WE)
    list(APPEND harmed ${kind})
  endforeach()
  foreach(kind ${harmed})
    add_test(NAME conformance.harm.${kind}
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/source_harm.py $<TARGET_FILE:source_harm> ${kind} ${CMAKE_CURRENT_LIST_DIR}/cases
              ${CMAKE_SOURCE_DIR}/../shared/fixtures ${CMAKE_SOURCE_DIR}/tests/fixtures ${CMAKE_SOURCE_DIR}/tests/support/eigen)
    set_tests_properties(conformance.harm.${kind} PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 600)
  endforeach()
endif()
