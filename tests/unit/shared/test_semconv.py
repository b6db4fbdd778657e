from collections import Counter

import pytest

from services.shared.otlp.span_kind import KINDS
from services.shared.semconv import TABLE, Meaning


def test_every_meaning_has_its_row_in_the_table() -> None:
    assert set(TABLE) == set(Meaning)


@pytest.mark.parametrize("meaning", Meaning)
def test_no_name_stands_twice_in_a_row(meaning: Meaning) -> None:
    assert max(Counter(TABLE[meaning].names).values()) == 1


def test_a_name_has_one_meaning_unless_it_also_names_a_conversation() -> None:
    counted = Counter(
        name
        for meaning, names in TABLE.items()
        for name in names.names
        if meaning is not Meaning.CONVERSATION_ID and not name.endswith("}")
    )

    assert [name for name, count in counted.items() if count > 1] == []


def test_every_convention_of_span_kinds_has_its_words() -> None:
    assert tuple(KINDS) == TABLE[Meaning.SPAN_KIND].names
    assert all(word == word.lower() for words in KINDS.values() for word in words)


def test_an_explicit_session_id_comes_before_a_conversation_id() -> None:
    names = TABLE[Meaning.SESSION_ID].names

    assert names[0] == "session.id"
    assert names.index("gen_ai.conversation.id") > names.index("session_id")
    assert names[-1] == "langsmith.trace.session_id"
    assert "litellm.trace_id" not in names
