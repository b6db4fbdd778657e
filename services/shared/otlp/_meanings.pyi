from services.shared.otlp.plan import Slot
from services.shared.otlp.rules import Rules

NUMBERS: tuple[Slot, ...]

class Meanings:
    def __init__(self, rules: Rules) -> None: ...
