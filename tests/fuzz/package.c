/* A package's bytes as they come: zip profile, digests, manifests, records, sidecars. */
#include "tests/fuzz/package_sink.h"

void fuzz_setup(void) { kluis_package_warm(); }

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    (void)package_read_memory(p, n);
    return 0;
}
