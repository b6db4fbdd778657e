class PackedSpans:
    value: bytes
    names: list[bytes]

def packed_spans(value: bytes) -> PackedSpans | None: ...
