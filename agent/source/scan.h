/* agent/source/scan.h - through a text to what may end it, sixteen bytes at a time, and what was met on the way. */
#ifndef SOURCE_SCAN_H
#define SOURCE_SCAN_H

#include "kluis/base.h"

typedef uint8_t scan_lane __attribute__((vector_size(16)));

struct scan_met {
    uint8_t high, control; /* a byte above 0x7f; one below 0x20 */
};

/* The highest bit of each byte, that of the first byte lowest. */
static inline unsigned scan_bits(scan_lane v)
{
#ifdef __SSE2__
    typedef char bytes __attribute__((vector_size(16)));
    return (unsigned)__builtin_ia32_pmovmskb128((bytes)v);
#else
    unsigned bits = 0;
    for (unsigned i = 0; i < sizeof v; i++) { bits |= (unsigned)(v[i] >> 7) << i; }
    return bits;
#endif
}

/* The first a or b in [p, end), or end; adds to *met what stands before it. */
static inline const char *scan_to(const char *p, const char *end, char a, char b, struct scan_met *met)
{
    for (; (size_t)(end - p) >= sizeof(scan_lane); p += sizeof(scan_lane)) {
        scan_lane v;
        memcpy(&v, p, sizeof v);
        const scan_lane stop = (scan_lane)(v == (uint8_t)a) | (scan_lane)(v == (uint8_t)b), control = (scan_lane)(v < 0x20);
        if (scan_bits(stop | control | v) == 0) { continue; }
        const unsigned stops = scan_bits(stop), before = stops == 0 ? 0xffff : (stops & -stops) - 1;
        met->high |= (scan_bits(v) & before) != 0;
        met->control |= (scan_bits(control) & before) != 0;
        if (stops != 0) { return p + __builtin_ctz(stops); }
    }
    for (; p < end && *p != a && *p != b; p++) {
        met->high |= (unsigned char)*p >> 7;
        met->control |= (unsigned char)*p < 0x20;
    }
    return p;
}

#endif
