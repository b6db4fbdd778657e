"""PURE: GlobalIDs and cursors: opaque to clients, for us reversible without a look-up.

A GlobalID is base64 of `<type>:<what it names>`. The alphabet is the one without `/` and `+`
(clients refuse a `/` in a path), both are read. What does not decode is a name.
"""

import base64
import binascii
from hashlib import blake2b

from services.shared.model.annotation import AnnotationRollup, Scope
from services.shared.model.live import Position
from services.shared.model.session_key import SessionKey

_PROJECT, _SESSION, _TRACE, _POSITION, _PAGE = b"Project:", b"ProjectSession:", b"Trace:", b"Position:", b"Turn:"
_ANNOTATIONS = {
    Scope.SESSION: b"ProjectSessionAnnotation:",
    Scope.TRACE: b"TraceAnnotation:",
    Scope.SPAN: b"SpanAnnotation:",
}


def project_gid(project: str) -> str:
    return _encode(_PROJECT, project.encode())


def session_gid(key: SessionKey) -> str:
    return _encode(_SESSION, key.encode())


def trace_gid(trace_id: str) -> str:
    return _encode(_TRACE, trace_id.encode())


def annotation_gid(annotation: AnnotationRollup) -> str:
    kind = _ANNOTATIONS[annotation.scope]
    parts = (annotation.project, annotation.session_id, annotation.trace_id, annotation.span_id)
    named = (*parts, annotation.name, annotation.identifier)
    return _encode(kind, blake2b("\0".join(named).encode(), digest_size=12).hexdigest().encode())


def is_project_gid(value: str) -> bool:
    return _payload(_PROJECT, value) is not None


def is_session_gid(value: str) -> bool:
    return _payload(_SESSION, value) is not None


def project_of(identifier: str) -> str | None:
    """The project that a GlobalID or a name names; `None` for a GlobalID that names none."""
    payload = _payload(_PROJECT, identifier)
    return identifier if payload is None else _text(payload)


def session_of(identifier: str) -> SessionKey | str | None:
    """The key in a GlobalID, or the session id as it stands; `None` for a GlobalID that names none."""
    payload = _payload(_SESSION, identifier)
    if payload is None:
        return identifier
    try:
        key = SessionKey.decode(payload)
    except ValueError:  # UnicodeDecodeError is one, too
        return None
    return key if key.encode() == payload else None


def position_cursor(position: Position) -> str:
    """A cursor that starts at this session, itself included."""
    return _encode(_POSITION, b"%d:%b" % (position.first_seen_at, position.session_id.encode()))


def position_of(cursor: str) -> Position | None:
    """Inverse of `position_cursor`; `None` for text that is no such cursor."""
    payload = _payload(_POSITION, cursor)
    if payload is None:
        return None
    time, separator, session_id = payload.partition(b":")
    text = _text(session_id)
    if not separator or text is None or not time.isdigit() or len(time) > 19:  # noqa: PLR2004 - 19 digits fit 63 bits
        return None
    return Position(int(time), text)


def name_cursor(name: str) -> str:
    """A cursor into a list in the order of names (projects, turns) that starts at `name`."""
    return _encode(_PAGE, name.encode())


def name_of(cursor: str) -> str | None:
    """Inverse of `name_cursor`; `None` for text that is no such cursor."""
    payload = _payload(_PAGE, cursor)
    return None if payload is None else _text(payload)


def _encode(kind: bytes, payload: bytes) -> str:
    return base64.urlsafe_b64encode(kind + payload).decode()


def _payload(kind: bytes, value: str) -> bytes | None:
    try:
        data = base64.b64decode(value.replace("-", "+").replace("_", "/").encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data.removeprefix(kind) if data.startswith(kind) else None


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None
