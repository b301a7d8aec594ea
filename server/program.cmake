# The program, and in test builds its twin that can be killed at a named durable step.
set(server_sources ${CMAKE_CURRENT_LIST_DIR}/main.c ${CMAKE_CURRENT_LIST_DIR}/part.c ${CMAKE_CURRENT_LIST_DIR}/page.c ${CMAKE_CURRENT_LIST_DIR}/commands.c ${CMAKE_CURRENT_LIST_DIR}/serve.c
  ${CMAKE_CURRENT_LIST_DIR}/options.c ${CMAKE_CURRENT_LIST_DIR}/backup_command.c)
set(server_links server_init server_vault server_gate server_web server_desk server_api server_control server_local server_walls server_backup server_tsa server_log)
kluis_program(chatkluis-server SOURCES ${server_sources} LINK ${server_links})
if(KLUIS_TESTS)
  kluis_step_twin(chatkluis-server SOURCES ${server_sources} LINK ${server_links})
endif()
