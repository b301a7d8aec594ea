# Waits for the two modules it stands on.
if(TARGET kluis_envelope_build AND TARGET kluis_seal_prepare)
  kluis_test(login SOURCES login_test.c LINK kluis_login)
endif()
