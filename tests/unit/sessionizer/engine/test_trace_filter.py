"""A filter knows every trace it was built of, and hardly any other."""

from hashlib import sha256

import pytest

from services.sessionizer.engine.trace_filter import build, may_hold, part_count, part_of, trace_hash


def traces(name: str, count: int) -> list[bytes]:
    return [sha256(b"%b%d" % (name.encode(), number)).digest()[:16] for number in range(count)]


def holds(parts: list[bytes], trace_id: bytes) -> bool:
    hash_ = trace_hash(trace_id)
    return may_hold(parts[part_of(hash_, len(parts))], hash_)


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 30_000])
def test_a_filter_misses_no_trace_and_takes_almost_no_other_for_one_of_its_own(count: int) -> None:
    parts = build(traces("held", count), part_count(count))
    assert len(parts) == part_count(count)
    assert all(holds(parts, trace_id) for trace_id in traces("held", count))
    assert sum(holds(parts, trace_id) for trace_id in traces("other", 10_000)) <= 3


def test_a_part_is_no_larger_than_a_page_however_many_traces_there_are() -> None:
    assert [part_count(count) for count in (0, 1, 4096, 4097, 8192, 8193, 50_000)] == [1, 1, 1, 2, 2, 4, 16]
    assert max(map(len, build(traces("held", 50_000), 16))) < 16 << 10
