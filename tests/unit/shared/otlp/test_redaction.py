"""What a redaction policy does to a request."""

from typing import Any

import orjson
import pytest

from services.shared.errors import SettingsError
from services.shared.otlp.content import CONTENT_NAMES
from services.shared.otlp.facts import extract
from services.shared.otlp.redaction import MASK, Redaction, parse_rule
from services.shared.otlp.rules import Rules
from services.shared.otlp.values import plain_map
from services.shared.privacy import redaction_of
from services.shared.semconv import TABLE, Meaning
from services.shared.settings import Settings, load_settings
from tests.support.otlp import MINUTE, T0, event, request, span

KEY = "0123456789abcdef"


def redaction(*rules: str, **policy: Any) -> Redaction:
    return Redaction(map(parse_rule, rules), key=KEY, **policy)


def redacted(attributes: dict[str, Any], policy: Redaction) -> dict[str, object]:
    data = request(span(attributes=attributes))
    policy.apply(data)
    [item] = data.resource_spans[0].scope_spans[0].spans
    return plain_map(item.attributes)


def test_an_attribute_is_dropped_masked_or_hashed_and_others_stay_as_they_are() -> None:
    policy = redaction("drop:user.email", "mask:*.api_key", "hash:user.id")
    attributes = {"user.email": "a@b.c", "my.api_key": [1, 2], "user.id": "u1", "user.name": "n", "count": 5}

    found = redacted(attributes, policy)

    assert found == {"my.api_key": MASK, "user.id": found["user.id"], "user.name": "n", "count": 5}
    assert found["user.id"] != "u1"


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("user", True),
        ("User", True),
        ("user.email", True),
        ("users", False),
        ("a.user", False),
        ("user_id", False),
    ],
)
def test_a_name_covers_what_is_beneath_it_and_nothing_beside_it(name: str, fits: bool) -> None:
    assert (redacted({name: "x"}, redaction("drop:user")) == {}) == fits


def test_a_star_is_any_text() -> None:
    policy = redaction("drop:*token*", "drop:a.*.z")

    assert redacted({"x.Token.y": 1, "a.b.c.z": 1, "a.z": 1, "b.a.q.z": 1}, policy) == {"a.z": 1, "b.a.q.z": 1}


def test_the_first_rule_that_fits_decides_and_keep_keeps() -> None:
    policy = redaction("keep:metadata.plan", "mask:metadata", capture_content=False)

    assert redacted({"metadata.plan": "gold", "metadata.x": "y"}, policy) == {
        "metadata.plan": "gold",
        "metadata.x": MASK,
    }
    kept = redaction("keep:output.value", capture_content=False)
    assert redacted({"input.value": "a", "output.value": "b"}, kept) == {"output.value": "b"}


@pytest.mark.parametrize("form", ["json", "map", "dotted"])
def test_members_of_maps_and_json_are_found_by_their_path(form: str) -> None:
    value = {"user": {"email": "a@b.c", "plan": "gold"}, "n": 1}
    forms: dict[str, dict[str, Any]] = {
        "json": {"metadata": orjson.dumps(value).decode()},
        "map": {"metadata": value},
        "dotted": {"metadata.user.email": "a@b.c", "metadata.user.plan": "gold", "metadata.n": 1},
    }
    found = redacted(forms[form], redaction("drop:metadata.user.email"))
    expected = {"user": {"plan": "gold"}, "n": 1}

    assert (
        found
        == {
            "json": {"metadata": orjson.dumps(expected).decode()},
            "map": {"metadata": expected},
            "dotted": {"metadata.user.plan": "gold", "metadata.n": 1},
        }[form]
    )


def test_a_json_text_without_anything_to_leave_out_keeps_every_byte() -> None:
    text = ' { "a" : 1.50, "b": "\\u00e9" }'

    assert redacted({"metadata": text}, redaction("drop:*.api_key")) == {"metadata": text}


def test_the_first_of_two_equal_keys_is_no_hiding_place() -> None:
    text = '{"a": {"api_key": "secret"}, "a": {"b": 1}}'

    assert redacted({"metadata": text}, redaction("drop:*.api_key")) == {"metadata": '{"a":{"b":1}}'}


@pytest.mark.parametrize("text", ['{"api_key": "secr', "{'api_key': 'secret'}", '["api_key=secret'])
def test_a_text_that_begins_like_json_and_is_none_is_masked_whole_when_it_has_the_word(text: str) -> None:
    policy = redaction("drop:*.api_key")

    assert redacted({"input.value": text}, policy) == {"input.value": MASK}
    assert redacted({"input.value": text.replace("api_key", "other")}, policy) == {
        "input.value": text.replace("api_key", "other")
    }
    assert redacted({"input.value": text}, redaction("drop:metadata.api_key")) == {"input.value": text}


@pytest.mark.parametrize("nested", ["[" * 400 + "]" * 400, '{"a":' * 300 + "1" + "}" * 300], ids=["lists", "maps"])
def test_what_is_deeper_than_anyone_writes_is_masked_unread(nested: str) -> None:
    found = redacted({"metadata": nested}, redaction("drop:*.api_key"))["metadata"]

    assert isinstance(found, str)
    assert MASK in found
    assert len(found) < len(nested)


def test_equal_values_have_equal_hashes_under_one_key_and_others_under_another() -> None:
    policy = redaction("hash:user.id")
    [one, same, other] = [redacted({"user.id": value}, policy)["user.id"] for value in ("u1", "u1", "u2")]

    assert one == same != other
    assert redacted({"user.id": "u1"}, Redaction([parse_rule("hash:user.id")], key="another key")) != {"user.id": one}


@pytest.mark.parametrize(("value", "as_text"), [(" s ", "s"), ('"s"', "s"), (5, "5"), (1.5, "1.5"), (True, "true")])
def test_an_id_is_hashed_as_it_is_read(value: object, as_text: str) -> None:
    policy = redaction("hash:session.id")

    assert redacted({"session.id": value}, policy) == redacted({"session.id": as_text}, policy)


def test_each_item_of_a_list_is_hashed_for_itself() -> None:
    policy = redaction("hash:tag.tags")
    [a, b] = [redacted({"tag.tags": tag}, policy)["tag.tags"] for tag in ("a", "b")]

    assert redacted({"tag.tags": ["a", "b"]}, policy) == {"tag.tags": [a, b]}


def test_redaction_of_what_is_redacted_changes_nothing() -> None:
    policy = redaction("hash:user.id", "mask:a", "drop:b", "hash:metadata.x", capture_content=False, values="secret")
    data = request(
        span(
            attributes={"user.id": "u", "a": 1, "b": 2, "metadata": '{"x": "y", "z": "secret"}', "input.value": "i"},
            status_message="m",
        )
    )
    policy.apply(data)
    once = data.SerializeToString()
    policy.apply(data)

    assert data.SerializeToString() == once


def test_a_pattern_masks_what_it_finds_wherever_text_is() -> None:
    policy = redaction(values=r"[\w.]+@[\w.]+")
    attributes = {"a": "write to me@b.c now", "l": ["x@y.z", 1], "m": {"k": '{"j": "x@y.z"}'}, "n": 5}

    assert redacted(attributes, policy) == {
        "a": f"write to {MASK} now",
        "l": [MASK, 1],
        "m": {"k": f'{{"j":"{MASK}"}}'},
        "n": 5,
    }


def test_without_content_nothing_that_is_read_as_input_or_output_is_left() -> None:
    names = {name.partition("{")[0] for m in (Meaning.INPUT, Meaning.OUTPUT) for name in TABLE[m].names}
    attributes = {name.replace(".*", ".0.message.content"): "said" for name in names}

    assert redacted(attributes, redaction(capture_content=False)) == {}
    assert {name.removesuffix(".*") for name in names} <= set(CONTENT_NAMES)


def test_without_content_an_error_is_only_its_type_and_messages_of_events_are_gone() -> None:
    data = request(
        span(
            attributes={"session.id": "s", "input.value": "i", "llm.model_name": "m", "llm.token_count.prompt": 7},
            is_error=True,
            status_message="said: i",
            events=[
                event("exception", attributes={"exception.type": "ValueError", "exception.message": "said: i"}),
                event("gen_ai.user.message", attributes={"role": "user", "content": "i", "anything": "i"}),
                event(
                    "gen_ai.evaluation.result",
                    attributes={"gen_ai.evaluation.name": "n", "gen_ai.evaluation.explanation": "i"},
                ),
            ],
        )
    )
    extraction = extract(data, T0 + MINUTE, Rules(redaction=redaction(capture_content=False)))
    [item] = extraction.groups[0].items
    [exception, message, evaluation] = data.resource_spans[0].scope_spans[0].spans[0].events

    assert (item.input, item.error) == ("", "ValueError")  # type: ignore[union-attr]  # a span, and no end
    assert item.call is not None  # type: ignore[union-attr]  # as above
    assert plain_map(exception.attributes) == {"exception.type": "ValueError"}
    assert plain_map(message.attributes) == {"role": "user"}
    assert plain_map(evaluation.attributes) == {"gen_ai.evaluation.name": "n"}


def test_sessions_of_hashed_ids_are_the_sessions_of_the_ids() -> None:
    spans = [span(trace_id=n, span_id=n, attributes={"session.id": f"s{n % 2}"}) for n in (1, 2, 3)]
    extraction = extract(request(*spans), T0 + MINUTE, Rules(redaction=redaction("hash:session.id")))

    assert sorted(len(group.items) for group in extraction.groups) == [1, 2]
    assert all(group.key.session_id.startswith("hmac:") for group in extraction.groups)


def test_no_policy_is_no_redaction() -> None:
    assert redaction_of(Settings()) is None
    assert Rules().redaction is None
    for policy in ({"capture_content": False}, {"redact": ["drop:a"]}, {"redact_values": "a"}):
        assert redaction_of(Settings(**policy)) is not None


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("REDACT", "user.id", "is no rule; write for example drop:user.email"),
        ("REDACT", "erase:user.id", "is no rule"),
        ("REDACT", "drop:", "is no rule"),
        ("REDACT", "hash:user.id", "SPANLOOM_REDACT_KEY: `hash:` rules need a secret of at least 16 characters"),
        ("REDACT_VALUES", "(", "SPANLOOM_REDACT_VALUES: no regular expression"),
        ("REDACT_VALUES", "a*", "finds nothing at every place"),
        ("DEAD_LETTERS", "burn", "SPANLOOM_DEAD_LETTERS"),
    ],
)
def test_a_policy_that_cannot_be_used_ends_the_start(
    variable: str, value: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SPANLOOM_{variable}", value)
    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert fault in str(raised.value)


def test_the_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPANLOOM_REDACT", "hash:user.id")
    monkeypatch.setenv("SPANLOOM_REDACT_KEY", "too short")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "too short" not in str(raised.value)

    monkeypatch.setenv("SPANLOOM_REDACT_KEY", KEY)
    assert KEY not in f"{load_settings()!r} {load_settings()}"
