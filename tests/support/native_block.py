"""What is in a block of ClickHouse's Native format, by the reader of clickhouse-connect."""

from collections.abc import Iterator
from typing import Any

from clickhouse_connect.driver.ctypes import RespBuffCls
from clickhouse_connect.driver.query import QueryContext, QueryResult
from clickhouse_connect.driver.transform import NativeTransform


class _Source:
    def __init__(self, data: bytes) -> None:
        self.gen: Iterator[bytes] = iter([data])

    def close(self) -> None:
        """Nothing is open."""


def rows_of_block(data: bytes | bytearray) -> list[tuple[Any, ...]]:
    """Values as the sinks' rows have them: times in ns."""
    return [tuple(row) for row in _read(data, QueryContext(query_formats={"DateTime64*": "int"})).result_set]


def types_of_block(data: bytes | bytearray) -> dict[str, str]:
    """The type of each column by its name."""
    result = _read(data, QueryContext())
    return dict(zip(result.column_names, (each.name for each in result.column_types), strict=True))


def _read(data: bytes | bytearray, context: QueryContext) -> QueryResult:
    result = NativeTransform.parse_response(RespBuffCls(_Source(bytes(data))), context)  # type: ignore[no-untyped-call]  # it is
    assert isinstance(result, QueryResult)
    return result
