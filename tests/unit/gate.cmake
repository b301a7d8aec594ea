# What of the gate needs no network; the rest runs whole in tests/integration.
kluis_test(gate SOURCES gate_test.c LINK server_gate)
