"""The traffic generator says the same with its records as with its facts."""

from collections import Counter, defaultdict
from dataclasses import replace

from services.shared.model.session_key import SessionKey
from services.shared.model.span import SpanFacts
from services.shared.otlp.decode import DeadLetter, decode_request
from services.shared.otlp.facts import extract
from services.shared.otlp.rules import Rules
from tests.support.otlp import HOUR, MINUTE, T0
from tests.support.traffic import Traffic, make_traffic

GAP = 10 * MINUTE


def traffic(seed: int) -> Traffic:
    return make_traffic(seed=seed, sessions=100, spans=2_000, begin=T0, length=3 * HOUR, gap=GAP, largest_batch=20)


def test_the_same_seed_makes_the_same_traffic() -> None:
    assert traffic(1) == traffic(1)
    assert traffic(1).records != traffic(2).records


def test_records_decode_to_exactly_the_facts_and_every_repetition_is_a_repetition() -> None:
    made = traffic(3)
    found: defaultdict[tuple[SessionKey, bytes, bytes], set[SpanFacts]] = defaultdict(set)
    counts: Counter[tuple[str, str]] = Counter()
    for record in made.records:
        request = decode_request(record)
        assert not isinstance(request, DeadLetter)
        extraction = extract(request, T0 + 24 * HOUR, Rules())
        counts += extraction.counts
        for group in extraction.groups:
            for item in group.items:
                assert isinstance(item, SpanFacts)
                # What other spans than roots bring of texts depends on what came with them.
                facts = replace(item, input="", output="") if item.parent_id else item
                found[group.key, item.trace_id, item.span_id].add(facts)
    wanted = {(key, facts.trace_id, facts.span_id): {facts} for key, facts in made.facts}
    assert found == wanted
    assert len(made.facts) == 2_000
    assert len(set(made.keys)) == 100
    assert counts["spanloom_spans_total", "no_session_id"] >= made.noise > 0


def test_traffic_has_what_makes_sessions_hard() -> None:
    made = traffic(4)
    turns: defaultdict[SessionKey, dict[bytes, tuple[int, int]]] = defaultdict(dict)
    for key, facts in made.facts:
        start, end = turns[key].get(facts.trace_id, (facts.start, facts.end))
        turns[key][facts.trace_id] = min(start, facts.start), max(end, facts.end)
    silences = [
        after[0] - before[1]
        for session in turns.values()
        for before, after in zip(sorted(session.values()), sorted(session.values())[1:], strict=False)
    ]
    assert sum(silence > GAP for silence in silences) > 10
    assert sum(silence == GAP for silence in silences) > 0
    assert len(made.records) > len(set(made.records)), "no record was sent twice"
    assert {record[:1] for record in made.records} >= {b"\n", b"{", b"\x1f"}
