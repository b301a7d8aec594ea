# kluis_login: signed requests, both directions (include/kluis/login.h).  Needs the login string and the keys, nothing of CMS.
kluis_library(kluis_login SOURCES ${CMAKE_CURRENT_LIST_DIR}/login_header.c
  LINK kluis_envelope_build kluis_seal_prepare kluis_base)
