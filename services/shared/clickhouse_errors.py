"""PURE: whose fault an error of ClickHouse is, by its code.

A row's fault: the same row will be refused by every server, so it has to be put aside.
The server's fault: it is short of something or out of reach; the same call succeeds later.
A person's fault: a table, a right or a setting is missing; nothing gets better by itself.
A code that is in no table is a person's: nothing is put aside by mistake, and somebody looks.
"""

from enum import Enum
from types import MappingProxyType

from services.shared.errors import PermanentError, TransientError


class RefusedRowsError(PermanentError):
    """ClickHouse will never take these rows: one of them does not fit its column."""


class MemoryLimitError(TransientError):
    """ClickHouse has not the memory for this statement now; fewer rows at once need less."""


class Fault(Enum):
    """Whose fault an error is."""

    ROWS = "rows"
    MEMORY = "memory"
    SERVER = "server"
    PERSON = "person"


_ROWS = {
    6: "CANNOT_PARSE_TEXT",
    19: "SIZE_OF_FIXED_STRING_DOESNT_MATCH",
    25: "CANNOT_PARSE_ESCAPE_SEQUENCE",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    128: "TOO_LARGE_ARRAY_SIZE",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    407: "DECIMAL_OVERFLOW",
    467: "CANNOT_PARSE_BOOL",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}
_MEMORY = {
    173: "CANNOT_ALLOCATE_MEMORY",
    241: "MEMORY_LIMIT_EXCEEDED",
    777: "MEMORY_RESERVATION_KILLED",
    778: "MEMORY_RESERVATION_FAILED",
}
_SERVER = {
    3: "UNEXPECTED_END_OF_FILE",
    23: "CANNOT_READ_FROM_ISTREAM",
    24: "CANNOT_WRITE_TO_OSTREAM",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    77: "CANNOT_CLOSE_FILE",
    87: "CANNOT_SEEK_THROUGH_FILE",
    88: "CANNOT_TRUNCATE_FILE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    172: "CANNOT_CREATE_DIRECTORY",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    204: "CANNOT_FSYNC",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    214: "CANNOT_STATVFS",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    242: "TABLE_IS_READ_ONLY",  # a replica without its keeper
    243: "NOT_ENOUGH_SPACE",
    244: "UNEXPECTED_ZOOKEEPER_ERROR",
    252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    289: "REPLICA_IS_NOT_IN_QUORUM",
    294: "CANNOT_WRITE_TO_FILE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    394: "QUERY_WAS_CANCELLED",
    400: "CANNOT_STAT",
    424: "CANNOT_LINK",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    458: "CANNOT_UNLINK",
    499: "S3_ERROR",
    574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
    586: "CANNOT_CREATE_FILE",
    668: "INVALID_STATE",
    692: "TOO_MANY_MUTATIONS",
    745: "SERVER_OVERLOADED",
    749: "TCP_CONNECTION_LIMIT_REACHED",
    762: "HTTP_CONNECTION_LIMIT_REACHED",
    999: "KEEPER_EXCEPTION",
    1000: "POCO_EXCEPTION",
    1001: "STD_EXCEPTION",
}
_MIGRATE = "run `spanloom migrate`"
_CREDENTIALS = "correct user and password in SPANLOOM_CLICKHOUSE_URL and start again"
_RIGHTS = "give the user of SPANLOOM_CLICKHOUSE_URL the rights INSERT and SELECT"
_PERSON = {
    16: ("NO_SUCH_COLUMN_IN_TABLE", _MIGRATE),
    60: ("UNKNOWN_TABLE", _MIGRATE),
    81: ("UNKNOWN_DATABASE", _MIGRATE),
    115: ("UNKNOWN_SETTING", "use a ClickHouse that knows every setting of the insert"),
    164: ("READONLY", _RIGHTS),
    192: ("UNKNOWN_USER", _CREDENTIALS),
    193: ("WRONG_PASSWORD", _CREDENTIALS),
    194: ("REQUIRED_PASSWORD", _CREDENTIALS),
    497: ("ACCESS_DENIED", _RIGHTS),
    516: ("AUTHENTICATION_FAILED", _CREDENTIALS),
    774: ("TABLE_IS_PERMANENTLY_READ_ONLY", "make the table writable again"),
}
ERROR_NAMES = MappingProxyType(_ROWS | _MEMORY | _SERVER | {code: name for code, (name, _) in _PERSON.items()})
"""Every code we know, by ClickHouse's own name for it: a test compares them with the engine."""


def fault_of(code: int | None) -> Fault:
    """Whose fault an error with this code is; `None` is an error without a code."""
    if code in _ROWS:
        return Fault.ROWS
    if code in _MEMORY:
        return Fault.MEMORY
    return Fault.SERVER if code in _SERVER else Fault.PERSON


def remedy(code: int | None) -> str:
    """What a person can do about it, to be appended to a message; empty where nobody knows."""
    return f"; {_PERSON[code][1]}" if code in _PERSON else ""
