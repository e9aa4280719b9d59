"""Clusters that a daemon's settings name, as rows that deployments can be put on."""

from __future__ import annotations

from collections.abc import Iterable

from state.database import Database
from state.pool import Connection

_MISSING = "INSERT INTO core.clusters (name, driver) VALUES (%(name)s, %(driver)s) ON CONFLICT DO NOTHING"


async def offer(database: Database, names: Iterable[str], *, driver: str) -> None:
    """Let deployments be put on these clusters. One that the settings no longer name stays: it may have some.

    Raises Unreachable.
    """

    async def work(connection: Connection) -> None:
        for name in names:
            await connection.execute(_MISSING, {"name": name, "driver": driver})

    await database.write(work)
