if(TARGET agent_pack AND TARGET test_agent_home AND TARGET kluis_package_read)
  kluis_test(agent_pack SOURCES ${CMAKE_CURRENT_LIST_DIR}/agent_pack_test.c
    LINK test_agent_home agent_pack agent_journal kluis_package_read kluis_envelope kluis_seal)
endif()
