"""What can go wrong with the ClickHouse server of the tests.

A module of its own: who only talks to the server (tests/support/clickhouse.py) does not load the engine, which takes
half a second and makes a folder under TMPDIR while it loads, left there by a process that is ended just then.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """What goes wrong from now on."""

    down: bool = False  # connections are refused, open ones are closed
    delay: float = 0.0  # seconds before each statement
    status: int = 0  # every answer has this HTTP status and no word of ClickHouse
    hang: bool = False  # requests are taken and not answered before the faults change; then they are done
    insert_code: int = 0  # every insert fails with this code of ClickHouse (241: memory, 252: parts, 164: readonly ...)
    large_code: int = 0  # inserts of more than `large` bytes fail with this code
    large: int = 0
    refuse: str = ""  # inserts whose bytes contain this text are refused ...
    refuse_code: int = 117  # ... with this code
    cut_inserts: int = 0  # so many inserts lose their connection in the middle of their bytes: nothing of them is done
    lose_answers: int = 0  # so many inserts are done, and the connection closed without an answer
