# chatkluis-agent: every stage, wired in archive.c.
if(TARGET agent_source AND TARGET agent_pack AND TARGET agent_courier)
  kluis_program(chatkluis-agent
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/main.c ${CMAKE_CURRENT_LIST_DIR}/options.c ${CMAKE_CURRENT_LIST_DIR}/archive.c ${CMAKE_CURRENT_LIST_DIR}/command_source.c
            ${CMAKE_CURRENT_LIST_DIR}/command_read.c ${CMAKE_CURRENT_LIST_DIR}/command_run.c ${CMAKE_CURRENT_LIST_DIR}/command_status.c ${CMAKE_CURRENT_LIST_DIR}/command_packages.c
    LINK agent_source agent_select agent_journal agent_pack agent_courier kluis_envelope_build kluis_record kluis_db kluis_base PkgConfig::JSONC)
endif()
