"""Bringing the state database to this release's schema: Alembic, in one transaction, under a lock.

Two who migrate at once do it once: the second waits for the lock and finds nothing to do. A schema newer than
this release is refused, never touched; so is a server that is too old. All tables are locked before anything is
changed, and not for long: who waits for such a lock makes everybody else wait behind it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from state import definitions
from state.blockers import Blockers
from state.errors import Refused, StateError, Unreachable, translate
from state.revisions import require_known, require_server

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"
_LOCK = 0x41726D696C  # "Armil": any number that nothing else in this database locks
_CONNECT_SECONDS = 10
_ALEMBIC = threading.Lock()  # Alembic's context is one for the whole process


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a migration waits, in seconds: for another migrator, for tables in use, for one statement."""

    migrator: float = 60.0
    tables: float = 5.0
    statement: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationResult:
    """From which revision to which. `before` None: the database was empty."""

    before: str | None
    after: str


async def migrate(url: str, *, revision: str = "head", patience: Patience | None = None) -> MigrationResult:
    """Upgrade to a revision (downgrade when it is an earlier one, or `base`). One transaction: all or nothing.

    Raises SchemaMismatch for a schema or a server that this release cannot work with, Refused when the role may
    not do it or somebody is in the way, Unreachable, StateError. Whatever is raised, nothing was changed.
    """
    return await asyncio.to_thread(_migrate, url, revision, patience or Patience())


def redefine(url: str) -> MigrationResult:
    """Upgrade to the head, and make every definition and grant anew even where nothing is to be upgraded."""
    return _migrate(url, "head", Patience(), anew=True)


def _migrate(url: str, revision: str, patience: Patience, *, anew: bool = False) -> MigrationResult:
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # the URL itself is not repeated: it holds a password
        raise Unreachable(
            "the state database's URL cannot be used; write postgresql://user:password@host:port/database"
        ) from None
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            url, connect_timeout=_CONNECT_SECONDS, application_name="armillary migrate"
        ),
        poolclass=NullPool,
    )
    blockers = Blockers(url)
    try:
        with engine.begin() as connection, blockers.watching(_pid(connection)):
            return _locked(connection, revision, patience, anew=anew)
    except (DBAPIError, psycopg.Error) as error:  # revisions also run on the driver's own cursor
        raise _translated(error, blockers, patience) from None
    finally:
        engine.dispose()


def _pid(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _translated(error: DBAPIError | psycopg.Error, blockers: Blockers, patience: Patience) -> StateError:
    original = error.orig if isinstance(error, DBAPIError) else error
    match original:
        case psycopg.errors.InsufficientPrivilege():
            return Refused(
                f"The role of the state database's URL may not migrate it ({original.diag.message_primary}).",
                hint="It must own the database (ALTER DATABASE … OWNER TO …) and may create roles "
                f"(ALTER ROLE … CREATEROLE), unless {', '.join(definitions.ROLES)} exist already.",
            )
        case psycopg.errors.LockNotAvailable() | psycopg.errors.DeadlockDetected():
            return Refused(
                f"The migration was given up: {blockers.told()}. Nothing was changed.",
                hint=f"{blockers.remedy()} Then run again: armillary migrate",
            )
        case psycopg.errors.QueryCanceled():
            return Refused(
                f"A statement of the migration took longer than {patience.statement:g} s. Nothing was changed.",
                hint="Run it again when the server has less to do; forgetting old history makes it quicker: "
                "SELECT core.forget_history('audit', now() - interval '400 days')",
            )
        case psycopg.errors.DependentObjectsStillExist():
            return Refused(
                "Something that is not Armillary's stands on what a migration makes anew: "
                f"{_first_line(original.diag.message_detail)}. Nothing was changed.",
                hint="Drop it, run again: armillary migrate, and make it again afterwards.",
            )
    return translate(error)


def _first_line(said: str | None) -> str:
    return (said or "it is not said what").splitlines()[0]


def _locked(connection: Connection, revision: str, patience: Patience, *, anew: bool) -> MigrationResult:
    require_server(int(connection.execute(text("SHOW server_version_num")).scalar_one()))
    cursor = _cursor(connection)
    _wait_at_most(cursor, "lock_timeout", patience.migrator)
    _wait_at_most(cursor, "statement_timeout", patience.statement)
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    scripts = ScriptDirectory(str(_SCRIPTS))
    before = _current(connection)
    require_known(before)
    head = scripts.get_current_head()
    if before == (head if revision == "head" else revision) and not anew:
        return MigrationResult(before=before, after=before or "base")
    _wait_at_most(cursor, "lock_timeout", patience.tables)
    _lock_tables(cursor)
    with _defined_anew(cursor, connection, head), _ALEMBIC:
        _run(connection, scripts, before, revision)
    return MigrationResult(before=before, after=_current(connection) or "base")


def _cursor(connection: Connection) -> definitions.Cursor:
    cursor: definitions.Cursor = connection.connection.cursor()  # type: ignore[assignment]
    return cursor


def _wait_at_most(cursor: definitions.Cursor, setting: str, seconds: float) -> None:
    cursor.execute("SELECT set_config(%s, %s, true)", (setting, f"{round(seconds * 1000)}ms"))


def _lock_tables(cursor: definitions.Cursor) -> None:
    """Lock what will be changed, all of it at once: who is in the way is met before anything was done."""
    found: list[tuple[Any, ...]] = cursor.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'core' AND c.relkind IN ('r', 'p') ORDER BY 1, 2"
    ).fetchall()
    if found:
        names = sql.SQL(", ").join(sql.Identifier(*one) for one in found)
        cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))


@contextmanager
def _defined_anew(cursor: definitions.Cursor, connection: Connection, head: str | None) -> Iterator[None]:
    """Tables change without the definitions; those of the revision that was come to follow."""
    granted = definitions.drop(cursor)
    yield
    after = _current(connection)
    if after is not None:
        definitions.make(cursor, after, is_head=after == head, granted=granted)


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
