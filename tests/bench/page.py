"""The results page, made from the committed results."""

from pathlib import Path

from tests.bench.parts import PARTS
from tests.bench.results import PartResult, Results

_HERE = Path(__file__).parent
RESULTS = _HERE / "results.json"
PAGE = _HERE / "RESULTS.md"

ADVICE = """
figures:
  Wall clock times and rates of a shared machine are noise. Compare CPU figures, and best their multiples of the
  parse, which was measured in the same run; take the least of several runs. For figures to quote, leave the
  machine alone: nothing else may run (`uptime` below 0.2), no battery, no throttling, 10 GB of free disk."""


def results() -> Results:
    """Those that are committed."""
    return Results.from_json(RESULTS.read_bytes()) if RESULTS.exists() else Results()


def save(part: PartResult) -> None:
    """Put a part into the committed results, and make the page anew."""
    found = results()
    found.add(part)
    RESULTS.write_bytes(found.to_json())
    write()


def write() -> None:
    """Make the page from the committed results."""
    PAGE.write_text(text(results()))


def part_text(part: PartResult) -> str:
    """One part as it stands on the page."""
    about = "\n".join(f"{name}: {value}" for name, value in part.about.items())
    left_out = f"\n\nLeft out: {'; '.join(part.left_out)}." if part.left_out else ""
    known = PARTS[part.part]
    return f"""## {known.title}

`{part.command}`, {part.seconds:,.0f} s

{part.tables()}{left_out}

{known.note}

<details><summary>Measured on</summary>

```
{about}
```

</details>"""


def text(found: Results) -> str:
    """The whole page."""
    parts = {part.part: part_text(part) for part in found}
    return "# How fast Spanloom is\n\n" + "\n\n".join(parts[name] for name in PARTS if name in parts) + "\n"
