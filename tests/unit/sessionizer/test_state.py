"""States as bytes: everything comes back, and a worker says so when it cannot read them."""

from collections.abc import Callable
from random import Random

import pytest

from services.sessionizer import meta, state
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import Effects, Now, Session
from services.sessionizer.engine.spans import SpanSet
from services.sessionizer.engine.watermark import NO_WATERMARK, PartitionTime, Source
from services.sessionizer.engine.window import Window
from services.shared.errors import PermanentError
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, SpanFacts
from tests.support.spans import SECOND, T0, call, facts
from tests.support.state_values import everything

KEY = SessionKey("shop:1", "s \N{SNOWMAN} \x00")


def window_of(*spans: SpanFacts, policy: Policy | None = None) -> Window:
    session = Session(KEY, KEY.encode())
    now = Now(1 << 48, T0, policy or Policy())
    for span in spans:
        session.take(span, now, Effects())
    [window] = session.windows
    window.settle()
    window.pass_time(now.version, now.watermark)
    return window


def rich_spans(count: int) -> list[SpanFacts]:
    random = Random(3)
    return [
        facts(
            random.randint(1, 9),
            number,
            start := T0 + random.randint(0, 900) * SECOND,
            start + random.randint(0, 10**10),
            parent=random.choice([0, 0, 1, 2]),
            name="session.end" if number == count else "step \x00",
            is_error=number % 5 == 0,
            is_tool_call=number % 7 == 0,
            call=None
            if number % 3
            else call(f"m{number % 4}", number % 2, 5 if number % 9 else None, total_cost=10**20),
            dimensions=Dimensions(
                f"u{number % 3}", "prod", "bot", "", ("a", "b"), (("session.type", "x"),), (("k", f"{number}"),)
            ),
            input="in \N{SNOWMAN}",
            output="out",
            error="broke" if number % 5 == 0 else "",
            time_to_first_token=number if number % 6 == 0 else None,
        )
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_window_comes_back_from_its_head_and_pages(count: int) -> None:
    window = window_of(*rich_spans(count))
    window.turns.stored()
    again = state.decode_head(window.id, state.encode_head(window, 5))
    assert everything(again) == everything(window)
    assert again.turns.pages == {}
    [page] = window.turns.pages.values()
    assert everything(state.decode_page(state.encode_page(page))) == everything(page)
    assert state.trace_ids(state.encode_page(page)) == list(page)


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_whole_window_comes_back_from_one_record(count: int) -> None:
    window = window_of(*rich_spans(count))
    window.turns.stored()
    again = state.decode_head(window.id, state.encode_head(window, 5, whole=True))
    assert everything(again) == everything(window)
    assert everything(again.turns.pages) == everything(window.turns.pages)


def test_sums_over_64_bits_come_back() -> None:
    spans = [facts(1, number, T0, T0, call=call("gpt", 1, 1, total_cost=10**21)) for number in range(1, 30)]
    window = window_of(*spans)
    again = state.decode_head(window.id, state.encode_head(window, 5))
    assert again.totals.usage.total_cost == 29 * 10**21
    assert again.totals.amounts_by_model("total_cost") == {"gpt": 29 * 10**21}


def test_names_that_had_to_go_are_remembered() -> None:
    spans = [facts(1, number, T0, T0, dimensions=Dimensions(f"{number:0200}")) for number in range(1, 200)]
    window = window_of(*spans)
    assert window.totals.users.cut is not None
    again = state.decode_head(window.id, state.encode_head(window, 5))
    assert everything(again.totals.users) == everything(window.totals.users)


def test_a_header_says_when_something_is_due_without_the_rest() -> None:
    window = window_of(facts(1, 1, T0, T0))
    head = state.encode_head(window, 77)
    assert (state.is_open(head), state.is_unsent(head), state.deadline(head)) == (True, True, 77)
    window.emitted = window.version
    window.is_closed = True
    head = state.encode_head(window, -77)
    assert (state.is_open(head), state.is_unsent(head), state.deadline(head)) == (False, False, -77)


@pytest.mark.parametrize("session", [b"", b"1:ps", b"p" * 600])
def test_keys_of_heads_are_told_from_keys_of_pages_and_sets(session: bytes) -> None:
    prefix = state.window_prefix(session, b"windowid")
    assert state.head_names(prefix) == (session, b"windowid")
    assert state.head_names(state.page_key(prefix, 1)) is None
    assert state.head_names(state.set_key(prefix, (bytes(16), 2**61))) is None


def test_keys_are_distinct_whatever_the_names() -> None:
    names = [b"", b"a", b"aa", b"a" * 8, b"a" * 16, b"p", b"s"]
    windows = [b"a" * 8, b"p" * 8, b"s" * 8]
    prefixes = [state.window_prefix(name, window) for name in names for window in windows]
    keys = [
        key for prefix in prefixes for key in (prefix, state.page_key(prefix, 1), state.set_key(prefix, (b"a" * 16, 1)))
    ]
    assert len(set(keys)) == len(keys)
    assert meta.META_KEY not in keys


def test_the_meta_record_comes_back() -> None:
    time = PartitionTime(600 * SECOND)
    time.advance(T0)
    time.hear("otlp_spans/0", T0 - SECOND, 2)
    written = meta.Meta(3, 2**40, time)
    again = meta.decode_meta(meta.encode_meta(written), 600 * SECOND)
    assert (again.epoch, again.position) == (3, 2**40)
    assert again.time.sources == {"otlp_spans/0": Source(T0 - SECOND, T0)}
    assert (again.time.watermark, again.time.log_time, again.time.source_count) == (NO_WATERMARK, T0, 2)


def test_a_format_of_a_newer_worker_is_refused_with_what_to_do() -> None:
    window = window_of(facts(1, 1, T0, T0))
    newer = bytes((state.FORMAT + 1,))
    values: dict[Callable[[bytes], object], bytes] = {
        state.deadline: state.encode_head(window, 5),
        lambda data: state.decode_head(window.id, data): state.encode_head(window, 5),
        state.decode_page: state.encode_page(window.turns.pages[1]),
        state.decode_set: state.encode_set(SpanSet()),
    }
    for decode, value in values.items():
        with pytest.raises(PermanentError, match="upgrade"):
            decode(newer + value[1:])
    with pytest.raises(PermanentError):
        state.deadline(newer)
