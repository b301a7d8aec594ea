kluis_integration_test(vault SOURCES ${CMAKE_CURRENT_LIST_DIR}/vault_test.c ${CMAKE_CURRENT_LIST_DIR}/vault_world.c
  LINK test_sealed test_gate_client server_vault server_init server_gate server_tsa kluis_envelope kluis_validation PkgConfig::CURL Threads::Threads)
kluis_integration_test(vault_crash SOURCES ${CMAKE_CURRENT_LIST_DIR}/vault_crash_test.c ${CMAKE_CURRENT_LIST_DIR}/vault_world.c
  LINK test_sealed test_gate_client server_vault server_init server_gate server_tsa kluis_envelope kluis_validation PkgConfig::CURL Threads::Threads)
kluis_integration_test(bad_packages SOURCES ${CMAKE_CURRENT_LIST_DIR}/bad_packages_test.c ${CMAKE_CURRENT_LIST_DIR}/vault_world.c
  ${CMAKE_SOURCE_DIR}/tests/unit/package_forge.c ${CMAKE_SOURCE_DIR}/tests/unit/package_sample.c
  LINK test_sealed test_gate_client server_vault server_init server_gate server_tsa kluis_envelope kluis_validation OpenSSL::Crypto PkgConfig::CURL PkgConfig::DEFLATE
  ZLIB::ZLIB Threads::Threads)
