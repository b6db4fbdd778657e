# cython: language_level=3
"""BLAKE2b (RFC 7693) with a digest of 8 bytes, read as one big-endian number. Inline C, no module of its own.

The definition is `SessionKey.partition`; `hashlib` takes longer to be called than this takes.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #ifndef SPANLOOM_BLAKE2B_H
    #define SPANLOOM_BLAKE2B_H
    #include <stdint.h>
    #include <string.h>

    static const uint64_t blake2b_iv[8] = {
        0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
        0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL};
    static const uint8_t blake2b_sigma[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

    static inline uint64_t blake2b_turn(uint64_t word, int by) { return word >> by | word << (64 - by); }

    static inline uint64_t blake2b_load(const uint8_t *p) {
        uint64_t word = 0;
        int i;
        for (i = 7; i >= 0; i--) word = word << 8 | p[i];
        return word;
    }

    static inline void blake2b_block(uint64_t *h, const uint8_t *block, uint64_t done, int is_last) {
        uint64_t v[16], m[16];
        int i;
        for (i = 0; i < 16; i++) m[i] = blake2b_load(block + 8 * i);
        for (i = 0; i < 8; i++) { v[i] = h[i]; v[i + 8] = blake2b_iv[i]; }
        v[12] ^= done;
        if (is_last) v[14] = ~v[14];
        for (i = 0; i < 12; i++) {
            const uint8_t *s = blake2b_sigma[i % 10];
            #define BLAKE2B_MIX(a, b, c, d, x, y) \\
                v[a] += v[b] + m[s[x]]; v[d] = blake2b_turn(v[d] ^ v[a], 32); \\
                v[c] += v[d]; v[b] = blake2b_turn(v[b] ^ v[c], 24); \\
                v[a] += v[b] + m[s[y]]; v[d] = blake2b_turn(v[d] ^ v[a], 16); \\
                v[c] += v[d]; v[b] = blake2b_turn(v[b] ^ v[c], 63);
            BLAKE2B_MIX(0, 4, 8, 12, 0, 1)
            BLAKE2B_MIX(1, 5, 9, 13, 2, 3)
            BLAKE2B_MIX(2, 6, 10, 14, 4, 5)
            BLAKE2B_MIX(3, 7, 11, 15, 6, 7)
            BLAKE2B_MIX(0, 5, 10, 15, 8, 9)
            BLAKE2B_MIX(1, 6, 11, 12, 10, 11)
            BLAKE2B_MIX(2, 7, 8, 13, 12, 13)
            BLAKE2B_MIX(3, 4, 9, 14, 14, 15)
            #undef BLAKE2B_MIX
        }
        for (i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    }

    static inline uint64_t blake2b_8(const uint8_t *data, size_t size) {
        uint64_t h[8], found = 0, done = 0;
        uint8_t last[128];
        int i;
        memcpy(h, blake2b_iv, sizeof(h));
        h[0] ^= 0x01010008ULL;
        while (size > 128) {
            done += 128;
            blake2b_block(h, data, done, 0);
            data += 128;
            size -= 128;
        }
        memset(last, 0, sizeof(last));
        if (size) memcpy(last, data, size);
        blake2b_block(h, last, done + size, 1);
        for (i = 0; i < 8; i++) found = found << 8 | (uint8_t)(h[0] >> (8 * i));
        return found;
    }
    #endif
    """
    uint64_t blake2b_8(const uint8_t* data, size_t size) noexcept nogil
