"""Latency quantiles: within 2 %, from buckets that can be added up."""

from collections import Counter
from random import Random

import pytest

from services.sessionizer.engine.quantiles import bucket, middle, quantile


@pytest.mark.parametrize(
    "duration", [*range(200), 10**3, 10**6 - 1, 10**9, 10**9 + 1, 86_400 * 10**9, 2**62, 2**63 - 1]
)
def test_the_middle_of_its_bucket_is_within_two_percent_of_a_duration(duration: int) -> None:
    assert abs(middle(bucket(duration)) - duration) <= duration * 0.02


def test_durations_below_64_ns_are_exact() -> None:
    assert [middle(bucket(duration)) for duration in range(64)] == list(range(64))


def test_buckets_rise_with_durations_and_leave_none_out() -> None:
    indexes = [bucket(duration) for duration in range(100_000)]
    assert indexes == sorted(indexes)
    assert set(indexes) == set(range(indexes[-1] + 1))


def test_a_bucket_ends_where_the_next_begins() -> None:
    for shift in range(1, 50):
        for leading in range(32, 64):
            low = leading << shift
            assert bucket(low) == bucket(low + (1 << shift) - 1) == bucket(low - 1) + 1


def test_of_nothing_every_quantile_is_zero() -> None:
    assert quantile({}, 50) == 0


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_of_one_every_quantile_is_it(percent: int) -> None:
    assert quantile({bucket(42): 1}, percent) == 42


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 5), (51, 6), (90, 9), (91, 10), (100, 10)])
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(percent: int, expected: int) -> None:
    assert quantile(dict.fromkeys(range(1, 11), 1), percent) == expected


def test_quantiles_of_many_are_within_two_percent_of_the_exact_ones() -> None:
    random = Random(3)
    durations = sorted(round(random.lognormvariate(20, 2)) for _ in range(5_000))
    counts = Counter(map(bucket, durations))
    for percent in (50, 95, 99):
        exact = durations[len(durations) * percent // 100 - 1]
        assert quantile(counts, percent) == pytest.approx(exact, rel=0.02)
