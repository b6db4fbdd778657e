from datetime import datetime

from services.query_api.instants import iso, iso_nanoseconds

T = 1_763_464_010 * 10**9


def test_times_are_written_as_phoenix_writes_them() -> None:
    assert iso(T) == "2025-11-18T11:06:50+00:00"
    assert iso(T + 500_000_000) == "2025-11-18T11:06:50.500000+00:00"
    assert iso(T + 999) == "2025-11-18T11:06:50+00:00"
    assert iso(0) == "1970-01-01T00:00:00+00:00"
    assert iso(4_102_444_800 * 10**9 + 1000) == "2100-01-01T00:00:00.000001+00:00"


def test_our_own_times_lose_nothing_and_sort_as_text() -> None:
    assert iso_nanoseconds(T + 1) == "2025-11-18T11:06:50.000000001+00:00"
    times = [0, 1, T, T + 1, T + 500_000_000, T + 10**9]
    assert sorted(map(iso_nanoseconds, times)) == list(map(iso_nanoseconds, times))


def test_python_reads_both() -> None:
    assert datetime.fromisoformat(iso(T + 500_000_000)) == datetime.fromisoformat(iso_nanoseconds(T + 500_000_000))
