"""`spanloom reprocess`."""

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from services.cli.faults import checked_settings, extra, told
from services.cli.instant import parse_instant
from services.shared.clock import SystemClock

if TYPE_CHECKING:
    from services.reprocess.main import Start

_EPILOG = """\b
    SPANLOOM_GAP=10m spanloom reprocess --from 24h --run short --compare
    spanloom reprocess --run short --swap --drop

\b
Exit codes: 0 done; 1 ended by an error, or the live pipeline does not go on;
2 settings or arguments that cannot be used; 3 with --compare: there are
differences (and --swap was not asked for).
"""
_OFFSETS = re.compile(r"\d+@\d+(,\d+@\d+)*")


def parse_start(text: str, now: int) -> "Start":
    """`start`, a time, or offsets: `0@1200,1@1188`. Raises `ValueError`."""
    from services.reprocess.main import Start

    if text == "start":
        return Start()
    if _OFFSETS.fullmatch(text):
        pairs = (each.split("@") for each in text.split(","))
        return Start(offsets={int(number): int(offset) for number, offset in pairs})
    return Start(time=parse_instant(text, now))


@click.command(epilog=_EPILOG)
@click.option(
    "--from",
    "from_",
    metavar="WHERE",
    help="Cut again from here: `start` of the log, a time (2026-11-21T08:00Z, or 2h ago), or offsets by partition"
    " (0@1200,1@1188; others from their start).",
)
@click.option("--run", "name", metavar="NAME", help="Name of the run. Without --from: what an earlier run cut.")
@click.option("--compare", is_flag=True, help="Tell what is different from what is there, by project.")
@click.option("--swap", is_flag=True, help="Put what was cut in the place of what is there.")
@click.option("--unlike-too", is_flag=True, help="With --swap: also sessions whose spans are not as many as before.")
@click.option("--drop", is_flag=True, help="Afterwards drop the tables of the run.")
@click.option("--json", "as_json", is_flag=True, help="With --compare: one JSON object.")
@click.option("--examples", default=20, show_default=True, help="With --compare: how many differences to show.")
@click.option("--max-rate", type=click.FloatRange(min=0.001), metavar="MB", help="Read at most so many MB a second.")
@click.option(
    "--patience",
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the live pipeline may stand still while it is waited for.",
)
def reprocess(
    *,
    from_: str | None,
    name: str | None,
    compare: bool,
    swap: bool,
    unlike_too: bool,
    drop: bool,
    as_json: bool,
    examples: int,
    max_rate: float | None,
    patience: float,
) -> None:
    """Cuts sessions again from the log, under the settings that are given to this command.

    Reads the spans topic beside the live pipeline, in no group of its own, and writes into
    session_windows_reprocess_<run> and session_turns_reprocess_<run>. --compare and --swap wait until the
    live pipeline is past what was read, and look at the sessions that it is done with: closed and
    no longer held for corrections. The others are counted and left as they are.
    """
    with extra("embedded"):
        from services.reprocess.main import Tasks, run
    settings = checked_settings()
    now = SystemClock().now()
    try:
        start = None if from_ is None else parse_start(from_, now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--from") from error
    if start is None and name is None:
        raise click.UsageError("name what to read with --from, or what was cut already with --run")
    tasks = Tasks(
        name or datetime.fromtimestamp(now // 10**9, UTC).strftime("r%Y%m%d_%H%M%S"),
        start,
        compare=compare,
        swap=swap,
        unlike_too=unlike_too,
        drop=drop,
        json=as_json,
        examples=examples,
        max_rate=None if max_rate is None else round(max_rate * 1e6),
        patience=patience,
    )
    with told():
        sys.exit(run(settings, tasks, echo=click.echo, tell=lambda text: click.echo(text, err=True)))
