"""PURE: what was said in a session, out of its stored spans: turn by turn, messages and tool calls in their order.

A turn begins with what its user said (the last message of the user that its first model call was
sent, else the input of the turn) and goes on with the answers of its model calls and with its
tool calls by time. A model call around another one is a wrapper and says the same again. A
turn without any model call that says something ends with the output of the turn.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.query_api.session import Turn
from services.shared.otlp import chat
from services.shared.otlp.chat import ToolCall
from services.shared.semconv import TABLE, Meaning

_MODEL_CALL, _TOOL, _UNKNOWN = "LLM", "TOOL", "UNKNOWN"


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span as the span sink stored it. `attributes` are flat, ids hex, times ns."""

    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    name: str
    span_kind: str
    is_error: bool
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing said or done. `role`: user, assistant, tool or another word of a message; `name`: of a tool."""

    role: str
    at: int
    span_id: str = ""
    text: str = ""
    name: str = ""
    input: str = ""
    is_error: bool = False
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnTranscript:
    """`is_stored`: whether spans of it are. Without any there is what the turn itself has, cut as previews are."""

    turn: Turn
    is_stored: bool
    entries: tuple[Entry, ...]


def transcripts(turns: Sequence[Turn], spans: Iterable[StoredSpan]) -> list[TurnTranscript]:
    """Of these turns, in their order. `spans`: those of their traces, in any order."""
    by_trace: defaultdict[str, list[StoredSpan]] = defaultdict(list)
    for span in spans:
        by_trace[span.trace_id].append(span)
    return [_transcript(turn, sorted(by_trace[turn.trace_id], key=_by_start)) for turn in turns]


def as_text(found: Iterable[TurnTranscript]) -> str:
    """A transcript to be read: a line for what was said, tool calls indented."""
    lines: list[str] = []
    for number, each in enumerate(found, start=1):
        lines.append(f"{'' if number == 1 else chr(10)}# turn {number}, trace {each.turn.trace_id}")
        for entry in each.entries:
            if entry.role == "tool":
                result = f" -> {entry.text}" if entry.text else ""
                lines.append(f"  [{entry.name}({entry.input}){result}]{' ERROR' if entry.is_error else ''}")
                continue
            if entry.text:
                lines.append(f"{entry.role}: {entry.text}")
            lines += [f"  {entry.role} calls {call.name}({call.arguments})" for call in entry.tool_calls]
    return "\n".join(lines) + "\n" if lines else ""


def _transcript(turn: Turn, spans: list[StoredSpan]) -> TurnTranscript:
    calls = [span for span in spans if _is_model_call(span)]
    around = {span.parent_id for span in calls}
    calls = [span for span in calls if span.span_id not in around]
    said = [entry for span in calls for entry in _answers(span)]
    done = [_tool(span) for span in spans if span.span_kind == _TOOL]
    asked = next((text for span in calls if (text := _asked(span))), "") or _text_of_turn(spans, turn.input, "in")
    entries = [Entry("user", turn.started_at, text=asked)] if asked else []
    entries += sorted((*said, *done), key=lambda entry: entry.at)
    if not any(entry.text for entry in said) and (text := _text_of_turn(spans, turn.output, "out")):
        entries.append(Entry("assistant", turn.ended_at, text=text))
    return TurnTranscript(turn, bool(spans), tuple(entries))


def _asked(span: StoredSpan) -> str:
    texts = [message.text for message in chat.messages_in(span.attributes) if message.role == "user" and message.text]
    return texts[-1] if texts else ""


def _answers(span: StoredSpan) -> list[Entry]:
    return [
        Entry(message.role, span.end, span.span_id, message.text, is_error=span.is_error, tool_calls=message.tool_calls)
        for message in chat.messages_out(span.attributes)
    ]


def _tool(span: StoredSpan) -> Entry:
    names = (span.attributes.get(name) for name in TABLE[Meaning.TOOL].names)
    name = next((name for name in names if isinstance(name, str) and name), span.name)
    given = _first_text(span, "gen_ai.tool.call.arguments", "ai.toolCall.args", "tool.parameters")
    result = _first_text(span, "gen_ai.tool.call.result", "ai.toolCall.result")
    return Entry(
        "tool",
        span.start,
        span.span_id,
        result or chat.text_out(span.attributes),
        name,
        given or chat.text_in(span.attributes),
        span.is_error,
    )


def _first_text(span: StoredSpan, *names: str) -> str:
    return next((text for name in names if isinstance(text := span.attributes.get(name), str) and text), "")


def _text_of_turn(spans: list[StoredSpan], preview: str, way: str) -> str:
    """The whole text of which the turn has a preview: of a root, else of another span; tool calls apart."""
    read = chat.text_in if way == "in" else chat.text_out
    inner = [span for span in spans if span.parent_id and span.span_kind != _TOOL]
    if way == "out":
        inner.sort(key=lambda span: (span.end, span.span_id), reverse=True)
    candidates = [span for span in spans if not span.parent_id] + inner
    return next((text for span in candidates if (text := read(span.attributes))), preview)


def _is_model_call(span: StoredSpan) -> bool:
    if span.span_kind != _UNKNOWN:
        return span.span_kind == _MODEL_CALL
    return any(name in span.attributes for name in TABLE[Meaning.MODEL].names)


def _by_start(span: StoredSpan) -> tuple[int, str]:
    return span.start, span.span_id
