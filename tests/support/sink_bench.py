"""A sink between fakes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.shared.records.rollups import encode_window
from services.shared.records.source_record import SourceRecord
from services.shared.room import BoundedRoom
from services.shared.telemetry import Telemetry
from services.sink.batch import Converter
from services.sink.patience import Pause, Pauses, pause
from services.sink.rows import Converted, rollup_rows
from services.sink.sink import Limits, Sink
from tests.support.clock import ManualClock
from tests.support.eventually import eventually_async
from tests.support.rollups import window
from tests.support.sinks import FakeDeadLetters, FakeSource, FakeStore, Journal, source_record

IMPATIENT = Limits(flush_interval=0.0, pauses=Pauses(0.001, 0.002))


@dataclass
class Bench:
    """A sink with everything around it. It is told to stop when its source has no more."""

    source: FakeSource
    store: FakeStore
    dead_letters: FakeDeadLetters
    journal: Journal
    room: BoundedRoom
    telemetry: Telemetry
    sink: Sink
    stop: asyncio.Event

    async def run(self, *, to_end: bool = False) -> None:
        async with asyncio.timeout(20):
            await self.sink.run(self.stop, to_end=to_end)

    async def run_until(self, fact: Callable[[], object]) -> None:
        """Let the sink run until `fact()` is true, then stop it."""
        stop = asyncio.Event()
        task = asyncio.ensure_future(self.sink.run(stop))

        async def look() -> bool:
            return bool(fact()) or task.done()

        await eventually_async(look, within=20, what="the fact, or the end of the sink", every=0.001)
        stop.set()
        await task

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(name, {"sink": "rollup-sink", **labels}) or 0


def bench(
    records: list[SourceRecord],
    *,
    limits: Limits = IMPATIENT,
    refuses: Callable[[Any], bool] = lambda _: False,
    conversion: Callable[[bytes, int], Converted] = rollup_rows,
    clock: ManualClock | None = None,
    pause: Pause = pause,
) -> Bench:
    journal, stop, telemetry = Journal(), asyncio.Event(), Telemetry()
    source = FakeSource(records, journal, at_end=stop.set)
    store, dead_letters = FakeStore(journal, refuses), FakeDeadLetters(journal)
    room = BoundedRoom({"rollups": frozenset({"rollup-sink"})})
    sink = Sink(
        "rollup-sink",
        Converter(conversion, "group"),
        source=source,
        store=store,
        dead_letters=dead_letters,
        room=room,
        clock=clock or ManualClock(),
        telemetry=telemetry,
        limits=limits,
        service_version="1.2.3",
        pause=pause,
    )
    return Bench(source, store, dead_letters, journal, room, telemetry, sink, stop)


def windows(count: int, start: int = 0) -> list[SourceRecord]:
    return [
        source_record(encode_window(window(f"s{number}", f"{number:016x}")), number)
        for number in range(start, start + count)
    ]
