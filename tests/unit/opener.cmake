kluis_test(returns SOURCES ${CMAKE_CURRENT_LIST_DIR}/returns_test.c LINK test_ingest_home)
kluis_test(opener SOURCES ${CMAKE_CURRENT_LIST_DIR}/opener_test.c LINK test_ingest_home)
# The same keeper over an opener that lies: its object comes before the library, which is then never asked for one.
kluis_test(lying_opener SOURCES ${CMAKE_CURRENT_LIST_DIR}/lying_opener_test.c ${CMAKE_CURRENT_LIST_DIR}/lying_opener.c LINK test_ingest_home test_descendant Threads::Threads)
# And one whose judge does what a signature tells it.
kluis_test(lying_judge SOURCES ${CMAKE_CURRENT_LIST_DIR}/lying_judge_test.c LINK server_opener test_descendant)
