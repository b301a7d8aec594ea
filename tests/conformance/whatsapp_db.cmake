# WhatsApp's databases: other people's fixtures where they are on this machine, and what our own generator makes ("eigen").
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  foreach(t eigen_whatsapp_android eigen_whatsapp_ios eigen_whatsapp_two_sources)
    add_test(NAME conformance.${t} COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/${t}.py $<TARGET_FILE:chatkluis-agent>)
    set_tests_properties(conformance.${t} PROPERTIES LABELS conformance TIMEOUT 600)
  endforeach()
  add_test(NAME conformance.eigen_imessage COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/eigen_imessage.py $<TARGET_FILE:source_dump>
    ${CMAKE_SOURCE_DIR}/tests/support/eigen ${CMAKE_SOURCE_DIR}/../shared/fixtures)
  set_tests_properties(conformance.eigen_imessage PROPERTIES LABELS conformance TIMEOUT 600)
  add_test(NAME conformance.whatsapp_ios COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/whatsapp_ios.py $<TARGET_FILE:chatkluis-agent>
    ${CMAKE_SOURCE_DIR}/../shared/fixtures/whatsapp-ios)
  set_tests_properties(conformance.whatsapp_ios PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 120)
endif()
kluis_program(conformance_whatsapp_crypt SOURCES ${CMAKE_CURRENT_LIST_DIR}/whatsapp_crypt.c LINK source_whatsapp_android)
set_target_properties(conformance_whatsapp_crypt PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME conformance.whatsapp_crypt COMMAND conformance_whatsapp_crypt ${CMAKE_SOURCE_DIR}/../shared/fixtures/whatsapp-crypt)
set_tests_properties(conformance.whatsapp_crypt PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 300)
