"""Spans that wait, passed on as bytes: what the compiled form makes is what the definition makes, to the byte."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import COMPILED
from services.shared.records.arrivals import arrivals, pass_on
from services.shared.records.session_spans import SpanGroup
from services.shared.records.trace_spans import (
    TRACES_HEAD,
    WaitingGroup,
    WaitingSpan,
    decode_waiting,
    decode_waits,
    encode_traces,
    encode_waiting,
)
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.spans import T0, facts
from tests.support.streams import KEYS
from tests.support.trace_streams import waiting_groups

with suppress(ImportError):
    from services.shared.records import _arrivals
    from services.shared.records._span_chunks import SpanChunks

pytestmark = pytest.mark.skipif(COMPILED == "off", reason="the definition alone is in use")

RECORDS = 150


def plain(group: WaitingGroup) -> WaitingGroup:
    """As most are: no span ends a session or says something of others; some are of tools."""
    spans = (replace(span.facts, annotations=(), tool="search" if span.facts.start % 2 else "") for span in group.spans)
    return replace(group, spans=tuple(map(WaitingSpan, spans)))


def check(groups: list[WaitingGroup], *, is_plain: bool) -> Counter[str]:
    record = encode_traces(groups)
    packed = record[len(TRACES_HEAD) + 1 :]
    expected = arrivals(decode_waits(packed))
    found = _arrivals.divide(packed)
    assert found == expected or (found is None and not is_plain)
    by_bytes, by_spans = SpanChunks(), SpanChunks()
    passed = 0
    for number, (_, time, _, data) in enumerate(expected):
        key, spans = KEYS[number % len(KEYS)], decode_waiting(data).spans
        if pass_on(by_bytes, key, data):
            by_spans.add(SpanGroup(key, time, tuple(span.facts for span in spans)))
            passed += 1
    assert by_bytes.size == by_spans.size
    assert by_bytes.take() == by_spans.take()
    assert passed == len(expected) or not is_plain
    return Counter({"records divided": found is not None, "arrivals passed on": passed})


def test_spans_that_wait_are_divided_and_passed_on_as_bytes_as_they_would_be_one_by_one() -> None:
    counts: Counter[str] = Counter()

    @streams(RECORDS)
    @given(st.lists(waiting_groups, min_size=1, max_size=4), st.booleans())
    def run(groups: list[WaitingGroup], is_plain: bool) -> None:
        counts.update(check([plain(group) for group in groups] if is_plain else groups, is_plain=is_plain), records=1)

    run()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    assert counts["records"] >= RECORDS * min(SCALE, 1)
    assert counts["arrivals passed on"] > counts["records"], f"the records are too tame: {counts}"


def test_a_record_that_is_full_is_cut_between_the_spans_of_an_arrival() -> None:
    spans = tuple(WaitingSpan(facts(1, number, T0, T0, input="x" * 1_000)) for number in range(1, 600))
    data = encode_waiting(WaitingGroup("shop", T0, spans))
    by_bytes, by_spans = SpanChunks(), SpanChunks()
    assert pass_on(by_bytes, KEYS[0], data)
    by_spans.add(SpanGroup(KEYS[0], T0, tuple(span.facts for span in spans)))
    records = by_bytes.take()
    assert len(records) > 3
    assert records == by_spans.take()


def test_bytes_that_break_anywhere_are_left_to_the_definition() -> None:
    groups = [WaitingGroup("shop", T0, tuple(WaitingSpan(facts(trace, 1, T0, T0)) for trace in (1, 2, 1)))]
    packed = encode_traces(groups)[len(TRACES_HEAD) + 1 :]
    data = encode_waiting(groups[0])
    assert _arrivals.divide(packed) == arrivals(groups)
    chunks = SpanChunks()
    for place in range(len(packed)):
        assert _arrivals.divide(packed[:place]) is None
        for bit in range(8):
            broken = bytearray(packed)
            broken[place] ^= 1 << bit
            _arrivals.divide(bytes(broken))  # whatever it says, it reads nothing else
    for place in range(len(data)):
        assert not pass_on(chunks, KEYS[0], data[:place])
    assert not chunks.take()
