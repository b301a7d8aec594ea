kluis_test(login SOURCES login_test.c LINK kluis_login)
