kluis_test(package SOURCES package_test.c package_sample.c LINK kluis_package_write kluis_record kluis_ledger kluis_base)
