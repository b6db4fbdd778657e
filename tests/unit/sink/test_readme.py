import re
from pathlib import Path

import services.sink
from services.shared.model.outcome import SinkOutcome
from services.shared.telemetry import METRICS

README = Path(services.sink.__path__[0], "README.md").read_text(encoding="utf-8")


def test_every_outcome_of_the_code_is_explained_and_no_other_is() -> None:
    table = README.split("| outcome |")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {outcome.value for outcome in SinkOutcome}


def test_every_metric_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(spanloom_\w+)", README))
    assert named
    assert named <= METRICS.keys()
