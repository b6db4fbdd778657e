from collections.abc import Sequence

from services.sessionizer.engine.catch_up import Desk, Sweep, Waiting
from services.sessionizer.engine.session import Effects, Session

def catch_up(
    session: Session, waiting: Waiting, sweeps: Sequence[Sweep], effects: Effects, desk: Desk, most: int
) -> bool: ...
