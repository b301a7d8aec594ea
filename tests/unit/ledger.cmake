kluis_test(ledger SOURCES ledger_test.c LINK kluis_ledger PkgConfig::JSONC PkgConfig::GCRYPT)
