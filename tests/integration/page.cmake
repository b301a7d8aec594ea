add_test(NAME integration.page COMMAND ${CMAKE_CURRENT_LIST_DIR}/page_test.sh WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(integration.page PROPERTIES LABELS integration TIMEOUT 120 ENVIRONMENT "KLUIS_BIN=${CMAKE_BINARY_DIR}/bin")
