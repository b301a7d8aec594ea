set(sms ${CMAKE_SOURCE_DIR}/agent/source/sms)
kluis_test(sms SOURCES ${CMAKE_CURRENT_LIST_DIR}/sms_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c LINK source_sms test_dir kluis_record kluis_base)
# The same tests with room for so few places that every file is read in rounds, and a conversation larger than a round.
kluis_test(sms_rounds SOURCES ${CMAKE_CURRENT_LIST_DIR}/sms_test.c ${CMAKE_CURRENT_LIST_DIR}/source_support.c ${sms}/slice.c ${sms}/element.c ${sms}/talk.c ${sms}/emit.c ${sms}/sms.c ${sms}/telephony.c
  LINK source_build source_database kluis_db PkgConfig::SQLITE test_dir kluis_record kluis_base)
target_compile_definitions(test_sms_rounds PRIVATE SMS_ITEMS_MAX=25)
