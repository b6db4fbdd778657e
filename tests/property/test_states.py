"""States as bytes: all of a window comes back, and the compiled codec does what the one in Python does, to the byte."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessionizer import state
from services.sessionizer.engine.policy import Policy
from services.sessionizer.engine.session import Effects, Now, Session
from services.sessionizer.engine.tree import ROOT
from services.sessionizer.engine.window import Window
from services.shared.compiled import missing
from services.shared.errors import PermanentError
from services.shared.model.session_key import SessionKey
from services.shared.model.span import Dimensions, ModelCall, SpanFacts
from tests.property.profile import streams
from tests.support.spans import SECOND, T0
from tests.support.state_values import everything

CODEC = ("services.sessionizer._state_reader", "services.sessionizer._state_writer")
POLICY = Policy(gap=200 * SECOND, max_spans=40)

texts = st.text(max_size=12) | st.sampled_from(("gpt", "a" * 300, 'q"\\\n\x00\x7f', "\N{SNOWMAN}\U0001f600"))
few = st.sampled_from(("", "a", "b", "\N{SNOWMAN}"))
pairs = st.lists(st.tuples(few, texts), max_size=2).map(tuple)
numbers = st.none() | st.sampled_from((0, 1, 127, 2**40 - 1)) | st.integers(0, 2_000)
costs = st.none() | st.sampled_from((0, 2**63 - 1, 2**63, 10**21)) | st.integers(0, 10**9)
dimensions = st.builds(Dimensions, few, few, few, few, st.lists(texts, max_size=2).map(tuple), pairs, pairs, few)
calls = st.builds(ModelCall, texts, numbers, numbers, numbers, numbers, numbers, numbers, costs, costs, costs, few)


@st.composite
def windows(draw: st.DrawFn) -> list[Window]:
    """Of one session, after a few records, flushes in between; among them ended ones, sealed ones, and large ones."""
    said, called = draw(st.lists(dimensions, min_size=1, max_size=12)), draw(st.lists(calls, min_size=1, max_size=5))
    random = draw(st.randoms(use_true_random=False))
    session = Session(SessionKey("shop", "s"), SessionKey("shop", "s").encode())
    for version in range(1, draw(st.integers(1, 4)) + 1):
        now = Now(version << 40, random.choice([-(2**63), T0, T0 + 900 * SECOND]), POLICY)
        for _ in range(draw(st.integers(1, 30))):
            now.position += 1
            session.take(_span(random, said, called), now, Effects())
        for window in session.windows:
            if window.version == now.version:
                window.settle()
                window.pass_time(now.version, now.watermark)
                window.emitted = random.choice([-1, window.version, 1 << 40])
                window.shown = window.version
            window.is_owed = False  # as after a flush
            window.turns.balance()
            window.turns.stored()
    return session.windows


def _span(random: Random, said: list[Dimensions], called: list[ModelCall]) -> SpanFacts:
    start = T0 + random.randrange(1_000) * SECOND
    return SpanFacts(
        random.randrange(1, 6).to_bytes(16, "big"),
        random.randrange(1, 60).to_bytes(8, "big"),
        random.choice([b"", (3).to_bytes(8, "big"), random.randrange(1, 60).to_bytes(8, "big")]),
        start,
        start + random.choice([0, 1, 10**9, random.randrange(10**12)]),
        name="session.end" if random.random() < 0.02 else "a step",
        is_error=random.random() < 0.2,
        is_tool_call=random.random() < 0.2,
        call=random.choice(called) if random.random() < 0.5 else None,
        dimensions=random.choice(said),
        input=random.choice(["", "in", "\N{SNOWMAN}" * 2_000]),
        output=random.choice(["", "out"]),
        error=random.choice(["", "it broke"]),
        time_to_first_token=random.choice([None, 0, 10**9]),
        tool=random.choice(["", "search"]),
    )


def records(window: Window) -> Iterator[tuple[Callable[[], bytes], Callable[[bytes], object]]]:
    """How each record of the window is written, and read."""

    def head(data: bytes) -> object:
        found = state.decode_head(window.id, data)
        return found, found.turns.pages

    if window.turns.leaves.keys() == window.turns.pages.keys() == {ROOT} and not window.turns.spilled:
        yield lambda: state.encode_head(window, 5, whole=True), head
    yield lambda: state.encode_head(window, -5), head
    for page in window.turns.pages.values():
        yield lambda page=page: state.encode_page(page), state.decode_page  # type: ignore[misc]  # of this page
        for turn in page.values():
            yield lambda turn=turn: state.encode_set(turn.spans), state.decode_set  # type: ignore[misc]  # of this turn


def in_python(call: Callable[[], object]) -> object:
    """What the definition does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "_compiled", False)
        return call()


def outcome(decode: Callable[[bytes], object], data: bytes) -> object:
    try:
        return everything(decode(data))
    except PermanentError:
        return "refused"


@given(windows())
@streams(40)
def test_all_of_a_window_comes_back_whole_and_in_parts(found: list[Window]) -> None:
    for window in found:
        for encode, decode in records(window):
            data = encode()
            again = decode(data)
            if isinstance(again, tuple):
                head, pages = again
                assert everything(head) == everything(window)
                assert pages == {} or everything(pages) == everything(window.turns.pages)


@pytest.mark.skipif(bool(missing(CODEC)), reason="there is one codec only")
@given(windows())
@streams(40)
def test_both_codecs_write_the_same_bytes_and_read_the_same_from_them(found: list[Window]) -> None:
    for window in found:
        for encode, decode in records(window):
            data = encode()
            assert data == in_python(encode)
            assert outcome(decode, data) == in_python(lambda: outcome(decode, data))  # noqa: B023 - called at once


@pytest.mark.skipif(bool(missing(CODEC)), reason="there is one codec only")
@given(windows(), st.randoms(use_true_random=False))
@streams(20)
def test_both_codecs_refuse_the_same_bytes(found: list[Window], random: Random) -> None:
    for window in found:
        for encode, decode in records(window):
            data = _broken(encode(), random)
            assert outcome(decode, data) == in_python(lambda: outcome(decode, data))  # noqa: B023 - called at once


def _broken(data: bytes, random: Random) -> bytes:
    """With bytes changed, taken out or put in; the format's number stays."""
    found = bytearray(data)
    for _ in range(random.randint(1, 3)):
        if len(found) == 1:
            break
        at = random.randrange(1, len(found))
        match random.randrange(4):
            case 0:
                found[at:] = b""
            case 1:
                del found[at]
            case 2:
                found.insert(at, random.randrange(256))
            case _:
                found[at] = random.choice([0, 1, 2, 0x7F, 0x80, 0xFF, random.randrange(256)])
    return bytes(found)
