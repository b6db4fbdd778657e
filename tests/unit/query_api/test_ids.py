import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.query_api import ids
from services.shared.model.live import Position
from services.shared.model.session_key import SessionKey

names = st.text(min_size=1, max_size=40)


@given(names, names)
def test_ids_name_what_they_were_made_of_and_fit_into_a_path(project: str, session_id: str) -> None:
    key = SessionKey(project, session_id)
    assert ids.session_of(ids.session_gid(key)) == key
    assert ids.project_of(ids.project_gid(project)) == project
    assert not set("/+?# ") & set(ids.session_gid(key) + ids.project_gid(project))


@given(st.integers(0, 2**62), names)
def test_cursors_name_the_position_they_were_made_of(first_seen_at: int, session_id: str) -> None:
    position = Position(first_seen_at, session_id)
    assert ids.position_of(ids.position_cursor(position)) == position


@given(names)
def test_what_does_not_decode_is_a_name(name: str) -> None:
    assert ids.session_of(name) == name
    assert ids.project_of(name) == name
    assert ids.position_of(name) is None
    assert ids.name_of(name) is None


def test_ids_have_the_form_that_phoenix_gives_them() -> None:
    assert base64.b64decode(ids.project_gid("demo")) == b"Project:demo"
    assert base64.b64decode(ids.session_gid(SessionKey("demo", "s"))) == b"ProjectSession:4:demos"
    assert base64.b64decode(ids.trace_gid("ab")) == b"Trace:ab"


def test_both_base64_alphabets_are_read() -> None:
    standard = base64.b64encode(b"Project:??>~~").decode()
    assert "/" in standard
    assert ids.project_of(standard) == ids.project_of(standard.replace("/", "_").replace("+", "-")) == "??>~~"


@pytest.mark.parametrize("payload", [b"ProjectSession:999", b"ProjectSession:x:y", b"ProjectSession:1:\xff\xff"])
def test_an_id_of_the_right_type_that_names_nothing_is_no_name_either(payload: bytes) -> None:
    value = base64.b64encode(payload).decode()
    assert ids.is_session_gid(value)
    assert ids.session_of(value) is None


@pytest.mark.parametrize("payload", [b"Position:", b"Position:1", b"Position:-1:a", b"Position:99999999999999999999:a"])
def test_a_cursor_that_names_no_position_is_none(payload: bytes) -> None:
    assert ids.position_of(base64.b64encode(payload).decode()) is None
