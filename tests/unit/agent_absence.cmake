if(TARGET agent_journal AND TARGET test_agent_home)
  kluis_test(agent_absence SOURCES ${CMAKE_CURRENT_LIST_DIR}/agent_absence_test.c LINK test_agent_home agent_journal kluis_record)
endif()
