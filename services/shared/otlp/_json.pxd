# cython: language_level=3
"""JSON as `values.to_json` (orjson) writes it, into a `Buffer`. The definition is there; texts must be UTF-8."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from services.shared._native cimport Buffer, put_byte, reserve


cdef extern from *:
    """
    #ifndef SPANLOOM_JSON_H
    #define SPANLOOM_JSON_H
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    /* What JSON writes as it is: all but control characters, quotation marks and backslashes. */
    static inline int json_is_plain(uint8_t c) { return c >= 0x20 && c != '"' && c != '\\\\'; }

    static inline uint8_t *json_escaped(uint8_t *out, uint8_t c) {
        static const char hex[] = "0123456789abcdef";
        *out++ = '\\\\';
        switch (c) {
            case '"': case '\\\\': *out++ = c; break;
            case '\\b': *out++ = 'b'; break;
            case '\\t': *out++ = 't'; break;
            case '\\n': *out++ = 'n'; break;
            case '\\f': *out++ = 'f'; break;
            case '\\r': *out++ = 'r'; break;
            default: memcpy(out, "u00", 3); out[3] = hex[c >> 4]; out[4] = hex[c & 15]; out += 5;
        }
        return out;
    }

    /* Escape n bytes of text; returns how many were written. There must be room for 6 n + 16. */
    static inline size_t json_escape(uint8_t *begin, const uint8_t *p, size_t n) {
        const uint8_t *end = p + n;
        uint8_t *out = begin;
    #ifdef __SSE2__
        while (end - p >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            __m128i control = _mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(0x1f)), _mm_set1_epi8(0x1f));
            __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\\\')));
            int mask = _mm_movemask_epi8(_mm_or_si128(control, special));
            _mm_storeu_si128((__m128i *)out, v);
            if (!mask) { p += 16; out += 16; continue; }
            mask = __builtin_ctz(mask);
            p += mask; out += mask;
            out = json_escaped(out, *p++);
        }
    #endif
        while (p < end) {
            if (json_is_plain(*p)) *out++ = *p++;
            else out = json_escaped(out, *p++);
        }
        return (size_t)(out - begin);
    }

    /* The digits of a number; returns how many, at most 20. */
    static inline size_t json_digits(uint8_t *out, uint64_t v) {
        static const char pairs[] =
            "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
            "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
        uint8_t digits[20];
        size_t at = 20;
        for (; v >= 100; v /= 100) memcpy(digits + (at -= 2), pairs + 2 * (v % 100), 2);
        if (v >= 10) memcpy(digits + (at -= 2), pairs + 2 * v, 2);
        else digits[--at] = (uint8_t)('0' + v);
        memcpy(out, digits + at, 20 - at);
        return 20 - at;
    }

    /* Base64 with its padding; there must be room for 4 (n + 2) / 3 bytes. */
    static inline size_t json_base64(uint8_t *begin, const uint8_t *p, size_t n) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint8_t *out = begin;
        for (; n >= 3; p += 3, n -= 3) {
            *out++ = letters[p[0] >> 2];
            *out++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
            *out++ = letters[(p[1] & 15) << 2 | p[2] >> 6];
            *out++ = letters[p[2] & 63];
        }
        if (n) {
            uint8_t second = n == 2 ? p[1] : 0;
            *out++ = letters[p[0] >> 2];
            *out++ = letters[(p[0] & 3) << 4 | second >> 4];
            *out++ = n == 2 ? letters[(second & 15) << 2] : '=';
            *out++ = '=';
        }
        return (size_t)(out - begin);
    }
    #endif
    """
    size_t json_escape(uint8_t* out, const uint8_t* text, size_t size) noexcept nogil
    size_t json_digits(uint8_t* out, uint64_t number) noexcept nogil
    size_t json_base64(uint8_t* out, const uint8_t* data, size_t size) noexcept nogil


cdef enum:
    AT_ONCE = 4096  # bytes of a text: room for the longest form of it all would be six times as much


cdef inline int put_json_text(Buffer* out, const uint8_t* text, size_t size) except -1:
    """In its quotation marks."""
    cdef size_t part
    put_byte(out, b'"')
    while size:
        part = size if size < AT_ONCE else AT_ONCE
        reserve(out, 6 * part + 16)
        out.size += json_escape(out.data + out.size, text, part)
        text += part
        size -= part
    return put_byte(out, b'"')


cdef inline int put_number(Buffer* out, uint64_t number) except -1:
    reserve(out, 20)
    out.size += json_digits(out.data + out.size, number)
    return 0


cdef inline int put_integer(Buffer* out, int64_t number) except -1:
    if number < 0:
        put_byte(out, b"-")
        return put_number(out, <uint64_t> 0 - <uint64_t> number)
    return put_number(out, <uint64_t> number)


cdef inline int put_base64(Buffer* out, const uint8_t* data, size_t size) except -1:
    reserve(out, 4 * (size + 2) // 3 + 4)
    out.size += json_base64(out.data + out.size, data, size)
    return 0
