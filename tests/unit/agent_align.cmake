kluis_test(agent_align SOURCES ${CMAKE_CURRENT_LIST_DIR}/agent_align_test.c LINK agent_journal kluis_record kluis_base)
