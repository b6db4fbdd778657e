"""The first stage: records of `otlp_spans` to facts by session key or by trace, dead letters and watermarks."""

from collections import Counter
from collections.abc import Iterable

from services.sessionizer.source_watermark import SourceWatermark
from services.sessionizer.span_outputs import SessionSpansOutput, TraceSpansOutput
from services.sessionizer.stage import Flush, InputRecord, Moment, Output
from services.shared.model.outcome import Note
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import extract
from services.shared.otlp.rules import Rules
from services.shared.records.session_spans import WatermarkRecord

try:
    from services.shared.otlp._scan import Scanner
    from services.shared.records._span_chunks import SpanChunks, TraceChunks
except ImportError:  # not built, or switched off
    Scanner = None  # type: ignore[assignment,misc]  # then Python does all it does

LARGE_RECORD_BYTES = 8 << 20
"""Records over this are noted: few brokers take them, and the next one may be refused on its way here."""

_MAX_DETAIL_LENGTH = 500


class RouteStage:
    """One input partition of `route`. Has no state: after a restart it goes on from the committed offset.

    `sources`: partitions of the spans topic. `trace_spans` is where traces are resolved; None: nowhere.
    Records that the compiled scanner takes go from bytes to bytes; the others, and all of them where it is not
    there, are decoded and extracted. What comes of them is the same.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        partition: int,
        spans_topic: str,
        sources: int,
        session_spans: SessionSpansOutput,
        trace_spans: TraceSpansOutput | None,
        dead_letter_topic: str,
        dead_letter_partitions: int,
        keeps_dead_letters: bool = True,
        out_of_orderness: int,
        idle_after: int,
        service_version: str,
    ) -> None:
        self.sources = sources
        """Partitions of the spans topic, which may be extended at any time."""
        self._rules = rules
        self._partition, self._spans_topic = partition, spans_topic
        self._session_spans, self._trace_spans = session_spans, trace_spans
        self._dead_letter_topic = dead_letter_topic
        self._dead_letter_partition = partition % dead_letter_partitions
        self._keeps_dead_letters = keeps_dead_letters
        self._service_version = service_version
        self._dead_letters: list[Output] = []
        self._dead_letter_bytes = 0
        self._watermark = SourceWatermark(out_of_orderness=out_of_orderness, idle_after=idle_after)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._scanner = _scanner(rules, session_spans, trace_spans)

    def restore(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Nothing is ever restored: there is no changelog."""
        if next(iter(entries), None) is not None:
            raise ValueError("route has no state, yet its changelog has an entry")

    def restored(self) -> int | None:
        return None

    def fold(self, record: InputRecord) -> bool:
        value = record.value or b""
        if self._scanner is not None and self._scanner.scan(value, record.timestamp):
            self._watermark.heard(self._scanner.latest_end, record.timestamp)
            return True
        request = decode_request(value)
        if len(value) > LARGE_RECORD_BYTES:
            self._counts["spanloom_span_notes_total", Note.LARGE_RECORD.value] += 1
        if isinstance(request, DeadLetter):
            self._counts["spanloom_records_total", request.reason.value] += 1
            if self._keeps_dead_letters:
                self._dead_letters.append(self._dead_letter(record, value, request))
                self._dead_letter_bytes += len(value)
            self._watermark.heard(None, record.timestamp)
            return True
        extraction = extract(request, record.timestamp, self._rules)
        self._counts["spanloom_records_total", "decoded"] += 1
        self._counts.update(extraction.counts)
        for group in extraction.groups:
            self._session_spans.add(group)
        if self._trace_spans is not None and (extraction.bindings or extraction.waiting):
            self._trace_spans.add(record.timestamp, extraction.bindings, extraction.waiting)
        self._watermark.heard(extraction.latest_end, record.timestamp)
        return True

    @property
    def backlog(self) -> int:
        traces = self._trace_spans.size if self._trace_spans is not None else 0
        return self._dead_letter_bytes + self._session_spans.size + traces

    def prepare(self, moment: Moment) -> bool:
        """Nothing: records were packed as they came."""
        del moment
        return True

    def flush(self, moment: Moment) -> Flush:
        outputs = self._session_spans.take()
        if self._trace_spans is not None:
            outputs += self._trace_spans.take()
        outputs += self._dead_letters
        outputs += self._watermark_outputs(moment)
        counts, self._counts = self._counts, Counter()
        if self._scanner is not None:
            counts.update(self._scanner.take_counts())
        self._dead_letters, self._dead_letter_bytes = [], 0
        return Flush(outputs=outputs, counts=counts)

    def snapshot(self) -> Iterable[tuple[bytes, bytes]]:
        return ()

    @property
    def gauges(self) -> dict[str, float]:
        watermark = self._watermark.value
        return {} if watermark is None else {"spanloom_watermark_seconds": watermark / 10**9}

    def _watermark_outputs(self, moment: Moment) -> list[Output]:
        """To every partition, after the spans it speaks about. `resolve` is a source of `session_spans`, as we are."""
        watermark = self._watermark.due(moment)
        if watermark is None:
            return []
        source, sources = f"{self._spans_topic}/{self._partition}", self.sources
        if self._trace_spans is None:
            return self._session_spans.watermarks(WatermarkRecord(source, watermark, sources))
        later = WatermarkRecord(source, watermark, sources + self._trace_spans.partitions)
        return [
            *self._session_spans.watermarks(later),
            *self._trace_spans.watermarks(WatermarkRecord(source, watermark, sources)),
        ]

    def _dead_letter(self, record: InputRecord, value: bytes, letter: DeadLetter) -> Output:
        story = {
            "reason": letter.reason.value,
            "detail": letter.detail[:_MAX_DETAIL_LENGTH],
            "source_topic": self._spans_topic,
            "source_partition": str(self._partition),
            "source_offset": str(record.offset),
            "service_version": self._service_version,
        }
        headers = (*record.headers, *((name, text.encode()) for name, text in story.items()))
        return Output(self._dead_letter_topic, self._dead_letter_partition, record.key, value, headers)


def _scanner(rules: Rules, session_spans: SessionSpansOutput, trace_spans: TraceSpansOutput | None) -> "Scanner | None":
    """`None` where it is not built, cannot write to these outputs, or every record must be redacted first."""
    if Scanner is None or rules.redaction is not None:
        return None
    sessions = [each for each in session_spans.chunks if isinstance(each, SpanChunks)]
    traces = [each for each in trace_spans.chunks if isinstance(each, TraceChunks)] if trace_spans is not None else []
    if len(sessions) != len(session_spans.chunks) or (
        trace_spans is not None and len(traces) != trace_spans.partitions
    ):
        return None
    return Scanner(rules, sessions, traces)
