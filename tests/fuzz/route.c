/* A request line and a Range header of the gate. */
#include "server/gate/route.h"
#include "tests/fuzz/fuzz.h"

/* Input: method, newline, request target, newline, Range header. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    char *text = kluis_calloc(1, n + 1);
    MUST(text != NULL);
    if (n > 0) { memcpy(text, p, n); }
    char *uri = strchr(text, '\n');
    if (uri != NULL) {
        *uri++ = 0;
        char *range = strchr(uri, '\n');
        if (range != NULL) { *range++ = 0; }
        struct gate_route r;
        int status = gate_route_read(text, uri, &r);
        MUST(status == 0 || status == 400 || status == 404 || status == 405);
        MUST(r.wait <= GATE_WAIT_MAX && r.offset <= INT64_MAX && r.length <= INT64_MAX && memchr(r.id_text, 0, sizeof r.id_text) != NULL);
        if (status == 0 && (r.action == GATE_TILE || r.action == GATE_ENTRIES)) { MUST(r.width >= 1 && r.width <= 256); }
        static const uint64_t sizes[] = { 0, 1, 1000, (uint64_t)INT64_MAX };
        for (size_t i = 0; i < 4; i++) {
            uint64_t from = 0, count = 0;
            if (gate_range_read(range, sizes[i], &from, &count)) { MUST(from <= sizes[i] && count <= sizes[i] - from); }
        }
    }
    kluis_free(text);
    return 0;
}
