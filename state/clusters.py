"""Clusters that a daemon's settings name, as rows that deployments can be put on."""

from __future__ import annotations

from collections.abc import Iterable

from state.database import Database

_MISSING = (
    "INSERT INTO core.clusters (name, driver) VALUES (%(name)s, %(driver)s) ON CONFLICT DO NOTHING RETURNING name"
)


async def offer(database: Database, names: Iterable[str], *, driver: str) -> None:
    """Let deployments be put on these clusters. One that the settings no longer name stays: it may have some.

    Raises Unreachable.
    """
    for name in names:
        await database.write_value(_MISSING, {"name": name, "driver": driver})
