"""`spanloom ...` commands that end by themselves, run in this process."""

from dataclasses import dataclass
from typing import Any

import orjson
from click.testing import CliRunner

from services.cli.main import main
from tests.support.installation import Installation


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and how it ended."""

    code: int
    output: str
    errors: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The output of `--json`."""
        return [orjson.loads(line) for line in self.output.splitlines()]


def run_in(installation: Installation, *arguments: str, **settings: str) -> Done:
    """Run `spanloom` with the settings of an installation, to its end. A bug in it is raised."""
    more = {f"SPANLOOM_{name.upper()}": value for name, value in settings.items()}
    done = CliRunner(env={**installation._settings, **more}).invoke(main, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)
