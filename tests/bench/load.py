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
from tests.bench.span_bytes import ResourceHead, SpanMaker, span_maker
from tests.support.otlp import HOUR, SECOND, span

LENGTH = 3 * HOUR
"""From the begin of the first session to that of the last one."""

TURN_SPANS = 5

_ROOT_LENGTH, _STEP_LENGTH = 4 * SECOND // 10, SECOND // 10
_TURN = 30 * SECOND  # from one turn to the next
_LONGEST_SESSION = HOUR  # turns of longer sessions follow each other more quickly
_PROJECTS = 4
_SMALL = 1_000  # bytes; smaller spans say only what must be said
_SENTENCES = "where is my order it will arrive on Monday thank you for your patience what does delivery cost"
_VARIANTS = 4  # templates of one kind, of different text
_LETTERS = "eeeettttaaaooiinnsshhrrdlucmwfgypbvk"
_WORDS = 600_000
_PIECE = 20_000  # bytes
_SESSION = "conversation-000000000000"
_USER = "user-000000000000"
_SESSIONS_OF_A_USER = 3

_KINDS = ("LLM", "TOOL", "RETRIEVER", "LLM", "AGENT")

Moment = tuple[int, int, int, int]
"""When a span ends, its session, its turn, its place in the turn."""


def records(case: Case, begin: int, *, roots_only: bool = False, own_texts: bool = False) -> Iterator[bytes]:
    """Values for the spans topic, in the order of export; all of them hold exactly `case.spans` spans.

    `roots_only`: no other span names its session. `own_texts`: no two spans have the same input and output.
    """
    random = Random(case.span_bytes)
    requests = Requests(case.span_bytes, roots_only=roots_only, own_texts=own_texts, random=random)
    moments = iter(_moments(case, random, begin))
    while batch := list(islice(moments, case.record_spans)):
        yield requests.of(batch)


def session_id(number: int) -> str:
    """The id of a session of this traffic."""
    return f"conversation-{number:012d}"


def user_id(session: int) -> str:
    """The user of a session of this traffic: one in all of its spans, who comes again."""
    return f"user-{session // _SESSIONS_OF_A_USER:012d}"


def project(session: int) -> str:
    """The project of a session of this traffic."""
    return f"project-{session % _PROJECTS}"


def trace_id(session: int, turn: int) -> bytes:
    """The trace of a turn of this traffic."""
    return b"\x01" + session.to_bytes(8, "big") + turn.to_bytes(7, "big")


class Requests:
    """Makes export requests of spans of about `span_bytes`, or with texts (input, output) of `text` characters."""

    def __init__(
        self,
        span_bytes: int,
        *,
        text: int | None = None,
        roots_only: bool = False,
        own_texts: bool = False,
        random: Random | None = None,
    ) -> None:
        random = random or Random(span_bytes)
        self._makers: list[list[SpanMaker]] = []
        for place, kind in enumerate(_KINDS):
            templates = [_template(random, kind, span_bytes, text) for _ in range(_VARIANTS)]
            if roots_only and place < TURN_SPANS - 1:
                for template in templates:
                    del template.attributes[0]
            is_root = place == TURN_SPANS - 1
            self._makers.append([span_maker(template, _SESSION, _USER, is_root=is_root) for template in templates])
        self._prose = _prose() if own_texts else b""
        self._heads = [ResourceHead(_resource(number)) for number in range(_PROJECTS)]

    def of(self, batch: Iterable[Moment]) -> bytes:
        """One request of these spans, by project."""
        by_project: defaultdict[int, list[bytes]] = defaultdict(list)
        for end, session, turn, place in batch:
            made = self._makers[place][(session + turn) % _VARIANTS](
                trace_id(session, turn),
                (turn * TURN_SPANS + place + 1).to_bytes(8, "big"),
                ((turn + 1) * TURN_SPANS).to_bytes(8, "big"),
                end - (_ROOT_LENGTH if place == TURN_SPANS - 1 else _STEP_LENGTH),
                end,
                session_id(session).encode(),
                user_id(session).encode(),
                self._text(session, turn * TURN_SPANS + place) if self._prose else None,
            )
            by_project[session % _PROJECTS].append(made)
        return b"".join(self._heads[number].request(spans) for number, spans in by_project.items())

    def _text(self, session: int, number: int) -> bytes:
        """Another piece of prose for each span."""
        start = (session * 7_919 + number * 104_729) % (len(self._prose) - _PIECE)
        return self._prose[start : start + _PIECE]


def _prose() -> bytes:
    """A few megabytes of 2,000 words in no order: it packs about as well as what people write."""
    random = Random(0)
    words = ["".join(random.choices(_LETTERS, k=random.randrange(2, 10))) for _ in range(2_000)]
    return " ".join(random.choices(words, k=_WORDS)).encode()


def _moments(case: Case, random: Random, begin: int) -> list[Moment]:
    """Every span of the case, in the order in which they end."""
    turns = -(-case.session_spans // TURN_SPANS)
    step = min(_TURN, _LONGEST_SESSION // turns)
    moments = []
    for session in range(-(-case.spans // case.session_spans)):
        start = begin + random.randrange(LENGTH)
        count = min(case.session_spans, case.spans - session * case.session_spans)
        for number in range(count):
            turn, place = divmod(number, TURN_SPANS)
            moments.append((start + turn * step + (place + 1) * step // 10, session, turn, place))
    return sorted(moments)


def _resource(project: int) -> dict[str, str]:
    return {
        "openinference.project.name": f"project-{project}",
        "service.name": f"bot-{project}",
        "deployment.environment.name": "production",
        "telemetry.sdk.language": "python",
    }


def _template(random: Random, kind: str, size: int, text: int | None) -> Span:
    """A span of about `size` bytes, or with texts of `text` characters, whose session, ids and times are to be set."""
    attributes: dict[str, Any] = {
        "session.id": _SESSION,
        "openinference.span.kind": kind,
        "user.id": _USER,
    }
    if kind == "LLM":
        attributes |= _model_call(random)
    if size >= _SMALL:
        attributes |= _description(kind)
    missing = size - span(attributes=attributes).ByteSize() - 80  # what names, lengths and longer ids take
    sizes = (missing * 2 // 3, missing // 3) if text is None else (text, text)
    for name, length in zip(("input.value", "output.value"), sizes, strict=True):
        if length:
            attributes[name] = _text(random, length) if text is None else _text(random, length + 20)[:length]
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
