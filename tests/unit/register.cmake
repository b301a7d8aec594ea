kluis_test(register SOURCES ${CMAKE_CURRENT_LIST_DIR}/register_test.c LINK server_register)
kluis_test(trail SOURCES ${CMAKE_CURRENT_LIST_DIR}/trail_test.c LINK server_register kluis_db Threads::Threads)
kluis_test(audit_order SOURCES ${CMAKE_CURRENT_LIST_DIR}/audit_order_test.c LINK server_api server_index server_register Threads::Threads)
