"""The `armillary` command: every subcommand by name, and what becomes of an error.

Whatever goes wrong ends here: as sentences on standard error and an exit code that scripts can rely on. A
traceback is a defect of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    backup,
    changing,
    cluster,
    login,
    logs,
    reading,
    running,
    runtimes,
    secrets,
    systemd,
    takeover,
    tokens,
    top,
)
from cli.errors import EXIT_CODES_TEXT, CommandError, ExitCode
from cli.interruption import Interrupted
from cli.output import console, report

app = typer.Typer(
    name="armillary",
    help="Runs Apache Airflow on your own infrastructure: say what should exist, and it is kept so.",
    epilog=EXIT_CODES_TEXT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_START, _LOOK, _CHANGE, _ADMINISTER = "Start and stop", "Look", "Change", "Administer"

for panel, commands in {
    _START: (running.up, running.down, running.serve),
    _LOOK: (reading.status, reading.get, reading.describe, reading.why, logs.logs, top.top, login.login),
    _CHANGE: (changing.apply, changing.delete, changing.undelete),
    _ADMINISTER: (
        systemd.install,
        running.migrate,
        running.psql,
        backup.backup,
        backup.restore,
        takeover.takeover,
    ),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(tokens.app, name="token", rich_help_panel=_ADMINISTER)
app.add_typer(secrets.app, name="secret", rich_help_panel=_ADMINISTER)
app.add_typer(runtimes.app, name="runtime", rich_help_panel=_ADMINISTER)
app.add_typer(cluster.app, name="cluster", rich_help_panel=_ADMINISTER)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"armillary {version('armillary')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of every command."""


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; its exit code. Errors are reported on standard error."""
    try:
        app(arguments, prog_name="armillary")
    except SystemExit as ending:
        return int(ending.code or 0)
    except CommandError as error:
        report(error)
        return error.code
    except (Interrupted, KeyboardInterrupt):
        console(error=True).print("interrupted")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
