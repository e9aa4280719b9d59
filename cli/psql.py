"""The administrator's way in: psql on the state database, acting as the role `armillary_admin`.

The password travels in the environment, never in the arguments that every user of the machine can list.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from cli import store
from cli.errors import ExitCode, Failed, Unreachable
from cli.home import Home
from cli.output import Format, show

_CONNECT_SECONDS = 10
# a refusal says what is wrong and what to do; which function of ours said so helps nobody
_QUIET = ("-v", "SHOW_CONTEXT=never")
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}


def run(home: Home, commands: Sequence[str], format: Format) -> int:
    """Open psql, or carry out SQL by `-c`; the exit code. Raises CommandError."""
    url = store.url_of(home)
    program = find(home, interactive=not commands)
    if commands and (format is not Format.TABLE or program is None):
        for command in commands:
            _print(url, command, format)
        return ExitCode.OK
    if program is None:
        raise Failed(
            "There is no psql on this machine.",
            todo="Install PostgreSQL's client, or give the SQL with -c.",
        )
    if not commands:
        # psql takes over this process: Ctrl-C is its own, and it alone holds the terminal
        os.execve(program, [program, *_QUIET], environment(url))  # noqa: S606 - no shell is wanted
    return _psql(program, url, commands)


def find(home: Home, *, interactive: bool) -> str | None:
    """The psql to use: the machine's own is nicer to type in (history), the embedded one fits the server."""
    own = shutil.which("psql")
    embedded = _embedded(home)
    return (own or embedded) if interactive else (embedded or own)


def _embedded(home: Home) -> str | None:
    found = sorted(home.postgres.glob("binaries/*/*/pginstall/bin/psql"))
    return next((str(path) for path in reversed(found) if os.access(path, os.X_OK)), None)


def environment(url: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which psql connects to a URL as the administrator."""
    parts: dict[str, Any] = conninfo_to_dict(url, connect_timeout=_CONNECT_SECONDS)
    parts["options"] = f"{parts.get('options') or ''} -c role={store.ADMINISTRATOR}".strip()
    named = {variable: str(parts[key]) for key, variable in _VARIABLES.items() if parts.get(key) is not None}
    return {**environ, "PGCONNECT_TIMEOUT": str(_CONNECT_SECONDS), "PGAPPNAME": "armillary psql", **named}


def _psql(program: str, url: str, commands: Sequence[str]) -> int:
    arguments = [program, "-X", *_QUIET, "-v", "ON_ERROR_STOP=1"]
    for command in commands:
        arguments += ["-c", command]
    # no timeout: a statement takes what it takes, and Ctrl-C ends it
    ended = subprocess.run(arguments, env=environment(url), check=False).returncode
    # psql's own codes: 1 it failed, 2 the connection went bad, 3 the script failed
    return {0: ExitCode.OK, 2: ExitCode.UNREACHABLE}.get(ended, ExitCode.FAILED)


def _print(url: str, command: str, format: Format) -> None:
    try:
        rows = _query(url, command)
    except psycopg.OperationalError as error:
        raise Unreachable(f"The state database cannot be reached: {_told(error)}") from None
    except psycopg.Error as error:
        hint = (error.diag.message_hint or "") if error.diag else ""
        raise Failed(_told(error), where=f"in: {command}", todo=hint) from None
    show(rows, format, rows=rows, columns=list(rows[0]) if rows else [])


def _query(url: str, command: str) -> list[dict[str, Any]]:
    options = f"-c role={store.ADMINISTRATOR}"
    with psycopg.connect(
        url, autocommit=True, connect_timeout=_CONNECT_SECONDS, options=options, row_factory=dict_row
    ) as connection:
        cursor = connection.execute(command.encode())
        if cursor.description is None:
            return [{"result": cursor.statusmessage}]
        return [{key: _plain(value) for key, value in row.items()} for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    """A value that JSON and YAML can show."""
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def _told(error: psycopg.Error) -> str:
    primary = error.diag.message_primary if error.diag else None
    return primary or " ".join(str(error).split())
