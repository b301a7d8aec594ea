# server_log: lines on standard error, for every stage that speaks.
kluis_library(server_log SOURCES ${CMAKE_CURRENT_LIST_DIR}/log.c LINK kluis_base)
