kluis_test(source_html SOURCES ${CMAKE_CURRENT_LIST_DIR}/source_html_test.c LINK source_html kluis_base)
kluis_test(source_fileset SOURCES ${CMAKE_CURRENT_LIST_DIR}/source_fileset_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_fileset test_dir kluis_record kluis_base PkgConfig::ARCHIVE)
kluis_test(source_derived SOURCES ${CMAKE_CURRENT_LIST_DIR}/derived_test.c LINK source_signal_android source_apple_backup source_derived kluis_base)
