"""Brings a ClickHouse database to the schema of this version, and says what is missing.

Run by one process at a time (`spanloom migrate`, a Job in Kubernetes): services never make tables.
"""

from collections.abc import Callable, Sequence

from services.migrate.migrations import Migration, load_migrations, on_cluster
from services.shared.clickhouse import ClickHouse
from services.shared.clock import Clock, SystemClock
from services.shared.errors import PermanentError

_TABLE = "schema_migrations"


class ChangedMigrationError(PermanentError):
    """A migration that this database already has was changed afterwards, or comes from a newer version."""


def apply(
    client: ClickHouse,
    cluster: str = "",
    *,
    migrations: Sequence[Migration] | None = None,
    clock: Clock | None = None,
    echo: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Apply what is pending, in order, and return its names; nothing when the database is up to date.

    Every statement can be run again, so a run that was cut short is finished by the next one. Raises
    `ChangedMigrationError` before touching anything when a migration was changed afterwards.
    """
    migrations = load_migrations() if migrations is None else migrations
    clock = clock or SystemClock()
    client.ensure_database(on_cluster(cluster))
    known = _known(client)
    if faults := _faults(migrations, known):
        raise ChangedMigrationError("\n".join(faults))
    applied = []
    for migration in migrations:
        if migration.version in known:
            continue
        started = clock.monotonic()
        for statement in migration.statements(cluster):
            client.command(statement)
        duration_ms = round(1000 * (clock.monotonic() - started))
        _record(client, migration, clock.now(), duration_ms)
        echo(f"applied {migration} in {duration_ms} ms")
        applied.append(str(migration))
    return applied


def check(client: ClickHouse, *, migrations: Sequence[Migration] | None = None) -> list[str]:
    """What is wrong with the database, one line each, for a person; empty when it fits this version."""
    migrations = load_migrations() if migrations is None else migrations
    known = _known(client)
    pending = [
        f"{migration} is not applied: run `spanloom migrate`"
        for migration in migrations
        if migration.version not in known
    ]
    return _faults(migrations, known) + pending


def _faults(migrations: Sequence[Migration], known: dict[int, tuple[str, str]]) -> list[str]:
    ours = {migration.version: migration for migration in migrations}
    faults = []
    for version, (name, checksum) in sorted(known.items()):
        migration = ours.get(version)
        if migration is None:
            faults.append(
                f"{version:04d}_{name} is in the database but not in this version: a newer Spanloom made it, upgrade"
            )
        elif migration.checksum != checksum:
            faults.append(
                f"{migration} was changed after it was applied (checksum {checksum[:12]} in the database,"
                f" {migration.checksum[:12]} here): restore the file and write a new migration"
            )
    return faults


def _known(client: ClickHouse) -> dict[int, tuple[str, str]]:
    exists = client.query(
        "SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": client.database, "name": _TABLE},
    )
    if not exists[0]["n"]:
        return {}
    rows = client.query("SELECT version, name, checksum FROM schema_migrations FINAL")
    return {row["version"]: (row["name"], row["checksum"]) for row in rows}


def _record(client: ClickHouse, migration: Migration, now: int, duration_ms: int) -> None:
    client.insert(
        _TABLE,
        {
            "version": [migration.version],
            "name": [migration.name],
            "checksum": [migration.checksum],
            "applied_at": [now],
            "duration_ms": [duration_ms],
        },
        token=f"{migration}/{migration.checksum}",
    )
