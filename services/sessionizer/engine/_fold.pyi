from collections.abc import Callable

from services.sessionizer.engine.session import Effects, Now, Session
from services.sessionizer.engine.window import Window
from services.shared.records._session_spans import PackedSpans

def fold(
    record: PackedSpans, session_of: Callable[[bytes], Session], now: Now, effects: Effects
) -> dict[bytes, Session]: ...
def finish(
    touched: dict[bytes, Session],
    now: Now,
    snapshot_interval: int,
    file: Callable[[Session, Window, int], None],
    turned: Callable[[Window], None],
) -> None: ...
