"""From an attribute's name to what to do with it, so that attributes are passed over once.

A meaning that has one value has a slot; each of its names has a rank there, and of the usable
values the one of lowest rank wins. Meanings with several values (session ids, with the attribute
they came from; session attributes; metadata) and JSON objects that hold members are collected.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from services.shared.otlp import dimensions, json_path, messages, numbers
from services.shared.otlp.annotations import annotated_field
from services.shared.otlp.configured_names import CAN_BE_SET
from services.shared.otlp.identity import id_of
from services.shared.otlp.json_path import Path, document_of, member_of
from services.shared.otlp.rules import Rules
from services.shared.otlp.values import plain
from services.shared.semconv import ANNOTATION_PREFIXES, NO_SESSION_ATTRIBUTES, TABLE, Meaning

Slot = int
USER, ENVIRONMENT, AGENT, TAGS, PREVIOUS, KIND, MODEL = range(7)
PROMPT, COMPLETION, TOTAL, CACHE_READ, CACHE_WRITE, REASONING, PROMPT_COST, COMPLETION_COST, TOTAL_COST = range(7, 16)
FIRST_TOKEN, INPUT, OUTPUT, PROVIDER, TOOL, CONVERSATION = range(16, 22)
SESSION, SESSION_ATTRIBUTE, METADATA, MEMBERS, ANNOTATION = range(22, 27)  # these are collected
SEVERAL = 27  # places of one attribute with several meanings
CACHE_APART = 28  # of a resource: prompt tokens of Claude come without cached ones
SLOTS = 29

UNSET = 1000
"""Rank of a slot that no attribute has filled: what it holds is from the resource."""

COLLECTED = UNSET + 1

OWN_RANK = 0
"""Rank of an attribute named as the session attribute that it is; names of the settings have lower ones."""

Place = tuple[Slot, int, Any]
"""Slot, rank and reader; for what is collected `COLLECTED` and what its slot needs (see `Collected`)."""

Collected = list[tuple[Slot, Any, KeyValue]]
"""`SESSION`: its rank. `SESSION_ATTRIBUTE`: its name, rank and path (see `dimension_paths`). `METADATA`: its
rank and key ("": a whole map). `MEMBERS`: `Member`s. `ANNOTATION`: see `annotations`."""

_MAX_NAMES = 4096
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Member:
    """A path into a JSON object that is read like an attribute of its own."""

    path: Path
    slot: Slot
    rank: int
    read: Callable[[object], object]


class Plan(dict[str, Place | None]):
    """What to do with an attribute of this name; `None`: nothing. Learns the names it sees, up to a bound."""

    def __init__(self, places: Mapping[str, list[Place]], metadata_prefixes: Mapping[str, int]) -> None:
        super().__init__()
        self._places = places
        self._metadata_prefixes = metadata_prefixes

    def __missing__(self, name: str) -> Place | None:
        place = self._find(name)
        if len(self) < _MAX_NAMES:
            self[name] = place
        return place

    def _find(self, name: str) -> Place | None:
        places = self._places.get(name)
        if places is not None:
            return places[0] if len(places) == 1 else (SEVERAL, COLLECTED, places)
        if name.startswith(ANNOTATION_PREFIXES):
            field = annotated_field(name)
            return None if field is None else (ANNOTATION, COLLECTED, field)
        if name.startswith("session."):
            is_other = name in NO_SESSION_ATTRIBUTES
            return None if is_other else (SESSION_ATTRIBUTE, COLLECTED, (name, OWN_RANK, ()))
        for prefix, rank in self._metadata_prefixes.items():
            if name.startswith(prefix) and len(name) > len(prefix):
                return (METADATA, COLLECTED, (rank, name[len(prefix) :]))
        return None


@dataclass(frozen=True, slots=True)
class Plans:
    """`children` is `roots` without input and output, `texts` is nothing else.

    `session_paths` says of each of `session_names` where in its attribute the id is.
    """

    roots: Plan
    children: Plan
    resources: Plan
    texts: Plan
    session_names: tuple[str, ...]
    session_paths: tuple[Path, ...]


@lru_cache(maxsize=64)
def plans_for(rules: Rules) -> Plans:
    session_names = rules.session_id_attributes or TABLE[Meaning.SESSION_ID].names
    previews = {Meaning.INPUT, Meaning.OUTPUT}
    everything = frozenset(TABLE)
    on_resource = frozenset(meaning for meaning, names in TABLE.items() if names.on_resource)
    return Plans(
        _plan(everything, rules, session_names),
        _plan(everything - previews, rules, session_names),
        _plan(on_resource, rules, session_names),
        Plan(_slots(frozenset(previews), {}), {}),
        session_names,
        tuple(json_path.split(name)[1] for name in session_names),
    )


def read_attributes(attributes: Iterable[KeyValue], plan: Plan, values: list[Any], ranks: list[int]) -> Collected:
    """Fill slots with the usable values of lowest rank; hand out what is collected, in the span's order."""
    collected: Collected = []
    for item in attributes:
        place = plan[item.key]
        if place is not None:
            slot, rank, detail = place
            if rank < ranks[slot]:
                value = detail(item.value)
                if value is not None:
                    values[slot] = value
                    ranks[slot] = rank
            elif slot == SEVERAL:
                _read_several(detail, item, values, ranks, collected)
            elif rank == COLLECTED:
                collected.append((slot, detail, item))
    return collected


def _read_several(
    places: Iterable[Place], item: KeyValue, values: list[Any], ranks: list[int], collected: Collected
) -> None:
    """An attribute that a setting gave a second meaning."""
    for slot, rank, detail in places:
        if rank == COLLECTED:
            collected.append((slot, detail, item))
        elif rank < ranks[slot] and (value := detail(item.value)) is not None:
            values[slot] = value
            ranks[slot] = rank


def read_members(members: Iterable[Member], document: AnyValue, values: list[Any], ranks: list[int]) -> None:
    """The members of a JSON object (text or map) that have a slot."""
    held = document_of(document)
    if not isinstance(held, dict):
        return
    for member in members:
        if member.rank < ranks[member.slot] and (value := member.read(member_of(held, member.path))) is not None:
            values[member.slot] = value
            ranks[member.slot] = member.rank


def _read_previous_id(value: AnyValue) -> str | None:
    return _usable_id(plain(value))


def _usable_id(value: object) -> str | None:
    found = id_of(value)
    return found if type(found) is str else None


def _read_model(value: AnyValue) -> str | None:
    name = dimensions.read_name(value)
    return _model_of(name) if name is not None and "\x1b" in name else name


def _model_of(value: object) -> str | None:
    return dimensions.name_of(_ANSI.sub("", value) if isinstance(value, str) else value)


_ONE_VALUE: Mapping[Meaning, tuple[Slot, Callable[[AnyValue], object], Callable[[object], object]]] = {
    Meaning.USER_ID: (USER, dimensions.read_name, dimensions.name_of),
    Meaning.ENVIRONMENT: (ENVIRONMENT, dimensions.read_name, dimensions.name_of),
    Meaning.AGENT: (AGENT, dimensions.read_name, dimensions.name_of),
    Meaning.TAGS: (TAGS, dimensions.read_tags, dimensions.tags_of),
    Meaning.PREVIOUS_SESSION_ID: (PREVIOUS, _read_previous_id, _usable_id),
    Meaning.SPAN_KIND: (KIND, dimensions.read_name, dimensions.name_of),
    Meaning.MODEL: (MODEL, _read_model, _model_of),
    Meaning.PROVIDER: (PROVIDER, dimensions.read_name, dimensions.name_of),
    Meaning.TOOL: (TOOL, dimensions.read_name, dimensions.name_of),
    Meaning.CONVERSATION_ID: (CONVERSATION, dimensions.read_name, dimensions.name_of),
    Meaning.PROMPT_TOKENS: (PROMPT, numbers.read_count, numbers.count_of),
    Meaning.COMPLETION_TOKENS: (COMPLETION, numbers.read_count, numbers.count_of),
    Meaning.TOTAL_TOKENS: (TOTAL, numbers.read_count, numbers.count_of),
    Meaning.CACHE_READ_TOKENS: (CACHE_READ, numbers.read_count, numbers.count_of),
    Meaning.CACHE_WRITE_TOKENS: (CACHE_WRITE, numbers.read_count, numbers.count_of),
    Meaning.REASONING_TOKENS: (REASONING, numbers.read_count, numbers.count_of),
    Meaning.PROMPT_COST: (PROMPT_COST, numbers.read_money, numbers.money_of),
    Meaning.COMPLETION_COST: (COMPLETION_COST, numbers.read_money, numbers.money_of),
    Meaning.TOTAL_COST: (TOTAL_COST, numbers.read_money, numbers.money_of),
    Meaning.TIME_TO_FIRST_TOKEN: (FIRST_TOKEN, numbers.read_seconds, numbers.seconds_of),
    Meaning.INPUT: (INPUT, messages.read_text, messages.text_or_none),
    Meaning.OUTPUT: (OUTPUT, messages.read_text, messages.text_or_none),
}

_READ_OTHERWISE: Mapping[str, Callable[[AnyValue], object]] = {
    "ai.response.msToFirstChunk": numbers.read_milliseconds,
    "ttft_ms": numbers.read_milliseconds,
    "langfuse.observation.completion_start_time": numbers.read_moment,
    "gen_ai.input.messages": messages.read_input_messages,
    "gen_ai.output.messages": messages.read_output_messages,
    "ai.prompt": messages.read_input_messages,
    "gen_ai.prompt": messages.read_input_messages,
    "gen_ai.completion": messages.read_output_messages,
    "langfuse.trace.input": messages.read_input_messages,
    "langfuse.observation.input": messages.read_input_messages,
    "traceloop.entity.input": messages.read_input_messages,
    "traceloop.entity.output": messages.read_output_messages,
    "langfuse.trace.output": messages.read_output_messages,
    "langfuse.observation.output": messages.read_output_messages,
    "mlflow.spanInputs": messages.read_input_messages,
    "mlflow.spanOutputs": messages.read_output_messages,
    "pydantic_ai.all_messages": messages.read_input_messages,
    "gcp.vertex.agent.llm_request": messages.read_input_messages,
    "gcp.vertex.agent.llm_response": messages.read_output_messages,
    "_ml_obs.meta.input.messages": messages.read_input_messages,
    "_ml_obs.meta.output.messages": messages.read_output_messages,
}
"""Names whose values are in another form than that of their meaning."""

FIRST_TOKEN_MOMENTS = frozenset(
    rank
    for rank, name in enumerate(TABLE[Meaning.TIME_TO_FIRST_TOKEN].names)
    if _READ_OTHERWISE.get(name) is numbers.read_moment
)
"""Ranks of the first token's names that hold a moment and no duration."""


def _plan(meanings: frozenset[Meaning], rules: Rules, session_names: tuple[str, ...]) -> Plan:
    more = dict(rules.dimension_attributes)
    places = _slots(meanings, more)
    for rank, name in enumerate(session_names):
        places.setdefault(json_path.split(name)[0], []).append((SESSION, COLLECTED, rank))
    for dimension, names in more.items():
        for rank, name in enumerate(names, start=OWN_RANK - len(names)):
            if dimension.startswith("session."):
                attribute, path = json_path.split(name)
                places.setdefault(attribute, []).append((SESSION_ATTRIBUTE, COLLECTED, (dimension, rank, path)))
    metadata_prefixes = {}
    for rank, name in enumerate(TABLE[Meaning.METADATA].names):
        if name.endswith(".*"):
            metadata_prefixes[name.removesuffix("*")] = rank
        else:
            places.setdefault(name, []).append((METADATA, COLLECTED, (rank, "")))
    return Plan(places, metadata_prefixes)


def _slots(meanings: frozenset[Meaning], more: Mapping[str, tuple[str, ...]]) -> dict[str, list[Place]]:
    """The places of meanings with one value. `more`: names by dimension that come before those of the table."""
    places: dict[str, list[Place]] = {}
    members: dict[str, list[Member]] = {}
    for meaning in sorted(meanings & _ONE_VALUE.keys()):
        slot, read, read_plain = _ONE_VALUE[meaning]
        first = more.get(meaning.value, ()) if meaning.value in CAN_BE_SET else ()
        for rank, name in enumerate((*first, *TABLE[meaning].names), start=-len(first)):
            attribute, path = json_path.split(name)
            if path:
                members.setdefault(attribute, []).append(Member(path, slot, rank, read_plain))
            elif not name.endswith(".*"):
                places.setdefault(name, []).append((slot, rank, _READ_OTHERWISE.get(name, read)))
    for attribute, found in members.items():
        places.setdefault(attribute, []).append((MEMBERS, COLLECTED, tuple(found)))
    return places
