"""What kinds of settings there are: how each is written, and what is checked of it alone."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from services.shared.otlp.redaction import parse_rule
from services.shared.prices.price_file import PriceFileError, read_prices

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)?")
_LONGEST = 36_500 * _UNITS["d"]  # times are 64 bits of nanoseconds: 292 years


def parse_duration(value: object) -> int:
    """`30m`, `1.5h`, `500ms`, or a number of seconds, to nanoseconds. Raises `ValueError`."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        message = f"{value!r} is no duration; write for example 30m, 1.5h, 500ms or a number of seconds"
        raise ValueError(message)
    nanoseconds = float(match[1]) * _UNITS[match[2] or "s"]
    if nanoseconds > _LONGEST:
        message = "100 years (36500d) is the longest duration"
        raise ValueError(message)
    return round(nanoseconds)


def _comma_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def json_object(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        message = f"no JSON object: {error}"
        raise ValueError(message) from error


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Nanoseconds, written as a duration."""


def written(text: str) -> Any:  # noqa: ANN401 - the default is text, the field is a number
    """A default as a person writes it: read by the same parser, shown so in the settings table."""
    return text


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]
"""A comma-separated list in the environment, an array in TOML."""


def _check_rules(rules: tuple[str, ...]) -> tuple[str, ...]:
    for rule in rules:
        parse_rule(rule)
    return rules


def _check_pattern(pattern: str) -> str:
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    if pattern and found.fullmatch(""):
        raise ValueError("finds nothing at every place of every text")
    return pattern


def _check_prices(file: str) -> str:
    try:
        if file:
            read_prices(Path(file))
    except PriceFileError as error:
        raise ValueError(f"cannot be used: {error}") from error
    return file


RedactionRules = Annotated[Names, AfterValidator(_check_rules)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A regular expression, or empty."""
PricesFile = Annotated[str, AfterValidator(_check_prices)]
"""See `prices.price_file`; empty: none."""
