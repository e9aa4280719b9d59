"""A small pool of connections to the state store.

Made on demand, bounded, and without background tasks: after a restart of the server the next call connects at
once, and the reason of a failed connect reaches the caller instead of a log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from state.errors import Unreachable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

CONNECT_TIMEOUT_SECONDS = 5
KEEPALIVES: Mapping[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

_SIZE = 5  # the daemon batches its writes; more would only queue in PostgreSQL instead of here
_WAIT_SECONDS = 5.0
_PING_AFTER_SECONDS = 1.0  # a connection used just now is taken to be alive
_PING_TIMEOUT_SECONDS = 2.0
_AGE_SECONDS_MAX = 1800.0  # a server's memory for a connection grows with what it has seen
_OPTIONS = "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s -c timezone=UTC"


@dataclass(slots=True)
class _Pooled:
    connection: Connection
    made_at: float
    used_at: float


class Pool:
    """At most five connections in autocommit mode. Belongs to one event loop."""

    def __init__(self, url: str, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._idle: list[_Pooled] = []
        self._places = asyncio.Semaphore(_SIZE)
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A live connection. Raises psycopg.OperationalError when there is none, Unreachable when all are busy."""
        await self._enter()
        try:
            pooled = await self._take()
            try:
                yield pooled.connection
            finally:
                await self._give_back(pooled)
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close the idle connections now, and those in use when they are given back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().connection.close()

    async def _enter(self) -> None:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unreachable(
                f"no connection to the state database became free within {_WAIT_SECONDS:g} s; it answers too "
                f"slowly"
            ) from None

    async def _take(self) -> _Pooled:
        while self._idle:
            pooled = self._idle.pop()
            if await _is_alive(pooled, time.monotonic()):
                return pooled
            await pooled.connection.close()
        return await self._make()

    async def _make(self) -> _Pooled:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            application_name=self._application_name,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            options=_OPTIONS,
            **KEEPALIVES,
        )
        return _Pooled(connection, time.monotonic(), time.monotonic())

    async def _give_back(self, pooled: _Pooled) -> None:
        # whatever is not plainly idle (broken, or cancelled in the middle) is not worth an investigation
        status = pooled.connection.info.transaction_status
        if self._closed or status is not TransactionStatus.IDLE:
            await pooled.connection.close()
            return
        pooled.used_at = time.monotonic()
        self._idle.append(pooled)


async def _is_alive(pooled: _Pooled, now: float) -> bool:
    if now - pooled.made_at > _AGE_SECONDS_MAX:
        return False
    if now - pooled.used_at < _PING_AFTER_SECONDS:
        return True
    with suppress(psycopg.Error, TimeoutError):
        async with asyncio.timeout(_PING_TIMEOUT_SECONDS):
            await pooled.connection.execute("SELECT 1")
        return True
    return False
