kluis_test(validation SOURCES validation_test.c LINK test_sealed)
kluis_test(verify SOURCES verify_test.c LINK test_sealed)
add_dependencies(test_verify chatkluis-verify)
set_tests_properties(unit.verify PROPERTIES ENVIRONMENT "KLUIS_VERIFY=$<TARGET_FILE:chatkluis-verify>")
