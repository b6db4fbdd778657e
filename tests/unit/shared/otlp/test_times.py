"""Semantics: "Times are corrected in this order, each counted"."""

import pytest

from services.shared.model.outcome import Note
from services.shared.model.span import SpanFacts
from services.shared.otlp.rules import Rules
from tests.support.extraction import RECORD_TIME, extraction_of, facts_of, note_names
from tests.support.otlp import HOUR, MINUTE, SECOND, T0, event, request, span

MAX_FUTURE = 10 * MINUTE
LIMIT = RECORD_TIME + MAX_FUTURE
YEAR_1970 = 1000
YEAR_2100 = 4_102_444_800 * SECOND


@pytest.mark.parametrize(
    ("start", "end", "expected", "reasons"),
    [
        (T0, T0 + SECOND, (T0, T0 + SECOND), set()),
        (T0, T0, (T0, T0), set()),
        (0, T0, (T0, T0), {Note.TIME_MISSING}),
        (T0, 0, (T0, T0), {Note.TIME_MISSING}),
        (0, 0, (RECORD_TIME, RECORD_TIME), {Note.TIME_MISSING}),
        (T0, T0 - 1, (T0, T0), {Note.END_BEFORE_START}),
        (T0, LIMIT, (T0, LIMIT), set()),
        (T0, LIMIT + 1, (T0, RECORD_TIME), {Note.TIME_IN_FUTURE}),
        (RECORD_TIME + 1, LIMIT + 1, (RECORD_TIME, RECORD_TIME), {Note.TIME_IN_FUTURE}),
        (RECORD_TIME + 1, LIMIT, (RECORD_TIME + 1, LIMIT), set()),
        (YEAR_2100, YEAR_2100 + 1, (RECORD_TIME, RECORD_TIME), {Note.TIME_IN_FUTURE}),
        (YEAR_2100, T0, (RECORD_TIME, RECORD_TIME), {Note.END_BEFORE_START, Note.TIME_IN_FUTURE}),
        (YEAR_2100, 0, (RECORD_TIME, RECORD_TIME), {Note.TIME_MISSING, Note.TIME_IN_FUTURE}),
        (T0, 2**64 - 1, (T0, RECORD_TIME), {Note.TIME_NEGATIVE, Note.TIME_IN_FUTURE}),
        (
            2**64 - 5,
            T0,
            (RECORD_TIME, RECORD_TIME),
            {Note.TIME_NEGATIVE, Note.END_BEFORE_START, Note.TIME_IN_FUTURE},
        ),
        (YEAR_1970, T0, (YEAR_1970, T0), {Note.TIME_BEFORE_2000}),
        (1, 1, (1, 1), {Note.TIME_BEFORE_2000}),
        (0, 1, (1, 1), {Note.TIME_MISSING, Note.TIME_BEFORE_2000}),
    ],
)
def test_times_are_corrected_in_the_fixed_order_and_each_correction_is_counted(
    start: int, end: int, expected: tuple[int, int], reasons: set[Note]
) -> None:
    data = request(span(start=start, end=end, attributes={"session.id": "s"}))

    extraction = extraction_of(data)

    [facts] = extraction.groups[0].items
    assert isinstance(facts, SpanFacts)
    assert (facts.start, facts.end) == expected
    assert extraction.latest_end == expected[1]
    assert note_names(extraction) == reasons


def test_how_far_ahead_a_span_may_end_is_a_rule() -> None:
    facts = facts_of(span(start=T0, end=RECORD_TIME + 1), rules=Rules(max_future=0))

    assert facts.end == RECORD_TIME


def test_the_latest_end_is_of_all_valid_spans_those_without_a_session_included() -> None:
    data = request(
        span(span_id=1, attributes={"session.id": "s"}),
        span(span_id=2, trace_id=2, start=T0 + 20 * SECOND),
        span(span_id=0, start=T0 + 40 * SECOND),
    )

    assert extraction_of(data).latest_end == T0 + 21 * SECOND
    assert extraction_of(request()).latest_end is None
    assert extraction_of(request(span(span_id=0))).latest_end is None


def test_every_group_carries_the_records_time() -> None:
    data = request(span(attributes={"session.id": "s"}))

    assert [group.record_time for group in extraction_of(data, record_time=T0 + HOUR).groups] == [T0 + HOUR]


def test_session_end_events_end_at_their_time_corrected_like_span_times() -> None:
    facts = facts_of(
        span(
            end=T0 + 5 * SECOND,
            events=[
                event("session.end", at=T0 + SECOND),
                event("exception", at=T0 + 2 * SECOND),
                event("session.end", at=0),
                event("session.end", at=YEAR_2100),
                event("session.end", at=T0 + HOUR),
            ],
        ),
    )

    assert facts.ends_at == (T0 + SECOND, T0 + 5 * SECOND, RECORD_TIME, RECORD_TIME)
