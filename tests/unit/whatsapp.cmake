kluis_test(whatsapp SOURCES ${CMAKE_CURRENT_LIST_DIR}/whatsapp_test.c ${CMAKE_CURRENT_LIST_DIR}/whatsapp_support.c LINK agent_source)
