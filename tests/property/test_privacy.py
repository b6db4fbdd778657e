"""A secret that the policy forbids is in nothing that is written, wherever in a span it was."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from services.shared.otlp.content import CONTENT_NAMES
from services.shared.semconv import TABLE, Meaning
from services.shared.settings import Settings
from tests.property.profile import streams
from tests.support.otlp import event, key_values, request, span
from tests.support.secrets import documents, written

SECRET = "Zx9-secret-7Qp"
ACTIONS = st.sampled_from(["drop", "hash", "mask"])
PLACES = st.sampled_from(["span", "resource", "scope", "event", "link"])
READ = sorted(
    {name.partition("{")[0].replace(".*", ".member") for names in TABLE.values() for name in names.names}
    | {"session.name", "trace.annotations.0.annotation.explanation", "custom.attribute"}
)
IDS = ("session.id", "user.id", "langfuse.session.id", "openinference.project.name")


def settings_of(**policy: Any) -> Settings:
    return Settings(redact_key="a key of sixteen and more", **policy)


def a_request(place: str, attributes: dict[str, Any], *, is_root: bool = True, has_session: bool = True) -> TracesData:
    ordinary = {"openinference.span.kind": "LLM", "llm.model_name": "m"}
    ordinary |= {"session.id": "s"} if has_session else {}
    item = span(parent_id=b"" if is_root else 7, attributes=ordinary, is_error=True)
    data = request(item, resource={"service.name": "bot"})
    [resource_spans] = data.resource_spans
    [scope_spans] = resource_spans.scope_spans
    [target] = scope_spans.spans
    match place:
        case "span":
            target.attributes.extend(key_values(attributes))
        case "resource":
            resource_spans.resource.attributes.extend(key_values(attributes))
        case "scope":
            scope_spans.scope.attributes.extend(key_values(attributes))
        case "event":
            target.events.append(event("exception", attributes=attributes))
        case "link":
            target.links.append(Span.Link(attributes=key_values(attributes)))
    return data


def assert_nowhere(data: TracesData, settings: Settings) -> None:
    open_settings = Settings()
    assert SECRET.encode() in b"".join(written(TracesData.FromString(data.SerializeToString()), open_settings).values())
    for writer, value in written(data, settings).items():
        assert SECRET.encode() not in value, writer


@given(st.sampled_from(READ), ACTIONS, PLACES, st.booleans(), st.booleans())
@streams(300)
def test_an_attribute_that_a_rule_names(name: str, action: str, place: str, is_root: bool, has_session: bool) -> None:
    data = a_request(place, {name: SECRET}, is_root=is_root, has_session=has_session)

    assert_nowhere(data, settings_of(redact=[f"{action}:{name}"]))


@given(st.data(), st.sampled_from(["metadata", "input.value", "langfuse.trace.metadata", "custom"]), ACTIONS, PLACES)
@streams(300)
def test_a_member_of_a_map_or_of_json_however_deep(data: st.DataObject, name: str, action: str, place: str) -> None:
    path = (*data.draw(st.lists(st.sampled_from(["a", "user", "requester_metadata"]), max_size=3)), "api_key")
    value = data.draw(documents(path, data.draw(st.sampled_from([SECRET, [SECRET], {"x": SECRET}]))))
    rule = data.draw(st.sampled_from(["*.api_key", "*api_key*", f"{name}.{'.'.join(path)}", f"{name}.*", name]))

    assert_nowhere(a_request(place, {name: value}), settings_of(redact=[f"{action}:{rule}"]))


@given(st.sampled_from(CONTENT_NAMES), PLACES, st.booleans(), st.data())
@streams(200)
def test_content_when_it_is_switched_off(name: str, place: str, is_root: bool, data: st.DataObject) -> None:
    beneath = data.draw(st.sampled_from(["", ".0.message.content", ".x"]))
    attributes = {name.replace("*", "trace.annotations.0.") + beneath: SECRET}

    assert_nowhere(a_request(place, attributes, is_root=is_root), settings_of(capture_content=False))


@given(st.sampled_from(["status", "name", "event", "value", "member", "key"]), PLACES, st.text(max_size=5))
@streams(100)
def test_text_that_a_pattern_finds(where: str, place: str, around: str) -> None:
    text = f"{around}{SECRET}{around}"
    attributes: dict[str, dict[str, Any]] = {
        "value": {"custom": text},
        "member": {"metadata": {"a": [text]}},
        "key": {text: 1},
    }
    data = a_request(place, attributes.get(where, {}))
    [item] = data.resource_spans[0].scope_spans[0].spans
    if where == "status":
        item.status.message = text
    elif where == "name":
        item.name = text
    elif where == "event":
        item.events.append(event(text))

    assert_nowhere(data, settings_of(redact_values=r"Zx9-\w+-\w+"))


@given(st.sampled_from(IDS), st.sampled_from([SECRET, f" {SECRET} ", f'"{SECRET}"']), PLACES)
@streams(40)
def test_ids_that_are_hashed(name: str, value: str, place: str) -> None:
    assert_nowhere(a_request(place, {name: value}, has_session=False), settings_of(redact=[f"hash:{name}"]))


def test_every_name_that_is_read_as_content_is_left_out_with_it() -> None:
    for meaning in (Meaning.INPUT, Meaning.OUTPUT):
        for name in TABLE[meaning].names:
            data = a_request("span", {name.partition("{")[0].replace(".*", ".0.content"): SECRET})
            assert_nowhere(data, settings_of(capture_content=False))
