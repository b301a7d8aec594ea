# What of the gate needs no network; the rest runs whole in tests/integration.
kluis_test(gate SOURCES gate_test.c LINK server_gate)
kluis_test(gate_listen SOURCES gate_listen_test.c LINK server_gate)
# The same in a build without walls: that one stays on loopback.
kluis_test(gate_unwalled SOURCES gate_listen_test.c ${CMAKE_SOURCE_DIR}/server/gate/listen.c LINK kluis_base server_log)
target_compile_definitions(test_gate_unwalled PRIVATE KLUIS_UNWALLED)
