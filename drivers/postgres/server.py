"""The server: connections to it, each bounded in time, and its errors as sentences without secrets.

Looks at what all databases share go through one kept connection. Everything else connects anew: 5 ms of processor
and 11 ms of time, measured on a busy machine of two cores. An idle connection kept inside a deployment's database
would save that and stand in the way of whoever wants to drop or copy the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import conninfo, errors
from psycopg.pq import TransactionStatus
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

from drivers.base import DriverError, Refused, Unavailable

Connection = psycopg.AsyncConnection[dict[str, Any]]

LOOK_SECONDS = 5.0  # the queries take milliseconds; a pass gives all drivers together 15 s
WRITE_SECONDS = 25.0  # DROP DATABASE waits for a checkpoint; a pass gives one action 30 s
_CONNECT_SECONDS = 3
_RETRY_SECONDS = 1.5  # bridges a server's restart, not its absence
_OPTIONS = (
    "-c statement_timeout=20s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s "
    "-c client_min_messages=warning -c search_path=pg_catalog"
)
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}

# What may be over in a moment: lost connections, full servers, locks, timeouts, somebody else doing the same.
_PASSING_CLASSES = ("08", "40", "53", "57", "58", "XX")
_PASSING = (
    errors.LockNotAvailable,
    errors.ObjectInUse,
    errors.DuplicateObject,
    errors.DuplicateDatabase,
    errors.UniqueViolation,
    errors.InvalidCatalogName,
    errors.UndefinedObject,
)


class Server:
    """One PostgreSQL server, by an administrator's URL. Belongs to one event loop.

    Raises ValueError for a URL that cannot be read, without repeating it.
    """

    def __init__(self, url: str) -> None:
        self._facts = _parsed(url)
        self._kept: Connection | None = None
        self._turn = asyncio.Lock()

    @property
    def where(self) -> str:
        """Host and port, for sentences."""
        return f"{self._facts.get('host') or 'localhost'}:{self._facts.get('port') or 5432}"

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Connection]:
        """The kept connection, one user at a time. Raises Unavailable, Refused."""
        async with self._told(LOOK_SECONDS), self._turn:
            connection = await self._alive()
            try:
                yield connection
            finally:
                # cut off in the middle of a query: whatever it would answer next is not worth finding out
                if connection.info.transaction_status is not TransactionStatus.IDLE:
                    await connection.close()

    @asynccontextmanager
    async def inside(self, database: str | None, *, seconds: float = WRITE_SECONDS) -> AsyncIterator[Connection]:
        """A new connection to a database, or to the URL's own. Raises Unavailable, Refused."""
        async with self._told(seconds):
            connection = await self._connect(database)
            try:
                yield connection
            finally:
                await connection.close()

    async def close(self) -> None:
        """Let go of the kept connection."""
        if self._kept is not None:
            await self._kept.close()
            self._kept = None

    async def _alive(self) -> Connection:
        if self._kept is not None and not self._kept.closed:
            try:
                await self._kept.execute("SELECT")
            except psycopg.OperationalError:
                await self._kept.close()  # the server was restarted since
            else:
                return self._kept
        self._kept = await self._connect(None)
        return self._kept

    async def _connect(self, database: str | None) -> Connection:
        facts = self._facts | ({} if database is None else {"dbname": database})
        retrying = AsyncRetrying(
            stop=stop_after_attempt(3) | stop_after_delay(_RETRY_SECONDS),
            wait=wait_random_exponential(multiplier=0.1, max=0.5),
            retry=retry_if_exception_type(psycopg.OperationalError),
            reraise=True,
        )
        return await retrying(_attempt, facts)

    @asynccontextmanager
    async def _told(self, seconds: float) -> AsyncIterator[None]:
        """Bound the time, and tell what went wrong as a driver's error."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Unavailable(f"PostgreSQL at {self.where} did not answer within {seconds:g} s") from None
        except psycopg.Error as error:
            raise self._explained(error) from None  # a chained error's text may quote the statement

    def _explained(self, error: psycopg.Error) -> DriverError:
        said = _redacted(_words(error), self._facts.get("password"))
        if error.sqlstate is None:
            return Unavailable(f"PostgreSQL at {self.where} cannot be reached: {said}")
        if isinstance(error, _PASSING) or error.sqlstate[:2] in _PASSING_CLASSES:
            return Unavailable(f"PostgreSQL at {self.where} could not do it now: {said}")
        if isinstance(error, errors.InsufficientPrivilege):
            return Refused(
                f"PostgreSQL at {self.where} does not let {self._facts.get('user')!r} do this: {said}. It needs a "
                "superuser, or a role with CREATEROLE and CREATEDB that made these roles itself (PostgreSQL 15 or "
                f'newer); as a superuser run: ALTER ROLE "{self._facts.get("user")}" CREATEROLE CREATEDB'
            )
        return Refused(f"PostgreSQL at {self.where} refused: {said}")


async def _attempt(facts: dict[str, Any]) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            **facts, autocommit=True, prepare_threshold=None, row_factory=psycopg.rows.dict_row
        )
    except (psycopg.Error, asyncio.CancelledError) as error:
        # the frames it came through hold a half-open connection, and while the server waits for such a one to log
        # in (60 s) it lets nobody drop a database
        raise error.with_traceback(None)  # noqa: B904 - it is the same error


def _parsed(url: str) -> dict[str, Any]:
    facts = _read(url)
    if facts is None:
        raise ValueError("the databases' URL cannot be read; write postgresql://user:password@host:port/db")
    options = f"{facts.get('options', '')} {_OPTIONS}".strip()
    return {
        "application_name": "armillary-databases",
        "connect_timeout": _CONNECT_SECONDS,
        **_KEEPALIVES,
        **facts,
        "options": options,
    }


def _read(url: str) -> dict[str, Any] | None:
    # raised from here, an error would carry one whose text is the URL with its password
    try:
        return dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error:
        return None


def _words(error: psycopg.Error) -> str:
    """What the server said, without the statement it said it about."""
    primary = error.diag.message_primary
    if primary is None:
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    detail = (error.diag.message_detail or "").replace("\n", "; ")
    return f"{primary} ({detail})" if detail else primary


def _redacted(text: str, password: object) -> str:
    return text.replace(str(password), "***") if password else text
