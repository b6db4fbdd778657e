"""The time of a keyed partition: a minimum over sources that never moves back."""

import pytest

from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime

SECOND = 10**9
TIMEOUT = 600 * SECOND


class Log:
    """Feeds a partition's time as its log does. Times in seconds."""

    def __init__(self) -> None:
        self.time = PartitionTime(TIMEOUT)

    def spans(self, timestamp: float) -> None:
        self.time.advance(round(timestamp * SECOND))

    def watermark(self, timestamp: float, source: str, watermark: float, sources: int) -> None:
        self.spans(timestamp)
        self.time.hear(source, round(watermark * SECOND), sources)

    def pass_slowly(self, since: float, until: float) -> None:
        """Records of spans every 5 s, the longest step of log time."""
        for timestamp in range(round(since), round(until) + 1, 5):
            self.spans(timestamp)

    def now(self) -> float | None:
        return None if self.time.watermark == NO_WATERMARK else self.time.watermark / SECOND


def test_there_is_no_watermark_before_any_source_spoke() -> None:
    log = Log()
    log.pass_slowly(0, 2_000)
    assert log.now() is None


def test_the_watermark_is_the_minimum_over_the_sources() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    assert log.now() is None
    log.watermark(1, "b", 70, 2)
    assert log.now() == 70
    log.watermark(2, "b", 120, 2)
    assert log.now() == 100


def test_one_source_alone_is_enough_where_there_is_one() -> None:
    log = Log()
    log.watermark(0, "a", 100, 1)
    assert log.now() == 100


def test_the_watermark_never_moves_back() -> None:
    log = Log()
    log.watermark(0, "a", 100, 1)
    log.watermark(1, "a", 90, 1)
    assert log.now() == 100
    log.watermark(2, "b", 50, 2)  # a source that was not known
    assert log.now() == 100


def test_a_source_that_says_less_than_before_still_stands_by_what_it_said() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(1, "a", 90, 2)
    log.watermark(2, "b", 200, 2)
    assert log.now() == 100


@pytest.mark.parametrize(("silence", "expected"), [(595, None), (600, 100), (605, 100)])
def test_sources_never_heard_are_waited_for_until_the_timeout_after_the_first_record(
    silence: float, expected: float | None
) -> None:
    log = Log()
    log.spans(0)
    log.watermark(5, "a", 100, 2)
    log.pass_slowly(10, silence - 5)
    log.watermark(silence, "a", 100, 2)
    assert log.now() == expected


@pytest.mark.parametrize(("silence", "expected"), [(595, 100), (600, 300)])
def test_a_silent_source_holds_time_back_until_its_timeout(silence: float, expected: float) -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(0, "b", 100, 2)
    for timestamp in range(5, round(silence) + 1, 5):
        log.watermark(timestamp, "b", 300, 2)
    assert log.now() == expected


def test_records_of_spans_alone_carry_a_timeout_out() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(300, "b", 300, 2)  # log time 5
    log.pass_slowly(305, 890)  # log time 595
    assert log.now() == 100
    log.spans(895)
    assert log.now() == 300


def test_a_source_that_speaks_again_holds_time_back_again_where_it_is() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    for timestamp in range(0, 605, 5):
        log.watermark(timestamp, "b", 300, 2)
    assert log.now() == 300
    log.watermark(605, "a", 150, 2)
    log.watermark(606, "b", 400, 2)
    assert log.now() == 300
    log.watermark(607, "a", 350, 2)
    assert log.now() == 350


def test_time_stands_still_when_every_source_is_silent() -> None:
    log = Log()
    log.watermark(0, "a", 100, 1)
    log.pass_slowly(5, 2_000)
    assert log.now() == 100


def test_a_pause_of_all_writers_is_nobodys_silence() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(1, "b", 300, 2)
    log.watermark(10_000, "b", 300, 2)  # 5 s of log time, not 9,999
    assert log.now() == 100


def test_a_pause_is_not_made_up_for_later() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(1, "b", 300, 2)
    for step in range(100):
        log.watermark(10_000 + step, "b", 300, 2)
    assert log.time.log_time == (1 + 5 + 99) * SECOND
    assert log.now() == 100


def test_timestamps_that_go_back_stop_log_time_only() -> None:
    log = Log()
    log.watermark(100, "a", 100, 1)
    log.spans(50)
    log.spans(99)
    assert log.time.log_time == 100 * SECOND
    log.spans(101)
    assert log.time.log_time == 101 * SECOND


def test_when_the_number_of_sources_rises_the_new_ones_time_starts_at_that_record() -> None:
    log = Log()
    log.watermark(0, "a", 100, 1)
    log.pass_slowly(5, 700)
    log.watermark(705, "a", 200, 2)
    assert log.now() == 100
    for timestamp in range(710, 1305, 5):
        log.watermark(timestamp, "a", 300, 2)
    assert log.now() == 100
    log.watermark(1305, "a", 300, 2)
    assert log.now() == 300


def test_a_new_source_that_is_heard_is_waited_for_no_longer() -> None:
    log = Log()
    log.watermark(0, "a", 100, 1)
    log.watermark(5, "a", 200, 2)
    log.watermark(6, "b", 150, 2)
    assert log.now() == 150


def test_a_writer_that_does_not_know_yet_of_a_new_source_takes_nothing_back() -> None:
    log = Log()
    log.watermark(0, "a", 100, 2)
    log.watermark(1, "a", 200, 1)
    assert log.now() is None
