"""A policy no window can be cut by is refused."""

from typing import Any

import pytest

from services.sessionizer.engine.policy import Policy
from services.shared.settings import Settings


def test_a_project_has_its_own_gap_or_the_common_one() -> None:
    policy = Policy(gap=10, gap_by_project={"voice": 3})
    assert (policy.gap_for("voice"), policy.gap_for("chat")) == (3, 10)


def test_the_defaults_are_those_of_the_settings() -> None:
    settings = Settings()
    for name in ("gap", "allowed_lateness", "max_duration", "max_spans", "snapshot_interval", "source_timeout"):
        assert getattr(Policy(), name) == getattr(settings, name), name


@pytest.mark.parametrize(
    "values",
    [
        {"gap": 0},
        {"gap": -1},
        {"gap_by_project": {"p": 0}},
        {"allowed_lateness": -1},
        {"max_duration": 0},
        {"max_spans": 0},
        {"snapshot_interval": -1},
        {"source_timeout": 0},
    ],
)
def test_values_that_make_no_window_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Policy(**values)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"gap.*max_spans"):
        Policy(gap=0, max_spans=0)
