"""PURE: letters as text for people and as JSON for programs."""

import base64
from datetime import UTC, datetime, timedelta

import orjson

from services.shared.records.dead_letters import Letter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def as_text(letter: Letter, *, was_sent: bool) -> str:
    """Two lines: what and where, then why."""
    source = f"from {letter.source_name}" if letter.source else "of unknown origin"
    parts = [_iso(letter.record.timestamp), letter.reason or "unknown", f"{letter.size} B", letter.name, source]
    parts += [f"by {letter.service_version}"] if letter.service_version else []
    parts += [f"failed {len(letter.attempts) + 1} times"] if letter.attempts else []
    parts += ["sent again"] if was_sent else []
    return f"{'  '.join(parts)}\n    {_one_line(letter.detail)}"


def as_json(letter: Letter, *, was_sent: bool) -> str:
    """One object in one line. Keys and header values that are no text are base64, under another name."""
    record, source = letter.record, letter.source
    return orjson.dumps(
        {
            "letter": letter.name,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "time": _iso(record.timestamp),
            "reason": letter.reason or None,
            "detail": letter.detail,
            "source_topic": source[0] if source else None,
            "source_partition": source[1] if source else None,
            "source_offset": letter.source_offset if source else None,
            "service_version": letter.service_version,
            "size": letter.size,
            **_readable("key", record.key),
            "headers": [{"name": name, **_readable("value", value)} for name, value in letter.headers],
            "attempts": letter.attempts,
            "sent_again": was_sent,
        }
    ).decode()


def file_name(letter: Letter) -> str:
    """A name for a file with the letter's bytes."""
    return f"{letter.record.topic}-{letter.record.partition}-{letter.record.offset}.bin"


def _readable(name: str, value: bytes | None) -> dict[str, str | None]:
    try:
        return {name: value.decode() if value is not None else None}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value or b"").decode()}


def _iso(nanoseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=nanoseconds // 10**6)).isoformat(timespec="milliseconds")


def _one_line(text: str) -> str:
    """What a sender wrote must not steer a terminal."""
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in text)
