"""Blocks of span rows in a real table: what is stored is what the definition's rows store."""

import time

import pytest

from services import COMPILED
from services.migrate import runner
from services.shared.clickhouse import ClickHouse, connect
from services.shared.otlp.rules import Rules
from services.shared.records.source_record import SourceRecord
from services.sink.batch import convert
from services.sink.rows import COLUMNS, SPANS, SpanConversion, columns
from services.sink.span_blocks import span_writer
from tests.support.native_block import types_of_block
from tests.support.otlp import HOUR, MINUTE, event, request, span, to_protobuf
from tests.support.traffic import make_traffic

pytestmark = pytest.mark.skipif(COMPILED == "off", reason="the definition alone is in use")

NOW = time.time_ns()  # noqa: TID251 - the table forgets what is older than a month
ODD_TEXT = '\0 "quoted" \\ back\tslash\n é \u2028 \U0001f600 end'
ODD = {
    "session.id": "s-odd",
    "text": ODD_TEXT,
    "bytes": b"\x00\xff",
    "numbers": [1, -(2**63), 1.5, 1e300, float("nan"), True],
    "map": {"a": {"b": [None, ""]}},
    "": "no name",
}


def records() -> list[SourceRecord]:
    traffic = make_traffic(
        seed=3, sessions=20, spans=400, begin=NOW, length=2 * HOUR, gap=10 * MINUTE, largest_batch=50
    )
    odd = span(name=ODD_TEXT, attributes=ODD, events=[event(ODD_TEXT, attributes=ODD)])
    many = [span(trace_id=2, span_id=n + 1, name=f"name {n}", attributes={f"key {n}": "v"}) for n in range(300)]
    values = [*traffic.records, *(to_protobuf(request(each, resource=ODD)) for each in (odd, *many))]
    return [SourceRecord("spans", 0, number, NOW + number * MINUTE, None, value) for number, value in enumerate(values)]


def check(client: ClickHouse) -> None:
    conversion = SpanConversion(Rules(), roots_only=False)
    writer = span_writer(conversion)
    assert writer is not None, "services.shared.otlp._rows is not built: run deploy/compile"
    expected = [row.values for row in convert(records(), conversion).rows[SPANS]]
    client.insert(SPANS, columns(SPANS, expected), "rows")
    stored = client.query(f"SELECT * FROM {SPANS} ORDER BY ALL")
    assert len(stored) == len(expected)
    client.command(f"TRUNCATE TABLE {SPANS}")
    written = writer.write(records(), 1_000)
    assert written is not None
    for number, block in enumerate(written.blocks):
        client.insert_block(block.table, block.columns, block.data, f"block {number}")
        client.insert_block(block.table, block.columns, block.data, f"block {number}")
    assert client.query(f"SELECT * FROM {SPANS} ORDER BY ALL") == stored
    types = client.column_types(SPANS)
    assert types_of_block(written.blocks[0].data) == {name: types[name] for name in COLUMNS[SPANS]}


def test_through_a_server(clickhouse: ClickHouse) -> None:
    check(clickhouse)


def test_through_the_embedded_engine(chdb_url: str) -> None:
    client = connect(chdb_url)
    try:
        runner.apply(client)
        check(client)
    finally:
        client.close()
