"""aiokafka's log while a broker is down."""

import logging

import pytest

from services.shared.kafka_log import thin_logs

_LOGGER = "aiokafka.producer.sender"


def line(text: str, created: float, *arguments: object) -> logging.LogRecord:
    record = logging.LogRecord(_LOGGER, logging.WARNING, __file__, 1, text, arguments, None)
    record.created = created
    return record


@pytest.fixture
def logger() -> logging.Logger:
    thin_logs()
    thin_logs()
    return logging.getLogger(_LOGGER)


def test_a_repeated_line_passes_once_in_ten_seconds_and_says_how_many_were_kept_back(logger: logging.Logger) -> None:
    start = 1_000.0
    assert logger.filter(line("lost %s", start, 1))
    assert not any(logger.filter(line("lost %s", start + 0.001 * n, n)) for n in range(2_000))
    later = line("lost %s", start + 10.0, 7)
    assert logger.filter(later)
    assert later.getMessage() == "lost 7 [and 2000 more like this]"


def test_different_lines_do_not_hide_each_other(logger: logging.Logger) -> None:
    assert logger.filter(line("one line", 5_000.0))
    assert logger.filter(line("another line", 5_000.0))
