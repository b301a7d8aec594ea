kluis_test(envelope SOURCES envelope_test.c LINK kluis_envelope_build)
kluis_test(envelope_session SOURCES envelope_session_test.c LINK kluis_envelope)
kluis_test(enrol SOURCES enrol_test.c LINK kluis_envelope_build)
