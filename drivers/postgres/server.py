"""The server: connections to it, each bounded in time, and its errors as sentences without secrets.

Looks go through kept connections: one for what all databases share, and a few inside single databases (`kept`).
Writes connect anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from drivers.base import DriverError, Refused, Unavailable
from drivers.postgres.connection import Connection, connect, facts_of
from drivers.postgres.kept import WAITED_FOR, Kept

LOOK_SECONDS = 5.0  # the queries take milliseconds; a pass gives all drivers together 15 s
WRITE_SECONDS = 25.0  # DROP DATABASE waits for a checkpoint; a pass gives one action 30 s
_PREPARE_AFTER = 2  # uses of a statement
_MAKE_WAY_SECONDS = 2.0  # PostgreSQL waits 5 s for a database that is to be dropped or copied

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
        self._facts = facts_of(url)
        self._shared: Connection | None = None
        self._turn = asyncio.Lock()
        self._kept = Kept()
        self._making_way: asyncio.Task[None] | None = None

    @property
    def where(self) -> str:
        """Host and port, for sentences."""
        return f"{self._facts.get('host') or 'localhost'}:{self._facts.get('port') or 5432}"

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Connection]:
        """The connection for what all databases share, one user at a time. Raises Unavailable, Refused."""
        async with self._told(LOOK_SECONDS), self._turn:
            connection = self._shared = await self._alive(self._shared) or await self._to_keep(None)
            try:
                yield connection
            finally:
                # cut off in the middle of a query: whatever it would answer next is not worth finding out
                if connection.info.transaction_status is not TransactionStatus.IDLE:
                    await connection.close()

    @asynccontextmanager
    async def looking_into(self, database: str) -> AsyncIterator[Connection]:
        """A connection to a database, to look only; kept afterwards. Raises Unavailable, Refused."""
        async with self._told(LOOK_SECONDS):
            connection = await self._alive(self._kept.take(database)) or await self._to_keep(database)
            try:
                yield connection
            except BaseException:
                await connection.close()
                raise
            await self._kept.keep(database, connection)
            self._start_making_way()

    @asynccontextmanager
    async def inside(self, database: str | None, *, seconds: float = WRITE_SECONDS) -> AsyncIterator[Connection]:
        """A new connection to a database, or to the URL's own. Raises Unavailable, Refused."""
        async with self._told(seconds):
            connection = await self._connect(database)
            try:
                yield connection
            finally:
                await connection.close()

    async def leave(self, database: str) -> None:
        """Keep no connection inside a database: it is about to go."""
        await self._kept.leave([database])

    async def close(self) -> None:
        """Let go of the kept connections."""
        await self._kept.close()
        if self._making_way is not None:
            self._making_way.cancel()
            await asyncio.wait({self._making_way})
        if self._shared is not None:
            await self._shared.close()
            self._shared = None

    def _start_making_way(self) -> None:
        if self._kept.databases and (self._making_way is None or self._making_way.done()):
            self._making_way = asyncio.create_task(self._make_way(), name="make way for who wants a database")

    async def _make_way(self) -> None:
        """While connections are kept: leave databases that nobody looks into, or that somebody waits for."""
        while self._kept.databases:
            await asyncio.sleep(_MAKE_WAY_SECONDS)
            await self._kept.leave_idle()
            try:
                async with self.looking() as connection:
                    cursor = await connection.execute(WAITED_FOR, (list(self._kept.databases),))
                    await self._kept.leave([str(row["name"]) for row in await cursor.fetchall()])
            except DriverError:
                # who waits cannot be seen, so nothing may be kept; what is wrong is told by the next look
                await self._kept.leave(self._kept.databases)

    async def _alive(self, connection: Connection | None) -> Connection | None:
        """The connection, if it still answers; otherwise it is closed."""
        if connection is None or connection.closed:
            return None
        try:
            await connection.execute("SELECT")
        except psycopg.OperationalError:
            await connection.close()  # the server was restarted since
            return None
        except BaseException:
            await connection.close()  # it hangs, or nobody waits for it any more
            raise
        return connection

    async def _to_keep(self, database: str | None) -> Connection:
        connection = await self._connect(database)
        # it is asked the same few things again and again, and planning them takes longer than answering
        connection.prepare_threshold = _PREPARE_AFTER
        return connection

    async def _connect(self, database: str | None) -> Connection:
        return await connect(self._facts | ({} if database is None else {"dbname": database}))

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
