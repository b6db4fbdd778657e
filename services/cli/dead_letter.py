"""`spanloom dead-letter list` and `replay`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from services.cli.faults import checked_settings, extra, told
from services.cli.instant import Instant

_EXIT_CODES = """\b
Exit codes: 0 all were sent, 1 some cannot be sent or Kafka does not answer,
2 settings or arguments that cannot be used.
"""

_SELECTION = (
    click.option("--topic", "topics", multiple=True, help="Only letters in this dead letter topic. Repeatable."),
    click.option("--reason", "reasons", multiple=True, help="Only letters with this reason. Repeatable."),
    click.option(
        "--letter",
        "letters",
        multiple=True,
        metavar="NAME",
        help="Only this letter, by the name in the list. Repeatable.",
    ),
    click.option(
        "--since", type=Instant(), help="Only letters written at this time or later: 2026-11-21T08:00Z, or 2h."
    ),
    click.option("--until", type=Instant(), help="Only letters written before this time."),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many letters, the oldest of a topic first."),
)


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SELECTION):
        command = option(command)
    return command


@click.group("dead-letter")
def dead_letter() -> None:
    """Looks at records that nobody could take, and sends them again.

    A record that can never be decoded goes to <spans topic>.dead-letter, a row that ClickHouse
    refuses for good to the dead letter topic of its sink: bytes untouched, the reason in
    headers. They stay there for SPANLOOM_DEAD_LETTER_RETENTION, whatever is done with them.
    """


@dead_letter.command("list")
@_selecting
@click.option("--json", "as_json", is_flag=True, help="One JSON object a letter and line.")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the bytes of each letter into a file of this folder.",
)
def list_(*, as_json: bool, save: Path | None, **selected: Any) -> None:  # noqa: ANN401 - the options of _SELECTION
    """Shows dead letters: reason, detail, where they come from, when, how large.

    Changes nothing, and no service notices.
    """
    with extra("kafka"):
        from services.dead_letters.main import list_letters
        from services.dead_letters.selection import Selection
    settings = checked_settings()
    with told():
        sys.exit(list_letters(settings, Selection(**selected), as_json_lines=as_json, save=save, echo=click.echo))


@dead_letter.command(epilog=_EXIT_CODES)
@_selecting
@click.option("--dry-run", is_flag=True, help="Send nothing, only show what would be sent and where to.")
@click.option("--again", is_flag=True, help="Also letters that were sent before.")
def replay(*, dry_run: bool, again: bool, **selected: Any) -> None:  # noqa: ANN401 - the options of _SELECTION
    """Sends dead letters back to the partition they came from, bytes, key and headers as they were.

    Do it when the reason is gone: a setting was raised, a new version reads more. Spans that
    come so late are counted as any late span is. Each letter is sent once: a run that was
    ended goes on where it stood, and a second one sends nothing, unless --again is given. What fails
    again is a new letter, which says in `list` how often it failed.
    """
    with extra("kafka"):
        from services.dead_letters.main import replay_letters
        from services.dead_letters.selection import Selection
    settings = checked_settings()
    with told():
        sys.exit(replay_letters(settings, Selection(**selected), again=again, dry_run=dry_run, echo=click.echo))
