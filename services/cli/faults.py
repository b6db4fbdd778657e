"""How commands fail: with a text that says what to do, and a telling exit code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

import services
from services.shared.errors import SettingsError, SpanloomError
from services.shared.settings import Settings, load_settings


class UnusableSettings(click.ClickException):
    """Printed as it is: the text names every fault."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        del file
        click.echo(self.message, err=True)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around the import of a service: a package that is not installed is no bug."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == services.__name__:
            raise
        raise click.ClickException(f"{missing} is not installed; install 'spanloom[{name}]'") from error


@contextmanager
def told() -> Iterator[None]:
    """Around what a command does by itself: our errors in one text, 2 for settings and 1 for the rest."""
    try:
        yield
    except SettingsError as error:
        raise UnusableSettings(str(error)) from error
    except SpanloomError as error:
        raise click.ClickException(str(error)) from error


def checked_settings() -> Settings:
    """The settings in force."""
    with told():
        return load_settings()


def read_config(path: os.PathLike[str] | None) -> None:
    """Settings come from this file, too."""
    if path is not None:
        os.environ["SPANLOOM_CONFIG"] = str(path)
