"""The parts of the harness: what each measures, and what its figures mean."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.bench import api, latency, restart, sinks, state, worker
from tests.bench.options import Options
from tests.bench.results import Measurement


@dataclass(frozen=True, slots=True)
class Part:
    """`note` stands below its tables. `is_quick`: with `--quick` it has small cases; others are left out then."""

    title: str
    note: str
    cases: Callable[[Options], Iterable[Measurement]]
    needs_kafka: bool = False
    is_quick: bool = False


PARTS: Mapping[str, Part] = {
    "worker": Part(
        "What a worker takes for a million spans",
        """\
A real `spanloom worker` (route, resolve and window, in transactions, without Redis) reads a topic of 4 partitions;
broker and worker share the machine. It does a warm-up of 20 % of the spans, is held (SIGSTOP) while the topic is
filled, and goes on. CPU is user and system time of its process with all threads from then on until the last span is
counted: a span is counted when the transaction that adds it to its window is committed. `parse only` is the
protobuf library on the same records as a consumer gets them. Sizes of topics are as on disk, compressed where Spanloom
compresses.""",
        lambda options: worker.cases(options.site, quick=options.quick, most=options.most),
        needs_kafka=True,
        is_quick=True,
    ),
    "latency": Part(
        "From the last span of a session to its closed row",
        """\
`spanloom worker`, `spanloom sink` (with all spans) and ClickHouse (chDB behind its HTTP protocol, in a process of its
own, statements one after another), default settings but for a gap of 2 s and 0.2 s out of orderness. Spans of 2.6 KB
in sessions of 10, each in a record at most 0.1 s after its end. *Watermark passes*: the timestamp of the
record with which the watermark of the session's partition passes the end of its window and the gap. *Spans pass the
end*: the timestamp of the record of spans with which every source partition has spans so late that the window is
over; it waits at most a second for the next watermark record. *Last span's record*: with the gap in it.
A row is there at the end of the first look at ClickHouse that finds it; the last column tells how coarse that is.""",
        lambda options: latency.cases(options.site, rate=options.rate, quick=options.quick),
        needs_kafka=True,
        is_quick=True,
    ),
    "state": Part(
        "Many open sessions",
        """\
`route` and `window` of one partition in a process of their own for each case, without Kafka. A session has ten spans in
two turns. Memory is what the process grew by until all sessions were open. CPU is that of `window` alone, with a
checkpoint every 2,500 spans, while sessions begin, go on, close and expire and so many are open all the time; the two
turns of a session are so far apart that nothing of it is at hand. Nothing else of a worker runs during a call of
the stage. Recovery makes the states anew from the entries of a changelog that is in memory.""",
        lambda options: state.cases(sessions=options.sessions, quick=options.quick),
    ),
    "restart": Part(
        "A worker with many open sessions: memory, a kill, pauses",
        """\
A real `spanloom worker` on Apache Kafka, spans of about 0.5 KB with texts of 100 characters, sessions of ten spans in
two turns, 4 partitions. First all sessions open; then the worker is killed and another one started; then spans come
for a minute whose times let all sessions close and expire. An answer is that to a question which needs nothing but
a turn of the event loop, asked every 20 ms: what it takes is the pause that it met, and what others on the machine
take. Pauses are what the worker itself says of its event loop (`spanloom_pause_seconds`), by length: it looks every
20 ms. Recovery is what a start takes more than that of a worker without sessions.""",
        lambda options: restart.cases(options.site, sessions=options.sessions),
        needs_kafka=True,
    ),
    "sinks": Part(
        "The sinks",
        """\
A real `spanloom sink` reads a topic of 4 partitions that was filled before it started and writes into ClickHouse (chDB
behind its HTTP protocol, in a process of its own, statements one after another). CPU is that of the sink's process
between 20 % of the rows and the last one, ClickHouse apart. A rollup is a window with two turns, which is a row in each
of two tables of windows and two rows of turns. Sizes in ClickHouse are on disk, after merges; each span has texts of
its own, words in no order.""",
        lambda options: sinks.cases(options.site, quick=options.quick, most=options.most),
        needs_kafka=True,
        is_quick=True,
    ),
    "api": Part(
        "Reading",
        """\
`spanloom api` in a process of its own, without Redis, and ClickHouse (chDB behind its HTTP protocol, in another one);
one request after another, 200 of each kind, sessions and pages drawn at random. Rows were made by ClickHouse: closed
sessions over 30 days, of one window and two turns with texts of 200 characters, in 20 projects. `SQL` is asked
of ClickHouse itself, as dashboards do. `tests/bench/run api --sessions 10000000` does the same with ten million.""",
        lambda options: api.cases(options.folder, sessions=options.sessions),
    ),
    "scaling": Part(
        "Several workers",
        """\
As above, several workers on 4 partitions of the same topics, 2.6 KB a span, 500 a record. On a machine of two cores the
broker and the workers share these, so it is CPU that tells whether workers cost each other anything.""",
        lambda options: worker.scaling(options.folder, most=options.most),
    ),
}
"""In the order in which they run and stand on the page."""
