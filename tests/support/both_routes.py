"""The first stage twice, compiled and in plain Python, given the same records: what comes out must be equal."""

from collections import Counter
from typing import Any

from services.sessionizer.route_stage import RouteStage
from services.sessionizer.span_outputs import SessionSpansOutput, TraceSpansOutput
from services.sessionizer.stage import InputRecord, Moment
from services.shared.otlp.rules import Resolve, Rules
from services.shared.records import span_chunks
from tests.support.otlp import T0

SESSION_PARTITIONS, TRACE_PARTITIONS = 4, 3


class BothRoutes:
    """Where nothing is compiled both are the same; the other tests say then what they do."""

    def __init__(self, rules: Rules) -> None:
        self._compiled = _stage(rules)
        self._plain = _stage(
            rules,
            SessionSpansOutput("session_spans", SESSION_PARTITIONS, chunks=span_chunks.SpanChunks),
            TraceSpansOutput("trace_spans", TRACE_PARTITIONS, chunks=span_chunks.TraceChunks),
        )
        self._offset = 0

    @property
    def scans(self) -> bool:
        """Whether the compiled scanner is there."""
        return self._compiled._scanner is not None

    def fold(self, value: bytes, timestamp: int = T0) -> None:
        record = InputRecord(self._offset, timestamp, None, value)
        self._offset += 1
        assert self._compiled.fold(record)
        assert self._plain.fold(record)
        assert self._compiled.backlog == self._plain.backlog

    def flush(self) -> Counter[tuple[str, str]]:
        """Compare everything since the last time; hands out the counts."""
        moment = Moment(T0 + self._offset * 10**9, caught_up=True)
        compiled, plain = self._compiled.flush(moment), self._plain.flush(moment)
        assert list(compiled.outputs) == list(plain.outputs)
        assert compiled.counts == plain.counts
        assert self._compiled.gauges == self._plain.gauges
        return plain.counts


def _stage(rules: Rules, sessions: Any = None, traces: Any = None) -> RouteStage:
    return RouteStage(
        rules,
        partition=1,
        spans_topic="otlp_spans",
        sources=2,
        session_spans=sessions or SessionSpansOutput("session_spans", SESSION_PARTITIONS),
        trace_spans=None
        if rules.resolve is Resolve.OFF
        else traces or TraceSpansOutput("trace_spans", TRACE_PARTITIONS),
        dead_letter_topic="dead",
        dead_letter_partitions=2,
        out_of_orderness=10**9,
        idle_after=10**12,
        service_version="1",
    )
