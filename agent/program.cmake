# chatkluis-agent: every stage, wired in archive.c; in test builds also its twin that can be killed at a named durable step.
if(TARGET agent_source AND TARGET agent_pack AND TARGET agent_courier)
  set(agent_sources ${CMAKE_CURRENT_LIST_DIR}/main.c ${CMAKE_CURRENT_LIST_DIR}/options.c ${CMAKE_CURRENT_LIST_DIR}/settings.c ${CMAKE_CURRENT_LIST_DIR}/terminal.c ${CMAKE_CURRENT_LIST_DIR}/archive.c ${CMAKE_CURRENT_LIST_DIR}/command_source.c
    ${CMAKE_CURRENT_LIST_DIR}/command_read.c ${CMAKE_CURRENT_LIST_DIR}/command_run.c ${CMAKE_CURRENT_LIST_DIR}/command_status.c ${CMAKE_CURRENT_LIST_DIR}/command_packages.c)
  set(agent_links agent_source source_keyring agent_select agent_journal agent_pack agent_courier kluis_envelope_build kluis_record kluis_db kluis_base PkgConfig::JSONC)
  kluis_program(chatkluis-agent SOURCES ${agent_sources} LINK ${agent_links})
  if(KLUIS_TESTS)
    kluis_step_twin(chatkluis-agent SOURCES ${agent_sources} LINK ${agent_links})
  endif()
endif()
