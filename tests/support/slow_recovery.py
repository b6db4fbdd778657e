"""`spanloom`, but a worker takes seconds longer to read back the states of a partition.

    python -m tests.support.slow_recovery SECONDS worker

For tests of what happens to a worker meanwhile.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from services.cli.main import main
from services.sessionizer import worker
from services.sessionizer.changelog import Entry, read_changelog
from services.sessionizer.recovery import RecoveryProgress


def slow_down(seconds: float) -> None:
    async def read_slowly(
        bootstrap: str, group: str, topic: str, partition: int, progress: RecoveryProgress
    ) -> AsyncIterator[list[Entry]]:
        async for entries in read_changelog(bootstrap, group, topic, partition, progress):
            yield entries
        print("recovery takes its time", flush=True)  # noqa: T201 - what a test waits for
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()  # of all that it could wait for, nothing comes

    setattr(worker, "read_changelog", read_slowly)  # noqa: B010 - the module imports the name, it does not export it


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    main(sys.argv[2:])
