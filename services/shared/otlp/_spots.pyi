from services.shared.otlp.rules import Rules

class SpotReader:
    def __init__(self, rules: Rules) -> None: ...
