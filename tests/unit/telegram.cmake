kluis_test(telegram SOURCES ${CMAKE_CURRENT_LIST_DIR}/telegram_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_telegram test_dir kluis_record kluis_base)
