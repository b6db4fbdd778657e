"""The records of `session_rollups`: exact, small, and as their schema says."""

from dataclasses import MISSING, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.rollup import TurnRollup, Usage, WindowRollup
from services.shared.records import rollups
from services.shared.records.rollup_fields import complete, turn_from_json, turn_of, window_from_json, window_of
from tests.support.json_schema import faults
from tests.support.rollups import turn, usage, window

SCHEMA: dict[str, Any] = orjson.loads(
    (Path(__file__).parents[3] / "schemas" / "json" / "session_rollups.schema.json").read_bytes()
)


def names(cls: type) -> set[str]:
    """The fields as they are in JSON: usage is flat."""
    own = {field.name for field in fields(cls)}
    return own - {"usage"} | {field.name for field in fields(Usage)} if "usage" in own else own


@pytest.mark.parametrize(
    ("cls", "definition"), [(WindowRollup, "window"), (TurnRollup, "turn"), (AnnotationRollup, "annotation")]
)
def test_the_schema_has_the_fields_of_the_dataclasses(cls: type, definition: str) -> None:
    described = set(SCHEMA["$defs"][definition]["properties"])
    elsewhere = set(rollups.OF_THE_WINDOW) if cls is TurnRollup else set()
    assert described - {"type", "turns"} == names(cls) - elsewhere
    assert elsewhere <= set(SCHEMA["$defs"]["window"]["required"]) & set(SCHEMA["$defs"]["turns"]["required"])


@pytest.mark.parametrize(
    ("cls", "definition", "always"),
    [
        (WindowRollup, "window", {"type", *rollups.WINDOW_ALWAYS}),
        (TurnRollup, "turn", set(rollups.TURN_ALWAYS)),
        (AnnotationRollup, "annotation", names(AnnotationRollup)),
    ],
)
def test_the_schema_requires_what_is_always_written_and_every_field_without_a_default(
    cls: type, definition: str, always: set[str]
) -> None:
    assert set(SCHEMA["$defs"][definition]["required"]) == always
    without_default = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    assert without_default - always <= set(rollups.OF_THE_WINDOW)


def test_a_field_with_its_default_is_left_out_and_read_back() -> None:
    bare = WindowRollup(project="p", session_id="s", window_id="0" * 16, version=0)
    assert set(orjson.loads(rollups.window_json(bare))) == {"type", *rollups.WINDOW_ALWAYS}
    assert window_from_json(rollups.window_json(bare)) == bare
    nothing = turn(root_span_id="", root_name="", started_at=0, ended_at=0, span_count=0, input="", output="")
    of = window()
    assert set(orjson.loads(rollups.turn_json(nothing))) == set(rollups.TURN_ALWAYS)
    assert turn_from_json(rollups.turn_json(nothing), of) == nothing
    [record] = rollups.rollup_records(rollups.window_json(of), [rollups.turn_json(nothing)])
    whole = complete(rollups.decode(record))
    assert turn_of(whole["turns"][0]) == nothing
    assert window_of(whole) == of
    assert set(whole["turns"][0]) == names(TurnRollup)
    assert set(whole) == names(WindowRollup) | {"type", "turns"}


def test_a_time_to_the_first_token_of_zero_is_not_left_out() -> None:
    assert orjson.loads(rollups.turn_json(turn(time_to_first_token_ns=0)))["time_to_first_token_ns"] == 0


def test_the_schema_describes_every_field() -> None:
    for definition in ("window", "turn", "annotation"):
        undescribed = [
            name
            for name, rule in SCHEMA["$defs"][definition]["properties"].items()
            if name != "type" and not rule.get("description")
        ]
        assert undescribed == []


def test_a_full_window_and_a_bare_retraction_fit_the_schema() -> None:
    full = window(
        window_id="a1",
        usage=usage(prompt=10, completion=5, cost="0.5"),
        session_attributes={"session.type": "chat"},
        session_attributes_at={"session.type": 5},
        total_tokens_by_model={"gpt": 15},
        total_cost_by_model={"gpt": 1},
        turn_latency_buckets={700: 2},
    )
    bare = WindowRollup(project="p", session_id="s", window_id="0" * 16, version=1, is_deleted=True)
    for rollup in (full, bare):
        [with_turns] = rollups.rollup_records(rollups.window_json(rollup), [rollups.turn_json(turn())] * 3)
        assert faults(orjson.loads(with_turns), SCHEMA, SCHEMA) == []
        assert faults(orjson.loads(rollups.encode_window(rollup)), SCHEMA, SCHEMA) == []


def test_turns_fit_the_schema() -> None:
    [value] = rollups.encode_turns(
        "p", "s", "0" * 16, [turn(window_id="a1"), turn(window_id="a1", is_deleted=True, time_to_first_token_ns=5)]
    )
    assert faults(orjson.loads(value), SCHEMA, SCHEMA) == []


def test_annotations_fit_the_schema_and_are_split_within_the_limit() -> None:
    bare = AnnotationRollup(project="p", session_id="s", scope=Scope.SESSION, name="quality", version=1)
    full = AnnotationRollup(
        project="p",
        session_id="s",
        scope=Scope.SPAN,
        trace_id="0a" * 16,
        span_id="0b" * 8,
        name="quality",
        identifier="i",
        version=1,
        score=0.5,
        explanation="x" * 4096,
    )
    records = rollups.annotation_records([bare, *[full] * 500])
    assert max(map(len, records)) <= rollups.MAX_RECORD_BYTES
    assert [row for record in records for row in rollups.decode(record)["annotations"]][:2] == [
        orjson.loads(orjson.dumps(bare)),
        orjson.loads(orjson.dumps(full)),
    ]
    assert len(records) > 1
    for record in records:
        assert faults(orjson.loads(record), SCHEMA, SCHEMA) == []


def test_the_schema_refuses_what_is_no_rollup() -> None:
    good = orjson.loads(rollups.encode_window(window(window_id="a1")))
    assert not faults(good, SCHEMA, SCHEMA)
    assert faults(good | {"window_id": "W1"}, SCHEMA, SCHEMA)
    assert faults(good | {"span_count": -1}, SCHEMA, SCHEMA)
    assert faults(good | {"total_cost": 0.5}, SCHEMA, SCHEMA)
    assert faults({name: value for name, value in good.items() if name != "version"}, SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    ("picodollars", "text"),
    [
        (0, "0.000000000000"),
        (1, "0.000000000001"),
        (3_897_500_000, "0.003897500000"),
        (10**12, "1.000000000000"),
        (-1, "-0.000000000001"),
        (123_456 * 10**12 + 7, "123456.000000000007"),
        (10**30, "1000000000000000000.000000000000"),
    ],
)
def test_costs_are_exact_dollars_without_an_exponent(picodollars: int, text: str) -> None:
    assert rollups.dollars(picodollars) == text
    assert Decimal(text) * 10**12 == picodollars


def test_usage_is_flat_and_money_is_text() -> None:
    row = orjson.loads(rollups.window_json(window(usage=usage(prompt=2, completion=1, cost="0.1"))))
    assert (row["prompt_tokens"], row["total_tokens"], row["total_cost"]) == (2, 3, "0.100000000000")
    assert "usage" not in row


def test_costs_by_model_are_text_and_buckets_have_text_keys() -> None:
    row = orjson.loads(rollups.window_json(window(total_cost_by_model={"m": 5}, turn_latency_buckets={9: 1})))
    assert row["total_cost_by_model"] == {"m": "0.000000000005"}
    assert row["turn_latency_buckets"] == {"9": 1}


def test_a_sum_beyond_64_bits_is_written_as_the_largest_number() -> None:
    row = orjson.loads(
        rollups.window_json(window(usage=Usage(prompt_tokens=2**70), total_tokens_by_model={"m": 2**64}))
    )
    assert row["prompt_tokens"] == row["total_tokens_by_model"]["m"] == 2**63 - 1


def test_turns_are_split_into_records_within_the_limit_in_their_order() -> None:
    turns = [turn(trace=number, input="\N{WAVING HAND SIGN}" * 1024) for number in range(500)]
    records = rollups.encode_turns("p", "s", "w", turns)
    assert len(records) > 1
    assert max(map(len, records)) <= rollups.MAX_RECORD_BYTES
    decoded = [rollups.decode(record) for record in records]
    heads = {(d["type"], d["project"], d["session_id"], d["window_id"], d["opened_at"]) for d in decoded}
    assert heads == {("turns", "p", "s", "w", turns[0].opened_at)}
    assert [row["trace_id"] for d in decoded for row in d["turns"]] == [one.trace_id for one in turns]


@pytest.mark.parametrize("over", [0, 1])
def test_turns_that_make_the_record_of_their_window_too_large_come_before_it(over: int) -> None:
    totals, turns = rollups.window_json(window()), [rollups.turn_json(turn(trace=n, input="x" * 900)) for n in range(4)]
    [whole] = rollups.rollup_records(totals, turns)
    last = rollups.turn_json(turn(trace=5))
    spare = rollups.MAX_RECORD_BYTES - len(whole) - len(last) - 1
    padded = rollups.turn_json(turn(trace=5, model="m" * (spare - len(',"model":""') + over)))
    *before, record = rollups.rollup_records(totals, [*turns, padded])
    assert max(map(len, (*before, record))) <= rollups.MAX_RECORD_BYTES
    assert len(before) == over
    assert len(record) == (len(totals) if over else rollups.MAX_RECORD_BYTES)
    found = [row for value in (*before, record) for row in complete(rollups.decode(value)).get("turns", ())]
    assert [row["trace_id"] for row in found] == [turn(trace=n).trace_id for n in (0, 1, 2, 3, 5)]
    assert {row["first_seen_at"] for row in found} == {window().first_seen_at}


def test_no_turns_are_no_record() -> None:
    assert rollups.encode_turns("p", "s", "w", []) == []


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"[]", b"null", b'"window"', b"{}", b'{"type":"other"}', b'{"type":"turns","turns":1}', b"\xff"],
)
def test_what_is_not_ours_is_unreadable(value: bytes) -> None:
    with pytest.raises(rollups.UnreadableRollupError):
        rollups.decode(value)
