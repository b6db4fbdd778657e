"""`route` compiled and in plain Python: the same records, dead letters and counts, whatever comes."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.rules import Resolve, Rules
from tests.bench.case import Case
from tests.bench.load import records
from tests.support.bad_input import bad_records
from tests.support.both_routes import BothRoutes
from tests.support.fuzz.mutation import mutated
from tests.support.otlp import HOUR, MINUTE, T0, request, request_of, resource_spans, span, to_protobuf
from tests.support.traffic import make_traffic
from tests.unit.shared.otlp.test_any_input import requests

RULES = {
    "always": Rules(resolve=Resolve.ALWAYS),
    "when missing": Rules(resolve=Resolve.WHEN_MISSING),
    "off": Rules(),
    "other names": Rules(
        session_id_attributes=("metadata{user}", "session.id"),
        project_attributes=("service.namespace",),
        dimension_attributes=(
            ("user_id", ("metadata{u}", "tenant.user")),
            ("session.plan", ("plan", "metadata{plan}")),
        ),
        resolve=Resolve.ALWAYS,
        preview_length=20,
    ),
}


@pytest.fixture(params=RULES)
def routes(request: pytest.FixtureRequest) -> BothRoutes:
    return BothRoutes(RULES[request.param])


@pytest.fixture(scope="module")
def traffic() -> Sequence[bytes]:
    return [
        value
        for seed in (1, 2)
        for value in make_traffic(
            seed=seed,
            sessions=40,
            spans=1_500,
            begin=T0,
            length=2 * HOUR,
            gap=10 * MINUTE,
            largest_batch=60,
            is_scattered=seed == 2,
        ).records
    ]


def test_traffic_of_many_applications_comes_out_the_same(routes: BothRoutes, traffic: Sequence[bytes]) -> None:
    for number, value in enumerate(traffic):
        routes.fold(value, T0 + number)
        if number % 7 == 0:
            routes.flush()
    routes.flush()


def test_bad_input_comes_out_the_same(routes: BothRoutes) -> None:
    for record in bad_records(T0):
        if len(record.value) < 1 << 20:  # larger ones are Python's, and slow
            routes.fold(record.value)
            routes.flush()


@pytest.mark.parametrize("roots_only", [False, True])
def test_long_sessions_fill_records_alike(routes: BothRoutes, roots_only: bool) -> None:
    for value in records(Case(1_500, session_spans=400), T0, roots_only=roots_only):
        routes.fold(value)
    routes.flush()


def test_mutated_records_come_out_the_same(routes: BothRoutes, traffic: Sequence[bytes]) -> None:
    small = [value for value in traffic if value[:1] == b"\n" and len(value) < 20_000]
    for number in range(700):
        random = Random(number)
        routes.fold(mutated(random.choice(small), random, small))
        routes.flush()


def test_the_scanner_leaves_no_plain_record_to_python(routes: BothRoutes) -> None:
    scanner = routes._compiled._scanner
    for value in records(Case(1_000), T0):
        assert scanner is None or scanner.scan(value, T0 + HOUR)


DOUBLES = st.one_of(
    st.floats(),
    st.floats(0, 1e-6),
    st.floats(0, 300),
    st.integers(0, 10**16).map(lambda number: number / 10**12),
    st.integers(0, 10**16).map(lambda number: number / (2 * 10**12)),
    st.tuples(st.integers(0, 10**6), st.floats(1e-9, 1e-3)).map(lambda pair: pair[0] * pair[1]),
)
NUMBERS = st.one_of(
    DOUBLES, st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**13), st.booleans(), st.text(max_size=5)
)
NAMES = (
    "llm.cost.total",
    "llm.cost.prompt",
    "llm.cost.completion",
    "gen_ai.usage.cost",
    "llm.token_count.prompt",
    "input_tokens",
    "llm.token_count.completion",
    "llm.token_count.total",
    "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cache_write",
    "llm.token_count.completion_details.reasoning",
    "gen_ai.response.time_to_first_chunk",
    "ttft_ms",
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), NUMBERS, max_size=6), max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_number_is_read_the_same(said: list[dict[str, object]]) -> None:
    routes = BothRoutes(RULES["always"])
    routes.fold(
        to_protobuf(
            request(
                *(
                    span(
                        trace_id=1 + number,
                        span_id=1 + number,
                        attributes={"session.id": "s", "openinference.span.kind": "LLM", **attributes},
                    )
                    for number, attributes in enumerate(said)
                )
            )
        )
    )
    routes.flush()


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_session_and_project_have_their_partition(names: list[tuple[str, str, str]]) -> None:
    routes = BothRoutes(RULES["when missing"])
    groups = [
        resource_spans(
            [span(trace_id=1, span_id=1 + place, attributes={"session.id": session_id, "user.id": user})],
            resource={"openinference.project.name": project},
        )
        for place, (project, session_id, user) in enumerate(names)
    ]
    for _ in range(2):
        routes.fold(to_protobuf(request_of(*groups)))
        routes.flush()


@given(requests())
@settings(max_examples=40, deadline=None)
def test_any_request_comes_out_the_same(data: TracesData) -> None:
    for rules in RULES.values():
        routes = BothRoutes(rules)
        for _ in range(2):  # the second time it is remembered
            routes.fold(to_protobuf(data))
            routes.flush()
