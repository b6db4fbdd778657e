"""The parts of which records of states are made, written and read: see `state_fields.py`."""

_CONTINUES, _SEVEN_BITS = 0x80, 0x7F
_SIGN, _WORD = 1 << 63, (1 << 64) - 1
_LONGEST = 40
"""Bytes of a number: costs have 11 at most."""


class PartWriter:
    """Appends to `data`."""

    __slots__ = ("_names", "data")

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._names: dict[str, int] = {}

    def count(self, value: int) -> None:
        data = self.data
        while value >= _CONTINUES:
            data.append(value & _SEVEN_BITS | _CONTINUES)
            value >>= 7
        data.append(value)

    def number(self, value: int) -> None:
        self.count(2 * value if value >= 0 else -2 * value - 1)

    def time(self, value: int, known: int) -> None:
        self.number((value - known + _SIGN & _WORD) - _SIGN)

    def octets(self, value: bytes) -> None:
        self.count(len(value))
        self.data += value

    def text(self, value: str) -> None:
        self.octets(value.encode())

    def name(self, value: str) -> None:
        known = self._names.get(value, 0)
        self.count(known)
        if not known:
            self._names[value] = len(self._names) + 1
            self.text(value)


class PartReader:
    """Reads from `at` on. Raises `ValueError` or `LookupError` for what a `PartWriter` does not write."""

    __slots__ = ("_at", "_data", "_names")

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._names: list[str] = []

    def count(self, longest: int = 10) -> int:
        """Raises `ValueError` for one of more bytes than `longest`."""
        value = shift = 0
        for at in range(self._at, self._at + longest):
            byte = self._data[at]
            value |= (byte & _SEVEN_BITS) << shift
            if byte < _CONTINUES:
                self._at = at + 1
                return value
            shift += 7
        raise ValueError("a number is too long")

    def number(self) -> int:
        """Raises `ValueError` for one over 64 bits."""
        value = self.count()
        if value > _WORD:
            raise ValueError("a number has more than 64 bits")
        return value >> 1 ^ -(value & 1)

    def large(self) -> int:
        """A number of any size."""
        value = self.count(_LONGEST)
        return value >> 1 ^ -(value & 1)

    def time(self, known: int) -> int:
        return (known + self.number() + _SIGN & _WORD) - _SIGN

    def items(self) -> int:
        """The count of items that follow, each a byte at least."""
        value = self.count()
        if value > len(self._data) - self._at:
            raise ValueError("more items than bytes")
        return value

    def raw(self, length: int) -> bytes:
        start, end = self._at, self._at + length
        if end > len(self._data):
            raise ValueError("the bytes end too early")
        self._at = end
        return self._data[start:end]

    def octets(self) -> bytes:
        return self.raw(self.count())

    def text(self) -> str:
        return self.octets().decode()

    def name(self) -> str:
        known = self.count()
        if known:
            return self._names[known - 1]
        self._names.append(self.text())
        return self._names[-1]

    def end(self) -> None:
        """Raises `ValueError` where something is left."""
        if self._at != len(self._data):
            raise ValueError("something is left at the end")
