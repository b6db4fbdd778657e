"""Spanloom: a streaming sessionizer for OTLP spans."""

import os
import sys

from services.source_only import SourceOnly

__version__ = "0.1.0"

COMPILED = os.environ.get("SPANLOOM_COMPILED", "auto")
"""`auto`: the compiled hot path where it is built; `require`: or nothing; `off`: the same in plain Python."""

if COMPILED not in {"auto", "require", "off"}:
    raise SystemExit(f"SPANLOOM_COMPILED is {COMPILED!r}: it must be auto, require or off")
if COMPILED == "off":
    sys.meta_path.insert(0, SourceOnly(__name__))
