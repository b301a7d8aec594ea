kluis_test(walls SOURCES walls_test.c LINK server_walls server_local)
