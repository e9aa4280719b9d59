"""Where a new fleet's ports begin: the first block that is free on this machine, chosen before any deployment.

A deployment's ports never move, so a block that another installation (or a check beside it) already uses must not
be given to the first deployment. Afterwards this does nothing: a port taken later is told, and waited for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import psycopg

from cli import ports
from cli.errors import Failed, Unreachable

_BLOCK = 16
"""The ports of one deployment; the schema leases them so."""

_CONNECT_SECONDS = 10
_CLUSTER = "local"

_RANGE = (
    "SELECT port_first, port_last FROM core.clusters WHERE name = %s AND NOT EXISTS (SELECT FROM core.deployments)"
)
_MOVE = "UPDATE core.clusters SET port_first = %s WHERE name = %s AND NOT EXISTS (SELECT FROM core.deployments)"


async def settle(url: str, *, scattered: bool = False) -> None:
    """Let the ports of a fleet without deployments begin where a block is free. Raises Failed, Unreachable.

    `scattered`: anywhere in the range, so that several temporary homes that start at once do not choose alike.
    """
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=_CONNECT_SECONDS) as connection:
            found = await (await connection.execute(_RANGE, (_CLUSTER,))).fetchone()
            if found is not None:
                first = free_block(blocks(*found, scattered=scattered))
                if first != found[0]:
                    await connection.execute(_MOVE, (first, _CLUSTER))
    except psycopg.OperationalError as error:
        raise Unreachable(f"The state database cannot be reached: {' '.join(str(error).split())}") from None


def blocks(first: int, last: int, *, scattered: bool = False) -> list[int]:
    """Where the blocks of a range begin, in the order in which they are tried."""
    found = list(range(first, last - _BLOCK + 2, _BLOCK))
    if scattered:
        random.SystemRandom().shuffle(found)
    return found


def free_block(candidates: Iterable[int], is_free: Callable[[int], bool] = ports.is_free) -> int:
    """The first of the blocks whose ports are all free. Raises Failed when there is none."""
    for first in candidates:
        if all(is_free(port) for port in range(first, first + _BLOCK)):
            return first
    raise Failed(
        f"No {_BLOCK} ports in a row are free for the first deployment.",
        where="the ports of core.clusters",
        todo="Stop what listens there, or change port_first and port_last of the cluster.",
    )
