"""`spanloom migrate`: make or check the tables, then end."""

from collections.abc import Callable

from services.migrate import runner
from services.shared.clickhouse import connect, embedded_url
from services.shared.errors import PermanentError, TransientError
from services.shared.settings import Settings


def run(settings: Settings, *, check: bool, echo: Callable[[str], None]) -> int:
    """The exit status: 0 when the database fits this version (now, or already with `check`), else 1."""
    client = connect(settings.clickhouse_url or embedded_url(settings.data_dir))
    try:
        if check:
            problems = runner.check(client)
            for problem in problems or ["the database is up to date"]:
                echo(problem)
            return 1 if problems else 0
        if not runner.apply(client, settings.clickhouse_cluster, echo=echo):
            echo("nothing to apply: the database is up to date")
    except (TransientError, PermanentError) as error:
        echo(str(error))
        return 1
    finally:
        client.close()
    return 0
