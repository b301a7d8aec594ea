# The pure parts of the gate; the rest runs whole in tests/integration/gate_test.c.
kluis_test(gate SOURCES gate_test.c ${CMAKE_SOURCE_DIR}/server/gate/route.c ${CMAKE_SOURCE_DIR}/server/gate/nonce.c LINK kluis_base Threads::Threads)
