"""The `spanloom` command: starts each service with checked settings and ends with a telling exit code.

A command imports its service when it runs, so an installation needs only the extra of what it runs.
"""

import sys
from pathlib import Path

import click

import services
from services.cli.dead_letter import dead_letter
from services.cli.faults import checked_settings, extra, read_config, told
from services.cli.reprocess import reprocess
from services.cli.settings_table import settings_lines
from services.shared.log import set_up_logging
from services.shared.process import Service, run_process

_EPILOG = """\b
Settings come from environment variables (SPANLOOM_GAP=45m), then from the
TOML file that --config or SPANLOOM_CONFIG names (gap = "45m"), then from
defaults. `spanloom settings` shows them all with their values.

\b
Exit codes: 0 stopped cleanly, 1 ended by an error, 2 settings or arguments
that cannot be used, 130 a second Ctrl-C.
"""


def _run(name: str, service: Service, *, serves_health: bool = False) -> None:
    sys.exit(run_process(f"spanloom {name}", service, checked_settings(), serves_health=serves_health))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.version_option(services.__version__, prog_name="spanloom")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="SPANLOOM_CONFIG",
    help="TOML file with settings.",
)
def main(config: Path | None) -> None:
    """Turns a Kafka topic of OTLP spans into exact, corrected, event-time sessions.

    To try it: `spanloom up` in one terminal, `spanloom demo` in another, then open
    http://127.0.0.1:6006/docs. In production each of worker, sink, api and gateway
    is a process of its own, and `spanloom migrate` runs before them.
    """
    read_config(config)


main.add_command(dead_letter)
main.add_command(reprocess)


@main.command()
def up() -> None:
    """Runs everything in one process, for trying out.

    Nothing else is needed: Kafka, ClickHouse and Redis are embedded; each is replaced by a real one with one
    setting (SPANLOOM_KAFKA_BOOTSTRAP, SPANLOOM_CLICKHOUSE_URL, SPANLOOM_REDIS_URL).
    Send OTLP/HTTP to http://127.0.0.1:6006/v1/traces and read sessions from the same
    port. Data is kept in SPANLOOM_DATA_DIR (.data). Ctrl-C drains and stops; the next
    start goes on with the sessions that were open.
    """
    with extra("embedded"):
        from services.embedded.main import run
    _run("up", run)


@main.command()
def worker() -> None:
    """Reads spans from Kafka, cuts sessions, writes rollups to Kafka.

    Start as many as the topics have partitions; they share the work, and one that
    ends is taken over from exactly where it stood. SIGTERM drains. Serves /metrics,
    /healthz and /readyz on SPANLOOM_METRICS_PORT.
    """
    with extra("worker"):
        from services.sessionizer.main import run
    _run("worker", run, serves_health=True)


@main.command()
def sink() -> None:
    """Writes rollups and spans into ClickHouse.

    SPANLOOM_SPAN_STORAGE says which spans: all, roots, or off. When ClickHouse does not
    answer it waits; Kafka keeps the data. Serves /metrics, /healthz and /readyz on
    SPANLOOM_METRICS_PORT.
    """
    with extra("sink"):
        from services.sink.main import run
    _run("sink", run, serves_health=True)


@main.command()
def api() -> None:
    """Serves sessions over HTTP, on SPANLOOM_PORT.

    Closed ones come from ClickHouse; open ones are as fresh as Redis has them.

    /docs describes every request; /metrics, /healthz and /readyz are on the same port.
    """
    with extra("api"):
        from services.query_api.main import run
    _run("api", run)


@main.command()
def gateway() -> None:
    """Takes OTLP/HTTP and writes it to Kafka, on SPANLOOM_GATEWAY_PORT.

    An answer of 200 means that Kafka has the spans. A Collector with kafkaexporter does
    the same; the gateway is for senders without one.
    """
    with extra("gateway"):
        from services.gateway.main import run
    _run("gateway", run)


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when migrations are missing or were changed.")
def migrate(check: bool) -> None:
    """Brings the ClickHouse schema up to date. Run it before a new version starts."""
    with extra("migrate"):
        from services.migrate.main import run
    settings = checked_settings()
    set_up_logging(settings.log_level)
    with told():
        sys.exit(run(settings, check=check, echo=click.echo))


@main.command()
@click.option(
    "--endpoint",
    default="http://127.0.0.1:6006/v1/traces",
    show_default=True,
    help="Where to send the spans: a gateway, or any OTLP/HTTP receiver.",
)
@click.option("--project", default="support-bot", show_default=True, help="Project that the sessions are in.")
@click.option(
    "--check",
    "api_url",
    metavar="URL",
    help="Then read the sessions back from this API, print them, and exit with 1 unless they are what was held.",
)
@click.option("--until-closed", is_flag=True, help="With --check: wait until the sessions are closed.")
@click.option(
    "--patience", default=60.0, show_default=True, metavar="SECONDS", help="With --check: how long to wait at most."
)
def demo(endpoint: str, project: str, api_url: str | None, until_closed: bool, patience: float) -> None:
    """Holds conversations with a support bot and sends their spans.

    The bot is a real program with the OpenAI client and OpenInference's instrumentation;
    the model behind it is a small server on loopback that always answers the same.
    """
    with extra("demo"):
        from services.demo.main import run
    with told():
        sys.exit(
            run(
                endpoint=endpoint,
                project=project,
                api_url=api_url,
                until_closed=until_closed,
                patience=patience,
                echo=click.echo,
            )
        )


@main.command()
def settings() -> None:
    """Shows every setting: its variable, its value now, what it means."""
    for line in settings_lines(checked_settings()):
        click.echo(line)
