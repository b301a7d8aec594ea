kluis_test(evidence SOURCES evidence_test.c LINK test_evidence_kit OpenSSL::Crypto)
