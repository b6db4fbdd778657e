"""Tables in Markdown that are made from the code. `python -m tests.support.documents` writes them anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.cli.settings_table import settings_table
from services.shared.semconv import TABLE
from services.shared.telemetry import METRICS

REPOSITORY = Path(__file__).parents[2]


def metrics_table() -> str:
    """Name, kind, labels and meaning of every metric."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for name, metric in METRICS.items()
    ]
    return "\n".join(rows)


def attributes_table() -> str:
    """What is read from which attributes, in order of precedence, and what is kept of it."""
    rows = ["| what | attributes, the first usable one wins | on the resource, too | kept |", "|---|---|---|---|"]
    for meaning, names in TABLE.items():
        listed = "<br>".join(f"`{name}`" for name in names.names)
        note = f"<br>{names.note}" if names.note else ""
        rows.append(f"| **{meaning.value}**{note} | {listed} | {'yes' if names.on_resource else ''} | {names.limit} |")
    return "\n".join(rows)


@dataclass(frozen=True, slots=True)
class GeneratedTable:
    """Where a table stands: between two comments in a document."""

    document: Path
    name: str
    make: Callable[[], str]

    @property
    def _begin(self) -> str:
        return f"<!-- {self.name}: made by `python -m tests.support.documents` -->\n"

    @property
    def _end(self) -> str:
        return f"<!-- end of {self.name} -->"

    def written(self) -> str:
        """The table as it stands in the document."""
        before, _, rest = self.document.read_text().partition(self._begin)
        table, end, _ = rest.partition(self._end)
        assert end, f"{self.document.name} has no place for {self.name}: {before[-80:]!r}"
        return table.strip()

    def write(self) -> None:
        """Put the table as the code has it now into the document."""
        before, _, rest = self.document.read_text().partition(self._begin)
        _, _, after = rest.partition(self._end)
        self.document.write_text(f"{before}{self._begin}{self.make()}\n{self._end}{after}")


TABLES: Mapping[str, GeneratedTable] = {
    table.name: table
    for table in (
        GeneratedTable(REPOSITORY / "README.md", "settings", settings_table),
        GeneratedTable(REPOSITORY / "services" / "README.md", "metrics", metrics_table),
        GeneratedTable(REPOSITORY / "services" / "shared" / "ATTRIBUTES.md", "attributes", attributes_table),
    )
}

if __name__ == "__main__":
    for each in TABLES.values():
        each.write()
