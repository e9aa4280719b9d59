"""The commands that run things on this machine: `up`, `down`, `serve`, `migrate`, `psql`.

What each of them needs is imported when it is called, so that the others, and TAB, answer without waiting for it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from cli.errors import ExitCode
from cli.home import resolve
from cli.interruption import Interrupted, run
from cli.output import Format, console
from cli.session import HomeOption, OutputOption

READY_SECONDS = 900.0
"""How long `up` waits for Ready: on a slow network, the wheels of a runtime (250 MiB) take most of it."""

PORT = 8871

PortOption = Annotated[
    int, typer.Option(help="Where the API listens on 127.0.0.1.", min=1, max=65535, envvar="ARMILLARY_PORT")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        help="postgresql://… of a server of your own, instead of the embedded one.",
        envvar="ARMILLARY_DATABASE",
        show_envvar=True,
    ),
]


def up(
    *,
    port: PortOption = PORT,
    database: DatabaseOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is Ready.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Try it all in a temporary home and on a free port, and leave nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for Ready.", min=1)] = READY_SECONDS,
    home: HomeOption = None,
) -> None:
    """Start everything, and a first Airflow when there is none; then stay until Ctrl-C."""
    from cli import checking
    from cli.progress import Screen
    from cli.up import Up, Wish

    wish = Wish(home=resolve(home), port=port, database=database, stays=not detach, timeout_seconds=timeout)
    screen = Screen()
    if check:
        run(checking.check(wish, screen))
        return
    whole = Up(wish, screen)
    try:
        run(whole.run())
    except Interrupted:
        raise typer.Exit(ExitCode.OK if whole.is_complete else ExitCode.INTERRUPTED) from None


def down(*, home: HomeOption = None) -> None:
    """Stop everything of this home: the daemon, Airflow, PostgreSQL. Data stays; `up` goes on with it."""
    from cli import ending

    place, out = resolve(home), console()
    stopped = run(ending.down(place, lambda sentence: out.print(Text(sentence))))
    out.print(
        Text(f"everything of {place.path} is stopped" if stopped else f"nothing of {place.path} was running")
    )


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on (default: 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="The API's port (default: 8871).", min=1, max=65535)] = None,
    database: DatabaseOption = None,
    home: HomeOption = None,
) -> None:
    """Run the daemon and its API in the foreground, until SIGTERM or Ctrl-C."""
    from cli import store
    from cli.serve import serve as keep

    place = resolve(home)
    asyncio.run(keep(home=place.path, database=database or store.given_url(place), host=host, port=port))


def migrate(*, database: DatabaseOption = None, home: HomeOption = None) -> None:
    """Bring the state database to this release's schema. Two at once do it once."""
    from cli import store, world

    url = database or store.url_of(resolve(home))
    run(world.migrate_state(url))
    console().print(Text(f"the state database at {store.place_of(url)} has this release's schema"))


def psql(
    *,
    command: Annotated[
        list[str] | None,
        typer.Option("-c", "--command", help="SQL to run instead of opening psql. May be repeated."),
    ] = None,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Open psql on the state database as the role armillary_admin, or run SQL there."""
    from cli import psql as administrators

    code = administrators.run(resolve(home), command or (), output)
    if code != ExitCode.OK:
        raise typer.Exit(code)
