# cython: language_level=3
"""A hash table from bytes to what they were found to mean, for accelerators. Inline C, no module of its own.

Keys are not copied: whoever adds one keeps its bytes for as long as the table has it. Hashes depend on a seed, so that
nobody can write keys that collide without knowing it.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef SPANLOOM_MEMO_H
    #define SPANLOOM_MEMO_H
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>

    typedef struct { uint64_t hash; const uint8_t *key; size_t size; void *value; } MemoSlot;
    typedef struct { MemoSlot *slots; size_t room, count; } Memo;  /* room: a power of 2, or 0 */

    static inline uint64_t memo_mix(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint64_t memo_8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline uint64_t memo_4(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

    /* As wyhash does it. */
    static inline uint64_t memo_hash(const uint8_t *p, size_t n, uint64_t seed) {
        const uint64_t one = 0xa0761d6478bd642fULL, two = 0xe7037ed1a0b428dbULL;
        uint64_t a, b, h = seed ^ memo_mix(n ^ one, two);
        while (n > 16) {
            h = memo_mix(memo_8(p) ^ one, memo_8(p + 8) ^ h);
            p += 16; n -= 16;
        }
        if (n >= 4) {
            size_t step = (n >> 3) << 2;
            a = memo_4(p) << 32 | memo_4(p + step);
            b = memo_4(p + n - 4) << 32 | memo_4(p + n - 4 - step);
        } else if (n) {
            a = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
            b = 0;
        } else a = b = 0;
        return memo_mix(two, memo_mix(a ^ two, b ^ h));
    }

    static inline void *memo_find(const Memo *memo, uint64_t hash, const uint8_t *key, size_t size) {
        size_t at;
        if (!memo->count) return NULL;
        for (at = hash & (memo->room - 1); memo->slots[at].value; at = (at + 1) & (memo->room - 1)) {
            const MemoSlot *slot = &memo->slots[at];
            if (slot->hash == hash && slot->size == size && !memcmp(slot->key, key, size)) return slot->value;
        }
        return NULL;
    }

    /* `value` is not NULL, and the key is not there yet. 0, or -1 without memory. */
    static inline int memo_add(Memo *memo, uint64_t hash, const uint8_t *key, size_t size, void *value) {
        size_t at;
        if (2 * (memo->count + 1) > memo->room) {
            size_t i, room = memo->room ? 2 * memo->room : 256;
            MemoSlot *slots = (MemoSlot *)calloc(room, sizeof(MemoSlot));
            if (!slots) return -1;
            for (i = 0; i < memo->room; i++) if (memo->slots[i].value) {
                for (at = memo->slots[i].hash & (room - 1); slots[at].value; at = (at + 1) & (room - 1)) {}
                slots[at] = memo->slots[i];
            }
            free(memo->slots);
            memo->slots = slots;
            memo->room = room;
        }
        for (at = hash & (memo->room - 1); memo->slots[at].value; at = (at + 1) & (memo->room - 1)) {}
        memo->slots[at].hash = hash;
        memo->slots[at].key = key;
        memo->slots[at].size = size;
        memo->slots[at].value = value;
        memo->count++;
        return 0;
    }

    /* Forget everything, and free every value. */
    static inline void memo_clear(Memo *memo) {
        size_t i;
        for (i = 0; i < memo->room; i++) free(memo->slots[i].value);
        free(memo->slots);
        memo->slots = NULL;
        memo->room = memo->count = 0;
    }
    #endif
    """
    ctypedef struct Memo:
        size_t count

    uint64_t memo_hash(const uint8_t* key, size_t size, uint64_t seed) noexcept nogil
    void* memo_find(const Memo* memo, uint64_t hash, const uint8_t* key, size_t size) noexcept nogil
    int memo_add(Memo* memo, uint64_t hash, const uint8_t* key, size_t size, void* value) noexcept nogil
    void memo_clear(Memo* memo) noexcept nogil
