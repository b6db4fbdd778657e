# cython: annotation_typing=False
"""The windows of one partition as they are stored, each with the time to look at it.

There are a million of them, so each is one object: its head in bytes, and its own timer.
"""

from collections.abc import Callable, Iterator

from services.sessionizer import state
from services.sessionizer.wheel import Timer, Wheel


class Held(Timer):
    """A held window of a session. `head`: as it is stored; None before the first `store` and once the window is gone.

    Compiled, it holds nothing that the garbage collector looks at, nor does it look at what holds it.
    """

    __slots__ = ("_number", "head", "name")

    def __init__(self, name: bytes, id_: bytes) -> None:
        super().__init__()
        self.name = name
        self._number = int.from_bytes(id_, "big")  # eight bytes of a million windows; as an object they take 48
        self.head: bytes | None = None

    @property
    def id(self) -> bytes:
        return self._number.to_bytes(state.ID_BYTES, "big")

    @property
    def rank(self) -> tuple[bytes, bytes]:
        return self.name, self.id


class HeldWindows:
    """By session name, and by time. `count` of them are held in all, `open` of these are not closed."""

    __slots__ = ("_first", "_others", "_wheel", "count", "open")

    def __init__(self) -> None:
        self._first: dict[bytes, Held] = {}
        self._others: dict[bytes, list[Held]] = {}  # of sessions with more than one
        self._wheel = Wheel()
        self.count = self.open = 0

    def __iter__(self) -> Iterator[Held]:
        yield from self._first.values()
        for others in self._others.values():
            yield from others

    def of(self, name: bytes) -> list[Held]:
        """The windows of a session."""
        first = self._first.get(name)
        return [] if first is None else [first, *self._others.get(name, ())]

    def find(self, name: bytes, id_: bytes) -> Held | None:
        held = self._first.get(name)
        if held is None or held.id == id_:
            return held
        for other in self._others.get(name, ()):
            if other.id == id_:
                return other
        return None

    def hold(self, name: bytes, id_: bytes) -> Held:
        """The window, which is held from now on."""
        return self.find(name, id_) or self._new(name, id_)

    def _new(self, name: bytes, id_: bytes) -> Held:
        held = Held(name, id_)
        first = self._first.setdefault(name, held)
        if first is not held:
            held.name = first.name
            self._others.setdefault(name, []).append(held)
        return held

    def let_go(self, held: Held) -> None:
        """The window is gone."""
        name = held.name
        others = self._others.get(name)
        if others is None:
            del self._first[name]
        else:
            if self._first[name] is held:
                self._first[name] = others.pop()
            else:
                others.remove(held)
            if not others:
                del self._others[name]
        self._wheel.discard(held)
        held.head = None

    def restore(self, name: bytes, id_: bytes, head: bytes | None) -> None:
        """Apply the changelog entry of a head: what is stored, counted and filed."""
        held = self.find(name, id_)
        if held is not None and held.head is not None:
            self.count -= 1
            self.open -= state.is_open(held.head)
        if head is None:
            if held is not None:
                self.let_go(held)
            return
        deadline = state.deadline(head)
        if held is None:
            held = self._new(name, id_)
        held.head = head
        self.count += 1
        self.open += state.is_open(head)
        self._wheel.file(deadline, held)

    def file(self, held: Held, deadline: int) -> None:
        """The window is to be looked at as soon as time is greater than `deadline`."""
        self._wheel.file(deadline, held)

    def next_due(self, time: int, deadline_of: Callable[[Timer], int | None]) -> Held | None:
        """See `Wheel.next_due`."""
        held = self._wheel.next_due(time, deadline_of)
        assert held is None or isinstance(held, Held)
        return held
