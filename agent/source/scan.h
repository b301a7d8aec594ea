/* agent/source/scan.h - through a text to what may end it, sixteen bytes at a time, and what was met on the way. */
#ifndef SOURCE_SCAN_H
#define SOURCE_SCAN_H

#include "kluis/base.h"

typedef uint8_t scan_lane __attribute__((vector_size(16)));

struct scan_met {
    uint8_t high, control; /* a byte above 0x7f; one below 0x20 */
};

/* The first a or b in [p, end), or end; adds to *met what stands before it. */
static inline const char *scan_to(const char *p, const char *end, char a, char b, struct scan_met *met)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; (size_t)(end - p) >= sizeof(scan_lane); p += sizeof(scan_lane)) {
        scan_lane v;
        uint64_t stop[2], odd[2];
        memcpy(&v, p, sizeof v);
        const scan_lane stops = (scan_lane)(v == (uint8_t)a) | (scan_lane)(v == (uint8_t)b), odds = (v & 0x80) | ((scan_lane)(v < 0x20) & 0x01);
        memcpy(stop, &stops, sizeof stop);
        memcpy(odd, &odds, sizeof odd);
        if ((stop[0] | stop[1] | odd[0] | odd[1]) == 0) { continue; }
        const size_t half = stop[0] != 0 ? 0 : 1;
        const bool stopped = stop[half] != 0;
        const unsigned at = stopped ? (unsigned)__builtin_ctzll(stop[half]) / 8 : 8; /* in that half: its first byte is the lowest */
        const uint64_t seen = (half == 0 ? 0 : odd[0]) | (at == 8 ? odd[half] : odd[half] & ((UINT64_C(1) << at * 8) - 1));
        met->high |= (seen & UINT64_C(0x8080808080808080)) != 0;
        met->control |= (seen & UINT64_C(0x0101010101010101)) != 0;
        if (stopped) { return p + half * 8 + at; }
    }
#endif
    for (; p < end && *p != a && *p != b; p++) {
        met->high |= (unsigned char)*p >> 7;
        met->control |= (unsigned char)*p < 0x20;
    }
    return p;
}

#endif
