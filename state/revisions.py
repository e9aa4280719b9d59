"""Which schema this release works with, asked without Alembic: a daemon that starts need not wait for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg

from state.errors import SchemaMismatch, translate

_VERSIONS = Path(__file__).resolve().parent.parent / "migrations" / "versions"
_CONNECT_SECONDS = 10
_SERVER_VERSION_MIN = 14


def revisions() -> tuple[str, ...]:
    """Every revision that this release knows, the newest first: files are named by their numbers."""
    return tuple(sorted((path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py")), reverse=True))


async def require_current(url: str) -> None:
    """Raise SchemaMismatch, which says what to run, unless the database has exactly this release's schema."""
    await asyncio.to_thread(_require_current, url)


def require_known(current: str | None) -> None:
    """Raise SchemaMismatch for a revision that a newer release made. None: nothing was ever made."""
    if current is None or current in revisions():
        return
    raise SchemaMismatch(
        f"The state database is at schema revision {current}, which this release of Armillary does not know "
        f"(its newest is {revisions()[0]}): a newer release migrated it. Install that release; nothing was "
        "changed."
    )


def require_server(version: int) -> None:
    """Raise SchemaMismatch for a server that is too old; `version` as in `server_version_num`, 150004 is 15.4."""
    major = version // 10000
    if major < _SERVER_VERSION_MIN:
        raise SchemaMismatch(
            f"The state database's server is PostgreSQL {major}; Armillary needs {_SERVER_VERSION_MIN} or newer. "
            "Upgrade the server, or give another one with --database; nothing was changed."
        )


def _require_current(url: str) -> None:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS) as session:
            require_server(session.info.server_version)
            (there,) = session.execute("SELECT to_regclass('schema_version') IS NOT NULL").fetchone() or (False,)
            found = session.execute("SELECT version_num FROM schema_version").fetchone() if there else None
    except psycopg.Error as error:
        raise translate(error) from None
    current = found[0] if found else None
    require_known(current)
    if current != revisions()[0]:
        raise SchemaMismatch(
            f"The state database is at schema revision {current or 'none'}, and this release of Armillary works "
            f"with {revisions()[0]}. Run: armillary migrate"
        )
