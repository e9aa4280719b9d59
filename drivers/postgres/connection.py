"""Connecting: a server's URL with our bounds of time, and a connection made in spite of its restart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_random_exponential

Connection = psycopg.AsyncConnection[dict[str, Any]]

_CONNECT_SECONDS = 3
_RETRY_SECONDS = 1.5  # bridges a server's restart, not its absence
_OPTIONS = (
    "-c statement_timeout=20s -c lock_timeout=3s -c idle_in_transaction_session_timeout=10s "
    "-c client_min_messages=warning -c search_path=pg_catalog"
)
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}


async def connect(facts: Mapping[str, Any]) -> Connection:
    """A new connection in autocommit mode. Raises psycopg.OperationalError."""
    retrying = AsyncRetrying(
        stop=stop_after_attempt(3) | stop_after_delay(_RETRY_SECONDS),
        wait=wait_random_exponential(multiplier=0.1, max=0.5),
        retry=retry_if_exception_type(psycopg.OperationalError),
        reraise=True,
    )
    return await retrying(_attempt, facts)


def facts_of(url: str) -> dict[str, Any]:
    """What is needed to connect to a URL. Raises ValueError for one that cannot be read, without repeating it."""
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


async def _attempt(facts: Mapping[str, Any]) -> Connection:
    try:
        return await psycopg.AsyncConnection.connect(
            **facts, autocommit=True, prepare_threshold=None, row_factory=psycopg.rows.dict_row
        )
    except (psycopg.Error, asyncio.CancelledError) as error:
        # the frames it came through hold a half-open connection, and while the server waits for such a one to log
        # in (60 s) it lets nobody drop a database
        raise error.with_traceback(None)  # noqa: B904 - it is the same error


def _read(url: str) -> dict[str, Any] | None:
    # raised from here, an error would carry one whose text is the URL with its password
    try:
        return dict(conninfo.conninfo_to_dict(url))
    except psycopg.Error:
        return None
