import re
from enum import StrEnum
from pathlib import Path

import pytest

import services.sessionizer
from services.shared.model.outcome import (
    DeadLetterReason,
    DropReason,
    EngineNote,
    Note,
    ResolveOutcome,
    SinkOutcome,
)
from services.shared.telemetry import METRICS

README = Path(services.sessionizer.__path__[0], "README.md").read_text(encoding="utf-8")
TABLES = [set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) for table in README.split("|---|---|")[1:]]
NOT_COUNTED = README.partition("## When a span is not counted")[2].partition("\n## ")[0]
ALERTS = re.findall(r"^\| `(\w+)` \|[^|\n]+\| `([^`\n]+)` \|$", NOT_COUNTED, re.MULTILINE)
"""Reason or metric, and the expression of its alert."""

LIMITS = README.partition("### What one session key can do")[2].partition("\n\nEach ")[0]
LIMIT_ALERTS = re.findall(r"^\| ([^|\n]+) \|[^|\n]+\| `([^`\n]+)` \|$", LIMITS, re.MULTILINE)
"""What is sent, and the expression of its alert."""

METRIC_OF: dict[type[StrEnum], str] = {
    DeadLetterReason: "spanloom_records_total",
    DropReason: "spanloom_spans_total",
    ResolveOutcome: "spanloom_resolved_spans_total",
    EngineNote: "spanloom_windowed_spans_total",
    SinkOutcome: "spanloom_sink_records_without_rows_total",
}
SELECTOR = re.compile(r"(spanloom_\w+)(?:\{([^}]*)\})?(\[\d+[smhd]\])?")
SHAPE = re.compile(r"(?:(?:sum|max)\()?(?:rate\(|increase\()?S\){0,2}")
"""One side of a comparison or a quotient: a selector, a rate or an increase of one, and their sum over workers."""


@pytest.mark.parametrize("reasons", [*METRIC_OF, Note])
def test_every_reason_of_the_code_is_explained_in_one_table_and_no_other_is(reasons: type[StrEnum]) -> None:
    assert {reason.value for reason in reasons} in TABLES


def test_every_metric_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(spanloom_\w+)", README))
    assert named
    assert named <= METRICS.keys()


def test_every_row_of_what_is_not_counted_has_an_alert() -> None:
    rows = re.findall(r"^\| `\w+` \|", NOT_COUNTED, re.MULTILINE)
    assert len(rows) == len(ALERTS)


def test_every_row_of_what_a_session_key_can_do_has_an_alert() -> None:
    assert LIMIT_ALERTS
    assert LIMITS.count("\n| ") == len(LIMIT_ALERTS) + 1


@pytest.mark.parametrize(("reasons", "metric"), METRIC_OF.items())
def test_the_alert_of_a_reason_looks_at_its_own_metric(reasons: type[StrEnum], metric: str) -> None:
    selector = f'{metric}{{outcome="%s"}}'
    for reason in reasons:
        assert [name for name, alert in ALERTS if selector % reason.value in alert] == [reason.value], reason


@pytest.mark.parametrize(("name", "alert"), ALERTS + LIMIT_ALERTS)
def test_an_alert_is_an_expression_over_metrics_and_labels_that_exist(name: str, alert: str) -> None:
    for metric, matchers, span in SELECTOR.findall(alert):
        definition = METRICS[metric]
        for matcher in filter(None, matchers.split(",")):
            label = re.fullmatch(r'(\w+)(?:=|!=)"\w+"', matcher)
            assert label is not None, matcher
            assert label[1] in definition.labels
        # A counter only ever rises: it is its rate that says something; a gauge has none.
        assert (definition.kind == "counter") is bool(span)
    text, bound = SELECTOR.sub("S", alert).rsplit(" > ", 1)
    parts = [*text.split(" / "), *([] if re.fullmatch(r"[\d.]+", bound) else [bound.removeprefix("2 * ")])]
    for part in parts:
        assert SHAPE.fullmatch(part), part
        assert part.count("(") == part.count(")"), part
