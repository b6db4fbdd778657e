"""Every Prometheus metric, declared once: name, kind, meaning, labels, buckets.

Pure stages report by name (`Flush.counts`, `Stage.gauges`); this module turns names into
series. A name that is not in the table is a bug. The metrics table in the documentation is
compared with this one by a test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 10, 100, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000)


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: Mapping[str, MetricDefinition] = {
    # route: what became of the input
    "spanloom_records_total": MetricDefinition(
        "counter",
        "Records read from the spans topic, by outcome: `decoded` or the reason of the dead letter.",
        ("outcome",),
    ),
    "spanloom_spans_total": MetricDefinition(
        "counter",
        "Spans of readable records: `routed`, `waiting` (for the session of their trace) or why they do not count.",
        ("outcome",),
    ),
    "spanloom_span_notes_total": MetricDefinition(
        "counter", "Corrections and remarkable facts about spans and records that count all the same.", ("note",)
    ),
    "spanloom_session_id_source_total": MetricDefinition(
        "counter",
        "Spans by the attribute their session id came from (`trace`: another span of the trace).",
        ("attribute",),
    ),
    # resolve: traces
    "spanloom_resolved_spans_total": MetricDefinition(
        "counter", "Spans that waited for their trace's session, by what became of them.", ("outcome",)
    ),
    "spanloom_waiting_spans": MetricDefinition("gauge", "Spans that wait for their trace's session.", ("partition",)),
    "spanloom_waiting_bytes": MetricDefinition("gauge", "Bytes of them; bounded by a setting.", ("partition",)),
    "spanloom_bound_traces": MetricDefinition("gauge", "Traces whose session is known.", ("partition",)),
    "spanloom_model_calls_total": MetricDefinition(
        "counter",
        "Model calls by where their cost comes from: `span` (its own attributes), `file` (`prices_file`), "
        "`library` (genai-prices), or `unpriced`.",
        ("cost",),
    ),
    "spanloom_unpriced_calls_total": MetricDefinition(
        "counter",
        "Model calls without a known cost, by model (`unnamed`: without one). After 100 models of a worker: `other`.",
        ("model",),
    ),
    # window: sessions
    "spanloom_windowed_spans_total": MetricDefinition(
        "counter", "Spans that reached a window, by outcome: `added` or what the engine did instead.", ("outcome",)
    ),
    "spanloom_windows_closed_total": MetricDefinition("counter", "Windows closed, by reason.", ("reason",)),
    "spanloom_windows_expired_total": MetricDefinition("counter", "Windows whose state was deleted."),
    "spanloom_windows_given_up_total": MetricDefinition(
        "counter", "Windows whose state was deleted before its time, because their session key held over 100."
    ),
    "spanloom_open_windows": MetricDefinition("gauge", "Windows that can still grow on time.", ("partition",)),
    "spanloom_held_windows": MetricDefinition("gauge", "Windows in state, closed ones included.", ("partition",)),
    "spanloom_watermark_seconds": MetricDefinition(
        "gauge", "Watermark, seconds since the epoch.", ("stage", "partition")
    ),
    "spanloom_watermark_lag_seconds": MetricDefinition(
        "gauge", "Processing time minus the watermark.", ("stage", "partition")
    ),
    # every process
    "spanloom_pause_seconds": MetricDefinition(
        "histogram",
        "How long the process kept what waits for it waiting: lateness of a tick every 20 ms (`loop`), and collections"
        " of garbage over 1 ms (`collector`).",
        ("cause",),
        _SECONDS,
    ),
    # every stage
    "spanloom_checkpoint_age_seconds": MetricDefinition(
        "gauge", "Since the last successful checkpoint of the partition.", ("stage", "partition")
    ),
    "spanloom_checkpoint_seconds": MetricDefinition("histogram", "Duration of a checkpoint.", ("stage",), _SECONDS),
    "spanloom_checkpoint_records_total": MetricDefinition(
        "counter", "Records written by checkpoints, by what they are.", ("stage", "kind")
    ),
    "spanloom_owned_partitions": MetricDefinition("gauge", "Partitions this worker owns.", ("stage",)),
    "spanloom_restored_entries_total": MetricDefinition(
        "counter", "Changelog entries read back on taking over.", ("stage",)
    ),
    "spanloom_recovery_remaining_entries": MetricDefinition(
        "gauge",
        "Changelog offsets left to read back on taking over a partition; only while it is read.",
        ("stage", "partition"),
    ),
    "spanloom_position_conflicts_total": MetricDefinition(
        "counter", "Times the group's offset differed from the state's position; the state's won.", ("stage",)
    ),
    "spanloom_expired_records_total": MetricDefinition(
        "counter", "Offsets that retention deleted before they were read: raise the topic's retention.", ("stage",)
    ),
    "spanloom_live_errors_total": MetricDefinition("counter", "Live updates that Redis did not take."),
    # sinks
    "spanloom_sink_batch_rows": MetricDefinition("histogram", "Rows of one insert.", ("sink", "table"), _ROWS),
    "spanloom_sink_rows_total": MetricDefinition("counter", "Rows inserted.", ("sink", "table")),
    "spanloom_sink_insert_seconds": MetricDefinition(
        "histogram", "Duration of one insert.", ("sink", "table"), _SECONDS
    ),
    "spanloom_sink_errors_total": MetricDefinition(
        "counter",
        "Calls of a sink to ClickHouse or Kafka that failed and are tried again: `transient`, or `permanent` where a"
        " person has to act.",
        ("sink", "error"),
    ),
    "spanloom_sink_waiting_seconds": MetricDefinition(
        "gauge", "How long a sink has waited for ClickHouse or Kafka to answer; 0: it does not wait.", ("sink",)
    ),
    "spanloom_sink_records_without_rows_total": MetricDefinition(
        "counter",
        "Records that a sink could not store whole: reason of the dead letter, or `skipped` where `route` writes it.",
        ("sink", "outcome"),
    ),
    "spanloom_sink_lag_seconds": MetricDefinition(
        "gauge", "Processing time minus the timestamp of the last record inserted.", ("sink",)
    ),
    # HTTP
    "spanloom_live_missing_total": MetricDefinition(
        "counter", "Answers of the API without live values, because Redis did not answer."
    ),
    "spanloom_http_requests_total": MetricDefinition("counter", "Requests answered.", ("route", "status")),
    "spanloom_http_request_seconds": MetricDefinition("histogram", "Time to answer a request.", ("route",), _SECONDS),
    "spanloom_gateway_spans_total": MetricDefinition(
        "counter", "Spans received by the gateway, by outcome.", ("outcome",)
    ),
}


class Telemetry:
    """The metrics of one process. Make one a process and pass it on."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}
        for name, metric in METRICS.items():
            match metric.kind:
                case "counter":
                    self._metrics[name] = Counter(name, metric.help, metric.labels, registry=self.registry)
                case "gauge":
                    self._metrics[name] = Gauge(name, metric.help, metric.labels, registry=self.registry)
                case "histogram":
                    self._metrics[name] = Histogram(
                        name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
                    )

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter. Labels in the declared order. Raises `KeyError` for an undeclared name."""
        metric = self._metrics[name]
        assert isinstance(metric, Counter)
        (metric.labels(*labels) if labels else metric).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        metric = self._metrics[name]
        assert isinstance(metric, Gauge)
        (metric.labels(*labels) if labels else metric).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        metric = self._metrics[name]
        assert isinstance(metric, Histogram)
        (metric.labels(*labels) if labels else metric).observe(value)

    def remove(self, name: str, *labels: str) -> None:
        """Forget one series, for a partition that is no longer owned."""
        metric = self._metrics[name]
        metric.remove(*labels)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
