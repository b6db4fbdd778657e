"""Inputs and outputs for turns whose root has none: which other spans of a record must bring theirs.

A turn without a text of a root shows the input of its span that began first and the output of
the one that ended last, tool calls apart. So of each turn a record sends two texts at most,
whatever the number of its spans, and none where it holds a root that has them.
"""

from collections.abc import Hashable, Sequence
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.span import SpanFacts
from services.shared.otlp import plan
from services.shared.otlp.messages import indexed_previews
from services.shared.otlp.plan import Plan, read_attributes

Turn = tuple[Hashable, bytes]
"""Whose turn it is (a session key, or `None` for one not known yet), and its trace id."""


_Spans = Sequence[tuple[Turn, SpanFacts, Span]]


def texts_below(spans: _Spans, texts: Plan) -> dict[int, tuple[str, str]]:
    """Input and output (or "") by the place of the spans that bring some. Texts are as long as they came."""
    below: dict[Turn, list[int]] = {}
    with_input, with_output = set[Turn](), set[Turn]()
    for place, (turn, facts, _) in enumerate(spans):
        if not facts.parent_id:
            if facts.input:
                with_input.add(turn)
            if facts.output:
                with_output.add(turn)
        elif not facts.is_tool_call:
            below.setdefault(turn, []).append(place)
    found: dict[int, tuple[str, str]] = {}
    for turn, places in below.items():
        if turn not in with_input:
            _find_input(spans, places, texts, found)
        if turn not in with_output:
            _find_output(spans, places, texts, found)
    return found


def _find_input(spans: _Spans, places: list[int], texts: Plan, found: dict[int, tuple[str, str]]) -> None:
    places.sort(key=lambda place: (spans[place][1].start, spans[place][1].span_id))
    for place in places:
        if text := texts_of(spans[place][2], texts)[0]:
            found[place] = (text, "")
            return


def _find_output(spans: _Spans, places: list[int], texts: Plan, found: dict[int, tuple[str, str]]) -> None:
    places.sort(key=lambda place: (spans[place][1].end, spans[place][1].span_id), reverse=True)
    for place in places:
        if text := texts_of(spans[place][2], texts)[1]:
            found[place] = (found[place][0] if place in found else "", text)
            return


def previews(span: Span, values: list[Any]) -> tuple[str, str]:
    """Input and output out of slots that were filled, else out of the indexed forms of lists of messages."""
    text_in, text_out = values[plan.INPUT], values[plan.OUTPUT]
    if text_in is None or text_out is None:
        indexed = indexed_previews(span.attributes)
        text_in, text_out = text_in or indexed[0], text_out or indexed[1]
    return text_in, text_out


def texts_of(span: Span, texts: Plan) -> tuple[str, str]:
    """Input and output of any span; "" for none."""
    values: list[Any] = [None] * plan.SLOTS
    read_attributes(span.attributes, texts, values, [plan.UNSET] * plan.SLOTS)
    return previews(span, values)
