"""Windows and turns of the engine as the rollups that others read."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from services.sessionizer.engine import usage
from services.sessionizer.engine.quantiles import quantile
from services.sessionizer.engine.session import Session
from services.sessionizer.engine.turn import Turn
from services.sessionizer.engine.who import Written
from services.sessionizer.engine.window import Window
from services.shared.model.annotation import AnnotationRollup
from services.shared.model.rollup import TurnRollup, WindowRollup, WindowState
from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records import rollups

try:
    from services.sessionizer import _publication

    _IS_COMPILED = True
except ImportError:  # not built, or switched off
    _IS_COMPILED = False


class Edition(NamedTuple):
    """A window as it is, encoded: its totals, and its turns that changed since some version."""

    totals: bytes
    turns: list[tuple[Turn, bytes]]

    def since(self, version: int) -> list[tuple[Turn, bytes]]:
        """The turns that changed after a later version."""
        return [(turn, data) for turn, data in self.turns if turn.version > version]

    def records(self, since: int) -> list[bytes]:
        """The values of the records that publish the window with the turns that changed after a later version."""
        return rollups.rollup_records(self.totals, [data for _, data in self.since(since)])


def rollup(key: SessionKey, window: Window, since: int) -> list[bytes]:
    """The values of the records that publish the window with the turns that changed after version `since`."""
    if _IS_COMPILED:
        with suppress(UnicodeEncodeError):  # a lone surrogate
            value = _publication.rollup_json(key, window, since)
            if value is not None:
                return [value]
    return edition(key, window, since).records(since)


def edition(key: SessionKey, window: Window, since: int) -> Edition:
    """The window with the turns that changed after version `since`."""
    if not _IS_COMPILED:
        return plain_edition(key, window, since)
    try:
        turns = [(turn, _publication.turn_json(turn)) for turn in window.changed_turns(since)]
        return Edition(_publication.window_json(key, window), turns)
    except UnicodeEncodeError:  # a lone surrogate
        return plain_edition(key, window, since)


def plain_edition(key: SessionKey, window: Window, since: int) -> Edition:
    """What `edition` is, compiled or not."""
    turns = [(turn, rollups.turn_json(turn_rollup(key, window, turn))) for turn in window.changed_turns(since)]
    return Edition(rollups.window_json(window_rollup(key, window)), turns)


def window_rollup(key: SessionKey, window: Window) -> WindowRollup:
    totals = window.totals
    environment, environment_at = _last(totals.environment)
    first_input, first_input_at = _last(totals.first_input or totals.first_input_below)
    last_output, last_output_at = _last(totals.last_output or totals.last_output_below)
    last_error, last_error_at = _last(totals.last_error)
    session, metadata = sorted(totals.session.values.items()), sorted(totals.metadata.values.items())
    return WindowRollup(
        project=key.project,
        session_id=key.session_id,
        window_id=window.id.hex(),
        version=window.version,
        state=WindowState.CLOSED if window.is_closed else WindowState.OPEN,
        close_reason=window.close_reason,
        is_late=window.is_late,
        opened_at=window.opened_at,
        first_seen_at=window.first_seen_at,
        window_start=window.start,
        window_end=window.end,
        gap_ns=window.gap,
        allowed_lateness_ns=window.allowed_lateness,
        user_ids=totals.users.sorted,
        environment=environment,
        environment_at=environment_at,
        service_names=totals.services.sorted,
        agent_names=totals.agents.sorted,
        models=totals.models.sorted,
        tags=totals.tags.sorted,
        session_attributes={name: written[1] for name, written in session},
        session_attributes_at={name: written[0][0] for name, written in session},
        metadata={name: written[1] for name, written in metadata},
        metadata_at={name: written[0][0] for name, written in metadata},
        turn_count=totals.turn_count,
        span_count=totals.span_count,
        tool_call_count=totals.tool_call_count,
        error_count=totals.error_count,
        error_turn_count=totals.error_turn_count,
        late_span_count=window.late_spans,
        duplicate_span_count=window.duplicates,
        usage=usage.published(totals.usage),
        total_tokens_by_model=totals.amounts_by_model("total"),
        prompt_tokens_by_model=totals.amounts_by_model("prompt"),
        completion_tokens_by_model=totals.amounts_by_model("completion"),
        total_cost_by_model=totals.amounts_by_model("total_cost"),
        prompt_cost_by_model=totals.amounts_by_model("prompt_cost"),
        completion_cost_by_model=totals.amounts_by_model("completion_cost"),
        active_ns=totals.active.total,
        turn_latency_p50_ns=quantile(totals.latency, 50),
        turn_latency_p95_ns=quantile(totals.latency, 95),
        turn_latency_p99_ns=quantile(totals.latency, 99),
        turn_latency_buckets=dict(sorted(totals.latency.items())),
        first_input=first_input,
        first_input_at=first_input_at,
        last_output=last_output,
        last_output_at=last_output_at,
        last_error=last_error,
        last_error_at=last_error_at,
        conversation_ids=totals.conversations.sorted,
        models_by_provider=totals.models_by_provider,
        tool_calls_by_tool=dict(sorted(totals.tools.values.items())),
    )


def retraction(key: SessionKey, window: Window, version: int) -> WindowRollup:
    """Deletes an absorbed window, at the version of the merge."""
    return WindowRollup(
        project=key.project,
        session_id=key.session_id,
        window_id=window.id.hex(),
        version=version,
        is_deleted=True,
        opened_at=window.opened_at,
        first_seen_at=window.first_seen_at,
    )


def turn_rollup(key: SessionKey, window: Window, turn: Turn) -> TurnRollup:
    root_id, root_name = (turn.root[1].hex(), turn.root[2]) if turn.root else ("", "")
    text_in, text_out = turn.input or turn.input_below, turn.output or turn.output_below
    users, environment, services, agents, conversations, tags, session_attributes, metadata = turn.said.summary()
    return TurnRollup(
        project=key.project,
        session_id=key.session_id,
        window_id=window.id.hex(),
        trace_id=turn.trace_id.hex(),
        opened_at=window.opened_at,
        first_seen_at=window.first_seen_at,
        version=turn.version,
        root_span_id=root_id,
        root_name=root_name,
        started_at=turn.start,
        ended_at=turn.end,
        has_error=turn.error_count > 0,
        error_count=turn.error_count,
        model=turn.model[2] if turn.model else "",
        span_count=turn.span_count,
        tool_call_count=turn.tool_call_count,
        usage=usage.published(turn.usage),
        time_to_first_token_ns=turn.first_token[2] if turn.first_token else None,
        input=text_in[2] if text_in else "",
        output=text_out[2] if text_out else "",
        user_ids=users,
        environment=environment,
        service_names=services,
        agent_names=agents,
        conversation_ids=conversations,
        tags=tags,
        session_attributes=session_attributes,
        metadata=metadata,
    )


def turn_deletion(key: SessionKey, window: Window, trace_id: bytes, version: int) -> TurnRollup:
    return TurnRollup(
        project=key.project,
        session_id=key.session_id,
        window_id=window.id.hex(),
        trace_id=trace_id.hex(),
        opened_at=window.opened_at,
        first_seen_at=window.first_seen_at,
        version=version,
        is_deleted=True,
    )


def annotation_records(
    annotated: Iterable[tuple[Session, SpanFacts, int]], version: int
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of the records that publish annotations: of one target, name and identifier the last one.

    `annotated`: spans that carry some, in the order of the log, with the time of the record they came in.
    """
    by_session: dict[bytes, dict[tuple[object, ...], AnnotationRollup]] = {}
    for session, span, record_time in annotated:
        found = by_session.setdefault(session.name, {})
        for said in span.annotations:
            target = (said.scope, said.trace_id, said.span_id, said.name, said.identifier)
            found.pop(target, None)
            found[target] = AnnotationRollup(
                project=session.key.project,
                session_id=session.key.session_id,
                scope=said.scope,
                trace_id=said.trace_id.hex(),
                span_id=said.span_id.hex(),
                name=said.name,
                identifier=said.identifier,
                version=version,
                annotator_kind=said.annotator_kind,
                label=said.label,
                score=said.score,
                explanation=said.explanation,
                metadata=said.metadata,
                annotated_at=said.annotated_at,
                ingested_at=record_time,
            )
    for name, annotations in by_session.items():
        yield from ((name, value) for value in rollups.annotation_records(list(annotations.values())))


def _last(written: Written | None) -> tuple[str, int]:
    return ("", 0) if written is None else (written[1], written[0][0])
