"""Names that a window collects, within a size: users, tags, models, keys of metadata.

Kept are the smallest names in order, as far as the limit goes. Which these are does not depend
on the order of arrival, nor on which windows were merged: the smallest name that ever had to go
is remembered (`cut`), and nothing from there on is let in again; and a name's size never shrinks.
"""

from json.encoder import encode_basestring
from typing import Any, Self


def json_size(text: str) -> int:
    """Bytes of the text in JSON, quotes included."""
    quoted = encode_basestring(text)
    return len(quoted) if quoted.isascii() else len(quoted.encode())


class Names:
    """Names of at most `limit` bytes in all, each with its size and perhaps a value.

    `values` only has names that are kept; whoever admits a name sets its value. Neither it nor `sizes` is made
    before it is asked for: there are ten such objects in a window, and most have no values, many no names.
    """

    __slots__ = ("_sizes", "_values", "cut", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sizes: dict[str, int] | None = None
        self._values: dict[str, Any] | None = None  # what they are, those who make it say
        self.total = 0
        self.cut: str | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    @property
    def sizes(self) -> dict[str, int]:
        if self._sizes is None:
            self._sizes = {}
        return self._sizes

    @property
    def values(self) -> dict[str, Any]:
        if self._values is None:
            self._values = {}
        return self._values

    @property
    def sorted(self) -> list[str]:
        return sorted(self.sizes)

    def admit(self, name: str, size: int) -> bool:
        """Take the name in, or let it grow to `size` bytes. Returns whether it is kept."""
        known = self.sizes.get(name, 0)
        if size <= known:
            return True
        if self.cut is not None and name >= self.cut:
            return False
        self.sizes[name] = size
        self.total += size - known
        while self.total > self.limit:
            self._drop(max(self.sizes))
        return name in self.sizes

    def absorb(self, other: Self) -> None:
        """Take in the names of another window, not their values: afterwards `name in` says which are kept."""
        if other.cut is not None and (self.cut is None or other.cut < self.cut):
            for name in [name for name in self.sizes if name >= other.cut]:
                self._drop(name)
            self.cut = other.cut
        for name, size in other.sizes.items():
            self.admit(name, size)

    def _drop(self, name: str) -> None:
        self.total -= self.sizes.pop(name)
        if self._values is not None:
            self._values.pop(name, None)
        self.cut = name
