"""`route` compiled and in plain Python: the same records, dead letters and counts, whatever comes."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from genai_prices.data import providers as bundled_providers
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from services.shared.otlp.pricing import MAX_UNPRICED_LABELS, Cost, Counts, PriceBook, Schedule, Usage
from services.shared.otlp.rules import Resolve, Rules
from services.shared.prices.library import LibraryPrices, schedule_of
from services.shared.prices.price_file import FilePrices
from tests.bench.case import Case
from tests.bench.load import records
from tests.support.bad_input import bad_records
from tests.support.both_routes import BothRoutes
from tests.support.fuzz.mutation import mutated
from tests.support.otlp import HOUR, MINUTE, T0, request, request_of, resource_spans, span, to_protobuf
from tests.support.traffic import make_traffic
from tests.unit.shared.otlp.test_any_input import requests

ODD_PRICES = """
[[price]]
model = "two-tiers"
prompt = 0.000_000_000_5
completion = "3.333333333333333333"
reasoning = 0
call = 0.005
above = [{ prompt_tokens = 1_000, prompt = 2, cache_read = 0.1 }, { prompt_tokens = 1_000_000, completion = 900 }]

[[price]]
model = "five-tiers"
prompt = 1
completion = 2
above = [
  { prompt_tokens = 10, prompt = 2 }, { prompt_tokens = 20, prompt = 3 },
  { prompt_tokens = 30, prompt = 4 }, { prompt_tokens = 40, prompt = 5 },
]

[[price]]
model = "a-call"
call = 1

[[price]]
model = "dear"
prompt = 999_999_999
completion = 999_999_999
call = 999_999_999

[[price]]
model = "no-completion"
prompt = 1
cache_write = 0

[[price]]
model = "dated"
from = 2020-01-01
prompt = 1
completion = 1

[[price]]
model = "dated"
from = 2026-01-01T12:00:00
unpriced = true

[[price]]
model = "dated"
from = 9999-01-01
prompt = 7
"""
ODD_MODELS = ("two-tiers", "five-tiers", "a-call", "dear", "no-completion", "dated", "", "in-house-1")

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


def test_the_backlog_is_what_the_chunks_of_all_partitions_hold(routes: BothRoutes, traffic: Sequence[bytes]) -> None:
    for value in traffic[:60]:
        routes.fold(value)
        for stage in (routes._compiled, routes._plain):
            outputs = [each for each in (stage._session_spans, stage._trace_spans) if each is not None]
            assert stage.backlog - stage._dead_letter_bytes == sum(
                chunks.size for out in outputs for chunks in out.chunks
            )
    routes.flush()
    assert routes._compiled.backlog == routes._plain.backlog == 0


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


COUNTS = st.one_of(st.integers(0, 50), st.integers(0, 10**6), st.integers(10**9 - 2, 10**9 + 2), st.just(10**10))
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "llm.token_count.prompt": COUNTS,
        "llm.token_count.completion": COUNTS,
        "llm.token_count.total": COUNTS,
        "llm.token_count.prompt_details.cache_read": COUNTS,
        "llm.token_count.prompt_details.cache_write": COUNTS,
        "llm.token_count.completion_details.reasoning": COUNTS,
        "llm.provider": st.sampled_from(("", "openai", "anthropic", "Azure", "ollama")),
    },
)
TIMES = st.one_of(st.integers(0, 10**9 * 86_400 * 366 * 55), st.integers(T0 - 400 * 24 * HOUR, T0))


@given(st.lists(st.tuples(st.sampled_from(ODD_MODELS), CALLS, TIMES), max_size=40))
@settings(max_examples=150, deadline=None)
def test_calls_of_any_usage_and_time_cost_the_same(calls: list[tuple[str, dict[str, object], int]]) -> None:
    routes = BothRoutes(Rules(prices=PriceBook((FilePrices(ODD_PRICES), LibraryPrices()))))
    routes.fold(_calls(calls), T0 + MINUTE)
    routes.flush()


def test_calls_of_all_models_of_the_library_cost_the_same() -> None:
    """The names that spans have do not reach all of them: here each is asked for by its own."""
    listed = _Listed()
    routes = BothRoutes(Rules(prices=PriceBook((listed,))))
    random = Random(1)
    for _ in range(8):
        calls = [(name, _usage(random), T0 - random.randrange(900 * 24 * HOUR)) for name in listed.schedules]
        for place in range(0, len(calls), 200):
            routes.fold(_calls(calls[place : place + 200]), T0 + MINUTE)
        counts = routes.flush()
    assert counts["spanloom_model_calls_total", "listed"] > len(listed.schedules) // 2
    assert counts["spanloom_model_calls_total", "unpriced"]


def test_models_without_a_price_are_counted_by_name_as_far_as_there_are_labels() -> None:
    routes = BothRoutes(Rules(prices=PriceBook((LibraryPrices(),))))
    for number in range(3):
        calls = [
            (f"in-house-{place // 2}", {"input_tokens": 1}, T0) for place in range(number, 3 * MAX_UNPRICED_LABELS)
        ]
        routes.fold(_calls(calls), T0 + MINUTE)
        counts = routes.flush()
    assert counts["spanloom_unpriced_calls_total", "other"] == MAX_UNPRICED_LABELS


def test_the_scanner_leaves_no_plain_price_to_python() -> None:
    prices = _AskedPrices((_Listed(),))
    routes = BothRoutes(Rules(prices=prices))
    calls = [
        (name, {"input_tokens": 1_000, "llm.token_count.completion": 10}, T0)
        for name in list(_Listed().schedules)[:500]
    ]
    routes.fold(_calls(calls), T0 + MINUTE)
    assert prices.asked == len(calls) * (1 if routes.scans else 2)


class _Listed:
    """All models of the library, under names of their own."""

    name = "listed"

    def __init__(self) -> None:
        self.schedules = {
            f"{provider.id}|{model.id}": schedule_of(model)
            for provider in bundled_providers
            for model in provider.models
        }

    def schedule(self, _provider: str, model: str) -> Schedule | None:
        return self.schedules[model]


class _AskedPrices(PriceBook):
    """Counts how often it is asked."""

    asked = 0

    def cost(self, stated: Cost, usage: Usage, model: str, provider: str, at: int, counts: Counts) -> Cost:
        self.asked += 1
        return super().cost(stated, usage, model, provider, at, counts)


def _usage(random: Random) -> dict[str, object]:
    """Any three counts or so."""
    names = ("prompt", "completion", "prompt_details.cache_read", "prompt_details.cache_write", "total")
    most = random.choice((30, 300_000, 10**7))
    usage = {f"llm.token_count.{name}": random.randrange(most) for name in names if random.random() < 0.7}
    if random.random() < 0.3:
        usage["llm.token_count.completion_details.reasoning"] = random.randrange(most)
    return dict(usage)


def _calls(calls: Sequence[tuple[str, Mapping[str, object], int]]) -> bytes:
    """A record of model calls by model, usage and start."""
    return to_protobuf(
        request(
            *(
                span(
                    trace_id=1 + number,
                    span_id=1 + number,
                    start=start,
                    end=start,
                    attributes={
                        "session.id": "s",
                        "openinference.span.kind": "LLM",
                        **({"llm.model_name": model} if model else {}),
                        **usage,
                    },
                )
                for number, (model, usage, start) in enumerate(calls)
            )
        )
    )


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
