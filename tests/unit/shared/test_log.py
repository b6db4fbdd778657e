import logging
import sys

from services.shared.log import OneLine


def test_a_record_is_one_line_with_time_in_utc_level_and_name() -> None:
    record = logging.LogRecord("services.sink", logging.WARNING, "", 0, "%d rows\nwait", (3,), None)
    record.created, record.msecs = 1_750_000_000.25, 250.0

    assert OneLine().format(record) == "2025-06-15T15:06:40.250Z WARNING services.sink: 3 rows | wait"


def test_a_traceback_stays_on_the_line_of_its_record() -> None:
    try:
        int("no\nnumber")
    except ValueError:
        record = logging.LogRecord("services.sink", logging.ERROR, "", 0, "failed", (), sys.exc_info())

    line = OneLine().format(record)

    assert "\n" not in line
    assert line.endswith("ValueError: invalid literal for int() with base 10: 'no\\nnumber'")
