"""Every kind of bad input that the pipeline must survive, as records for `otlp_spans`.

for case in bad_records(now): case.value, case.dead_letter, case.counts, case.survivors
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.outcome import DeadLetterReason, DropReason, Note
from tests.support.otlp import SECOND, request, span, span_json, to_json, to_protobuf

YEAR_2100 = 4_102_444_800 * SECOND


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record. `dead_letter`: its reason, or None for a record that is read.

    `counts`: what must be counted of it, by (metric, label). `survivors`: its spans that count all
    the same, all of session `name`.
    """

    name: str
    value: bytes
    dead_letter: DeadLetterReason | None = None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    survivors: int = 0


def bad_records(now: int) -> list[BadRecord]:
    """One record of each kind. `now` is a time (ns) shortly before they are sent."""
    return [*_undecodable(now), *_readable(now)]


class _Ids:
    """Ids that no other record of this module has."""

    def __init__(self) -> None:
        self._last = 0

    def span(self, session_id: Any, now: int, attributes: Mapping[str, Any] | None = None, **more: Any) -> Span:
        self._last += 1
        said = {"session.id": session_id} | dict(attributes or {})
        fields = {"trace_id": 1_000 + self._last, "span_id": 1_000 + self._last, "start": now, "end": now + SECOND}
        return span(attributes=said, **{**fields, **more})


def _undecodable(now: int) -> Iterator[BadRecord]:
    ids = _Ids()
    whole = to_protobuf(request(ids.span("lost", now), ids.span("lost", now)))
    not_text = to_protobuf(request(ids.span("lost", now, {"input.value": "Grüße"}))).replace("ü".encode(), b"\xff\xfe")
    twenty_megabytes = to_protobuf(request(ids.span("lost", now, {"input.value": "x" * (20 << 20)})))
    reasons = DeadLetterReason
    yield _letter(reasons.TRUNCATED, whole[:-7])
    counts = {("spanloom_records_total", "truncated"): 1, ("spanloom_span_notes_total", Note.LARGE_RECORD.value): 1}
    yield BadRecord("truncated 20 MB", twenty_megabytes[:-1], reasons.TRUNCATED, counts)
    yield _letter(reasons.INVALID_WIRE_TYPE, b"\x08\x01")
    yield _letter(reasons.INVALID_WIRE_TYPE, whole + b"\x0f\x00", "after a span")
    yield _letter(reasons.INVALID_UTF8, not_text)
    yield _letter(reasons.INVALID_PROTOBUF, b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
    yield _letter(reasons.INVALID_JSON, to_json(request(ids.span("lost", now)))[:-2])
    yield _letter(reasons.INVALID_JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]}', "typed")
    yield _letter(reasons.NOT_AN_EXPORT_REQUEST, b"hello, this is no span")
    yield _letter(reasons.NOT_AN_EXPORT_REQUEST, b'{"level": "info"}', "JSON")
    yield _letter(reasons.INVALID_GZIP, gzip.compress(whole)[:-5])
    yield _letter(reasons.TOO_LARGE, gzip.compress(bytes(70 << 20), 1), "gzip bomb")


def _letter(reason: DeadLetterReason, value: bytes, name: str = "") -> BadRecord:
    return BadRecord(f"{reason} {name}".strip(), value, reason, {("spanloom_records_total", reason): 1})


def _readable(now: int) -> Iterator[BadRecord]:
    ids = _Ids()

    def case(name: str, *bad: Span, counts: Mapping[StrEnum, int], survivors: int, good: int = 1) -> BadRecord:
        """The bad spans between good ones of session `name`."""
        others = [ids.span(name, now) for _ in range(good)]
        named = {
            ("spanloom_spans_total" if isinstance(what, DropReason) else "spanloom_span_notes_total", what.value): count
            for what, count in counts.items()
        }
        return BadRecord(name, to_protobuf(request(*bad, *others)), None, named, survivors + good)

    short = ids.span("ids", now, trace_id=b"\x01" * 15)
    empty = ids.span("ids", now, span_id=b"")
    zero = ids.span("ids", now, trace_id=bytes(16))
    yield case("ids", short, empty, zero, counts={DropReason.INVALID_ID: 3}, survivors=0)
    document = orjson.loads(to_json(request(ids.span("json-ids", now))))
    wrong = span_json(ids.span("json-ids", now)) | {"traceId": "not hexadecimal"}
    document["resourceSpans"][0]["scopeSpans"][0]["spans"].append(wrong)
    counts = {("spanloom_spans_total", DropReason.INVALID_ID.value): 1}
    yield BadRecord("json-ids", orjson.dumps(document), None, counts, survivors=1)
    many = {f"attribute.{number}": number for number in range(10_000)}
    yield case("attributes", ids.span("attributes", now, many), counts={Note.MANY_ATTRIBUTES: 1}, survivors=1)
    large = ids.span("large", now, {"input.value": "y" * (20 << 20)})
    yield case("large", large, counts={Note.LARGE_RECORD: 1}, survivors=1)
    yield case("1970", ids.span("1970", 1, end=SECOND), counts={Note.TIME_BEFORE_2000: 1}, survivors=1)
    ahead = ids.span("2100", YEAR_2100, end=YEAR_2100 + SECOND)
    yield case("2100", ahead, counts={Note.TIME_IN_FUTURE: 1}, survivors=1)
    negative = ids.span("negative", (1 << 64) - SECOND, end=(1 << 64) - 1)
    yield case("negative", negative, counts={Note.TIME_NEGATIVE: 1, Note.TIME_IN_FUTURE: 1}, survivors=1)
    yield case("missing", ids.span("missing", 0, end=0), counts={Note.TIME_MISSING: 1}, survivors=1)
    backwards = ids.span("backwards", now, end=now - SECOND)
    yield case("backwards", backwards, counts={Note.END_BEFORE_START: 1}, survivors=1)
    unusable = {Note.SESSION_ID_EMPTY: 1, Note.SESSION_ID_TOO_LONG: 1, DropReason.NO_SESSION_ID: 2}
    yield case("lengths", ids.span("", now), ids.span("s" * 10_000, now), counts=unusable, survivors=0)
    text = ids.span("nul", now, {"user.id": "a\x00b", "input.value": "c\x00d"})
    yield case("nul", text, counts={Note.NUL_CHARACTER: 1}, survivors=1)
