"""Valid bytes of every kind that is decoded: what the pipeline itself writes about made-up traffic."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.sessionizer.meta import META_KEY
from services.sessionizer.pipeline import resolve_definition, route_definition, window_definition
from services.sessionizer.resolve_state import is_trace_key, segment_number
from services.sessionizer.stage import Flush, InputRecord, Moment, Stage
from services.sessionizer.state import decode_page, encode_set, head_names
from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings
from tests.support.bad_input import bad_records
from tests.support.otlp import HOUR, MINUTE, SECOND, T0
from tests.support.traffic import make_traffic

_LARGEST = (
    6_000  # bytes, over which a window has pages; large inputs are no other inputs, and cost as much as many small ones
)
_MOST = 250


def make_corpus() -> Mapping[str, Sequence[bytes]]:
    """By kind: the values, never the same twice. Always the same."""
    settings = Settings(session_spans_topic="spans", rollups_topic="rollups", trace_spans_topic="traces")
    counts = {spec.name: 1 for spec in topic_specs(settings)}
    traffic = make_traffic(seed=7, sessions=12, spans=300, begin=T0, length=2 * HOUR, gap=10 * MINUTE, largest_batch=2)
    long = make_traffic(seed=8, sessions=1, spans=200, begin=T0, length=2 * HOUR, gap=10 * MINUTE, largest_batch=2)
    records = [
        *traffic.records,
        *long.records,
        *(record.value for record in bad_records(T0) if len(record.value) < _LARGEST),
    ]
    found: defaultdict[str, dict[bytes, None]] = defaultdict(dict)
    resolve = resolve_definition(settings, counts, 1)
    assert resolve is not None
    stages = {
        "traces": resolve.build(0),
        "spans": window_definition(settings, counts, 1).build(0),
    }
    route = route_definition(settings, counts).build(0)
    offsets = dict.fromkeys(stages, 0)
    for number, value in enumerate(records):
        found["request"][value] = None
        now = T0 + number * 5 * SECOND
        route.fold(InputRecord(number, now, None, value))
        _deliver(route.flush(Moment(now, caught_up=True)), stages, offsets, now, found)
        for name in ("traces", "spans"):
            _deliver(stages[name].flush(Moment(now, caught_up=True)), stages, offsets, now, found)
    for page in found["page"]:
        found["set"] |= {encode_set(turn.spans): None for turn in decode_page(page).values()}
    return {kind: _sample([value for value in values if 0 < len(value) <= _LARGEST]) for kind, values in found.items()}


def _deliver(
    flush: Flush, stages: Mapping[str, Stage], offsets: dict[str, int], now: int, found: Mapping[str, dict[bytes, None]]
) -> None:
    for output in flush.outputs:
        found[output.topic][output.value] = None
        if output.topic in stages:
            record = InputRecord(offsets[output.topic], now, output.key, output.value)
            offsets[output.topic] += 1
            while not stages[output.topic].fold(record):
                pass
    for key, value in flush.changes:
        if value is not None:
            found[_kind(key)][value] = None


def _kind(key: bytes) -> str:
    """Of a state, by its changelog key."""
    if key == META_KEY:
        return "meta"
    if is_trace_key(key):
        return "trace"
    if segment_number(key) is not None:
        return "segment"
    if head_names(key) is not None:
        return "head"
    length = int.from_bytes(key[:2], "big")
    return {b"p": "page", b"s": "set"}.get(key[2 + length + 8 :][:1], "trace_page")


def _sample(values: Sequence[bytes]) -> Sequence[bytes]:
    step = max(1, len(values) // _MOST)
    return values[::step]
