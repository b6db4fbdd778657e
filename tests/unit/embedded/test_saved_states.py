"""The file of a clean stop: what it holds, and that of an older version."""

from pathlib import Path

import msgpack
import pytest

from services.embedded.saved_states import SavedStates, forget_states, load_states, save_states
from services.shared.errors import PermanentError


def test_the_states_of_all_stages_come_back(tmp_path: Path) -> None:
    path = tmp_path / "sessions.saved"
    states = {"resolve": {0: [(b"k", b"v")]}, "window": {0: [(b"a", b"b"), (b"c", b"d")], 3: []}}
    save_states(path, SavedStates(7, states))
    loaded = load_states(path)
    assert loaded is not None
    assert loaded.epoch == 7
    assert {
        stage: {number: list(entries) for number, entries in partitions.items()}
        for stage, partitions in loaded.stages.items()
    } == states
    forget_states(path)
    assert load_states(path) is None


def test_a_file_of_the_time_when_only_windows_had_states_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sessions.saved"
    path.write_bytes(msgpack.packb([1, 4, {2: [(b"a", b"b")]}]))
    assert load_states(path) == SavedStates(4, {"window": {2: ((b"a", b"b"),)}})


def test_a_file_of_a_newer_version_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "sessions.saved"
    path.write_bytes(msgpack.packb([99, 4, {}]))
    with pytest.raises(PermanentError, match="format 99, this version reads 2"):
        load_states(path)
    assert path.exists()
