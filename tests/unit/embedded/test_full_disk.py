"""A full disk at a clean stop, and what a stop in time of trouble says."""

from pathlib import Path

import pytest

from services.embedded.saved_states import SavedStates, save_states
from services.shared.errors import PermanentError
from services.shared.room import BoundedRoom
from tests.support.full_disk import own_files_limited_to


def test_states_that_cannot_be_written_leave_the_older_file_as_it_was_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "sessions.saved"
    save_states(path, SavedStates(3, {}))
    before = path.read_bytes()
    with own_files_limited_to(10), pytest.raises(PermanentError, match=r"File too large; .* as interrupted"):
        save_states(path, SavedStates(1 << 62, {}))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.saved"]


def test_the_room_knows_why_readers_stand_still_and_how_much_is_ahead_of_them() -> None:
    room = BoundedRoom({"spans": frozenset({"route", "span-sink"}), "rollups": frozenset({"rollup-sink"})})
    for offset in range(3):
        assert room.try_take("spans", 0, 10)
        room.wrote("spans", 0, offset, 10)
    room.passed("route", "spans", 0, 3)
    room.passed("span-sink", "spans", 0, 1)
    assert room.ahead() == {"spans": 2}
    room.blocked("span-sink", "no space")
    room.blocked("rollup-sink", "no space either")
    assert room.blockage == "no space; no space either"
    room.blocked("span-sink", "")
    assert room.blockage == "no space either"
    room.blocked("rollup-sink", "")
    assert room.blockage == ""
