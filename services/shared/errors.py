"""The error tree.

    SpanloomError
    ├── SettingsError       settings that cannot be used; the start ends with the whole list
    ├── TransientError      a neighbour does not answer; the same call may succeed later
    └── PermanentError      the same call will always fail; needs a person or a new version

Bad input is no error: it is a value (model/outcome.py). A bug is any other exception; it ends
the process before it commits.
"""


class SpanloomError(Exception):
    """Base of every error that Spanloom raises on purpose."""


class SettingsError(SpanloomError):
    """Settings that cannot be used. The text lists every fault, one a line."""


class TransientError(SpanloomError):
    """A neighbour (Kafka, ClickHouse, Redis) does not answer now; retry with a pause."""


class PermanentError(SpanloomError):
    """The same call with the same input will always fail."""
