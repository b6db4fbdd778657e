"""Migrations as files: numbered templates, their checksums, the statements in them.

They are written once, under schemas/clickhouse/migrations; `sql` beside this file is a link to that
folder, so that they are found from the source tree and are part of the wheel.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}")
# What a statement may contain a semicolon in: text, a quoted name, a comment.
_TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|\"(?:[^\"\\]|\\.)*\"|--[^\n]*|/\*.*?\*/|;", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. The checksum is the template's, so it is the same on a cluster and a single server."""

    version: int
    name: str
    template: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.template.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"

    def statements(self, cluster: str = "") -> list[str]:
        """The SQL to run, for a single server or for every server of `cluster`."""
        return list(split_statements(render(self.template, cluster)))


def on_cluster(cluster: str) -> str:
    """The clause that makes a statement run on every server of the cluster."""
    return "ON CLUSTER `{}`".format(cluster.replace("\\", "\\\\").replace("`", "\\`")) if cluster else ""


def render(template: str, cluster: str) -> str:
    """Fill in the placeholders. Raises `KeyError` for one that does not exist."""
    values = {"on_cluster": on_cluster(cluster), "engine_prefix": "Replicated" if cluster else ""}
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def split_statements(sql: str) -> Iterator[str]:
    """Statements without their comments and semicolons, none of them empty."""
    statement, position = "", 0
    for token in _TOKEN.finditer(sql):
        statement += sql[position : token.start()]
        position = token.end()
        if token[0] == ";":
            if statement.strip():
                yield statement.strip()
            statement = ""
        else:
            statement += " " if token[0].startswith(("--", "/*")) else token[0]
    if (rest := statement + sql[position:]).strip():
        yield rest.strip()


def load_migrations(folder: Traversable | None = None) -> list[Migration]:
    """All migrations in order. Raises `ValueError` for a misnamed file, a gap or a number used twice."""
    found = []
    for file in (folder or files("services.migrate") / "sql").iterdir():
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise ValueError(f"{file.name} is no name of a migration: write 0001_what_it_makes.sql")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise ValueError(f"migration {migration} should have the number {expected:04d}: no gaps, none twice")
    return found
