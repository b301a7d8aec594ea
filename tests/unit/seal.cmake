kluis_test(seal SOURCES seal_test.c LINK test_pki)
