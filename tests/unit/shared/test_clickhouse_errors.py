"""Whose fault an error of ClickHouse is. That the codes are ClickHouse's own: tests/integration/clickhouse."""

import pytest

from services.shared.clickhouse_errors import ERROR_NAMES, Fault, fault_of, remedy


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", Fault.ROWS),
        ("VIOLATED_CONSTRAINT", Fault.ROWS),
        ("MEMORY_LIMIT_EXCEEDED", Fault.MEMORY),
        ("TOO_MANY_PARTS", Fault.SERVER),
        ("NOT_ENOUGH_SPACE", Fault.SERVER),
        ("TABLE_IS_READ_ONLY", Fault.SERVER),
        ("UNKNOWN_TABLE", Fault.PERSON),
        ("READONLY", Fault.PERSON),
        ("AUTHENTICATION_FAILED", Fault.PERSON),
    ],
)
def test_an_error_is_the_fault_of_a_row_of_the_server_or_of_a_person(name: str, fault: Fault) -> None:
    (code,) = (code for code, known in ERROR_NAMES.items() if known == name)
    assert fault_of(code) is fault
    assert bool(remedy(code)) == (fault is Fault.PERSON)


def test_an_unknown_error_puts_no_row_aside() -> None:
    assert fault_of(12_345) is Fault.PERSON
    assert fault_of(None) is Fault.PERSON
    assert remedy(12_345) == ""
