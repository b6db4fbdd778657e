import pytest

from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions
from services.shared.records.packed import pack
from services.shared.records.session_spans import UnreadableRecordError, WatermarkRecord
from services.shared.records.trace_spans import (
    BindingGroup,
    TracesRecord,
    WaitingGroup,
    WaitingSpan,
    decode,
    decode_waiting,
    encode_traces,
    encode_waiting,
    encode_watermark,
    trace_partition,
)
from tests.support.spans import T0, call, facts, trace_id

WHO = Dimensions("ann", "prod", "bot", "", ("a",), (("session.type", "chat"),), (("k", "1"),))
WAITING = WaitingGroup(
    "shop",
    T0,
    (
        WaitingSpan(facts(1, 1, T0, T0 + 5, name="chat", dimensions=WHO, call=call("gpt", 10, 5)), "old"),
        WaitingSpan(facts(2, 2, T0, T0, parent=1, dimensions=WHO)),
        WaitingSpan(facts(1, 3, T0, T0, ends_at=(T0, T0 + 1)), "older"),
    ),
)
BINDING = BindingGroup(SessionKey("voice", "ü"), T0 + 1, (trace_id(1), trace_id(2)))


def test_what_is_written_is_read_with_the_bindings_first() -> None:
    other = WaitingGroup("voice", T0 + 2, (WaitingSpan(facts(4, 1, T0, T0)),))

    assert decode(encode_traces([WAITING, BINDING, other])) == TracesRecord((BINDING,), (WAITING, other))


def test_time_shares_the_log() -> None:
    record = WatermarkRecord("otlp_spans/3", T0, 7)

    assert decode(encode_watermark(record)) == record


def test_one_group_is_written_for_itself_in_a_state() -> None:
    assert decode_waiting(encode_waiting(WAITING)) == WAITING


def test_dimensions_are_written_once_a_record() -> None:
    twice = encode_traces([WAITING, WAITING])

    assert twice.count(b"session.type") == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"garbage",
        pack([1]),
        pack([1, 0, [], []]),
        pack([1, 0, [["p", "s"]], [], []]),
        pack([1, 0, [], [], [["shop", T0, [[b"t", b"s", T0]], {}]]]),  # an explicit end does not wait
    ],
)
def test_a_record_that_is_not_ours_stops_the_worker(value: bytes) -> None:
    with pytest.raises(UnreadableRecordError, match="is not one of ours"):
        decode(value)


def test_the_record_of_a_newer_version_says_what_to_do() -> None:
    with pytest.raises(UnreadableRecordError, match="format 9, this worker reads 1: upgrade it"):
        decode(pack([9, 0]))


def test_a_trace_keeps_its_partition_for_ever() -> None:
    """Changing this takes a new topic: spans and bindings of one trace must meet."""
    assert [trace_partition(trace_id(number), 64) for number in range(8)] == [21, 3, 57, 47, 12, 26, 32, 54]


def test_traces_spread_evenly_over_partitions() -> None:
    counts = [0] * 16
    for number in range(16_000):
        counts[trace_partition(trace_id(number), 16)] += 1
    assert max(counts) < 1_200
