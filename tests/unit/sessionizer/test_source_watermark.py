"""Semantics: "Time is data", the part of the first stage."""

from services.sessionizer.source_watermark import SourceWatermark
from services.sessionizer.stage import Moment
from tests.support.otlp import HOUR, SECOND, T0

NOW = T0 + HOUR
DELAY = 10 * SECOND


def make_watermark() -> SourceWatermark:
    return SourceWatermark(out_of_orderness=DELAY, idle_after=5 * SECOND)


def due(watermark: SourceWatermark, seconds: float, *, caught_up: bool = True, drain: bool = False) -> int | None:
    return watermark.due(Moment(now=NOW + round(seconds * SECOND), caught_up=caught_up, drain=drain))


def test_nothing_is_promised_before_anything_is_known() -> None:
    watermark = make_watermark()
    watermark.heard(None, NOW)

    assert due(watermark, 0) is None


def test_it_is_the_latest_end_of_any_record_but_never_past_that_records_own_time() -> None:
    watermark = make_watermark()

    watermark.heard(T0 + 5 * SECOND, T0 + 60 * SECOND)
    assert watermark.value == T0 + 5 * SECOND - DELAY
    watermark.heard(T0 + 90 * SECOND, T0 + 61 * SECOND)
    assert watermark.value == T0 + 61 * SECOND - DELAY


def test_it_never_moves_back() -> None:
    watermark = make_watermark()
    watermark.heard(T0, T0)

    watermark.heard(T0 - HOUR, T0)

    assert due(watermark, 0) == T0 - DELAY


def test_it_is_written_at_most_once_a_second_and_repeated_when_it_stands_still() -> None:
    watermark = make_watermark()
    watermark.heard(T0, T0)

    assert [due(watermark, seconds, caught_up=False) for seconds in (0, 0.5, 0.999, 1, 1.5, 2)] == [
        T0 - DELAY,
        None,
        None,
        T0 - DELAY,
        None,
        T0 - DELAY,
    ]


def test_a_drain_writes_it_at_once() -> None:
    watermark = make_watermark()
    watermark.heard(T0, T0)
    due(watermark, 0)
    watermark.heard(T0 + SECOND, T0 + SECOND)

    assert due(watermark, 0.1) is None
    assert due(watermark, 0.2, drain=True) == T0 + SECOND - DELAY


def test_caught_up_and_silent_long_enough_it_follows_processing_time() -> None:
    watermark = make_watermark()
    watermark.heard(T0, T0)

    assert due(watermark, 0) == T0 - DELAY
    assert due(watermark, 4.999) == T0 - DELAY
    assert due(watermark, 6) == NOW + 6 * SECOND - DELAY
    assert due(watermark, 7) == NOW + 7 * SECOND - DELAY


def test_a_source_that_never_had_a_record_becomes_idle_too_and_the_first_flush_only_starts_the_clock() -> None:
    watermark = make_watermark()

    assert [due(watermark, seconds) for seconds in (0, 4.9)] == [None, None]
    assert due(watermark, 5) == NOW + 5 * SECOND - DELAY


def test_a_record_breaks_the_silence_even_one_without_spans() -> None:
    watermark = make_watermark()
    due(watermark, 0)
    watermark.heard(None, NOW)

    assert due(watermark, 4) is None
    assert due(watermark, 8) is None
    assert due(watermark, 9) == NOW + 9 * SECOND - DELAY


def test_a_source_that_is_not_caught_up_is_never_idle() -> None:
    watermark = make_watermark()
    watermark.heard(T0, T0)

    assert [due(watermark, seconds, caught_up=False) for seconds in (0, 10, 100)] == [T0 - DELAY] * 3
    assert due(watermark, 104) == T0 - DELAY
    assert due(watermark, 105) == NOW + 105 * SECOND - DELAY
