class PackedSpans:
    value: bytes
    names: list[bytes]
    sizes: list[int]

def packed_spans(value: bytes) -> PackedSpans | None: ...
