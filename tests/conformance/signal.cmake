# Signal's own test cases, where the fixtures are on this machine; source_dump prints what a source gives.
kluis_program(source_dump SOURCES ${CMAKE_SOURCE_DIR}/tests/support/source_dump.c LINK agent_source)
set_target_properties(source_dump PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME conformance.signal_export
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/signal_export.py $<TARGET_FILE:source_dump> ${CMAKE_SOURCE_DIR}/../shared/fixtures/signal-backup 200)
  set_tests_properties(conformance.signal_export PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 300)
  add_test(NAME conformance.signal_archive
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/signal_archive.py $<TARGET_FILE:source_dump> ${CMAKE_SOURCE_DIR}/../shared/fixtures/signal-backup
      ${CMAKE_SOURCE_DIR}/tests/support/eigen/signal_backup.py)
  # Backups of our own making (eigen): a generator in another language, from the format's facts alone.
  add_test(NAME conformance.eigen_signal_archive
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/eigen_signal_archive.py $<TARGET_FILE:source_dump> ${CMAKE_SOURCE_DIR}/tests/support/eigen
      ${CMAKE_SOURCE_DIR}/tests/fixtures/eigen-signal)
  set_tests_properties(conformance.eigen_signal_archive PROPERTIES LABELS conformance TIMEOUT 300)
  add_test(NAME conformance.eigen_signal_desktop
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/eigen_signal_desktop.py $<TARGET_FILE:source_dump> ${CMAKE_SOURCE_DIR}/tests/support/eigen
      ${CMAKE_SOURCE_DIR}/tests/fixtures/eigen-signal ${CMAKE_SOURCE_DIR}/../shared/fixtures)
  set_tests_properties(conformance.eigen_signal_desktop PROPERTIES LABELS conformance TIMEOUT 900)
  add_test(NAME conformance.eigen_signal_android
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/eigen_signal_android.py $<TARGET_FILE:source_dump> ${CMAKE_SOURCE_DIR}/tests/support/eigen
      ${CMAKE_SOURCE_DIR}/tests/fixtures/eigen-signal)
  set_tests_properties(conformance.eigen_signal_android PROPERTIES LABELS conformance TIMEOUT 900)
  set_tests_properties(conformance.signal_archive PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 300)
endif()
