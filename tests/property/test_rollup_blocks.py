"""The compiled writer of rollup rows makes the rows of the definition, or leaves the batch to it."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import COMPILED
from services.shared.clickhouse import ClickHouse
from services.shared.model.rollup import CloseReason, TurnRollup, Usage, WindowRollup, WindowState
from services.shared.records.rollups import encode_turns, encode_window, rollup_records, turn_json
from services.sink.batch import BatchRows, convert
from services.sink.rollup_blocks import RollupWriter, rollup_writer
from services.sink.rows import COLUMNS, TURNS, WINDOWS, rollup_rows
from tests.support.native_block import rows_of_block, types_of_block
from tests.support.rollups import turn, window
from tests.support.sinks import source_record

pytestmark = pytest.mark.skipif(COMPILED == "off", reason="the definition alone is in use")

texts = st.text(max_size=8)
names = st.lists(texts, max_size=3)
counts = st.integers(0, 2**63 - 1)
small = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**62)
money = st.integers(-(10**24), 10**24)
usages = st.builds(Usage, counts, counts, counts, counts, counts, counts, money, money, money, small, small)
turns = st.builds(
    TurnRollup,
    project=texts, session_id=texts, window_id=texts, trace_id=texts, opened_at=times, first_seen_at=times,
    version=counts, is_deleted=st.booleans(), root_name=texts, started_at=times, has_error=st.booleans(),
    error_count=small, model=texts, span_count=small, usage=usages,
    time_to_first_token_ns=st.none() | counts, input=texts, output=texts, user_ids=names, environment=texts,
    tags=names, session_attributes=st.dictionaries(texts, texts, max_size=3),
)  # fmt: skip
windows = st.builds(
    WindowRollup,
    project=texts, session_id=texts, window_id=texts, version=counts, is_deleted=st.booleans(),
    state=st.sampled_from(WindowState), close_reason=st.sampled_from(CloseReason), is_late=st.booleans(),
    opened_at=times, first_seen_at=times, window_start=times, window_end=times, gap_ns=counts,
    user_ids=names, environment=texts, environment_at=times, models=names,
    metadata=st.dictionaries(texts, texts, max_size=3), metadata_at=st.dictionaries(texts, times, max_size=3),
    turn_count=small, span_count=small, usage=usages,
    total_tokens_by_model=st.dictionaries(texts, counts, max_size=3),
    total_cost_by_model=st.dictionaries(texts, money, max_size=3),
    turn_latency_buckets=st.dictionaries(st.integers(-(2**31), 2**31 - 1), counts, max_size=3),
    models_by_provider=st.dictionaries(texts, names, max_size=3),
    tool_calls_by_tool=st.dictionaries(texts, counts, max_size=3), last_error=texts,
)  # fmt: skip
SMALL = 10


def writer() -> RollupWriter:
    made = rollup_writer()
    if made is None:
        pytest.fail("services.sink._rows is not built: run deploy/compile")
    return made


def check(values: Sequence[bytes]) -> BatchRows | None:
    """The same rows in the same order, the same records without any; `None`: the definition is to make them."""
    records = [source_record(value, offset) for offset, value in enumerate(values)]
    expected = convert(records, rollup_rows)
    written = writer().write(records, SMALL)
    if written is None:
        return None
    assert written.unreadable == expected.unreadable
    for table in (TURNS, WINDOWS):
        blocks = [block for block in written.blocks if block.table == table]
        found = [row for block in blocks for row in rows_of_block(block.data)]
        assert found == [row.values for row in expected.rows.get(table, [])]
        assert [block.first for block in blocks] == [
            sum(block.count for block in blocks[:number]) for number in range(len(blocks))
        ]
    others = {table: rows for table, rows in expected.rows.items() if table not in (TURNS, WINDOWS)}
    assert written.rows == others
    return written


@given(st.lists(st.tuples(windows, st.lists(turns, max_size=3)), max_size=4))
def test_any_rollups_give_the_rows_of_the_definition(rollups: list[tuple[WindowRollup, list[TurnRollup]]]) -> None:
    values = [
        value
        for rollup, changed in rollups
        for value in (
            *rollup_records(encode_window(rollup), [turn_json(each) for each in changed]),
            *encode_turns(rollup.project, rollup.session_id, rollup.window_id, changed),
        )
    ]
    assert check(values) is not None


@pytest.mark.parametrize("name", COLUMNS[WINDOWS])
@pytest.mark.parametrize("value", [None, True, -1, 2**32, 2**64, 1.5, "x", "-1.5", ["x"], [1], {"x": 1}, {"1": "x"}])
def test_an_odd_value_of_a_window_is_written_alike_or_left_to_the_definition(name: str, value: Any) -> None:
    record = orjson.loads(encode_window(window())) | {name: value}
    try:
        data = orjson.dumps(record)
    except TypeError:  # more than 64 bits
        data = orjson.dumps(record | {name: 0}).replace(b'"%b":0' % name.encode(), b'"%b":%d' % (name.encode(), value))
    check([encode_window(window()), data])


@pytest.mark.parametrize(
    "value",
    [b"", b"[]", b'{"type":"mood"}', b'{"type":"window"}', b'{"type":"turns","turns":5}', b'{"type":"turns"}',
     b'{"type":"turns","turns":[5]}', encode_window(window())[:-1] + b',"turns":null}', b'{"type":["window"]}'],
)  # fmt: skip
def test_what_is_no_rollup_has_the_fate_that_the_definition_gives_it(value: bytes) -> None:
    check([encode_window(window()), value, encode_window(window())])


def test_a_batch_after_one_that_was_left_to_the_definition_is_whole() -> None:
    made = writer()
    good, odd = encode_window(window()), encode_window(window())[:-1] + b',"span_count":-1}'
    assert made.write([source_record(good), source_record(odd)], SMALL) is None
    written = made.write([source_record(good)], SMALL)
    assert written is not None
    assert [(block.first, block.count) for block in written.blocks] == [(0, 1)]


def test_the_types_are_those_of_the_tables(clickhouse: ClickHouse) -> None:
    written = check(rollup_records(encode_window(window()), [turn_json(turn())]))
    assert written is not None
    for block in written.blocks:
        types = clickhouse.column_types(block.table)
        assert types_of_block(block.data) == {name: types[name] for name in COLUMNS[block.table]}
