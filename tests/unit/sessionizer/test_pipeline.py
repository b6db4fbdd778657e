"""Which stages and topics there are, by settings."""

import pytest

from services.sessionizer.pipeline import resolve_definition, route_definition
from services.sessionizer.stage import InputRecord, Moment
from services.shared.kafka_topics import topic_specs
from services.shared.settings import Settings
from tests.support.otlp import MINUTE, T0, request, span, to_protobuf


def topics_written(settings: Settings) -> set[str]:
    """By `route`, of a record with a span that names a session and one that does not."""
    counts = {spec.name: 3 for spec in topic_specs(settings)}
    stage = route_definition(settings, counts).build(0)
    spans = [span(attributes={"session.id": "s"}), span(trace_id=2)]
    stage.fold(InputRecord(0, T0 + MINUTE, None, to_protobuf(request(*spans))))
    return {output.topic for output in stage.flush(Moment(T0 + MINUTE, caught_up=False)).outputs}


@pytest.mark.parametrize("resolve", ["always", "when_missing"])
def test_traces_have_a_stage_a_topic_and_a_changelog(resolve: str) -> None:
    settings = Settings.model_validate({"resolve": resolve, "trace_spans_topic": "traces", "app_id": "app"})
    names = {spec.name for spec in topic_specs(settings)}
    definition = resolve_definition(settings, dict.fromkeys(names, 3), 1)
    assert definition is not None
    assert (definition.topic, definition.changelog) == ("traces", "app-resolve-changelog")
    assert {"traces", "app-resolve-changelog"} <= names
    assert topics_written(settings) == {"traces", "session_spans"}


def test_where_nothing_is_resolved_there_is_none_of_it() -> None:
    settings = Settings(resolve="off")
    names = {spec.name for spec in topic_specs(settings)}
    assert resolve_definition(settings, dict.fromkeys(names, 3), 1) is None
    assert not [name for name in names if "trace" in name or "resolve" in name]
    assert topics_written(settings) == {"session_spans"}
