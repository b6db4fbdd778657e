"""Realistic input: conversations of chat bots as an OpenTelemetry Collector writes them to Kafka.

    traffic = make_traffic(seed=1, sessions=1_000, spans=20_000, begin=..., length=...)
    traffic.records    values for `otlp_spans`, in the order in which they are sent
    traffic.groups()   the same spans as facts, for the reference model

Facts are made here from what each span was meant to say, not by decoding, so that a comparison
also proves the decoder. Everything follows from the seed and the arguments.

A conversation is a number of turns with silences between them, some longer than the gap. A
turn is a trace: a root that ends last, model calls, tool calls and retrievals inside it.
Spans are exported when they end, children first, so batches mix sessions and traces are split
over records. Half the applications put the session id on every span, the others leave it off
spans that have a sibling with it in the same record.
"""

import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.records.session_spans import SpanGroup
from tests.support.conversations import Application, Draft, conversation, session_key, unrelated_span
from tests.support.otlp import request_of, resource_spans, to_json, to_protobuf

_NOISE = 0.01  # share of spans that belong to no session
_SENT_TWICE = 0.05  # share of records that the Collector sends again


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent, and what it means. `records` may hold a value twice; `spans` counts each span once."""

    records: list[bytes]
    keys: list[SessionKey]
    facts: list[tuple[SessionKey, SpanFacts]]
    noise: int

    @property
    def spans(self) -> int:
        return len(self.facts)

    def groups(self) -> list[SpanGroup]:
        """The facts by session key, for the reference model. Record times are unknown to the sender."""
        by_key: defaultdict[SessionKey, list[SpanFacts]] = defaultdict(list)
        for key, facts in self.facts:
            by_key[key].append(facts)
        return [SpanGroup(key, 0, tuple(items)) for key, items in by_key.items()]


def make_traffic(
    *,
    seed: int,
    sessions: int,
    spans: int,
    begin: int,
    length: int,
    gap: int,
    largest_batch: int = 500,
    is_scattered: bool = False,
) -> Traffic:
    """`sessions` conversations of `spans` spans in all (and 1 % more that belong to none).

    Event times lie between `begin` and `begin + length` (ns), give or take a turn. About every
    fifth conversation has a silence longer than `gap`, where `length` leaves room for one.

    `is_scattered`: of a trace whose spans do not all name their session, often only the one that ends last does, and
    the others are in records that do not name it.
    """
    random = Random(seed)
    keys = [session_key(random, number) for number in range(sessions)]
    budgets = _shares(random, spans, sessions)
    drafts: list[Draft] = []
    for number, (application, key) in enumerate(keys):
        drafts += conversation(random, application, key, number, budgets[number], begin, length, gap)
    noise = [unrelated_span(random, begin + random.randrange(length)) for _ in range(int(spans * _NOISE))]
    facts = [(draft.key, draft.facts) for draft in drafts if draft.key is not None]
    records = list(_records(random, drafts + noise, largest_batch, is_scattered=is_scattered))
    return Traffic(records, [key for _, key in keys], facts, len(noise))


def _shares(random: Random, total: int, parts: int) -> list[int]:
    """`total` spans over the conversations: a few long ones, many short ones, none empty."""
    weights = [random.paretovariate(2.0) for _ in range(parts)]
    scale = (total - parts) / sum(weights)
    shares = [1 + int(weight * scale) for weight in weights]
    for number in range(total - sum(shares)):
        shares[number % parts] += 1
    return shares


def _records(random: Random, drafts: Sequence[Draft], largest_batch: int, *, is_scattered: bool) -> Iterator[bytes]:
    """Batches in the order of export: most protobuf, some JSON, some compressed, some sent again a little later."""
    waiting = sorted(drafts, key=lambda draft: draft.exported)
    last = {draft.facts.trace_id: draft for draft in waiting} if is_scattered else {}
    again: list[bytes] = []
    while waiting:
        size = random.randint(min(100, largest_batch), largest_batch)
        batch, waiting = waiting[:size], waiting[size:]
        value = _encode(random, batch, last)
        yield value
        if again and random.random() < 0.5:
            yield again.pop()
        if random.random() < _SENT_TWICE:
            again.append(value)
    yield from again


def _may_be_silent(draft: Draft, marked: set[bytes], last: Mapping[bytes, Draft]) -> bool:
    """Whether another span tells: of the same record, or the last one of the trace."""
    return draft.facts.trace_id in marked or last.get(draft.facts.trace_id, draft) is not draft


def _encode(random: Random, batch: Sequence[Draft], last: Mapping[bytes, Draft]) -> bytes:
    """`last`: of each trace the draft that is left to name the session; empty where each record names its own."""
    marked: set[bytes] = set()
    by_application: defaultdict[Application, list[Span]] = defaultdict(list)
    for draft in batch:
        session_id = draft.key.session_id if draft.key else ""
        trace_id = draft.facts.trace_id
        if not draft.application.marks_every_span and _may_be_silent(draft, marked, last) and random.random() < 0.5:
            session_id = ""
        if session_id:
            marked.add(trace_id)
        by_application[draft.application].append(draft.message(session_id))
    data = request_of(*(resource_spans(spans, resource=app.resource) for app, spans in by_application.items()))
    match random.choices(("protobuf", "json", "gzip", "json+gzip"), (84, 8, 6, 2))[0]:
        case "protobuf":
            return to_protobuf(data)
        case "json":
            return to_json(data)
        case "gzip":
            return gzip.compress(to_protobuf(data), 1, mtime=0)
        case _:
            return gzip.compress(to_json(data), 1, mtime=0)
