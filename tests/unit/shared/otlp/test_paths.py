"""Ids and dimensions inside a JSON attribute, found by the paths of the settings."""

import json
from typing import Any

import pytest

from services.shared.model.outcome import Note
from services.shared.model.span import SpanFacts
from services.shared.otlp.json_path import member_of, split
from services.shared.otlp.rules import Rules
from tests.support.extraction import extraction_of, note_names, outcomes, sources
from tests.support.otlp import request, span

PATH = "metadata{requester_metadata.session_id}"
RULES = Rules(session_id_attributes=(PATH, "session.id"))
PROXY = {"requester_metadata": {"session_id": " s7 ", "user": "ann", "kind": "chat"}, "model": "m"}


def facts_by(rules: Rules, attributes: dict[str, Any], resource: dict[str, Any] | None = None) -> SpanFacts:
    [group] = extraction_of(request(span(attributes=attributes), resource=resource), rules=rules).groups
    [facts] = group.items
    assert isinstance(facts, SpanFacts)
    return facts


@pytest.mark.parametrize(
    "metadata", [json.dumps(PROXY), PROXY, {"requester_metadata": json.dumps(PROXY["requester_metadata"])}]
)
@pytest.mark.parametrize("is_on_resource", [False, True])
def test_a_session_id_inside_a_json_attribute_is_found_by_its_path(metadata: Any, is_on_resource: bool) -> None:
    held = {"metadata": metadata, "session.id": "other"}
    data = request(span(attributes={} if is_on_resource else held), resource=held if is_on_resource else None)

    extraction = extraction_of(data, rules=RULES)

    assert [group.key.session_id for group in extraction.groups] == ["s7"]
    assert sources(extraction) == {PATH: 1}


@pytest.mark.parametrize(
    ("metadata", "notes"),
    [
        ("{not json", {Note.PATH_UNREADABLE}),
        ("[1]", {Note.PATH_UNREADABLE}),
        (7, {Note.PATH_UNREADABLE}),
        ("{}", set()),
        ('{"requester_metadata": 1}', set()),
        ('{"requester_metadata": {"session_id": null}}', set()),
        ('{"requester_metadata": {"session_id": ""}}', {Note.SESSION_ID_EMPTY}),
        ('{"requester_metadata": {"session_id": [1]}}', {Note.SESSION_ID_WRONG_TYPE}),
    ],
)
def test_where_the_path_leads_to_no_id_the_next_name_is_tried(metadata: Any, notes: set[Note]) -> None:
    extraction = extraction_of(request(span(attributes={"metadata": metadata, "session.id": "next"})), rules=RULES)

    assert [group.key.session_id for group in extraction.groups] == ["next"]
    assert note_names(extraction) == notes


def test_with_nothing_else_a_broken_attribute_leaves_a_span_without_session() -> None:
    assert outcomes(extraction_of(request(span(attributes={"metadata": "{"})), rules=RULES)) == {"no_session_id": 1}


def test_dimensions_of_the_settings_come_before_the_built_in_names() -> None:
    rules = Rules(
        dimension_attributes=(
            ("user_id", ("metadata{requester_metadata.user}", "who")),
            ("session.type", ("metadata{requester_metadata.kind}", "kind")),
            ("session.prompt_version", ("deployment",)),
            ("tags", ("labels",)),
        )
    )
    attributes = {
        "session.id": "s",
        "user.id": "later",
        "session.type": "later",
        "kind": "later",
        "who": "later",
        "metadata": json.dumps(PROXY),
        "deployment": 12,
        "labels": "a,b",
        "tag.tags": ["later"],
    }

    found = facts_by(rules, attributes).dimensions

    assert (found.user_id, found.tags) == ("ann", ("a", "b"))
    assert found.session == (("session.prompt_version", "12"), ("session.type", "chat"))


def test_without_a_value_there_the_built_in_names_are_read() -> None:
    rules = Rules(dimension_attributes=(("user_id", ("metadata{user}",)), ("session.type", ("metadata{kind}",))))

    found = facts_by(rules, {"session.id": "s", "user.id": "u", "session.type": "t", "metadata": "{broken"}).dimensions

    assert (found.user_id, found.session) == ("u", (("session.type", "t"),))


@pytest.mark.parametrize(
    ("document", "path", "found"),
    [
        ({"a": {"b": 1}}, ("a", "b"), 1),
        ({"a.b": 2, "a": {"b": 1}}, ("a", "b"), 2),
        ({"a": '{"b": 3}'}, ("a", "b"), 3),
        ({"a": "text"}, ("a", "b"), None),
        ({"a": {"b": 1}}, ("a", "c"), None),
        ([1], ("a",), None),
        ({"a": 1}, (), {"a": 1}),
    ],
)
def test_a_path_goes_through_maps_and_json_text(document: object, path: tuple[str, ...], found: object) -> None:
    assert member_of(document, path) == found


def test_a_name_is_an_attribute_and_perhaps_a_path() -> None:
    assert split("metadata{a.b}") == ("metadata", ("a", "b"))
    assert split("session.id") == ("session.id", ())
