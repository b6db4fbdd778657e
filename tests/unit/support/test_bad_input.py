"""The bad input of the end-to-end tests is bad in the way it says."""

from collections import Counter

import pytest

from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import extract
from services.shared.otlp.rules import Rules
from tests.support.bad_input import BadRecord, bad_records
from tests.support.otlp import T0

_RECORDS = bad_records(T0)


@pytest.mark.parametrize("record", _RECORDS, ids=[record.name for record in _RECORDS])
def test_each_record_is_refused_or_read_as_it_says(record: BadRecord) -> None:
    decoded = decode_request(record.value)
    if record.dead_letter is not None:
        assert isinstance(decoded, DeadLetter)
        assert decoded.reason is record.dead_letter
        return
    assert not isinstance(decoded, DeadLetter)
    extraction = extract(decoded, T0, Rules())
    stage_counts = {("spanloom_span_notes_total", "large_record")}  # by the size of the record
    wanted = Counter({what: count for what, count in record.counts.items() if what not in stage_counts})
    assert extraction.counts & wanted == wanted
    assert {group.key.session_id for group in extraction.groups} == {record.name}
    assert sum(len(group.items) for group in extraction.groups) == record.survivors
