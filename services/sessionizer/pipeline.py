"""READ THIS FIRST: the way of a span through the worker.

    otlp_spans ──► route ──────────► session_spans ──► window ──► session_rollups
                    │ │                    ▲              │
       dead letters │ │                    │              ├──► <app>-window-changelog
                    ▼ └──► trace_spans ──► resolve        └──► live view
                                           │
                                           └──► <app>-resolve-changelog

`route` decodes each record, corrects and judges each span, finds its session key and writes its
facts to the partition of that key; every second it adds what time it is in its source. A span
whose trace names no session in the same record goes to `resolve` instead, by its trace, and so
does word of the traces that name one. `resolve` holds the span until its trace's session is
known, or nobody has named one for too long. `window` folds the facts into session windows, closes
them when the watermark says so, and publishes each window at a version. All three are pure
(`Stage`); around them stand, from the outside in:

    app.py         Faust: which partitions this worker owns
    runner.py      one loop a stage: fetch, fold, checkpoint
    fetcher.py     bytes from Kafka                 changelog.py   states back from Kafka
    partition.py   one owned partition and its transaction
    route_stage.py                                  what `route` does with a record
    keyed_stage.py                                  what every stage with states does alike
    resolve_stage.py, window_stage.py, engine/      what it is all for
"""

from collections.abc import Callable
from dataclasses import dataclass

import services
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.resolve import ResolvePolicy, Unresolved
from services.sessionizer.resolve_stage import resolve_stage
from services.sessionizer.route_stage import RouteStage
from services.sessionizer.span_outputs import SessionSpansOutput, TraceSpansOutput
from services.sessionizer.stage import Stage
from services.sessionizer.window_stage import window_stage
from services.shared.kafka_topics import changelog_topic, dead_letter_topic
from services.shared.otlp.configured_names import names_by_dimension
from services.shared.otlp.rules import Resolve, Rules
from services.shared.prices.price_book import price_book
from services.shared.privacy import redaction_of
from services.shared.settings import Settings

PartitionCounts = dict[str, int]
"""Partitions by topic, as they are on the broker."""


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage: where it reads, how to make its pure part, and where its states are kept, if it has any."""

    name: str
    topic: str
    build: Callable[[int], Stage]
    changelog: str | None


def route_definition(settings: Settings, counts: PartitionCounts) -> StageDefinition:
    """Spans of one source partition to the partitions of their sessions, or of their traces. No state."""
    dead_letters = dead_letter_topic(settings.spans_topic)
    rules = Rules(
        session_id_attributes=settings.session_id_attributes,
        dimension_attributes=names_by_dimension(settings.dimension_attributes),
        project_attributes=settings.project_attributes,
        max_future=settings.max_future,
        prices=price_book(settings.prices_file),
        resolve=Resolve(settings.resolve),
        redaction=redaction_of(settings),
    )

    def trace_spans() -> TraceSpansOutput | None:
        topic = settings.trace_spans_topic
        return None if rules.resolve is Resolve.OFF else TraceSpansOutput(topic, counts[topic])

    def build(partition: int) -> RouteStage:
        return RouteStage(
            rules,
            partition=partition,
            spans_topic=settings.spans_topic,
            sources=counts[settings.spans_topic],
            session_spans=SessionSpansOutput(settings.session_spans_topic, counts[settings.session_spans_topic]),
            trace_spans=trace_spans(),
            dead_letter_topic=dead_letters,
            dead_letter_partitions=counts[dead_letters],
            keeps_dead_letters=settings.dead_letters == "keep",
            out_of_orderness=settings.out_of_orderness,
            idle_after=settings.idle_after,
            service_version=services.__version__,
        )

    return StageDefinition("route", settings.spans_topic, build, changelog=None)


def resolve_definition(settings: Settings, counts: PartitionCounts, epoch: int) -> StageDefinition | None:
    """Spans of one partition of traces to the partitions of their sessions. None: nothing waits, by setting."""
    if settings.resolve == "off":
        return None
    topic = settings.trace_spans_topic
    policy = ResolvePolicy(
        resolve_timeout=settings.resolve_timeout,
        allowed_lateness=settings.allowed_lateness,
        source_timeout=settings.source_timeout,
        unresolved=Unresolved(settings.unresolved),
        max_bytes=settings.resolve_max_bytes,
    )

    def build(partition: int) -> Stage:
        return resolve_stage(
            policy,
            SessionSpansOutput(settings.session_spans_topic, counts[settings.session_spans_topic]),
            source=f"{topic}/{partition}",
            siblings=counts[topic],
            epoch=epoch,
        )

    return StageDefinition("resolve", topic, build, changelog_topic(settings.app_id, "resolve"))


def window_definition(
    settings: Settings, counts: PartitionCounts, epoch: int, *, is_watched: bool = False
) -> StageDefinition:
    """Facts of one partition of sessions to windows at versions. `is_watched`: there is a live view."""
    policy = Policy(
        gap=settings.gap,
        gap_by_project=settings.gap_by_project,
        allowed_lateness=settings.allowed_lateness,
        max_duration=settings.max_duration,
        max_spans=settings.max_spans,
        snapshot_interval=settings.snapshot_interval,
        source_timeout=settings.source_timeout,
    )

    def build(partition: int) -> Stage:
        return window_stage(
            policy,
            partition=partition,
            rollups_topic=settings.rollups_topic,
            rollups_partitions=counts[settings.rollups_topic],
            epoch=epoch,
            is_watched=is_watched,
        )

    changelog = changelog_topic(settings.app_id, "window")
    return StageDefinition("window", settings.session_spans_topic, build, changelog)
