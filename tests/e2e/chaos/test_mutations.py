"""The proof of crash points is one: it sees each way in which a checkpoint may be no atom."""

from pathlib import Path

import pytest

from tests.support.chaos.crash_points import CrashPoint, crash_points
from tests.support.chaos.relay import Relay
from tests.support.chaos.trap import Plan
from tests.support.kafka.apache import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

[IN_BETWEEN] = [
    point
    for point in crash_points()
    if point == CrashPoint("TransactionalWriter.commit", "_producer.begin_transaction", "before")
]


@pytest.mark.parametrize(
    ("mutation", "finding"),
    [("position_first", "copies of spans lost"), ("outputs_first", r"0 copies of spans lost, \d+ too many")],
)
def test_outputs_and_position_apart_are_seen(kafka: ApacheKafka, tmp_path: Path, mutation: str, finding: str) -> None:
    with Relay(kafka, tmp_path, f"mutation-{mutation}", mutation=mutation) as relay:
        relay.send()
        relay.run()
        relay.assert_exact()  # while nobody dies nobody can tell
        relay.send()
        relay.die(Plan("route", IN_BETWEEN))
        relay.run()
        with pytest.raises(AssertionError, match=finding):
            relay.assert_exact()


def test_states_that_were_not_written_are_seen(kafka: ApacheKafka, tmp_path: Path) -> None:
    with Relay(kafka, tmp_path, "mutation-states", mutation="states_left_out") as relay:
        relay.send()
        relay.run()
        relay.assert_exact()
        assert not relay.verdict().is_exact
