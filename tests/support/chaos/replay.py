"""What the stages should have made of their logs: read them again, with nothing that fails."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.sessionizer.pipeline import resolve_definition, window_definition
from services.sessionizer.stage import InputRecord, Moment, Stage
from services.shared.kafka_topics import changelog_topic
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import extract
from services.shared.otlp.rules import Rules
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete
from services.shared.records.session_spans import SpanGroup, SpansRecord, decode, encode_spans
from services.shared.settings import Settings
from tests.support.chaos.verdict import SpanName, Verdict, judge_replay
from tests.support.comparison import Row
from tests.support.kafka.log import LogRecord, read_all

_MUCH_LATER = 1 << 62  # a record's time that corrects no span's
_LAST = Moment(now=0, caught_up=False, drain=True)

Windows = dict[str, Row]
"""Rows of windows by id."""


def groups_of_request(value: bytes) -> Iterable[SpanGroup]:
    """What `route` hands on of one record of the spans topic."""
    request = decode_request(value)
    assert not isinstance(request, DeadLetter)
    return extract(request, _MUCH_LATER, Rules()).groups


def names_in(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Trace and span id of every span of a record of the spans topic."""
    request = decode_request(value)
    assert not isinstance(request, DeadLetter)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield from ((span.trace_id, span.span_id) for span in scope.spans)


def groups_of_log(log: Iterable[LogRecord]) -> Iterator[SpanGroup]:
    """What stands in records of `session_spans`."""
    for record in log:
        content = decode(record.value or b"")
        if isinstance(content, SpansRecord):
            yield from content.groups


def spans_in(groups: Iterable[SpanGroup]) -> Counter[SpanName]:
    """Copies of each span."""
    return Counter((group.key, item.trace_id, item.span_id) for group in groups for item in group.items)


def judge_states(
    verdict: Verdict,
    settings: Settings,
    log: Sequence[LogRecord],
    facts: Iterable[tuple[SessionKey, SpanFacts]],
    stored: Mapping[str, Row] | None,
) -> None:
    """What the changelogs hold, and ClickHouse (`stored`), against `window` stages to which nothing has happened.

    `log` is all of `session_spans`, `facts` every span of it; the workers have stopped.
    """
    count = settings.topic_partitions
    build = window_definition(settings, {settings.rollups_topic: count}, settings.epoch).build
    changes = read_all(settings.kafka_bootstrap, changelog_topic(settings.app_id, "window"), count)
    probes: list[list[tuple[SessionKey, SpanFacts]]] = [[] for _ in range(count)]
    for key, span in facts:
        probes[key.partition(count)].append((key, span))
    expected: Windows = {}
    for number, probed in enumerate(probes):
        undisturbed, survivor = build(number), build(number)
        survivor.restore((change.key or b"", change.value) for change in changes if change.partition == number)
        position = survivor.restored() or 0
        for record in log:
            if record.partition == number and record.offset < position:
                _fold(undisturbed, InputRecord(record.offset, record.timestamp, record.key, record.value))
        expected |= _published(undisturbed)
        # Two stages are in the same state when they tell the same after the same record.
        probe = InputRecord(position, 0, None, _probe(probed))
        _fold(undisturbed, probe)
        _fold(survivor, probe)
        judge_replay(verdict, _published(undisturbed), _published(survivor), f"state of partition {number}")
    if stored is not None:
        judge_replay(verdict, expected, stored, "ClickHouse", ignore=("type", "duplicate_span_count"))


def judge_waiting(verdict: Verdict, settings: Settings, log: Sequence[LogRecord]) -> None:
    """What waits for its session and which traces are bound, against `resolve` stages to which nothing has happened.

    `log` is all of `trace_spans`; the workers have stopped. That every span was released once shows in `session_spans`.
    """
    count = settings.topic_partitions
    topics = (settings.trace_spans_topic, settings.session_spans_topic)
    definition = resolve_definition(settings, dict.fromkeys(topics, count), settings.epoch)
    assert definition is not None
    changes = read_all(settings.kafka_bootstrap, changelog_topic(settings.app_id, "resolve"), count)
    for number in range(count):
        undisturbed, survivor = definition.build(number), definition.build(number)
        survivor.restore((change.key or b"", change.value) for change in changes if change.partition == number)
        position = survivor.restored() or 0
        for record in log:
            if record.partition == number and record.offset < position:
                _fold(undisturbed, InputRecord(record.offset, record.timestamp, record.key, record.value))
        if undisturbed.gauges != survivor.gauges:
            verdict.wrong += 1
            where = f"waiting in partition {number}"
            verdict.findings.append(f"{where}: {survivor.gauges}, expected {undisturbed.gauges}")


def _fold(stage: Stage, record: InputRecord) -> None:
    while not stage.fold(record):
        """Long sweeps are done in slices."""


def _probe(facts: Iterable[tuple[SessionKey, SpanFacts]]) -> bytes:
    """A record with one new span in each turn: every window changes, and tells all its totals and counters."""
    spans: dict[SessionKey, dict[bytes, SpanFacts]] = {}
    for key, span in facts:
        spans.setdefault(key, {})[span.trace_id] = replace(span, span_id=b"\xff" * 8, ends_at=())
    return encode_spans([SpanGroup(key, 0, tuple(of_key.values())) for key, of_key in spans.items()])


def _published(stage: Stage) -> Windows:
    """The windows that are not deleted by what a stage publishes when it drains."""
    windows: Windows = {}
    for output in stage.flush(_LAST).outputs:
        row = complete(rollups.decode(output.value))
        row.pop("turns", None)
        if row["type"] == "window":
            windows[row["window_id"]] = row
    return {name: row for name, row in windows.items() if not row["is_deleted"]}
