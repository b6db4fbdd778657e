"""Bytes that nobody can decode are kept as long as the settings say, or not at all."""

from typing import Any

from services.sessionizer.pipeline import route_definition
from services.sessionizer.stage import Flush, InputRecord, Moment
from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings
from tests.support.otlp import T0

BROKEN = b"\x0a\x7fnothing"


def routed(**policy: Any) -> Flush:
    settings = Settings(**policy)
    stage = route_definition(settings, {spec.name: 1 for spec in topic_specs(settings)}).build(0)
    stage.fold(InputRecord(0, T0, None, BROKEN))
    return stage.flush(Moment(T0, caught_up=False))


def letters(flush: Flush) -> list[bytes | None]:
    return [output.value for output in flush.outputs if output.topic.endswith(".dead-letter")]


def test_they_are_kept_with_every_byte_unless_a_setting_says_otherwise() -> None:
    assert letters(routed()) == letters(routed(capture_content=False)) == [BROKEN]


def test_where_none_are_kept_they_are_counted_and_gone() -> None:
    flush = routed(dead_letters="drop")

    assert letters(flush) == []
    assert flush.counts["spanloom_records_total", "truncated"] == 1


def test_topics_of_dead_letters_keep_them_as_long_as_the_setting_says() -> None:
    specs = [spec for spec in topic_specs(Settings(dead_letter_retention="2h")) if spec.name.endswith("dead-letter")]

    assert specs
    assert {spec.config["retention.ms"] for spec in specs} == {"7200000"}
