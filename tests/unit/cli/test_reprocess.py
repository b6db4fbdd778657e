import pytest

from services.cli.reprocess import parse_start
from services.reprocess.main import Start
from tests.support.otlp import HOUR, SECOND

NOW = 1_790_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("start", Start()),
        ("2h", Start(time=NOW - 2 * HOUR)),
        ("2026-11-21T08:00Z", Start(time=1_795_248_000 * SECOND)),
        ("0@1200", Start(offsets={0: 1200})),
        ("0@1200,11@0", Start(offsets={0: 1200, 11: 0})),
    ],
)
def test_a_log_is_read_from_its_start_a_time_or_offsets(text: str, start: Start) -> None:
    assert parse_start(text, NOW) == start


@pytest.mark.parametrize("text", ["", "end", "0@", "@1", "0@1,", "0@-1", "0@1;1@1"])
def test_another_beginning_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_start(text, NOW)
