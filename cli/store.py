"""The way to the state database for commands that do not go through the API: psql, token, migrate.

Where it is: `$ARMILLARY_DATABASE`, else the URL that `armillary up --database` remembered in the home, else the
home's embedded PostgreSQL. Errors of the store become errors of the command here.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from psycopg.conninfo import conninfo_to_dict

from cli.errors import CommandError, Failed, NotFound, NotPermitted, Refused, Unreachable
from cli.home import Home
from state import embedded, errors
from state.database import Database, connect

ADMINISTRATOR = "armillary_admin"
"""The role that people in psql act as: it has schema `armillary` and nothing else."""


def given_url(home: Home, environ: Mapping[str, str] = os.environ) -> str | None:
    """The URL of the user's own server, or None when the embedded one is used."""
    if url := environ.get("ARMILLARY_DATABASE"):
        return url
    try:
        return home.database.read_text().strip()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise NotPermitted(
            f"{home.database} may be read by its owner only.", todo="Set ARMILLARY_DATABASE."
        ) from None


def url_of(home: Home, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the state database; raises Unreachable when this home never had one."""
    if url := given_url(home, environ):
        return url
    if not (home.postgres / "data").exists():
        raise Unreachable(f"There is no state database in {home.path}.", todo="Start it with: armillary up")
    with told():
        return embedded.prepare(home.path).url


def place_of(url: str) -> str:
    """Which database a URL means, for people: nothing in it is secret."""
    parts = conninfo_to_dict(url)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


@asynccontextmanager
async def database(home: Home) -> AsyncIterator[Database]:
    """A connection to the state database for one command."""
    with told():
        opened = await connect(url_of(home), application_name="armillary-cli")
        try:
            yield opened
        finally:
            await opened.close()


@contextmanager
def told() -> Iterator[None]:
    """Turn errors of the store into errors of the command."""
    try:
        yield
    except errors.StateError as error:
        raise command_error(error) from error


def command_error(error: errors.StateError) -> CommandError:
    """The error for people, with its exit code, that an error of the store is."""
    todo = str(getattr(error, "hint", "") or "")
    match error:
        case errors.NotFound():
            return NotFound(str(error), todo=todo)
        case errors.Unreachable():
            return Unreachable(str(error), todo=todo or "Is the state database running? armillary up starts it.")
        case errors.Refused() | errors.InvalidSpec() | errors.GenerationConflict():
            return Refused(str(error), todo=todo)
        case _:
            return Failed(str(error), todo=todo)
