"""Traffic in which one span of each trace names the session, wherever it is, and every trace is scattered over records.

What a fleet of services without baggage does at its worst: any span may be the one with the id,
and nothing arrives in order.
"""

from collections import defaultdict
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.conversations import Application, Draft, conversation, session_key
from tests.support.otlp import request_of, resource_spans, to_protobuf
from tests.support.traffic import Traffic


def scattered_traffic(
    *, seed: int, sessions: int, session_spans: int, begin: int, length: int, gap: int, record_spans: int
) -> Traffic:
    """`sessions` conversations of `session_spans` spans; they begin in `length` (ns) from `begin`."""
    random = Random(seed)
    keys = [session_key(random, number) for number in range(sessions)]
    drafts: list[Draft] = []
    for number, (application, key) in enumerate(keys):
        drafts += conversation(random, application, key, number, session_spans, begin, length, gap)
    by_trace: defaultdict[bytes, list[Draft]] = defaultdict(list)
    for draft in drafts:
        by_trace[draft.facts.trace_id].append(draft)
    marked = {random.choice(of_trace).facts.span_id for of_trace in by_trace.values()}
    random.shuffle(drafts)
    records = [_encode(drafts[start : start + record_spans], marked) for start in range(0, len(drafts), record_spans)]
    facts = [(draft.key, draft.facts) for draft in drafts if draft.key is not None]
    return Traffic(records, [key for _, key in keys], facts, noise=0)


def _encode(batch: list[Draft], marked: set[bytes]) -> bytes:
    by_application: defaultdict[Application, list[Span]] = defaultdict(list)
    for draft in batch:
        assert draft.key is not None
        session_id = draft.key.session_id if draft.facts.span_id in marked else ""
        by_application[draft.application].append(draft.message(session_id))
    return to_protobuf(request_of(*(resource_spans(spans, resource=a.resource) for a, spans in by_application.items())))
