kluis_test(signal_export SOURCES signal_export_test.c LINK agent_source)
# The same tests with room for so few offsets that every chat is read in rounds: the way of an export of many gigabytes.  And with room for the frames of a
# few chats at once.
set(se ${CMAKE_SOURCE_DIR}/agent/source/signal_export)
set(sm ${CMAKE_SOURCE_DIR}/agent/source/signal_model)
foreach(way rounds:64 gathered:2048)
  string(REPLACE ":" ";" way ${way})
  list(GET way 0 name)
  list(GET way 1 room)
  kluis_test(signal_export_${name} SOURCES signal_export_test.c ${CMAKE_SOURCE_DIR}/agent/source/json.c ${sm}/window.c ${sm}/sealed.c ${sm}/index.c ${sm}/gather.c ${sm}/check.c ${sm}/people.c
    ${sm}/media.c ${sm}/draft.c ${sm}/item.c ${sm}/update.c ${sm}/reading.c ${se}/lines.c ${se}/folder.c ${se}/signal_export.c LINK kluis_record kluis_base PkgConfig::GCRYPT)
  target_compile_definitions(test_signal_export_${name} PRIVATE SIGNAL_OFFSETS_MAX=${room})
endforeach()
