import pytest

from services.sessionizer.position import choose_position
from services.shared.errors import PermanentError

LOG = (100, 200)


def test_the_position_of_the_state_is_gone_on_from() -> None:
    assert choose_position("t/0", ours=150, committed=150, bounds=LOG) == (150, False, 0)


def test_a_stage_without_a_state_goes_on_from_the_offset_of_the_group() -> None:
    assert choose_position("t/0", ours=None, committed=160, bounds=LOG) == (160, False, 0)


def test_a_new_installation_begins_where_the_log_does() -> None:
    assert choose_position("t/0", ours=None, committed=None, bounds=LOG) == (100, False, 0)


@pytest.mark.parametrize("committed", [120, 180])
def test_the_state_wins_over_an_offset_that_somebody_set(committed: int) -> None:
    assert choose_position("t/0", ours=150, committed=committed, bounds=LOG) == (150, True, 0)


def test_an_expired_offset_of_the_group_is_no_conflict() -> None:
    assert choose_position("t/0", ours=150, committed=None, bounds=LOG) == (150, False, 0)


def test_records_that_retention_deleted_unread_are_counted_and_passed_over() -> None:
    assert choose_position("t/0", ours=40, committed=40, bounds=LOG) == (100, False, 60)


def test_the_end_of_the_log_is_a_position() -> None:
    assert choose_position("t/0", ours=200, committed=200, bounds=LOG) == (200, False, 0)


def test_a_log_that_ends_before_the_position_was_made_anew_and_nothing_is_read_from_it() -> None:
    with pytest.raises(PermanentError, match="SPANLOOM_EPOCH"):
        choose_position("t/0", ours=201, committed=201, bounds=LOG)
