# The whole machine, as a user runs it: bash scripts over the built programs and their twins.
function(kluis_machine_test name timeout)
  add_test(NAME integration.${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/${name}.sh WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(integration.${name} PROPERTIES LABELS integration TIMEOUT ${timeout} ENVIRONMENT "KLUIS_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()
kluis_machine_test(independent 120)
