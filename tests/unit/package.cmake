kluis_test(package SOURCES package_test.c package_sample.c LINK kluis_package_write kluis_record kluis_ledger kluis_base)
kluis_test(package_read SOURCES package_read_test.c package_sample.c package_forge.c LINK kluis_package_write kluis_package_read ZLIB::ZLIB PkgConfig::DEFLATE)
kluis_test(export SOURCES export_test.c package_forge.c LINK test_sealed kluis_package_export ZLIB::ZLIB PkgConfig::DEFLATE)
