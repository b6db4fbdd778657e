"""Session keys: (project, session id), their bytes in Kafka and their partition."""

from hashlib import blake2b
from typing import NamedTuple

MAX_ID_LENGTH = 256
"""Longest project name or session id, in code points. Longer ones count as absent."""


class SessionKey(NamedTuple):
    """The identity of a session. Two projects may use one session id."""

    project: str
    session_id: str

    def encode(self) -> bytes:
        """The key in Kafka and in the changelog: unambiguous whatever characters the parts hold."""
        project = self.project.encode()
        return b"%d:%b%b" % (len(project), project, self.session_id.encode())

    @classmethod
    def decode(cls, data: bytes) -> "SessionKey":
        """Inverse of `encode`. Raises `ValueError` for bytes that `encode` does not write."""
        length, _, rest = data.partition(b":")
        split = int(length)
        return cls(rest[:split].decode(), rest[split:].decode())

    def partition(self, count: int) -> int:
        """The partition of `session_spans` this key belongs to, of `count`."""
        return int.from_bytes(blake2b(self.encode(), digest_size=8).digest(), "big") % count
