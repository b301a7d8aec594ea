kluis_integration_test(gate SOURCES gate_world.c gate_device_test.c gate_vault_test.c gate_trouble_test.c
  LINK server_gate server_tsa test_gate_client test_pki kluis_ledger PkgConfig::CURL Threads::Threads)
