import re
from enum import StrEnum
from pathlib import Path

import pytest

import services.sessionizer
from services.shared.model.outcome import DeadLetterReason, DropReason, EngineNote, Note, ResolveOutcome
from services.shared.telemetry import METRICS

README = Path(services.sessionizer.__path__[0], "README.md").read_text(encoding="utf-8")
TABLES = [set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) for table in README.split("|---|---|")[1:]]


@pytest.mark.parametrize("reasons", [DeadLetterReason, DropReason, EngineNote, Note, ResolveOutcome])
def test_every_reason_of_the_code_is_explained_in_one_table_and_no_other_is(
    reasons: type[StrEnum],
) -> None:
    assert {reason.value for reason in reasons} in TABLES


def test_every_metric_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(spanloom_\w+)", README))
    assert named
    assert named <= METRICS.keys()
