kluis_test(record SOURCES record_test.c LINK kluis_record kluis_ledger kluis_base)
