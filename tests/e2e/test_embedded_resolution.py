"""`spanloom up`: spans that wait for the session of their trace go on waiting after a stop."""

import time
from pathlib import Path

import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.model.session_key import SessionKey
from services.shared.records.session_spans import SpanGroup
from tests.support.chdb_rows import chdb_rows
from tests.support.comparison import assert_equal_to_reference
from tests.support.eventually import eventually
from tests.support.flood import flood
from tests.support.installation import Installation, Service
from tests.support.otlp import HOUR, SECOND, request, span, to_protobuf
from tests.support.reference import reference_windows
from tests.support.spans import facts

TRACES = 40
GAP = 15 * SECOND


def wait_for(service: Service, metric: str, label: str, value: float) -> None:
    def look() -> bool:
        service.process.check_running()
        return service.metric(metric, label) == value

    try:
        eventually(look, within=60.0, what=f"{metric} {label} is {value}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.process.tail()}") from None


@pytest.mark.slow
async def test_spans_that_wait_at_a_stop_find_their_session_after_it(tmp_path: Path) -> None:
    """Children in one run, the roots, which alone name the session, in the next."""
    begin = time.time_ns()  # noqa: TID251 - the process under test has this clock
    policy = {"gap": f"{GAP}ns", "idle_after": "1s", "out_of_orderness": "1s", "checkpoint_interval": "200ms"}
    numbers = range(1, TRACES + 1)
    children = [facts(trace, 2, begin + SECOND, begin + 2 * SECOND, parent=1, name="step") for trace in numbers]
    roots = [facts(trace, 1, begin, begin + 3 * SECOND, name="turn") for trace in numbers]
    with Installation(tmp_path, "embedded", "", **policy) as installation:
        first = installation.start("up")
        first.wait_until_ready()
        sent = [
            span(trace_id=f.trace_id, span_id=f.span_id, parent_id=1, start=f.start, end=f.end, name=f.name)
            for f in children
        ]
        await flood(first.url, [to_protobuf(request(*sent))], senders=1)
        wait_for(first, "spanloom_spans_total", "waiting", TRACES)
        assert first.metric("spanloom_windowed_spans_total", "added") == 0
        assert first.process.stop(within=30.0) == 0
        second = installation.start("up")
        second.wait_until_ready()
        named = [
            span(
                trace_id=f.trace_id,
                span_id=f.span_id,
                start=f.start,
                end=f.end,
                name=f.name,
                attributes={"session.id": f"s-{number}"},
            )
            for number, f in enumerate(roots)
        ]
        await flood(second.url, [to_protobuf(request(*named))], senders=1)
        wait_for(second, "spanloom_windowed_spans_total", "added", 2 * TRACES)
        assert second.metric("spanloom_resolved_spans_total", "resolved") == TRACES
        wait_for_closed(second)
        assert second.process.stop(within=30.0) == 0
        groups = [
            SpanGroup(SessionKey("default", f"s-{number}"), 0, (root, child))
            for number, (root, child) in enumerate(zip(roots, children, strict=True))
        ]
        assert_equal_to_reference(
            reference_windows(groups, Policy(gap=GAP, allowed_lateness=HOUR)),
            chdb_rows(installation.data_dir, "SELECT * FROM session_windows"),
            chdb_rows(installation.data_dir, "SELECT * FROM session_turns"),
        )


def wait_for_closed(service: Service) -> None:
    """If `resolve` told no time, every window would stay open."""
    for partition in range(4):
        wait_for(service, "spanloom_open_windows", str(partition), 0)
