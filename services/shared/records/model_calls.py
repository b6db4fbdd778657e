"""One model call as bytes: the array of its fields, as it stands in a record of `session_spans`."""

from operator import attrgetter

from services.shared.model.span import ModelCall
from services.shared.records.packed import pack, unpack

_FIELDS = attrgetter(*ModelCall.__dataclass_fields__)


def pack_call(call: ModelCall) -> bytes:
    return pack(_FIELDS(call))


def unpack_call(data: bytes | bytearray) -> ModelCall:
    """Inverse of `pack_call`."""
    return ModelCall(*unpack(data))
