"""The traffic of a case: OTLP export requests as a Collector writes them, made as they are asked for.

Sessions begin over three hours of event time and their spans arrive in the order in which they
end, so a record mixes sessions, and windows close while later ones are read. A turn is a
trace of five spans (two model calls, a tool call, a retrieval, and the root, which ends last).
Everything follows from the case, `begin` and a fixed seed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.bench.case import Case
from tests.support.otlp import HOUR, SECOND, request_of, resource_spans, span, to_protobuf

LENGTH = 3 * HOUR
"""From the begin of the first session to that of the last one."""

_TURN_SPANS = 5
_TURN = 30 * SECOND  # from one turn to the next
_LONGEST_SESSION = HOUR  # turns of longer sessions follow each other more quickly
_PROJECTS = 4
_SMALL = 1_000  # bytes; smaller spans say only what must be said
_SENTENCES = "where is my order it will arrive on Monday thank you for your patience what does delivery cost"
_VARIANTS = 4  # templates of one kind, of different text

_KINDS = ("LLM", "TOOL", "RETRIEVER", "LLM", "AGENT")

Moment = tuple[int, int, int, int]
"""When a span ends, its session, its turn, its place in the turn."""


def records(case: Case, begin: int, *, roots_only: bool = False) -> Iterator[bytes]:
    """Values for the spans topic, in the order of export; all of them hold exactly `case.spans` spans.

    `roots_only`: no other span names its session.
    """
    random = Random(case.span_bytes)
    templates = [[_template(random, kind, case.span_bytes) for _ in range(_VARIANTS)] for kind in _KINDS]
    moments = iter(_moments(case, random, begin))
    while batch := list(islice(moments, case.record_spans)):
        yield _request(batch, templates, roots_only=roots_only)


def _moments(case: Case, random: Random, begin: int) -> list[Moment]:
    """Every span of the case, in the order in which they end."""
    turns = -(-case.session_spans // _TURN_SPANS)
    step = min(_TURN, _LONGEST_SESSION // turns)
    moments = []
    for session in range(-(-case.spans // case.session_spans)):
        start = begin + random.randrange(LENGTH)
        count = min(case.session_spans, case.spans - session * case.session_spans)
        for number in range(count):
            turn, place = divmod(number, _TURN_SPANS)
            moments.append((start + turn * step + (place + 1) * step // 10, session, turn, place))
    return sorted(moments)


def _request(batch: Iterable[Moment], templates: list[list[Span]], *, roots_only: bool) -> bytes:
    by_project: defaultdict[int, list[Span]] = defaultdict(list)
    for moment in batch:
        session = moment[1]
        made = _span(moment, templates)
        if roots_only and made.parent_span_id:
            del made.attributes[0]
        by_project[session % _PROJECTS].append(made)
    return to_protobuf(
        request_of(*(resource_spans(spans, resource=_resource(number)) for number, spans in by_project.items()))
    )


def _span(moment: Moment, templates: list[list[Span]]) -> Span:
    end, session, turn, place = moment
    is_root = place == _TURN_SPANS - 1
    result = Span()
    result.CopyFrom(templates[place][(session + turn) % _VARIANTS])
    result.trace_id = b"\x01" + session.to_bytes(8, "big") + turn.to_bytes(7, "big")
    result.span_id = (turn * _TURN_SPANS + place + 1).to_bytes(8, "big")
    if not is_root:
        result.parent_span_id = ((turn + 1) * _TURN_SPANS).to_bytes(8, "big")
    result.start_time_unix_nano = end - (4 if is_root else 1) * SECOND // 10
    result.end_time_unix_nano = end
    result.attributes[0].value.string_value = f"conversation-{session:012d}"
    return result


def _resource(project: int) -> dict[str, str]:
    return {
        "openinference.project.name": f"project-{project}",
        "service.name": f"bot-{project}",
        "deployment.environment.name": "production",
        "telemetry.sdk.language": "python",
    }


def _template(random: Random, kind: str, size: int) -> Span:
    """A span of about `size` bytes whose session, ids and times are still to be set."""
    attributes: dict[str, Any] = {
        "session.id": "conversation-000000000000",
        "openinference.span.kind": kind,
        "user.id": f"user-{random.randrange(100):03d}",
    }
    if kind == "LLM":
        attributes |= _model_call(random)
    if size >= _SMALL:
        attributes |= _description(kind)
    missing = size - span(attributes=attributes).ByteSize() - 80  # what names, lengths and longer ids take
    attributes["input.value"] = _text(random, missing * 2 // 3)
    attributes["output.value"] = _text(random, missing // 3)
    return span(name=f"{kind.lower()} step", attributes=attributes, trace_id=0, span_id=0)


def _model_call(random: Random) -> dict[str, Any]:
    prompt, completion = random.randrange(20, 4_000), random.randrange(1, 900)
    return {
        "llm.model_name": random.choice(("gpt-5-mini", "claude-sonnet-5")),
        "llm.token_count.prompt": prompt,
        "llm.token_count.completion": completion,
        "llm.token_count.total": prompt + completion,
        "llm.cost.total": 0.000001 * (prompt + 4 * completion),
    }


def _description(kind: str) -> dict[str, Any]:
    """What instrumentations add that no session needs, and a few things that one does."""
    return {
        "llm.provider": "openai",
        "llm.system": "openai",
        "llm.invocation_parameters": '{"temperature": 0.2, "max_tokens": 1024, "top_p": 1.0}',
        "input.mime_type": "text/plain",
        "output.mime_type": "text/plain",
        "metadata": '{"channel": "web", "tier": "gold"}',
        "tag.tags": ["beta", "web"],
        "graph.node.id": kind.lower(),
        "graph.node.parent_id": "agent",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "models.internal",
        "thread.id": 140_223_112,
    }


def _text(random: Random, length: int) -> str:
    available = _SENTENCES.split()
    words: list[str] = []
    while length > 0:
        words.append(random.choice(available))
        length -= len(words[-1]) + 1
    return " ".join(words)
