kluis_test(access SOURCES access_test.c LINK server_access)
kluis_test(desk SOURCES desk_test.c LINK server_desk server_access server_local server_api)
