if(TARGET chatkluis-agent AND TARGET test_agent_home AND TARGET kluis_package_read)
  kluis_test(agent_archive SOURCES ${CMAKE_CURRENT_LIST_DIR}/agent_archive_test.c
    LINK test_agent_home test_agent_content agent_pack agent_journal kluis_package_read kluis_envelope kluis_seal)
  target_compile_definitions(test_agent_archive PRIVATE AGENT="$<TARGET_FILE:chatkluis-agent>")
  add_dependencies(test_agent_archive chatkluis-agent)
endif()
