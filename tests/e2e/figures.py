"""What tests of whole installations measured on the way; printed at the end of a run."""

FIGURES: list[str] = []
