kluis_test(seal SOURCES seal_test.c LINK test_pki)
kluis_test(seal_memory SOURCES seal_memory_test.c LINK test_pki)
kluis_test(seal_form SOURCES seal_form_test.c LINK test_pki OpenSSL::Crypto PkgConfig::SECCOMP)
kluis_test(crl SOURCES crl_test.c LINK test_pki OpenSSL::Crypto)
