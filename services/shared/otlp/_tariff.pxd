# cython: language_level=3
"""What calls of one model cost over time, as C: the scanner prices a call without Python. Inline C, no module of its own.

The definition is `pricing.py`: `PriceBook.cost` with `Schedule.at` and `Prices.cost`, to the picodollar. A tariff is made
by `Meanings.tariff`, of the schedules of all price lists behind each other. Left to Python (`TARIFF_PYTHON`): schedules
that do not fit here (see there), more than a billion tokens of a kind in one call, calls before 1970.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef SPANLOOM_TARIFF_H
    #define SPANLOOM_TARIFF_H
    #include <stdint.h>

    enum { TARIFF_PERIODS = 16, TARIFF_TIERS = 4, TARIFF_UNPRICED = -1, TARIFF_PYTHON = -2 };
    #define TARIFF_DAY 86400000000000LL
    #define TARIFF_TOKENS 1000000000LL     /* at most: times the highest rate it fits 62 bits of picodollars */
    #define TARIFF_UNIT 1000000000000ULL   /* attodollars per million tokens to picodollars per token */

    typedef struct { int has; int64_t value; } Number;

    typedef unsigned __int128 TariffRate;  /* attodollars per million tokens */

    typedef struct {
        TariffRate prompt, completion, cache_read, cache_write, reasoning;
        int64_t above;
        int has_prompt, has_completion;  /* where not, the rate is 0 */
    } TariffTier;

    typedef struct {
        int64_t starts_at, daily_from, daily_to;
        int64_t call;
        int counted_as;  /* place of a count */
        int tiers;       /* none: no known price */
        TariffTier tier[TARIFF_TIERS];
    } TariffPeriod;

    typedef struct {
        int is_python;
        int counted_as;  /* of calls without a price: place of a count, or -1 as long as there was none */
        int periods;
        TariffPeriod period[];  /* the first that covers a moment counts */
    } Tariff;

    static inline TariffRate tariff_rate(uint64_t whole, uint64_t rest) {
        return (TariffRate)whole * TARIFF_UNIT + rest;
    }

    /* Half to even. */
    static inline int64_t tariff_picodollars(TariffRate spent) {
        const uint64_t whole = (uint64_t)(spent / TARIFF_UNIT);
        const uint64_t twice = 2 * (uint64_t)(spent - (TariffRate)whole * TARIFF_UNIT);
        return (int64_t)(whole + (twice > TARIFF_UNIT || (twice == TARIFF_UNIT && (whole & 1))));
    }

    static inline int tariff_covers(const TariffPeriod *period, int64_t at) {
        const int64_t moment = at % TARIFF_DAY, from = period->daily_from, to = period->daily_to;
        if (at < period->starts_at) return 0;
        return from <= to ? from <= moment && moment < to : moment >= from || moment < to;
    }

    /* `usage`: prompt, completion, total, cache read, cache write, reasoning. `cost`: prompt, completion, total, which
       are there where the outcome is the place of a count; otherwise it is TARIFF_UNPRICED or TARIFF_PYTHON. */
    static inline int tariff_cost(const Tariff *tariff, const Number *usage, int64_t at, Number *cost) {
        const TariffPeriod *period;
        const TariffTier *tier;
        TariffRate spent_in, spent_out;
        Number prompt = usage[0], completion = usage[1], total = usage[2];
        int64_t read, write, reasoning;
        int place;
        if (tariff->is_python || at < 0) return TARIFF_PYTHON;
        for (place = 0; place < 6; place++)
            if (usage[place].has && (usage[place].value < 0 || usage[place].value > TARIFF_TOKENS)) return TARIFF_PYTHON;
        for (place = 0; place < tariff->periods && !tariff_covers(&tariff->period[place], at); place++) {}
        if (place == tariff->periods) return TARIFF_UNPRICED;
        period = &tariff->period[place];
        if (!period->tiers) return TARIFF_UNPRICED;
        if (!completion.has && !period->tier[0].completion) {
            if (!prompt.has) prompt = total;
            completion.has = 1;
            completion.value = 0;
        } else if (total.has && !completion.has && prompt.has) {
            completion.has = 1;
            completion.value = total.value - prompt.value;
        } else if (total.has && !prompt.has && completion.has) {
            prompt.has = 1;
            prompt.value = total.value - completion.value;
        }
        if (!prompt.has || !completion.has || prompt.value < 0 || completion.value < 0) return TARIFF_UNPRICED;
        for (place = period->tiers - 1; place && prompt.value <= period->tier[place].above; place--) {}
        tier = &period->tier[place];
        if ((prompt.value && !tier->has_prompt) || (completion.value && !tier->has_completion)) return TARIFF_UNPRICED;
        read = usage[3].has ? usage[3].value : 0;
        if (read > prompt.value) read = prompt.value;
        write = usage[4].has ? usage[4].value : 0;
        if (write > prompt.value - read) write = prompt.value - read;
        reasoning = usage[5].has ? usage[5].value : 0;
        if (reasoning > completion.value) reasoning = completion.value;
        spent_in = (prompt.value - read - write) * tier->prompt + read * tier->cache_read + write * tier->cache_write;
        spent_out = (completion.value - reasoning) * tier->completion + reasoning * tier->reasoning;
        cost[0].has = cost[1].has = cost[2].has = 1;
        cost[0].value = tariff_picodollars(spent_in);
        cost[1].value = tariff_picodollars(spent_out);
        cost[2].value = cost[0].value + cost[1].value + period->call;
        return period->counted_as;
    }
    #endif
    """
    enum:
        TARIFF_PERIODS
        TARIFF_TIERS
        TARIFF_UNPRICED
        TARIFF_PYTHON

    const int64_t TARIFF_DAY
    const uint64_t TARIFF_UNIT

    ctypedef struct Number:
        bint has
        int64_t value

    ctypedef struct TariffRate:  # a number of 128 bits: made by `tariff_rate`, and only passed on
        pass

    ctypedef struct TariffTier:
        TariffRate prompt
        TariffRate completion
        TariffRate cache_read
        TariffRate cache_write
        TariffRate reasoning
        int64_t above
        bint has_prompt
        bint has_completion

    ctypedef struct TariffPeriod:
        int64_t starts_at
        int64_t daily_from
        int64_t daily_to
        int64_t call
        int counted_as
        int tiers
        TariffTier* tier

    ctypedef struct Tariff:
        bint is_python
        int counted_as
        int periods
        TariffPeriod* period

    TariffRate tariff_rate(uint64_t whole, uint64_t rest) noexcept
    int tariff_cost(const Tariff* tariff, const Number* usage, int64_t at, Number* cost) noexcept
