"""Idle connections inside deployments' databases, kept for the next look: few, not for long, and in nobody's way.

PostgreSQL lets nobody drop, rename or copy a database while somebody is connected to it, and waits five seconds
for the others to leave. So whoever keeps connections here asks often enough who waits (`WAITED_FOR`).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from psycopg.pq import TransactionStatus

from drivers.postgres.connection import Connection

MOST = 8  # each is a process of some MiB on the server
IDLE_SECONDS_MAX = 90.0  # longer than between two resyncs: a small fleet's first change is as fast as its second

# DROP, RENAME and SET TABLESPACE lock a database exclusively, CREATE DATABASE its template in mode SHARE
WAITED_FOR = """
SELECT d.datname AS name FROM pg_locks l JOIN pg_database d ON d.oid = l.objid
WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass
  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND d.datname = ANY(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    connection: Connection
    since: float  # monotonic


class Kept:
    """At most `MOST` idle connections, one a database; beyond it the one idle for longest goes."""

    def __init__(self) -> None:
        self._idle: OrderedDict[str, _Idle] = OrderedDict()  # the longest idle first
        self._closed = False

    @property
    def databases(self) -> tuple[str, ...]:
        """Where connections are kept now."""
        return tuple(self._idle)

    def take(self, database: str) -> Connection | None:
        """The kept connection to a database, which is then the caller's; None when there is none."""
        idle = self._idle.pop(database, None)
        return None if idle is None else idle.connection

    async def keep(self, database: str, connection: Connection) -> None:
        """Take a connection back. One that is broken or not needed is closed."""
        is_usable = connection.info.transaction_status is TransactionStatus.IDLE
        if self._closed or not is_usable or database in self._idle:
            await connection.close()
            return
        self._idle[database] = _Idle(connection=connection, since=time.monotonic())
        if len(self._idle) > MOST:
            await self.leave(self.databases[:1])

    async def leave(self, databases: Collection[str]) -> None:
        """Close what is kept in these databases."""
        for database in databases:
            connection = self.take(database)
            if connection is not None:
                await connection.close()

    async def leave_idle(self) -> None:
        """Close what nobody used for long."""
        before = time.monotonic() - IDLE_SECONDS_MAX
        await self.leave([name for name, idle in self._idle.items() if idle.since < before])

    async def close(self) -> None:
        """Close all, and keep none any more."""
        self._closed = True
        await self.leave(self.databases)
