# cython: language_level=3
"""Doubles as the decimal numbers that Python shows, scaled to integers: the same as `Decimal(repr(x))` gives.

Inline C, no module of its own. The definition is `numbers.py`.
"""

from libc.stdint cimport int64_t, uint64_t

from cpython.mem cimport PyMem_Free

cdef extern from "Python.h":
    char* PyOS_double_to_string(double number, char form, int digits, int flags, int* kind) except NULL

cdef enum:
    DECIMAL_NONE = 0  # absent: negative, too large, no number
    DECIMAL_FOUND = 1
    DECIMAL_LARGE = 2  # a number of more than 63 bits


cdef extern from *:
    """
    static const uint64_t spanloom_units[13] = {
        1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
        10000000000ULL, 100000000000ULL, 1000000000000ULL};
    """
    const uint64_t UNITS "spanloom_units"[13]


cdef inline int scaled(double number, int places, int digits, bint rounds, int64_t* found) except -1:
    """`number` times 10**`places`, half to even where it `rounds`, else cut.

    A number of more than `digits` digits before its point is absent.
    """
    cdef char* text
    cdef char* at
    cdef uint64_t whole = 0, unit = 1, rest
    cdef double near
    cdef int exponent = 0, sign = 1, more = 0, count = 0
    cdef bint is_behind = False
    if not number >= 0 or number > 1e300:  # not a number, too
        return DECIMAL_NONE
    if number == 0:
        found[0] = 0
        return DECIMAL_FOUND
    if number < 256 and places <= 12:
        # Close enough to a whole number, or far enough from where it would be rounded otherwise: `near` is off by
        # 0.05 at most. A decimal of up to 15 digits that this double is nearest to is the one that Python shows.
        unit = UNITS[places]
        near = number * <double>unit
        whole = <uint64_t>near
        if rounds:
            if near - <double>whole < 0.25 or near - <double>whole > 0.75:
                found[0] = <int64_t>(near + 0.5)
                return DECIMAL_FOUND
        elif 0.25 < near - <double>whole < 0.75:
            found[0] = <int64_t>whole
            return DECIMAL_FOUND
        else:
            whole = <uint64_t>(near + 0.5)
            if <double>whole / <double>unit == number:
                found[0] = <int64_t>whole
                return DECIMAL_FOUND
        whole, unit = 0, 1
    text = PyOS_double_to_string(number, c'r', 0, 0, NULL)
    at = text
    while at[0]:
        if c'0' <= at[0] <= c'9':
            if whole or at[0] != c'0':
                count += 1
                if count > 18:  # zeros of a large whole number: repr has 17 digits
                    PyMem_Free(text)
                    return DECIMAL_NONE if digits < 18 else DECIMAL_LARGE
            whole = whole * 10 + (at[0] - c'0')
            if is_behind:
                exponent -= 1
        elif at[0] == c'.':
            is_behind = True
        else:  # e
            at += 1
            if at[0] == c'-':
                sign = -1
                at += 1
            elif at[0] == c'+':
                at += 1
            while at[0]:
                more = more * 10 + (at[0] - c'0')
                at += 1
            break
        at += 1
    PyMem_Free(text)
    exponent += sign * more
    if count + exponent > digits:
        return DECIMAL_NONE
    exponent += places
    if exponent >= 0:
        if count + exponent > 18:
            return DECIMAL_LARGE
        while exponent:
            whole *= 10
            exponent -= 1
        found[0] = <int64_t>whole
        return DECIMAL_FOUND
    if exponent < -18:
        found[0] = 0
        return DECIMAL_FOUND
    while exponent:
        unit *= 10
        exponent += 1
    rest = whole % unit
    whole = whole // unit
    if rounds and (2 * rest > unit or (2 * rest == unit and whole & 1)):
        whole += 1
    found[0] = <int64_t>whole
    return DECIMAL_FOUND
