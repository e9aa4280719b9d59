"""Bringing the state database to this release's schema: Alembic, in one transaction, under a lock.

Two who migrate at once do it once: the second waits for the lock and finds nothing to do. A schema newer than
this release is refused, never touched; so is a server that is too old.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from state.errors import Refused, SchemaMismatch, StateError, Unreachable, translate

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"
_LOCK = 0x41726D696C  # "Armil": any number that nothing else in this database locks
_LOCK_TIMEOUT = "60s"  # longer than a migration of another starter takes
_STATEMENT_TIMEOUT = "300s"
_CONNECT_SECONDS = 10
_SERVER_VERSION_MIN = 14
_ALEMBIC = threading.Lock()  # Alembic's context is one for the whole process


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationResult:
    """From which revision to which. `before` None: the database was empty."""

    before: str | None
    after: str


async def migrate(url: str, *, revision: str = "head") -> MigrationResult:
    """Upgrade to a revision (downgrade when it is an earlier one, or `base`). One transaction: all or nothing.

    Raises SchemaMismatch for a schema or a server that this release cannot work with, Refused when the role may
    not do it, Unreachable, StateError.
    """
    return await asyncio.to_thread(_migrate, url, revision)


def require_server(version: int) -> None:
    """Raise SchemaMismatch for a server that is too old; `version` as in `server_version_num`, 150004 is 15.4."""
    major = version // 10000
    if major < _SERVER_VERSION_MIN:
        raise SchemaMismatch(
            f"The state database's server is PostgreSQL {major}; Armillary needs {_SERVER_VERSION_MIN} or newer. "
            "Upgrade the server, or give another one with --database; nothing was changed."
        )


def _migrate(url: str, revision: str) -> MigrationResult:
    try:
        engine = create_engine(_sqlalchemy_url(url), connect_args={"connect_timeout": _CONNECT_SECONDS})
    except (ArgumentError, ValueError):
        # the URL itself is not repeated: it holds a password
        raise Unreachable(
            "the state database's URL cannot be used; write postgresql://user:password@host:port/database"
        ) from None
    try:
        with engine.begin() as connection:
            return _locked(connection, revision)
    except (DBAPIError, psycopg.Error) as error:  # revisions also run on the driver's own cursor
        raise _translated(error) from None
    finally:
        engine.dispose()


def _translated(error: DBAPIError | psycopg.Error) -> StateError:
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, psycopg.errors.InsufficientPrivilege):
        return Refused(
            f"The role of the state database's URL may not migrate it ({original.diag.message_primary}).",
            hint="It must own the database (ALTER DATABASE … OWNER TO …) and may create roles "
            "(ALTER ROLE … CREATEROLE), unless armillary_daemon, armillary_api, armillary_admin and "
            "armillary_viewer exist already.",
        )
    return translate(error)


def _locked(connection: Connection, revision: str) -> MigrationResult:
    require_server(int(connection.execute(text("SHOW server_version_num")).scalar_one()))
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    scripts = ScriptDirectory(str(_SCRIPTS))
    before = _current(connection)
    _require_known(before, scripts)
    with _ALEMBIC:
        _run(connection, scripts, before, revision)
    return MigrationResult(before=before, after=_current(connection) or "base")


def _run(connection: Connection, scripts: ScriptDirectory, before: str | None, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    ancestors = {one.revision for one in scripts.iterate_revisions(before or "base", "base")}
    if revision == "base" or revision in ancestors - {before}:
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
    return context.get_current_revision()


def _require_known(current: str | None, scripts: ScriptDirectory) -> None:
    if current is None or current in {one.revision for one in scripts.walk_revisions()}:
        return
    raise SchemaMismatch(
        f"The state database is at schema revision {current}, which this release of Armillary does not know "
        f"(its newest is {scripts.get_current_head()}): a newer release migrated it. Install that release; "
        "nothing was changed."
    )


def _sqlalchemy_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url
