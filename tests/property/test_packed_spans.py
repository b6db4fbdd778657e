"""Records applied from their bytes and records applied as objects: the same states, the same outputs, to the byte."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer.engine.policy import Policy
from services.sessionizer.stage import InputRecord, Moment, Stage
from services.sessionizer.window_stage import window_stage
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import (
    SpanGroup,
    SpansRecord,
    UnreadableRecordError,
    encode_spans,
    encode_watermark,
)
from tests.property.profile import FIGURES, SCALE, streams
from tests.support.spans import T0
from tests.support.streams import Fate, Step, Stream, eventful_streams, plain_streams
from tests.unit.sessionizer.test_state import rich_spans

STREAMS = 400
DAMAGED = 1_000

_counts: Counter[str] = Counter()


def _stage(stream: Stream, *, compiled: bool) -> Stage:
    return window_stage(
        stream.policy,
        partition=0,
        rollups_topic="rollups",
        rollups_partitions=1,
        is_watched=True,
        max_identities=stream.max_identities,
        compiled=compiled,
    )


class _Run:
    """A worker that has its changelog."""

    def __init__(self, stream: Stream, *, compiled: bool) -> None:
        self._stream, self._compiled = stream, compiled
        self._changelog: list[tuple[bytes, bytes | None]] = []
        self.start()

    def start(self) -> None:
        self.stage = _stage(self._stream, compiled=self._compiled)
        self.stage.restore(self._changelog)
        self.stage.restored()

    def fold(self, offset: int, step: Step) -> None:
        record = step.record
        value = encode_spans(record.groups) if isinstance(record, SpansRecord) else encode_watermark(record)
        while not self.stage.fold(InputRecord(offset, step.timestamp, None, value)):
            pass

    def flush(self, offset: int, *, drain: bool) -> object:
        flush = self.stage.flush(Moment(offset, caught_up=False, drain=drain))
        self._changelog += flush.changes
        return flush.outputs, flush.changes, flush.live, flush.counts, self.stage.backlog, self.stage.gauges


def _compare(stream: Stream) -> None:
    one, other = _Run(stream, compiled=True), _Run(stream, compiled=False)
    for offset, step in enumerate(stream.steps):
        one.fold(offset, step)
        other.fold(offset, step)
        assert one.stage.backlog == other.stage.backlog
        if step.fate is Fate.NOTHING:
            continue
        assert one.flush(offset, drain=step.fate is Fate.DRAIN) == other.flush(offset, drain=step.fate is Fate.DRAIN)
        _counts["flushes compared"] += 1
        if step.fate is Fate.CRASH:
            one.start()
            other.start()
    assert one.flush(len(stream.steps), drain=True) == other.flush(len(stream.steps), drain=True)
    assert dict(one.stage.snapshot()) == dict(other.stage.snapshot())


def test_records_applied_from_their_bytes_give_the_bytes_that_their_objects_give() -> None:
    _counts.clear()

    @streams(STREAMS)
    @given(st.one_of(plain_streams(), eventful_streams()))
    def compared(stream: Stream) -> None:
        _compare(stream)
        _counts["streams compared"] += 1

    compared()
    FIGURES.append(", ".join(f"{count:,} {name}" for name, count in _counts.items()))
    assert _counts["streams compared"] >= STREAMS * min(SCALE, 1)


def _damaged(value: bytes, random: Random) -> bytes:
    """With a byte or some changed, or cut off."""
    damaged = bytearray(value)
    for _ in range(random.choice([1, 1, 2, 4])):
        at = random.randrange(len(damaged))
        match random.randrange(4):
            case 0:
                damaged[at] = random.randrange(256)
            case 1:
                damaged[at] ^= 1 << random.randrange(8)
            case 2:
                del damaged[at : at + random.randint(1, 9)]
            case _:
                damaged[at:at] = random.randbytes(random.randint(1, 9))
        if not damaged:
            break
    return bytes(damaged)


def _taken(value: bytes, *, compiled: bool) -> object:
    """What the stage makes of a record; the name of an error where it refuses it."""
    stage = window_stage(Policy(), partition=0, rollups_topic="rollups", rollups_partitions=1, compiled=compiled)
    stage.restored()
    try:
        stage.fold(InputRecord(0, T0, None, value))
        flush = stage.flush(Moment(T0, caught_up=False, drain=True))
    except (UnreadableRecordError, OverflowError, ValueError, TypeError, AttributeError) as error:
        return type(error).__name__
    return flush.outputs, flush.changes, flush.counts


def test_damaged_records_are_refused_or_taken_alike() -> None:
    random, outcomes = Random(7), Counter[str]()
    items = rich_spans(40)
    group = SpanGroup(SessionKey("shop", "snow \N{SNOWMAN}"), T0, tuple(items))
    value = encode_spans([group, SpanGroup(SessionKey("shop", "s2"), T0, tuple(items[:7]))])
    assert _taken(value, compiled=True) == _taken(value, compiled=False)
    for _ in range(DAMAGED):
        damaged = _damaged(value, random)
        one, other = _taken(damaged, compiled=True), _taken(damaged, compiled=False)
        assert one == other, damaged
        outcomes[one if isinstance(one, str) else "taken"] += 1
    assert outcomes["taken"] > DAMAGED // 10
    assert outcomes["UnreadableRecordError"] > DAMAGED // 10
