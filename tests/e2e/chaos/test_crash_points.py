"""An owner that dies at any await of a checkpoint or of a take-over leaves nothing that its successor does not know.

Every await of these coroutines, right before it and right after it, in every stage: a real process is killed there
(SIGKILL), the next one takes over from Kafka, and what readers of committed records then have is exact.
"""

from collections.abc import Iterator
from signal import SIGKILL

import pytest

from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings
from tests.support.chaos.crash_points import NOT_WATCHED, STAGES, WATCHED, CrashPoint, awaits, coroutines, crash_points
from tests.support.chaos.owner import stages
from tests.support.chaos.relay import Relay, is_passed
from tests.support.chaos.trap import Plan
from tests.support.kafka.apache import ApacheKafka

CASES = {point: [stage for stage in STAGES if is_passed(stage, point)] for point in crash_points()}


def name_of(point: CrashPoint) -> str:
    return str(point).replace(" ", "_")


@pytest.fixture(scope="module")
def relay(kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with Relay(kafka, tmp_path_factory.mktemp("relay"), "crash-points") as relay:
        yield relay


@pytest.mark.kafka
@pytest.mark.slow
def test_every_await_is_passed_by_every_stage_that_has_a_case_for_it(relay: Relay) -> None:
    relay.send()
    passed = relay.run(moved=STAGES)
    assert passed == {(stage, point) for point, stages in CASES.items() for stage in stages}


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("point", CASES, ids=name_of)
def test_successors_go_on_as_if_nothing_had_happened(relay: Relay, point: CrashPoint) -> None:
    """One owner dies there in the first stage, the next one in the second stage, and so on."""
    relay.send()
    for stage in CASES[point]:
        relay.die(Plan(stage, point, SIGKILL))
    relay.run()
    relay.assert_exact()


@pytest.mark.kafka
@pytest.mark.slow
def test_after_all_these_deaths_states_are_those_of_a_stage_that_never_died(relay: Relay) -> None:
    verdict = relay.verdict()
    print(f"{relay.deaths} deaths; {verdict.line()}")  # noqa: T201 - shown with a failure, and with -s
    assert verdict.is_exact, verdict.text()
    assert verdict.repeated == 0


async def test_the_stages_are_those_of_a_worker() -> None:
    settings = Settings(kafka_bootstrap="127.0.0.1:1")
    assert tuple(stages(settings, {spec.name: 1 for spec in topic_specs(settings)})) == STAGES


@pytest.mark.parametrize("module", WATCHED)
def test_every_coroutine_of_these_modules_has_crash_points_or_a_reason_for_having_none(module: str) -> None:
    assert set(coroutines(module)) - NOT_WATCHED.keys() == set(WATCHED[module])


@pytest.mark.parametrize(("module", "coroutine"), [(m, c) for m, names in WATCHED.items() for c in names])
def test_every_await_has_a_crash_point_on_each_side(module: str, coroutine: str) -> None:
    points = [point for point in crash_points() if point.coroutine == coroutine]
    assert len(points) == len(set(points)) == 2 * awaits(module, coroutine) > 0


def test_no_reason_is_left_over() -> None:
    every = {name for module in WATCHED for name in coroutines(module)}
    assert NOT_WATCHED.keys() <= every


def test_only_a_stage_without_changelog_is_excused_from_reading_one() -> None:
    left_out = {(stage, p.coroutine) for stage in STAGES for p in crash_points() if not is_passed(stage, p)}
    assert left_out == {
        ("route", "read_changelog"),
        ("route", "Worker._restore"),
        *((stage, "Worker._take_over") for stage in STAGES if stage != "route"),
    }
