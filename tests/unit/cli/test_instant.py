import pytest

from services.cli.instant import parse_instant
from tests.support.otlp import HOUR, SECOND

NOW = 1_790_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21T08:00:00Z", 1_795_248_000 * SECOND),
        ("2026-11-21T08:00", 1_795_248_000 * SECOND),
        ("2026-11-21T09:00:00.5+01:00", 1_795_248_000 * SECOND + SECOND // 2),
        ("1970-01-01", 0),
        ("2h", NOW - 2 * HOUR),
        ("30", NOW - 30 * SECOND),
    ],
)
def test_a_time_is_iso_8601_in_utc_or_how_long_ago(text: str, instant: int) -> None:
    assert parse_instant(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "-2h", "2026-13-01"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2h for two hours ago"):
        parse_instant(text, NOW)
