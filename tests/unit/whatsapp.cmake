kluis_test(whatsapp SOURCES ${CMAKE_CURRENT_LIST_DIR}/whatsapp_test.c ${CMAKE_CURRENT_LIST_DIR}/whatsapp_support.c LINK agent_source)
kluis_test(whatsapp_place SOURCES ${CMAKE_CURRENT_LIST_DIR}/whatsapp_place_test.c ${CMAKE_CURRENT_LIST_DIR}/whatsapp_support.c LINK agent_source PkgConfig::ARCHIVE)
