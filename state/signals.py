"""Hints that something changed in the state store: a LISTEN connection that heals by itself.

A hint carries nothing and may be lost; whoever listens looks at the store itself. `Connected` comes after every
connect, once LISTEN is in force: what changed before it was not heard, so the listener sweeps.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import structlog

from state.database import reason
from state.pool import CONNECT_TIMEOUT_SECONDS, KEEPALIVES

CHANNEL = "armillary"

_HEARTBEAT_SECONDS = 10.0  # a connection that died without a word is noticed within this plus 11 s
_HEARTBEAT_TIMEOUT_SECONDS = 5.0
_DRAIN_SECONDS = 0.05
_BACKOFF_SECONDS_FIRST = 0.1
_BACKOFF_SECONDS_MAX = 5.0

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Connected:
    """LISTEN is in force from now on; anything may have changed before."""


@dataclass(frozen=True, slots=True)
class Changed:
    """At least one notification came."""


Signal = Connected | Changed


class _Stopped(Exception):
    """The caller wants no more."""


async def signals(
    url: str, *, stop: asyncio.Event, heartbeat_seconds: float = _HEARTBEAT_SECONDS
) -> AsyncIterator[Signal]:
    """Signals until `stop` is set. Never raises for a lost connection: it connects again, for ever."""
    failures = 0
    while not stop.is_set():
        try:
            connection = await _unless(stop, _listening(url))
            async with connection:
                failures = 0
                yield Connected()
                while True:
                    if await _unless(stop, _heard(connection, heartbeat_seconds)):
                        yield Changed()
        except _Stopped:
            return
        except (psycopg.Error, TimeoutError) as error:
            failures += 1
            delay = _delay(failures)
            _log.warning("signals lost", why=reason(error), again_in_seconds=round(delay, 2))
            await _pause(stop, delay)


async def _listening(url: str) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(
        url,
        autocommit=True,
        application_name="armillary signals",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        **KEEPALIVES,
    )
    try:
        async with asyncio.timeout(_HEARTBEAT_TIMEOUT_SECONDS):
            await connection.execute(f"LISTEN {CHANNEL}")
    except BaseException:
        await connection.close()
        raise
    return connection


async def _heard(connection: psycopg.AsyncConnection[Any], seconds: float) -> bool:
    """True after a batch of notifications; False after a quiet while with a proof that the server is there."""
    if not await _readable(connection, seconds):
        async with asyncio.timeout(_HEARTBEAT_TIMEOUT_SECONDS):
            await connection.execute("SELECT 1")
    heard = False
    # also after the heartbeat: what came together with its answer waits in the driver, not in the socket
    async for _ in connection.notifies(timeout=_DRAIN_SECONDS, stop_after=1):
        heard = True
    return heard


async def _readable(connection: psycopg.AsyncConnection[Any], seconds: float) -> bool:
    """True once the server sent something; the driver's own waiting would wake up ten times a second."""
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    socket = connection.fileno()
    loop.add_reader(socket, arrived.set)
    try:
        async with asyncio.timeout(seconds):
            await arrived.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(socket)
    return True


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result:
    """The work's result; raises _Stopped when `stop` is set first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _Stopped
    finally:
        for one in (working, stopping):
            one.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _delay(failures: int) -> float:
    # full jitter: after a restart of the server its listeners do not come back all at once
    ceiling = min(_BACKOFF_SECONDS_MAX, _BACKOFF_SECONDS_FIRST * 2.0 ** min(failures, 16))
    return random.uniform(_BACKOFF_SECONDS_FIRST, ceiling)  # noqa: S311 - jitter is no secret


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
