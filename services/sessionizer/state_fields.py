"""Format 4 of the states of `window`: what its records are made of.

    count      7 bits a byte, the lowest first; the top bit says that more follow
    number     a count: twice a number that is not negative, else one less than twice its absolute value
    time       the number that it differs by from one that is known, modulo 2**64; versions too
    text       the count of its bytes, then UTF-8
    name       a text that may come again: the count 0 and a text, or which of the names told before, from 1
    octets     bytes: their count, then they
    span       which span of its turn, from 1, or the count 0 and its id

A record has one sequence of names, and one of dimensions: most turns of a session say the same. In
which order all of it comes, `StateWriter` says. A window of one small page is one record, head and page:
it is whole. What the turns of a whole window say is not said again in its totals: counts, sums, latencies, active time
and previews are theirs.
"""

from services.sessionizer.engine.names import Names, json_size
from services.shared.model.rollup import CloseReason

TRACE_BYTES, SPAN_BYTES = 16, 8

COUNTS = ("turn_count", "span_count", "error_count", "error_turn_count", "tool_call_count")
SUMS = (
    "prompt", "completion", "total", "cache_read", "cache_write", "reasoning",
    "calls", "unpriced", "prompt_calls", "completion_calls", "total_calls",
)  # fmt: skip
COSTS = ("prompt_cost", "completion_cost", "total_cost")
MODEL_SUMS = (
    "total", "prompt", "completion", "total_calls", "prompt_calls", "completion_calls",
    "total_cost_calls", "prompt_cost_calls", "completion_cost_calls",
)  # fmt: skip
PREVIEWS = ("first_input", "last_output", "first_input_below", "last_output_below")
TEXTS = ("input", "output", "input_below", "output_below")
"""Of a turn; of all turns, the previews of their window."""
NAMES = ("users", "services", "agents", "conversations", "tags")
ENTRIES = ("session", "metadata")
SEALS = (CloseReason.NONE, CloseReason.MAX_SPANS, CloseReason.MAX_DURATION)

# Which fields of a turn follow; the four from `TEXT` on are its texts.
SETTLED, UNSETTLED, ROOT_SPAN, MODEL, FIRST_TOKEN, MANY, TEXT = 1, 2, 4, 8, 16, 32, 64

# Whose a value is: nobody's, the same as the last one told, told in full; from there on, of which turn.
NOBODY, SAME, IN_FULL, OF_TURN = 0, 1, 2, 3

# Of a collection of names: what is told of it besides.
CUT, SIZES = 1, 2

# Sizes of names that need not be told. They are part of the format, whatever the engine counts one day.
_NUMBERS_OF_ENTRY, _NUMBERS_OF_TOOL, _NUMBERS_OF_MODEL, _MAPS_OF_MODEL = 32, 24, 192, 7


def size_of_name(_: Names, name: str) -> int:
    return json_size(name)


def size_of_entry(entries: Names, name: str) -> int:
    return 2 * json_size(name) + json_size(entries.values[name][1]) + _NUMBERS_OF_ENTRY


def size_of_tool(_: Names, name: str) -> int:
    return json_size(name) + _NUMBERS_OF_TOOL


def size_of_model(_: Names, name: str) -> int:
    return _MAPS_OF_MODEL * json_size(name) + _NUMBERS_OF_MODEL
